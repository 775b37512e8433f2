"""What nobody ran yet, and what running it would take.

GPU time is the planner's estimate for one H200 at the highest tier of a manifest, with nothing
cached: a page says the same wherever it is made.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from repro import cost
from repro.catalog import HubSource
from repro.expand import slots
from repro.html_claims import Row
from repro.html_data import Seen
from repro.inputs import Shelf
from repro.manifest import Manifest


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
    shelf = Shelf()
    return tuple(
        _waiting(seen, manifest, mine, shelf)
        for manifest in seen.manifests
        if (
            mine := [row for row in rows if row.manifest == manifest.id and _is_open(row, manifest)]
        )
    )


def _is_open(row: Row, manifest: Manifest) -> bool:
    below = row.finding.basis == "measured" and row.tier != manifest.tiers()[-1]
    return row.finding.outcome == "not-run" or below


def _waiting(seen: Seen, manifest: Manifest, mine: Sequence[Row], shelf: Shelf) -> Waiting:
    tier, weights = manifest.tiers()[-1], shelf.checkpoints
    jobs = cost.distinct(slot.job for slot in slots(manifest, tier, weights))
    reasons = Counter(
        row.finding.reason.partition(";")[0] for row in mine if row.finding.outcome == "not-run"
    )
    fetched = {name for job in jobs if (name := job.checkpoint_name())}
    return Waiting(
        manifest=manifest.id,
        title=manifest.title,
        open=tuple(mine),
        reasons=tuple(sorted(reasons.items(), key=lambda each: (-each[1], each[0]))),
        command=f"repro run manifests/{manifest.id}.json --tier {tier}" if jobs else "",
        jobs=len(jobs),
        gpu_hours=cost.gpu_hours(jobs, shelf),
        gigabytes=sum(
            weights[name].stored_bytes
            for name in fetched
            if isinstance(weights[name].source, HubSource)
        )
        / 1e9,
        gpu=any(job.why_gpu() for job in jobs),
        undecidable=tuple(seen.undecidable.get(manifest.id, {}).items()),
    )
