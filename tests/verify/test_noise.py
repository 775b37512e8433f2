"""Intervals over settings, by hand.

Seven settings with mean 2 and s^2 = 1 / 3. Student's t at 0.975 is 2.4469 for 6 degrees of freedom:
without a machine the mean's interval reaches 2.4469 sqrt(1 / 21) = 0.5340 and that of another draw
2.4469 sqrt(8 / 21) = 1.5103. With u = 1 / 3 the variances are 8 / 21 and 22 / 21, with 384 and 45.4
degrees of freedom (1.9662 and 2.0136): 1.2135 and 2.0610.
"""

import math
from typing import Any

import numpy as np
import pytest
from measured_sides import Side
from scipy import stats

from verify import decision_rule, noise
from verify.decision_rule import Sample
from verify.noise import Intervals
from verify.rules import model

SEVEN = [1.0, 2.0, 3.0, 2.0, 2.0, 2.0, 2.0]
THIRD = 1 / 3


def around(found: Intervals) -> tuple[float, float, float]:
    """Middle, and how far the two intervals reach to both sides of it."""
    for low, high in (found.mean, found.draw):
        assert low + high == pytest.approx(2 * found.value)
    return found.value, found.mean[1] - found.value, found.draw[1] - found.value


def sample(values: list[float], least: float = 1e-9, machine: float = 0.0) -> Sample:
    return decision_rule.sample(values, least, machine)


@pytest.mark.parametrize(
    ("machine", "mean", "draw"), [(0.0, 0.5340, 1.5103), (THIRD, 1.2135, 2.0610)]
)
def test_intervals_of_seven_settings(machine: float, mean: float, draw: float) -> None:
    found = noise.intervals_of(sample(SEVEN, machine=machine))
    assert around(found) == pytest.approx((2, mean, draw), abs=1e-4)


def test_statistics_that_are_decided_together_share_the_error_rate() -> None:
    """At 0.9875 Student's t is 2.2503 and 2.3182."""
    found = noise.intervals_of(sample(SEVEN, machine=THIRD), 2)
    assert around(found) == pytest.approx((2, 1.3889, 2.3728), abs=1e-4)


def test_an_interval_is_never_narrower_than_its_floor() -> None:
    """s is 1: 2.4469 / sqrt(7) and 2.4469 sqrt(8 / 7)."""
    found = noise.intervals_of(sample([2.0] * 7, 1.0))
    assert around(found) == pytest.approx((2, 0.9248, 2.6159), abs=1e-4)


def test_two_settings_leave_one_degree_of_freedom() -> None:
    """s^2 is 2: 12.7062 sqrt(2 / 2) and 12.7062 sqrt(2 x 1.5)."""
    found = noise.intervals_of(sample([1.0, 3.0]))
    assert around(found) == pytest.approx((2, 12.7062, 22.0078), abs=1e-4)


def test_a_single_setting_says_nothing_of_a_spread() -> None:
    assert noise.intervals_of(sample([2.0], 1.0)) == Intervals(2.0, noise.ANYWHERE, noise.ANYWHERE)
    assert tuple(map(abs, noise.ANYWHERE)) == (math.inf, math.inf)
    found = noise.difference_intervals(sample([2.0], 1.0), sample(SEVEN))
    assert found == Intervals(0.0, noise.ANYWHERE, noise.ANYWHERE)


def test_a_machine_of_which_nothing_is_known_leaves_no_ends() -> None:
    found = noise.intervals_of(sample(SEVEN, machine=math.inf))
    assert found == Intervals(2.0, noise.ANYWHERE, noise.ANYWHERE)


@pytest.mark.parametrize(
    "known",
    [
        Sample((2.0, math.inf), 1.0, 0.0),
        Sample((2.0, math.nan), 1.0, 0.0),
        Sample((2.0, 2.0), math.nan, 0.0),
        Sample((2.0, 2.0), math.inf, 0.0),
    ],
)
def test_what_is_not_finite_lies_anywhere(known: Sample) -> None:
    found = noise.intervals_of(known)
    assert math.isnan(found.value)
    assert (found.mean, found.draw) == (noise.ANYWHERE, noise.ANYWHERE)


