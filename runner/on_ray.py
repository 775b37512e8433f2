"""`--on ray` and `--on ray://…`: all GPUs of this machine, or the nodes of a cluster.

ray: a Ray of its own on this machine, which ends with the run; its processes see the same disk.
ray://HOST:PORT, ray://auto: a cluster that is there already. Its nodes are asked what they are
before anything is planned, so that keys are of the machines that will compute; code, data and
weights go to them and records come back.

Reference: Ray 2.31.0. Not covered: who may talk to a cluster; Ray asks nobody for a password
(docs/cluster.md).
"""

import os
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read at import: nothing is reported to anybody
os.environ.setdefault("RAY_DISABLE_IMPORT_WARNING", "1")

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from repro import bundle, environment
from repro.environment import NUMERIC_FLAGS, Environment
from repro.errors import CannotRunError
from runner.on_ray_pool import Latest, Pool
from runner.on_ray_remote import Remote
from runner.on_ray_worker import News, Worker
from runner.scheduling import KEEP_MEMORY, Work, room_for

_OBJECTS = 100 << 20
"""Bytes of Ray's object store on this machine: nothing large goes through it."""
_MOST = 48
"""Processes of a cluster at once; for one without a node, its autoscaler starts a node."""
_CODE = ("repro", "runner", "catalog", "pinned-requirements.txt", "pinned-kernels.txt")
"""What nodes need of this bundle; data and weights go by digest."""
_ASK = 120
"""Seconds that a node may take to say what it is."""


class Here:
    """All GPUs, or all cores, of this machine."""

    machine = staticmethod(environment.capture)

    def execute(self, work: Work) -> dict[str, str]:
        """As `runner.execute.execute`."""
        machine = work.machine
        limit = len(machine.gpus) or room_for(machine, work.memory)
        with _ray_here(machine):
            news, root = _news(), work.store.root.resolve()
            start = partial(_start, machine, work.memory, news, root)
            return Pool(start, limit, work).run(lambda: _latest(news))


class There:
    """The nodes of a cluster that this process has joined."""

    def machine(self) -> Environment:
        """What most of the nodes are: with a GPU if any node has one.

        Raises:
            CannotRunError: no node says what it is.
        """
        nodes = [each for each in ray.nodes() if each["Alive"]]
        with_gpu = [each for each in nodes if each["Resources"].get("GPU")]
        asked = [_describe(each, gpu=bool(with_gpu)) for each in with_gpu or nodes]
        found, _ = ray.wait(asked, num_returns=len(asked), timeout=_ASK) if asked else ([], [])
        machines = [machine for machine in map(_answer, found) if machine]
        if not machines:
            message = f"none of the {len(nodes)} nodes of the cluster said in {_ASK} s what it is"
            raise CannotRunError(message)
        kinds = Counter(repr(sorted(each.key_parts().items())) for each in machines)
        most = kinds.most_common(1)[0][0]
        return next(each for each in machines if repr(sorted(each.key_parts().items())) == most)

    def execute(self, work: Work) -> dict[str, str]:
        """As `runner.execute.execute`.

        Raises:
            CannotRunError: the node that joined this process to the cluster is lost.
        """
        news = _news()
        start = partial(_start, work.machine, work.memory, news, None)
        try:
            return Pool(start, _MOST, work, ships=True).run(lambda: _latest(news))
        except OSError as error:
            if isinstance(error, exceptions.RayError):  # raised on a node, by a job
                raise
            message = (
                f"the node by which this run was in the cluster is gone ({error}); finished jobs "
                "are kept: start the same command again, where there is a node"
            )
            raise CannotRunError(message) from error


@contextmanager
def engine(where: str) -> Iterator[Here | There]:
    """What `--on` names; whatever it started is gone afterwards.

    Raises:
        CannotRunError: no cluster answers there, or it is another Ray.
    """
    if where == "ray":
        yield Here()
        return
    with ExitStack() as stack:
        try:
            _join("auto" if where == "ray://auto" else where, stack)
        except (ConnectionError, RuntimeError, exceptions.RayError) as error:
            hint = (
                "start this on a node of one, or name one: ray://HOST:PORT"
                if where == "ray://auto"
                else "is the port open, and is it the head's `--ray-client-server-port`?"
            )
            said = str(error).splitlines()[0].rstrip(".")
            message = f"--on {where}: no cluster can be joined there: {said}; {hint}"
            raise CannotRunError(message) from error
        yield There()


def _join(address: str, stack: ExitStack) -> None:
    """Connect, with the code of this bundle for the nodes."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="repro-code-")))
    for name in _CODE:
        copy = shutil.copytree if (bundle.ROOT / name).is_dir() else shutil.copy
        copy(bundle.ROOT / name, folder / name)
    stack.callback(ray.shutdown)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say, the error says too
        ray.init(
            address,
            runtime_env={"working_dir": str(folder), "env_vars": _flags()},
            log_to_driver=False,
            logging_level="ERROR",
        )


@contextmanager
def _ray_here(machine: Environment) -> Iterator[None]:
    """A Ray of this process's own, which leaves nothing behind."""
    # Not the user's TMPDIR: a socket's path may have 107 characters, and sockets lie in it.
    base = os.environ.get("RAY_TMPDIR", "/tmp")  # noqa: S108
    folder = tempfile.mkdtemp(prefix="repro-ray-", dir=base)
    try:
        _start_ray(machine, folder)
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


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
            runtime_env={"env_vars": _flags()},
        )
    except (OSError, RuntimeError, ValueError, exceptions.RayError) as error:
        message = f"--on ray: Ray did not start in {folder}: {str(error).strip().splitlines()[0]}"
        raise CannotRunError(message) from error


def _flags() -> dict[str, str]:
    """Variables that can change a number as they are here, and glibc's."""
    here = {name: os.environ[name] for name in NUMERIC_FLAGS if name in os.environ}
    return KEEP_MEMORY | here


def _start(machine: Environment, memory: int, news: Any, root: Path | None) -> Remote:  # noqa: ANN401
    """Ask for a process: one GPU, or the threads and the memory of a job."""
    wanted: dict[str, Any] = {"num_gpus": 1, "num_cpus": 1}
    if machine.gpu is None:
        wanted = {"num_cpus": machine.cpu.threads, "memory": memory}
    actor: Any = ray.remote(Worker)
    return Remote(actor.options(**wanted).remote(news, root))


def _news() -> Any:  # noqa: ANN401
    actor: Any = ray.remote(News)
    return actor.options(num_cpus=0, max_restarts=-1).remote()


def _latest(news: Any) -> Latest:  # noqa: ANN401
    """What came; nothing while the node that keeps it is being replaced."""
    try:
        found: Latest = ray.get(news.take.remote(), timeout=1)
    except exceptions.RayError:
        return {}
    return found


def _describe(node: Mapping[str, Any], *, gpu: bool) -> Any:  # noqa: ANN401
    """Ask a node what it is, with one of its GPUs if it has any."""
    here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    wanted = {"num_gpus": 1} if gpu else {"num_cpus": 0}
    task: Any = ray.remote(environment.capture)
    return task.options(scheduling_strategy=here, max_retries=0, **wanted).remote()


def _answer(reference: Any) -> Environment | None:  # noqa: ANN401
    try:
        found: Environment = ray.get(reference)
    except exceptions.RayError:
        return None
    return found
