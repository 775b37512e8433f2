"""Whole questions and McNemar's z from printed accuracies.

Oracles: sums by hand, every number of right answers, every table of two arms' answers.
"""

from decimal import Decimal
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from printed_pages import (
    COLUMNS,
    QUESTIONS,
    decide,
    ends,
    expected,
    named,
    outcome,
    tables,
)

from verify.rules.question import right_answers, squared_z


def column(name: str) -> list[str]:
    return [each for each in tables() if each.endswith(name)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LAMBADA", "reproduced"),
        ("HellaSwag", "inconclusive"),  # 100 / 10042 < 0.01
        ("PIQA", "reproduced"),
        ("Arc-E", "reproduced"),
        ("Arc-C", "reproduced"),
        ("WinoGrande", "contradicted"),  # 60.09
    ],
)
def test_columns_of_tables_4_and_5(name: str, expected: str) -> None:
    questions = QUESTIONS[COLUMNS.index(name)]
    claim = {"kind": "whole-questions", "of": column(name), "questions": questions}
    assert outcome(tables(), claim) == expected


def test_the_cell_that_no_number_of_answers_prints_is_named() -> None:
    claim = {"kind": "whole-questions", "of": column("WinoGrande"), "questions": 1267}
    found, _ = decide(tables(), claim)
    assert found.measured == "11 of 12 reachable"
    assert found.reason == (  # 100 · 761 / 1267 = 60.063, 100 · 762 / 1267 = 60.142
        "780M W WinoGrande 60.09: not reachable, "
        "the nearest is 60.06 (761 of 1267) or 60.14 (762 of 1267)"
    )
    # 100 / 1267 = 0.079 between neighbours, of which a printed value covers 0.01
    assert found.working[-1] == "a made-up value would be a whole number with chance 0.13"
    assert found.working[0] == found.reason
    assert found.working[1].startswith("right answers of 1267: 52.17 = 661, 52.17 = 661, 57.14 =")


@pytest.mark.parametrize(
    ("texts", "questions", "expected"),
    [
        (["0"], 7, "reproduced"),
        (["100"], 7, "reproduced"),
        (["14.29", "28.57"], 7, "reproduced"),
        (["14.28"], 7, "contradicted"),  # 14.2857
        (["12.5"], 8, "reproduced"),
        (["12", "13"], 8, "reproduced"),  # 12.5 rounds to either
        (["112.5"], 8, "contradicted"),
        (["-12.5"], 8, "contradicted"),
        (["150"], 1000, "contradicted"),
        (["50"], 100, "inconclusive"),  # every whole percent is reachable
        (["50"], 99, "contradicted"),  # 49.495 and 50.505
        (["50.0"], 1000, "inconclusive"),
        (["50.00", "50.1"], 1000, "inconclusive"),
    ],
)
def test_whole_questions(texts: list[str], questions: int, expected: str) -> None:
    values = named(texts)
    claim = {"kind": "whole-questions", "of": list(values), "questions": questions}
    assert outcome(values, claim) == expected


def test_a_test_that_cannot_fail_says_so() -> None:
    claim = {"kind": "whole-questions", "of": column("HellaSwag"), "questions": 10042}
    found, _ = decide(tables(), claim)
    assert found.reason.startswith("every printed value would be reachable")
    values = named(["50.00", "50.1"])
    some, _ = decide(values, {"kind": "whole-questions", "of": list(values), "questions": 1000})
    assert some.reason.startswith("1 of 2 values would be reachable")


def test_right_answers() -> None:
    assert right_answers("60.06", 1267) == range(761, 762)
    assert not right_answers("60.09", 1267)
    assert right_answers("50", 1000) == range(495, 506)


def compared(left: str, right: str, questions: int, z: str = "1.96") -> tuple[str, str]:
    """Outcome and working of one comparison."""
    comparison = {"left": "a", "right": "b", "better": "higher", "questions": questions}
    claim = {"kind": "sampling", "comparisons": [comparison], "z": z}
    found, _ = decide({"a": left, "b": right}, claim)
    return found.outcome, found.working[0]


def test_z_of_one_comparison() -> None:
    """2327 and 2231 of 5153: 96 / sqrt(2 · 2327 - 96) = 1.42, sqrt(96) = 9.80."""
    assert compared("45.16", "43.30", 5153) == (
        "inconclusive",
        "a 45.16 and b 43.30: 2327 and 2231 of 5153 right, difference 96, z 1.42 to 9.80: open",
    )


@pytest.mark.parametrize(
    ("left", "right", "questions", "z", "expected"),
    [
        ("52.17", "52.17", 1267, "1.96", "contradicted"),  # no difference at all
        ("65.02", "64.85", 1838, "1.96", "contradicted"),  # 3 answers: sqrt(3) = 1.73
        ("65.02", "64.85", 1838, "1.73", "inconclusive"),  # 1.7320508…
        ("60", "20", 10, "2", "contradicted"),  # 4 answers: z is 2 at most, not above it
        ("60", "20", 10, "1.99", "inconclusive"),
        ("100", "0", 100, "9.99", "reproduced"),  # only one way to differ by all: z = 10
        ("100", "0", 100, "10", "contradicted"),
        ("60.22", "60.09", 1267, "1.96", "inconclusive"),  # 60.09 is no whole number
    ],
)
def test_sampling(left: str, right: str, questions: int, z: str, expected: str) -> None:
    assert compared(left, right, questions, z)[0] == expected
    assert compared(right, left, questions, z)[0] == expected


