"""Intervals over settings, by hand.

Student's t at 0.975 is 2.7764 for 4 degrees of freedom, 4.3027 for 2 and 12.7062 for 1; at 0.9875
it is 3.4954 for 4.
"""

import math
from typing import Any

import pytest
from measured_sides import Side

from verify import noise
from verify.noise import Intervals
from verify.rules import model

FIVE = [1.0, 2.0, 3.0, 2.0, 2.0]
"""Mean 2, variance 2 / 4."""


def around(found: Intervals) -> tuple[float, float, float]:
    """Middle, and how far the two intervals reach to both sides of it."""
    for low, high in (found.mean, found.draw):
        assert low + high == pytest.approx(2 * found.value)
    return found.value, found.mean[1] - found.value, found.draw[1] - found.value


def difference(left: Side, right: Side) -> Intervals:
    sides: Any = (left, right)
    return noise.difference_intervals(*sides)


def test_intervals_of_five_settings() -> None:
    """2.7764 sqrt(0.5 / 5) and 2.7764 sqrt(0.5 x 1.2)."""
    assert around(noise.intervals_of(FIVE, 1e-9)) == pytest.approx((2, 0.8780, 2.1506), abs=1e-4)


def test_statistics_that_are_decided_together_share_the_error_rate() -> None:
    """3.4954 in place of 2.7764."""
    assert around(noise.intervals_of(FIVE, 1e-9, 2)) == pytest.approx((2, 1.1053, 2.7075), abs=1e-4)


def test_an_interval_is_never_narrower_than_its_floor() -> None:
    """s is 1: 2.7764 / sqrt(5) and 2.7764 sqrt(1.2)."""
    assert around(noise.intervals_of([2.0] * 5, 1.0)) == pytest.approx(
        (2, 1.2416, 3.0414), abs=1e-4
    )


def test_two_settings_leave_one_degree_of_freedom() -> None:
    """s² is 2: 12.7062 sqrt(2 / 2) and 12.7062 sqrt(2 x 1.5)."""
    assert around(noise.intervals_of([1.0, 3.0], 1e-9)) == pytest.approx(
        (2, 12.7062, 22.0078), abs=1e-4
    )


def test_a_single_setting_says_nothing_of_a_spread() -> None:
    found = noise.intervals_of([2.0], 1.0)
    assert found == Intervals(2.0, (-math.inf, math.inf), (-math.inf, math.inf))


def test_a_difference_has_the_freedom_of_the_shorter_side() -> None:
    """Variances 0.5 and 1 over 5 and 3 settings, 2 degrees of freedom: 4.3027 sqrt(0.1 + 1 / 3)
    and 4.3027 sqrt(0.6 + 4 / 3)."""
    found = difference(Side(FIVE), Side([5.0, 6.0, 7.0]))
    assert around(found) == pytest.approx((-4, 2.8324, 5.9826), abs=1e-4)
    back = difference(Side([5.0, 6.0, 7.0]), Side(FIVE))
    assert around(back) == pytest.approx((4, 2.8324, 5.9826), abs=1e-4)


def test_a_difference_keeps_the_floor_of_each_side() -> None:
    """Floors of 1 and 2: 2.7764 sqrt((1 + 4) / 5) and 2.7764 sqrt((1 + 4) x 1.2)."""
    found = difference(Side([3.0] * 5, 1.0), Side([2.0] * 5, 2.0))
    assert around(found) == pytest.approx((1, 2.7764, 6.8008), abs=1e-4)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((-3.0, 1.0), (0.0, 3.0)),
        ((-3.0, -2.0), (2.0, 3.0)),
        ((0.5, 2.0), (0.5, 2.0)),
        ((0.0, 2.0), (0.0, 2.0)),
        ((-2.0, 0.0), (0.0, 2.0)),
    ],
)
def test_absolute_values_of_an_interval(span: noise.Span, expected: noise.Span) -> None:
    assert noise.absolute(span) == expected


def test_rounding_widens_to_both_sides() -> None:
    assert noise.widened((1.0, 2.0), 0.25) == (0.75, 2.25)


# -----------------------------------------------------------------------------
# Orderings at the ends of their intervals


def at_most(left: Side, right: Side, h: float) -> tuple[str, str, bool]:
    sides: Any = (left, right)
    return model._at_most(*sides, noise.difference_intervals(*sides), h)


