"""The decision on one printed number: statistics in, an outcome out.

The printed value p is one draw from what its authors' machine and setting gave, rounded. R
settings of ours give R draws D_r with mean m. Two things make draws differ: the setting (batch,
order, kernel), and the machine, whose other kernels flip other answers.

    h   half a unit of p's last digit, plus what rounding of the inputs can add
    s   standard deviation between settings, never below what three flipped answers would give
    u   variance that one machine adds, the same for all its settings
    T   m - p
    U   u + s^2 / R              variance of m over machines like ours
    V   2 u + s^2 (1 + 1 / R)    variance of T: their machine and ours, their draw and our mean

    not decidable  margin <= h + t95 sqrt(V), with s at its floor: known from u alone
    reproduced     |T| + h + t95 sqrt(V) <= margin, and the smaller of m and p less h above what
                   fair coins would give, where the statistic is folded (`coin_flips`)
    contradicted   2 P(t > (|T| - h - g) / sqrt(V)) < 0.05, after Holm over a family of numbers

with t Student's distribution at Satterthwaite's degrees of freedom: u is taken as known, s^2 has
R - 1. g is the largest distance of one setting from the median of its number, over a table: a
guard against a setting that is off. `contradicted` is the worst case over every true mean, so that
it needs no margin. Repeating one setting tests determinism and is no draw: the caller leaves such
repetitions out, and says where u comes from.

Reference: DESIGN, "How a claim is decided"; Satterthwaite 1946. docs/decision.md works one cell by
hand; `benchmarks/calibration.py` measures the error rates of this module as it stands.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from repro.decimals import half_unit
from repro.schema.causes import Cause, Value, cause, say
from verify import power
from verify.look import current

FLIPPED = 3
"""Answers an evaluation that may flip without any cause that we know of."""

ERROR_RATE = 0.05
"""Of a wrong `reproduced` at the margin, and of a wrong `contradicted` over a table."""

UNDECIDABLE = ("margin-within-rounding", "margin-within-noise")
"""Codes of why no measurement could reproduce a number; it may still be contradicted."""

_FEWEST = 2
"""Draws that a spread takes."""

# -----------------------------------------------------------------------------
# What is measured, and how far it may be off


@dataclass(frozen=True)
class Variance:
    """A variance that is partly estimated, and the degrees of freedom of its estimate."""

    total: float
    freedom: float
    drift: float = 0.0
    """How far settings that are still to come may move the mean (`verify.look`)."""

    @classmethod
    def of(cls, known: float, estimated: float, freedom: float) -> "Variance":
        """A known part and an estimated one, by Satterthwaite."""
        total = known + estimated
        return cls(total, freedom * (total / estimated) ** 2 if estimated else math.inf)

    def __add__(self, other: "Variance") -> "Variance":
        """That of a sum or difference of two things that have nothing to do with each other."""
        total = self.total + other.total
        terms = self.total**2 / self.freedom + other.total**2 / other.freedom
        return Variance(total, total**2 / terms if terms else math.inf, self.drift + other.drift)

    def reach(self, rate: float) -> float:
        """How far from its mean a value lies with probability `rate` on one side; may be inf."""
        from scipy.special import stdtrit  # 0.1 s that `repro list` need not pay

        if not math.isfinite(self.total):
            return math.inf
        far = float(stdtrit(min(self.freedom, _MANY), 1 - rate)) * math.sqrt(self.total)
        return far - self.drift


_MANY = 1e9
"""Degrees of freedom that make Student's distribution the normal one."""


