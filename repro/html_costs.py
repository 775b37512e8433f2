"""What nobody ran yet, and what running it would take.

GPU time is the planner's estimate for one H200 at the highest tier of a manifest, with nothing
cached: a page says the same wherever it is made.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from repro import catalog, cost, environment
from repro.catalog import Checkpoint, HubSource
from repro.expand import slots
from repro.html_claims import Row
from repro.html_data import Seen
from repro.jobs import Job, ModelJob
from repro.manifest import Manifest
from repro.tuning_jobs import ThroughputJob, TuningJob


@dataclass(frozen=True)
class Waiting:
    """The claims of one manifest that are not decided by measurement yet."""

    manifest: str
    title: str
    open: tuple[Row, ...]
    """Not run, or run below the highest tier."""
    reasons: tuple[tuple[str, int], ...]
    """Why not run, with the number of claims."""
    command: str
    jobs: int
    gpu_hours: float
    gigabytes: float
    """Weights to fetch and keep."""
    gpu: bool
    """Whether it runs on a GPU alone."""
    undecidable: tuple[tuple[str, str], ...]
    """Claims that it could not decide either, and why."""


def waiting(seen: Seen, rows: Sequence[Row]) -> tuple[Waiting, ...]:
    """What is open in each manifest; those with nothing open are left out."""
    return tuple(
        _waiting(seen, manifest, mine)
        for manifest in seen.manifests
        if (
            mine := [row for row in rows if row.manifest == manifest.id and _is_open(row, manifest)]
        )
    )


def _is_open(row: Row, manifest: Manifest) -> bool:
    below = row.finding.basis == "measured" and row.tier != manifest.tiers()[-1]
    return row.finding.outcome == "not-run" or below


def _waiting(seen: Seen, manifest: Manifest, mine: Sequence[Row]) -> Waiting:
    tier = manifest.tiers()[-1]
    known = catalog.checkpoints()
    jobs = list(
        {str(slot.job): slot.job for slot in slots(manifest, tier, known) if slot.job}.values()
    )
    data = {**catalog.asked(), **catalog.instructions()}
    machine = environment.capture(())
    seconds = sum(
        cost.of_job(job, known.get(_checkpoint(job)), data.get(_data(job)), machine).gpu_seconds
        for job in jobs
    )
    reasons = Counter(
        row.finding.reason.partition(";")[0] for row in mine if row.finding.outcome == "not-run"
    )
    fetched = {job.checkpoint for job in jobs if isinstance(job, ModelJob | TuningJob)}
    return Waiting(
        manifest=manifest.id,
        title=manifest.title,
        open=tuple(mine),
        reasons=tuple(sorted(reasons.items(), key=lambda each: (-each[1], each[0]))),
        command=f"repro run manifests/{manifest.id}.json --tier {tier}" if jobs else "",
        jobs=len(jobs),
        gpu_hours=seconds / 3600,
        gigabytes=sum(_weights(known[name]) for name in fetched) / 1e9,
        gpu=any(map(_needs_gpu, jobs)),
        undecidable=tuple(seen.undecidable.get(manifest.id, {}).items()),
    )


def _checkpoint(job: Job) -> str:
    return getattr(job, "checkpoint", None) or ""


def _data(job: Job) -> str:
    """Name in the catalog of what a job reads; empty for one that reads none."""
    if isinstance(job, ModelJob):
        return job.task
    return job.recipe.data if isinstance(job, TuningJob) else ""


def _weights(known: Checkpoint) -> int:
    """Bytes to fetch of a checkpoint; none of one that the bundle brings."""
    single = known.stored_dtype == "float32"
    return known.parameters * (4 if single else 2) * isinstance(known.source, HubSource)


def _needs_gpu(job: Job) -> bool:
    """Whether no CPU can run it: a clock of a GPU, or float16 mixed precision."""
    half = isinstance(job, TuningJob) and job.recipe.precision == "float16"
    return half or isinstance(job, ThroughputJob)
