"""What jobs cost, before anything starts: each kind's own estimate, here and on one H200."""

from collections.abc import Iterable
from dataclasses import dataclass

from repro import fileio
from repro.environment.machine import Environment
from repro.inputs.locate import Shelf
from repro.schema.jobs import Job


@dataclass(frozen=True)
class Cost:
    """An estimate."""

    seconds: float
    """Wall time on this machine."""
    gpu_seconds: float
    """Wall time on one H200, whatever this machine is."""
    memory: int
    """Peak bytes of the device that runs it."""


def of_job(job: Job, shelf: Shelf, machine: Environment) -> Cost:
    """Estimate one job on this machine."""
    found = job.estimate(shelf.checkpoint_of(job), shelf.data_of(job))
    here = found.gpu_seconds if machine.gpu else found.cpu_seconds
    return Cost(here, found.gpu_seconds, found.memory)


def distinct(jobs: Iterable[Job | None]) -> list[Job]:
    """Jobs without those that are there already: slots that ask for the same one share it."""
    return list({fileio.digest_of_data(job): job for job in jobs if job is not None}.values())


def gpu_hours(jobs: Iterable[Job], shelf: Shelf) -> float:
    """Hours of distinct jobs on one H200, one after another, with nothing cached."""
    found = (job.estimate(shelf.checkpoint_of(job), shelf.data_of(job)) for job in jobs)
    return sum(each.gpu_seconds for each in found) / 3600