def test_variances_of_a_difference_add_up() -> None:
    """U: 8 / 21 with 384 degrees of freedom and 5 / 6 with 12.5, together 1.2143 with 26.36, at
    2.0541; V: 22 / 21 with 45.4 and 7 / 3 with 6.125, together 3.3810 with 12.52, at 2.1689."""
    left, right = sample(SEVEN, machine=THIRD), sample([5.0, 6.0, 7.0], machine=0.5)
    found = noise.difference_intervals(left, right)
    assert around(found) == pytest.approx((-4, 2.2636, 3.9879), abs=1e-4)
    back = noise.difference_intervals(right, left)
    assert around(back) == pytest.approx((4, 2.2636, 3.9879), abs=1e-4)


def test_differences_that_are_decided_together_share_the_error_rate() -> None:
    """Two of the same kind: 2 / 7 and 16 / 7 with 12 degrees of freedom, 2.5600 at 0.9875."""
    side = sample([0.0] * 7, 1.0)
    alone, together = (noise.difference_intervals(side, side, tests) for tests in (1, 2))
    assert around(alone) == pytest.approx((0, 1.1646, 3.2941), abs=1e-4)
    assert around(together) == pytest.approx(
        (0, 2.5600 * math.sqrt(2 / 7), 2.5600 * math.sqrt(16 / 7)), abs=1e-4
    )


def test_a_difference_keeps_the_floor_of_each_side() -> None:
    """Floors of 1 and 2: 5 / 7 and 40 / 7 with 6 x 25 / 17 = 8.82 degrees of freedom, at 2.2691."""
    found = noise.difference_intervals(sample([3.0] * 7, 1.0), sample([2.0] * 7, 2.0))
    assert around(found) == pytest.approx((1, 1.9177, 5.4241), abs=1e-4)


@pytest.mark.parametrize("machine", [0.0, 2.0])
def test_intervals_hold_what_they_say(machine: float) -> None:
    """Two machines that differ by N(0, u), settings by N(0, 1): 5 of 100 draws lie outside."""
    rng = np.random.default_rng(20260101)
    outside = np.zeros(2)
    trials = 2000
    for _ in range(trials):
        ours, theirs = rng.normal(0, math.sqrt(machine), 2)
        found = noise.intervals_of(sample(list(ours + rng.normal(size=7)), 1e-9, machine))
        draw = theirs + rng.normal()
        outside += (
            not found.mean[0] <= 0 <= found.mean[1],
            not found.draw[0] <= draw <= found.draw[1],
        )
    low, high = stats.binom.ppf((0.001, 0.999), trials, 0.05)
    assert all(low <= each <= high for each in outside)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((-3.0, 1.0), (0.0, 3.0)),
        ((-3.0, -2.0), (2.0, 3.0)),
        ((0.5, 2.0), (0.5, 2.0)),
        ((0.0, 2.0), (0.0, 2.0)),
        ((-2.0, 0.0), (0.0, 2.0)),
        ((-1.0, 3.0), (0.0, 3.0)),
    ],
)
def test_absolute_values_of_an_interval(span: noise.Span, expected: noise.Span) -> None:
    assert noise.absolute(span) == expected


def test_rounding_widens_to_both_sides() -> None:
    assert noise.widened((1.0, 2.0), 0.25) == (0.75, 2.25)


# -----------------------------------------------------------------------------
# Orderings at the ends of their intervals


def gap_of(left: Side, right: Side) -> Intervals:
    return noise.difference_intervals(left.sample, right.sample)


def at_most(left: Side, right: Side, h: float) -> tuple[str, str, bool]:
    sides: Any = (left, right)
    return model._at_most(*sides, gap_of(left, right), h)


def within_spread(left: Side, right: Side, h: float) -> tuple[str, str, bool]:
    sides: Any = (left, right)
    return model._within_spread(*sides, gap_of(left, right), h)


def flat(off: float, least: float = 1.0, machine: float = 0.0, null: float = 0.0) -> Side:
    return Side([off] * 7, least, machine, null)


