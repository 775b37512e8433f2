"""Claims about the speed and the memory of fine-tuning, decided from timings.

Every view of the runs is decided alone, and all have to agree. Spreads are over the timings of one
setting on one machine: the clock's noise, and no more. How far another machine of the class is
off nobody measured, so that speed shows a direction and decides nothing; memory is the same on
all of them. On other hardware only the direction is shown.

Differs from DESIGN's rule: there are two caps where an evaluation has more settings, and the error
rate is shared out over the numbers of the manifest (Bonferroni), which is stricter than Holm.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import get_args

from repro.decimals import as_printed_like, half_unit
from repro.schema import tuned_slots
from repro.schema.causes import MEASURED, Cause, Estimate, cause
from repro.schema.finding import Outcome
from repro.schema.groups import ThroughputGroup
from repro.schema.jobs import ThroughputJob
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import (
    CellClaim,
    FitsClaim,
    GrowingClaim,
    Statistic,
    ThroughputGain,
)
from verify import decision_rule, noise
from verify.decision_rule import mean
from verify.evidence import Evidence
from verify.outcome import JudgedClaim, RuleDecision
from verify.records import throughput as records
from verify.records.checked_record import CheckedRecord
from verify.shown import estimate, not_here

# -----------------------------------------------------------------------------
# Runs of a throughput group, and what some gain over others in one view of them.
#
# A view is what the paper leaves open: the memory cap and, for memory, which count was taken. Of
# speed the timings of a run are its draws: the r-th timing of every arm makes the r-th gain. They
# have no pairs, so any pairing gives the same spread, on average. Memory is the maximum over a run.

_FEWEST = 2
"""Timings that a spread takes."""


@dataclass(frozen=True)
class GainView:
    """One memory cap and, for memory, one count."""

    cap: float
    """GiB."""
    count: records.Count | None

    def __str__(self) -> str:
        return f"{self.cap:g} GiB" + (f", {self.count}" if self.count else "")


@dataclass(frozen=True)
class ThroughputRun:
    """One record of a throughput group."""

    loaded: CheckedRecord
    job: ThroughputJob

    def __str__(self) -> str:
        rank = f" r = {self.job.rank}" if self.job.rank else ""
        return f"{self.job.checkpoint} {self.arm}{rank}"

    @property
    def arm(self) -> str:
        """As a group names it."""
        return arm_of(self.job)

    @property
    def cap(self) -> float:
        """GiB."""
        return self.job.memory_cap

    @property
    def needed(self) -> float | None:
        """GiB that one row takes without the cap; None if that is more than the card has."""
        return records.gib_needed(self.loaded.record, self.loaded.arrays)

    def draws(self, view: GainView) -> list[float]:
        """Tokens a second of each timing, or the bytes a token; none if it does not fit."""
        if view.count is None:
            return records.speeds_of(self.loaded.arrays)
        found = records.memory_of(self.job, self.loaded.arrays, view.count)
        return [] if found is None else [found]

    def fits(self, count: records.Count) -> bool:
        """Whether one row trains under the cap."""
        return records.fits(self.loaded.record, self.job, self.loaded.arrays, count)


@dataclass(frozen=True)
class Gains:
    """What some arms gain over their reference in one view."""

    draws: list[float]
    """Times the speed, one a timing, or percent less memory; none if a reference does not fit."""
    left_out: tuple[str, ...]
    """Runs that do not fit."""
    exact: bool = False
    """Of memory, whose one number has no spread."""

    @property
    def comparable(self) -> bool:
        """Whether there is enough to compare."""
        return len(self.draws) >= (1 if self.exact else _FEWEST)

    def __str__(self) -> str:
        return f"{mean(self.draws):.3g}" if self.draws else "—"


def arm_of(job: ThroughputJob) -> str:
    """The arm of a job, as a group names it."""
    return f"{job.method}.{job.precision}"


def of_group(
    manifest: Manifest,
    group_id: str,
    evidence: Evidence,
    checkpoints: set[str],
    arm: str | None = None,
) -> list[ThroughputRun]:
    """Runs of some checkpoints by one arm of a group, or by all, under every cap.

    Raises:
        NotRunError: if one is missing.
        InvalidError: if one cannot be trusted.
    """
    found = []
    for group in manifest.jobs:
        if isinstance(group, ThroughputGroup) and group.id == group_id:
            for slot in tuned_slots.throughput(group):
                assert isinstance(slot.job, ThroughputJob)  # noqa: S101  # it makes no other
                if slot.checkpoint in checkpoints and arm in (None, arm_of(slot.job)):
                    found.append(ThroughputRun(evidence.get(slot.id), slot.job))
    return found


def views(runs: Sequence[ThroughputRun], statistic: Statistic) -> list[GainView]:
    """Every cap, with every count if it is memory that is looked at."""
    caps = dict.fromkeys(run.cap for run in runs)
    counts = (None,) if statistic == "speed" else records.COUNTS
    return [GainView(cap, count) for cap in caps for count in counts]


def gains(runs: Sequence[ThroughputRun], wanted: ThroughputGain, view: GainView) -> Gains:
    """The gain of all arms and sizes of a measure together."""
    at = {(run.job.checkpoint, run.arm): run for run in runs if run.cap == view.cap}
    found, left_out, exact = [], [], view.count is not None
    for size in wanted.checkpoints:
        reference = (wanted.against or size, wanted.reference)
        base = at[reference].draws(view)
        if not base:
            return Gains([], (" ".join(reference),), exact)
        for (name, arm), run in at.items():
            if name != size or arm == wanted.reference:
                continue
            if draws := run.draws(view):
                pairs = zip(draws, base, strict=True)
                found.append([_gain(draw, against, view) for draw, against in pairs])
            else:
                left_out.append(f"{name} {arm}")
    if wanted.form == "largest" and found:  # speed is defined as a mean, so the mean comes first
        found = [max(found, key=mean)]
    return Gains([mean(draw) for draw in zip(*found, strict=True)], tuple(left_out), exact)


def _gain(found: float, base: float, view: GainView) -> float:
    return found / base if view.count is None else 100 * (1 - found / base)


# -----------------------------------------------------------------------------
# Claims about the speed and the memory of fine-tuning, decided from timings.

_GIB = 2**30


def cell(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> JudgedClaim:
    """A printed gain against the gain in each view."""
    wanted = claim.measure
    assert isinstance(wanted, ThroughputGain)  # noqa: S101  # the caller saw to it
    sizes = {*wanted.checkpoints, wanted.against or wanted.checkpoints[0]}
    runs = of_group(manifest, wanted.group, evidence, sizes)
    published, margin = manifest.text_of(claim.published), claim.margin.value
    numbers = sum(
        isinstance(each, CellClaim) and isinstance(each.measure, ThroughputGain)
        for each in manifest.claims
    )
    outcomes, working = list[Outcome](), list[Cause]()
    estimates, sides, where = list[Estimate](), list[str](), list[Cause]()
    for view in views(runs, wanted.statistic):
        found = gains(runs, wanted, view)
        outcome, why = _number(found, view, published, margin, numbers)
        outcomes.append(outcome)
        working += [why, *_left_out(found, str(view))]
        if found.draws:
            middle = mean(found.draws)
            sides.append(f"{as_printed_like(middle, published)} at {view}")
            where.append(decision_rule.direction(middle, published, margin))
            estimates += _estimate(f"{MEASURED} at {view}", found)
    outcome, why = _agreed(outcomes)
    direction = where[0] if len({each.code for each in where}) == 1 else None
    shown, behind = "; ".join(sides) or "—", (tuple(working), tuple(estimates))
    decided = RuleDecision(outcome, published, shown, f"± {margin}", (why,), *behind)
    timed = wanted.statistic == "speed"
    return _on_hardware(decided, direction, runs, wanted.hardware, timed=timed)


def _number(
    found: Gains, view: GainView, published: str, margin: str, numbers: int
) -> tuple[Outcome, Cause]:
    """One printed number in one view."""
    if not found.comparable:
        needed = 1 if found.exact else _FEWEST
        why = cause("view-too-few", view=str(view), draws=len(found.draws), needed=needed)
        return "inconclusive", why
    h, printed, limit = float(half_unit(published)), float(published), float(margin)
    at = {"view": str(view), "margin": margin}
    if limit <= h:
        return "inconclusive", cause("view-within-rounding", **at)
    spans = _spans(found, numbers)
    low, high = noise.widened(spans.mean, h)
    if printed - limit <= low and high <= printed + limit:
        return "reproduced", cause("view-within", **at)
    low, high = noise.widened(spans.draw, h)
    if high < printed - limit or low > printed + limit:
        return "contradicted", cause("view-beyond", **at)
    return "inconclusive", cause("view-crosses", **at)


def _spans(found: Gains, tests: int) -> noise.Intervals:
    """Intervals over timings; of memory the number itself."""
    if found.exact:
        value = mean(found.draws)
        return noise.Intervals(value, (value, value), (value, value))
    return noise.intervals_of(decision_rule.sample(found.draws, 0.0, 0.0), tests)


def _estimate(label: str, found: Gains) -> tuple[Estimate, ...]:
    """What some arms gain, with its interval over timings; none where nothing is compared."""
    if not found.draws:
        return ()
    return estimate(label, mean(found.draws), _spans(found, 1).mean)


def growing(manifest: Manifest, claim: GrowingClaim, evidence: Evidence) -> JudgedClaim:
    """Gains in speed and in memory rise from each size to the next."""
    runs = of_group(manifest, claim.group, evidence, set(claim.checkpoints))
    outcomes, working = list[Outcome](), list[Cause]()
    estimates, sides = list[Estimate](), list[str]()
    for statistic in get_args(Statistic):
        wanted = [_gain_of(claim, size, statistic) for size in claim.checkpoints]
        for view in views(runs, statistic):
            at = f"{statistic} at {view}"
            sizes = [gains(runs, each, view) for each in wanted]
            outcome, code = _rises(sizes)
            outcomes.append(outcome)
            sides.append(f"{statistic} {', '.join(map(str, sizes))} at {view}")
            working.append(cause(code, view=at))
            for name, found in zip(claim.checkpoints, sizes, strict=True):
                working += _left_out(found, at)
                estimates += _estimate(f"{at}, {name}", found)
    outcome, why = _agreed(outcomes)
    behind = tuple(working), tuple(estimates)
    decided = RuleDecision(outcome, "rising", "; ".join(sides), "order", (why,), *behind)
    return _on_hardware(decided, None, runs, claim.hardware, timed=True)


def _gain_of(claim: GrowingClaim, size: str, statistic: Statistic) -> ThroughputGain:
    """The mean gain of one size over itself."""
    return ThroughputGain(
        kind="throughput",
        group=claim.group,
        checkpoints=(size,),
        reference=claim.reference,
        against=None,
        statistic=statistic,
        form="mean",
        hardware=claim.hardware,
    )


def _rises(sizes: Sequence[Gains]) -> tuple[Outcome, str]:
    """Whether each size gains more than the one before, beyond the spread of timings; and a code.

    Of memory a step is one number, and above or below 0 or at it.
    """
    if not all(each.comparable for each in sizes):
        return "inconclusive", "size-missing"
    steps = []
    for small, large in pairwise(sizes):
        draws = [late - early for early, late in zip(small.draws, large.draws, strict=True)]
        steps.append(_spans(Gains(draws, (), small.exact), len(sizes) - 1))
    if all(step.mean[0] > 0 for step in steps):
        return "reproduced", "sizes-rise"
    if any(step.draw[1] < 0 for step in steps):
        return "contradicted", "sizes-fall"
    return "inconclusive", "sizes-open"


def fits(manifest: Manifest, claim: FitsClaim, evidence: Evidence) -> JudgedClaim:
    """Each run trains one row or does not, as claimed, in every view."""
    pairs = [
        (each, run)
        for each in claim.runs
        for run in of_group(manifest, each.group, evidence, {each.checkpoint}, each.arm)
    ]
    runs = [run for _, run in pairs]
    outcomes: list[Outcome] = []
    shown = []
    for view in views(runs, "memory"):
        assert view.count  # noqa: S101  # memory is looked at
        at = [(each, run.fits(view.count)) for each, run in pairs if run.cap == view.cap]
        held = all(fit == each.fits for each, fit in at)
        outcomes.append("reproduced" if held else "contradicted")
        shown.append(f"{', '.join(_verb(fits=fit) for _, fit in at)} at {view}")
    claimed = dict.fromkeys(f"{run} {_verb(fits=each.fits)}" for each, run in pairs)
    takes = {str(run): run.needed for run in runs}
    larger = [cause("more-than-the-card", run=run) for run, gib in takes.items() if gib is None]
    estimates = [
        number
        for run, gib in takes.items()
        if gib is not None
        for number in estimate(f"{run} without a cap", gib, unit="GiB")
    ]
    outcome, why = _agreed(outcomes)
    decided = RuleDecision(
        outcome,
        ", ".join(claimed),
        "; ".join(shown),
        "none",
        (why,),
        tuple(larger),
        tuple(estimates),
    )
    return _on_hardware(decided, None, runs, claim.hardware, timed=False)


def _verb(*, fits: bool) -> str:
    return "fits" if fits else "does not"


def _left_out(found: Gains, view: str) -> list[Cause]:
    runs = ", ".join(found.left_out)
    return [cause("view-left-out", view=view, runs=runs)] if runs else []


def _agreed(outcomes: Sequence[Outcome]) -> tuple[Outcome, Cause]:
    """What all views say, or that they disagree."""
    counts = Counter(outcomes)
    if len(counts) == 1:
        return outcomes[0], cause("every-view", outcome=outcomes[0], views=len(outcomes))
    each = {name: counts[name] for name in _OPEN_OR_NOT}
    return "inconclusive", cause("views-disagree", **each)


_OPEN_OR_NOT: tuple[Outcome, ...] = ("reproduced", "contradicted", "inconclusive")


def _on_hardware(
    decided: RuleDecision,
    direction: Cause | None,
    runs: Sequence[ThroughputRun],
    hardware: str,
    *,
    timed: bool,
) -> JudgedClaim:
    """Decide nothing on other hardware than the claim names, or by one machine's clock."""
    machines = [run.loaded.record.environment for run in runs]
    others = dict.fromkeys(m.hardware_class for m in machines if m.hardware_class != hardware)
    pairs = zip(machines, runs, strict=True)
    larger = [machine.memory for machine, run in pairs if machine.memory > run.cap * _GIB]
    points = direction
    if larger:
        why = (*decided.causes, cause("emulated-cap", gib=max(larger) / _GIB))
        decided = replace(decided, causes=why)
    why_not = cause("one-machine") if timed else None
    if others:
        why_not = cause("other-hardware", hardware=hardware, others=", ".join(others))
    if why_not:
        if decided.outcome != "inconclusive":
            points = cause("points-to", outcome=decided.outcome)
        decided = decided.because(why_not, outcome="inconclusive")
    elif direction and direction.code != "mean-within-margin":  # a run is the same at every tier
        decided = not_here(decided, "full", away=True)
    return JudgedClaim(decided, points, [run.loaded for run in runs])
