"""Claims: what a manifest says can be checked, one kind a class.

A claim on printed values alone (`basis: printed`) is decided with no run at all. A
measured claim names what is measured, never how it is decided: the rules live in
`verify`, and nothing here is code or an expression.
"""

from typing import Annotated, Literal

from pydantic import Field

from repro.frozen import Frozen, Slug
from repro.printed import DecimalText

Basis = Literal["printed", "measured"]


class Place(Frozen):
    """Where the paper says it."""

    section: str
    """Section or appendix, numbered as in the manifest's version of the paper."""
    table: str | None = None
    row: str | None = None
    column: str | None = None


class Published(Frozen):
    """A published value: the printed string, its unit and its place. Immutable."""

    id: Slug
    text: DecimalText
    unit: str
    place: Place


class Margin(Frozen):
    """How far from the printed value a measurement may lie before a sentence would change."""

    value: DecimalText
    """Half the distance to the nearest value at which a sentence of the paper would change."""
    origin: str
    """Which sentence, and which value; never measured noise."""


class Divergence(Frozen):
    """Mean over shots of |accuracy(reference) - accuracy(dtype)|, in percentage points."""

    checkpoint: Slug
    dtype: Literal["float16", "bfloat16"]
    reference: Literal["float32"]


class ClaimBase(Frozen):
    """What every claim says."""

    id: Slug
    """The dossier's name, e.g. `T1.mamba-130m.float16` or `TH1b`."""
    statement: str
    """What is claimed, in our words."""
    place: Place
    depends_on: tuple[str, ...]
    """Packages that have to be at their exact pins for a measurement to decide this claim;
    the manifest's `packages` says why."""


class CellClaim(ClaimBase):
    """A printed cell of a table equals what is measured."""

    kind: Literal["cell"]
    published: Slug
    measure: Divergence
    margin: Margin


class MeanClaim(ClaimBase):
    """A printed mean is the mean of some cells."""

    kind: Literal["mean"]
    basis: Basis
    published: Slug
    of: Annotated[tuple[Slug, ...], Field(min_length=1)]
    """Cell claims."""


class CountClaim(ClaimBase):
    """A printed count is the number of cells above a threshold."""

    kind: Literal["count"]
    basis: Basis
    published: Slug
    of: Annotated[tuple[Slug, ...], Field(min_length=1)]
    """Cell claims."""
    above: DecimalText
    """Threshold, exclusive."""


class OrderingClaim(ClaimBase):
    """The mean of some cells stands in a relation to the mean of others."""

    kind: Literal["ordering"]
    basis: Basis
    left: Annotated[tuple[Slug, ...], Field(min_length=1)]
    right: Annotated[tuple[Slug, ...], Field(min_length=1)]
    relation: Literal["at-most", "within-spread"]
    """`within-spread`: |mean(left) - mean(right)| < max(right) - min(right), the two means
    differ by less than the members of the right side among themselves."""


class Control(Frozen):
    """A case built to break the claim: the check has to catch it, or it checks nothing."""

    array: str
    """Array (or case) in the same records; every entry must violate the claim."""
    what: str


class BoundClaim(ClaimBase):
    """Every entry of some arrays stays within a limit."""

    kind: Literal["bound"]
    jobs: Annotated[tuple[Slug, ...], Field(min_length=1)]
    arrays: Annotated[tuple[str, ...], Field(min_length=1)]
    relation: Literal["at-most", "below", "above"]
    """Below and above are strict."""
    limit: DecimalText
    controls: tuple[Control, ...]


class TrendClaim(ClaimBase):
    """The fitted exponential rate of every curve in some arrays is negative."""

    kind: Literal["trend"]
    jobs: Annotated[tuple[Slug, ...], Field(min_length=1)]
    arrays: Annotated[tuple[str, ...], Field(min_length=1)]
    """Envelopes, shape (layers, times); a rate is the slope of log(envelope) over time."""
    times: str
    """Array with the time of each column, in steps."""
    floors: tuple[str, ...]
    """For each of `arrays`, what rounding alone can make of it: points below are left out."""
    direction: Literal["decreasing"]
    controls: tuple[Control, ...]


class IdentityClaim(ClaimBase):
    """A matrix of integers is the product of two others, exactly."""

    kind: Literal["identity"]
    jobs: Annotated[tuple[Slug, ...], Field(min_length=1)]
    case: str
    """Arrays `<case>/change`, `<case>/up` and `<case>/down`: change = up x down."""
    controls: tuple[Control, ...]
    """Cases that must not factorise so."""


Claim = Annotated[
    CellClaim | MeanClaim | CountClaim | OrderingClaim | BoundClaim | TrendClaim | IdentityClaim,
    Field(discriminator="kind"),
]
