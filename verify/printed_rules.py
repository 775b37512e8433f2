"""The paper against itself: claims decided from printed values alone, in exact decimals.

Every printed number stands for the interval of all numbers that round to it. A claim is
`contradicted` if no choice inside the intervals makes it true, `reproduced` if the printed
digits themselves make it true, and otherwise `inconclusive`: the printed precision does
not decide it.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from repro.manifest import Manifest
from repro.model_claims import CountClaim, MeanClaim, OrderingClaim
from repro.printed import Interval, half_unit, interval, mean, mean_interval
from verify.decided import Decided

if TYPE_CHECKING:
    from repro.finding import Outcome


def decide(manifest: Manifest, claim: MeanClaim | CountClaim | OrderingClaim) -> Decided:
    """Decide one claim whose basis is printed."""
    if isinstance(claim, MeanClaim):
        return _mean(manifest.text_of(claim.published), _texts(manifest, claim.of))
    if isinstance(claim, CountClaim):
        return _count(manifest.text_of(claim.published), _texts(manifest, claim.of), claim.above)
    left, right = _texts(manifest, claim.left), _texts(manifest, claim.right)
    if claim.relation == "at-most":
        return _at_most(left, right)
    return _within_spread(left, right)


def _texts(manifest: Manifest, names: Sequence[str]) -> list[str]:
    return [manifest.text_of(name) for name in names]


def _mean(printed: str, cells: Sequence[str]) -> Decided:
    exact, possible = mean(cells), mean_interval(cells)
    margin = f"± {half_unit(printed)}"
    measured = f"{exact} from {len(cells)} cells"
    sides = f"the cells give {exact}, between {possible.low} and {possible.high} unrounded"
    if not possible.overlaps(interval(printed)):
        outcome: Outcome = "contradicted"
        reason = f"{sides}; no rounding of them prints {printed}"
    elif abs(exact - Decimal(printed)) <= half_unit(printed):
        outcome, reason = "reproduced", f"{' + '.join(cells)} over {len(cells)} is {exact}"
    else:
        outcome, reason = "inconclusive", f"{sides}; the printed precision does not decide it"
    return Decided(outcome, printed, measured, margin, reason)


def _count(printed: str, cells: Sequence[str], above: str) -> Decided:
    limit, wanted = Decimal(above), int(printed)
    sure = [text for text in cells if interval(text).low > limit]
    possible = [text for text in cells if interval(text).high > limit]
    shown = str(len(sure)) if len(sure) == len(possible) else f"{len(sure)} to {len(possible)}"
    which = ", ".join(possible) or "none"
    reason = f"of {', '.join(cells)}, above {above}: {which}"
    if not len(sure) <= wanted <= len(possible):
        outcome: Outcome = "contradicted"
    elif len(sure) == len(possible):
        outcome = "reproduced"
    else:
        outcome, reason = "inconclusive", f"{reason}; the printed precision does not decide it"
    return Decided(outcome, printed, shown, "exact", reason)


def _at_most(left: Sequence[str], right: Sequence[str]) -> Decided:
    a, b = mean_interval(left), mean_interval(right)
    if a.high <= b.low:
        outcome: Outcome = "reproduced"
    elif a.low > b.high:
        outcome = "contradicted"
    else:
        outcome = "inconclusive"
    reason = f"unrounded means lie in {a} and {b}"
    measured = f"{mean(left)} and {mean(right)}"
    return Decided(outcome, "left ≤ right", measured, "order", reason)


def _within_spread(left: Sequence[str], right: Sequence[str]) -> Decided:
    gap, spread = mean_interval(left).distance(mean_interval(right)), _spread(right)
    if gap.high < spread.low:
        outcome: Outcome = "reproduced"
    elif gap.low >= spread.high:
        outcome = "contradicted"
    else:
        outcome = "inconclusive"
    measured = f"{mean(left)} and {mean(right)}"
    reason = f"unrounded, the means differ by {gap} and the right side spreads over {spread}"
    return Decided(outcome, "within spread", measured, f"< {spread.low}", reason)


def _spread(texts: Sequence[str]) -> Interval:
    """All distances between the largest and the smallest of some unrounded numbers."""
    ends = [interval(text) for text in texts]
    low = max(end.low for end in ends) - min(end.high for end in ends)
    high = max(end.high for end in ends) - min(end.low for end in ends)
    return Interval(max(Decimal(0), low), high)
