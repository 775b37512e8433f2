"""`--on ray` and `--on ray://…`: all GPUs of this machine, or the nodes of a cluster.

ray: a Ray of its own on this machine, which ends with the run (`RayOnThisMachine`).
ray://HOST:PORT, ray://auto: a cluster that is there already (`RayCluster`).

Reference: Ray 2.31.0. Not covered: who may talk to a cluster; Ray asks nobody for a password
(docs/cluster.md).
"""

import os
import shutil
import signal
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from repro import paths
from repro.environment import machine as environment
from repro.environment import revision
from repro.environment.machine import Environment
from repro.errors import CannotRunError, first_line
from runner.local import Work, jobs_at_once
from runner.ray import remote
from runner.ray.pool import JobPool
from runner.ray.worker import Latest

# -----------------------------------------------------------------------------
# The nodes of a cluster that is there already
#
# They are asked what they are before anything is planned, so that keys are of the machines that
# will compute; code, data and weights go to them and records come back.

_MOST = 48
"""Processes at once; for one without a node, the cluster's autoscaler starts a node."""
_CODE = ("repro", "runner")
_KNOWN = ("catalog", "pinned-requirements.txt", "pinned-kernels.txt")
"""What nodes need of the tool; data and weights go by digest."""
_BUNDLE = "bundle"
"""Where a bundle that does not lie with the tool is on a node, in what it works in."""
_ASK = 120
"""Seconds that a node may take to say what it is."""
_LOOK = 5
"""Seconds between two looks at whether the cluster is there, and this process's own node in it."""
_SILENCE = 20
"""Seconds without a head after which a run gives up; Ray takes 60."""


class RayCluster:
    """The nodes of a cluster that this process has joined."""

    def __init__(self, *, from_outside: bool) -> None:
        """Prepare; from outside, a server on the head is what is in the cluster."""
        self._from_outside = from_outside

    def machine(self) -> Environment:
        """What most of the nodes are: with a GPU if any node has one.

        Raises:
            CannotRunError: no node says what it is.
        """
        nodes = [each for each in ray.nodes() if each["Alive"]]
        with_gpu = [each for each in nodes if each["Resources"].get("GPU")]
        asked = [_describe(each, gpu=bool(with_gpu)) for each in with_gpu or nodes]
        said, _ = ray.wait(asked, num_returns=len(asked), timeout=_ASK) if asked else ([], [])
        machines = [each for each in map(_wait_for, said) if each]
        if not machines:
            message = f"none of the {len(nodes)} nodes of the cluster said in {_ASK} s what it is"
            raise CannotRunError(message)
        kinds = [each.key_parts() for each in machines]
        found = max(machines, key=lambda each: kinds.count(each.key_parts()))
        # Its code is this process's, sent along; no git lies there that could say which.
        return found.model_copy(update={"revision": revision.own()})

    def execute(self, work: Work) -> dict[str, str]:
        """As `runner.local.execute`.

        Raises:
            CannotRunError: the cluster's head is lost, or this process's own node.
        """
        news = remote.news()
        start = partial(remote.start, work.machine, work.memory, news, None)
        latest = partial(remote.latest, news) if self._from_outside else _latest_while_joined(news)
        try:
            return JobPool(start, _MOST, work, ships=True).run(latest)
        except Exception as error:
            # Ray's client is not connected any more: it says so by a plain Exception.
            lost = isinstance(error, OSError) or not ray.is_initialized()
            if isinstance(error, exceptions.RayError) or not lost:  # a job's own, on a node; a bug
                raise
            message = (
                "this run has lost its cluster, by its own node or by the head "
                f"({first_line(error)}); finished jobs are kept: start the same command again, "
                "where there is a cluster"
            )
            raise CannotRunError(message) from error


