"""Decisions on printed values, whole. Oracle: causes and numbers, written by hand."""

from typing import Any

import pytest
from printed_pages import decide, named

from repro.schema.causes import Cause, Estimate, cause
from verify.outcome import RuleDecision
from verify.rules.question import CHANCE, squared_z

OPEN = cause("printed-precision")


def wins(printed: str, *pairs: str) -> RuleDecision:
    """Wins of the left number of each pair."""
    values = named([text for each in pairs for text in each.split()])
    comparisons = [
        {"left": f"v{2 * index}", "right": f"v{2 * index + 1}", "better": "higher"}
        for index in range(len(pairs))
    ]
    claim = {"kind": "wins", "published": "n", "out_of": "k", "comparisons": comparisons}
    return decide({**values, "n": printed, "k": str(len(pairs))}, claim)[0]


def test_wins_that_are_open() -> None:
    counts = {"total": 3, "won": 1, "open": 2, "lost": 0, "printed": "2", "out_of": "3"}
    assert wins("2", "52.17 52.17", "52.18 52.17", "5 3") == RuleDecision(
        "inconclusive",
        "2 of 3",
        "1 to 3 of 3",
        "exact",
        (cause("wins-counted", **counts), OPEN),
        (
            cause("tie", values="v0 52.17 and v1 52.17"),
            cause("too-close", values="v2 52.18 and v3 52.17"),
        ),
    )


def test_wins_that_are_sure() -> None:
    counts = {"total": 1, "won": 1, "open": 0, "lost": 0, "printed": "1", "out_of": "1"}
    why = (cause("wins-counted", **counts),)
    assert wins("1", "5 3") == RuleDecision("reproduced", "1 of 1", "1 of 1", "exact", why)


def ratio(printed: str, form: str, relation: str, *of: str) -> RuleDecision:
    claim = {"kind": "ratio", "published": "p", "of": list(named(of)), "form": form}
    return decide({**named(of), "p": printed}, {**claim, "relation": relation})[0]


def follows(formula: str, value: str, claimed: str) -> Cause:
    return cause("follows", formula=formula, value=value, claimed=claimed)


