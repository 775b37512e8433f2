"""Properties that hold for any input: what a verifier must never do."""

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from verify import decision_rule, paired
from verify.decision_rule import Sample
from verify.records import answers
from verify.rules import page
from verify.rules.layer import fit_rates

PRINTED = st.decimals(min_value=0, max_value=3, places=2).map(str)
CELLS = st.lists(PRINTED, min_size=1, max_size=6)
SCORES = arrays.arrays(np.float64, (5, 4), elements=st.floats(-20, 0, width=16))
LETTERS = arrays.arrays(np.int64, (9,), elements=st.integers(0, 3))


@given(CELLS)
def test_a_mean_printed_from_its_cells_is_reproduced(cells: list[str]) -> None:
    exact = sum(map(Decimal, cells)) / len(cells)
    printed = str(exact.quantize(Decimal("0.01"), ROUND_HALF_EVEN))
    assert page._mean(printed, cells).outcome == "reproduced"


@given(CELLS, PRINTED)
def test_a_mean_is_reproduced_only_within_rounding(cells: list[str], printed: str) -> None:
    off = abs(sum(map(Decimal, cells)) / len(cells) - Decimal(printed))
    found = page._mean(printed, cells).outcome
    if off > Decimal("0.005"):
        assert found != "reproduced"
    if off > Decimal("0.01"):
        assert found == "contradicted"


@given(CELLS, CELLS)
def test_orderings_of_both_sides_are_never_both_strict(left: list[str], right: list[str]) -> None:
    """Swapped sides swap the outcomes, save where both means are the same.

    Where the ends of both just touch, one way holds surely and the other at that point alone.
    """
    there = page._at_most(left, right).outcome
    back = page._at_most(right, left).outcome
    if there == "contradicted":
        assert back == "reproduced"
    if there == "inconclusive" and back != "inconclusive":
        assert back == "reproduced"
        one, other = (sum(map(Fraction, cells)) / len(cells) for cells in (left, right))
        assert one - other == Fraction(1, 100)  # two halves of the last printed digit


@given(LETTERS, LETTERS, LETTERS)
def test_swapping_reference_and_candidate_swaps_flips(
    one: answers.Letters, other: answers.Letters, gold: answers.Letters
) -> None:
    there, back = answers.flips(one, other, gold), answers.flips(other, one, gold)
    assert (there.lost, there.won, there.changed) == (back.won, back.lost, back.changed)
    moved = answers.accuracy(other, gold) - answers.accuracy(one, gold)
    assert abs((there.won - there.lost) / len(gold) - moved) < 1e-12


@given(SCORES)
def test_predictions_have_the_highest_score_and_no_earlier_equal(scores: answers.Scores) -> None:
    predicted = answers.predictions(scores)
    for row, letter in zip(scores, predicted, strict=True):
        assert row[letter] == row.max()
        assert (row[:letter] < row[letter]).all()


@given(st.floats(-1, 1), st.floats(0.01, 100))
def test_a_rate_does_not_depend_on_the_unit(rate: float, scale: float) -> None:
    times = np.arange(12.0)
    curve = np.exp(rate * times)[None]
    one, other = fit_rates(curve, times), fit_rates(curve * scale, times)
    np.testing.assert_allclose(one.value, other.value, atol=1e-9)


P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@given(P_VALUES, st.integers(0, 9))
def test_a_larger_family_never_contradicts_more(p_values: list[float], more: int) -> None:
    few = decision_rule.holm(p_values)
    many = decision_rule.holm([*p_values, *[1.0] * more])
    assert all(p <= one <= other for p, one, other in zip(p_values, few, many, strict=False))


@given(st.lists(st.integers(0, 60), min_size=1, max_size=4), st.integers(100, 9999))
def test_coin_flips_are_one_of_the_nets_that_can_be(changes: list[int], questions: int) -> None:
    """Of the parity of all changes, at most all of them, and no more of them in more questions."""
    found = decision_rule.coin_flips(tuple(changes), questions)
    net = found * questions * len(changes) / 100
    assert abs(net - round(net)) < 1e-6
    assert round(net) % 2 == sum(count % 2 for count in changes) % 2
    assert 0 <= net <= sum(changes) + 1e-6
    assert decision_rule.coin_flips(tuple(reversed(changes)), questions) == found
    assert decision_rule.coin_flips(tuple(changes), 2 * questions) <= found


@given(st.integers(0, 5000), st.integers(1, 500))
def test_a_count_may_always_have_been_one_of_more(counted: int, more: int) -> None:
    limit = decision_rule.most_likely_changes(counted)
    assert counted < limit < decision_rule.most_likely_changes(counted + more)
    assert abs(stats.poisson.cdf(counted, limit) - 0.05) < 1e-9


TERMS = arrays.arrays(np.float64, (6,), elements=st.floats(-3, 3, width=16))


@given(TERMS, TERMS, st.floats(0.01, 100))
def test_two_kernels_are_as_far_apart_as_each_from_the_other(
    one: answers.Scores, other: answers.Scores, scale: float
) -> None:
    there, back = paired.machine_share(one, other), paired.machine_share(other, one)
    assert there == back >= 0
    np.testing.assert_allclose(paired.machine_share(one * scale, other * scale), there * scale**2)


@given(st.floats(0.01, 3), st.floats(0, 3), st.integers(2, 9), st.integers(1, 9))
def test_more_settings_never_leave_more_open(
    spread: float, machine: float, count: int, more: int
) -> None:
    """What another machine adds stays, however many there are."""
    few, many = (Sample((0.0,) * each, spread, machine) for each in (count, count + more))
    assert many.of_draw.total <= few.of_draw.total
    assert many.of_draw.total > 2 * machine
    assert many.of_mean.total > machine
    assert many.of_draw.reach(0.05) <= few.of_draw.reach(0.05) * (1 + 1e-9)
