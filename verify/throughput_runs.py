"""Runs of a throughput group, and what some gain over others in one view of them.

A view is what the paper leaves open: the memory cap and, for memory, which count was taken. The
timings of a run are its draws: the r-th timing of every arm makes the r-th gain. They have no
pairs, so any pairing gives the same spread, on average.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from repro.schema import tuned_slots
from repro.schema.groups import ThroughputGroup
from repro.schema.jobs import ThroughputJob
from repro.schema.manifest import Manifest
from repro.schema.model_claims import Statistic, Throughput
from verify.evidence import Evidence
from verify.records import throughput as records
from verify.records.loaded import Loaded
from verify.statistics import mean


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
