"""`--on ray` and `--on ray://…`: all GPUs of this machine, or the nodes of a cluster.

ray: a Ray of its own on this machine, which ends with the run (`on_ray_here`).
ray://HOST:PORT, ray://auto: a cluster that is there already (`on_ray_there`).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ray import exceptions

from repro.errors import CannotRunError, first_line
from runner import on_ray_there
from runner.on_ray_here import Here
from runner.on_ray_there import There


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
            on_ray_there.join("auto" if where == "ray://auto" else where, stack)
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
