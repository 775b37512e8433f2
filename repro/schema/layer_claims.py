"""Claims about state-space layers and exact algebra, decided from arrays of records."""

from typing import Annotated, Literal

from pydantic import Field

from repro.schema.base import Frozen, Slug
from repro.schema.claim_base import ClaimBase
from repro.schema.decimals import DecimalText


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
    """A matrix of integers is the product of two others, exactly, row by row."""

    kind: Literal["identity"]
    jobs: Annotated[tuple[Slug, ...], Field(min_length=1)]
    case: str
    """Arrays `<case>/up` and `<case>/down`, and `<case>/change_sha256`, the digest of every row of
    what has to be up x down (`repro.fileio.digests_of_rows`)."""
    controls: tuple[Control, ...]
    """Cases that must not factorise so."""
