"""The plan of a run: which jobs, what is done, what is missing, what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from repro import fileio
from repro.inputs.located import Located, Missing
from repro.planning import cost
from repro.schema.jobs import Job, ModelJob, Tier, TuningJob
from repro.schema.manifest import Manifest
from repro.schema.slot import Slot

DEFAULT_BUDGET = 30 * 60
"""Seconds that a run may take before the default tier steps down (DESIGN, command line)."""

State = Literal["done", "ready", "waits", "fetch", "blocked"]
"""`waits`: for a tuned checkpoint that a job before it makes."""


@dataclass(frozen=True)
class PlannedJob:
    """One slot of the manifest, with everything known before it runs."""

    slot: Slot
    state: State
    key: str | None
    """None while an input is missing: the key digests the inputs."""
    inputs: Mapping[str, Located]
    missing: tuple[Missing, ...]
    reason: str
    """Why it is blocked, or what it waits for; empty otherwise."""
    cost: cost.Cost | None
    replaces: str = ""
    """Digest of the record that is to be made again; empty where none is there."""

    @property
    def done(self) -> bool:
        """Whether its record is there."""
        return self.state == "done"

    @property
    def stuck(self) -> bool:
        """Whether there is a job that cannot run here; a slot without a job is not stuck."""
        return self.state == "blocked" and self.slot.job is not None


@dataclass(frozen=True)
class Plan:
    """Every job of one manifest at one tier."""

    manifest: Manifest
    tier: Tier
    jobs: tuple[PlannedJob, ...]

    def slots(self) -> set[str]:
        """Every slot of it."""
        return {job.slot.id for job in self.jobs}

    def to_run(self) -> dict[str, PlannedJob]:
        """Jobs to run, one for each key: slots that ask for the same job share it."""
        return {job.key: job for job in self.jobs if job.key and job.state == "ready"}

    def missing(self) -> tuple[Missing, ...]:
        """Everything that is not here, each once."""
        found = {each.what: each for job in self.jobs for each in job.missing}
        return tuple(found.values())

    def distinct(self) -> tuple[PlannedJob, ...]:
        """One planned job for each specification: slots that ask for the same one share it."""
        found: dict[str, PlannedJob] = {}
        for job in self.jobs:
            if job.slot.job is not None:
                found.setdefault(fileio.digest_of_data(job.slot.job), job)
        return tuple(found.values())

    def seconds(self) -> float:
        """Estimated wall time on this machine of everything that is not done."""
        return sum(each.cost.seconds for each in self.distinct() if each.cost and not each.done)

    def gpu_seconds(self) -> float:
        """The same on one H200."""
        return sum(each.cost.gpu_seconds for each in self.distinct() if each.cost and not each.done)

    def stuck(self) -> bool:
        """Whether some job cannot run here."""
        return any(job.stuck for job in self.jobs)


def tuning_of(job: Job | None) -> TuningJob | None:
    """The fine-tuning whose weights a job asks."""
    if isinstance(job, ModelJob) and job.tuned:
        return TuningJob(kind="tuning", checkpoint=job.checkpoint, recipe=job.tuned)
    return None


def choose_tier(plans: Mapping[Tier, Plan]) -> Tier:
    """The highest tier whose inputs are there or can be fetched and that fits the budget.

    Args:
        plans: A plan for each tier of the manifest, cheapest tier first.

    Returns:
        That tier, or the cheapest if none fits.
    """
    for tier, plan in reversed(list(plans.items())):
        if not plan.stuck() and plan.seconds() <= DEFAULT_BUDGET:
            return tier
    return next(iter(plans))
