"""The base of every model in the contract: immutable, closed to unknown fields, finite."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
"""A name that is safe as a file name and in a table."""

Slugs = Annotated[tuple[Slug, ...], Field(min_length=1)]

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest, lower-case hexadecimal."""

HUB_NAME = r"^[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*(/[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*)?$"
Repository = Annotated[str, StringConstraints(pattern=HUB_NAME, max_length=96)]
"""A repository on the model hub, which takes no other name."""


class Frozen(BaseModel):
    """Immutable data; an unknown field is an error, not a warning, and so are NaN and infinity.

    Canonical JSON has neither, so that what holds them could have no digest.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        defer_build=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,  # in catalog/manifest.schema.json
    )
