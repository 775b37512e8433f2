"""Running planned jobs in worker processes; each job ends as a record on the disk.

On a CPU every job computes with one thread and as many run at once as there are cores and
memory for: numbers then do not depend on the number of cores. One GPU takes one job at a time. What
asks a tuned model starts as soon as its tuning is done.

A kill loses at most the jobs that were running. A job that cannot run (memory, a bad
checkpoint) is reported and the others go on; anything unexpected is a bug and ends the run.

Not covered: more than one GPU, and other machines (`runner.ray`).
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from repro.environment.machine import Environment
from repro.errors import CannotSaveError, ReproError
from repro.inputs.located import Located
from repro.planning.plan import PlannedJob
from repro.schema.jobs import Job, ModelJob
from repro.store.store import Store
from runner.job import run_job

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue


# -----------------------------------------------------------------------------
# What the engines that run jobs share: order, room, and who is told how the jobs get on

Then = Callable[[str], Mapping[str, PlannedJob]]
"""Given the key of a job that was done, what can be run now and could not before."""

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}
"""glibc gives every large tensor back to the kernel and asks for it again; on a CPU that was a
quarter of the time of Mamba's loop (25 s against 33 s for two jobs of the twin)."""


class ProgressWatcher(Protocol):
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
    watch: ProgressWatcher
    then: Then
    """Asked for more whenever a job is done."""
    memory: int
    """Predicted peak bytes of the largest job, with those that `then` brings."""


def needs_own_process(planned: PlannedJob) -> bool:
    """Whether a job sets its process up in its own way, and has to have a new one to itself."""
    return isinstance(planned.slot.job, ModelJob) and planned.slot.job.arm == "ieee"


def largest_memory(jobs: Iterable[PlannedJob], memory: int = 0) -> int:
    """Predicted peak bytes of the largest of some jobs."""
    return max([1, memory, *(job.cost.memory for job in jobs if job.cost)])


def longest_first(item: tuple[str, PlannedJob]) -> tuple[int, float]:
    """Sorts jobs by key: the longest first, of those that a budget bought at once."""
    cost = item[1].cost
    return item[1].rank, -cost.seconds if cost else 0.0


def jobs_at_once(machine: Environment, memory: int) -> int:
    """How many jobs a CPU runs at once: cores over threads a job, as far as the memory reaches."""
    cores = len(os.sched_getaffinity(0)) // machine.cpu.threads
    room = machine.memory // (2 * memory) if machine.memory else 1
    return max(1, min(cores, room))


# -----------------------------------------------------------------------------
# In the parent

News = tuple[str, int, int, str]
"""Key of a job, units done, units in all, and what is being done."""

_POLL = 0.2
"""Seconds between two looks at the workers."""


def execute(work: Work) -> dict[str, str]:
    """Run jobs and save a record for each, the longest first.

    Returns:
        Key to reason, for every job that could not run.
    """
    for name, value in KEEP_MEMORY.items():
        os.environ.setdefault(name, value)  # read by the workers' C library as they start
    failed: dict[str, str] = {}
    waiting = dict(work.jobs)
    memory = largest_memory(work.jobs.values(), work.memory)
    while waiting:
        batch = _batch(waiting)
        for key in batch:
            del waiting[key]
        failed |= _Pool(work, batch, lambda key: _split(work.then(key), waiting)).run(memory)
    return failed


def _batch(jobs: Mapping[str, PlannedJob]) -> dict[str, PlannedJob]:
    """Jobs that share processes; where there are none left, one that does not."""
    shared = {key: planned for key, planned in jobs.items() if not needs_own_process(planned)}
    return shared or dict([next(iter(jobs.items()))])


def _split(found: Mapping[str, PlannedJob], later: dict[str, PlannedJob]) -> dict[str, PlannedJob]:
    """Those that go on in the pool; the others wait for a process of their own."""
    later |= {key: planned for key, planned in found.items() if needs_own_process(planned)}
    return {key: planned for key, planned in found.items() if not needs_own_process(planned)}


@dataclass
class _Pool:
    """Some jobs in one pool of processes, and those that come while they run."""

    work: Work
    jobs: dict[str, PlannedJob]
    then: Then
    waiting: "dict[Future[tuple[str, bool]], str]" = field(default_factory=dict)

    def run(self, memory: int) -> dict[str, str]:
        """As `execute` says."""
        failed, stopped = dict[str, str](), list[str]()
        context = multiprocessing.get_context("spawn")
        news: SimpleQueue[News] = context.SimpleQueue()
        machine, watch = self.work.machine, self.work.watch
        size = 1 if machine.gpu else jobs_at_once(machine, memory)
        # Processes start as jobs come: more than there are jobs never do.
        with ProcessPoolExecutor(size, context, _start_worker, (news, os.getpid())) as pool:
            self._submit(pool, self.jobs)
            try:
                while self.waiting:
                    ended, _ = wait(self.waiting, _POLL, FIRST_COMPLETED)
                    while not news.empty():
                        key, done, total, note = news.get()
                        watch.advance(self.jobs[key], done, total, note)
                    told = {self.waiting.pop(future): _reason(future) for future in ended}
                    stopped += [reason for reason, is_last in told.values() if is_last]
                    for key, (reason, _) in told.items():
                        watch.finish(self.jobs[key])
                        if reason:
                            failed[key] = reason
                        elif not stopped:
                            self._submit(pool, self.then(key))
                    if stopped:
                        failed |= self._cancel(stopped[0])
            except BaseException:
                for child in multiprocessing.active_children():
                    child.terminate()
                raise
        return failed

    def _submit(self, pool: ProcessPoolExecutor, jobs: Mapping[str, PlannedJob]) -> None:
        self.jobs = {**self.jobs, **jobs}
        for key, planned in sorted(jobs.items(), key=longest_first):
            if job := planned.slot.job:
                root, machine = self.work.store.root, self.work.machine
                given = (key, job, planned.inputs, root, machine, planned.replaces)
                self.waiting[pool.submit(_run_in_worker, *given)] = key

    def _cancel(self, reason: str) -> dict[str, str]:
        """Take back what has not started; what runs already is waited for."""
        cancelled = [future for future in list(self.waiting) if future.cancel()]
        return {self.waiting.pop(future): reason for future in cancelled}


def _reason(future: "Future[tuple[str, bool]]") -> tuple[str, bool]:
    """Why a job could not run (empty if it did), and whether no other can either."""
    try:
        return future.result()
    except BrokenProcessPool:
        return "its process was killed, most likely for want of memory", True


# -----------------------------------------------------------------------------
# In a worker

_NEWS: "list[SimpleQueue[News]]" = []
"""The way back to the parent; set once, when the worker starts."""


def _start_worker(news: "SimpleQueue[News]", parent: int) -> None:
    """Leave interrupts to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _NEWS.append(news)

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)  # a killed parent cannot ask; a record is whole or absent all the same

    threading.Thread(target=follow, daemon=True).start()


def _run_in_worker(
    key: str,
    job: Job,
    located: Mapping[str, Located],
    root: Path,
    machine: Environment,
    replaces: str,
) -> tuple[str, bool]:
    def progress(done: int, total: int, note: str = "") -> None:
        _NEWS[0].put((key, done, total, note))

    try:
        run_job(key, job, located, Store(root), machine, progress, replaces=replaces)
    except CannotSaveError as error:
        return str(error), True  # a full disk will not take the next record either
    except (ReproError, MemoryError) as error:
        return str(error) or "out of memory", False
    return "", False
