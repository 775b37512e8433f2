"""What findings on evaluations say, whole. Oracle: sums by hand, with the world of `test_model`:
65 questions, seven settings that lose what they are told to on average, and a floor of 4.6154.

With U = 4.906, of 15.6 degrees of freedom, a mean of seven reaches 2.1244 x 2.2149 = 4.705 points
to both sides, the difference of two 2.039 x 3.132 = 6.387. Another draw has V = 28.07, of 8.0
degrees of freedom: of two cells that are decided together it reaches 2.753 x 5.298 = 14.587.
"""

from pathlib import Path
from typing import Any

import made_up_records as records
import pytest
from made_up_records import codes, interval, numbers, pointing, said
from made_up_worlds import (
    BOTH,
    WOBBLE,
    judged_sentence,
    named,
    sentence,
    table,
    verdict,
    wobbling,
    world,
)

from repro.schema.causes import cause
from repro.schema.finding import Finding
from verify.outcome import JudgedClaim
from verify.rules import model

DRAW = 5.298132
"""Standard error of another draw of one cell on another machine."""
ANSWER = 100 / 65


def losing(mamba: int, phi: int) -> dict[str, int]:
    return {"mamba-1": mamba, "phi-1": phi}


# -----------------------------------------------------------------------------
# Cells


def judged_cell(root: Path, printed: str, settings: int = 7) -> JudgedClaim:
    """13 lost answers against a printed cell, with the first few settings."""
    data = table({"mamba-1": printed, "phi-1": "60.0"})
    data["jobs"] = records.manifest_data()["jobs"]
    data["jobs"][0]["tiers"]["full"]["settings"] = [
        f"batch-{size}" for size in records.BATCHES[:settings]
    ]
    claimed, evidence = world(root, wobbling(losing(13, 13)), kernels=2, **data)
    return model.cell(claimed, claimed.cell(BOTH[0]), evidence)


def test_a_cell_gives_its_test_to_the_table(tmp_path: Path) -> None:
    """Off by 40, less 0.06 of rounding: 7.54 standard errors of another draw. One setting in seven
    is half an answer from the median, and may be so in another number of the table."""
    from scipy import stats

    judged = judged_cell(tmp_path, "60.0")
    assert judged.decided.outcome == "inconclusive"
    assert judged.test
    assert (judged.test.off, judged.test.rounding) == pytest.approx((-40, 0.06))
    assert judged.test.deviation == pytest.approx(ANSWER / 2)
    wanted = 2 * stats.t.sf((40 - 0.06) / DRAW, 7.97677)
    assert judged.test.p_value() == pytest.approx(wanted, rel=1e-4)


def test_too_few_settings_decide_nothing_and_have_no_p_value(tmp_path: Path) -> None:
    judged = judged_cell(tmp_path, "60.0", settings=6)
    assert (judged.decided.outcome, judged.test) == ("inconclusive", None)
    few, here, crosses = judged.decided.causes
    assert few == cause("few-settings", draws=6, needed=7, repeated=0)
    assert here == cause("not-reproduced-here")
    assert crosses.code == "interval-crosses-margin"
    assert crosses.values["off"] == pytest.approx(-40)
    two = judged_cell(tmp_path / "two", "60.0", settings=2)
    assert two.decided.measured == "20.4 (2 settings: 20.0 to 20.8)"
    one = judged_cell(tmp_path / "one", "60.0", settings=1)
    assert one.decided.measured == "20.0 (1 setting)"
    assert one.decided.causes[:2] == (
        cause("few-settings", draws=1, needed=7, repeated=0),
        cause("too-few-draws", draws=1, needed=2),
    )
    measured, null = one.decided.estimates[:2]
    assert (measured.label, measured.low, measured.high) == ("measured", None, None)
    assert measured.value == pytest.approx(20)
    # 13 tosses and 13 are 12 answers apart or fewer; one kernel says nothing of another.
    assert (null.label, null.value) == ("null divergence", pytest.approx(6 * ANSWER))
    assert cause("machine-from-changes", changes=26) in one.decided.working


def test_a_cell_counts_the_other_values_that_it_would_accept(tmp_path: Path) -> None:
    """60.0, and not its own 20.0."""
    judged = judged_cell(tmp_path, "20.0")
    assert cause("other-values-accepted", accepted=0, others=1) in judged.decided.working


