"""What runs on a node: one process for one GPU, or for the threads of one CPU job.

A process keeps its GPU for its life, because CUDA keeps the one that it started with, and runs job
after job, because torch and lm-eval take seconds to import.

Not covered: which process gets which job (`pool`). Nothing here imports Ray: `remote` hands
these classes to it.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro.environment import machine
from repro.environment.machine import Environment
from repro.environment.revision import Revision
from repro.errors import CannotSaveError, ReproError
from repro.inputs.located import Located
from repro.schema.jobs import Job
from repro.store.store import Store
from runner.measurement import Progress
from runner.ray.transfer import NodeFiles, SentInput

Latest = Mapping[str, tuple[int, int, str]]
"""Units done, units in all and what is being done, by key; see `ProgressNews`."""
_TELL = 0.3
"""Seconds between two reports of one job."""


@dataclass(frozen=True)
class JobResult:
    """How a job ended."""

    reason: str
    """Why it could not run; empty if it did."""
    is_last: bool
    """Whether no other can run either."""
    files: Mapping[str, int] = field(default_factory=dict)
    """Bytes of what has to be brought home, by name."""


class ProgressNews:
    """The latest of each job that is running, on its way home."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[int, int, str]] = {}

    def tell(self, key: str, done: int, total: int, note: str) -> None:
        """A job has done `done` of `total` units."""
        self._latest[key] = (done, total, note)

    def take(self) -> dict[str, tuple[int, int, str]]:
        """What came since the last time, by key."""
        found, self._latest = self._latest, {}
        return found


class Worker(NodeFiles):
    """One process of a node; an actor of Ray."""

    def __init__(self, news: Any, root: Path | None) -> None:  # noqa: ANN401
        """Prepare to run jobs.

        `news` is a handle to `ProgressNews`; `root` is the results folder, where this process sees
        the caller's disk.
        """
        super().__init__()
        self._news, self._told, self._at_home = news, 0.0, root is not None
        self.store = Store(root) if root else self.store
        self.machine = machine.capture()

    def describe(self) -> tuple[str, Environment]:
        """The name of the node, and what this process sees of it: its GPU and no other."""
        return os.uname().nodename, self.machine

    def know_revision(self, revision: Revision | None) -> None:
        """Take the caller's revision for that of the code here, which no git knows.

        A key is of the caller's code, and no job runs here whose key this code does not give.
        """
        self.machine = self.machine.model_copy(update={"revision": revision})

    def work(
        self, key: str, job: Job, inputs: Mapping[str, SentInput | Located], replaces: str
    ) -> JobResult:
        """Run one job; its record says that this process made it."""
        from runner.job import run_job

        try:
            located = {
                role: self.lay_out(key, role, each) if isinstance(each, SentInput) else each
                for role, each in inputs.items()
            }
            progress = self._progress(key)
            run_job(key, job, located, self.store, self.machine, progress, replaces=replaces)
        except CannotSaveError as error:
            return JobResult(str(error), is_last=self._at_home)
        except (ReproError, MemoryError) as error:
            return JobResult(str(error) or "out of memory", is_last=False)
        return JobResult("", is_last=False, files={} if self._at_home else self.made(key))

    def _progress(self, key: str) -> Progress:
        def progress(done: int, total: int, note: str = "") -> None:
            if time.monotonic() - self._told < _TELL and done < total:
                return
            self._told = time.monotonic()
            where = f"{note}, " if note else ""
            self._news.tell.remote(key, done, total, f"{where}{os.uname().nodename}")

        return progress
