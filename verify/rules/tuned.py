"""Claims about how far tuned models diverge, decided as those about untuned ones.

The statistic is the divergence as printed. Of two divergences, the larger at its floor, what coin
flips alone would give, there is no order. What the paper leaves open of its recipe and its
evaluation is fixed here, so that none of it is decided (`tuned_paired.open_factors`).

Reference: paper v2, section 5.1, whose bars are not printed; v3 for those of WinoGrande.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from repro.decimals import DecimalText
from repro.schema.causes import Cause, Estimate, cause
from repro.schema.finding import Outcome
from repro.schema.jobs import BenchmarkJob
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim
from repro.schema.tuned_claims import BarsClaim, LearnsClaim, TunedDivergence
from repro.schema.tuned_slots import TunedModel, models_of
from verify import noise, shown, tuned_paired
from verify.decidable import ACCURACY_ROUNDING
from verify.decision_rule import Decision, decide
from verify.errors import InvalidError, NotRunError
from verify.evidence import Evidence
from verify.outcome import JudgedClaim, RuleDecision
from verify.paired import POINTS, Compared, PairedCells
from verify.records import tuning
from verify.records.benchmark import overflowed
from verify.records.checked_record import CheckedRecord
from verify.rules import model

_H = float(ACCURACY_ROUNDING)
_PRINTED = "mmlu"
"""Task of the mean divergences that section 5.1 prints."""


def cell(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> JudgedClaim:
    """A printed mean divergence against that under each setting."""
    measure = claim.measure
    assert isinstance(measure, TunedDivergence)  # noqa: S101  # the dispatch saw to it
    models = models_of(measure)
    found = tuned_paired.pair_models(manifest, models, evidence, _PRINTED)
    published, margin = manifest.text_of(claim.published), claim.margin.value
    decision = _decide(found, published, margin)
    others = [
        manifest.text_of(each.published)
        for each in manifest.claims
        if isinstance(each, CellClaim)
        and isinstance(each.measure, TunedDivergence)
        and each.measure.precision == measure.precision
        and each.id != claim.id
    ]
    lost, won = found.flips()
    working = (
        cause("flips", lost=lost, won=won),
        *shown.what_it_notices(decision, [_decide(found, text, margin) for text in others]),
    )
    estimates = (
        *model.nulls(found),
        *model.accuracies([found]),
        *tuned_paired.controls(manifest, evidence, models, _PRINTED),
    )
    printed = manifest.printed(claim.published)
    return model.number(found, decision, printed, margin, working, estimates, evidence)


def bars(manifest: Manifest, claim: BarsClaim, evidence: Evidence) -> JudgedClaim:
    """What bars have in common, one bar a checkpoint, method and precision."""
    if claim.above is None:
        return _smaller(manifest, claim, evidence)
    return _spikes(manifest, claim, claim.above, evidence)


def _spikes(
    manifest: Manifest, claim: BarsClaim, above: DecimalText, evidence: Evidence
) -> JudgedClaim:
    """No bar, or some bar, above a threshold; intervals are shared out over the bars."""
    models = models_of(claim)
    each = [tuned_paired.pair_models(manifest, [model], evidence, claim.task) for model in models]
    sure, possible = model.count_above(each, float(above), _H)
    names = [" ".join(each) for each in models]
    floors = [name for name, one in zip(names, each, strict=True) if one.at_the_floor]
    outcome: Outcome = "inconclusive"
    if claim.relation == "none-above":
        if not possible:
            outcome = "reproduced"
        elif sure:
            outcome = "contradicted"
    elif sure:
        outcome = "reproduced"
    elif not possible:
        outcome = "contradicted"
    highest = max(one.sample.mean for one in each)
    working = (*(cause("floor-of", sides=name) for name in floors),)
    estimates = [*model.accuracies(each)]
    for name, one in zip(names, each, strict=True):
        estimates += [*model.divergence_of(name, one), *model.nulls(one, f", {name}")]
    estimates += tuned_paired.controls(manifest, evidence, models, claim.task)
    decided = RuleDecision(
        outcome,
        f"{claim.relation} {above}",
        f"{_range(sure, possible)} above, the highest {highest:.2f}",
        f"> {above}",
        (model.counted_above(len(each), sure, possible, above),),
        working,
        tuple(estimates),
    )
    seen = (highest > float(above)) == (claim.relation == "some-above")
    decided = shown.not_here(decided, evidence.run.tier, away=not seen and not floors)
    loaded = [record for one in each for record in one.loaded]
    return model.require_settings(
        JudgedClaim(decided, cause("highest", value=highest), loaded), each
    )


def _smaller(manifest: Manifest, claim: BarsClaim, evidence: Evidence) -> JudgedClaim:
    """For every method and precision the mean over checkpoints is below each other group's."""
    pairs = list[tuple[PairedCells, PairedCells]]()
    working, estimates = list[Cause](), list[Estimate]()
    tests = len(claim.precisions) * len(claim.methods) * len(claim.others)
    surely, never = 0, 0
    for precision, method in product(claim.precisions, claim.methods):
        arm = f"{method}.{precision}"
        groups = (claim.checkpoints, *claim.others)
        sides = [[TunedModel(name, arm) for name in names] for names in groups]
        found = [tuned_paired.pair_models(manifest, side, evidence, claim.task) for side in sides]
        for names, one in zip(groups, found, strict=True):
            at = f"{', '.join(names)} {arm}"
            span, value = noise.intervals_of(one.sample).mean, one.sample.mean
            estimates += shown.estimate(f"mean divergence of {at}", value, span, POINTS)
            estimates += model.nulls(one, f", {at}")
            if one.at_the_floor:
                working.append(cause("floor-of", sides=at))
        for right in found[1:]:
            held = below(found[0], right, tests, beyond=claim.relation == "smaller-beyond-null")
            surely += held == 1
            never += held == -1
            pairs.append((found[0], right))
    outcome: Outcome = "inconclusive"
    if surely == tests:
        outcome = "reproduced"
    elif never:
        outcome = "contradicted"
    agree = sum(_seen(claim, *pair) for pair in pairs)
    every = [side for pair in pairs for side in pair]
    estimates += model.accuracies(every)
    estimates += tuned_paired.controls(manifest, evidence, sides[0], claim.task)
    floors = any(_larger(*pair).at_the_floor for pair in pairs)
    why = [cause("counted-smaller", total=tests, sure=surely, never=never)]
    if floors and outcome == "inconclusive":
        why.insert(0, cause("at-the-floor"))
    decided = RuleDecision(
        outcome,
        claim.relation,
        f"{agree} of {tests}",
        "order",
        tuple(why),
        tuple(working),
        tuple(estimates),
    )
    decided = shown.not_here(decided, evidence.run.tier, away=agree < tests and not floors)
    loaded = [record for side in every for record in side.loaded]
    direction = cause("counted-agreeing", agree=agree, total=tests)
    return model.require_settings(JudgedClaim(decided, direction, loaded), every)