def test_a_divergence_that_coins_alone_can_make_is_at_the_floor(tmp_path: Path) -> None:
    """One answer lost at one number of shots by one setting in seven: a toss loses or wins it."""
    found = verdict(
        tmp_path,
        lambda _, setting, shots: (int(setting == 2 and shots == 5), 0),
        **table({"mamba-1": "12.5", "phi-1": "12.5"}),
    )
    one = named(found, BOTH[0])
    assert said(one, "flips") == {"lost": pytest.approx(1 / 7), "won": 0}
    assert numbers(one)["null divergence"] == pytest.approx(ANSWER / 2)
    assert (one.outcome, one.listed_under) == ("inconclusive", "at-the-floor")
    assert codes(one) == ["at-the-floor", "not-reproduced-here", "interval-crosses-margin"]


def test_a_number_that_comes_out_at_the_floor_is_not_reproduced(tmp_path: Path) -> None:
    """Nothing is lost, and next to nothing is printed, which is no divergence either."""
    data = table({"mamba-1": "0.1", "phi-1": "0.1"})
    one = named(verdict(tmp_path, lambda *_: (0, 0), **data), BOTH[0])
    assert (one.outcome, one.listed_under) == ("inconclusive", "at-the-floor")
    assert codes(one) == ["at-the-floor", "within-coin-flips"]
    assert said(one, "within-coin-flips")["null"] == 0
    assert said(one, "power")["power"] == 0


def test_a_large_number_of_which_nothing_is_seen_is_contradicted(tmp_path: Path) -> None:
    data = table({"mamba-1": "40.0", "phi-1": "40.0"})
    one = named(verdict(tmp_path, lambda *_: (0, 0), **data), BOTH[0])
    assert (one.outcome, one.listed_under) == ("contradicted", None)
    assert codes(one) == ["beyond-another-draw", "at-the-floor", "interval-crosses-margin"]


@pytest.mark.parametrize(
    ("lost", "printed", "why"),
    [
        # 13 and 14 tosses are 11 answers apart or fewer, 8.46 points: 0.06 below 8.6, above 8.5.
        (13, "8.6", "within-margin"),
        (13, "8.5", "within-coin-flips"),
        # 4 and 5 tosses 7 answers, 5.38 points, and 6.15 are lost; 2 and 3 tosses 5, of 4 lost.
        (4, "12.0", "within-margin"),
        (2, "12.0", "within-coin-flips"),
    ],
)
def test_both_numbers_are_more_than_coins_give(
    tmp_path: Path, lost: int, printed: str, why: str
) -> None:
    """The smaller of what is measured and what is printed, less rounding, is above the null."""
    data = table({"mamba-1": printed, "phi-1": "20.0"}, margin="30")
    one = named(verdict(tmp_path, wobbling(losing(lost, 13)), **data), BOTH[0])
    assert codes(one)[-1] == why
    assert one.outcome == ("reproduced" if why == "within-margin" else "inconclusive")


@pytest.mark.parametrize(
    ("printed", "listed", "together"),
    [
        ("31.0", None, []),  # within 12, not surely
        ("32.5", "not-reproduced-here", []),  # p = 0.06 by itself
        ("34.0", "not-reproduced-here", ["holm"]),  # 0.038, times two numbers of the table
    ],
)
def test_what_is_off_and_not_contradicted_is_not_reproduced_here(
    tmp_path: Path, printed: str, listed: str | None, together: list[str]
) -> None:
    """20.0 points: less 0.06 and half an answer, 11.67 or 13.17 of 5.298."""
    data = table({"mamba-1": printed, "phi-1": "20.0"})
    one = named(verdict(tmp_path, wobbling(losing(13, 13)), **data), BOTH[0])
    here = [listed] if listed else []
    assert one.outcome == "inconclusive"
    assert codes(one) == [*together, *here, "interval-crosses-margin"]
    assert one.listed_under == listed


@pytest.mark.parametrize(
    ("printed", "margin", "expected"),
    [
        ("20.0", "9.91", ["margin-within-noise"]),
        ("20.0", "9.92", ["within-margin"]),
        ("34.0", "9", ["holm", "margin-within-noise"]),  # in no list: nothing could come out
        ("60.0", "9", ["beyond-another-draw", "margin-within-noise"]),
        ("20.0", "0.06", ["margin-within-rounding"]),
    ],
)
def test_a_margin_within_noise_reproduces_nothing(
    tmp_path: Path, printed: str, margin: str, expected: list[str]
) -> None:
    """1.860 x 5.298 + 0.06 = 9.916 are open; to contradict takes no margin."""
    data = table({"mamba-1": printed, "phi-1": "20.0"}, margin=margin)
    one = named(verdict(tmp_path, wobbling(losing(13, 13)), **data), BOTH[0])
    assert codes(one) == expected
    assert one.listed_under is None
    assert (one.outcome == "contradicted") == (printed == "60.0")


