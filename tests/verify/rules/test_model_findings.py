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
from made_up_records import shown
from made_up_worlds import BOTH, judged_sentence, named, sentence, table, verdict, wobbling, world

from repro.schema.finding import Finding
from verify import statistics
from verify.outcome import Judged
from verify.rules import model

DRAW = 4.615384615 * 1.2**0.5
"""Standard error of another draw of one cell."""


def losing(mamba: int, phi: int) -> dict[str, int]:
    return {"mamba-1": mamba, "phi-1": phi}


# -----------------------------------------------------------------------------
# Cells


def judged_cell(root: Path, printed: str, settings: int = 5) -> Judged:
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
    assert judged.decided.reason.startswith("4 of the 5 settings needed; mean off by -40.2, s 4.6")
    two = judged_cell(tmp_path / "two", "60.0", settings=2)
    assert two.decided.measured == "19.6 (2 settings: 19.2 to 20.0)"
    one = judged_cell(tmp_path / "one", "60.0", settings=1)
    assert one.decided.measured == "19.2 (1 setting)"
    assert one.decided.reason.startswith("1 of the 5 settings needed; 1 setting, two needed")


def test_a_cell_counts_the_other_values_that_it_would_accept(tmp_path: Path) -> None:
    """60.0, and not its own 20.0."""
    judged = judged_cell(tmp_path, "20.0")
    end = "other values printed for this dtype would be accepted"
    assert judged.decided.working[-1] == f"0 of 1 {end}"


def test_a_divergence_that_settings_alone_can_make_is_at_the_floor(tmp_path: Path) -> None:
    """One answer lost at one number of shots by one setting in five: never more than that."""
    found = verdict(
        tmp_path,
        lambda _, setting, shots: (int(setting == 2 and shots == 5), 0),
        **table({"mamba-1": "20.0", "phi-1": "20.0"}),
    )
    assert named(found, BOTH[0]).working[0] == (
        "a setting loses 0.2 answers and wins 0; null divergence 0.769 (at the floor)"
    )


def test_a_mean_whole(tmp_path: Path) -> None:
    margin = {"value": "12", "origin": "made up"}
    claim = sentence("mean", published="mean", of=BOTH, margin=margin)
    found = judged_sentence(tmp_path, losing(13, 13), claim)
    # The floor is that of four evaluations, 3.26: room 12 - 0.11 - 2.1318 x 3.2636 / sqrt(5).
    reason = (
        "mean off by -0.154, s 3.3 over 5 settings, h 0.11: within 12 even at the end of its "
        "confidence interval"
    )
    measured = "19.8 (5 settings: 19.2 to 20.8)"
    expected = ("reproduced", "20.0", measured, "± 12", reason, "within the margin")
    assert shown(found) == expected
    assert found.working[0] == "null divergence 1.538"
    assert found.working[1].startswith("power 0.99; a shift of ")


# -----------------------------------------------------------------------------
# Counts


@pytest.mark.parametrize(
    ("lost", "above", "expected"),
    [
        # 46.0 and 6.0 points: surely above 25 is the first, even in another draw (28.3).
        ((30, 4), "25", ("reproduced", "1", "1 surely and 1 possibly", "1 to 1", "agrees")),
        ((30, 4), "30", ("reproduced", "1", "1 surely and 1 possibly", "0 to 1", "agrees")),
        # 58.3 and 26.0: the second may be above, from 18.8 on.
        ((38, 17), "25", ("inconclusive", "1 to 2", "1 surely and 2 possibly", "1 to 2", "agrees")),
        ((17, 4), "25", ("inconclusive", "0 to 1", "0 surely and 1 possibly", "0 to 1", "agrees")),
        ((38, 38), "25", ("contradicted", "2", "2 surely and 2 possibly", "2 to 2", "disagrees")),
        ((4, 4), "40", ("contradicted", "0", "0 surely and 0 possibly", "0 to 0", "disagrees")),
    ],
)
def test_counts_whole(
    tmp_path: Path, lost: tuple[int, int], above: str, expected: tuple[str, ...]
) -> None:
    claim = sentence("count", published="count", of=BOTH, above=above)
    found = judged_sentence(tmp_path, losing(*lost), claim)
    outcome, measured, sure, draws, direction = expected
    reason = f"{sure} above {above}; another draw would show {draws}"
    assert shown(found) == (outcome, "1", measured, "exact", reason, direction)


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
    assert found.reason.startswith(f"{sure} surely and 2 possibly above 25; ")


def test_what_coin_tosses_explain_is_not_surely_above(tmp_path: Path) -> None:
    """One flip at each number of shots: d² is v, the shift is 0. With two it is above 0."""
    claim = sentence("count", published="count", of=BOTH, above="-10")
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, more=[claim])
    found = verdict(tmp_path, lambda model, *_: (1 + (model == "phi-1"), 0), **data)
    assert named(found, "it").reason.startswith("1 surely and 2 possibly above -10; ")


# -----------------------------------------------------------------------------
# Orderings


def ordering(root: Path, lost: dict[str, int], rounding: str = "0.01", **fields: Any) -> Finding:
    claim = sentence("ordering", **{"left": BOTH[:1], "right": BOTH[1:], **fields})
    return judged(root, lost, claim, rounding)


def test_an_ordering_whole(tmp_path: Path) -> None:
    found = ordering(tmp_path, losing(4, 30), relation="at-most")
    reason = "difference -40.000, 95 % between -48.105 and -31.895"
    measured, direction = "6.000 and 46.000", "points to left ≤ right"
    assert shown(found) == ("reproduced", "left ≤ right", measured, "order", reason, direction)


def test_an_equality_whole(tmp_path: Path) -> None:
    """The right side, of two cells, has a floor of 3.2636: 2.7764 sqrt((4.6154² + 3.2636²) / 5)."""
    found = ordering(tmp_path, losing(13, 13), right=BOTH, relation="within-spread")
    reason = "difference +0.000, 95 % between -7.019 and +7.019"
    measured, direction = "19.846 and 19.846", "spread of the right side 0.000"
    assert shown(found) == ("inconclusive", "within spread", measured, "order", reason, direction)


@pytest.mark.parametrize(
    ("lost", "sides"), [((0, 30), "left"), ((30, 0), "right"), ((0, 0), "left and right")]
)
def test_sides_at_the_floor_are_named(tmp_path: Path, lost: tuple[int, int], sides: str) -> None:
    found = ordering(tmp_path, losing(*lost), relation="at-most")
    assert found.outcome == "inconclusive"
    assert found.reason.startswith("difference ")
    at = f"; {sides} at the floor (null divergence): supports no ordering"
    assert found.reason.endswith(at)


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
    assert statistics.floor(65, 2) * 1.2**0.5 == pytest.approx(DRAW)
