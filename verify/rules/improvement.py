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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

from repro.schema.causes import Cause, Estimate, cause
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim
from repro.schema.tuned_claims import ImprovementClaim, ImprovementRatio
from repro.schema.tuned_slots import models_of
from verify import noise, shown
from verify.decision_rule import Decision, Sample, mean
from verify.evidence import Evidence
from verify.noise import Span
from verify.outcome import JudgedClaim, RuleDecision
from verify.rules import improvement_values
from verify.rules.improvement_values import (
    SHOTS,
    MeasuredModel,
    Series,
    decide_ratio,
    mean_of,
    ratios,
)

if TYPE_CHECKING:
    from repro.schema.finding import Outcome


# -----------------------------------------------------------------------------
# What a sentence about improvements says, as a formula over conditions.
#
# A condition is a statistic, that is to be positive. A truth is a pair: whether something surely
# holds and whether it possibly does, so that formulas can be followed with what is not known.

Truth = tuple[bool, bool]
Formula = Callable[[Sequence[Truth]], Truth]
Shots = Sequence[int]

SLIGHT = 2
"""Standard errors of the sampling of questions."""


@dataclass(frozen=True)
class Sentence:
    """Statistics that are to be positive, and what is said of them together."""

    conditions: list[Series]
    formula: Formula


Relation = Callable[[Sequence[MeasuredModel], Sequence[MeasuredModel], Shots], Sentence]


def is_positive(span: Span) -> Truth:
    """Whether what lies in an interval is positive."""
    low, high = span
    return low > 0, high > 0


# -----------------------------------------------------------------------------
# Formulas


def negated(one: Truth) -> Truth:
    """Not."""
    return not one[1], not one[0]


def all_of(each: Sequence[Truth]) -> Truth:
    """All of them."""
    return all(sure for sure, _ in each), all(possible for _, possible in each)


def none_of(each: Sequence[Truth]) -> Truth:
    """Not one of them."""
    return all_of([negated(one) for one in each])


def at_least(number: int) -> Formula:
    """So many of them."""
    return lambda each: (
        sum(sure for sure, _ in each) >= number,
        sum(possible for _, possible in each) >= number,
    )


def in_groups(size: int, inner: Formula, outer: Formula) -> Formula:
    """`outer` of what `inner` says of each group of so many conditions."""
    return lambda each: outer([inner(each[at : at + size]) for at in range(0, len(each), size)])