def test_ratios_whole() -> None:
    why = (cause("divides-by-zero", formula="3 / 0.0", by="0.0"),)
    undefined = RuleDecision("inconclusive", "1", "3 / 0.0", "± 0.5", why)
    assert ratio("1", "times", "equals", "3", "0.0") == undefined
    assert ratio("2.15", "plain", "at-least", "2.15") == RuleDecision(
        "inconclusive",
        "≥ 2.15",
        "2.15 from 2.15",
        "order",
        (follows("2.15", "2.15", "≥ 2.15 is claimed"), OPEN),
        estimates=(Estimate(label="2.15", value=2.15, low=2.145, high=2.155),),
    )
    assert ratio("2.1", "plain", "equals", "2") == RuleDecision(
        "inconclusive",
        "2.1",
        "2 from 2",
        "± 0.05",
        (follows("2", "2", "2.1 stands for [2.05, 2.15]"), OPEN),
        estimates=(Estimate(label="2", value=2, low=1.5, high=2.5),),
    )
    assert ratio("2", "plain", "equals", "2.1") == RuleDecision(
        "reproduced",
        "2",
        "2.1 from 2.1",
        "± 0.5",
        (follows("2.1", "2.1", "2 stands for [1.5, 2.5]"),),
        estimates=(Estimate(label="2.1", value=2.1, low=2.05, high=2.15),),
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


def repeat(left: str, right: str) -> RuleDecision:
    sides = named(left.split()), named(right.split(), "w")
    claim = {"kind": "repeat", "left": list(sides[0]), "right": list(sides[1])}
    return decide({**sides[0], **sides[1]}, claim)[0]


def test_repeats_whole() -> None:
    working = (
        cause("no-number-prints-as-both", values="v1 81 and w1 83"),
        cause("two-rounding-rules", values="v0 133 and w0 132", number="132.5"),
        cause("roundings-of-one", values="v2 81 and w2 81.5", low="81.45", high="81.5"),
    )
    sides = "133, 81, 81", "132, 83, 81.5", "rounding"
    found = repeat("133 81 81", "132 83 81.5")
    assert found == RuleDecision("contradicted", *sides, working[:1], working)
    same = (cause("repeated", count=1),)
    found = repeat("4.54", "4.54")
    assert found == RuleDecision("reproduced", "4.54", "4.54", "rounding", same)


def test_what_is_apart_many_times_is_named_thrice_and_counted() -> None:
    found = repeat("1 2 3 4 5", "11 12 13 14 15")
    assert len(found.working) == 5
    assert found.causes == (*found.working[:3], cause("and-more", total=5))


def monotone(*texts: str) -> RuleDecision:
    values = named(texts)
    return decide(values, {"kind": "monotone", "of": list(values), "direction": "rising"})[0]


def goes(step: str, ways: str) -> Cause:
    return cause("step-goes", step=step, ways=ways)


def test_trends_whole() -> None:
    steps = (
        goes("v0 0.1 to v1 0.14", "rises or stays or falls"),
        goes("v1 0.14 to v2 0.54", "rises"),
    )
    assert monotone("0.1", "0.14", "0.54") == RuleDecision(
        "inconclusive", "rising", "0.1, 0.14, 0.54", "order", (steps[0], OPEN), steps
    )
    steps = (goes("v0 1 to v1 3", "rises"), goes("v1 3 to v2 5", "rises"))
    why = (cause("every-step", steps=2, direction="rising"),)
    assert monotone("1", "3", "5") == RuleDecision(
        "reproduced", "rising", "1, 3, 5", "order", why, steps
    )


def concordance(left: str, right: str, **fields: Any) -> RuleDecision:
    sides = named(left.split(), "m"), named(right.split(), "n")
    names = {"left": list(sides[0]), "right": list(sides[1])}
    claim = {"kind": "concordance", "basis": "printed", **names, **fields}
    return decide({**sides[0], **sides[1]}, claim)[0]


def place(where: str, left: str, right: str) -> Cause:
    return cause("place", where=where, left=left, right=right)


def agreeing(places: str, **counts: int) -> Cause:
    return cause("places-agree", places=places, **counts)


def test_series_that_are_open() -> None:
    level = "rises or stays or falls"
    assert concordance("1 5 5 5", "2 6 6 6", by="steps") == RuleDecision(
        "inconclusive",
        "1, 5, 5, 5",
        "2, 6, 6, 6",
        "steps",
        (agreeing("steps", same=1, differ=0, open=2, total=3), OPEN),
        (
            place("m0 1 to m1 5 and n0 2 to n1 6", "rises", "rises"),
            place("m1 5 to m2 5 and n1 6 to n2 6", level, level),
            place("m2 5 to m3 5 and n2 6 to n3 6", level, level),
        ),
    )


def test_spikes_whole() -> None:
    assert concordance("1.20 0.20", "1.30 0.30", by="spikes", above="1") == RuleDecision(
        "reproduced",
        "1.20, 0.20",
        "1.30, 0.30",
        "> 1",
        (agreeing("places", same=2, differ=0, open=0, total=2),),
        (
            place("m0 1.20 and n0 1.30", "above", "above"),
            place("m1 0.20 and n1 0.30", "not above", "not above"),
        ),
    )


def whole(questions: int, *texts: str) -> RuleDecision:
    claim = {"kind": "whole-questions", "of": list(named(texts)), "questions": questions}
    return decide(named(texts), claim)[0]


def test_whole_questions_whole() -> None:
    """A hundredth of a percent of 7 questions is 0.0007 of one; half a percent of 1000 is 5."""
    found = whole(7, "14.29", "28.57")
    assert found == RuleDecision(
        "reproduced",
        "whole 7ths",
        "2 of 2 reachable",
        "1 / 7",
        (cause("whole-numbers", reached=2, total=2, questions=7),),
        (cause("right-answers", questions=7, reachable="14.29 = 1, 28.57 = 2"),),
        found.estimates,
    )
    assert [(each.label, each.value) for each in found.estimates] == [(CHANCE, 0.0007)]
    assert whole(1000, "50") == RuleDecision(
        "inconclusive",
        "whole 1000ths",
        "1 of 1 reachable",
        "1 / 1000",
        (cause("cannot-fail", idle=1, total=1, questions=1000),),
        (cause("right-answers", questions=1000, reachable="50 = 495 to 505"),),
        (Estimate(label=CHANCE, value=1),),
    )
    near = "0.00 (0 of 7) or 14.29 (1 of 7)"
    assert whole(7, "14.28").working == (
        cause("not-reachable", value="v0 14.28", questions=7, nearest=near),
        cause("right-answers", questions=7, reachable="none"),
    )


def sampling(left: str, right: str, questions: int) -> RuleDecision:
    comparison = {"left": "a", "right": "b", "better": "higher", "questions": questions}
    claim = {"kind": "sampling", "comparisons": [comparison], "z": "1.96"}
    return decide({"a": left, "b": right}, claim)[0]


def test_sampling_whole() -> None:
    """96 / sqrt(2 x 2327 - 96) = 1.42 and sqrt(96) = 9.80."""
    groups = {"beyond": 0, "within": 0, "reversed": 0, "tied": 0, "open": 1}
    found = sampling("45.16", "43.30", 5153)
    assert found == RuleDecision(
        "inconclusive",
        "1 difference beyond sampling",
        "0 beyond, 0 within, 0 reversed, 0 tied, 1 open",
        "z > 1.96",
        (cause("beyond-sampling", total=1, z="1.96", **groups),),
        found.working,
    )
    (step,) = found.working
    assert (step.code, step.values["group"]) == ("difference-of-answers", "open")
    assert step.values["values"] == "a 45.16 and b 43.30"
    assert [step.values[name] for name in ("left", "right", "questions")] == ["2327", "2231", 5153]
    assert (step.values["low"], step.values["high"]) == pytest.approx((1.42, 9.80), abs=0.005)
    never = {"values": "a 60.09 and b 60.22", "never": "60.09", "questions": 1267}
    assert sampling("60.09", "60.22", 1267).working == (cause("no-answers-print-so", **never),)
    # 60 and 55 of 1000 questions: 595 to 605 and 545 to 555, 40 to 60 apart.
    (step,) = sampling("60", "55", 1000).working
    assert (step.values["left"], step.values["right"]) == ("595 to 605", "545 to 555")


def test_answers_that_may_be_equal_have_no_least_z() -> None:
    """3 to 5 and 4 to 7 right: 4 and 4 differ by nothing, 3 and 7 by four that one arm answers."""
    assert squared_z(range(3, 6), range(4, 8), 10) == (0, 4)
    assert squared_z(range(4, 8), range(3, 6), 10) == (0, 4)


def against_another_paper(noise: str, **columns: tuple[str, str]) -> RuleDecision:
    """Columns as (here, there); `ppl` is in another unit."""
    row = {f"8B.W.{column}": here for column, (here, _) in columns.items()}
    claim = {
        "kind": "baseline",
        "row": list(row),
        "baseline": [there for _, there in columns.values()],
        "source": {"arxiv": "2405.00001", "place": "a table", "status": "verified", "note": ""},
        "noise": {"value": noise, "origin": ""},
        "units": "%",
    }
    return decide(row, claim, ppl="perplexity")[0]


def test_rows_of_another_paper_whole() -> None:
    """Unrounded 0.065 at most, 0.115 to 0.225 and 0.235 at least apart."""
    columns = {"PIQA": ("76.39", "76.4"), "Arc": ("63.93", "64.1"), "LAMBADA": ("69.61", "69.9")}
    found = against_another_paper("0.2", ppl=("4.10", "4.10"), **columns)
    shown = "another model", "1 of 3 columns apart", "> 0.2"
    why = (apart(columns=3, above=1, below=1, open=1),)
    assert found == RuleDecision("reproduced", *shown, why, found.working)
    found = against_another_paper("0.2", Arc=columns["Arc"])
    assert found.causes == (apart(columns=1, above=0, below=0, open=1), OPEN)
    none = against_another_paper("0.2", ppl=("4.10", "4.10"))
    assert none.causes == (apart(columns=0, above=0, below=0, open=0), cause("no-column"))


def apart(**counts: int) -> Cause:
    return cause(
        "columns-apart", units="%", source="arXiv 2405.00001, a table", noise="0.2", **counts
    )
