"""What nobody ran yet, and what running it would take.

GPU time is the planner's estimate for one H200 at the highest tier of a manifest, with nothing
cached: a page says the same wherever it is made.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from repro import catalog, cost, environment
from repro.catalog import Benchmark, Checkpoint, Dataset, HubSource, Instructions
from repro.environment import Environment
from repro.expand import slots
from repro.html_claims import Row
from repro.html_data import Seen
from repro.jobs import Job, ModelJob, data_name
from repro.manifest import Manifest
from repro.planner import why_gpu
from repro.tuning_jobs import TuningJob


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


@dataclass(frozen=True)
class Known:
    """What the catalog and this machine say, read once for all manifests."""

    checkpoints: Mapping[str, Checkpoint]
    data: Mapping[str, Dataset | Benchmark | Instructions]
    machine: Environment


def waiting(seen: Seen, rows: Sequence[Row]) -> tuple[Waiting, ...]:
    """What is open in each manifest; those with nothing open are left out."""
    known = Known(
        catalog.checkpoints(),
        {**catalog.asked(), **catalog.instructions()},
        environment.capture(()),
    )
    return tuple(
        _waiting(seen, manifest, mine, known)
        for manifest in seen.manifests
        if (
            mine := [row for row in rows if row.manifest == manifest.id and _is_open(row, manifest)]
        )
    )


def _is_open(row: Row, manifest: Manifest) -> bool:
    below = row.finding.basis == "measured" and row.tier != manifest.tiers()[-1]
    return row.finding.outcome == "not-run" or below


def _waiting(seen: Seen, manifest: Manifest, mine: Sequence[Row], known: Known) -> Waiting:
    tier, weights = manifest.tiers()[-1], known.checkpoints
    asked = [slot.job for slot in slots(manifest, tier, weights) if slot.job]
    jobs = list({str(job): job for job in asked}.values())
    seconds = sum(
        cost.of_job(
            job, weights.get(_checkpoint(job)), known.data.get(data_name(job)), known.machine
        ).gpu_seconds
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
        gigabytes=sum(
            weights[name].stored_bytes
            for name in fetched
            if isinstance(weights[name].source, HubSource)
        )
        / 1e9,
        gpu=any(map(why_gpu, jobs)),
        undecidable=tuple(seen.undecidable.get(manifest.id, {}).items()),
    )


def _checkpoint(job: Job) -> str:
    return getattr(job, "checkpoint", None) or ""
