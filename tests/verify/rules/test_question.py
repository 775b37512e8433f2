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

from repro.schema.causes import Cause, cause
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
    # 100 · 761 / 1267 = 60.063, 100 · 762 / 1267 = 60.142
    near = "60.06 (761 of 1267) or 60.14 (762 of 1267)"
    missed = cause("not-reachable", value="780M W WinoGrande 60.09", questions=1267, nearest=near)
    assert found.causes == (missed,)
    assert [each.code for each in found.working] == ["not-reachable", "right-answers"]
    reached = str(found.working[1].values["reachable"])
    assert reached.startswith("52.17 = 661, 52.17 = 661, 57.14 =")
    # 100 / 1267 = 0.079 between neighbours, of which a printed value covers 0.01
    (chance,) = found.estimates
    assert chance.value == pytest.approx(0.1267)


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
    assert found.causes == (cause("cannot-fail", idle=12, total=12, questions=10042),)
    values = named(["50.00", "50.1"])
    some, _ = decide(values, {"kind": "whole-questions", "of": list(values), "questions": 1000})
    assert some.causes == (cause("cannot-fail", idle=1, total=2, questions=1000),)


def test_right_answers() -> None:
    assert right_answers("60.06", 1267) == range(761, 762)
    assert not right_answers("60.09", 1267)
    assert right_answers("50", 1000) == range(495, 506)


def compared(
    left: str, right: str, questions: int, z: str = "1.96", better: str = "higher"
) -> tuple[str, Cause]:
    """Outcome and working of one comparison."""
    comparison = {"left": "a", "right": "b", "better": better, "questions": questions}
    claim = {"kind": "sampling", "comparisons": [comparison], "z": z}
    found, _ = decide({"a": left, "b": right}, claim)
    return found.outcome, found.working[0]


@pytest.mark.parametrize(
    ("left", "right", "questions", "z", "expected"),
    [
        ("65.02", "64.85", 1838, "1.96", "contradicted"),  # 3 answers: sqrt(3) = 1.73
        ("65.02", "64.85", 1838, "1.73", "inconclusive"),  # 1.7320508…
        ("60", "20", 10, "2", "contradicted"),  # 4 answers: z is 2 at most, not above it
        ("60", "20", 10, "1.99", "inconclusive"),
        ("100", "0", 100, "9.99", "reproduced"),  # only one way to differ by all: z = 10
        ("100", "0", 100, "10", "contradicted"),
    ],
)
def test_sampling(left: str, right: str, questions: int, z: str, expected: str) -> None:
    """What is better where lower is better is mirrored."""
    assert compared(left, right, questions, z)[0] == expected
    assert compared(right, left, questions, z, "lower")[0] == expected


@pytest.mark.parametrize("z", ["0", "1.96", "10"])
@pytest.mark.parametrize(("left", "right"), [("0", "100"), ("20", "60"), ("44", "56")])
def test_a_difference_the_other_way_never_counts_for_the_claim(
    left: str, right: str, z: str
) -> None:
    """However far beyond sampling it is; squared, z says nothing of the way."""
    outcome, step = compared(left, right, 100, z)
    assert (outcome, step.values["group"]) == ("contradicted", "reversed")


@pytest.mark.parametrize(
    ("left", "right", "questions"),
    [
        ("52.17", "52.17", 1267),  # 661 and 661
        ("60", "60", 1000),  # 595 to 605 each
        ("60.0", "60", 1000),
        ("33", "34", 300),  # 98 to 100, 101 to 103: not tied, and one the other way
    ],
)
def test_a_tie_decides_nothing(left: str, right: str, questions: int) -> None:
    outcome, step = compared(left, right, questions)
    tied = left != "33"
    assert step.values["group"] == ("tied" if tied else "reversed")
    assert outcome == ("inconclusive" if tied else "contradicted")


def test_a_tie_beside_sure_differences_leaves_the_claim_open() -> None:
    texts = {"a": "100", "b": "0", "c": "50", "d": "50"}
    comparisons = [
        {"left": left, "right": right, "better": "higher", "questions": 100}
        for left, right in (("a", "b"), ("c", "d"))
    ]
    claim = {"kind": "sampling", "comparisons": comparisons, "z": "1.96"}
    assert outcome(texts, claim) == "inconclusive"


def test_a_text_no_answers_print_is_named() -> None:
    for sides in (("60.22", "60.09"), ("60.09", "60.22")):
        found, step = compared(*sides, 1267)
        assert found == "inconclusive"
        assert (step.code, step.values["never"]) == ("no-answers-print-so", "60.09")


def test_table_4_against_the_sampling_of_questions() -> None:
    """By hand: the left arm gains 3, 3, 1 and 2 answers, within since 1.96² = 3.84; it loses 21,
    31, 1 and 1; once nobody gains."""
    sizes = ("130M", "370M", "780M", "1.3B", "2.7B")
    comparisons = [
        {"left": f"{size}.W.{name}", "right": f"{size}.not.{name}", "better": "higher"}
        | {"questions": questions}
        for size in sizes
        for name, questions in list(zip(COLUMNS, QUESTIONS, strict=True))[1:]
    ]
    claim = {"kind": "sampling", "comparisons": comparisons, "z": "1.96"}
    found, _ = decide(tables(), claim)
    measured = "0 beyond, 4 within, 4 reversed, 1 tied, 21 open"
    assert (found.outcome, found.measured) == ("contradicted", measured)
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
    tables = [
        (b, c)
        for b, c, both in product(range(questions + 1), repeat=3)
        if b + c + both <= questions
        and prints(both + b, questions, left)
        and prints(both + c, questions, right)
    ]
    squares = [Fraction((b - c) ** 2, b + c) if b + c else Fraction(0) for b, c in tables]
    one, other = right_answers(left, questions), right_answers(right, questions)
    assert squared_z(one, other, questions) == (min(squares), max(squares))
    ways = {(b > c) - (b < c) for b, c in tables}
    for z in ("0", "1", "2", "3"):
        for sides, way in (((left, right), 1), ((right, left), -1)):
            beyond = expected(square > int(z) ** 2 for square in squares)
            if 0 in ways:  # a tie may be all there is
                beyond = "inconclusive"
            elif ways == {-way}:
                beyond = "contradicted"
            assert compared(*sides, questions, z)[0] == beyond


def prints(right: int, questions: int, text: str) -> bool:
    low, high = ends(text)
    return low <= Fraction(100 * right, questions) <= high
