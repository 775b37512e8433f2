"""`--on ray` and `--on ray://…`: all GPUs of this machine, or the nodes of a cluster.

ray: a Ray of its own on this machine, which ends with the run (`on_ray_here`).
ray://HOST:PORT, ray://auto: a cluster that is there already (`on_ray_there`).
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import ray
from ray import exceptions

from repro.environment import machine as environment
from repro.environment.machine import Environment
from repro.errors import CannotRunError, first_line
from runner.local import Work, room_for
from runner.ray import cluster, remote
from runner.ray.cluster import There
from runner.ray.pool import Pool

# -----------------------------------------------------------------------------
# All GPUs, or all cores, of this machine, by a Ray of the run's own.
#
# It is on this machine alone, its processes see the same disk, and nothing of it is left
# afterwards.
#
# Reference: Ray 2.31.0.

_OBJECTS = 100 << 20
"""Bytes of Ray's object store: nothing large goes through it."""


class Here:
    """All GPUs, or all cores, of this machine."""

    machine = staticmethod(environment.capture)

    def execute(self, work: Work) -> dict[str, str]:
        """As `runner.local.execute`."""
        machine = work.machine
        limit = len(machine.gpus) or room_for(machine, work.memory)
        with _ray_here(machine):
            news, root = remote.news(), work.store.root.resolve()
            start = partial(remote.start, machine, work.memory, news, root)
            return Pool(start, limit, work).run(lambda: remote.latest(news))


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
# `--on ray` and `--on ray://…`: all GPUs of this machine, or the nodes of a cluster.


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
            cluster.join("auto" if where == "ray://auto" else where, stack)
        except (ConnectionError, RuntimeError, exceptions.RayError) as error:
            hint = (
                "start this on a node of one, or name one: ray://HOST:PORT"
                if where == "ray://auto"
                else "is the port open, and is it the head's `--ray-client-server-port`?"
            )
            said = first_line(error).rstrip(".")
            message = f"--on {where}: no cluster can be joined there: {said}; {hint}"
            raise CannotRunError(message) from error
        yield There(from_outside=where != "ray://auto")
