"""Claims about how far tuned models diverge, decided as those about untuned ones.

The statistic is the divergence as printed; what compares is decided on the shift as well, and a
divergence at its floor, what two tunings of one arm differ by, supports no comparison.

Reference: paper v2, section 5.1 and Figure 1, whose bars are not printed; v3 for those of
WinoGrande.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from repro.schema.decimals import DecimalText
from repro.schema.finding import Outcome
from repro.schema.jobs import BenchmarkJob
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim
from repro.schema.tuned_claims import BarsClaim, LearnsClaim, TunedDivergence
from repro.schema.tuned_slots import TunedModel, models_of
from repro.text import counted
from verify import noise, shown, tuned_arms
from verify.arms import Arms
from verify.decidable import ACCURACY_ROUNDING
from verify.errors import InvalidError, NotRunError
from verify.evidence import Evidence
from verify.outcome import Decided, Judged, Why
from verify.records import tuning
from verify.records.benchmark import overflows
from verify.records.loaded import Loaded
from verify.rules import model
from verify.statistics import Decision, decide, mean

_H = float(ACCURACY_ROUNDING)
_PRINTED = "mmlu"
"""Task of the mean divergences that section 5.1 prints."""


def cell(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> Judged:
    """A printed mean divergence against that under each setting."""
    measure = claim.measure
    assert isinstance(measure, TunedDivergence)  # noqa: S101  # the dispatch saw to it
    models = models_of(measure)
    found = tuned_arms.arms(manifest, models, evidence, _PRINTED)
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
    accepted = [_decide(found, text, margin).outcome for text in others].count("reproduced")
    lost, won = found.flips()
    low, high, majority = found.reference_accuracy()
    working = (
        f"a setting loses {lost:g} answers and wins {won:g}",
        model.null(found)
        + ", which is that between tunings with two seeds" * (len(found.rows) > 1),
        f"reference accuracy {low:.1%} to {high:.1%}, the commonest letter {majority:.1%}",
        *tuned_arms.controls(manifest, evidence, models, _PRINTED),
        shown.power(decision),
        f"{accepted} of {len(others)} other values printed for this precision would be accepted",
    )
    return model.number(found, decision, published, margin, working)


def bars(manifest: Manifest, claim: BarsClaim, evidence: Evidence) -> Judged:
    """What bars have in common, one bar a checkpoint, method and precision."""
    if claim.above is None:
        return _smaller(manifest, claim, evidence)
    return _spikes(manifest, claim, claim.above, evidence)


def _spikes(manifest: Manifest, claim: BarsClaim, above: DecimalText, evidence: Evidence) -> Judged:
    """No bar, or some bar, above a threshold; intervals are shared out over the bars."""
    models = models_of(claim)
    each = [tuned_arms.arms(manifest, [model], evidence, claim.task) for model in models]
    sure, possible, least, most = model.above(each, float(above), _H)
    outcome: Outcome = "inconclusive"
    if claim.relation == "none-above":
        if not possible:
            outcome = "reproduced"
        elif least:
            outcome = "contradicted"
    elif sure:
        outcome = "reproduced"
    elif not most:
        outcome = "contradicted"
    reason = (
        f"of {counted(len(each), 'bar')} {sure} surely and {possible} possibly above {above}; "
        f"another draw would show {least} to {most}"
    )
    highest = max(mean(one.divergences) for one in each)
    working = (
        *(
            f"{checkpoint} {arm}: {mean(one.divergences):.3f}; {model.null(one)}"
            for (checkpoint, arm), one in zip(models, each, strict=True)
        ),
        _references(each),
        *tuned_arms.controls(manifest, evidence, models, claim.task),
    )
    measured = f"{_range(sure, possible)} above, the highest {highest:.2f}"
    published = f"{claim.relation} {above}"
    decided = Decided(outcome, published, measured, f"> {above}", reason, working)
    loaded = [record for one in each for record in one.loaded]
    return model.enough(Judged(decided, f"highest {highest:.2f}", loaded), each)


def _smaller(manifest: Manifest, claim: BarsClaim, evidence: Evidence) -> Judged:
    """For every method and precision the mean over checkpoints is below each other group's."""
    pairs, working = list[tuple[Arms, Arms]](), list[str]()
    tests = len(claim.precisions) * len(claim.methods) * len(claim.others)
    surely, surely_not = 0, 0
    for precision, method in product(claim.precisions, claim.methods):
        sides = [
            [TunedModel(name, f"{method}.{precision}") for name in names]
            for names in (claim.checkpoints, *claim.others)
        ]
        left, *rights = (tuned_arms.arms(manifest, side, evidence, claim.task) for side in sides)
        for group, right in zip(claim.others, rights, strict=True):
            held = _below(left, right, tests)
            surely += held == 1
            surely_not += held == -1
            pairs.append((left, right))
            values = f"{mean(left.divergences):.3f} and {mean(right.divergences):.3f}"
            nulls = f"{model.null(left)} and {model.null(right)}"
            if len(left.rows) == len(right.rows) == 1:
                nulls = model.null(left)
            working.append(f"{method}.{precision} against {', '.join(group)}: {values}; {nulls}")
    outcome: Outcome = "inconclusive"
    if surely == tests:
        outcome = "reproduced"
    elif surely_not:
        outcome = "contradicted"
    reason = f"of {counted(tests, 'comparison')} {surely} surely smaller, {surely_not} surely not"
    agree = sum(mean(left.divergences) < mean(right.divergences) for left, right in pairs)
    every = [side for pair in pairs for side in pair]
    working.append(_references(every))
    working += tuned_arms.controls(manifest, evidence, sides[0], claim.task)
    decided = Decided(outcome, "smaller", f"{agree} of {tests}", "order", reason, tuple(working))
    loaded = [record for side in every for record in side.loaded]
    return model.enough(Judged(decided, f"{agree} of {tests} agree", loaded), every)


