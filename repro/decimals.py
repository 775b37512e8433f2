"""Printed numbers: a published value is the string on the page, never a float.

A printed "0.03" stands for every number that rounds to it, the interval
[0.025, 0.035]; half a unit of the last digit is called h here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import StringConstraints

DecimalText = Annotated[str, StringConstraints(pattern=r"^-?[0-9]+(\.[0-9]+)?(e-?[0-9]{1,2})?$")]
"""A number as printed, e.g. "0.03", "2" or "1.0e-5"; the digits given are the digits claimed."""

Unsigned = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(e-?[0-9]{1,2})?$")]
"""A length or a threshold: a decimal number that is not negative."""


@dataclass(frozen=True)
class Interval:
    """A closed interval of exact decimals; both ends are included."""

    low: Decimal
    high: Decimal

    def overlaps(self, other: "Interval") -> bool:
        """Whether the two intervals share a point."""
        return self.low <= other.high and other.low <= self.high

    def signs(self, other: "Interval") -> frozenset[int]:
        """Every sign that a number of this interval minus one of the other can have.

        Example:
            >>> sorted(interval("0.13").signs(interval("0.12")))  # both may be 0.125
            [0, 1]
        """
        above = {1} if self.high > other.low else set()
        below = {-1} if self.low < other.high else set()
        return frozenset(above | below | ({0} if self.overlaps(other) else set()))

    def distance(self, other: "Interval") -> "Interval":
        """All distances between a number of this interval and one of the other."""
        low = max(Decimal(0), self.low - other.high, other.low - self.high)
        return Interval(low, max(self.high - other.low, other.high - self.low))

    def __str__(self) -> str:
        return f"[{self.low}, {self.high}]"


def decimal_places(text: str) -> int:
    """Digits after the decimal point.

    Example:
        >>> places("0.03"), places("1.0e-5"), places("2")
        (2, 6, 0)
    """
    exponent = Decimal(text).as_tuple().exponent
    return max(0, -int(exponent))


def half_unit(text: str) -> Decimal:
    """Half a unit of the last printed digit.

    Example:
        >>> half_unit("0.03")
        Decimal('0.005')
    """
    return Decimal(5).scaleb(int(Decimal(text).as_tuple().exponent) - 1)


def printed_interval(text: str) -> Interval:
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
    ends = [printed_interval(text) for text in texts]
    count = len(ends)
    return Interval(
        sum((end.low for end in ends), Decimal(0)) / count,
        sum((end.high for end in ends), Decimal(0)) / count,
    )


def as_printed_like(value: float | Decimal, text: str) -> str:
    """`value` with as many decimals as the printed `text`, rounded half to even."""
    return f"{value:.{decimal_places(text)}f}"


def as_decimals(value: Fraction, digits: int) -> str:
    """An exact fraction with so many digits after the point, rounded half to even.

    Example:
        >>> as_decimals(Fraction(2, 3), 2)
        '0.67'
    """
    return f"{Decimal(f'{round(value * 10**digits)}e-{digits}'):f}"