def join_cluster(address: str, stack: ExitStack) -> None:
    """Connect, with our code, and what the bundle's catalog knows, for the nodes."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="repro-code-")))
    sources = {name: revision.CODE / name for name in _CODE}
    sources |= {name: paths.ROOT / name for name in _KNOWN}
    bundle, named = paths.bundle(), dict[str, str]()
    if bundle.root != paths.ROOT and bundle.catalog.is_dir():
        sources[f"{_BUNDLE}/catalog"], named = bundle.catalog, {paths.NAMED: _BUNDLE}
    for name, source in sources.items():
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    stack.callback(ray.shutdown)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say, the error says too
        ray.init(
            address,
            runtime_env={"working_dir": str(folder), "env_vars": remote.flags() | named},
            log_to_driver=False,
            logging_level="ERROR",
        )


def _latest_while_joined(news: Any) -> Callable[[], Latest]:  # noqa: ANN401
    """`remote.latest`, which looks at times whether this process is still in the cluster.

    Without a node of its own Ray starts no process, and does not always say so; without a head it
    ends this process after a minute, with 1, which is what a contradicted claim has.
    """
    context = ray.get_runtime_context()
    own, head = context.get_node_id(), context.gcs_address
    looked = heard = time.monotonic()

    def latest() -> Latest:
        nonlocal looked, heard
        now = time.monotonic()
        if now - looked >= _LOOK:
            looked = now
            heard = now if _is_listening(head) else heard
            _check_joined(own, head, now - heard)
        return remote.latest(news)

    return latest


def _check_joined(own: str, head: str, silence: float) -> None:
    """Whether the head still counts a node, or has been silent for too many seconds."""
    if silence > _SILENCE:
        message = f"its head at {head} has been silent for {silence:.0f} s"
        raise ConnectionError(message)
    if not silence and own not in {each["NodeID"] for each in ray.nodes() if each["Alive"]}:
        message = "its head says so"
        raise ConnectionError(message)


def _is_listening(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def _describe(node: Mapping[str, Any], *, gpu: bool) -> Any:  # noqa: ANN401
    """Ask a node what it is, with one of its GPUs if it has any."""
    here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    wanted = {"num_gpus": 1} if gpu else {"num_cpus": 0}
    task: Any = ray.remote(environment.capture)
    return task.options(scheduling_strategy=here, max_retries=0, **wanted).remote()


def _wait_for(reference: Any) -> Environment | None:  # noqa: ANN401
    try:
        found: Environment = ray.get(reference)
    except exceptions.RayError:
        return None
    return found


# -----------------------------------------------------------------------------
# All GPUs, or all cores, of this machine, by a Ray of the run's own
#
# Its processes see the same disk, and nothing of it is left afterwards.

_OBJECTS = 100 << 20
"""Bytes of Ray's object store: nothing large goes through it."""


class RayOnThisMachine:
    """All GPUs, or all cores, of this machine."""

    machine = staticmethod(environment.capture)

    def execute(self, work: Work) -> dict[str, str]:
        """As `runner.local.execute`."""
        machine = work.machine
        limit = len(machine.gpus) or jobs_at_once(machine, work.memory)
        with _ray_on_this_machine(machine):
            news, root = remote.news(), work.store.root.resolve()
            start = partial(remote.start, machine, work.memory, news, root)
            return JobPool(start, limit, work).run(lambda: remote.latest(news))


@contextmanager
def _ray_on_this_machine(machine: Environment) -> Iterator[None]:
    """A Ray of this process's own, which leaves nothing behind."""
    # Not the user's TMPDIR: a socket's path may have 107 characters, and sockets lie in it.
    base = os.environ.get("RAY_TMPDIR", "/tmp")  # noqa: S108
    folder = tempfile.mkdtemp(prefix="repro-ray-", dir=base)
    try:
        _start_ray(machine, folder)
        yield
    finally:
        ray.shutdown()
        _end_stragglers(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _end_stragglers(folder: str) -> None:
    """An agent of Ray that has not quite started does not notice for a minute that Ray is gone."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            if f"dir={folder}".encode() in path.read_bytes():  # an argument of its own, no reader's
                os.kill(int(path.parent.name), signal.SIGKILL)


def _start_ray(machine: Environment, folder: str) -> None:
    try:
        ray.init(
            "local",
            num_cpus=len(os.sched_getaffinity(0)),
            num_gpus=len(machine.gpus),
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=_OBJECTS,
            _memory=machine.ram or None,
            _temp_dir=folder,
            runtime_env={"env_vars": remote.flags()},
        )
    except (OSError, RuntimeError, ValueError, exceptions.RayError) as error:
        message = f"--on ray: Ray did not start in {folder}: {first_line(error)}"
        raise CannotRunError(message) from error


# -----------------------------------------------------------------------------
# Which of them


@contextmanager
def engine(where: str) -> Iterator[RayOnThisMachine | RayCluster]:
    """What `--on` names; whatever it started is gone afterwards.

    Raises:
        CannotRunError: no cluster answers there, or it is another Ray.
    """
    if where == "ray":
        yield RayOnThisMachine()
        return
    with ExitStack() as stack:
        try:
            join_cluster("auto" if where == "ray://auto" else where, stack)
        except (ConnectionError, RuntimeError, exceptions.RayError) as error:
            hint = (
                "start this on a node of one, or name one: ray://HOST:PORT"
                if where == "ray://auto"
                else "is the port open, and is it the head's `--ray-client-server-port`?"
            )
            said = first_line(error).rstrip(".")
            message = f"--on {where}: no cluster can be joined there: {said}; {hint}"
            raise CannotRunError(message) from error
        yield RayCluster(from_outside=where != "ray://auto")
