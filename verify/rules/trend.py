"""Trends of printed values: rising, falling, and the same in two series."""

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import combinations, pairwise
from typing import Literal

from repro.decimals import Interval, printed_interval
from repro.schema.causes import Cause, Estimate, cause
from repro.schema.claim_base import Published
from repro.schema.finding import Outcome
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim, ConcordanceClaim
from verify import noise
from verify.decidable import input_rounding
from verify.decision_rule import mean
from verify.evidence import Evidence
from verify.noise import Span
from verify.outcome import (
    OPEN,
    JudgedClaim,
    RuleDecision,
    first_few_texts,
    first_lines,
    outcome_of_bounds,
    pair_in_words,
    place_label,
)
from verify.paired import Compared, PairedCells, pair_cells
from verify.rules.model import require_settings

Signs = frozenset[int]
"""What is possible inside the rounding intervals: 1 up or above, 0 level, -1 down."""

_STEPS = {1: "rises", 0: "stays", -1: "falls"}
_SPIKES = {1: "above", 0: "not above"}
_PLACES = {"steps": "steps", "ranks": "pairs", "spikes": "places"}


def monotone(values: Sequence[Published], direction: Literal["rising", "falling"]) -> RuleDecision:
    """Each value above the one before, or below it.

    Any later value is compared with any earlier one: where steps look possible one by one,
    two values further apart may still rule out the whole.
    """
    wanted = 1 if direction == "rising" else -1
    never = [
        cause("never", step=_step(*both), direction=direction)
        for both in combinations(values, 2)
        if wanted not in _signs(*both)
    ]
    steps, unsure = [], []
    for both in pairwise(values):
        steps.append(cause("step-goes", step=_step(*both), ways=_words(_signs(*both), _STEPS)))
        if _signs(*both) != {wanted}:
            unsure.append(steps[-1])
    if never:
        why = first_lines(never)
    elif unsure:
        why = (*first_lines(unsure), OPEN)
    else:
        why = (cause("every-step", steps=len(steps), direction=direction),)
    outcome = outcome_of_bounds(sure=not unsure, possible=not never)
    measured = first_few_texts([value.text for value in values])
    return RuleDecision(outcome, direction, measured, "order", why, (*steps, *never))


def concordance(
    left: Sequence[Published], right: Sequence[Published], claim: ConcordanceClaim
) -> RuleDecision:
    """Both series do the same at every step, pair or place.

    Places are judged one by one; what only several of them together could rule out is left
    open.
    """
    same, differ, unsure, working = 0, [], 0, []
    for where, one, other, names in _compared(left, right, claim):
        ways = {"left": _words(one, names), "right": _words(other, names)}
        line = cause("place", where=where, **ways)
        working.append(line)
        if not one & other:
            differ.append(line)
        elif len(one | other) == 1:
            same += 1
        else:
            unsure += 1
    outcome = outcome_of_bounds(sure=not unsure, possible=not differ)
    why = (_agreeing(claim, same, len(differ), len(working)), *first_lines(differ))
    if outcome == "inconclusive":
        why = (*why, OPEN)
    published, measured = (
        first_few_texts([value.text for value in side]) for side in (left, right)
    )
    margin = claim.by if claim.above is None else f"> {claim.above}"
    return RuleDecision(outcome, published, measured, margin, why, tuple(working))


def _agreeing(claim: ConcordanceClaim, same: int, differ: int, total: int) -> Cause:
    """At how many places two series do the same for sure, and at how many they cannot."""
    counts = {"same": same, "differ": differ, "open": total - same - differ, "total": total}
    return cause("places-agree", places=_PLACES[claim.by], **counts)


def _compared(
    left: Sequence[Published], right: Sequence[Published], claim: ConcordanceClaim
) -> Iterator[tuple[str, Signs, Signs, dict[int, str]]]:
    """Where, what the left series can do there, what the right one can, and its words."""
    both = list(zip(left, right, strict=True))
    if claim.above is not None:
        for one, other in both:
            at = pair_in_words(one, other)
            yield at, _above(one, claim.above), _above(other, claim.above), _SPIKES
        return
    steps = pairwise(both) if claim.by == "steps" else combinations(both, 2)
    for (one, other), (one_next, other_next) in steps:
        where = f"{_step(one, one_next)} and {_step(other, other_next)}"
        yield where, _signs(one, one_next), _signs(other, other_next), _STEPS


def _signs(one: Published, then: Published) -> Signs:
    return printed_interval(then.text).signs(printed_interval(one.text))


def _above(value: Published, limit: str) -> Signs:
    """1 if a value can lie above the limit, 0 if it can lie at the limit or below."""
    at = Decimal(limit)
    return frozenset(max(sign, 0) for sign in printed_interval(value.text).signs(Interval(at, at)))


def _step(one: Published, then: Published) -> str:
    return f"{place_label(one)} {one.text} to {place_label(then)} {then.text}"


def _words(signs: Signs, names: dict[int, str]) -> str:
    return " or ".join(word for sign, word in names.items() if sign in signs)


# -----------------------------------------------------------------------------
# Whether two measured series follow the same trend.

_ANY: Signs = frozenset({-1, 0, 1})
_POINTS = "points"


