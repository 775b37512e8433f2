"""Whether bars are surely smaller, at the borders of the rule, on divergences that we choose.

Oracle: sums by hand. Two settings 0.5 apart on both sides: the mean difference has an error of
0.3536, another draw one of 0.6124; Student's t at 1 degree of freedom is 12.71 at 0.975, 25.45 at
0.9875. So a mean reaches 4.49, or 9.00 of two comparisons, another draw 7.78 or 15.58.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from verify.rules import tuned


@dataclass(frozen=True)
class Side:
    """Bars whose numbers are given."""

    divergences: tuple[float, ...]
    shifts: tuple[float, ...] = (0.0,)
    least_spread: float = 0.0
    at_the_floor: bool = False


def below(left: Any, right: Any, tests: int = 1) -> int:
    return tuned._below(left, right, tests)


@pytest.mark.parametrize(
    ("gap", "shift", "expected"),
    [
        (-0.02, -1.0, 0),  # two accuracies rounded to 0.01 could be equal
        (-0.025, -1.0, 1),
        (-1.0, -0.25, 1),
        (-1.0, 0.0, 0),  # the flips are no fewer
        (-1.0, 0.5, 0),
        (0.0, -1.0, 0),
        (0.0, 1.0, 0),
        (0.015, 1.0, 0),
        (0.02, 0.0, -1),  # not smaller, even as rounded
        (0.025, 0.5, -1),
        (1.0, -0.25, 0),
    ],
)
def test_bars_without_spread(gap: float, shift: float, expected: int) -> None:
    left, right = (max(gap, 0.0),) * 2, (max(-gap, 0.0),) * 2
    assert below(Side(left, (shift,)), Side(right)) == expected


@pytest.mark.parametrize(
    ("gap", "tests", "expected"),
    [
        (-4.6, 1, 1),
        (-4.4, 1, 0),
        (-9.1, 2, 1),
        (-8.9, 2, 0),
        (7.9, 1, -1),
        (7.7, 1, 0),
        (15.7, 2, -1),
        (15.5, 2, 0),
    ],
)
def test_comparisons_share_the_error_rate(gap: float, tests: int, expected: int) -> None:
    left = Side((20 + gap - 0.25, 20 + gap + 0.25), (gap,))
    assert below(left, Side((19.75, 20.25)), tests) == expected


def test_what_is_at_the_floor_is_not_compared() -> None:
    small, large = Side((1.0,) * 2, (-1.0,)), Side((9.0,) * 2)
    floor = [Side(side.divergences, side.shifts, at_the_floor=True) for side in (small, large)]
    assert [below(small, large), below(floor[0], large), below(small, floor[1])] == [1, 0, 0]
