"""Claims about the paper's models, decided from evaluations.

A printed number is decided on the divergence, the statistic that was printed. It is folded and
positive when nothing happened: where the larger of two is what coin flips alone would give, they
support no comparison (an ordering, "on par"), and neither is such a one above a threshold.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np

from repro.schema.causes import Cause, Estimate, cause
from repro.schema.claim_base import Published
from repro.schema.finding import Outcome
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim, CountClaim, Divergence, MeanClaim, OrderingClaim
from verify import noise, shown
from verify.decidable import input_rounding
from verify.decision_rule import Decision, decide
from verify.decision_rule import mean as average
from verify.evidence import Evidence
from verify.noise import Intervals
from verify.outcome import JudgedClaim, RuleDecision
from verify.paired import (
    POINTS,
    Compared,
    Pair,
    PairedCells,
    by_cast_mode,
    divergence,
    gained,
    pair_cells,
)
from verify.records import answers
from verify.records.checked_record import CheckedRecord


def cell(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> JudgedClaim:
    """A printed divergence against the divergence under each setting."""
    found = pair_cells(manifest, [claim], evidence)
    published = manifest.text_of(claim.published)
    rounding = input_rounding(manifest, claim, [claim])
    decision = _decide(found, published, claim.margin.value, rounding)
    lost, won = found.flips()
    working = (
        cause("flips", lost=lost, won=won),
        cause("mixed-precision-as", arm="weight-cast"),
        *shown.what_it_notices(decision, _on_other_values(manifest, claim, found, rounding)),
    )
    estimates = (
        *nulls(found),
        *accuracies([found]),
        *ties(found),
        *by_arms(by_cast_mode(manifest, claim, evidence)),
    )
    printed = manifest.printed(claim.published)
    return number(found, decision, printed, claim.margin.value, working, estimates, evidence)


def mean(manifest: Manifest, claim: MeanClaim, evidence: Evidence) -> JudgedClaim:
    """A printed mean against the mean of the measured cells, setting by setting."""
    assert claim.margin is not None  # noqa: S101  # the manifest was checked when it was loaded
    cells = [manifest.cell(name) for name in claim.of]
    found = pair_cells(manifest, cells, evidence)
    published = manifest.text_of(claim.published)
    rounding = input_rounding(manifest, claim, cells)
    decision = _decide(found, published, claim.margin.value, rounding)
    working, margin = (shown.power_of(decision),), claim.margin.value
    printed = manifest.printed(claim.published)
    return number(found, decision, printed, margin, working, nulls(found), evidence)


def count(manifest: Manifest, claim: CountClaim, evidence: Evidence) -> JudgedClaim:
    """A printed count against the number of measured cells above the threshold."""
    published, limit = manifest.text_of(claim.published), float(claim.above)
    cells = [manifest.cell(name) for name in claim.of]
    each = [pair_cells(manifest, [one], evidence) for one in cells]
    h = max(float(input_rounding(manifest, one, [one])) for one in cells)
    sure, possible = count_above(each, limit, h)
    outcome, measured, direction = shown.count_sides(int(published), sure, possible)
    why = counted_above(len(each), sure, possible, claim.above)
    named = zip(cells, each, strict=True)
    estimates = [number for one, side in named for number in divergence_of(one.id, side)]
    decided = RuleDecision(outcome, published, measured, "exact", (why,), (), tuple(estimates))
    loaded = [record for one in each for record in one.loaded]
    return require_settings(JudgedClaim(decided, direction, loaded), each)


def count_above(each: Sequence[Compared], limit: float, h: float) -> tuple[int, int]:
    """How many divergences another draw would surely, and could possibly, show above a limit.

    The error rate is shared out over them; what is at the floor is never surely above.
    """
    spans = [noise.widened(noise.intervals_of(one.sample, len(each)).draw, h) for one in each]
    above = [
        low > limit and not one.at_the_floor for (low, _), one in zip(spans, each, strict=True)
    ]
    return sum(above), sum(high > limit for _, high in spans)


def counted_above(total: int, sure: int, possible: int, above: str) -> Cause:
    """How many of some divergences are above a limit."""
    return cause("counted-above", total=total, sure=sure, possible=possible, above=above)


def ordering(manifest: Manifest, claim: OrderingClaim, evidence: Evidence) -> JudgedClaim:
    """A printed ordering against the measured means of both sides."""
    cells = [[manifest.cell(name) for name in side] for side in (claim.left, claim.right)]
    left, right = (pair_cells(manifest, side, evidence) for side in cells)
    # Both means are differences of accuracies that may have been rounded first.
    h = 2 * max(float(input_rounding(manifest, one, [one])) for side in cells for one in side)
    gap = noise.difference_intervals(left.sample, right.sample)
    _, published, opposite = _RELATIONS[claim.relation]
    outcome, why, seen = compare(claim.relation, left, right, h)
    larger = left if gap.value > 0 else right
    measured = f"{average(left.divergences):.3f} and {average(right.divergences):.3f}"
    estimates = [*shown.estimate("difference, left less right", gap.value, gap.mean, POINTS)]
    for side, one in (("left", left), ("right", right)):
        estimates += [*divergence_of(f"the {side} side", one), *nulls(one, f", {side}")]
    spread = noise.intervals_of(right.ranges)
    estimates += shown.estimate("range of the right side", spread.value, spread.mean, POINTS)
    decided = RuleDecision(outcome, published, measured, "order", tuple(why), (), tuple(estimates))
    decided = shown.not_here(decided, evidence.run.tier, away=not seen and not larger.at_the_floor)
    direction = cause("points-to-relation", relation=published if seen else opposite)
    return require_settings(
        JudgedClaim(decided, direction, left.loaded + right.loaded), [left, right]
    )


def compare(
    relation: str, left: Compared, right: Compared, h: float
) -> tuple[Outcome, list[Cause], bool]:
    """How two divergences stand to each other: outcome, why, and whether the means would have it.

    Args:
        relation: Of the left side to the right one.
        left: Some cells.
        right: Some others.
        h: What rounding of both can add or take away.
    """
    gap = noise.difference_intervals(left.sample, right.sample)
    outcome, code, seen = _RELATIONS[relation][0](left, right, gap, h)
    alone = min(len(left.sample.values), len(right.sample.values)) == 1
    why = [cause("no-spread") if alone else cause(code)]
    name, larger = ("left", left) if gap.value > 0 else ("right", right)
    if larger.at_the_floor:
        outcome = "inconclusive"
        why = [cause("at-the-floor"), cause("floor-of", sides=name), *why]
    return outcome, why, seen


def _at_most(_: Compared, __: Compared, gap: Intervals, h: float) -> tuple[Outcome, str, bool]:
    """The divergence of the left side is not larger."""
    seen = gap.value <= 0
    if gap.mean[1] + h <= 0:
        return "reproduced", "not-larger", seen
    if gap.draw[0] - h > 0:
        return "contradicted", "larger", seen
    return "inconclusive", "order-open", seen


def _smaller_beyond_null(
    left: Compared, right: Compared, gap: Intervals, h: float
) -> tuple[Outcome, str, bool]:
    """The left side diverges less, by more than coin flips would give: significantly."""
    held, seen = beyond_null(left, right, gap, h), gap.value < -max(left.null, right.null)
    if held > 0:
        return "reproduced", "smaller-beyond-null", seen
    return (
        ("contradicted", "not-beyond-null", seen) if held else ("inconclusive", "order-open", seen)
    )


def beyond_null(left: Compared, right: Compared, gap: Intervals, h: float) -> int:
    """1 if the left side is surely below by more than the null, -1 if surely not, else 0.

    Args:
        left: What is said to diverge significantly less.
        right: What it is held against.
        gap: Divergence of the left side less that of the right.
        h: What rounding of the accuracies can add or take away.
    """
    null = max(left.null, right.null)
    if gap.mean[1] + h < -null:
        return 1
    return -1 if gap.draw[0] - h >= -null else 0


def _within_spread(
    _: Compared, right: Compared, gap: Intervals, h: float
) -> tuple[Outcome, str, bool]:
    """The two sides differ by less than the cells of the right side among themselves."""
    spread = noise.intervals_of(right.ranges)
    seen = abs(gap.value) < spread.value
    if noise.absolute(gap.mean)[1] + 2 * h < spread.mean[0]:
        return "reproduced", "surely-within-spread", seen
    if noise.absolute(gap.draw)[0] - 2 * h >= spread.draw[1]:
        return "contradicted", "surely-beyond-spread", seen
    return "inconclusive", "order-open", seen


_Relation = Callable[[Compared, Compared, Intervals, float], tuple[Outcome, str, bool]]
"""Outcome, code of why, and whether the means alone would have it."""

_RELATIONS: Mapping[str, tuple[_Relation, str, str]] = {
    "at-most": (_at_most, "left ≤ right", "left > right"),
    "smaller-beyond-null": (_smaller_beyond_null, "left < right - null", "left ≥ right - null"),
    "within-spread": (_within_spread, "within spread", "beyond spread"),
}
"""By the name that a claim gives: the rule, what is claimed, and the opposite."""


def _decide(found: PairedCells, published: str, margin: str, rounding: Decimal) -> Decision:
    return decide(
        found.sample,
        published,
        margin,
        least_spread=found.least_spread,
        input_rounding=rounding,
        null=found.null,
    )


def number(  # noqa: PLR0917  # what a finding has
    found: PairedCells,
    decision: Decision,
    printed: Published,
    margin: str,
    working: tuple[Cause, ...],
    estimates: tuple[Estimate, ...],
    evidence: Evidence,
) -> JudgedClaim:
    """What the divergences of some cells say about one printed number."""
    judged = shown.decided_number(
        decision,
        found.sample,
        printed,
        margin,
        (*working, found.machine_share),
        found.loaded,
        estimates,
        tier=evidence.run.tier,
    )
    return require_settings(replace(judged, decided=at_floor(judged.decided, found)), [found])


def at_floor(decided: RuleDecision, found: PairedCells) -> RuleDecision:
    """The same, saying where a divergence is what nothing looks like: it is never reproduced."""
    if not found.at_the_floor:
        return decided
    return decided.because(cause("at-the-floor"), outcome="inconclusive")


def require_settings(judged: JudgedClaim, found: Sequence[PairedCells]) -> JudgedClaim:
    """Too few settings that gave numbers of their own decide nothing."""
    least = min(found, key=lambda each: len(each.rows))
    return shown.require_settings(judged, len(least.rows), least.repeated)


def _on_other_values(
    manifest: Manifest, claim: CellClaim, found: PairedCells, rounding: Decimal
) -> list[Decision]:
    """What these numbers say about each other value printed for this dtype."""
    assert isinstance(claim.measure, Divergence)  # noqa: S101  # arms() saw to it
    others = [
        manifest.text_of(each.published)
        for each in manifest.claims
        if isinstance(each, CellClaim)
        and isinstance(each.measure, Divergence)
        and each.measure.dtype == claim.measure.dtype
        and each.id != claim.id
    ]
    return [_decide(found, text, claim.margin.value, rounding) for text in others]


def divergence_of(name: str, found: PairedCells) -> tuple[Estimate, ...]:
    """Mean divergence over settings, with its interval."""
    span = noise.intervals_of(found.sample).mean
    return shown.estimate(f"divergence of {name}", found.sample.mean, span, POINTS)


def nulls(found: PairedCells, of: str = "") -> tuple[Estimate, ...]:
    """What nothing looks like."""
    return shown.estimate(f"null divergence{of}", found.null, unit=POINTS)


def accuracies(every: Sequence[PairedCells]) -> tuple[Estimate, ...]:
    """How right the references are, beside who always gives the same answer; percent."""
    lows, highs, commonest = zip(*(each.reference_accuracy() for each in every), strict=True)
    found = {
        "least accuracy of a reference": min(lows),
        "greatest accuracy of a reference": max(highs),
        "share of the commonest answer": max(commonest),
    }
    return tuple(n for name, e in found.items() for n in shown.estimate(name, 100 * e, unit="%"))


# -----------------------------------------------------------------------------
# Where a divergence comes from, beside what is decided: nothing here is a verdict.
#
# In half precision the output layer rounds logits, so that options tie exactly, and the first
# letter wins. The manifest's facts HEAD.* say in which dtype lm-eval sees log-likelihoods.


def ties(found: PairedCells) -> Iterator[Estimate]:
    """Exact ties of the candidate, and the divergence if each shares its credit; over settings."""
    pairs = [pair for row in found.rows for pair in row]
    if any(each.answers_alone for pair in pairs for each in pair):
        return
    counts = [sum(answers.ties(_scores(each, k)) for k in each.shots()) for _, each in pairs]
    yield from shown.estimate("exact ties, all shots", average(counts), unit="answers")
    shared = [answers.divergence(*(_shared(each) for each in pair)) for pair in pairs]
    yield from shown.estimate("divergence, ties sharing credit", average(shared), unit=POINTS)


def by_arms(pairs: Mapping[str, Pair]) -> Iterator[Estimate]:
    """Divergence by each way of mixed precision, and what the output layer does, first setting."""
    for arm, pair in pairs.items():
        yield from shown.estimate(f"{arm}, first setting", divergence(*pair), unit=POINTS)
    if HEAD in pairs and "weight-cast" in pairs:
        net, reach = head_difference(pairs["weight-cast"][1], pairs[HEAD][1])
        yield from shown.estimate(
            "accuracy by its own output layer less by one in float32, first setting",
            net,
            (net - reach, net + reach),
            POINTS,
        )


HEAD = "float32-head"
"""Arm whose output layer and log-softmax take float32, over the same body."""


def head_difference(own: CheckedRecord, wide: CheckedRecord) -> tuple[float, float]:
    """Accuracy by the model's own output layer less that by one in float32, and how far it is off.

    Returns:
        Mean over shots, signed, and the reach of its 95 % interval in percentage points: gains and
        losses among the answers that the layer changes, McNemar's.
    """
    changed = gained(wide, own)
    unit = 100 / changed.size
    return float(changed.sum()) * unit, _NORMAL * float(np.count_nonzero(changed)) ** 0.5 * unit


_NORMAL = 1.959964
"""Quantile of the normal distribution, 0.975."""


def _scores(loaded: CheckedRecord, shots: int) -> answers.Scores:
    scores: answers.Scores = loaded.arrays[f"shots{shots}/log_likelihood"]
    return scores


def _shared(loaded: CheckedRecord) -> list[float]:
    """Accuracies at each number of shots, ties sharing credit."""
    each = loaded.shots()
    return [answers.shared_credit(_scores(loaded, k), loaded.gold(k)) for k in each]