def test_a_mean_whole(tmp_path: Path) -> None:
    margin = {"value": "12", "origin": "made up"}
    claim = sentence("mean", published="mean", of=BOTH, margin=margin)
    found = judged_sentence(tmp_path, losing(13, 13), claim)
    # The floor is that of four evaluations, 3.264: V = 2 x 0.931 + 10.651 x 8 / 7 = 14.035.
    assert (found.outcome, found.published, found.margin) == ("reproduced", "20.0", "± 12")
    assert found.measured == "20.0 (7 settings: 19.2 to 20.8)"
    assert said(found, "within-margin") == {
        "off": pytest.approx(0, abs=1e-9),
        "error": pytest.approx(3.7463, abs=1e-4),
        "draws": 7,
        "rounding": pytest.approx(0.11),
        "margin": "12",
    }
    assert pointing(found) == "mean-within-margin"
    # 13, 14, 13 and 14 tosses are 20 answers apart or fewer.
    assert numbers(found) == pytest.approx({"measured": 20, "null divergence": 5 * ANSWER})
    # Room 12 - 0.11 - 1.860 x 3.746 = 4.92, over 3.746.
    assert said(found, "power")["power"] == pytest.approx(0.811, abs=1e-3)
    limit = pytest.approx(2 * 6.2958, abs=1e-3)
    assert said(found, "machine-from-kernels") == {"changes": 4, "limit": limit}


# -----------------------------------------------------------------------------
# Counts


@pytest.mark.parametrize(
    ("lost", "above", "expected"),
    [
        # 46.15 and 6.15 points: surely above are those that another draw, 14.597 off, would be.
        ((30, 4), "25", ("reproduced", "1", (1, 1), "agrees")),
        ((30, 4), "31.5", ("reproduced", "1", (1, 1), "agrees")),
        ((30, 4), "31.6", ("inconclusive", "0 to 1", (0, 1), "agrees")),
        # 58.5 and 26.2: the second may be above, from 11.6 on.
        ((38, 17), "25", ("inconclusive", "1 to 2", (1, 2), "agrees")),
        ((17, 4), "25", ("inconclusive", "0 to 1", (0, 1), "agrees")),
        ((38, 38), "25", ("contradicted", "2", (2, 2), "disagrees")),
        ((4, 4), "20.7", ("inconclusive", "0 to 2", (0, 2), "agrees")),
        ((4, 4), "20.8", ("contradicted", "0", (0, 0), "disagrees")),
    ],
)
def test_counts_whole(
    tmp_path: Path, lost: tuple[int, int], above: str, expected: tuple[Any, ...]
) -> None:
    claim = sentence("count", published="count", of=BOTH, above=above)
    found = judged_sentence(tmp_path, losing(*lost), claim)
    outcome, measured, counts, direction = expected
    assert (found.outcome, found.published, found.measured) == (outcome, "1", measured)
    assert (found.margin, pointing(found)) == ("exact", direction)
    names = ("sure", "possible")
    wanted = dict(zip(names, counts, strict=True)) | {"total": 2, "above": above}
    assert said(found, "counted-above") == wanted
    assert [each.label for each in found.estimates] == [f"divergence of {name}" for name in BOTH]


def judged(root: Path, lost: dict[str, int], claim: dict[str, Any], rounding: str) -> Finding:
    """As `judged_sentence`, from accuracies that were rounded; nobody loses less than nothing."""
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, more=[claim])
    for each in data["claims"][:2]:
        each["measure"]["input_rounding"] = rounding
    for each in data["published"]:
        each["text"] = {"count": "1"}.get(each["id"], each["text"])

    def flips(model: str, setting: int, shots: int) -> tuple[int, int]:
        return max(0, lost[model] + WOBBLE[setting] * (shots > 0)), 0

    return named(verdict(root, flips, **data), "it")


@pytest.mark.parametrize(("rounding", "sure"), [("18.87", 1), ("18.88", 0)])
def test_a_count_allows_for_rounding(tmp_path: Path, rounding: str, sure: int) -> None:
    """58.462 - 14.587 = 43.875 points, 18.875 above the threshold."""
    claim = sentence("count", published="count", of=BOTH, above="25")
    found = judged(tmp_path, losing(38, 17), claim, rounding)
    counts = said(found, "counted-above")
    assert (counts["sure"], counts["possible"]) == (sure, 2)


