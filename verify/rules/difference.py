"""Claims that one model has more of something than another: points, percent more, percent fewer.

Scores of both sides are compared setting by setting. A difference is decided as a score is, with
what another machine adds to both sides; a percentage is not divided, one side less a multiple of
the other has a sign at both ends of the margin (`verify.rules.improvement_values`). Of sides that
share an evaluation, standard deviations add up, of others variances. Numbers of parameters, of
one model or of two, are exact. Time was taken on one machine, under whatever load: it shows a
direction, decides nothing.

Not covered: times of several machines.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Literal

from repro.decimals import as_printed_like, half_unit
from repro.schema.causes import MEASURED, Cause, Estimate, cause
from repro.schema.evaluation.asking import askings
from repro.schema.evaluation.validate_scores import wanted
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim
from repro.schema.tuned_claims import (
    MeasuredDifference,
    Parameters,
    Quantity,
    Scores,
    Seconds,
    columns_of,
)
from repro.schema.tuned_slots import PRETRAINED, TunedModel
from verify import decision_rule, noise, shown, tuned_paired
from verify.decision_rule import Decision, Sample, decide, mean
from verify.errors import InvalidError, NotRunError
from verify.evidence import Evidence
from verify.outcome import JudgedClaim, RuleDecision
from verify.records.checked_record import CheckedRecord
from verify.rules import score
from verify.rules.improvement_values import Series, decide_ratio
from verify.rules.score import MeasuredScore

_FORMS: Mapping[str, Callable[[float, float], float]] = {
    "difference": lambda left, right: left - right,
    "percent-more": lambda left, right: 100 * (left / right - 1) if right else math.nan,
    "percent-fewer": lambda left, right: 100 * (1 - left / right) if right else math.nan,
}


def cell(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> JudgedClaim:
    """A printed difference against the measured one, in one of its three forms; or a count."""
    measure = claim.measure
    if isinstance(measure, Parameters):
        return _of_parameters(manifest, claim, (measure,), lambda count: count, evidence)
    assert isinstance(measure, MeasuredDifference)  # noqa: S101  # the dispatch saw to it
    if isinstance(measure.left, Parameters):
        return _of_parameters(manifest, claim, measure.sides, _FORMS[measure.kind], evidence)
    if isinstance(measure.left, Seconds):
        return _of_seconds(manifest, claim, measure, evidence)
    return _of_scores(manifest, claim, measure, evidence)


# -----------------------------------------------------------------------------
# Scores


def _of_scores(
    manifest: Manifest, claim: CellClaim, measure: MeasuredDifference, evidence: Evidence
) -> JudgedClaim:
    sides = [each for each in measure.sides if isinstance(each, Scores)]
    found, repeated = score.measured(manifest, evidence, sides)
    left, right = found
    published, margin = manifest.text_of(claim.published), claim.margin.value
    decision, values = _decided(measure, left, right, published, margin)
    estimates = [*_side("left", left), *_side("right", right)]
    if left.wanted.shots == right.wanted.shots:
        estimates += _questions_z(left, right)
    judged = shown.decided_number(
        decision,
        values,
        manifest.printed(claim.published),
        margin,
        (shown.power_of(decision),),
        [*left.loaded, *right.loaded],
        tuple(estimates),
        tier=evidence.run.tier,
    )
    return shown.require_settings(judged, len(left.rows), repeated)


def _decided(
    measure: MeasuredDifference,
    left: MeasuredScore,
    right: MeasuredScore,
    published: str,
    margin: str,
) -> tuple[Decision, Sample]:
    """The decision, and the difference under each setting; of a percentage without an interval."""
    one, other = left.series, right.series
    if measure.kind == "difference":
        apart = _less(one, other, shared=_share(left, right))
        return decide(apart.sample, published, margin, least_spread=apart.floor), apart.sample
    form, fewer = _FORMS[measure.kind], measure.kind == "percent-fewer"
    pairs = zip(one.values, other.values, strict=True)
    values = [form(a, b) for a, b in pairs]
    # The same of 100 left / right.
    times = f"{Decimal(100) + (-1 if fewer else 1) * Decimal(published):f}"
    shares = [100 - each if fewer else 100 + each for each in values]
    decision = decide_ratio(([one], [other]), shares, times, margin)
    where, why = None, decision.why
    if all(map(math.isfinite, values)):
        where = decision_rule.direction(mean(values), published, margin)
    if why.code == "divisor-without-ends":
        why = cause("machine-unknown")
    elif why.code == "divided-by-zero":
        why = cause("right-side-near-zero", **why.values)
    return replace(decision, direction=where, why=why), Sample(tuple(values), math.inf, math.inf)


def _less(one: Series, other: Series, *, shared: bool) -> Series:
    """One side less the other; where they share an evaluation, what moves one may move both."""
    apart = one - other
    if not shared:
        return apart
    machine = (math.sqrt(one.machine) + math.sqrt(other.machine)) ** 2
    return Series(apart.values, one.floor + other.floor, machine)


def _share(left: MeasuredScore, right: MeasuredScore) -> bool:
    keys = [{each.record.key for each in side.loaded} for side in (left, right)]
    return bool(keys[0] & keys[1])


def _side(name: str, found: MeasuredScore) -> tuple[Estimate, ...]:
    span = noise.intervals_of(found.series.sample).mean
    return shown.estimate(f"the {name} side, {found.name}", mean(found.series.values), span)


def _questions_z(left: MeasuredScore, right: MeasuredScore) -> tuple[Estimate, ...]:
    """McNemar's z of the first setting, where both sides are one score of the same questions."""
    columns = columns_of(left.wanted)
    if len(columns) != 1 or columns != columns_of(right.wanted):
        return ()
    z = score.question_z(left.rows[0][0], right.rows[0][0], columns[0].metric, left.wanted.shots)
    return shown.estimate("z of the questions", z)


