"""Intervals of measured statistics: where the mean lies, and where another draw would.

All are at the error rate of the decision, two-sided, and carry what another machine and another
setting may be off (`verify.decision_rule.Sample`). An interval is a pair (low, high) in the unit of
the statistic; it has no ends where the spread is not known.
"""

import math
from dataclasses import dataclass

from verify.decision_rule import ERROR_RATE, Sample, Variance
from verify.look import current

Span = tuple[float, float]

ANYWHERE: Span = (-math.inf, math.inf)


@dataclass(frozen=True)
class Intervals:
    """One statistic over the settings."""

    value: float
    """Mean over settings."""
    mean: Span
    """Confidence interval of that mean, over machines like ours."""
    draw: Span
    """Where one more draw on another machine lies, beside that mean: a prediction interval."""


def intervals_of(sample: Sample, tests: int = 1) -> Intervals:
    """Intervals of one statistic.

    Args:
        sample: With a single value nothing is known and both are infinite.
        tests: Statistics that are decided together; the error rate is shared out (Bonferroni).
    """
    if not all(map(math.isfinite, (*sample.values, sample.spread))):
        return Intervals(math.nan, ANYWHERE, ANYWHERE)
    return _intervals(sample.mean, sample.of_mean, sample.of_draw, tests)


def difference_intervals(left: Sample, right: Sample, tests: int = 1) -> Intervals:
    """Intervals of the left side minus the right side.

    The settings of two families are no pairs, and no machine's flips are the other's: variances
    add up.
    """
    value = left.mean - right.mean
    return _intervals(value, left.of_mean + right.of_mean, left.of_draw + right.of_draw, tests)


def _intervals(value: float, of_mean: Variance, of_draw: Variance, tests: int) -> Intervals:
    rate = current().share(ERROR_RATE) / 2 / tests
    return Intervals(
        value,
        _interval_around(value, of_mean.reach(rate)),
        _interval_around(value, of_draw.reach(rate)),
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


def _interval_around(value: float, reach: float) -> Span:
    return value - reach, value + reach