def _seen(claim: BarsClaim, left: PairedCells, right: PairedCells) -> bool:
    """Whether the means alone have the left side below, by as much as is claimed."""
    null = max(left.null, right.null) if claim.relation == "smaller-beyond-null" else 0.0
    return left.sample.mean - right.sample.mean < -null


def below(left: Compared, right: Compared, tests: int, *, beyond: bool = False) -> int:
    """1 if the left side is surely below, -1 if another draw would surely not be, else 0.

    Args:
        left: What is said to diverge less.
        right: What it is held against.
        tests: Comparisons that share the error rate.
        beyond: Whether it has to be by more than the null divergence.
    """
    if _larger(left, right).at_the_floor:
        return 0
    gap = noise.difference_intervals(left.sample, right.sample, tests)
    # Both means are differences of accuracies that may have been rounded first.
    if beyond:
        return model.beyond_null(left, right, gap, 2 * _H)
    if gap.mean[1] + 2 * _H < 0:
        return 1
    return -1 if gap.draw[0] - 2 * _H >= 0 else 0


def _larger(left: Compared, right: Compared) -> Compared:
    return left if left.sample.mean > right.sample.mean else right


def _decide(found: PairedCells, published: str, margin: str) -> Decision:
    return decide(
        found.sample,
        published,
        margin,
        least_spread=found.least_spread,
        input_rounding=ACCURACY_ROUNDING,
        null=found.null,
    )


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


# -----------------------------------------------------------------------------
# What stands beside every number of a tuned model: what did not learn, and what overflowed.
#
# A printed number is decided as measured, whatever did not learn; who reads it has to know. A
# log-likelihood that is no finite number counts as lm-eval counts it, and the reason says so.


