"""Decisions at the ends of what they are defined for. Oracles: sums by hand, scipy's t."""

import math
from decimal import Decimal

import pytest
from scipy import stats

from repro.schema.causes import cause
from verify import decision_rule
from verify.decision_rule import Sample


def decide(measured: list[float], published: str, margin: str) -> decision_rule.Decision:
    known = decision_rule.sample(measured, 0.1, 0.0)
    return decision_rule.decide(known, published, margin, least_spread=0.1)


def undecidable(margin: str, known: Sample, rounding: str = "0") -> object:
    return decision_rule.undecidable("2.0", margin, known, Decimal(rounding))


def test_two_settings_are_enough_for_a_spread() -> None:
    """6.3138 x 0.1 sqrt(1 + 1 / 2) = 0.7733, and h = 0.05: 0.8233."""
    assert decide([2.0, 2.0], "2.0", "0.83").outcome == "reproduced"
    assert decide([2.0, 2.0], "2.0", "0.82").outcome == "inconclusive"


def test_one_setting_points_nowhere() -> None:
    found = decide([2.0], "2.0", "0.5")
    assert (found.direction, found.why) == (None, cause("too-few-draws", draws=1, needed=2))


def test_what_is_not_finite_points_nowhere() -> None:
    why, known = cause("not-finite"), Sample((2.0, 2.0), 0.1, 0.0)
    for found in (
        decide([2.0, math.nan], "2.0", "0.5"),
        decision_rule.decide(Sample((2.0, 2.0), math.nan, 0.0), "2.0", "0.5", least_spread=0.1),
        decision_rule.decide(known, "2.0", "0.5", least_spread=0.0),
    ):
        assert (found.outcome, found.direction, found.why) == ("inconclusive", None, why)


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        (0.7, "mean-above-printed"),
        (0.31, "mean-above-printed"),
        (0.3, "mean-within-margin"),
        (0.1, "mean-within-margin"),
        (0.09, "mean-below-printed"),
        (-0.3, "mean-below-printed"),
    ],
)
def test_directions_of_small_numbers(mean: float, expected: str) -> None:
    assert decision_rule.direction(mean, "0.2", "0.1") == cause(expected)


def test_a_margin_just_above_rounding_can_be_decided_if_nothing_else_is_open() -> None:
    """Without rounding of the inputs h is half a unit."""
    exact = Sample((0.0,) * 7, 1e-9, 0.0)
    assert undecidable("0.051", exact) is None
    why = cause("margin-within-rounding", margin="0.05", rounding="0.05")
    assert undecidable("0.05", exact) == why
    why = cause("margin-within-rounding", margin="0.06", rounding="0.06")
    assert undecidable("0.06", exact, "0.01") == why
    assert undecidable("0.061", exact, "0.01") is None


def test_a_margin_as_wide_as_the_reach_cannot_be_decided() -> None:
    known = Sample((0.0,) * 7, 0.25, 0.5)
    reach = 0.05 + known.of_draw.reach(0.05)
    w = 0.25**2 * 8 / 7
    oracle = stats.t.isf(0.05, 6 * ((1 + w) / w) ** 2) * math.sqrt(1 + w)
    assert reach - 0.05 == pytest.approx(oracle)
    why = cause("margin-within-noise", margin=repr(reach), reach=reach)
    assert undecidable(repr(reach), known) == why
    assert undecidable(repr(math.nextafter(reach, math.inf)), known) is None
    assert undecidable(f"{reach:.4f}", known, "0.001") is not None


def test_one_setting_can_decide_nothing() -> None:
    assert undecidable("1000", Sample((0.0,), 0.1, 0.0)) == cause("not-finite")


@pytest.mark.parametrize(
    "values",
    [
        (1e200, -1e200),
        (1.7e308, 1.7e308),
        (math.inf, -math.inf),
        (math.inf, math.inf),
        (0.0, math.nan),
    ],
)
def test_numbers_too_large_for_a_sum_have_no_spread(values: tuple[float, ...]) -> None:
    """The perplexity of a model that diverged may be anything."""
    found = decision_rule.sample(values, 0.1, 0.0)
    assert math.isnan(found.spread)
    assert decide(list(values), "2.0", "0.5").why == cause("not-finite")


def test_a_spread_too_large_to_square_and_add_decides_nothing() -> None:
    """Its square is a number, and half as much again is none."""
    found = decide([0.0, 1.8e154], "2.0", "0.5")
    assert (found.outcome, found.test) == ("inconclusive", None)


def test_no_adjusted_p_value_is_above_1() -> None:
    assert decision_rule.holm([0.9, 0.8]) == [1.0, 1.0]


# -----------------------------------------------------------------------------
# Questions of MMLU, four numbers of shots, seven settings, h = 0.015


def two_machines_reach(changes: int) -> float:
    """The widest margin that cannot be decided, by the formulas of the rule alone."""
    w = (100 * 3 / 14_042 / math.sqrt(2)) ** 2 * (1 + 1 / 7)
    v = 2 * (100 / 14_042) ** 2 * 4 * changes / 16 + w
    return 0.015 + float(stats.t.isf(0.05, 6 * (v / w) ** 2)) * math.sqrt(v)


@pytest.mark.parametrize(
    ("margin", "changes"), [("0.05", 6), ("0.1", 95), ("0.2", 489), ("0.5", 3419)]
)
def test_from_which_changes_on_a_margin_is_not_decidable(margin: str, changes: int) -> None:
    """One change fewer, and it is; the number of settings and shots is that of Table 1."""
    for count, decidable in ((changes - 1, True), (changes, False)):
        machine = 4 * count * (100 / 14_042) ** 2 / 16
        known = Sample((0.0,) * 7, decision_rule.floor(14_042, 4), machine)
        found = decision_rule.undecidable("0.10", margin, known, Decimal("0.01"))
        assert (found is None) == decidable == (two_machines_reach(count) < float(margin))
