"""Claims on printed values alone. Oracles: counts and sums done by hand from the tables."""

from typing import Any

import pytest
from printed_pages import COLUMNS, codes, decide, manifest, named, outcome, tables
from pydantic import ValidationError

from repro.schema.causes import Cause, cause

SIZES = ("130M", "370M", "780M", "1.3B", "2.7B")


def won(sizes: tuple[str, ...], other: str) -> dict[str, Any]:
    """W against another arm, over all columns of some sizes."""
    comparisons = [
        {
            "left": f"{size}.W.{column}",
            "right": f"{size}.{other}.{column}",
            "better": "lower" if column == "ppl" else "higher",
        }
        for size in sizes
        for column in COLUMNS
    ]
    return {"kind": "wins", "published": "n", "out_of": "k", "comparisons": comparisons}


def test_wins_of_table_4_are_29_a_tie_and_5_losses() -> None:
    found, direction = decide({**tables(), "n": "32", "k": "35"}, won(SIZES, "not"))
    assert (found.outcome, direction) == ("contradicted", "")
    assert (found.published, found.measured) == ("32 of 35", "29 to 30 of 35")
    counts = {"total": 35, "won": 29, "open": 1, "lost": 5, "printed": "32", "out_of": "35"}
    assert found.causes == (cause("wins-counted", **counts),)
    assert found.working[:2] == (
        cause("tie", values="130M WinoGrande 52.17 and 52.17"),
        cause("not-won", values="370M PIQA 69.53 and 70.67"),
    )
    assert len(found.working) == 6


def test_wins_of_table_5_are_8() -> None:
    found, _ = decide({**tables(), "n": "8", "k": "14"}, won(SIZES[3:], "both"))
    assert (found.outcome, found.measured) == ("reproduced", "8 of 14")


@pytest.mark.parametrize(
    ("left", "right", "better", "printed", "expected"),
    [
        ("52.17", "52.17", "higher", "1", "inconclusive"),
        ("52.17", "52.17", "higher", "0", "inconclusive"),
        ("52.17", "52.17", "higher", "2", "contradicted"),
        ("52.18", "52.17", "higher", "1", "inconclusive"),  # both may be 52.175
        ("52.17", "52.18", "higher", "0", "reproduced"),  # at best equal: no win
        ("52.19", "52.17", "higher", "1", "reproduced"),
        ("52.19", "52.17", "lower", "0", "reproduced"),
        ("52.19", "52.17", "higher", "1.0", "reproduced"),
        ("52.17", "52.17", "higher", "0.5", "contradicted"),  # no count at all
        ("0.2", "0.17", "higher", "1", "inconclusive"),  # 0.2 may be 0.16
    ],
)
def test_wins_at_the_rounding(
    left: str, right: str, better: str, printed: str, expected: str
) -> None:
    comparison = {"left": "a", "right": "b", "better": better}
    claim = {"kind": "wins", "published": "n", "out_of": "k", "comparisons": [comparison]}
    assert outcome({"a": left, "b": right, "n": printed, "k": "1"}, claim) == expected


def test_wins_are_out_of_as_many_comparisons_as_are_printed() -> None:
    comparison = {"left": "a", "right": "b", "better": "higher"}
    claim = {"kind": "wins", "published": "n", "out_of": "k", "comparisons": [comparison]}
    values = {"a": "3", "b": "1", "n": "1"}
    assert outcome({**values, "k": "1"}, claim) == "reproduced"
    assert outcome({**values, "k": "2"}, claim) == "contradicted"


