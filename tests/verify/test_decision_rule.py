"""The decision rule on numbers worked by hand.

Five settings 1, 2, 3, 2, 2: m = 2, s = sqrt(2 / 4) = 0.7071. Student's t at 4 degrees of
freedom is 2.1318 (0.95) and 2.7764 (0.975), so the interval of the mean reaches
2.1318 x 0.7071 / sqrt(5) = 0.6741 and that of another draw 2.7764 x 0.7071 x sqrt(1.2) = 2.1506.
A number printed with one decimal has h = 0.05.
"""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.schema.causes import cause, say
from verify import decision_rule
from verify.decision_rule import Decision

FIVE = [1.0, 2.0, 3.0, 2.0, 2.0]


def decide(
    published: str,
    margin: str = "1.5",
    measured: list[float] | None = None,
    least_spread: float = 1e-9,
    input_rounding: str = "0",
) -> Decision:
    return decision_rule.decide(
        FIVE if measured is None else measured,
        published,
        margin,
        least_spread=least_spread,
        input_rounding=Decimal(input_rounding),
    )


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ("2.0", "reproduced"),
        ("1.3", "reproduced"),  # 0.7 + 0.6741 + 0.05 = 1.4241 <= 1.5
        ("2.7", "reproduced"),
        ("1.2", "inconclusive"),  # 0.8 + 0.6741 + 0.05 = 1.5241
        ("2.8", "inconclusive"),
        ("5.7", "inconclusive"),  # 3.7 <= 1.5 + 0.05 + 2.1506 = 3.7006
        ("-1.7", "inconclusive"),
        ("5.8", "contradicted"),
        ("-1.8", "contradicted"),
    ],
)
def test_five_settings_by_hand(published: str, expected: str) -> None:
    assert decide(published).outcome == expected


def test_rounding_of_the_inputs_widens_both_intervals() -> None:
    assert decide("1.3", input_rounding="0.07").outcome == "reproduced"  # 1.4941
    assert decide("1.3", input_rounding="0.08").outcome == "inconclusive"  # 1.5041
    assert decide("5.8", input_rounding="0.09").outcome == "contradicted"  # 3.8 > 3.7906
    assert decide("5.8", input_rounding="0.10").outcome == "inconclusive"  # 3.8 <= 3.8006


def test_a_margin_within_rounding_is_not_decidable() -> None:
    within = decide("2.0", margin="0.06", measured=[2.0] * 5, input_rounding="0.01")
    assert within.outcome == "inconclusive"
    assert within.why == cause("margin-within-rounding", margin="0.06", rounding="0.06")
    assert decide("2.0", margin="0.061", measured=[2.0] * 5, input_rounding="0.01").outcome == (
        "reproduced"
    )


def test_a_margin_under_two_standard_deviations_is_not_decidable() -> None:
    found = decide("2.0", margin="1.41")  # 2 s = 1.4142
    assert (found.outcome, found.p_contradicted, found.power) == ("inconclusive", 1.0, 0.0)
    assert found.why.code == "margin-within-noise"
    assert found.why.values["spread"] == pytest.approx(math.sqrt(0.5))
    assert decide("9.9", margin="1.41").outcome == "inconclusive"
    assert decide("2.0", margin="1.42").outcome == "reproduced"


def test_the_spread_is_never_below_its_floor() -> None:
    same = [2.0] * 5
    assert decide("1.3", measured=same, least_spread=math.sqrt(0.5)).outcome == "reproduced"
    assert decide("1.2", measured=same, least_spread=math.sqrt(0.5)).outcome == "inconclusive"
    assert decide("1.2", measured=same, least_spread=1e-9).outcome == "reproduced"


def test_the_floor_is_three_flipped_answers() -> None:
    assert decision_rule.floor(100, 2) == pytest.approx(3.0)  # both sides: sqrt(2) x 3 / sqrt(2)
    assert decision_rule.floor(14042, 4) == pytest.approx(100 * 3 / 14042 / math.sqrt(2))
    assert decision_rule.floor(14042, 20) == pytest.approx(
        decision_rule.floor(14042, 4) / math.sqrt(5)
    )


def test_the_p_value_is_that_of_the_prediction_interval() -> None:
    """At the border of `contradicted` it is 0.05: 3.7006 off, here within a printed digit."""
    assert decide("5.7006", margin="1.54995").p_contradicted == pytest.approx(0.05, abs=1e-4)
    assert decide("2.0").p_contradicted == 1.0
    assert decide("9.0").p_contradicted < decide("7.0").p_contradicted < 0.05


def test_power_by_hand() -> None:
    """room = 1.5 - 0.05 - 0.6741 = 0.7759, over the error of a draw 0.7746: 1.0017 standard
    deviations, so 2 Phi(1.0017) - 1 = 0.6835."""
    assert decide("2.0").power == pytest.approx(0.6835, abs=1e-3)


