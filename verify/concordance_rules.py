"""Whether two measured series follow the same trend."""

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from repro.manifest import Manifest
from repro.model_claims import ConcordanceClaim
from repro.plural import counted
from verify import spreads
from verify.arms import Arms, arms, mean
from verify.decidable import input_rounding
from verify.decided import Decided, Judged
from verify.evidence import Evidence
from verify.spreads import Span

if TYPE_CHECKING:
    from repro.finding import Outcome

Signs = frozenset[int]
"""What an interval leaves possible: 1 up or above, 0 level or not above, -1 down."""

_ANY: Signs = frozenset({-1, 0, 1})


def concordance(manifest: Manifest, claim: ConcordanceClaim, evidence: Evidence) -> Judged:
    """Both series go the same way at every step or pair, or spike at the same places.

    `reproduced` if the confidence intervals leave one sign at each, the same in both series;
    `contradicted` if the prediction intervals leave opposite signs at one. The error rate is
    shared out over all comparisons (Bonferroni). A value at the floor has no order.
    """
    cells = [[manifest.cell(name) for name in side] for side in (claim.left, claim.right)]
    series = [[arms(manifest, [cell], evidence) for cell in side] for side in cells]
    h = max(float(input_rounding(manifest, cell, [cell])) for side in cells for cell in side)
    places = _places(claim, len(claim.left))
    tests = 2 * len(places)
    same, differ = 0, 0
    for place in places:
        means, draws = zip(*(_signs(claim, side, place, h, tests) for side in series), strict=True)
        same += len(means[0] | means[1]) == 1
        differ += not draws[0] & draws[1]
    outcome: Outcome = "inconclusive"
    if differ:
        outcome = "contradicted"
    elif same == len(places):
        outcome = "reproduced"
    total = counted(len(places), claim.by.removesuffix("s"))
    reason = f"of {total}: {same} surely the same, {differ} surely not"
    shown = [", ".join(f"{mean(each.divergences):.2f}" for each in s) for s in series]
    decided = Decided(outcome, shown[1], shown[0], claim.by, reason)
    loaded = [record for side in series for each in side for record in each.loaded]
    direction = f"{same} of {len(places)} agree"
    return Judged(decided, direction, loaded)


def _places(claim: ConcordanceClaim, count: int) -> list[tuple[int, ...]]:
    """Indices that are compared: single values for spikes, else two of them."""
    if claim.by == "spikes":
        return [(index,) for index in range(count)]
    return list(pairwise(range(count)) if claim.by == "steps" else combinations(range(count), 2))


def _signs(
    claim: ConcordanceClaim, side: Sequence[Arms], place: tuple[int, ...], h: float, tests: int
) -> tuple[Signs, Signs]:
    """What one series does at a place: by its mean, and by another draw."""
    chosen = [side[index] for index in place]
    if claim.above is not None:
        found = spreads.of(chosen[0].divergences, chosen[0].least_spread, tests)
        limit = float(claim.above)
        return _above(found.mean, limit, h), _above(found.draw, limit, h)
    if any(each.at_the_floor for each in chosen):
        return _ANY, _ANY
    found = spreads.difference(chosen[1], chosen[0], tests)
    return _way(found.mean, 2 * h), _way(found.draw, 2 * h)


def _above(span: Span, limit: float, h: float) -> Signs:
    low, high = spreads.widened(span, h)
    return frozenset({1} if low > limit else {0} if high <= limit else {0, 1})


def _way(span: Span, h: float) -> Signs:
    low, high = spreads.widened(span, h)
    return frozenset({1} if low > 0 else {-1} if high < 0 else _ANY)
