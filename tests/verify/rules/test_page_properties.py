"""What rules on printed values must do for any input.

Oracle: every choice inside the rounding intervals, tried one by one. For orders, the ends of all
intervals and a few points between neighbouring ends are choice enough.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, pairwise, product
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from printed_pages import ends, expected, monotone, ratio, row, shifted, two_sided, wins

PRINTED = st.builds(
    lambda digits, places: f"{Decimal(digits).scaleb(-places):f}",
    st.integers(-12, 40),
    st.integers(0, 2),
)
"""Few enough numbers, printed to 0 to 2 places, that ties and neighbours are common."""

SERIES = st.lists(PRINTED, min_size=3, max_size=3)
RELATION = st.sampled_from(["equals", "at-least", "at-most"])
FORMS = {
    "plain": lambda a: a,
    "times": lambda a, b: a / b,
    "percent-of": lambda a, b: 100 * a / b,
    "percent-more": lambda a, b: 100 * (a - b) / b,
    "times-per-reduction": lambda a: 100 / (100 - a),
}

Choice = tuple[Fraction, ...]


def choices(texts: Sequence[str]) -> Iterable[Choice]:
    """Every order, ties included, that numbers printed as some texts can have."""
    marks = sorted({end for text in texts for end in ends(text)})
    between = [
        low + (high - low) * part / (len(texts) + 1)
        for low, high in pairwise(marks)
        for part in range(1, len(texts) + 1)
    ]
    points = [*marks, *between]
    return product(*([p for p in points if low <= p <= high] for low, high in map(ends, texts)))


# -----------------------------------------------------------------------------
# Against every choice


@given(st.lists(PRINTED, min_size=2, max_size=2), st.sampled_from("012"))
def test_a_win_is_decided_as_every_choice_says(texts: list[str], printed: str) -> None:
    assert wins(texts, printed) == expected((a > b) == int(printed) for a, b in choices(texts))


@settings(max_examples=40, deadline=None)
@given(SERIES)
@example(["1.0", "1", "0.9"])
def test_a_trend_is_decided_as_every_choice_says(texts: list[str]) -> None:
    assert monotone(texts, "rising") == expected(a < b < c for a, b, c in choices(texts))
    assert monotone(texts[::-1], "falling") == monotone(texts, "rising")


@settings(max_examples=40, deadline=None)
@given(SERIES, SERIES, st.sampled_from(["steps", "ranks"]))
def test_two_series_agree_only_if_every_choice_does(
    left: list[str], right: list[str], by: str
) -> None:
    found = two_sided("concordance", left, right, by=by)
    one, other = ({ways(choice, by) for choice in choices(side)} for side in (left, right))
    assert (found == "reproduced") == (one == other and len(one) == 1)
    if found == "contradicted":  # what only several steps rule out together is left open
        assert not one & other
    assert found == two_sided("concordance", right, left, by=by)


def ways(numbers: Choice, by: str) -> tuple[int, ...]:
    """Signs of the steps of a series, or of all its pairs."""
    pairs = pairwise(numbers) if by == "steps" else combinations(numbers, 2)
    return tuple((b > a) - (b < a) for a, b in pairs)


@given(st.lists(st.tuples(PRINTED, PRINTED), min_size=2, max_size=3), PRINTED)
def test_spikes_are_decided_as_every_choice_says(pairs: list[tuple[str, str]], above: str) -> None:
    left, right = zip(*pairs, strict=True)
    limit = Fraction(above)
    places = [
        expected(
            (a > limit) == (b > limit) for a in inside(one, limit) for b in inside(other, limit)
        )
        for one, other in pairs
    ]
    worst = next(o for o in ("contradicted", "inconclusive", "reproduced") if o in places)
    assert two_sided("concordance", left, right, by="spikes", above=above) == worst


def inside(text: str, limit: Fraction) -> list[Fraction]:
    """Ends of an interval, and the limit if it lies inside."""
    low, high = ends(text)
    return [low, high, *([limit] if low <= limit <= high else [])]


@given(PRINTED, PRINTED)
def test_a_repeat_is_decided_by_how_many_numbers_print_as_both(left: str, right: str) -> None:
    step = Fraction(1, 2000)  # a tenth of the finest interval
    low, high = ends(left)
    tried = (low + step * number for number in range(int((high - low) / step) + 1))
    shared = sum(ends(right)[0] <= number <= ends(right)[1] for number in tried)
    found = two_sided("repeat", [left], [right])
    assert found == ("contradicted", "inconclusive", "reproduced")[min(shared, 2)]
    assert found == two_sided("repeat", [right], [left])


@given(st.lists(PRINTED, min_size=2, max_size=2), st.sampled_from(list(FORMS)), RELATION, PRINTED)
def test_a_ratio_is_never_against_its_digits(
    texts: list[str], form: str, relation: str, printed: str
) -> None:
    found = ratio(texts, form, relation, printed)
    try:
        exact = compute(form, map(Fraction, texts))
    except ZeroDivisionError:
        assert found == "inconclusive"
        return
    low, high = ends(printed)
    holds = {
        "equals": low <= exact <= high,
        "at-least": exact >= Fraction(printed),
        "at-most": exact <= Fraction(printed),
    }[relation]
    assert found != ("contradicted" if holds else "reproduced")


@given(
    st.lists(PRINTED, min_size=2, max_size=2),
    st.lists(st.fractions(0, 1, max_denominator=7), min_size=2, max_size=2),
    st.sampled_from(list(FORMS)),
    PRINTED,
)
def test_a_ratio_that_some_choice_gives_is_not_contradicted(
    texts: list[str], parts: list[Fraction], form: str, printed: str
) -> None:
    spans = [(part, *ends(text)) for text, part in zip(texts, parts, strict=True)]
    chosen = [low + part * (high - low) for part, low, high in spans]
    assume(chosen[1] != 0)
    value = compute(form, chosen)
    low, high = ends(printed)
    if low <= value <= high:
        assert ratio(texts, form, "equals", printed) != "contradicted"
    if value < Fraction(printed):
        assert ratio(texts, form, "at-least", printed) != "reproduced"
    if value > Fraction(printed):
        assert ratio(texts, form, "at-most", printed) != "reproduced"


def compute(form: str, numbers: Iterable[Fraction]) -> Fraction:
    one = form in ("plain", "times-per-reduction")
    return FORMS[form](*list(numbers)[: 1 if one else 2])


@given(PRINTED, PRINTED, st.integers(0, 60))
def test_a_row_is_decided_as_every_choice_says(left: str, right: str, noise: int) -> None:
    margin = Fraction(noise, 20)
    nearest = [0] if ends(left)[0] <= ends(right)[1] and ends(right)[0] <= ends(left)[1] else []
    apart = [*nearest, *(abs(a - b) for a in ends(left) for b in ends(right))]
    wanted = expected(each > margin for each in apart)
    text = f"{Decimal(noise) / 20:f}"
    assert row([left], [right], text) == row([right], [left], text) == (wanted, "")
    points = "" if wanted == "inconclusive" else wanted
    assert row([left], [right], text, "unverified") == ("inconclusive", points)


# -----------------------------------------------------------------------------
# Units and arms


@given(SERIES, SERIES, PRINTED, RELATION)
def test_the_unit_decides_nothing(
    left: list[str], right: list[str], limit: str, relation: str
) -> None:
    def all_of(one: list[str], other: list[str], at: str) -> list[Any]:
        return [
            wins([*one, *other], "2"),
            monotone(one, "rising"),
            two_sided("repeat", one, other),
            two_sided("concordance", one, other, by="steps"),
            two_sided("concordance", one, other, by="ranks"),
            two_sided("concordance", one, other, by="spikes", above=at),
            ratio(one, "plain", relation, at),
            row(one, other, at.removeprefix("-")),
            *(ratio(one, form, relation, limit) for form in list(FORMS)[1:4]),
        ]

    tenfold = [[shifted(text) for text in side] for side in (left, right)]
    assert all_of(left, right, limit) == all_of(*tenfold, shifted(limit))


@given(st.lists(PRINTED, min_size=6, max_size=6), st.integers(0, 3))
def test_the_arms_of_wins_mirror_each_other(texts: list[str], won: int) -> None:
    swapped = [texts[index ^ 1] for index in range(6)]
    assert wins(swapped, str(won), "lower") == wins(texts, str(won), "higher")
    if wins(texts, str(won)) == "reproduced":  # ties go to neither, so at most the rest
        assert all(wins(swapped, str(more)) == "contradicted" for more in range(4 - won, 4))


@given(SERIES)
def test_what_surely_rises_never_falls(texts: list[str]) -> None:
    there, back = monotone(texts, "rising"), monotone(texts, "falling")
    if there == "reproduced":
        assert back == "contradicted"


@pytest.mark.parametrize(
    ("text", "moved"), [("0.03", "003e-1"), ("5", "5e1"), ("-1.0e-5", "-10e-5")]
)
def test_moving_the_point_keeps_the_digits(text: str, moved: str) -> None:
    assert shifted(text) == moved
    assert Fraction(moved) == 10 * Fraction(text)
    assert Decimal(moved).as_tuple().exponent == Decimal(text).as_tuple().exponent + 1
