"""What findings on printed values say, whole. Oracle: the sentences, written by hand."""

from typing import Any

import pytest
from printed_pages import decide, named

from verify.outcome import Decided
from verify.rules.question import squared_z

OPEN = "the printed precision does not decide it"


def wins(printed: str, *pairs: str) -> Decided:
    """Wins of the left number of each pair."""
    values = named([text for each in pairs for text in each.split()])
    comparisons = [
        {"left": f"v{2 * index}", "right": f"v{2 * index + 1}", "better": "higher"}
        for index in range(len(pairs))
    ]
    claim = {"kind": "wins", "published": "n", "out_of": "k", "comparisons": comparisons}
    return decide({**values, "n": printed, "k": str(len(pairs))}, claim)[0]


def test_wins_that_are_open() -> None:
    assert wins("2", "52.17 52.17", "52.18 52.17", "5 3") == Decided(
        "inconclusive",
        "2 of 3",
        "1 to 3 of 3",
        "exact",
        "of 3 comparisons, 1 won, 2 tied or too close to tell, 0 not won; 2 of 3 printed; " + OPEN,
        ("v0 52.17 and v1 52.17: a tie", "v2 52.18 and v3 52.17: too close to tell"),
    )


def test_wins_that_are_sure() -> None:
    reason = "of 1 comparison, 1 won, 0 tied or too close to tell, 0 not won; 1 of 1 printed"
    assert wins("1", "5 3") == Decided("reproduced", "1 of 1", "1 of 1", "exact", reason)


def ratio(printed: str, form: str, relation: str, *of: str) -> Decided:
    claim = {"kind": "ratio", "published": "p", "of": list(named(of)), "form": form}
    return decide({**named(of), "p": printed}, {**claim, "relation": relation})[0]


def test_ratios_whole() -> None:
    why = "3 / 0.0 is not determined: it divides by 0.0, which may stand for 0"
    undefined = Decided("inconclusive", "1", "3 / 0.0", "± 0.5", why)
    assert ratio("1", "times", "equals", "3", "0.0") == undefined
    said = "2.15 = 2.15, from 2.145 to 2.155 unrounded"
    assert ratio("2.15", "plain", "at-least", "2.15") == Decided(
        "inconclusive",
        "≥ 2.15",
        "2.15 from 2.15",
        "order",
        f"{said}; ≥ 2.15 is claimed; {OPEN}",
    )
    said = "2 = 2, from 1.5 to 2.5 unrounded; 2.1 stands for [2.05, 2.15]"
    expected = Decided("inconclusive", "2.1", "2 from 2", "± 0.05", f"{said}; {OPEN}")
    assert ratio("2.1", "plain", "equals", "2") == expected
    said = "2.1 = 2.1, from 2.05 to 2.15 unrounded; 2 stands for [1.5, 2.5]"
    assert ratio("2", "plain", "equals", "2.1") == Decided(
        "reproduced", "2", "2.1 from 2.1", "± 0.5", said
    )


@pytest.mark.parametrize(
    ("relation", "of", "printed", "expected"),
    [
        ("equals", "2", "3", "inconclusive"),  # both may be 2.5
        ("equals", "3", "2", "inconclusive"),
        ("equals", "0.0", "0", "reproduced"),  # nothing is divided
        ("at-least", "2.0", "1.95", "reproduced"),  # 1.95 at least
        ("at-most", "2.0", "2.05", "reproduced"),
        ("at-most", "2.0", "1.95", "inconclusive"),
        ("at-least", "2.0", "2.05", "inconclusive"),
    ],
)
def test_ratios_where_intervals_end(relation: str, of: str, printed: str, expected: str) -> None:
    assert ratio(printed, "plain", relation, of).outcome == expected


def test_a_reduction_by_nothing_is_defined() -> None:
    assert ratio("1", "times-per-reduction", "equals", "0.0").outcome == "reproduced"