@pytest.mark.parametrize(
    ("off", "machine", "expected"),
    [
        (-1.2, 0.0, "reproduced"),  # the mean's interval reaches 1.1646
        (-1.1, 0.0, "inconclusive"),
        (-2.2, 0.5, "inconclusive"),  # 2.2335 with u = 0.5 on both sides
        (-2.3, 0.5, "reproduced"),
        (3.3, 0.0, "contradicted"),  # another draw's reaches 3.2941
        (3.2, 0.0, "inconclusive"),
        (4.1, 0.5, "inconclusive"),  # 4.1773
        (4.2, 0.5, "contradicted"),
    ],
)
def test_at_most_by_hand(off: float, machine: float, expected: str) -> None:
    left, right = flat(off, machine=machine), flat(0.0, machine=machine)
    codes = {"reproduced": "not-larger", "contradicted": "larger", "inconclusive": "order-open"}
    assert at_most(left, right, 0.0) == (expected, codes[expected], off < 0)


def test_at_most_counts_rounding_against_itself() -> None:
    below, above, zero = map(flat, (-1.5, 3.5, 0.0))
    assert at_most(below, zero, 0.3)[0] == "reproduced"  # 1.1646 + 0.3 < 1.5
    assert at_most(below, zero, 0.4)[0] == "inconclusive"
    assert at_most(above, zero, 0.2)[0] == "contradicted"  # 3.2941 + 0.2 < 3.5
    assert at_most(above, zero, 0.3)[0] == "inconclusive"


def test_at_most_includes_equality() -> None:
    below, above, zero = map(flat, (-2.0, 4.5, 0.0))
    assert at_most(below, zero, -gap_of(below, zero).mean[1])[0] == "reproduced"
    assert at_most(above, zero, gap_of(above, zero).draw[0])[0] == "inconclusive"
    assert at_most(zero, zero, 0.0) == ("inconclusive", "order-open", True)
    assert at_most(flat(0.5), zero, 0.0) == ("inconclusive", "order-open", False)


@pytest.mark.parametrize(
    ("off", "null", "h", "expected"),
    [
        (-2.7, 1.5, 0.0, 1),  # -2.7 + 1.1646 < -1.5
        (-2.6, 1.5, 0.0, 0),
        (-2.7, 1.5, 0.04, 0),
        (-2.7, 1.5, 0.03, 1),
        (1.8, 1.5, 0.0, -1),  # 1.8 - 3.2941 >= -1.5
        (1.7, 1.5, 0.0, 0),
        (1.8, 1.5, 0.01, 0),
        (0.8, 2.5, 0.0, -1),
    ],
)
def test_smaller_beyond_coin_flips_by_hand(
    off: float, null: float, h: float, expected: int
) -> None:
    """The larger null of both sides counts."""
    for nulls in ((null, 0.1), (0.1, null)):
        sides: Any = flat(off, null=nulls[0]), flat(0.0, null=nulls[1])
        assert model.beyond_null(*sides, gap_of(*sides), h) == expected


@pytest.mark.parametrize(
    ("off", "h", "expected"),
    [
        # Range 10 with a floor of 1: its mean is at least 10 - 0.9248 = 9.0752 and another draw at
        # most 12.6159. The gap's floors are 0.5 and 1: it reaches 0.9589, and 2.7121 in another
        # draw.
        (8.1, 0.0, "reproduced"),  # 9.0589
        (-8.1, 0.0, "reproduced"),
        (8.2, 0.0, "inconclusive"),  # 9.1589
        (8.0, 0.05, "reproduced"),  # 9.0589
        (8.0, 0.06, "inconclusive"),  # 9.0789
        (15.4, 0.0, "contradicted"),  # 12.6879
        (-15.4, 0.0, "contradicted"),
        (15.3, 0.0, "inconclusive"),  # 12.5879
        (15.5, 0.08, "contradicted"),  # 12.6279
        (15.5, 0.09, "inconclusive"),  # 12.6079
    ],
)
def test_within_spread_by_hand(off: float, h: float, expected: str) -> None:
    left, right = flat(off, 0.5), Side([0.0] * 7, 1.0, spreads=[10.0] * 7)
    codes = {
        "reproduced": "surely-within-spread",
        "contradicted": "surely-beyond-spread",
        "inconclusive": "order-open",
    }
    assert within_spread(left, right, h) == (expected, codes[expected], abs(off) < 10)


def test_a_gap_as_wide_as_the_spread_is_not_within_it() -> None:
    """Without any uncertainty, so that both are exactly 4."""
    left, right = Side([4.0] * 7, 0.0), Side([0.0] * 7, 0.0, spreads=[4.0] * 7)
    assert within_spread(left, right, 0.0) == ("contradicted", "surely-beyond-spread", False)
