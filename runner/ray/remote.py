"""One process on a node of a Ray cluster, as it is seen from here.

Not covered: which process gets which job (`pool`); what it does there (`worker`).
"""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read at import: nothing is reported to anybody
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # nor is another Ray started when this one is lost
os.environ.setdefault("RAY_DISABLE_IMPORT_WARNING", "1")

import ray
from ray import exceptions

from repro.environment.machine import NUMERIC_FLAGS, Environment
from repro.errors import CannotRunError, CannotSaveError, first_line
from repro.inputs.located import Located
from repro.planning.plan import PlannedJob
from repro.schema.jobs import KINDS
from repro.store.store import Store
from runner.local import KEEP_MEMORY
from runner.ray import transfer
from runner.ray.transfer import NoRoomError
from runner.ray.worker import JobResult, Latest, ProgressNews, Worker

_LOST = (
    exceptions.RayActorError,
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.OutOfMemoryError,
    exceptions.ObjectLostError,
    exceptions.OwnerDiedError,
    exceptions.LocalRayletDiedError,
)
"""A node went, or Ray's own killer took the process for want of memory: no fault of the job."""


class LostProcessError(Exception):
    """A process is gone, with its node or without."""


class UnsuitableProcessError(Exception):
    """A process cannot take these jobs; another may."""


class RemoteProcess:
    """One process on a node."""

    def __init__(self, actor: Any) -> None:  # noqa: ANN401
        self.actor = actor
        self.used = self.spent = False
        """Whether it has run a job; whether that job leaves it unfit for another."""

    def ask(self, method: str, *arguments: object) -> Any:  # noqa: ANN401
        """Call a method of `Worker` and wait for what it returns."""
        try:
            return ray.get(getattr(self.actor, method).remote(*arguments))
        except _LOST as error:
            raise LostProcessError(first_line(error)) from error

    def end(self) -> None:
        """End the process, whatever it is doing."""
        with suppress(Exception):  # it is gone; or all are, and Ray's client says no more than that
            ray.kill(self.actor)

    def wait_and_check(self, planned: Environment) -> str:
        """Wait for it to be there, and hold its environment to what was planned.

        Returns:
            The name of its node.

        Raises:
            UnfitError: its records would have other keys than were planned.
        """
        node, found = self.ask("describe")
        different = differences(planned, found)
        if different:
            message = f"{node} differs from what was planned: {', '.join(different)}"
            raise UnsuitableProcessError(message)
        self.ask("know_revision", planned.revision)
        return str(node)

    def run_on_shared_disk(self, key: str, planned: PlannedJob) -> JobResult:
        """Run a job where it sees the disk that this process sees."""
        outcome: JobResult = self.ask(
            "work", key, planned.slot.job, planned.inputs, planned.replaces
        )
        return outcome

    def run_on_own_disk(
        self, key: str, planned: PlannedJob, store: Store, sending: threading.Lock
    ) -> JobResult:
        """Send what a job reads, run it, and bring its record home.

        Raises:
            LostError: the process is gone.
            UnfitError: its node has no room for what the job reads.
        """
        try:
            with sending:  # never twice to one node
                sent = {role: self._send(each) for role, each in planned.inputs.items()}
        except NoRoomError as error:
            raise UnsuitableProcessError(str(error)) from error
        outcome: JobResult = self.ask("work", key, planned.slot.job, sent, planned.replaces)
        if outcome.reason:
            self.ask("forget", key)
            return outcome
        try:
            transfer.fetch_record(key, outcome.files, lambda *at: self.ask("read", key, *at), store)
        except CannotRunError as error:
            return JobResult(str(error), is_last=isinstance(error, CannotSaveError))
        self.ask("home", key)
        return outcome

    def _send(self, located: Located) -> transfer.SentInput:
        """Send those files of an input that the node lacks."""
        sent_input, paths = transfer.input_to_send(located)
        for sha in self.ask("lacks", {item.sha256: item.size for item in sent_input.items}):
            for offset in range(0, paths[sha].stat().st_size, transfer.PIECE):
                self.ask("write", sha, offset, transfer.piece(paths[sha], offset))
            self.ask("seal", sha)
        return sent_input


def differences(planned: Environment, found: Environment) -> list[str]:
    """What of a process would give its records other keys than were planned."""
    names = {name for each in KINDS.values() for name in each.LIBRARIES}
    sides = [
        each.key_parts() | {name: each.packages[name] for name in names if name in each.packages}
        for each in (planned, found)
    ]
    return [
        f"{name} {sides[1].get(name, 'none')} (planned: {sides[0].get(name, 'none')})"
        for name in sorted({*sides[0], *sides[1]})
        if sides[0].get(name) != sides[1].get(name)
    ]


def flags() -> dict[str, str]:
    """Variables that can change a number as they are here, and glibc's."""
    here = {name: os.environ[name] for name in NUMERIC_FLAGS if name in os.environ}
    return KEEP_MEMORY | here


def start(machine: Environment, memory: int, news: Any, root: Path | None) -> RemoteProcess:  # noqa: ANN401
    """Ask for a process: one GPU, or the threads and the memory of a job."""
    wanted: dict[str, Any] = {"num_gpus": 1, "num_cpus": 1}
    if machine.gpu is None:
        wanted = {"num_cpus": machine.cpu.threads, "memory": memory}
    actor: Any = ray.remote(Worker)
    return RemoteProcess(actor.options(**wanted).remote(news, root))


def news() -> Any:  # noqa: ANN401
    """Where processes tell how far they are; it starts again where its node is lost."""
    actor: Any = ray.remote(ProgressNews)
    return actor.options(num_cpus=0, max_restarts=-1).remote()


def latest(news: Any) -> Latest:  # noqa: ANN401
    """What came; nothing while the node that keeps it is being replaced."""
    try:
        found: Latest = ray.get(news.take.remote(), timeout=1)
    except exceptions.RayError:
        return {}
    return found
