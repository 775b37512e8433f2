"""Claims that printed values alone decide: the paper against itself, and against another.

All names are published values of the manifest.
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, StringConstraints

from repro.decimals import DecimalText, Unsigned
from repro.schema.base import Frozen, Sha256, Slug, Slugs
from repro.schema.claim_base import ClaimBase, Margin, Text


class Comparison(Frozen):
    """Two printed values of the same thing on two sides."""

    left: Slug
    """The arm that is said to win."""
    right: Slug
    better: Literal["higher", "lower"]


class WinsClaim(ClaimBase):
    """A printed count is the number of comparisons that the left arm wins; a tie is no win."""

    kind: Literal["wins"]
    published: Slug
    out_of: Slug
    """Published number of comparisons."""
    comparisons: Annotated[tuple[Comparison, ...], Field(min_length=1)]


class RatioClaim(ClaimBase):
    """A printed number follows from one or two others."""

    kind: Literal["ratio"]
    published: Slug
    of: Annotated[tuple[Slug, ...], Field(min_length=1, max_length=2)]
    form: Literal[
        "plain",
        "times",
        "percent-of",
        "percent-more",
        "percent-fewer",
        "difference",
        "times-per-reduction",
    ]
    """With a, b for `of`: a; a/b; 100 a/b; 100 (a/b - 1); 100 (1 - a/b); a - b; 1 / (1 - a/100).
    Only for a/b may the two have two units: the published one is then `<unit of a> per <of b>`."""
    relation: Literal["equals", "at-least", "at-most"]
    """`equals`: both round to the same printed number."""


class RepeatClaim(ClaimBase):
    """Numbers that the paper prints twice are the same, each left one with its right one."""

    kind: Literal["repeat"]
    left: Slugs
    right: Slugs


class MonotoneClaim(ClaimBase):
    """Printed values rise, or fall, from each to the next."""

    kind: Literal["monotone"]
    of: Annotated[tuple[Slug, ...], Field(min_length=2)]
    direction: Literal["rising", "falling"]


class WholeQuestionsClaim(ClaimBase):
    """Each printed accuracy is a whole number of right answers over the questions (GRIM).

    Brown & Heathers 2017 test means of integers in this way; here the mean is an accuracy.
    """

    kind: Literal["whole-questions"]
    of: Slugs
    """Accuracies in percent."""
    questions: PositiveInt
    """Questions of the benchmark's split that lm-eval scores."""


class SampledComparison(Comparison):
    """Two accuracies in percent of two sides that saw the same questions."""

    questions: PositiveInt


class SamplingClaim(ClaimBase):
    """The left arm's accuracies are better by more than the sampling of questions explains.

    Both sides saw the same questions, so the test is McNemar's, z = (b - c) / sqrt(b + c), with
    b the questions that only the left arm answers and c those that only the right one does. Only
    b - c is printed; z is given for every b + c that is possible. A tie decides nothing. Where
    the paper claims no significance, such a claim stands beside it.
    """

    kind: Literal["sampling"]
    comparisons: Annotated[tuple[SampledComparison, ...], Field(min_length=1)]
    z: Unsigned
    """z above which a difference counts."""


class OtherPaper(Frozen):
    """Where numbers of another paper come from."""

    arxiv: str
    place: str
    status: Literal["verified", "unverified"]
    """Unverified: not held against a copy of that paper; no finding on it is decided."""
    note: str


class BaselineClaim(ClaimBase):
    """A printed row differs from the row of another paper by more than noise."""

    kind: Literal["baseline"]
    row: Slugs
    baseline: Annotated[tuple[DecimalText, ...], Field(min_length=1)]
    """The other paper's row as printed, column by column."""
    source: OtherPaper
    noise: Margin
    """Difference below which two evaluations of one model may differ, in points of accuracy;
    columns of another unit are shown and decide nothing."""
    units: Text
    """Unit of the columns that decide."""


# -----------------------------------------------------------------------------
# Facts that the code of the pinned packages settles, with file and line.
#
# The file is read as text and parsed, never imported, and has to have the digest that it
# had when the claim was written.

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
