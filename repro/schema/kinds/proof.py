"""Theorems checked by Coq, from the sources up: Lemma 1 and Theorems 1 to 3 (`proofs/`)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from repro.schema.base import Sha256
from repro.schema.catalog import Checkpoint
from repro.schema.kinds.base import TEXT, Data, Estimate, KindOfJob

SourceName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]*\.v$")]
TheoremName = Annotated[
    str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]*\.[A-Za-z][A-Za-z0-9_]*$")
]
"""File and name, e.g. `Lemma1.lemma1_limit`."""

AXIOMS = (
    "Coq.Logic.Classical_Prop.classic",
    "Coq.Logic.FunctionalExtensionality.functional_extensionality_dep",
    "Coq.Reals.ClassicalDedekindReals.sig_forall_dec",
    "Coq.Reals.ClassicalDedekindReals.sig_not_dec",
)
"""What a proof may rest on: the axioms of Coq 8.16's classical real numbers, and no other."""


class ProofJob(KindOfJob):
    """Every file compiled from nothing, and what each theorem says and rests on."""

    ENTRY: ClassVar = "runner.proofs"
    LIBRARIES: ClassVar = ("coq",)
    CHECKER: ClassVar = "check"
    """Script of `proofs/` that compiles, prints and has the second kernel read it all again."""

    kind: Literal["proof"]
    sources: Annotated[dict[SourceName, Sha256], Field(min_length=1)]
    """Files of `proofs/`, each with its digest: a definition is as much of a statement as its
    words."""
    theorems: Annotated[dict[TheoremName, Sha256], Field(min_length=1)]
    """Each theorem, with the digest of its statement as Coq prints it."""

    def estimate(self, checkpoint: Checkpoint | None, data: Data) -> Estimate:  # noqa: ARG002
        """As `KindOfJob` says."""
        return Estimate(gpu_seconds=150.0, cpu_seconds=150.0, memory=1 << 30)

    def stored_bytes(self, checkpoint: Checkpoint | None, data: Data) -> int:  # noqa: ARG002
        """As `KindOfJob` says."""
        return TEXT + 1_000 * len(self.theorems)
