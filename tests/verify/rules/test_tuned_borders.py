"""Whether bars are surely smaller, at the borders of the rule, on divergences that we choose.

Oracle: sums by hand. Two settings 0.5 apart on both sides: the mean difference has an error of
0.3536, another draw one of 0.6124; Student's t at 2 degrees of freedom is 4.303 at 0.975, 6.205 at
0.9875. So a mean reaches 1.521, or 2.194 of two comparisons, another draw 2.635 or 3.800.
"""

import math
from dataclasses import dataclass
from typing import Any

import pytest

from verify.decision_rule import Sample, sample
from verify.rules import tuned


@dataclass(frozen=True)
class Side:
    """Bars whose numbers are given."""

    divergences: tuple[float, ...]
    machine: float = 0.0
    null: float = 0.0
    at_the_floor: bool = False

    @property
    def sample(self) -> Sample:
        return sample(self.divergences, 1e-9, self.machine)


def below(left: Any, right: Any, tests: int = 1, **more: bool) -> int:
    return tuned.below(left, right, tests, **more)


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (-0.019, 0),  # two accuracies rounded to 0.01 could be equal
        (-0.021, 1),
        (0.0, 0),
        (0.019, 0),
        (0.021, -1),  # not smaller, even as rounded
    ],
)
def test_bars_without_spread(gap: float, expected: int) -> None:
    left, right = (max(gap, 0.0),) * 2, (max(-gap, 0.0),) * 2
    assert below(Side(left), Side(right)) == expected


@pytest.mark.parametrize(
    ("gap", "tests", "expected"),
    [
        (-1.55, 1, 1),
        (-1.53, 1, 0),
        (-2.22, 2, 1),
        (-2.20, 2, 0),
        (2.66, 1, -1),
        (2.64, 1, 0),
        (3.83, 2, -1),
        (3.81, 2, 0),
    ],
)
def test_comparisons_share_the_error_rate(gap: float, tests: int, expected: int) -> None:
    left = Side((20 + gap - 0.25, 20 + gap + 0.25))
    assert below(left, Side((19.75, 20.25)), tests) == expected


def test_machines_of_both_sides_are_between_two_bars() -> None:
    """Variances of 2 and 7 alone, at no end of degrees of freedom: the mean reaches 1.96 x 3."""
    for gap, expected in ((-5.91, 1), (-5.89, 0), (8.33, 0), (8.35, -1)):
        left, right = Side((20 + gap,) * 2, machine=2.0), Side((20.0,) * 2, machine=7.0)
        assert below(left, right) == expected
    assert below(Side((0.0,) * 2, machine=math.inf), Side((90.0,) * 2)) == 0


@pytest.mark.parametrize(("gap", "expected"), [(-3.021, 1), (-3.019, 0), (-2.981, 0), (-2.979, -1)])
def test_beyond_the_larger_null(gap: float, expected: int) -> None:
    sides = [Side((9.0 + gap,) * 2, null=1.0), Side((9.0,) * 2, null=3.0)]
    assert below(*sides, beyond=True) == expected
    swapped = [Side((9.0 + gap,) * 2, null=3.0), Side((9.0,) * 2, null=1.0)]
    assert below(*swapped, beyond=True) == expected


def test_nothing_is_compared_where_the_larger_is_at_the_floor() -> None:
    small, large = (1.0,) * 2, (9.0,) * 2
    assert below(Side(small, at_the_floor=True), Side(large)) == 1
    assert below(Side(large), Side(small, at_the_floor=True)) == -1
    assert below(Side(small), Side(large, at_the_floor=True)) == 0
    assert below(Side(large, at_the_floor=True), Side(small)) == 0
