"""A printed row against the row of another paper."""

from collections.abc import Sequence
from decimal import Decimal

from repro.schema.claim_base import Published
from repro.schema.decimals import Interval, interval
from repro.schema.page_claims import BaselineClaim
from repro.text import counted
from verify.outcome import Decided
from verify.words import OPEN, judged, label


def baseline(row: Sequence[Published], claim: BaselineClaim) -> tuple[Decided, str]:
    """The row differs by more than noise in some column; beside it the direction.

    Numbers of a source that nobody held against a copy of it decide nothing: the finding is
    `inconclusive` and shows where they point.
    """
    columns = list(zip(row, claim.baseline, strict=True))
    deciding = [_distance(*column) for column in columns if column[0].unit == claim.units]
    noise = Decimal(claim.noise.value)
    above = sum(distance.low > noise for distance in deciding)
    below = sum(distance.high <= noise for distance in deciding)
    reason = (
        f"{counted(len(deciding), 'column')} in {claim.units} against {_source(claim)}: {above} "
        f"apart by more than {claim.noise.value}, {below} not, {len(deciding) - above - below} open"
    )
    outcome = judged(sure=above > 0, possible=not deciding or below < len(deciding))
    if outcome == "inconclusive":
        reason = f"{reason}; {OPEN if deciding else 'nothing is left to decide by'}"
    direction = ""
    if claim.source.status == "unverified":
        direction = f"points to {outcome}" if outcome != "inconclusive" else ""
        outcome = "inconclusive"
        reason = f"{reason}; the source was not held against a copy of that paper"
    published, measured = "another model", f"{above} of {len(deciding)} columns apart"
    margin = f"> {claim.noise.value}"
    working = tuple(_line(*column, claim.units) for column in columns)
    return Decided(outcome, published, measured, margin, reason, working), direction


def _distance(value: Published, other: str) -> Interval:
    return interval(value.text).distance(interval(other))


def _source(claim: BaselineClaim) -> str:
    return f"arXiv {claim.source.arxiv}, {claim.source.place}"


def _line(value: Published, other: str, units: str) -> str:
    """One column: both numbers, how far apart, and whether one number can print as both."""
    distance = _distance(value, other)
    exact = abs(Decimal(value.text) - Decimal(other))
    overlap = "overlap" if distance.low == 0 else "do not overlap"
    shown = f"; in {value.unit}: decides nothing" if value.unit != units else ""
    return (
        f"{label(value)} {value.text} and {other}: apart by {exact}, from {distance.low} to "
        f"{distance.high} unrounded; the rounding intervals {overlap}{shown}"
    )