def repeat(left: str, right: str) -> Decided:
    sides = named(left.split()), named(right.split(), "w")
    claim = {"kind": "repeat", "left": list(sides[0]), "right": list(sides[1])}
    return decide({**sides[0], **sides[1]}, claim)[0]


def test_repeats_whole() -> None:
    working = (
        "v1 81 and w1 83: no number prints as both",
        "v0 133 and w0 132: only 132.5 prints as both, by two rounding rules",
        "v2 81 and w2 81.5: both are roundings of [81.45, 81.5]",
    )
    sides = "133, 81, 81", "132, 83, 81.5", "rounding"
    found = repeat("133 81 81", "132 83 81.5")
    assert found == Decided("contradicted", *sides, working[0], working)
    found = repeat("4.54", "4.54")
    assert found == Decided("reproduced", "4.54", "4.54", "rounding", "1 pair the same")


def monotone(*texts: str) -> Decided:
    values = named(texts)
    return decide(values, {"kind": "monotone", "of": list(values), "direction": "rising"})[0]


def test_trends_whole() -> None:
    steps = ("v0 0.1 to v1 0.14: rises or stays or falls", "v1 0.14 to v2 0.54: rises")
    assert monotone("0.1", "0.14", "0.54") == Decided(
        "inconclusive", "rising", "0.1, 0.14, 0.54", "order", f"{steps[0]}; {OPEN}", steps
    )
    steps = ("v0 1 to v1 3: rises", "v1 3 to v2 5: rises")
    assert monotone("1", "3", "5") == Decided(
        "reproduced", "rising", "1, 3, 5", "order", "2 steps, each rising", steps
    )


def concordance(left: str, right: str, **fields: Any) -> Decided:
    sides = named(left.split(), "m"), named(right.split(), "n")
    names = {"left": list(sides[0]), "right": list(sides[1])}
    claim = {"kind": "concordance", "basis": "printed", **names, **fields}
    return decide({**sides[0], **sides[1]}, claim)[0]


def test_series_that_are_open() -> None:
    level = "rises or stays or falls"
    assert concordance("1 5 5 5", "2 6 6 6", by="steps") == Decided(
        "inconclusive",
        "1, 5, 5, 5",
        "2, 6, 6, 6",
        "steps",
        f"of 3 steps: 1 the same, 0 not, 2 open; {OPEN}",
        (
            "m0 1 to m1 5 and n0 2 to n1 6: rises and rises",
            f"m1 5 to m2 5 and n1 6 to n2 6: {level} and {level}",
            f"m2 5 to m3 5 and n2 6 to n3 6: {level} and {level}",
        ),
    )


def test_spikes_whole() -> None:
    assert concordance("1.20 0.20", "1.30 0.30", by="spikes", above="1") == Decided(
        "reproduced",
        "1.20, 0.20",
        "1.30, 0.30",
        "> 1",
        "of 2 places: 2 the same, 0 not, 0 open",
        (
            "m0 1.20 and n0 1.30: above and above",
            "m1 0.20 and n1 0.30: not above and not above",
        ),
    )


def whole(questions: int, *texts: str) -> Decided:
    claim = {"kind": "whole-questions", "of": list(named(texts)), "questions": questions}
    return decide(named(texts), claim)[0]


def test_whole_questions_whole() -> None:
    """A hundredth of a percent of 7 questions is 0.0007 of one; half a percent of 1000 is 5."""
    chance = "a made-up value would be a whole number with chance"
    assert whole(7, "14.29", "28.57") == Decided(
        "reproduced",
        "whole 7ths",
        "2 of 2 reachable",
        "1 / 7",
        "2 of 2 are whole numbers of 7 questions",
        ("right answers of 7: 14.29 = 1, 28.57 = 2", f"{chance} 0.00"),
    )
    assert whole(1000, "50") == Decided(
        "inconclusive",
        "whole 1000ths",
        "1 of 1 reachable",
        "1 / 1000",
        "every printed value would be reachable with 1000 questions, whatever was printed: "
        "the test cannot fail",
        ("right answers of 1000: 50 = 495 to 505", f"{chance} 1.00"),
    )
    missed = "v0 14.28: not reachable, the nearest is 0.00 (0 of 7) or 14.29 (1 of 7)"
    assert whole(7, "14.28").working == (missed, "right answers of 7: none", f"{chance} 0.00")


