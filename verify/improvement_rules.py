"""Claims about the improvement with shots: a printed ratio, and sentences.

A sentence is a formula over conditions "this statistic is positive". Under the confidence
intervals of the means over settings a condition holds surely, possibly or not; so does the formula.
`reproduced` if it surely holds; `contradicted` if it cannot hold even for another draw (prediction
intervals). The error rate is shared out over the conditions (Bonferroni). The sampling of questions
stands in the working and is never the tolerance, but for "slight or detrimental": a slight
improvement is one within two standard errors of the questions.

Reference: paper v2, sections 5.2 and 5.3.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from repro.manifest import Manifest
from repro.model_claims import CellClaim
from repro.plural import counted
from repro.tuned_claims import ImprovementClaim, ImprovementRatio
from repro.tuned_models import models_of
from verify import improvement, shown, spreads
from verify.arms import mean
from verify.benchmark_records import Metric
from verify.decided import Decided, Judged
from verify.decision import Decision, decide
from verify.evidence import Evidence
from verify.improvement import METRICS, PLAIN, SHOTS, Model, Series
from verify.improvement_relations import RELATIONS, Sentence, truth

if TYPE_CHECKING:
    from repro.finding import Outcome


def ratio(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> Judged:
    """A printed ratio of improvements against that under each setting, in percent."""
    measure = claim.measure
    assert isinstance(measure, ImprovementRatio)  # noqa: S101  # the dispatch saw to it
    found = improvement.models(manifest, evidence, models_of(measure))
    sides = _sides(measure, found.models, METRICS)
    values, floor = _ratio(*sides)
    plain, _ = _ratio(*_sides(measure, found.models, PLAIN))
    published, margin = manifest.text_of(claim.published), claim.margin.value

    def decided(text: str) -> Decision:
        return decide(values, text, margin, least_spread=floor)

    decision = decided(published)
    others = _other_texts(manifest, measure, published)
    accepted = [decided(text).outcome for text in others].count("reproduced")
    working = (
        *(_line(each, SHOTS) for each in found.models),
        f"with acc of all five benchmarks the ratio is {mean(plain):.1f}",
        shown.power(decision),
        f"{accepted} of {len(others)} other values printed for this reading would be accepted",
    )
    judged = shown.number(decision, values, published, margin, working, found.loaded)
    return shown.enough(_divisible(judged, sides[1]), found.settings, found.repeated)


def _sides(
    measure: ImprovementRatio, models: Sequence[Model], metrics: Mapping[str, Metric]
) -> tuple[list[Series], list[Series]]:
    """What is divided by what: the means of both sides, or size by size."""
    found = [each.improvement(SHOTS, measure.unit, metrics) for each in models]
    left, right = found[: len(measure.left)], found[len(measure.left) :]
    if measure.average == "ratio-first":
        return left, right
    return [_mean_of(left)], [_mean_of(right)]


def _mean_of(each: Sequence[Series]) -> Series:
    values = tuple(mean(row) for row in zip(*(one.values for one in each), strict=True))
    return Series(values, math.hypot(*(one.floor for one in each)) / len(each))


def _ratio(left: Sequence[Series], right: Sequence[Series]) -> tuple[list[float], float]:
    """Mean over pairs of 100 left / right under each setting, and its floor by the delta method."""
    columns, floors = [], []
    for one, other in zip(left, right, strict=True):
        found = [_percent(a, b) for a, b in zip(one.values, other.values, strict=True)]
        columns.append(found)
        middle = abs(mean(other.values)) or math.nan
        floors.append(math.hypot(100 * one.floor, mean(found) * other.floor) / middle)
    values = [mean(row) for row in zip(*columns, strict=True)]
    return values, math.hypot(*floors) / len(floors)


def _percent(a: float, b: float) -> float:
    return 100 * a / b if b else math.nan


def _divisible(judged: Judged, divisors: Sequence[Series]) -> Judged:
    """A ratio is decided only if what is divided by is surely not 0."""
    spans = [spreads.of_finite(each.values, each.floor, len(divisors)).draw for each in divisors]
    around = [span for span in spans if span[0] <= 0 <= span[1]]
    if not around:
        return judged
    ends = shown.ends(around[0], len(divisors[0].values), "95 % of draws from {:.2f} to {:.2f}")
    what = f"the improvement that is divided by may be 0: {ends}"
    decided = judged.decided
    decided = replace(decided, outcome="inconclusive", reason=f"{what}; {decided.reason}")
    return replace(judged, decided=decided, p_contradicted=1.0)


def _other_texts(manifest: Manifest, measure: ImprovementRatio, published: str) -> list[str]:
    """Other values printed of ratios, those that this reading is a reading of, each once."""
    texts = [
        manifest.text_of(each.published)
        for each in manifest.claims
        if isinstance(each, CellClaim)
        and isinstance(each.measure, ImprovementRatio)
        and (each.measure.unit, each.measure.average) == (measure.unit, measure.average)
    ]
    return [text for text in dict.fromkeys(texts) if text != published]


# -----------------------------------------------------------------------------
# Sentences


def relation(manifest: Manifest, claim: ImprovementClaim, evidence: Evidence) -> Judged:
    """A sentence about improvements against what was measured."""
    found = improvement.models(manifest, evidence, models_of(claim))
    of, others = found.models[: len(claim.of)], found.models[len(claim.of) :]
    outcome, reason, seen = settle(RELATIONS[claim.relation](of, others, claim.shots))
    values = [mean(each.improvement(claim.shots, "relative").values) for each in of]
    measured = f"AIPSS {_range(values)} %"
    working = tuple(_line(each, claim.shots) for each in found.models)
    decided = Decided(outcome, claim.relation, measured, "order", reason, working)
    direction = f"points to {claim.relation}" if seen else f"points away from {claim.relation}"
    return shown.enough(Judged(decided, direction, found.loaded), found.settings, found.repeated)


def settle(sentence: Sentence) -> "tuple[Outcome, str, bool]":
    """Outcome and reason of a sentence, and whether the means over settings alone would have it."""
    tests = len(sentence.conditions)
    spans = [spreads.of_finite(e.values, e.floor, tests) for e in sentence.conditions]
    by_mean, by_draw = [truth(e.mean) for e in spans], [truth(e.draw) for e in spans]
    outcome: Outcome = "inconclusive"
    if sentence.formula(by_mean)[0]:
        outcome = "reproduced"
    elif not sentence.formula(by_draw)[1]:
        outcome = "contradicted"
    sure, possible = (sum(each[side] for each in by_mean) for side in (0, 1))
    reason = (
        f"of {counted(tests, 'condition')} {sure} surely hold, {tests - possible} surely do not; "
        f"of another draw {tests - sum(each[1] for each in by_draw)} surely would not"
    )
    return outcome, reason, sentence.formula([truth((e.value, e.value)) for e in spans])[0]


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:+.2f}" if len(values) == 1 else f"{low:+.2f} to {high:+.2f}"


def _line(model: Model, shots: Sequence[int]) -> str:
    """One model in the working: AIPSS with its sampling error, by shots, and other readings."""
    aipss = model.improvement(shots, "relative")
    error = mean(model.sampling(shots, "relative").values)
    by_shots = ", ".join(
        f"{mean(model.improvement([k], 'relative').values):+.2f} at {k}" for k in shots
    )
    points = mean(model.improvement(shots, "points").values)
    plain = mean(model.improvement(shots, "relative", PLAIN).values)
    return (
        f"{model.name}: {mean(aipss.values):+.2f} % (settings {_range(aipss.values)}; sampling of "
        f"questions ± {error:.2f}), {by_shots}; {points:+.2f} points; by acc alone {plain:+.2f} %"
    )
