"""The plan of a run: which jobs, what is done, what is missing, what it costs."""

import graphlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from repro import fileio
from repro.inputs.locate import InputLocator
from repro.inputs.located import Located, Missing
from repro.planning import cost
from repro.schema.groups import Slot
from repro.schema.jobs import Job, ModelJob, Tier, TuningJob
from repro.schema.manifest import Manifest

DEFAULT_BUDGET = 30 * 60
"""Seconds that a run may take before the default tier steps down (DESIGN, command line)."""

State = Literal["done", "ready", "waits", "fetch", "blocked"]
"""`waits`: for what a job before it makes, a tuned checkpoint or a first setting's answers."""


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
    rank: int = 0
    """Where a budget has it: lower ranks run first."""

    @property
    def done(self) -> bool:
        """Whether its record is there."""
        return self.state == "done"

    @property
    def seconds(self) -> float:
        """Estimated wall time on this machine, as long as it is not done."""
        return self.cost.seconds if self.cost and not self.done else 0.0

    @property
    def gpu_seconds(self) -> float:
        """The same on one H200."""
        return self.cost.gpu_seconds if self.cost and not self.done else 0.0

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
    left_out: tuple[PlannedJob, ...] = ()
    """Jobs that are not run though they could be, with the reason (`repro.planning.selection`)."""

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
        return sum(each.seconds for each in self.distinct())

    def gpu_seconds(self) -> float:
        """The same on one H200."""
        return sum(each.gpu_seconds for each in self.distinct())

    def stuck(self) -> bool:
        """Whether some job cannot run here."""
        return any(job.stuck for job in self.jobs)


def made_before(job: Job | None) -> TuningJob | ModelJob | None:
    """The job whose record a job reads: the tuning whose weights it asks, or the first setting's.

    What was tuned is not screened.
    """
    if isinstance(job, ModelJob) and job.tuned:
        return TuningJob(kind="tuning", checkpoint=job.checkpoint, recipe=job.tuned)
    return job.first() if isinstance(job, ModelJob) else None


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


# -----------------------------------------------------------------------------
# The one graph of jobs behind any number of plans: who shares what, and what waits for what.
#
# A node is a job by its specification, whichever manifests ask for it; an edge leads from a job to
# those that read its record (`made_before`).
#
# Not covered: how a job is planned (`plan`), and where it runs (`runner`).


@dataclass(frozen=True)
class JobNode:
    """One job, and everything that asks for it."""

    planned: PlannedJob
    """As the first slot that asks for it has it."""
    needed_by: tuple[str, ...]
    """`<manifest>/<slot>` of every slot that it fills."""
    after: str | None
    """Node of the job whose record it reads."""

    @property
    def seconds(self) -> float:
        """As of the planned job."""
        return self.planned.seconds

    @property
    def gpu_seconds(self) -> float:
        """The same."""
        return self.planned.gpu_seconds


@dataclass(frozen=True)
class JobGraph:
    """Distinct jobs by the digest of their specification."""

    nodes: Mapping[str, JobNode]

    def order(self) -> tuple[str, ...]:
        """Every node after what it waits for."""
        edges = {name: [node.after] if node.after else [] for name, node in self.nodes.items()}
        return tuple(graphlib.TopologicalSorter(edges).static_order())

    def critical_path(self) -> tuple[float, tuple[str, ...]]:
        """Seconds here of the longest chain that is not done, however many jobs run at once.

        Returns:
            Seconds, and the names of its jobs, first to last.
        """
        ends: dict[str, float] = {}
        for name in self.order():
            node = self.nodes[name]
            ends[name] = node.seconds + (ends[node.after] if node.after else 0.0)
        if not ends:
            return 0.0, ()
        last = max(ends, key=lambda name: ends[name])
        chain, at = list[str](), str(last)
        while at:
            if self.nodes[at].seconds:
                chain.append(self.nodes[at].planned.slot.name)
            at = self.nodes[at].after or ""
        return ends[last], tuple(reversed(chain))

    def to_come(self) -> tuple[PlannedJob, ...]:
        """Jobs that a run starts: those that are ready, and those that wait for one of them."""
        return tuple(
            node.planned for node in self.nodes.values() if node.planned.state in ("ready", "waits")
        )

    def slots(self) -> int:
        """Places in the manifests that these jobs fill."""
        return sum(len(node.needed_by) for node in self.nodes.values())

    def saved(self) -> tuple[int, float]:
        """What sharing saves of work that is not done: jobs, and seconds on one H200."""
        again = [
            (len(node.needed_by) - 1, node.gpu_seconds)
            for node in self.nodes.values()
            if not node.planned.done
        ]
        return sum(times for times, _ in again), sum(times * each for times, each in again)

    def download(self) -> int:
        """Bytes to fetch, each thing once."""
        missing = {each.what: each for node in self.nodes.values() for each in node.planned.missing}
        return sum(each.download for each in missing.values())

    def made(self) -> int:
        """Bytes of tuned models and records that are still to be made, about."""
        jobs = [node.planned for node in self.nodes.values() if not node.planned.done]
        locator = InputLocator()
        return sum(
            job.stored_bytes(locator.checkpoint_of(job), locator.data_of(job))
            for each in jobs
            if (job := each.slot.job)
        )


def graph_of(plans: Iterable[Plan]) -> JobGraph:
    """The graph of some plans; slots without a job are no nodes."""
    first: dict[str, PlannedJob] = {}
    needed: dict[str, list[str]] = {}
    for plan in plans:
        for planned in plan.jobs:
            if planned.slot.job is None:
                continue
            name = job_digest(planned.slot.job)
            first.setdefault(name, planned)
            needed.setdefault(name, []).append(f"{plan.manifest.id}/{planned.slot.id}")
    return JobGraph(
        {
            name: JobNode(planned, tuple(needed[name]), _dependencies(planned, first))
            for name, planned in first.items()
        }
    )


def job_digest(job: Job) -> str:
    """The digest of what a job computes."""
    return fileio.digest_of_data(job.specification())


def _dependencies(planned: PlannedJob, known: Mapping[str, PlannedJob]) -> str | None:
    before = made_before(planned.slot.job)
    name = job_digest(before) if before else ""
    return name if name in known else None