def sampling(left: str, right: str, questions: int) -> Decided:
    comparison = {"left": "a", "right": "b", "better": "higher", "questions": questions}
    claim = {"kind": "sampling", "comparisons": [comparison], "z": "1.96"}
    return decide({"a": left, "b": right}, claim)[0]


def test_sampling_whole() -> None:
    """96 / sqrt(2 x 2327 - 96) = 1.42 and sqrt(96) = 9.80."""
    found = "of 1 difference, 0 beyond |z| 1.96 however the answers fell, 0 within it, 1 open"
    assert sampling("45.16", "43.30", 5153) == Decided(
        "inconclusive",
        "1 difference beyond sampling",
        "0 beyond, 0 within, 1 open",
        "|z| > 1.96",
        f"{found}: they hang on answers that are not printed",
        ("a 45.16 and b 43.30: 2327 and 2231 of 5153 right, difference 96, z 1.42 to 9.80: open",),
    )
    never = "no whole number of 1267 answers prints as 60.09: open"
    assert sampling("60.09", "60.22", 1267).working == (f"a 60.09 and b 60.22: {never}",)
    # 60 and 55 of 1000 questions: 595 to 605 and 545 to 555, 40 to 60 apart.
    assert (
        sampling("60", "55", 1000)
        .working[0]
        .startswith(
            "a 60 and b 55: 595 to 605 and 545 to 555 of 1000 right, difference 40 to 60, z "
        )
    )


def test_answers_that_may_be_equal_have_no_least_z() -> None:
    """3 to 5 and 4 to 7 right: 4 and 4 differ by nothing, 3 and 7 by four that one arm answers."""
    assert squared_z(range(3, 6), range(4, 8), 10) == (0, 4)
    assert squared_z(range(4, 8), range(3, 6), 10) == (0, 4)


def against_another_paper(noise: str, **columns: tuple[str, str]) -> Decided:
    """Columns as (here, there); `ppl` is in another unit."""
    row = {f"8B.W.{column}": here for column, (here, _) in columns.items()}
    claim = {
        "kind": "baseline",
        "row": list(row),
        "baseline": [there for _, there in columns.values()],
        "source": {"arxiv": "0", "place": "a table", "status": "verified", "note": ""},
        "noise": {"value": noise, "origin": ""},
        "units": "%",
    }
    return decide(row, claim, ppl="perplexity")[0]


def test_rows_of_another_paper_whole() -> None:
    """Unrounded 0.065 at most, 0.115 to 0.225 and 0.235 at least apart."""
    columns = {"PIQA": ("76.39", "76.4"), "Arc": ("63.93", "64.1"), "LAMBADA": ("69.61", "69.9")}
    found = against_another_paper("0.2", ppl=("4.10", "4.10"), **columns)
    reason = "3 columns in % against arXiv 0, a table: 1 apart by more than 0.2, 1 not, 1 open"
    shown = "another model", "1 of 3 columns apart", "> 0.2"
    assert found == Decided("reproduced", *shown, reason, found.working)
    reason = "1 column in % against arXiv 0, a table: 0 apart by more than 0.2, 0 not, 1 open"
    assert against_another_paper("0.2", Arc=columns["Arc"]).reason == f"{reason}; {OPEN}"
    reason = "0 columns in % against arXiv 0, a table: 0 apart by more than 0.2, 0 not, 0 open"
    none = against_another_paper("0.2", ppl=("4.10", "4.10")).reason
    assert none == f"{reason}; nothing is left to decide by"
