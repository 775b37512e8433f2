"""What findings on evaluations say, whole. Oracle: sums by hand, with the world of
`test_verify_model_rules`: 65 questions, five settings that lose 0.1 answers less on average than
they are told to, and a floor of 4.6154 points.

A mean of five reaches 2.7764 x 4.6154 / sqrt(5) = 5.7307 points to both sides, the difference of
two sqrt(2) times as far, 8.1045. Two cells that are decided together have 3.4954 in place of
2.7764: 7.2147 for a mean, and 3.4954 x 4.6154 x sqrt(1.2) = 17.6724 for another draw.
"""

from pathlib import Path
from typing import Any

import made_up_records as records
import pytest
from made_up_records import codes, interval, numbers, pointing, said
from made_up_worlds import BOTH, judged_sentence, named, sentence, table, verdict, wobbling, world

from repro.schema.causes import cause
from repro.schema.finding import Finding
from verify import decision_rule
from verify.outcome import JudgedClaim
from verify.rules import model

DRAW = 4.615384615 * 1.2**0.5
"""Standard error of another draw of one cell."""


def losing(mamba: int, phi: int) -> dict[str, int]:
    return {"mamba-1": mamba, "phi-1": phi}


# -----------------------------------------------------------------------------
# Cells


def judged_cell(root: Path, printed: str, settings: int = 5) -> JudgedClaim:
    """13 lost answers against a printed cell, with the first few settings."""
    data = table({"mamba-1": printed, "phi-1": "60.0"})
    data["jobs"] = records.manifest_data()["jobs"]
    data["jobs"][0]["tiers"]["full"]["settings"] = [
        f"batch-{size}" for size in records.BATCHES[:settings]
    ]
    claimed, evidence = world(root, wobbling(losing(13, 13)), **data)
    return model.cell(claimed, claimed.cell(BOTH[0]), evidence)


def test_a_cell_gives_its_p_value_to_the_table(tmp_path: Path) -> None:
    """Off by 40.154, less 0.06 and 12, is 28.094: 5.557 standard errors of another draw."""
    from scipy import stats

    judged = judged_cell(tmp_path, "60.0")
    assert judged.decided.outcome == "contradicted"
    wanted = 2 * stats.t.sf((60 - 12.9 * 100 / 65 - 0.06 - 12) / DRAW, 4)
    assert judged.p_contradicted == pytest.approx(wanted, rel=1e-6)


def test_too_few_settings_decide_nothing_and_have_no_p_value(tmp_path: Path) -> None:
    judged = judged_cell(tmp_path, "60.0", settings=4)
    assert (judged.decided.outcome, judged.p_contradicted) == ("inconclusive", 1.0)
    assert judged.decided.causes[0] == cause("few-settings", draws=4, needed=5, repeated=0)
    assert judged.decided.causes[1].code == "beyond-another-draw"
    assert judged.decided.causes[1].values["off"] == pytest.approx(-40.1923, abs=1e-3)
    two = judged_cell(tmp_path / "two", "60.0", settings=2)
    assert two.decided.measured == "19.6 (2 settings: 19.2 to 20.0)"
    one = judged_cell(tmp_path / "one", "60.0", settings=1)
    assert one.decided.measured == "19.2 (1 setting)"
    assert one.decided.causes[:2] == (
        cause("few-settings", draws=1, needed=5, repeated=0),
        cause("too-few-draws", draws=1, needed=2),
    )
    assert cause("no-null") in one.decided.working
    measured = one.decided.estimates[0]
    assert (measured.label, measured.low, measured.high) == ("measured", None, None)
    assert measured.value == pytest.approx(12.5 * 100 / 65)


def test_a_cell_counts_the_other_values_that_it_would_accept(tmp_path: Path) -> None:
    """60.0, and not its own 20.0."""
    judged = judged_cell(tmp_path, "20.0")
    assert cause("other-values-accepted", accepted=0, others=1) in judged.decided.working


def test_a_divergence_that_settings_alone_can_make_is_at_the_floor(tmp_path: Path) -> None:
    """One answer lost at one number of shots by one setting in five: never more than that."""
    found = verdict(
        tmp_path,
        lambda _, setting, shots: (int(setting == 2 and shots == 5), 0),
        **table({"mamba-1": "20.0", "phi-1": "20.0"}),
    )
    one = named(found, BOTH[0])
    assert said(one, "flips") == {"lost": pytest.approx(0.2), "won": 0}
    assert numbers(one)["null divergence"] == pytest.approx(0.769, abs=1e-3)
    assert (one.outcome, one.listed_under) == ("inconclusive", "at-the-floor")


def test_a_number_that_comes_out_at_the_floor_says_so(tmp_path: Path) -> None:
    """Nothing is lost, and next to nothing is printed."""
    data = table({"mamba-1": "0.1", "phi-1": "0.1"})
    one = named(verdict(tmp_path, lambda *_: (0, 0), **data), BOTH[0])
    assert (one.outcome, one.listed_under) == ("reproduced", None)
    assert said(one, "at-the-floor") == {}
    assert "at-the-floor" not in codes(one)


@pytest.mark.parametrize(("printed", "listed"), [("34.0", "not-reproduced-here"), ("29.0", None)])
def test_what_is_off_and_not_contradicted_is_not_reproduced_here(
    tmp_path: Path, printed: str, listed: str | None
) -> None:
    """19.85, within 12 of 29.0 though not surely, and 14.2 from 34.0."""
    data = table({"mamba-1": printed, "phi-1": "20.0"})
    one = named(verdict(tmp_path, wobbling(losing(13, 13)), **data), BOTH[0])
    assert one.outcome == "inconclusive"
    assert codes(one)[-1] == "interval-crosses-margin"
    assert one.listed_under == listed


