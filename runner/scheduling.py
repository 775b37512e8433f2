"""What the engines that run jobs share: order, room, and who is told how the jobs get on.

Not covered: processes (`execute`) and nodes (`on_ray`).
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from repro.environment import Environment
from repro.jobs import ModelJob
from repro.plan import PlannedJob
from repro.store import Store

Then = Callable[[str], Mapping[str, PlannedJob]]
"""Given the key of a job that was done, what can be run now and could not before."""

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}
"""glibc gives every large tensor back to the kernel and asks for it again; on a CPU that was a
quarter of the time of Mamba's loop (25 s against 33 s for two jobs of the twin)."""


class Watch(Protocol):
    """Told how the jobs get on."""

    def advance(self, job: PlannedJob, done: int, total: int, note: str) -> None:
        """A job has done `done` of `total` units."""

    def finish(self, job: PlannedJob) -> None:
        """A job ended, one way or the other."""


@dataclass(frozen=True)
class Work:
    """What an engine is asked to do."""

    jobs: Mapping[str, PlannedJob]
    """By key; every input is located."""
    store: Store
    """Where records go."""
    machine: Environment
    """What jobs were planned for, and what is recorded where they run on this machine."""
    watch: Watch
    then: Then
    """Asked for more whenever a job is done."""
    memory: int
    """Predicted peak bytes of the largest job, with those that `then` brings."""


def alone(planned: PlannedJob) -> bool:
    """Whether a job sets its process up in its own way, and has to have a new one to itself."""
    return isinstance(planned.slot.job, ModelJob) and planned.slot.job.arm == "ieee"


def largest(jobs: Iterable[PlannedJob], memory: int = 0) -> int:
    """Predicted peak bytes of the largest of some jobs."""
    return max([1, memory, *(job.cost.memory for job in jobs if job.cost)])


def longest_first(item: tuple[str, PlannedJob]) -> float:
    """Sorts jobs by key."""
    cost = item[1].cost
    return -cost.seconds if cost else 0.0


def room_for(machine: Environment, memory: int) -> int:
    """How many jobs a CPU runs at once: cores over threads a job, as far as the memory reaches."""
    cores = len(os.sched_getaffinity(0)) // machine.cpu.threads
    room = machine.memory // (2 * memory) if machine.memory else 1
    return max(1, min(cores, room))