def test_what_coin_tosses_explain_is_not_surely_above(tmp_path: Path) -> None:
    """Three lost at each number of shots are no more than coins give, with four they are."""
    claim = sentence("count", published="count", of=BOTH, above="-20")
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, more=[claim])
    found = verdict(tmp_path, lambda model, *_: (3 + (model == "phi-1"), 0), **data)
    counts = said(named(found, "it"), "counted-above")
    assert (counts["sure"], counts["possible"]) == (1, 2)


# -----------------------------------------------------------------------------
# Orderings


def ordering(root: Path, lost: dict[str, int], rounding: str = "0.01", **fields: Any) -> Finding:
    claim = sentence("ordering", **{"left": BOTH[:1], "right": BOTH[1:], **fields})
    return judged(root, lost, claim, rounding)


def test_an_ordering_whole(tmp_path: Path) -> None:
    found = ordering(tmp_path, losing(4, 30), relation="at-most")
    assert (found.outcome, found.published) == ("reproduced", "left ≤ right")
    assert (found.measured, found.margin) == ("6.154 and 46.154", "order")
    assert (codes(found), pointing(found)) == (["not-larger"], "points-to-relation left ≤ right")
    gap = "difference, left less right"
    assert numbers(found)[gap] == pytest.approx(-40)
    assert interval(found, gap) == pytest.approx((-46.387, -33.613), abs=1e-3)
    sides = [
        (f"divergence of the {side} side", f"null divergence, {side}") for side in ("left", "right")
    ]
    labels = [each.label for each in found.estimates]
    assert labels == [gap, *sides[0], *sides[1], "range of the right side"]
    # 4 and 5 tosses are 7 answers apart or fewer, 30 and 31 tosses 17.
    values = [-26, 4, 3.5, 30, 8.5, 0]
    assert list(numbers(found).values()) == pytest.approx([each * ANSWER for each in values])
    assert {each.unit for each in found.estimates} == {"percentage points"}


def test_an_equality_whole(tmp_path: Path) -> None:
    """The right side, of two cells, has half of the variance: 2.048 sqrt(4.906 + 2.453) = 5.556."""
    found = ordering(tmp_path, losing(13, 13), right=BOTH, relation="within-spread")
    assert (found.outcome, found.published) == ("inconclusive", "within spread")
    assert found.measured == "20.000 and 20.000"
    assert codes(found) == ["not-reproduced-here", "order-open"]
    assert pointing(found) == "points-to-relation beyond spread"
    gap = "difference, left less right"
    assert interval(found, gap) == pytest.approx((-5.556, 5.556), abs=1e-3)
    assert numbers(found)["range of the right side"] == 0


@pytest.mark.parametrize(
    ("lost", "side"), [((2, 1), "left"), ((1, 2), "right"), ((0, 0), "right"), ((0, 30), "")]
)
def test_the_larger_side_is_named_where_it_is_at_the_floor(
    tmp_path: Path, lost: tuple[int, int], side: str
) -> None:
    """2 and 3 tosses are 5 answers apart or fewer, and 4 are lost: coins support no order."""
    found = ordering(tmp_path, losing(*lost), relation="at-most")
    assert (found.outcome == "inconclusive") == bool(side)
    if side:
        assert codes(found) == ["at-the-floor", "floor-of", "order-open"]
        assert said(found, "floor-of") == {"sides": side}
        assert found.listed_under == "at-the-floor"


def test_what_coins_may_have_made_does_not_fail_a_sentence(tmp_path: Path) -> None:
    """Another draw of 2 less 1 is more than -30, the most that coins would leave below. But coins
    may have made the 2."""
    data = table({"mamba-1": "20.0", "phi-1": "20.0"})
    claim = sentence("ordering", left=BOTH[:1], right=BOTH[1:], relation="smaller-beyond-null")

    def flips(model: str, *_: int) -> tuple[int, int]:
        return (20, 18) if model == "mamba-1" else (1, 0)

    data["claims"].append(claim)
    found = named(verdict(tmp_path, flips, **data), "it")
    assert (found.outcome, found.listed_under) == ("inconclusive", "at-the-floor")
    assert codes(found) == ["at-the-floor", "floor-of", "not-beyond-null"]


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [("16.80", "reproduced"), ("16.81", "inconclusive")],
)
def test_each_side_of_an_ordering_may_have_been_rounded(
    tmp_path: Path, rounding: str, expected: str
) -> None:
    """Two sides: 33.613 points of room, twice 16.807."""
    assert ordering(tmp_path, losing(4, 30), rounding, relation="at-most").outcome == expected
