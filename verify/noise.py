"""Intervals of measured divergences: where the mean lies, and where another draw would.

All are at the error rate of the decision, two-sided, over R settings; s is never taken
below its floor. An interval is a pair (low, high) in percentage points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from verify.decision_rule import ERROR_RATE, mean
from verify.paired import PairedCells

Span = tuple[float, float]


@dataclass(frozen=True)
class Intervals:
    """One statistic over the settings."""

    value: float
    """Mean over settings."""
    mean: Span
    """Confidence interval of that mean."""
    draw: Span
    """Prediction interval of one more draw."""


def intervals_of(values: Sequence[float], least_spread: float, tests: int = 1) -> Intervals:
    """Intervals of one statistic.

    Args:
        values: One for each setting; with a single one nothing is known and both are infinite.
        least_spread: What the standard deviation is never taken below.
        tests: Statistics that are decided together; the error rate is shared out (Bonferroni).
    """
    count = len(values)
    value, variance = _moments(values, least_spread)
    reach = _quantile(count - 1, tests)
    error, draw = math.sqrt(variance / count), math.sqrt(variance * (1 + 1 / count))
    return Intervals(
        value, _interval_around(value, reach * error), _interval_around(value, reach * draw)
    )


def finite_intervals_of(values: Sequence[float], least_spread: float, tests: int = 1) -> Intervals:
    """The same, and all that there is where a value is no finite number."""
    if all(math.isfinite(each) for each in (*values, least_spread)):
        return intervals_of(values, least_spread, tests)
    anywhere = (-math.inf, math.inf)
    return Intervals(math.nan, anywhere, anywhere)


def difference_intervals(left: PairedCells, right: PairedCells, tests: int = 1) -> Intervals:
    """Intervals of the divergence of the left side minus that of the right side.

    The settings of two families are no pairs; the degrees of freedom are those of the side
    with fewer settings, fewer than Welch's.
    """
    sides = [_moments(side.divergences, side.least_spread) for side in (left, right)]
    counts = [len(side.divergences) for side in (left, right)]
    value = sides[0][0] - sides[1][0]
    reach = _quantile(min(counts) - 1, tests)
    error = sum(variance / count for (_, variance), count in zip(sides, counts, strict=True))
    draw = sum(
        variance * (1 + 1 / count) for (_, variance), count in zip(sides, counts, strict=True)
    )
    return Intervals(
        value,
        _interval_around(value, reach * math.sqrt(error)),
        _interval_around(value, reach * math.sqrt(draw)),
    )


def absolute(span: Span) -> Span:
    """The values that |x| takes for x in an interval.

    Example:
        >>> absolute((-3.0, 1.0)), absolute((-3.0, -2.0))
        ((0.0, 3.0), (2.0, 3.0))
    """
    low, high = span
    ends = sorted((abs(low), abs(high)))
    return (0.0 if low <= 0 <= high else ends[0], ends[1])


def widened(span: Span, h: float) -> Span:
    """An interval with `h` more on both sides."""
    return span[0] - h, span[1] + h


def _moments(values: Sequence[float], least_spread: float) -> tuple[float, float]:
    """Mean and variance, the latter infinite for a single value."""
    middle = mean(values)
    if len(values) == 1:
        return middle, math.inf
    variance = math.fsum((each - middle) ** 2 for each in values) / (len(values) - 1)
    return middle, max(variance, least_spread**2)


def _quantile(freedom: int, tests: int) -> float:
    from scipy.special import stdtrit  # 0.1 s that `repro list` need not pay

    return float(stdtrit(max(freedom, 1), 1 - ERROR_RATE / 2 / tests))


def _interval_around(value: float, reach: float) -> Span:
    return value - reach, value + reach
