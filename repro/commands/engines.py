"""Where jobs run: `--on`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from repro import environment
from repro.environment import Environment
from repro.errors import BadInputError, CannotRunError

if TYPE_CHECKING:
    from runner.scheduling import Work


class Engine(Protocol):
    """Something that runs planned jobs."""

    def machine(self) -> Environment:
        """What jobs will run on: planned for, and part of their keys."""

    def execute(self, work: "Work") -> dict[str, str]:
        """As `runner.execute.execute`."""


class Local:
    """Processes of this machine."""

    @staticmethod
    def machine() -> Environment:
        """This machine."""
        return environment.capture()

    @staticmethod
    def execute(work: "Work") -> dict[str, str]:
        """As `runner.execute.execute`, which is imported only if there is something to run."""
        from runner.execute import execute

        return execute(work)


@contextmanager
def engine(where: str) -> Iterator[Engine]:
    """The engine that `--on` names; whatever it started is gone afterwards.

    Raises:
        BadInputError: there is no such engine.
        CannotRunError: it cannot be had here.
    """
    if where == "local":
        yield Local()
        return
    if not re.fullmatch(r"ray|ray://(auto|[^/]+:\d+)", where):
        message = f"--on {where}: expected local, ray, ray://HOST:PORT or ray://auto"
        raise BadInputError(message)
    try:
        from runner.on_ray import engine as on_ray
    except ImportError as error:
        message = f"--on {where} needs the package ray ({error}); pinned-requirements.txt has it"
        raise CannotRunError(message) from error
    with on_ray(where) as found:
        yield found
