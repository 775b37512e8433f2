"""How printed values are named in a finding. Oracle: the words, written by hand."""

from typing import Any

import pytest

from repro.schema.causes import cause
from repro.schema.claim_base import Place, Published
from verify import outcome


def value(text: str, **place: Any) -> Published:
    return Published(id="v0", text=text, unit="%", place=Place(section="F", **place))


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"row": "130M W", "column": "PIQA"}, "130M W PIQA"),
        ({"row": "130M W"}, "130M W"),
        ({"column": "PIQA"}, "PIQA"),
        ({"table": "Table 4"}, "v0"),
    ],
)
def test_a_value_is_named_by_where_it_stands(place: dict[str, str], expected: str) -> None:
    assert outcome.place_label(value("1", **place)) == expected


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("130M W", "130M not", "130M PIQA 1 and 2"),
        ("130M W", "370M not", "PIQA 1 and 2"),
        ("130M W", "130M W", "130M W PIQA 1 and 2"),
    ],
)
def test_two_values_are_named_by_what_they_share(left: str, right: str, expected: str) -> None:
    both = value("1", row=left, column="PIQA"), value("2", row=right, column="PIQA")
    assert outcome.pair_in_words(*both) == expected


def test_two_values_that_share_nothing_are_both_named() -> None:
    assert outcome.pair_in_words(value("1", row="A"), value("2", row="B")) == "A 1 and B 2"


def test_long_lists_are_cut() -> None:
    digits = list("123456789")
    assert outcome.first_few_texts(digits[:7]) == "1, 2, 3, 4, 5, 6, 7"
    assert outcome.first_few_texts(digits[:8]) == "1, 2, 3, 4, 5, 6, 7 … (8 in all)"
    steps = [cause("misquoted", why=each) for each in digits]
    assert outcome.first_lines(steps[:3]) == tuple(steps[:3])
    assert outcome.first_lines(steps[:4]) == (*steps[:3], cause("and-more", total=4))


def test_what_made_an_outcome_stands_before_its_other_causes() -> None:
    first, other = cause("agrees"), cause("disagrees")
    decided = outcome.RuleDecision("reproduced", "1", "2", "± 1", (other,), (first,))
    found = decided.because(first, other, outcome="inconclusive")
    assert found.outcome == "inconclusive"
    assert (found.causes, found.working) == ((first, other, other), (first,))
    assert decided.because(outcome="reproduced") == decided


def test_a_claim_that_is_no_number_has_no_test_over_the_table() -> None:
    decided = outcome.RuleDecision("reproduced", "1", "2", "± 1", ())
    assert outcome.JudgedClaim(decided, None, []).test is None


@pytest.mark.parametrize(
    ("sure", "possible", "expected"),
    [
        (True, True, "reproduced"),
        (False, True, "inconclusive"),
        (False, False, "contradicted"),
        (True, False, "contradicted"),
    ],
)
def test_outcomes_of_what_is_sure_or_possible(sure: bool, possible: bool, expected: str) -> None:  # noqa: FBT001
    assert outcome.outcome_of_bounds(sure=sure, possible=possible) == expected
