"""The decision on one printed number: statistics in, an outcome out.

The printed value p is one draw from what its authors' unknown setting gave, rounded. R
settings of ours give R draws with mean m and standard deviation s.

    h              half a unit of p's last digit, plus what rounding of the inputs can add
    s              never below `floor`, what three flipped answers an evaluation would give
    not decidable  margin <= h or margin < 2 s
    reproduced     |m - p| + t95 s / sqrt(R) + h <= margin: two one-sided tests at 0.05
    contradicted   |m - p| - t97.5 s sqrt(1 + 1/R) - h > margin: not even another draw would
                   have been printed within the margin; Holm-adjusted over a table

with t the quantiles of Student's distribution at R - 1 degrees of freedom. Repeating one
setting tests determinism and is no draw: the caller leaves such repetitions out.

Reference: DESIGN, "How a claim is decided". `benchmarks/calibration.py` measures the error
rates of this module as it stands.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from repro.decimals import half_unit
from repro.schema.causes import Cause, Value, cause, say

FLIPPED = 3
"""Answers an evaluation that may flip without any cause that we know of."""

ERROR_RATE = 0.05
"""Of a wrong `reproduced` at the margin, and of a wrong `contradicted` over a table."""

SPREADS_IN_A_MARGIN = 2
"""A margin of fewer standard deviations cannot be decided."""

UNDECIDABLE = ("margin-within-rounding", "margin-within-noise")
"""Codes of why no measurement could decide a number."""

_FEWEST = 2
"""Draws that a spread takes."""
_POWER = 0.9
"""Chance of being noticed that the smallest shift given with a finding has."""


@dataclass(frozen=True)
class Decision:
    """What the numbers say about one printed value; lengths in its unit."""

    outcome: Literal["reproduced", "contradicted", "inconclusive"]
    why: Cause
    direction: Cause | None
    """Where the mean lies; None where there is none."""
    p_contradicted: float
    """p-value of `contradicted`; 1 where nothing could be decided."""
    power: float
    """Chance of `reproduced` for an identical process with this spread."""
    noticed: float
    """Shift that would be contradicted in nine of ten papers, before Holm; inf if none."""

    @property
    def reason(self) -> str:
        """Why, in words."""
        return say(self.why)


def floor(questions: int, evaluations: float) -> float:
    """Standard deviation of a mean divergence if each evaluation is three answers off.

    Args:
        questions: Answers in one evaluation.
        evaluations: Differences of two accuracies that the mean is over: shots times cells, fewer
            by as much as they share evaluations.

    Returns:
        Percentage points. The three answers of one evaluation move it in one direction, those of
        two evaluations have nothing to do with each other.

    Example:
        >>> round(floor(14042, 4), 4)
        0.0151
    """
    return 100 * FLIPPED / questions * math.sqrt(2 / evaluations)


def undecidable(
    published: str, margin: str, spread: float, input_rounding: Decimal
) -> Cause | None:
    """Why no measurement of this spread could decide a number; None if one could."""
    h = half_unit(published) + input_rounding
    if Decimal(margin) <= h:
        return cause("margin-within-rounding", margin=margin, rounding=_short(h))
    if float(Decimal(margin)) < SPREADS_IN_A_MARGIN * spread:
        return cause("margin-within-noise", margin=margin, spread=spread)
    return None


def decide(
    measured: Sequence[float],
    published: str,
    margin: str,
    *,
    least_spread: float,
    input_rounding: Decimal = Decimal(0),
) -> Decision:
    """Decide one printed number from its measurements.

    Args:
        measured: The statistic under each setting, in the unit of the printed value; each
            setting once.
        published: The printed string.
        margin: How far the mean may lie from it before a sentence would change.
        least_spread: What the standard deviation is never taken below, from `floor`; positive.
        input_rounding: What rounding before the statistic was computed can add or take away.
    """
    count = len(measured)
    if count < _FEWEST:
        return _undecided(cause("too-few-draws", draws=count, needed=_FEWEST), None)
    m = sum(measured) / count
    s = max(math.sqrt(sum((x - m) * (x - m) for x in measured) / (count - 1)), least_spread)
    if not (math.isfinite(m) and math.isfinite(s) and least_spread > 0):
        return _undecided(cause("not-finite"), None)
    where = direction(m, published, margin)
    why = undecidable(published, margin, s, input_rounding)
    if why:
        return _undecided(why, where)
    return _decide(
        m - float(Decimal(published)), s, count, published, margin, input_rounding, where
    )


def _decide(  # noqa: PLR0917  # the quantities of the rule
    off: float,
    s: float,
    count: int,
    published: str,
    margin: str,
    input_rounding: Decimal,
    where: Cause,
) -> Decision:
    from scipy.special import (
        nctdtrinc,
        ndtr,
        stdtr,
        stdtrit,
    )  # 0.1 s that `repro list` need not pay

    h, limit = float(half_unit(published) + input_rounding), float(Decimal(margin))
    mean_error, draw_error = s / math.sqrt(count), s * math.sqrt(1 + 1 / count)
    reach = abs(off) + float(stdtrit(count - 1, 1 - ERROR_RATE)) * mean_error + h
    beyond = abs(off) - h - limit
    p = 2 * float(stdtr(count - 1, -beyond / draw_error)) if beyond > 0 else 1.0
    sides: dict[str, Value] = {
        "off": off,
        "spread": s,
        "draws": count,
        "rounding": h,
    }
    outcome: Literal["reproduced", "contradicted", "inconclusive"] = "inconclusive"
    why = cause("interval-crosses-margin", **sides, margin=margin)
    if reach <= limit:
        outcome, why = "reproduced", cause("within-margin", **sides, margin=margin)
    elif p < ERROR_RATE:
        outcome, why = "contradicted", cause("beyond-another-draw", **sides, p=p)
    room = limit - h - float(stdtrit(count - 1, 1 - ERROR_RATE)) * mean_error
    power = max(0.0, 2 * float(ndtr(room / draw_error)) - 1)
    # Student's t with the shift that exceeds the quantile nine times in ten: 4.40 at R = 5.
    shift = float(nctdtrinc(count - 1, 1 - _POWER, stdtrit(count - 1, 1 - ERROR_RATE / 2)))
    return Decision(outcome, why, where, p, power, limit + h + shift * draw_error)


def direction(mean: float, published: str, margin: str) -> Cause:
    """Where the mean of some measurements lies."""
    distance = Decimal(repr(mean)) - Decimal(published)
    if abs(distance) <= Decimal(margin):
        return cause("mean-within-margin")
    return cause("mean-above-printed" if distance > 0 else "mean-below-printed")


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    Reference: Holm 1979, "A simple sequentially rejective multiple test procedure".

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, least = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = least
    return adjusted


def _undecided(why: Cause, where: Cause | None) -> Decision:
    return Decision("inconclusive", why, where, 1.0, 0.0, math.inf)


def _short(value: Decimal) -> str:
    return f"{value.normalize():f}"


def mean(values: Sequence[float]) -> float:
    """The mean, summed without rounding in between."""
    return math.fsum(values) / len(values)
