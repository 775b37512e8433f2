"""Running planned jobs in worker processes; each job ends as a record on the disk.

On a CPU every job computes with one thread and as many run at once as there are cores and
memory for: numbers then do not depend on the number of cores. A GPU takes one job at a time.

A kill loses at most the jobs that were running. A job that cannot run (memory, a bad
checkpoint) is reported and the others go on; anything unexpected is a bug and ends the run.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from repro.environment import Environment
from repro.errors import CannotSaveError, ReproError
from repro.jobs import Job, ModelJob
from repro.located import Located
from repro.plan import PlannedJob
from repro.store import Store
from runner.one_job import run_job

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

News = tuple[str, int, int, str]
"""Key of a job, units done, units in all, and what is being done."""

_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}
"""glibc gives every large tensor back to the kernel and asks for it again; on a CPU that was a
quarter of the time of Mamba's loop (25 s against 33 s for two jobs of the twin)."""
_POLL = 0.2
"""Seconds between two looks at the workers."""


class Watch(Protocol):
    """Told how the jobs get on."""

    def advance(self, job: PlannedJob, done: int, total: int, note: str) -> None:
        """A job has done `done` of `total` units."""

    def finish(self, job: PlannedJob) -> None:
        """A job ended, one way or the other."""


def execute(
    jobs: Mapping[str, PlannedJob], store: Store, machine: Environment, watch: Watch
) -> dict[str, str]:
    """Run jobs and save a record for each, the longest first.

    Args:
        jobs: Key to planned job; every input is located.
        store: Where records go.
        machine: What is recorded as the environment.
        watch: Told of progress.

    Returns:
        Key to reason, for every job that could not run.
    """
    for name, value in _KEEP_MEMORY.items():
        os.environ.setdefault(name, value)  # read by the workers' C library as they start
    failed: dict[str, str] = {}
    for batch in _batches(jobs):
        failed |= _in_one_pool(batch, store, machine, watch)
    return failed


def _batches(jobs: Mapping[str, PlannedJob]) -> Iterator[Mapping[str, PlannedJob]]:
    """Jobs that share processes, then one by one those that set one up in their own way."""
    alone = [
        key
        for key, planned in jobs.items()
        if isinstance(planned.slot.job, ModelJob) and planned.slot.job.arm == "ieee"
    ]
    shared = {key: planned for key, planned in jobs.items() if key not in alone}
    if shared:
        yield shared
    yield from ({key: jobs[key]} for key in alone)


def _in_one_pool(
    jobs: Mapping[str, PlannedJob], store: Store, machine: Environment, watch: Watch
) -> dict[str, str]:
    """As `execute` says, in one pool of processes."""
    failed: dict[str, str] = {}
    context = multiprocessing.get_context("spawn")
    news: SimpleQueue[News] = context.SimpleQueue()
    with ProcessPoolExecutor(
        _workers(jobs, machine), context, _start_worker, (news, os.getpid())
    ) as pool:
        waiting = {
            pool.submit(_work, key, job, planned.inputs, store.root, machine): key
            for key, planned in sorted(jobs.items(), key=_longest_first)
            if (job := planned.slot.job)
        }
        try:
            while waiting:
                ended, _ = wait(waiting, _POLL, FIRST_COMPLETED)
                _pass_on(news, jobs, watch)
                for future in ended:
                    key = waiting.pop(future)
                    watch.finish(jobs[key])
                    reason, is_last = _reason(future)
                    if reason:
                        failed[key] = reason
                    if is_last:
                        failed |= _cancel(waiting, reason)
        except BaseException:
            for child in multiprocessing.active_children():
                child.terminate()
            raise
    return failed


def _longest_first(item: tuple[str, PlannedJob]) -> float:
    cost = item[1].cost
    return -cost.seconds if cost else 0.0


def _workers(jobs: Mapping[str, PlannedJob], machine: Environment) -> int:
    """How many jobs run at once: cores over threads a job, as far as the memory reaches."""
    if machine.gpu:
        return 1
    cores = len(os.sched_getaffinity(0)) // machine.cpu.threads
    largest = max(job.cost.memory if job.cost else 1 for job in jobs.values())
    room = machine.memory // (2 * largest) if machine.memory else 1
    return max(1, min(cores, room, len(jobs)))


# -----------------------------------------------------------------------------
# In the parent


def _pass_on(news: "SimpleQueue[News]", jobs: Mapping[str, PlannedJob], watch: Watch) -> None:
    while not news.empty():
        key, done, total, note = news.get()
        watch.advance(jobs[key], done, total, note)


def _reason(future: "Future[tuple[str, bool]]") -> tuple[str, bool]:
    """Why a job could not run (empty if it did), and whether no other can either."""
    try:
        return future.result()
    except BrokenProcessPool:
        return "its process was killed, most likely for want of memory", True


def _cancel(waiting: dict["Future[tuple[str, bool]]", str], reason: str) -> dict[str, str]:
    """Take back what has not started; what runs already is waited for."""
    cancelled = {waiting[future]: reason for future in list(waiting) if future.cancel()}
    for future in list(waiting):
        if future.cancelled():
            del waiting[future]
    return cancelled


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


def _work(
    key: str, job: Job, located: Mapping[str, Located], root: Path, machine: Environment
) -> tuple[str, bool]:
    def progress(done: int, total: int, note: str = "") -> None:
        _NEWS[0].put((key, done, total, note))

    try:
        run_job(key, job, located, Store(root), machine, progress)
    except CannotSaveError as error:
        return str(error), True  # a full disk will not take the next record either
    except (ReproError, MemoryError) as error:
        return str(error) or "out of memory", False
    return "", False