def test_a_text_no_answers_print_is_named() -> None:
    assert "no whole number of 1267 answers prints as 60.09" in compared("60.22", "60.09", 1267)[1]


def test_table_4_differs_by_no_more_than_sampling_in_seven_comparisons() -> None:
    """Those of at most 3 answers, since 1.96² = 3.84: 3, 0, 1, 1, 3, 1 and 2, by hand."""
    sizes = ("130M", "370M", "780M", "1.3B", "2.7B")
    comparisons = [
        {"left": f"{size}.W.{name}", "right": f"{size}.not.{name}", "better": "higher"}
        | {"questions": questions}
        for size in sizes
        for name, questions in list(zip(COLUMNS, QUESTIONS, strict=True))[1:]
    ]
    claim = {"kind": "sampling", "comparisons": comparisons, "z": "1.96"}
    found, _ = decide(tables(), claim)
    assert (found.outcome, found.measured) == ("contradicted", "0 beyond, 7 within, 23 open")
    assert len(found.working) == 30


@pytest.mark.parametrize(
    ("pairs", "wanted"),
    [
        ([("100", "0"), ("90", "10")], "reproduced"),  # 100 / 10, 80 / sqrt(2 · 90 - 80) = 8
        ([("100", "0"), ("60", "50")], "inconclusive"),  # 10 / sqrt(90) to sqrt(10)
        ([("100", "0"), ("60", "50"), ("52", "50")], "contradicted"),  # sqrt(2)
    ],
)
def test_sampling_is_reproduced_only_by_all(pairs: list[tuple[str, str]], wanted: str) -> None:
    texts = named([text for pair in pairs for text in pair])
    comparisons = [
        {"left": f"v{2 * index}", "right": f"v{2 * index + 1}", "better": "higher"}
        | {"questions": 100}
        for index in range(len(pairs))
    ]
    assert outcome(texts, {"kind": "sampling", "comparisons": comparisons, "z": "1.96"}) == wanted


def test_the_least_z_is_that_of_the_closest_numbers() -> None:
    least, most = squared_z(range(6, 8), range(2, 4), 10)
    assert least == Fraction(9, 2 * 6 - 3)  # 6 and 3 right: b ≤ 6, b ≤ 10 - 3
    assert most == 5  # 7 and 2 right, no question that only the worse arm answers


# -----------------------------------------------------------------------------
# Against every number of answers and every table of two arms

ACCURACY = st.builds(
    lambda digits, places: f"{Decimal(digits).scaleb(-places):f}",
    st.integers(0, 10000),
    st.integers(0, 2),
)


@given(st.lists(ACCURACY, min_size=1, max_size=3), st.integers(1, 130))
def test_whole_questions_agree_with_trying_every_number(texts: list[str], questions: int) -> None:
    claim = {"kind": "whole-questions", "of": list(named(texts)), "questions": questions}
    found = outcome(named(texts), claim)
    tried = [Fraction(100 * right, questions) for right in range(questions + 1)]
    reached = [any(ends(text)[0] <= each <= ends(text)[1] for each in tried) for text in texts]
    assert (found == "contradicted") == (not all(reached))
    if found == "reproduced":
        gap = Fraction(100, questions)
        assert all(ends(text)[1] - ends(text)[0] < gap for text in texts)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.data(), st.sampled_from([-1, 0, 1]))
def test_z_agrees_with_every_table_of_answers(
    questions: int, data: st.DataObject, places: int
) -> None:
    """Printed to tens, an accuracy leaves several numbers of right answers possible."""
    exact = [Fraction(100 * data.draw(st.integers(0, questions)), questions) for _ in range(2)]
    left, right = (f"{round(each * 10**places)}e{-places}" for each in exact)
    squares = [
        Fraction((b - c) ** 2, b + c) if b + c else Fraction(0)
        for b, c, both in product(range(questions + 1), repeat=3)
        if b + c + both <= questions
        and prints(both + b, questions, left)
        and prints(both + c, questions, right)
    ]
    one, other = right_answers(left, questions), right_answers(right, questions)
    assert squared_z(one, other, questions) == (min(squares), max(squares))
    for z in ("0", "1", "2", "3"):
        beyond = expected(square > int(z) ** 2 for square in squares)
        comparison = {"left": "a", "right": "b", "better": "higher", "questions": questions}
        claim = {"kind": "sampling", "comparisons": [comparison], "z": z}
        assert outcome({"a": left, "b": right}, claim) == beyond
        assert outcome({"a": right, "b": left}, claim) == beyond


def prints(right: int, questions: int, text: str) -> bool:
    low, high = ends(text)
    return low <= Fraction(100 * right, questions) <= high