def with_learning_notes(judged: JudgedClaim) -> JudgedClaim:
    """The same with what its tuned models did not learn, and where they overflowed."""
    tuned = {each.record.key: each for each in judged.loaded if each.tuning}
    if not tuned:
        return judged
    tunings = {each.tuning.record.key: each.tuning for each in tuned.values() if each.tuning}
    decided = judged.decided
    bad = sum(_overflowed(each) for each in tuned.values())
    if bad:
        asked = sum(_asked(each) for each in tuned.values())
        said = cause("no-finite-likelihood", bad=bad, asked=asked)
        decided = replace(decided, causes=(*decided.causes, said))
    working = (*decided.working, *_lines(list(tunings.values())))
    return replace(judged, decided=replace(decided, working=working))


def _lines(tunings: Sequence[CheckedRecord]) -> Iterator[Cause]:
    """Of each tuned checkpoint and arm, over its settings; one line where all is well."""
    arms: dict[str, list[CheckedRecord]] = {}
    for each in tunings:
        arms.setdefault(each.slot.id.removesuffix(f".{each.slot.setting}"), []).append(each)
    dead = 0
    for arm, found in arms.items():
        names = frozenset[str]().union(
            *(tuning.without_gradient(each.record, each.arrays) for each in found)
        )
        if names:
            dead += 1
            yield cause(
                "no-gradient",
                arm=arm,
                dead=len(names),
                trainable=len(tuning.names_of(found[0].record)),
                path=found[0].record.path.get("mamba_path", "none"),
                names=tuning.grouped_names(names),
            )
        steps = [step for step in map(tuning.first_overflow, (e.arrays for e in found)) if step]
        if steps:
            some, first = len(steps), min(steps)
            yield cause("loss-not-finite", arm=arm, some=some, tunings=len(found), step=first)
    if not dead:
        yield cause("every-gradient", tunings=len(tunings))


def _overflowed(loaded: CheckedRecord) -> int:
    """Answers with a log-likelihood that is no finite number, over all shots."""
    if isinstance(loaded.record.job, BenchmarkJob):
        return sum(int(overflowed(loaded.arrays, shots).sum()) for shots in loaded.shots())
    rows = (loaded.arrays[f"shots{shots}/log_likelihood"] for shots in loaded.shots())
    return sum(int((~np.isfinite(each)).any(axis=1).sum()) for each in rows)


def _asked(loaded: CheckedRecord) -> int:
    """Answers over all shots."""
    return sum(len(loaded.arrays[f"shots{shots}/log_likelihood"]) for shots in loaded.shots())


# -----------------------------------------------------------------------------
# Claims that adapters learn, decided from what tuning jobs saw of each trainable tensor.
#
# A gradient is a matter of code: where base weights are handed to a kernel, no adapter of theirs
# gets one, whatever the data. So a single run settles it, for the code that ran.


def learns(claim: LearnsClaim, evidence: Evidence) -> JudgedClaim:
    """Every adapter of the layer got a gradient and moved; or none did."""
    loaded = [evidence.get(job) for job in claim.jobs]
    arrived = moved = total = 0
    for each in loaded:
        taken = each.record.path.get("mamba_path")
        if taken != claim.path:
            message = f"{each.slot.id} ran on the path {taken}, the claim is about {claim.path}"
            raise NotRunError(message)
        rows = _adapters(each, claim.layer)
        total += len(rows)
        arrived += int(each.arrays["gradient_arrived"][rows].sum())
        moved += int(each.arrays["moved"][rows].sum())
    why = cause(
        "adapters-learn",
        total=total,
        layer=claim.layer,
        arrived=arrived,
        moved=moved,
        path=claim.path,
    )
    outcome = _outcome(arrived, moved, total)
    decided = RuleDecision(outcome, "all learn", f"{arrived} of {total} learn", "exact", (why,))
    return JudgedClaim(decided, None, loaded)


def _outcome(arrived: int, moved: int, total: int) -> Outcome:
    if arrived == moved == total:
        return "reproduced"
    return "inconclusive" if arrived or moved else "contradicted"


def _adapters(loaded: CheckedRecord, layer: str) -> list[int]:
    """Places of a layer's adapters among the trainable tensors."""
    names = tuning.names_of(loaded.record)
    rows = [place for place, name in enumerate(names) if f".{layer}.lora_" in name]
    if not rows:
        message = f"{loaded.slot.id} adapts no layer {layer}"
        raise InvalidError(message)
    return rows
