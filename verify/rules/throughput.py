"""Claims about the speed and the memory of fine-tuning, decided from timings.

Every view of the runs (`verify.rules.throughput`) is decided alone, and all have to agree. Spreads
are over the timings of one setting: they tell the clock's noise, and no more. On other hardware
than the claim names nothing is decided, and the direction is shown.

Reference: DESIGN, "How a claim is decided". Differs: there are two caps where an evaluation has
five settings, and the error rate is shared out over the numbers of the manifest (Bonferroni), which
is stricter than Holm.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import get_args

from repro.schema import tuned_slots
from repro.schema.causes import Cause, cause
from repro.schema.decimals import as_printed_like, half_unit
from repro.schema.finding import Outcome
from repro.schema.groups import ThroughputGroup
from repro.schema.jobs import ThroughputJob
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim, FitsClaim, GrowingClaim, Statistic, Throughput
from repro.text import counted
from verify import noise, statistics
from verify.evidence import Evidence
from verify.outcome import Decided, Judged
from verify.records import throughput as records
from verify.records.loaded import Loaded
from verify.statistics import mean

# -----------------------------------------------------------------------------
# Runs of a throughput group, and what some gain over others in one view of them.
#
# A view is what the paper leaves open: the memory cap and, for memory, which count was taken. The
# timings of a run are its draws: the r-th timing of every arm makes the r-th gain. They have no
# pairs, so any pairing gives the same spread, on average.


@dataclass(frozen=True)
class View:
    """One memory cap and, for memory, one count."""

    cap: float
    """GiB."""
    count: records.Count | None

    def __str__(self) -> str:
        return f"{self.cap:g} GiB" + (f", {self.count}" if self.count else "")


@dataclass(frozen=True)
class Run:
    """One record of a throughput group."""

    loaded: Loaded
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
    def needed(self) -> str:
        """What one row takes without the cap, in words."""
        return records.needed(self.loaded.record, self.loaded.arrays)

    def draws(self, view: View) -> list[float]:
        """Tokens a second, or bytes a token, of each timing; none if it does not fit."""
        if view.count is None:
            return records.speeds_of(self.loaded.arrays)
        return records.memory_of(self.job, self.loaded.arrays, view.count)

    def fits(self, count: records.Count) -> bool:
        """Whether one row trains under the cap."""
        return records.fits(self.loaded.record, self.job, self.loaded.arrays, count)


@dataclass(frozen=True)
class Gains:
    """What some arms gain over their reference in one view."""

    draws: list[float]
    """One a timing, times the speed or percent less memory; none if a reference does not fit."""
    left_out: tuple[str, ...]
    """Runs that do not fit."""

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
) -> list[Run]:
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
                    found.append(Run(evidence.get(slot.id), slot.job))
    return found


def views(runs: Sequence[Run], statistic: Statistic) -> list[View]:
    """Every cap, with every count if it is memory that is looked at."""
    caps = dict.fromkeys(run.cap for run in runs)
    counts = (None,) if statistic == "speed" else records.COUNTS
    return [View(cap, count) for cap in caps for count in counts]


def gains(runs: Sequence[Run], wanted: Throughput, view: View) -> Gains:
    """The gain of all arms and sizes of a measure together."""
    at = {(run.job.checkpoint, run.arm): run for run in runs if run.cap == view.cap}
    found, left_out = [], []
    for size in wanted.checkpoints:
        reference = (wanted.against or size, wanted.reference)
        base = at[reference].draws(view)
        if not base:
            return Gains([], (" ".join(reference),))
        for (name, arm), run in at.items():
            if name != size or arm == wanted.reference:
                continue
            if draws := run.draws(view):
                pairs = zip(draws, base, strict=True)
                found.append([_gain(draw, against, view) for draw, against in pairs])
            else:
                left_out.append(f"{name} {arm}")
    together = mean if wanted.form == "mean" else max
    return Gains([together(draw) for draw in zip(*found, strict=True)], tuple(left_out))


def _gain(found: float, base: float, view: View) -> float:
    return found / base if view.count is None else 100 * (1 - found / base)


# -----------------------------------------------------------------------------
# Claims about the speed and the memory of fine-tuning, decided from timings.

_GIB = 2**30
_FEWEST = 2
"""Timings that a spread takes."""


def cell(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> Judged:
    """A printed gain against the gain in each view."""
    wanted = claim.measure
    assert isinstance(wanted, Throughput)  # noqa: S101  # the caller saw to it
    sizes = {*wanted.checkpoints, wanted.against or wanted.checkpoints[0]}
    runs = of_group(manifest, wanted.group, evidence, sizes)
    published, margin = manifest.text_of(claim.published), claim.margin.value
    numbers = sum(
        isinstance(each, CellClaim) and isinstance(each.measure, Throughput)
        for each in manifest.claims
    )
    outcomes, working, shown, where = [], [], [], []
    for view in views(runs, wanted.statistic):
        found = gains(runs, wanted, view)
        outcome, reason = _number(found, published, margin, numbers)
        outcomes.append(outcome)
        working.append(f"{view}: {reason}{_left_out(found)}")
        if found.draws:
            middle = mean(found.draws)
            shown.append(f"{as_printed_like(middle, published)} at {view}")
            where.append(statistics.direction(middle, published, margin))
    outcome, reason = _agreed(outcomes)
    direction = where[0] if len(set(where)) == 1 else ""
    decided = Decided(
        outcome, published, "; ".join(shown) or "—", f"± {margin}", reason, tuple(working)
    )
    return _on_hardware(decided, direction, runs, wanted.hardware)


def _number(found: Gains, published: str, margin: str, numbers: int) -> tuple[Outcome, str]:
    """One printed number in one view."""
    if len(found.draws) < _FEWEST:
        return "inconclusive", f"{counted(len(found.draws), 'timing')} to compare, {_FEWEST} needed"
    h, printed, limit = float(half_unit(published)), float(published), float(margin)
    if limit <= h:
        return "inconclusive", f"not decidable: the margin {margin} is within rounding"
    spans = noise.of(found.draws, 0.0, numbers)
    low, high = noise.widened(spans.mean, h)
    if printed - limit <= low and high <= printed + limit:
        return "reproduced", f"the mean is between {low:.4g} and {high:.4g}, rounding included"
    low, high = noise.widened(spans.draw, h)
    shown = f"another timing is between {low:.4g} and {high:.4g}, rounding included"
    if high < printed - limit or low > printed + limit:
        return "contradicted", shown
    return "inconclusive", f"{shown}, which crosses ± {margin}"


def growing(manifest: Manifest, claim: GrowingClaim, evidence: Evidence) -> Judged:
    """Gains in speed and in memory rise from each size to the next."""
    runs = of_group(manifest, claim.group, evidence, set(claim.checkpoints))
    outcomes, working, shown = [], [], []
    for statistic in get_args(Statistic):
        wanted = [_gain_of(claim, size, statistic) for size in claim.checkpoints]
        for view in views(runs, statistic):
            sizes = [gains(runs, each, view) for each in wanted]
            outcome, reason = _rises(sizes)
            outcomes.append(outcome)
            shown.append(f"{statistic} {', '.join(map(str, sizes))} at {view}")
            left_out = "".join(map(_left_out, sizes))
            working.append(f"{statistic} at {view}: {reason}{left_out}")
    outcome, reason = _agreed(outcomes)
    decided = Decided(outcome, "rising", "; ".join(shown), "order", reason, tuple(working))
    return _on_hardware(decided, "", runs, claim.hardware)


def _gain_of(claim: GrowingClaim, size: str, statistic: Statistic) -> Throughput:
    """The mean gain of one size over itself."""
    return Throughput(
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
    """Whether each size gains more than the one before, beyond the spread of timings."""
    if any(len(each.draws) < _FEWEST for each in sizes):
        return "inconclusive", "a size has nothing to compare"
    steps = [
        noise.of(
            [late - early for early, late in zip(small.draws, large.draws, strict=True)],
            0.0,
            len(sizes) - 1,
        )
        for small, large in pairwise(sizes)
    ]
    shown = f"steps of {', '.join(f'{step.value:+.3g}' for step in steps)}"
    if all(step.mean[0] > 0 for step in steps):
        return "reproduced", f"{shown} rise beyond the spread of timings"
    if any(step.draw[1] < 0 for step in steps):
        return "contradicted", f"{shown}, one falls beyond the spread of timings"
    return "inconclusive", f"{shown}, one is within the spread of timings"


def fits(manifest: Manifest, claim: FitsClaim, evidence: Evidence) -> Judged:
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
    needs = dict.fromkeys(f"{run} takes {run.needed} without a cap" for run in runs)
    outcome, reason = _agreed(outcomes)
    decided = Decided(outcome, ", ".join(claimed), "; ".join(shown), "none", reason, tuple(needs))
    return _on_hardware(decided, "", runs, claim.hardware)


def _verb(*, fits: bool) -> str:
    return "fits" if fits else "does not"


def _left_out(found: Gains) -> str:
    return f"; without {', '.join(found.left_out)}, not fitting" if found.left_out else ""


def _agreed(outcomes: Sequence[Outcome]) -> tuple[Outcome, str]:
    """What all views say, or that they disagree."""
    counts = Counter(outcomes)
    if len(counts) == 1:
        return outcomes[0], f"{outcomes[0]} in every view of {len(outcomes)}"
    shown = ", ".join(f"{outcome} in {count}" for outcome, count in counts.items())
    return "inconclusive", f"caps or counts of memory disagree: {shown}"


def _on_hardware(decided: Decided, direction: str, runs: Sequence[Run], hardware: str) -> Judged:
    """Decide nothing on other hardware than the claim names; say that a cap is emulated."""
    machines = [run.loaded.record.environment for run in runs]
    others = dict.fromkeys(m.hardware_class for m in machines if m.hardware_class != hardware)
    pairs = zip(machines, runs, strict=True)
    larger = [machine.memory for machine, run in pairs if machine.memory > run.cap * _GIB]
    points: str | Cause = direction
    if larger:
        why = (*decided.causes, cause("emulated-cap", gib=max(larger) / _GIB))
        decided = replace(decided, why=why)
    if others:
        if decided.outcome != "inconclusive":
            points = cause("points-to", outcome=decided.outcome)
        why_not = cause("other-hardware", hardware=hardware, others=", ".join(others))
        decided = decided.because(why_not, outcome="inconclusive")
    return Judged(decided, points, [run.loaded for run in runs])