def _below(left: Arms, right: Arms, tests: int) -> int:
    """1 if the left side is surely below, -1 if another draw would surely not be, else 0."""
    if left.at_the_floor or right.at_the_floor:
        return 0
    gap, shift = noise.difference(left, right, tests), mean(left.shifts) - mean(right.shifts)
    # Both means are differences of accuracies that may have been rounded first.
    if gap.mean[1] + 2 * _H < 0 and shift < 0:
        return 1
    return -1 if gap.draw[0] - 2 * _H >= 0 and shift >= 0 else 0


def _references(every: Sequence[Arms]) -> str:
    """How right the references of some bars are, beside who always gives the same answer."""
    lows, highs, majorities = zip(*(each.reference_accuracy() for each in every), strict=True)
    spread = f"{min(lows):.1%} to {max(highs):.1%}"
    return f"reference accuracy {spread}, the commonest answer {max(majorities):.1%}"


def _decide(found: Arms, published: str, margin: str) -> Decision:
    return decide(
        found.divergences,
        published,
        margin,
        least_spread=found.least_spread,
        input_rounding=ACCURACY_ROUNDING,
    )


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


# -----------------------------------------------------------------------------
# What stands beside every number of a tuned model: what did not learn, and what overflowed.
#
# A printed number is decided as measured, whatever did not learn; who reads it has to know. A
# log-likelihood that is no finite number counts as lm-eval counts it, and the reason says so.


def beside(judged: Judged) -> Judged:
    """The same with what its tuned models did not learn, and where they overflowed."""
    tuned = {each.record.key: each for each in judged.loaded if each.tuning}
    if not tuned:
        return judged
    tunings = {each.tuning.record.key: each.tuning for each in tuned.values() if each.tuning}
    decided = judged.decided
    bad = sum(_overflowed(each) for each in tuned.values())
    if bad:
        asked = sum(_asked(each) for each in tuned.values())
        what = f"{bad} of {asked} answers of tuned models have no finite log-likelihood"
        said = f"{what} and count as lm-eval counts them, for the first choice"
        decided = replace(decided, why=(*decided.causes, said))
    working: Why = (*decided.steps, *_lines(list(tunings.values())))
    return replace(judged, decided=replace(decided, working=working))


def _lines(tunings: Sequence[Loaded]) -> Iterator[str]:
    """Of each tuned checkpoint and arm, over its settings; one line where all is well."""
    arms: dict[str, list[Loaded]] = {}
    for each in tunings:
        arms.setdefault(each.slot.id.removesuffix(f".{each.slot.setting}"), []).append(each)
    dead = 0
    for arm, found in arms.items():
        names = frozenset[str]().union(*(tuning.dead(each.record, each.arrays) for each in found))
        if names:
            dead += 1
            trainable = len(tuning.names_of(found[0].record))
            shown = tuning.summed_up(names)
            path = found[0].record.path.get("mamba_path", "")
            where = f" on the path {path}" if path else ""
            yield f"{arm}: {len(names)} of {trainable} tensors got no gradient{where}: {shown}"
        steps = [tuning.first_overflow(each.arrays) for each in found]
        if any(steps):
            first = min(step for step in steps if step)
            some = f"{len(steps) - steps.count(None)} of {counted(len(steps), 'tuning')}"
            yield f"{arm}: loss no finite number in {some}, from step {first} on"
    if not dead:
        yield f"every trainable tensor of {counted(len(tunings), 'tuning')} got a gradient"


def _overflowed(loaded: Loaded) -> int:
    """Answers with a log-likelihood that is no finite number, over all shots."""
    if isinstance(loaded.record.job, BenchmarkJob):
        return sum(int(overflows(loaded.arrays, shots).sum()) for shots in loaded.shots())
    rows = (loaded.arrays[f"shots{shots}/log_likelihood"] for shots in loaded.shots())
    return sum(int((~np.isfinite(each)).any(axis=1).sum()) for each in rows)


def _asked(loaded: Loaded) -> int:
    """Answers over all shots."""
    return sum(len(loaded.arrays[f"shots{shots}/log_likelihood"]) for shots in loaded.shots())


# -----------------------------------------------------------------------------
# Claims that adapters learn, decided from what tuning jobs saw of each trainable tensor.
#
# A gradient is a matter of code: where base weights are handed to a kernel, no adapter of theirs
# gets one, whatever the data. So a single run settles it, for the code that ran.


def learns(claim: LearnsClaim, evidence: Evidence) -> Judged:
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
    reason = (
        f"of {total} adapter matrices of {claim.layer}, {arrived} got a gradient and {moved} "
        f"moved, on the path {claim.path}"
    )
    outcome = _outcome(arrived, moved, total)
    decided = Decided(outcome, "all learn", f"{arrived} of {total} learn", "exact", reason)
    return Judged(decided, "", loaded)


def _outcome(arrived: int, moved: int, total: int) -> Outcome:
    if arrived == moved == total:
        return "reproduced"
    return "inconclusive" if arrived or moved else "contradicted"


def _adapters(loaded: Loaded, layer: str) -> list[int]:
    """Places of a layer's adapters among the trainable tensors."""
    names = tuning.names_of(loaded.record)
    rows = [place for place, name in enumerate(names) if f".{layer}.lora_" in name]
    if not rows:
        message = f"{loaded.slot.id} adapts no layer {layer}"
        raise InvalidError(message)
    return rows