@pytest.mark.parametrize(
    ("of", "form", "relation", "printed", "expected"),
    [
        (["429", "300"], "percent-more", "equals", "143", "contradicted"),
        (["429", "300"], "percent-more", "equals", "43", "reproduced"),
        (["429", "300"], "percent-of", "equals", "143", "reproduced"),
        (["2.15"], "plain", "at-least", "2", "reproduced"),
        (["2.15"], "plain", "at-most", "2", "contradicted"),
        (["2.15"], "plain", "at-least", "2.15", "inconclusive"),
        (["2.15"], "plain", "at-least", "2.155", "inconclusive"),
        (["2.15"], "plain", "at-least", "2.156", "contradicted"),
        (["2.15"], "plain", "at-most", "2.146", "inconclusive"),
        (["62.7"], "times-per-reduction", "equals", "3", "reproduced"),
        (["65.5"], "times-per-reduction", "equals", "2.9", "reproduced"),
        (["62.7"], "times-per-reduction", "at-least", "3", "contradicted"),
        (["10", "4"], "times", "equals", "2", "reproduced"),  # 2.5 rounds to 2 or 3
        (["10", "4"], "times", "equals", "3", "reproduced"),
        (["10", "4"], "times", "equals", "2.6", "inconclusive"),
        (["10", "4"], "times", "equals", "4", "contradicted"),  # 10.5 / 3.5 = 3 at most
        (["-1.0", "2"], "times", "at-most", "-0.4", "inconclusive"),  # -0.38 to -0.7
    ],
)
def test_ratios(of: list[str], form: str, relation: str, printed: str, expected: str) -> None:
    claim = {"kind": "ratio", "published": "p", "of": list(named(of)), "form": form}
    assert outcome({**named(of), "p": printed}, {**claim, "relation": relation}) == expected


def test_a_ratio_shows_how_it_is_computed() -> None:
    claim = {"kind": "ratio", "published": "p", "of": ["a", "b"], "form": "percent-more"}
    found, _ = decide({"a": "429", "b": "300", "p": "143"}, {**claim, "relation": "equals"})
    assert (found.published, found.measured) == ("143", "43 from 429, 300")
    formula = "100 × (429 / 300 − 1)"
    said = {"value": "43", "claimed": "143 stands for [142.5, 143.5]"}
    assert found.causes == (cause("follows", formula=formula, **said),)
    (number,) = found.estimates
    assert (number.label, number.value) == (formula, 43)
    # The least is 428.5 over 300.5, the most 429.5 over 299.5.
    assert (number.low, number.high) == pytest.approx((42.5957, 43.4057), abs=1e-4)


@pytest.mark.parametrize(
    ("of", "form", "why"),
    [
        (["3", "0.0"], "times", "divides-by-zero"),
        (["3", "0.5e1"], "times", ""),
        (["0", "0"], "percent-of", "divides-by-zero"),
        (["99.95"], "times-per-reduction", ""),
        (["99.5"], "times-per-reduction", ""),
        (["100"], "times-per-reduction", "reduction-by-all"),
        (["250"], "times-per-reduction", "reduction-by-all"),
    ],
)
@pytest.mark.parametrize("relation", ["equals", "at-least", "at-most"])
def test_what_divides_by_nothing_is_undecided(
    of: list[str], form: str, why: str, relation: str
) -> None:
    claim = {"kind": "ratio", "published": "p", "of": list(named(of)), "form": form}
    found, _ = decide({**named(of), "p": "1"}, {**claim, "relation": relation})
    if why:
        assert (found.outcome, codes(found)) == ("inconclusive", [why])
        assert found.causes[0].values["by"] == of[-1]
        assert not found.estimates
    else:
        assert codes(found)[0] == "follows"


@pytest.mark.parametrize(
    ("left", "right", "expected", "causes"),
    [
        (["4.54"], ["4.54"], "reproduced", [cause("repeated", count=1)]),
        (["4.54", "65.73"], ["4.54", "65.73"], "reproduced", [cause("repeated", count=2)]),
        (
            ["81"],
            ["81.5"],
            "reproduced",
            [
                cause("repeated", count=1),
                cause("roundings-of-one", values="v0 81 and w0 81.5", low="81.45", high="81.5"),
            ],
        ),
        (
            ["133"],
            ["132"],
            "inconclusive",
            [cause("two-rounding-rules", values="v0 133 and w0 132", number="132.5")],
        ),
        (
            ["133", "81"],
            ["132", "83"],
            "contradicted",
            [cause("no-number-prints-as-both", values="v1 81 and w1 83")],
        ),
        (["1.0e-5"], ["0.000010"], "reproduced", [cause("repeated", count=1)]),
    ],
)
def test_repeats(left: list[str], right: list[str], expected: str, causes: list[Cause]) -> None:
    sides = named(left), named(right, "w")
    claim = {"kind": "repeat", "left": list(sides[0]), "right": list(sides[1])}
    found, _ = decide({**sides[0], **sides[1]}, claim)
    assert found.outcome == expected
    assert list(found.causes) == causes


