"""Trends of printed values: rising, falling, and the same in two series."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Literal

from repro.schema.claim_base import Published
from repro.schema.decimals import Interval, interval
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import ConcordanceClaim
from repro.text import counted
from verify import noise
from verify.arms import Arms, arms
from verify.decidable import input_rounding
from verify.evidence import Evidence
from verify.noise import Span
from verify.outcome import OPEN, Decided, Judged, first, judged, label, listed, pair
from verify.statistics import mean

if TYPE_CHECKING:
    from repro.schema.finding import Outcome


Signs = frozenset[int]
"""What is possible inside the rounding intervals: 1 up or above, 0 level, -1 down."""

_STEPS = {1: "rises", 0: "stays", -1: "falls"}
_SPIKES = {1: "above", 0: "not above"}
_UNITS = {"steps": "step", "ranks": "pair", "spikes": "place"}


def monotone(values: Sequence[Published], direction: Literal["rising", "falling"]) -> Decided:
    """Each value above the one before, or below it.

    Any later value is compared with any earlier one: where steps look possible one by one,
    two values further apart may still rule out the whole.
    """
    wanted = 1 if direction == "rising" else -1
    never = [
        f"{_step(*both)}: never {direction}"
        for both in combinations(values, 2)
        if wanted not in _signs(*both)
    ]
    steps, unsure = [], []
    for both in pairwise(values):
        steps.append(f"{_step(*both)}: {_words(_signs(*both), _STEPS)}")
        if _signs(*both) != {wanted}:
            unsure.append(steps[-1])
    outcome = judged(sure=not unsure, possible=not never)
    if never:
        reason = first(never)
    elif unsure:
        reason = f"{first(unsure)}; {OPEN}"
    else:
        reason = f"{counted(len(steps), 'step')}, each {direction}"
    measured = listed([value.text for value in values])
    return Decided(outcome, direction, measured, "order", reason, (*steps, *never))


def concordance(
    left: Sequence[Published], right: Sequence[Published], claim: ConcordanceClaim
) -> Decided:
    """Both series do the same at every step, pair or place.

    Places are judged one by one; what only several of them together could rule out is left
    open.
    """
    same, differ, unsure, working = 0, [], 0, []
    for where, one, other, names in _compared(left, right, claim):
        line = f"{where}: {_words(one, names)} and {_words(other, names)}"
        working.append(line)
        if not one & other:
            differ.append(line)
        elif len(one | other) == 1:
            same += 1
        else:
            unsure += 1
    total = counted(len(working), _UNITS[claim.by])
    outcome = judged(sure=not unsure, possible=not differ)
    reason = f"of {total}: {same} the same, {len(differ)} not, {unsure} open"
    if differ:
        reason = f"{reason}; {first(differ)}"
    elif unsure:
        reason = f"{reason}; {OPEN}"
    published, measured = (listed([value.text for value in side]) for side in (left, right))
    margin = claim.by if claim.above is None else f"> {claim.above}"
    return Decided(outcome, published, measured, margin, reason, tuple(working))


def _compared(
    left: Sequence[Published], right: Sequence[Published], claim: ConcordanceClaim
) -> Iterator[tuple[str, Signs, Signs, dict[int, str]]]:
    """Where, what the left series can do there, what the right one can, and its words."""
    both = list(zip(left, right, strict=True))
    if claim.above is not None:
        for one, other in both:
            at = pair(one, other)
            yield at, _above(one, claim.above), _above(other, claim.above), _SPIKES
        return
    steps = pairwise(both) if claim.by == "steps" else combinations(both, 2)
    for (one, other), (one_next, other_next) in steps:
        where = f"{_step(one, one_next)} and {_step(other, other_next)}"
        yield where, _signs(one, one_next), _signs(other, other_next), _STEPS


def _signs(one: Published, then: Published) -> Signs:
    return interval(then.text).signs(interval(one.text))


def _above(value: Published, limit: str) -> Signs:
    """1 if a value can lie above the limit, 0 if it can lie at the limit or below."""
    at = Decimal(limit)
    return frozenset(max(sign, 0) for sign in interval(value.text).signs(Interval(at, at)))


def _step(one: Published, then: Published) -> str:
    return f"{label(one)} {one.text} to {label(then)} {then.text}"


def _words(signs: Signs, names: dict[int, str]) -> str:
    return " or ".join(word for sign, word in names.items() if sign in signs)


# -----------------------------------------------------------------------------
# Whether two measured series follow the same trend.

_ANY: Signs = frozenset({-1, 0, 1})


def measured_concordance(manifest: Manifest, claim: ConcordanceClaim, evidence: Evidence) -> Judged:
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
        means, draws = zip(
            *(_measured_signs(claim, side, place, h, tests) for side in series), strict=True
        )
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


def _measured_signs(
    claim: ConcordanceClaim, side: Sequence[Arms], place: tuple[int, ...], h: float, tests: int
) -> tuple[Signs, Signs]:
    """What one series does at a place: by its mean, and by another draw."""
    chosen = [side[index] for index in place]
    if claim.above is not None:
        found = noise.of(chosen[0].divergences, chosen[0].least_spread, tests)
        limit = float(claim.above)
        return _span_above(found.mean, limit, h), _span_above(found.draw, limit, h)
    if any(each.at_the_floor for each in chosen):
        return _ANY, _ANY
    found = noise.difference(chosen[1], chosen[0], tests)
    return _way(found.mean, 2 * h), _way(found.draw, 2 * h)


def _span_above(span: Span, limit: float, h: float) -> Signs:
    low, high = noise.widened(span, h)
    return frozenset({1} if low > limit else {0} if high <= limit else {0, 1})


def _way(span: Span, h: float) -> Signs:
    low, high = noise.widened(span, h)
    return frozenset({1} if low > 0 else {-1} if high < 0 else _ANY)
