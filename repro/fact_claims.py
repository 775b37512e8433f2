"""Facts that the code of the pinned packages settles, with file and line.

The file is read as text and parsed, never imported, and has to have the digest that it
had when the claim was written.
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, StringConstraints

from repro.claim_base import ClaimBase, Text
from repro.frozen import Frozen, Sha256, Slug

FilePath = Annotated[str, StringConstraints(pattern=r"^\w+([./-]\w+)*$")]
"""A relative path that cannot leave its folder."""


class SourceFile(Frozen):
    """A file of a pinned package."""

    package: str
    """Normalised name on the package index."""
    version: str
    file: FilePath
    """Path as the package's list of installed files has it, or below the one folder of its
    source archive."""
    sha256: Sha256


class Lookup(Frozen):
    """One thing that is read in a file."""

    source: SourceFile
    line: PositiveInt
    """Where it stands; for people, and held to what is found."""
    claimed: Text
    """What would be found if the paper's sentence were right."""


class DefaultLookup(Lookup):
    """The default value of a parameter, or of a field of a class, as written."""

    kind: Literal["default"]
    function: str
    """Qualified name of the function or class, e.g. `MambaConfig.__init__`."""
    parameter: str


class PassedLookup(Lookup):
    """How a submodule of `self` reaches a call: `module`, `weight` or `absent`.

    `module`: it is itself passed or called, in an argument or in what was assigned to a
    variable there; `weight`: only its weight tensor gets there.
    """

    kind: Literal["passed"]
    function: str
    callee: str
    submodule: str


class LinearLookup(Lookup):
    """The sizes that a linear layer is made with, as written: `inputs -> outputs`."""

    kind: Literal["linear"]
    function: str
    submodule: str


class ReturnsLookup(Lookup):
    """What a function returns, as written; a variable stands for what was assigned to it."""

    kind: Literal["returns"]
    function: str


class LineLookup(Lookup):
    """Whether a line of text stands there: `present` or `absent`."""

    kind: Literal["line"]
    line_sha256: Sha256
    """Digest of the line without the blanks around it."""
    what: Text
    """What the line says, in our words."""


AnyLookup = Annotated[
    DefaultLookup | PassedLookup | LinearLookup | ReturnsLookup | LineLookup,
    Field(discriminator="kind"),
]


class FactClaim(ClaimBase):
    """What the code says is what the paper says."""

    kind: Literal["fact"]
    premises: tuple[AnyLookup, ...] = ()
    """What has to be found as claimed for the lookups to bear on the sentence at all."""
    lookups: Annotated[tuple[AnyLookup, ...], Field(min_length=1)]
    relation: Literal["as-claimed", "ratio"]
    """`as-claimed`: every lookup finds what is claimed; `ratio`: the first number found over
    the second is the published one."""
    published: Slug | None = None
    condition: str = ""
    """What has to hold for the fact to bear on the sentence, e.g. that the fused path runs."""

    def looked_up(self) -> tuple[AnyLookup, ...]:
        """Everything that has to be read to decide it."""
        return (*self.lookups, *self.premises)