def within_spread(left: Side, right: Side, h: float) -> tuple[str, str, bool]:
    sides: Any = (left, right)
    return model._within_spread(*sides, noise.difference_intervals(*sides), h)


@pytest.mark.parametrize(
    ("off", "shift", "expected"),
    [
        (-2.0, -0.5, "reproduced"),  # the mean's interval reaches 1.2416 sqrt(2) = 1.7559
        (-2.0, 0.0, "reproduced"),
        (-2.0, 0.5, "inconclusive"),  # the shift says otherwise
        (-1.7, -0.5, "inconclusive"),
        (4.5, 0.5, "contradicted"),  # another draw's reaches 3.0414 sqrt(2) = 4.3012
        (4.5, 0.0, "inconclusive"),
        (4.2, 0.5, "inconclusive"),
    ],
)
def test_at_most_by_hand(off: float, shift: float, expected: str) -> None:
    left, right = Side([off] * 5, 1.0, [shift]), Side([0.0] * 5, 1.0)
    codes = {"reproduced": "not-larger", "contradicted": "larger", "inconclusive": "order-open"}
    assert at_most(left, right, 0.0) == (expected, codes[expected], off < 0)


def test_at_most_counts_rounding_against_itself() -> None:
    below, above, zero = (Side([off] * 5, 1.0, [off]) for off in (-2.0, 4.5, 0.0))
    assert at_most(below, zero, 0.2)[0] == "reproduced"  # 1.7559 + 0.2 < 2
    assert at_most(below, zero, 0.3)[0] == "inconclusive"
    assert at_most(above, zero, 0.1)[0] == "contradicted"  # 4.3012 + 0.1 < 4.5
    assert at_most(above, zero, 0.3)[0] == "inconclusive"


def test_at_most_includes_equality() -> None:
    below, above, zero = (Side([off] * 5, 1.0, [off]) for off in (-2.0, 4.5, 0.0))
    assert at_most(below, zero, -difference(below, zero).mean[1])[0] == "reproduced"
    assert at_most(above, zero, difference(above, zero).draw[0])[0] == "inconclusive"
    assert at_most(zero, zero, 0.0) == ("inconclusive", "order-open", True)
    one = Side([0.5] * 5, 1.0)
    assert at_most(one, zero, 0.0) == ("inconclusive", "order-open", False)


@pytest.mark.parametrize(
    ("off", "h", "expected"),
    [
        # Range 10 over 9 cells: its floor is sqrt(9) / 3 = 1, so its mean is at least
        # 10 - 1.2416 = 8.7584 and another draw at most 13.0414. The gap's floors are 0.5 and 1 / 3:
        # it reaches 0.7461 further, and 1.8277 in another draw.
        (8.0, 0.0, "reproduced"),  # 8.7461
        (-8.0, 0.0, "reproduced"),
        (8.1, 0.0, "inconclusive"),  # 8.8461
        (7.9, 0.05, "reproduced"),  # 8.7461
        (7.9, 0.06, "inconclusive"),  # 8.7661
        (14.9, 0.0, "contradicted"),  # 13.0723
        (-14.9, 0.0, "contradicted"),
        (14.8, 0.0, "inconclusive"),  # 12.9723
        (15.0, 0.06, "contradicted"),  # 13.0523
        (15.0, 0.07, "inconclusive"),  # 13.0323
    ],
)
def test_within_spread_by_hand(off: float, h: float, expected: str) -> None:
    left, right = Side([off] * 5, 0.5), Side([0.0] * 5, 1 / 3, ranges=[10.0] * 5, cells=9)
    codes = {
        "reproduced": "surely-within-spread",
        "contradicted": "surely-beyond-spread",
        "inconclusive": "order-open",
    }
    assert within_spread(left, right, h) == (expected, codes[expected], abs(off) < 10)


def test_a_gap_as_wide_as_the_spread_is_not_within_it() -> None:
    """Without any uncertainty, so that both are exactly 4."""
    left, right = Side([4.0] * 5, 0.0), Side([0.0] * 5, 0.0, ranges=[4.0] * 5)
    assert within_spread(left, right, 0.0) == ("contradicted", "surely-beyond-spread", False)