# -----------------------------------------------------------------------------
# Parameters, which are counted, and seconds, which are timed once.


def _of_parameters(
    manifest: Manifest,
    claim: CellClaim,
    sides: Sequence[Quantity],
    form: Callable[..., float],
    evidence: Evidence,
) -> JudgedClaim:
    """Exact: the number that prints so, or not."""
    loaded = [_counted(manifest, each.checkpoint, evidence) for each in sides]
    counts = [int(each.record.values["parameters"]) for each in loaded]
    value = form(*counts)
    published = manifest.text_of(claim.published)
    h = half_unit(published)
    holds = abs(Decimal(repr(value)) - Decimal(published)) <= h
    outcome: Literal["reproduced", "contradicted"] = "reproduced" if holds else "contradicted"
    why = cause("parameters-counted", counts=" and ".join(f"{each:,}" for each in counts))
    printed = manifest.printed(claim.published)
    number = shown.estimate(MEASURED, value, unit=printed.unit)
    shown_value = as_printed_like(value, published)
    decided = RuleDecision(outcome, published, shown_value, f"± {h:f}", (why,), (), number)
    where = decision_rule.direction(value, published, str(h))
    return JudgedClaim(decided, where, loaded)


def _counted(manifest: Manifest, checkpoint: str, evidence: Evidence) -> CheckedRecord:
    """An evaluation of a checkpoint that says how many parameters it has, as the catalog does."""
    model, without = TunedModel(checkpoint, PRETRAINED), ""
    for each in askings(manifest, model):
        for name in each.slots(evidence.run.tier):
            try:
                found = evidence.get(name)
            except NotRunError as error:
                without = without or str(error)
                continue
            if "parameters" not in found.record.values:
                without = f"{name} was made by code that counted no parameters"
                continue
            _check_count(found, evidence)
            return found
    raise NotRunError(without or f"tier {evidence.run.tier} asks {checkpoint} nothing")


def _check_count(found: CheckedRecord, evidence: Evidence) -> None:
    """Hold what a record counted to the catalog, which says it of the files that it pins."""
    name, said = found.record.job.checkpoint_name(), found.record.values["parameters"]
    known = evidence.checkpoints[name].parameters
    short = found.record.key[:12]
    if not isinstance(said, int) or said < 0:
        raise InvalidError(f"record {short} counted {said!r} parameters of {name}")
    if said != known and name not in evidence.run.substitutions:
        message = f"record {short} counted {said} parameters of {name}, the catalog has {known}"
        raise InvalidError(message)


def _of_seconds(
    manifest: Manifest, claim: CellClaim, measure: MeasuredDifference, evidence: Evidence
) -> JudgedClaim:
    """Mean wall times of both sides; never decided."""
    sides = [
        tuned_paired.answers_to(evidence, found)
        for each in measure.sides
        for found in wanted(manifest, each).values()
        if found
    ]
    values = [mean([one.record.seconds for one in side]) for side in sides]
    value, published = _FORMS[measure.kind](*values), manifest.text_of(claim.published)
    printed, margin = manifest.printed(claim.published), claim.margin.value
    loaded = [one for side in sides for one in side]
    hardware = {each.hardware for each in measure.sides if isinstance(each, Seconds)}
    others = {each.record.environment.hardware_class for each in loaded} - hardware
    causes: tuple[Cause, ...] = (cause("one-machine"),)
    if others:
        named = {"hardware": ", ".join(sorted(hardware)), "others": ", ".join(sorted(others))}
        causes = (cause("other-hardware", **named), *causes)
    estimates = [*shown.estimate(MEASURED, value, unit=printed.unit)]
    for name, side, seconds in zip(("left", "right"), measure.sides, values, strict=True):
        label = f"the {name} side, {side.checkpoint}"
        estimates += shown.estimate(label, seconds, unit="seconds")
    where = None
    if math.isfinite(value):
        where = decision_rule.direction(value, published, margin)
    text = as_printed_like(value, published)
    decided = RuleDecision(
        "inconclusive", published, text, f"± {margin}", causes, (), tuple(estimates)
    )
    return JudgedClaim(decided, where, loaded)
