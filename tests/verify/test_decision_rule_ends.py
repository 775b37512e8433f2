"""Decisions at the ends of what they are defined for. Oracles: sums by hand, scipy's t."""

import math
from decimal import Decimal

import pytest

from repro.schema.causes import cause
from verify import decision_rule


def decide(measured: list[float], published: str, margin: str) -> decision_rule.Decision:
    return decision_rule.decide(measured, published, margin, least_spread=0.1)


def test_two_settings_are_enough_for_a_spread() -> None:
    """6.3138 x 0.1 / sqrt(2) = 0.4465, and h = 0.05: 0.4965."""
    assert decide([2.0, 2.0], "2.0", "0.5").outcome == "reproduced"
    assert decide([2.0, 2.0], "2.0", "0.49").outcome == "inconclusive"


def test_one_setting_points_nowhere() -> None:
    found = decide([2.0], "2.0", "0.5")
    assert (found.direction, found.why) == (None, cause("too-few-draws", draws=1, needed=2))


def test_what_is_not_finite_points_nowhere() -> None:
    why = cause("not-finite")
    for found in (
        decide([2.0, math.nan], "2.0", "0.5"),
        decision_rule.decide([2.0, 2.0], "2.0", "0.5", least_spread=0.0),
    ):
        assert (found.outcome, found.direction, found.why) == ("inconclusive", None, why)


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        (0.7, "mean-above-printed"),
        (0.3, "mean-within-margin"),
        (0.1, "mean-within-margin"),
        (-0.3, "mean-below-printed"),
    ],
)
def test_directions_of_small_numbers(mean: float, expected: str) -> None:
    assert decision_rule.direction(mean, "0.2", "0.1") == cause(expected)


def test_nothing_is_left_open_by_exact_inputs() -> None:
    """Without rounding of the inputs h is half a unit: a margin just above it can be decided."""
    assert decision_rule.undecidable("2.0", "0.06", 0.01, Decimal(0)) is None
    why = cause("margin-within-rounding", margin="0.05", rounding="0.05")
    assert decision_rule.undecidable("2.0", "0.05", 0.01, Decimal(0)) == why


def test_a_margin_of_exactly_two_deviations_can_be_decided() -> None:
    assert decision_rule.undecidable("2.0", "0.2", 0.1, Decimal(0)) is None


def test_no_adjusted_p_value_is_above_1() -> None:
    assert decision_rule.holm([0.9, 0.8]) == [1.0, 1.0]
