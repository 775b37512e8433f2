"""The look that is being taken at a run, where its settings come one after another.

A rule asks here which share of the error rate it may spend and how many settings it takes, as
arithmetic asks `decimal` for its context. Whoever takes no look gets the whole rate and all
settings. `verify.stopping` says which looks there are, docs/decision.md why they are so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from repro.schema.validate import MIN_SETTINGS


@dataclass(frozen=True)
class Look:
    """One of several looks at the same claim."""

    shares: int = 1
    """Looks that the error rate is shared out over (Bonferroni)."""
    needed: int = MIN_SETTINGS
    """Settings that have to give numbers of their own."""
    whole: int = 0
    """Settings that there will be in the end; 0 where no more are to come."""
    ahead: bool = False
    """Whether it is asked what those could still decide, at best, and not what is decided."""

    def share(self, rate: float) -> float:
        """What this look may spend of an error rate."""
        return rate / self.shares

    def is_enough(self, draws: int, repeated: int) -> bool:
        """Whether so many settings of their own decide, or still can.

        Args:
            draws: Settings that gave numbers of their own.
            repeated: Settings that repeat one of them, and will.
        """
        return (self.whole - repeated if self.ahead else draws) >= self.needed


_NOW: ContextVar[Look] = ContextVar("look", default=Look())  # noqa: B039  # it is frozen


def current() -> Look:
    """The look that is being taken."""
    return _NOW.get()


@contextmanager
def taking(look: Look) -> Iterator[None]:
    """Take a look: rules that are asked meanwhile decide by it."""
    before = _NOW.set(look)
    try:
        yield
    finally:
        _NOW.reset(before)
