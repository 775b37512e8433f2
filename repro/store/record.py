"""Records: what a job measured, with everything needed to judge or repeat it.

A record belongs to a job key and never to a manifest: claims of many manifests may read
it. It is written once, whole, and never edited.
"""

from typing import Annotated, Literal

from pydantic import Field

from repro.environment.machine import Environment
from repro.fileio import digest_of_data
from repro.schema.base import Count, Frozen, Sha256, UtcTime
from repro.schema.jobs import Job
from repro.schema.kinds.imported import ImportedJob

Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A count or a size; a larger one is no float, and what compares it would end in an error."""


class ArrayFile(Frozen):
    """The arrays that stand beside a record."""

    name: Literal["arrays.safetensors"]
    sha256: Sha256
    size: Count
    """Bytes."""


class Record(Frozen):
    """One job, measured."""

    schema_version: Literal[1]
    key: Sha256
    """Digest of everything that can change the numbers; see `repro.store.keys`."""
    job: Annotated[Job | ImportedJob, Field(discriminator="kind")]
    inputs: dict[str, Sha256]
    """Digest of every file that the job read: weights, tokenizer, data; of an import, of the files
    that the answers come from."""
    code: dict[str, Sha256]
    """Digest of every module of ours that computed it; none of an import."""
    environment: Environment
    path: dict[str, str]
    """Kernels and paths really taken, as seen at run time."""
    values: dict[str, Whole | float | str]
    """Summary numbers for people; verify trusts none that it can recompute."""
    arrays: ArrayFile
    files: dict[str, Sha256]
    """Digest of every file of the model that the job made, which lies beside the record."""
    warnings: tuple[str, ...]
    started: UtcTime
    """Of an import, when it was imported."""
    seconds: Annotated[float, Field(ge=0, le=10**9)]
    """Wall time of the job, inputs already fetched; 30 years are none."""
    digest: Sha256
    """Digest of this record without this field: it shows a slip, and no forgery."""

    def digest_of_content(self) -> str:
        """What `digest` has to be."""
        content = self.model_dump(mode="json", exclude={"digest"})
        if content["environment"]["revision"] is None:  # records from before it have no such field
            del content["environment"]["revision"]
        return digest_of_data(content)