def measured_concordance(
    manifest: Manifest, claim: ConcordanceClaim, evidence: Evidence
) -> JudgedClaim:
    """Both series go the same way at every step or pair, or spike at the same places.

    `reproduced` if the confidence intervals leave one sign at each, the same in both series;
    `contradicted` if the prediction intervals leave opposite signs at one; whether something lies
    above a threshold, prediction intervals say alone. The error rate is shared out over all
    comparisons (Bonferroni). Of two values, the larger at the floor, there is no order.
    """
    cells = [[manifest.cell(name) for name in side] for side in (claim.left, claim.right)]
    series = [[pair_cells(manifest, [cell], evidence) for cell in side] for side in cells]
    h = max(float(input_rounding(manifest, cell, [cell])) for side in cells for cell in side)
    places = _places(claim, len(claim.left))
    outcome, same, differ = decide_concordance(claim, series, h)
    why: tuple[Cause, ...] = (_agreeing(claim, same, differ, len(places)),)
    if outcome == "inconclusive":
        why = (*_weaker(claim, series, places), *why)
    shown = [", ".join(f"{mean(each.divergences):.2f}" for each in s) for s in series]
    estimates = tuple(
        _mean_of(cell, each)
        for side, several in zip(cells, series, strict=True)
        for cell, each in zip(side, several, strict=True)
    )
    decided = RuleDecision(outcome, shown[1], shown[0], claim.by, why, estimates=estimates)
    every = [each for side in series for each in side]
    loaded = [record for each in every for record in each.loaded]
    direction = cause("agreement", same=same, total=len(places))
    return require_settings(JudgedClaim(decided, direction, loaded), every)


def decide_concordance(
    claim: ConcordanceClaim, series: Sequence[Sequence[Compared]], h: float
) -> tuple[Outcome, int, int]:
    """Outcome of two series, and at how many places they surely agree and surely do not.

    Args:
        claim: What is compared.
        series: Both, one member a cell.
        h: What rounding of one cell can add or take away.
    """
    places = _places(claim, len(series[0]))
    same, differ = 0, 0
    for place in places:
        means, draws = zip(
            *(_measured_signs(claim, side, place, h, 2 * len(places)) for side in series),
            strict=True,
        )
        same += len(means[0] | means[1]) == 1
        differ += not draws[0] & draws[1]
    if differ:
        return "contradicted", same, differ
    return ("reproduced" if same == len(places) else "inconclusive"), same, differ


def _mean_of(cell: CellClaim, measured: PairedCells) -> Estimate:
    """A cell's divergence, mean over settings; a single one has no interval."""
    found = noise.intervals_of(measured.sample)
    low, high = found.mean if math.isfinite(found.mean[0]) else (None, None)
    return Estimate(label=cell.id, value=found.value, low=low, high=high, unit=_POINTS)


def _weaker(
    claim: ConcordanceClaim,
    series: Sequence[Sequence[PairedCells]],
    places: Sequence[tuple[int, ...]],
) -> Iterator[Cause]:
    """What an open comparison may be called: one of nothing, or one that the means gainsay."""
    if claim.above is None and any(_of_nothing(side, at) for side in series for at in places):
        yield cause("at-the-floor")
        return
    left, right = ([each.sample.mean for each in side] for side in series)
    if any(_way_of(claim, left, place) != _way_of(claim, right, place) for place in places):
        yield cause("not-reproduced-here")


def _of_nothing(side: Sequence[Compared], place: tuple[int, ...]) -> bool:
    """Whether even the larger of two values that are compared is at the floor."""
    return max((side[at] for at in place), key=lambda each: each.sample.mean).at_the_floor


def _way_of(claim: ConcordanceClaim, means: Sequence[float], place: tuple[int, ...]) -> int:
    if claim.above is not None:
        return int(means[place[0]] > float(claim.above))
    step = means[place[1]] - means[place[0]]
    return (step > 0) - (step < 0)


def _places(claim: ConcordanceClaim, count: int) -> list[tuple[int, ...]]:
    """Indices that are compared: single values for spikes, else two of them."""
    if claim.by == "spikes":
        return [(index,) for index in range(count)]
    return list(pairwise(range(count)) if claim.by == "steps" else combinations(range(count), 2))


def _measured_signs(
    claim: ConcordanceClaim,
    side: Sequence[Compared],
    place: tuple[int, ...],
    h: float,
    tests: int,
) -> tuple[Signs, Signs]:
    """What one series does at a place: by its mean, and by another draw."""
    chosen = [side[index] for index in place]
    if claim.above is not None:
        drawn = _span_above(noise.intervals_of(chosen[0].sample, tests).draw, float(claim.above), h)
        return drawn, drawn
    if _of_nothing(side, place):
        return _ANY, _ANY
    found = noise.difference_intervals(chosen[1].sample, chosen[0].sample, tests)
    return _direction(found.mean, 2 * h), _direction(found.draw, 2 * h)


def _span_above(span: Span, limit: float, h: float) -> Signs:
    low, high = noise.widened(span, h)
    return frozenset({1} if low > limit else {0} if high <= limit else {0, 1})


def _direction(span: Span, h: float) -> Signs:
    low, high = noise.widened(span, h)
    return frozenset({1} if low > 0 else {-1} if high < 0 else _ANY)
