"""An input of the fuzzer is a string of bytes: every decision of a mutation is read from it.

So one input can be kept, shrunk by hypothesis, steered by atheris towards new code, and run again.

Not covered: even spreads. A choice among n is a number modulo n, and a string that has ended gives
zeros, so that a short string is a small mutation.
"""

from collections.abc import Sequence
from typing import TypeVar

_Any = TypeVar("_Any")


class Choices:
    """Decisions, in the order in which they are asked for."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def below(self, count: int) -> int:
        """A number from 0 to `count` - 1."""
        width = max(1, (count - 1).bit_length() + 7 >> 3)
        taken = self._data[self._at : self._at + width]
        self._at += width
        return int.from_bytes(taken, "little") % count

    def one_in(self, count: int) -> bool:
        """Yes, once in so many; never where the string has ended."""
        return self.below(count) == count - 1

    def of(self, members: Sequence[_Any]) -> _Any:
        """One of some."""
        return members[self.below(len(members))]