def test_rows_of_table_4_that_table_5_repeats_name_their_places() -> None:
    texts = {"1.3B.T4.ppl": "4.54", "1.3B.T5.ppl": "4.45"}
    claim = {"kind": "repeat", "left": ["1.3B.T4.ppl"], "right": ["1.3B.T5.ppl"]}
    found, _ = decide(texts, claim)
    assert (found.published, found.measured) == ("4.54", "4.45")
    assert found.causes == (cause("no-number-prints-as-both", values="1.3B ppl 4.54 and 4.45"),)


PLACE = {"arxiv": "2405.21060", "place": "zero-shot table", "note": ""}


def like_pretrained(status: str, noise: str, units: str = "%") -> dict[str, Any]:
    """The 2.7B row without W against the pretrained model as its authors print it."""
    return {
        "kind": "baseline",
        "row": [f"2.7B.not.{column}" for column in COLUMNS],
        "baseline": ["4.10", "69.7", "66.6", "76.4", "69.6", "36.4", "64.0"],
        "source": {**PLACE, "status": status},
        "noise": {"value": noise, "origin": "two evaluations of one model"},
        "units": units,
    }


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        ("0.3", "contradicted"),
        ("0.195", "contradicted"),  # 36.255 and 36.45, the farthest apart they can be
        ("0.194", "inconclusive"),
        ("0.085", "inconclusive"),  # 36.265 and 36.35, the closest
        ("0.084", "reproduced"),
    ],
)
def test_a_row_against_another_paper(noise: str, expected: str) -> None:
    assert outcome_of_row("verified", noise) == (expected, "")
    points = expected if expected != "inconclusive" else ""
    assert outcome_of_row("unverified", noise) == ("inconclusive", points)


def outcome_of_row(status: str, noise: str) -> tuple[str, str]:
    found, direction = decide(tables(), like_pretrained(status, noise), ppl="perplexity")
    assert ("source-not-held" in codes(found)) == (status == "unverified")
    return found.outcome, direction


def test_a_row_shows_every_column() -> None:
    found, _ = decide(tables(), like_pretrained("verified", "0.3"), ppl="perplexity")
    assert len(found.working) == 7
    assert found.working[0].code == "column-of-another-unit"
    assert found.working[0].values["unit"] == "perplexity"
    sides = {"value": "2.7B not LAMBADA 69.61", "other": "69.7", "unit": "%"}
    apart = {"exact": "0.09", "low": "0.035", "high": "0.145"}
    assert found.working[1] == cause("column-differs", **sides, **apart)
    assert found.working[2].code == "column-overlaps"  # 66.60 and 66.6


@pytest.mark.parametrize("status", ["verified", "unverified"])
def test_a_row_with_no_column_that_decides_is_undecided(status: str) -> None:
    found, direction = decide(tables(), like_pretrained(status, "0.3", units="tokens"))
    assert (found.outcome, direction) == ("inconclusive", "")
    assert "no-column" in codes(found)


@pytest.mark.parametrize("text", ["NaN", "", "inf", "1e", "0.5.1", "1\n"])
def test_what_is_no_number_is_no_published_value(text: str) -> None:
    with pytest.raises(ValidationError):
        manifest({"a": text}, {"kind": "repeat", "left": ["a"], "right": ["a"]})


@pytest.mark.parametrize(
    "claim",
    [
        {"kind": "wins", "published": "a", "out_of": "a", "comparisons": []},
        {"kind": "repeat", "left": [], "right": []},
        {"kind": "whole-questions", "of": [], "questions": 9},
        {"kind": "sampling", "comparisons": [], "z": "1.96"},
        {**like_pretrained("verified", "0.3"), "row": [], "baseline": []},
    ],
)
def test_an_empty_claim_is_no_claim(claim: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        manifest({"a": "0"}, claim)