@dataclass(frozen=True)
class Sample:
    """One statistic under each setting, and what makes it differ."""

    values: tuple[float, ...]
    """Each setting once."""
    spread: float
    """s, at least the floor."""
    machine: float
    """u, in squared units of the values; inf where nothing tells it."""
    least: float = 0.0
    """What s will never be below."""

    @property
    def mean(self) -> float:
        """M."""
        return mean(self.values)

    @property
    def of_mean(self) -> Variance:
        """U; infinite where a single value has no spread."""
        return self._variance(self.machine, 1 / len(self.values))

    @property
    def of_draw(self) -> Variance:
        """V."""
        return self._variance(2 * self.machine, 1 + 1 / len(self.values))

    @property
    def deviation(self) -> float:
        """Largest distance of a setting from the median."""
        values = np.array(self.values)
        return float(np.abs(values - np.median(values)).max())

    @property
    def drift(self) -> float:
        """How far settings that are still to come may move the mean; 0 where none is asked for."""
        seen, look = len(self.values), current()
        asked = look.ahead and _FEWEST <= seen < look.whole
        return power.drift(self.spread, seen, look.whole) if asked else 0.0

    def _variance(self, known: float, times: float) -> Variance:
        if len(self.values) < _FEWEST:
            return Variance(math.inf, 1)
        if current().ahead:  # at best: u only grows, and s is at its floor; 0 divides nothing
            times += 1 / current().whole - 1 / len(self.values)
            return Variance(known + times * self.least**2 or 1e-12, math.inf, self.drift)
        return Variance.of(known, times * self.spread**2, len(self.values) - 1)


def sample(values: Sequence[float], least_spread: float, machine: float) -> Sample:
    """A statistic whose settings alone tell its spread.

    Args:
        values: One for each setting.
        least_spread: What s is never taken below; positive.
        machine: u.
    """
    variance = 0.0
    if len(values) >= _FEWEST:
        middle = mean(values)
        variance = _sum((each - middle) ** 2 for each in values) / (len(values) - 1)
    return Sample(tuple(values), max(math.sqrt(variance), least_spread), machine, least_spread)


def mean(values: Sequence[float]) -> float:
    """The mean, summed without rounding in between; NaN where it is too large for a number."""
    return _sum(values) / len(values)


def _sum(values: Iterable[float]) -> float:
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # too large, or both infinities
        return math.nan


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


def most_likely_changes(counted: int) -> float:
    """Upper 95 % limit of an expected number of changes of which so many were counted (Poisson).

    Example:
        >>> round(most_likely_changes(0), 2), round(most_likely_changes(100), 1)
        (3.0, 118.1)
    """
    from scipy.special import gammaincinv

    return float(gammaincinv(counted + 1, 1 - ERROR_RATE))


# -----------------------------------------------------------------------------
# What nothing looks like


@functools.lru_cache(maxsize=4096)
def coin_flips(changes: tuple[int, ...], questions: int, rate: float = ERROR_RATE) -> float:
    """95 % quantile of a mean divergence if gains and losses were tosses of a fair coin, points.

    Args:
        changes: Answers whose correctness the dtype changes, of each difference that the mean is
            over: shots times cells. All tosses are independent.
        questions: Answers in one evaluation.
        rate: 1 less the probability, where it is not 95 %.

    Returns:
        The exact quantile of mean |gained - lost|, smallest value with probability 0.95 at or
        below.

    Example:
        >>> coin_flips((1, 1), 100), coin_flips((0, 0), 100)
        (1.0, 0.0)
    """
    chances = np.ones(1)
    for count in changes:
        chances = np.convolve(chances, _absolute_walk(count))
    # All terms of one difference have its parity: they go by 2 from 0 or 1.
    rounded = 1e-12  # of sums of probabilities
    place = int(np.searchsorted(np.cumsum(chances), 1 - rate - rounded))
    net = sum(count % 2 for count in changes) + 2 * place
    return 100 * net / (questions * len(changes))


