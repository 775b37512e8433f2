"""Printed numbers: a published value is the string on the page, never a float.

A printed "0.03" stands for every number that rounds to it, the interval
[0.025, 0.035]; half a unit of the last digit is called h here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import StringConstraints

DecimalText = Annotated[str, StringConstraints(pattern=r"^-?\d+(\.\d+)?$")]
"""A number as printed, e.g. "0.03" or "2"; the digits given are the digits claimed."""


@dataclass(frozen=True)
class Interval:
    """A closed interval of exact decimals; both ends are included."""

    low: Decimal
    high: Decimal

    def overlaps(self, other: "Interval") -> bool:
        """Whether the two intervals share a point."""
        return self.low <= other.high and other.low <= self.high

    def __str__(self) -> str:
        return f"[{self.low}, {self.high}]"


def places(text: str) -> int:
    """Digits after the decimal point.

    Example:
        >>> places("0.03")
        2
    """
    return len(text.partition(".")[2])


def half_unit(text: str) -> Decimal:
    """Half a unit of the last printed digit.

    Example:
        >>> half_unit("0.03")
        Decimal('0.005')
    """
    return Decimal(5).scaleb(-1 - places(text))


def interval(text: str) -> Interval:
    """All numbers that are printed as `text`.

    Example:
        >>> print(interval("1.45"))
        [1.445, 1.455]
    """
    value, half = Decimal(text), half_unit(text)
    return Interval(value - half, value + half)


def mean(texts: Sequence[str]) -> Decimal:
    """The mean of printed numbers, exact to 28 digits.

    Example:
        >>> mean(["0.35", "0.06", "0.05", "0.07", "0.12"])
        Decimal('0.13')
    """
    return sum((Decimal(text) for text in texts), Decimal(0)) / len(texts)


def mean_interval(texts: Sequence[str]) -> Interval:
    """All values that the mean of the unrounded numbers can have."""
    ends = [interval(text) for text in texts]
    count = len(ends)
    return Interval(
        sum((end.low for end in ends), Decimal(0)) / count,
        sum((end.high for end in ends), Decimal(0)) / count,
    )


def as_printed_like(value: float | Decimal, text: str) -> str:
    """`value` with as many decimals as the printed `text`, rounded half to even."""
    return f"{value:.{places(text)}f}"