def test_a_margin_within_noise_reproduces_nothing_and_fails_nothing(tmp_path: Path) -> None:
    data = table({"mamba-1": "60.0", "phi-1": "20.0"}, margin="9")
    one = named(verdict(tmp_path, wobbling(losing(13, 13)), **data), BOTH[0])
    assert codes(one) == ["margin-within-noise"]


def test_a_mean_whole(tmp_path: Path) -> None:
    margin = {"value": "12", "origin": "made up"}
    claim = sentence("mean", published="mean", of=BOTH, margin=margin)
    found = judged_sentence(tmp_path, losing(13, 13), claim)
    # The floor is that of four evaluations, 3.26: room 12 - 0.11 - 2.1318 x 3.2636 / sqrt(5).
    assert (found.outcome, found.published, found.margin) == ("reproduced", "20.0", "± 12")
    assert found.measured == "19.8 (5 settings: 19.2 to 20.8)"
    assert said(found, "within-margin") == {
        "off": pytest.approx(-0.154, abs=1e-3),
        "spread": pytest.approx(3.2636, abs=1e-4),
        "draws": 5,
        "rounding": pytest.approx(0.11),
        "margin": "12",
    }
    assert pointing(found) == "mean-within-margin"
    assert numbers(found) == pytest.approx({"measured": 19.846, "null divergence": 1.538}, abs=1e-3)
    assert said(found, "power")["power"] == pytest.approx(0.99, abs=5e-3)


# -----------------------------------------------------------------------------
# Counts


@pytest.mark.parametrize(
    ("lost", "above", "expected"),
    [
        # 46.0 and 6.0 points: surely above 25 is the first, even in another draw (28.3).
        ((30, 4), "25", ("reproduced", "1", (1, 1, 1, 1), "agrees")),
        ((30, 4), "30", ("reproduced", "1", (1, 1, 0, 1), "agrees")),
        # 58.3 and 26.0: the second may be above, from 18.8 on.
        ((38, 17), "25", ("inconclusive", "1 to 2", (1, 2, 1, 2), "agrees")),
        ((17, 4), "25", ("inconclusive", "0 to 1", (0, 1, 0, 1), "agrees")),
        ((38, 38), "25", ("contradicted", "2", (2, 2, 2, 2), "disagrees")),
        ((4, 4), "40", ("contradicted", "0", (0, 0, 0, 0), "disagrees")),
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
    names = ("sure", "possible", "least", "most")
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
        return max(0, lost[model] + (setting % 3 - 1) * (shots > 0)), 0

    return named(verdict(root, flips, **data), "it")


@pytest.mark.parametrize(("rounding", "sure"), [("26.06", 1), ("26.11", 0)])
def test_a_count_allows_for_rounding(tmp_path: Path, rounding: str, sure: int) -> None:
    """58.308 - 7.215 = 51.093 points, 26.093 above the threshold."""
    claim = sentence("count", published="count", of=BOTH, above="25")
    found = judged(tmp_path, losing(38, 17), claim, rounding)
    counts = said(found, "counted-above")
    assert (counts["sure"], counts["possible"]) == (sure, 2)


def test_what_coin_tosses_explain_is_not_surely_above(tmp_path: Path) -> None:
    """One flip at each number of shots: d² is v, the shift is 0. With two it is above 0."""
    claim = sentence("count", published="count", of=BOTH, above="-10")
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, more=[claim])
    found = verdict(tmp_path, lambda model, *_: (1 + (model == "phi-1"), 0), **data)
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
    assert (found.measured, found.margin) == ("6.000 and 46.000", "order")
    assert (codes(found), pointing(found)) == (["not-larger"], "points-to-relation left ≤ right")
    gap = "difference, left less right"
    assert numbers(found)[gap] == pytest.approx(-40)
    assert interval(found, gap) == pytest.approx((-48.105, -31.895), abs=1e-3)
    assert numbers(found)["divergence of the left side"] == pytest.approx(6)


def test_an_equality_whole(tmp_path: Path) -> None:
    """The right side, of two cells, has a floor of 3.2636: 2.7764 sqrt((4.6154² + 3.2636²) / 5)."""
    found = ordering(tmp_path, losing(13, 13), right=BOTH, relation="within-spread")
    assert (found.outcome, found.published) == ("inconclusive", "within spread")
    assert found.measured == "19.846 and 19.846"
    assert codes(found) == ["not-reproduced-here", "order-open"]
    assert pointing(found) == "points-to-relation beyond spread"
    gap = "difference, left less right"
    assert interval(found, gap) == pytest.approx((-7.019, 7.019), abs=1e-3)
    assert numbers(found)["range of the right side"] == 0


@pytest.mark.parametrize(
    ("lost", "sides"), [((0, 30), "left"), ((30, 0), "right"), ((0, 0), "left and right")]
)
def test_sides_at_the_floor_are_named(tmp_path: Path, lost: tuple[int, int], sides: str) -> None:
    found = ordering(tmp_path, losing(*lost), relation="at-most")
    assert found.outcome == "inconclusive"
    assert codes(found)[:2] == ["at-the-floor", "floor-of"]
    assert said(found, "floor-of") == {"sides": sides}
    assert found.listed_under == "at-the-floor"


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [("15.94", "reproduced"), ("15.96", "inconclusive")],
)
def test_each_side_of_an_ordering_may_have_been_rounded(
    tmp_path: Path, rounding: str, expected: str
) -> None:
    """Two sides: 31.895 points of room, twice 15.948."""
    assert ordering(tmp_path, losing(4, 30), rounding, relation="at-most").outcome == expected


def test_the_floor_of_a_decision_is_the_one_used_here() -> None:
    assert decision_rule.floor(65, 2) * 1.2**0.5 == pytest.approx(DRAW)