def _absolute_walk(count: int) -> NDArray[np.float64]:
    """Chances of |gained - lost| = (0 or 1), + 2, + 4, … for so many tosses."""
    from scipy.special import gammaln

    lost = np.arange(count // 2, -1, -1)
    logs = gammaln(count + 1) - gammaln(lost + 1) - gammaln(count - lost + 1)
    chances: NDArray[np.float64] = 2 * np.exp(logs - count * math.log(2))
    if count % 2 == 0:
        chances[0] /= 2  # no net change comes about in one way, not in two
    return chances


# -----------------------------------------------------------------------------
# The decision


@dataclass(frozen=True)
class NumberTest:
    """What `contradicted` asks of one printed number; lengths in its unit."""

    off: float
    """T."""
    rounding: float
    """h."""
    variance: Variance
    """V."""
    deviation: float
    """Largest distance of a setting from the median of this number."""

    def p_value(self, guard: float = 0.0) -> float:
        """Chance of lying so far off, or further, if the printed value were one more draw.

        Args:
            guard: g, the largest `deviation` of the table.
        """
        from scipy.special import stdtr

        beyond = abs(self.off) + self.variance.drift - self.rounding - guard
        if not (beyond > 0 and math.isfinite(self.variance.total)):
            return 1.0
        freedom = min(self.variance.freedom, _MANY)
        return 2 * float(stdtr(freedom, -beyond / math.sqrt(self.variance.total)))


@dataclass(frozen=True)
class Decision:
    """What the numbers say about one printed value by itself; lengths in its unit."""

    outcome: Literal["reproduced", "inconclusive"]
    why: Cause
    direction: Cause | None
    """Where the mean lies; None where there is none."""
    test: NumberTest | None
    """Whether it is contradicted, which a table decides; None where nothing can be."""
    power: float
    """Chance of `reproduced` for an identical process with this spread."""
    noticed: float
    """Shift that would be contradicted in nine of ten papers, alone; inf if none."""

    @property
    def reason(self) -> str:
        """Why, in words."""
        return say(self.why)


def undecidable(
    published: str, margin: str, known: Sample, input_rounding: Decimal
) -> Cause | None:
    """Why no measurement could reproduce a number; None if one could.

    Args:
        published: The printed string.
        margin: How far the mean may lie from it before a sentence would change.
        known: What is known before anything is measured: as many values as there will be
            settings, s at its floor, and u.
        input_rounding: What rounding before the statistic was computed can add or take away.
    """
    h = half_unit(published) + input_rounding
    if Decimal(margin) <= h:
        return cause("margin-within-rounding", margin=margin, rounding=f"{h.normalize():f}")
    reach = float(h) + known.of_draw.reach(ERROR_RATE * current().most)
    if not math.isfinite(reach):  # a single setting
        return cause("not-finite")
    if float(Decimal(margin)) <= reach:
        return cause("margin-within-noise", margin=margin, reach=reach)
    return None


def decide(
    measured: Sample,
    published: str,
    margin: str,
    *,
    least_spread: float,
    input_rounding: Decimal = Decimal(0),
    null: float | None = None,
) -> Decision:
    """Decide one printed number from its measurements.

    Args:
        measured: The statistic under each setting, in the unit of the printed value.
        published: The printed string.
        margin: How far the mean may lie from it before a sentence would change.
        least_spread: What s is never taken below, from `floor`; positive.
        input_rounding: What rounding before the statistic was computed can add or take away.
        null: What coin flips alone would give (`coin_flips`), of a statistic that is folded and
            said to be more than that; None of one that is not folded.
    """
    count = len(measured.values)
    if count < _FEWEST:
        return _undecided(cause("too-few-draws", draws=count, needed=_FEWEST), None)
    if not (all(map(math.isfinite, (*measured.values, measured.spread))) and least_spread > 0):
        return _undecided(cause("not-finite"), None)
    m, where = measured.mean, direction(measured.mean, published, margin)
    if not math.isfinite(measured.of_draw.total):
        return _undecided(cause("machine-unknown"), where)
    h, limit = half_unit(published) + input_rounding, float(Decimal(margin))
    printed = float(published)
    test = NumberTest(m - printed, float(h), measured.of_draw, measured.deviation)
    reach = test.rounding + test.variance.reach(current().share(ERROR_RATE))
    error = math.sqrt(test.variance.total)
    sides: dict[str, Value] = {"off": test.off, "error": error, "draws": count}
    sides["rounding"] = test.rounding
    outcome: Literal["reproduced", "inconclusive"] = "inconclusive"
    settings = (0.0,) * max(count, current().whole)
    known = Sample(settings, least_spread, measured.machine, least_spread)
    if why_not := undecidable(published, margin, known, input_rounding):
        why = why_not
    elif abs(test.off) + reach > limit:
        why = cause("interval-crosses-margin", **sides, margin=margin)
    elif null is not None and not min(m + measured.drift, printed) - test.rounding > null:
        why = cause("within-coin-flips", **sides, margin=margin, null=null)
    else:
        outcome, why = "reproduced", cause("within-margin", **sides, margin=margin)
    chance = 0.0 if why.code == "within-coin-flips" else power.within(limit - reach, error)
    noticed = power.noticed(test.rounding, error, test.variance.freedom, ERROR_RATE)
    return Decision(outcome, why, where, test, chance, noticed)


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
    return Decision("inconclusive", why, where, None, 0.0, math.inf)