def _majority(count: int) -> Formula:
    """More than half of so many: what "the majority" and "most" mean wherever they stand."""
    return at_least(count // 2 + 1)


# -----------------------------------------------------------------------------
# Sentences: of some models, others, shot counts


def _aipss(models: Sequence[MeasuredModel], shots: Shots) -> list[Series]:
    return [model.improvement(shots, "relative") for model in models]


def _throughout(models: Sequence[MeasuredModel], shots: Shots) -> list[Series]:
    """Improvement at each shot count by itself, model by model."""
    return [model.improvement([k], "relative") for model in models for k in shots]


def _steps(models: Sequence[MeasuredModel], shots: Shots) -> list[Series]:
    """What the mean score gains from each shot count to the next, model by model."""
    return [
        model.score(after) - model.score(before)
        for model in models
        for before, after in pairwise((0, *shots))
    ]


def _none_positive(
    of: Sequence[MeasuredModel], _: Sequence[MeasuredModel], shots: Shots
) -> Sentence:
    beyond = []
    for model in of:
        found, error = model.improvement(shots, "relative"), model.sampling(shots, "relative")
        pairs = zip(found.values, error.values, strict=True)
        values = tuple(value - SLIGHT * e for value, e in pairs)
        beyond.append(Series(values, found.floor, found.machine))
    return Sentence(beyond, none_of)


def _most_positive(
    of: Sequence[MeasuredModel], _: Sequence[MeasuredModel], shots: Shots
) -> Sentence:
    return Sentence(_aipss(of, shots), _majority(len(of)))


def _all_positive(
    of: Sequence[MeasuredModel], _: Sequence[MeasuredModel], shots: Shots
) -> Sentence:
    return Sentence(_aipss(of, shots), all_of)


def _most_throughout(
    of: Sequence[MeasuredModel], _: Sequence[MeasuredModel], shots: Shots
) -> Sentence:
    formula = in_groups(len(shots), all_of, _majority(len(of)))
    return Sentence(_throughout(of, shots), formula)


def _rising(of: Sequence[MeasuredModel], _: Sequence[MeasuredModel], shots: Shots) -> Sentence:
    return Sentence(_steps(of, shots), all_of)


def _not_rising(of: Sequence[MeasuredModel], _: Sequence[MeasuredModel], shots: Shots) -> Sentence:
    formula = in_groups(len(shots), lambda steps: negated(all_of(steps)), all_of)
    return Sentence(_steps(of, shots), formula)


def _above_partner(
    of: Sequence[MeasuredModel], others: Sequence[MeasuredModel], shots: Shots
) -> Sentence:
    pairs = zip(_aipss(of, shots), _aipss(others, shots), strict=True)
    return Sentence([one - partner for one, partner in pairs], _majority(len(of)))


def _below_all(
    of: Sequence[MeasuredModel], others: Sequence[MeasuredModel], shots: Shots
) -> Sentence:
    pairs = product(_aipss(of, shots), _aipss(others, shots))
    return Sentence([other - one for one, other in pairs], all_of)


def _highest(
    of: Sequence[MeasuredModel], others: Sequence[MeasuredModel], shots: Shots
) -> Sentence:
    return _below_all(others, of, shots)


def _apart(sign: int) -> Relation:
    """The one is first, by more than lies between the next two."""

    def sentence(
        of: Sequence[MeasuredModel], others: Sequence[MeasuredModel], shots: Shots
    ) -> Sentence:
        one, rest = _aipss(of, shots)[0], _aipss(others, shots)
        gaps = []
        for at, value in enumerate(one.values):
            second, third = sorted((sign * each.values[at] for each in rest), reverse=True)[:2]
            gaps.append((sign * value - second) - (second - third))
        # The second counts twice; which of the others it is may change with the setting.
        floor, machine = (max(getattr(e, name) for e in rest) for name in ("floor", "machine"))
        several = math.hypot(one.floor, 2 * floor, floor)
        gap = Series(tuple(gaps), several, one.machine + (2**2 + 1) * machine)
        return Sentence([gap], all_of)

    return sentence


def _not_monotone(
    of: Sequence[MeasuredModel], _: Sequence[MeasuredModel], shots: Shots
) -> Sentence:
    ups = [after - before for before, after in pairwise(_aipss(of, shots))]
    downs = [before - after for before, after in pairwise(_aipss(of, shots))]
    neither = in_groups(len(ups), lambda steps: negated(all_of(steps)), all_of)
    return Sentence(ups + downs, neither)


RELATIONS: Mapping[str, Relation] = {
    "none-positive": _none_positive,
    "most-positive": _most_positive,
    "all-positive": _all_positive,
    "most-positive-throughout": _most_throughout,
    "rising": _rising,
    "not-rising": _not_rising,
    "above-partner": _above_partner,
    "below-all": _below_all,
    "highest": _highest,
    "apart-highest": _apart(1),
    "apart-lowest": _apart(-1),
    "not-monotone": _not_monotone,
}
"""By the name that a claim gives."""


# -----------------------------------------------------------------------------
# Claims about the improvement with shots: a printed ratio, and sentences.


def ratio(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> JudgedClaim:
    """A printed ratio of improvements against that under each setting, in percent.

    Nothing is divided in deciding: the left side less r times the right one has a sign at both
    ends of the margin. A mean of the ratios of each size is shown and decides nothing.
    """
    measure = claim.measure
    assert isinstance(measure, ImprovementRatio)  # noqa: S101  # the dispatch saw to it
    found = improvement_values.models(manifest, evidence, models_of(measure), measure.benchmarks)
    sides = _sides(measure, found.models)
    published, margin = manifest.text_of(claim.published), claim.margin.value
    values = ratios(*sides)

    def decided(text: str) -> Decision:
        return decide_ratio(sides, values, text, margin)

    decision = decided(published)
    others = _other_texts(manifest, measure, published)
    _, working = shown.what_it_notices(decision, [decided(text) for text in others])
    plain = ratios(*_sides(measure, found.models, plain=True))
    estimates = [*shown.estimate("ratio by acc of all five benchmarks", mean(plain), unit="%")]
    estimates += [number for each in found.models for number in _numbers(each, SHOTS)]
    judged = shown.decided_number(
        decision,
        Sample(tuple(values), math.inf, math.inf),  # no interval is shown: a ratio may have none
        manifest.printed(claim.published),
        margin,
        (working,),
        found.loaded,
        tuple(estimates),
        tier=evidence.run.tier,
    )
    return shown.require_settings(judged, found.settings, found.repeated)


def _sides(
    measure: ImprovementRatio, models: Sequence[MeasuredModel], *, plain: bool = False
) -> tuple[list[Series], list[Series]]:
    """What is divided by what: the means of both sides, or size by size."""
    found = [each.improvement(SHOTS, measure.unit, plain=plain) for each in models]
    left, right = found[: len(measure.left)], found[len(measure.left) :]
    if measure.average == "ratio-first":
        return left, right
    return [mean_of(left)], [mean_of(right)]


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


def relation(manifest: Manifest, claim: ImprovementClaim, evidence: Evidence) -> JudgedClaim:
    """A sentence about improvements against what was measured."""
    found = improvement_values.models(manifest, evidence, models_of(claim), claim.benchmarks)
    of, others = found.models[: len(claim.of)], found.models[len(claim.of) :]
    outcome, why, seen = decide_sentence(RELATIONS[claim.relation](of, others, claim.shots))
    values = [mean(each.improvement(claim.shots, "relative").values) for each in of]
    working = [cause("slight", errors=SLIGHT)] if claim.relation == "none-positive" else []
    estimates = [number for each in found.models for number in _numbers(each, claim.shots)]
    decided = RuleDecision(
        outcome,
        claim.relation,
        f"AIPSS {_range(values)} %",
        "order",
        (why,),
        tuple(working),
        tuple(estimates),
    )
    decided = shown.not_here(decided, evidence.run.tier, away=not seen)
    direction = cause("points-to-relation" if seen else "points-away-from", relation=claim.relation)
    return shown.require_settings(
        JudgedClaim(decided, direction, found.loaded), found.settings, found.repeated
    )


def decide_sentence(sentence: Sentence) -> "tuple[Outcome, Cause, bool]":
    """Outcome and cause of a sentence, and whether the means over settings alone would have it."""
    tests = len(sentence.conditions)
    spans = [noise.intervals_of(each.sample, tests) for each in sentence.conditions]
    by_mean, by_draw = [is_positive(e.mean) for e in spans], [is_positive(e.draw) for e in spans]
    outcome: Outcome = "inconclusive"
    if sentence.formula(by_mean)[0]:
        outcome = "reproduced"
    elif not sentence.formula(by_draw)[1]:
        outcome = "contradicted"
    why = cause(
        "counted-conditions",
        total=tests,
        sure=sum(sure for sure, _ in by_mean),
        never=sum(not possible for _, possible in by_mean),
        never_drawn=sum(not possible for _, possible in by_draw),
    )
    return outcome, why, sentence.formula([is_positive((e.value, e.value)) for e in spans])[0]


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:+.2f}" if len(values) == 1 else f"{low:+.2f} to {high:+.2f}"


def _numbers(model: MeasuredModel, shots: Sequence[int]) -> Iterator[Estimate]:
    """AIPSS of one model with its sampling error, by shots, and in the other readings; percent."""
    aipss = model.improvement(shots, "relative")
    span = noise.intervals_of(aipss.sample).mean
    yield from shown.estimate(f"improvement of {model.name}", mean(aipss.values), span, "%")
    error = mean(model.sampling(shots, "relative").values)
    yield from shown.estimate(f"standard error over questions, {model.name}", error, unit="%")
    for k in shots:
        value = mean(model.improvement([k], "relative").values)
        yield from shown.estimate(f"at {k} shots, {model.name}", value, unit="%")
    points = mean(model.improvement(shots, "points").values)
    yield from shown.estimate(f"in points, {model.name}", points, unit="points")
    plain = mean(model.improvement(shots, "relative", plain=True).values)
    yield from shown.estimate(f"by acc alone, {model.name}", plain, unit="%")
