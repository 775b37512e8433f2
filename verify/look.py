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

    part: float = 1.0
    """Of the error rate, that this look may spend."""
    most: float = 1.0
    """The largest part of this look and of those to come."""
    needed: int = MIN_SETTINGS
    """Settings that have to give numbers of their own."""
    whole: int = 0
    """Settings that there will be in the end; 0 where no more are to come."""
    ahead: bool = False
    """Whether it is asked what those could still decide, at best, and not what is decided."""

    def share(self, rate: float) -> float:
        """What this look may spend of an error rate."""
        return rate * self.part

    def is_enough(self, draws: int, repeated: int) -> bool:
        """Whether so many settings of their own decide, or still can.

        Args:
            draws: Settings that gave numbers of their own.
            repeated: Settings that repeat one of them, and will.
        """
        return (self.whole - repeated if self.ahead else draws) >= self.needed


EARLY = 0.2
"""Part of the error rate that each look but the last may spend; the last has what they leave."""


def last_part(looks: int) -> float:
    """Part of the error rate that the last of some looks has: all parts add up to 1.

    Example:
        >>> last_part(1), round(last_part(3), 3)
        (1.0, 0.6)
    """
    return 1 - EARLY * (looks - 1)


def early(looks: int, needed: int, whole: int, *, ahead: bool = False) -> Look:
    """A look that is not the last; `ahead` asks for what the last could decide, at best."""
    last = last_part(looks)
    if ahead:
        return Look(last, last, whole=whole, ahead=True)
    return Look(EARLY, last, needed, whole)


def last(looks: int) -> Look:
    """The last look."""
    return Look(last_part(looks), last_part(looks))


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