def test_a_shift_that_is_noticed_is_contradicted_nine_times_in_ten() -> None:
    """Oracle: five draws around a shifted mean, s known to be 1, over the rule's own formula."""
    import numpy as np

    rng = np.random.default_rng(20240706)
    draws = rng.normal(size=(40_000, 5))
    published = rng.normal(size=40_000)
    s = draws.std(axis=1, ddof=1)
    one = decide("0.0", "100", list((draws[0] - draws[0].mean()) / s[0]))  # s = 1
    shift = one.noticed - 100 - 0.05
    off = draws.mean(axis=1) + shift - published
    contradicted = off > 2.7764 * s * math.sqrt(1.2)
    assert contradicted.mean() == pytest.approx(0.9, abs=0.01)


def test_no_power_where_the_interval_alone_fills_the_margin() -> None:
    assert decide("2.0", margin="1.5", input_rounding="1.3").power == 0.0


@pytest.mark.parametrize("measured", [[], [2.0], [2.0, math.nan], [2.0, math.inf, 2.0]])
def test_what_has_no_spread_decides_nothing(measured: list[float]) -> None:
    found = decide("2.0", measured=measured)
    assert found.outcome == "inconclusive"
    assert found.why.code == ("too-few-draws" if len(measured) < 2 else "not-finite")
    assert decide("2.0", least_spread=math.nan).outcome == "inconclusive"
    assert decide("2.0", least_spread=0.0).outcome == "inconclusive"


def test_directions() -> None:
    assert decide("2.0").direction == cause("mean-within-margin")
    assert decide("3.5").direction == cause("mean-within-margin")
    assert decide("3.6").direction == cause("mean-below-printed")
    assert decide("0.4").direction == cause("mean-above-printed")


def test_causes_have_the_numbers() -> None:
    within = decide("1.3").why
    assert within.code == "within-margin"
    assert within.values == {
        "off": pytest.approx(0.7),
        "spread": pytest.approx(math.sqrt(0.5)),
        "draws": 5,
        "rounding": pytest.approx(0.05),
        "margin": "1.5",
    }
    beyond = decide("5.9").why
    assert beyond.code == "beyond-another-draw"
    assert beyond.values["p"] == pytest.approx(0.039, abs=5e-4)
    assert decide("1.2").why.code == "interval-crosses-margin"
    # One golden sentence.
    assert say(within) == (
        "mean off by +0.7, s 0.71 over 5 settings, h 0.05: within 1.5 even at the end of its "
        "confidence interval"
    )


def test_holm_by_hand() -> None:
    """Smallest times 3, next times 2, largest times 1, never falling, at most 1."""
    assert decision_rule.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert decision_rule.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert decision_rule.holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert decision_rule.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_against_its_definition(p_values: list[float]) -> None:
    """Oracle: reject from the smallest on while p <= level / (hypotheses left)."""
    for level in (0.01, 0.05, 0.2):
        rejected, left = set[int](), len(p_values)
        for index in sorted(range(len(p_values)), key=lambda each: p_values[each]):
            if p_values[index] * left > level:
                break
            rejected.add(index)
            left -= 1
        found = {i for i, p in enumerate(decision_rule.holm(p_values)) if p <= level}
        assert found == rejected


NUMBERS = st.integers(-300, 300).map(lambda each: each / 100)


@given(
    st.lists(NUMBERS, min_size=0, max_size=7),
    st.integers(-300, 300),
    st.integers(1, 300),
)
def test_ten_times_the_unit_changes_no_outcome(
    measured: list[float], printed: int, margin: int
) -> None:
    small = decide(f"{printed / 100:.2f}", f"{margin / 100 + 0.0001:.4f}", measured, 0.013)
    large = decide(
        f"{printed / 10:.1f}", f"{margin / 10 + 0.001:.3f}", [10 * x for x in measured], 0.13
    )
    assert small.outcome == large.outcome


@given(st.lists(NUMBERS, min_size=2, max_size=7), st.integers(-300, 300), st.integers(1, 300))
def test_mirrored_numbers_have_mirrored_decisions(
    measured: list[float], printed: int, margin: int
) -> None:
    there = decide(f"{printed / 100:.2f}", f"{margin / 100:.2f}", measured, 0.01)
    back = decide(f"{-printed / 100:.2f}", f"{margin / 100:.2f}", [-x for x in measured], 0.01)
    assert there.outcome == back.outcome
    assert there.p_contradicted == pytest.approx(back.p_contradicted)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6),
    st.floats(allow_nan=True, allow_infinity=True),
)
def test_nothing_far_or_broken_is_ever_reproduced(
    measured: list[float], least_spread: float
) -> None:
    found = decide("0.20", "0.10", measured, least_spread)
    if found.outcome == "reproduced":
        assert len(measured) >= 2
        assert all(map(math.isfinite, measured))
        assert abs(sum(measured) / len(measured) - 0.2) <= 0.1
