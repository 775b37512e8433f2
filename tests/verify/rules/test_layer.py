"""Claims about layers, judged from made-up arrays. Oracle: what a reader would say of them."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_up_records as records
import numpy as np
import pytest
from made_up_layers import BOUND, GOOD, IDENTITY, JOB, TIMES, TREND, as_recorded
from made_up_records import codes, numbers, pointing, said

from repro.environment import machine as environment
from repro.schema.finding import Finding
from repro.schema.jobs import StabilityJob
from repro.store.commitments import commitments_of
from repro.store.run_file import RunFile
from repro.store.store import Store
from verify.evidence import Evidence
from verify.judge import judge
from verify.rules import layer


def found(root: Path, claim: dict[str, Any], controls: list[str], **arrays: Any) -> Finding:
    """The finding of one claim on `GOOD`, with some arrays replaced."""
    single = {
        "kind": "single",
        "id": "layers",
        "tiers": ["full"],
        "job": JOB.model_dump(mode="json"),
    }
    common = {"id": "it", "statement": "", "quote": "as printed"}
    common |= {"place": {"section": "3"}, "depends_on": ["torch"]}
    named = [{"array": name, "what": name} for name in controls]
    claimed = records.manifest(
        jobs=[single],
        claims=[{**common, "jobs": ["layers"], **claim, "controls": named}],
    )
    store, machine = Store(root), environment.capture(["torch"])
    made = as_recorded(
        {name: each for name, each in {**GOOD, **arrays}.items() if each is not None}
    )
    key = records.save_record(store, JOB, made, machine)
    run = RunFile(
        schema_version=2,
        manifest="table9",
        file="table9.json",
        tier="full",
        started="2026-01-01T00:00:00+00:00",
        committed=commitments_of(claimed),
        substitutions={},
        jobs={"layers": key},
        missing={},
    )
    evidence = Evidence(claimed, run, store, records.checkpoints(), {})
    return judge(claimed, evidence, {"torch": machine.packages["torch"]}).findings[0]


def test_a_bound_that_holds_is_not_proved(tmp_path: Path) -> None:
    finding = found(tmp_path, BOUND, ["bad_ratio"])
    assert (finding.outcome, pointing(finding)) == ("inconclusive", "holds-so-far")
    assert codes(finding) == ["held", "controls-caught"]
    assert (said(finding, "held"), said(finding, "controls-caught")) == ({"count": 4}, {"count": 1})
    assert finding.listed_under == "held"


def test_one_counterexample_contradicts(tmp_path: Path) -> None:
    finding = found(tmp_path, BOUND, ["bad_ratio"], ratio=np.array([0.2, 1.0 + 1e-9]))
    assert finding.outcome == "contradicted"
    assert said(finding, "counterexamples") == {"broken": 1, "layers": 2}


def test_a_control_that_is_not_caught_makes_the_claim_invalid(tmp_path: Path) -> None:
    finding = found(tmp_path, BOUND, ["bad_ratio"], bad_ratio=np.array([3.0, 0.5]))
    assert finding.outcome == "invalid"
    assert "cannot fail" in finding.reason


def test_a_check_without_a_control_says_so(tmp_path: Path) -> None:
    assert codes(found(tmp_path, BOUND, [])) == ["held", "no-control"]


@pytest.mark.parametrize("ratio", [np.array([]), np.array([np.nan]), np.array([np.inf]), None])
def test_empty_missing_and_not_finite_arrays_are_invalid(tmp_path: Path, ratio: Any) -> None:
    assert found(tmp_path, BOUND, [], ratio=ratio).outcome == "invalid"


@pytest.mark.parametrize(
    ("relation", "outcome"),
    [("below", "contradicted"), ("at-most", "inconclusive"), ("above", "contradicted")],
)
def test_strict_relations_are_strict(tmp_path: Path, relation: str, outcome: str) -> None:
    claim = {**BOUND, "relation": relation}
    assert found(tmp_path, claim, [], ratio=np.array([1.0])).outcome == outcome


def test_falling_curves_hold_and_rising_ones_contradict(tmp_path: Path) -> None:
    falling = found(tmp_path / "a", TREND, ["rising"])
    assert (falling.outcome, pointing(falling)) == ("inconclusive", "holds-so-far")
    assert (codes(falling), falling.listed_under) == (["held", "controls-caught"], "held")
    rising = found(tmp_path / "b", TREND, [], curves=GOOD["rising"])
    assert (rising.outcome, codes(rising)[0]) == ("contradicted", "curves-rise")


def test_a_curve_that_does_not_fall_is_not_held(tmp_path: Path) -> None:
    """One falls, one is up and down and ends higher: that refutes nothing, and is not held."""
    curves = np.stack([np.exp(-TIMES), [1.0, 3.0, 1.0, 4.0, 1.0, 4.0, 2.0, 5.0]])
    finding = found(tmp_path, TREND, [], curves=curves, floor=np.zeros((2, 8)))
    assert (finding.outcome, pointing(finding)) == ("inconclusive", "")
    assert codes(finding) == ["curves-not-falling", "no-control"]
    assert said(finding, "curves-not-falling") == {"rest": 1, "layers": 2}
    assert finding.listed_under is None


def test_the_sign_of_a_rate_takes_no_confidence(tmp_path: Path) -> None:
    """A curve that falls a little and wobbles a lot: its fitted rate is negative, and that is all
    that is said, though independent residuals of that size would leave it open."""
    curve = np.exp(-0.01 * TIMES + np.array([0.0, 0.5, -0.5, 0.5, -0.5, 0.5, -0.5, 0.0]))
    finding = found(tmp_path, TREND, [], curves=curve[None], floor=np.zeros((1, 8)))
    assert codes(finding)[0] == "held"
    assert numbers(finding)["greatest rate"] < 0


def test_a_curve_contradicts_only_if_it_rises_throughout() -> None:
    """Thirds of 8 points are the first three, the next three and the last two."""
    up = [1.0, 2.0, 1.5, 3.0, 4.0, 3.5, 5.0, 6.0]
    for place, value, rising in ((0, 1.0, True), (3, 2.0, False), (6, 4.0, False)):
        curve = np.array(up)
        curve[place] = value
        rates = layer.fit_rates(curve[None], TIMES)
        assert (bool(rates.rising[0]), rates.value[0] > 0) == (rising, True)


def test_points_that_rounding_can_make_up_have_no_rate(tmp_path: Path) -> None:
    """A curve that falls to the floor and then wanders there: the fall alone is fitted."""
    curves = np.maximum(np.exp(-3.0 * TIMES), 1e-6)[None] * np.array([1, 1, 1, 1, 1, 9, 5, 90])
    finding = found(tmp_path, TREND, [], curves=curves, floor=np.full((1, 8), 1e-4))
    assert codes(finding)[0] == "held"
    assert numbers(finding)["greatest rate"] == pytest.approx(-3)


@pytest.mark.parametrize("rising", [False, True])
def test_points_at_the_floor_count_for_nothing(*, rising: bool) -> None:
    """Oracle: the fit of the other points alone."""
    first = [1.0, 1.5, 3.0, 5.0, 8.0] if rising else [8.0, 5.0, 3.0, 1.5, 1.0]
    curve = np.array([[*first, 0.25, 0.125, 0.25]])
    alone = layer.fit_rates(curve[:, :5], TIMES[:5])
    found = layer.fit_rates(curve, TIMES, np.full((1, 8), 0.25))
    assert found.value == pytest.approx(alone.value, rel=1e-12)
    assert found.rising == alone.rising == rising


def test_curves_with_too_few_points_are_invalid(tmp_path: Path) -> None:
    curves = np.zeros((2, 8))
    curves[:, 0] = 1.0
    assert found(tmp_path, TREND, [], curves=curves).outcome == "invalid"


def test_an_exact_identity_is_reproduced(tmp_path: Path) -> None:
    assert found(tmp_path, IDENTITY, ["untied"]).outcome == "reproduced"


def test_an_identity_that_fails_in_one_entry_is_contradicted(tmp_path: Path) -> None:
    change = GOOD["tied/change"].copy()
    change[1, 1] += 1
    finding = found(tmp_path, IDENTITY, ["untied"], **{"tied/change": change})
    assert finding.outcome == "contradicted"
    assert "1 of 2 rows equal" in finding.measured


def test_an_identity_needs_its_control_and_integers(tmp_path: Path) -> None:
    tied = {"untied/change": GOOD["tied/change"]}
    assert found(tmp_path / "a", IDENTITY, ["untied"], **tied).outcome == "invalid"
    floats = {"tied/down": GOOD["tied/down"].astype(np.float64)}
    assert found(tmp_path / "b", IDENTITY, ["untied"], **floats).outcome == "invalid"


# -----------------------------------------------------------------------------
# Whole findings


def test_findings_on_bounds_whole(tmp_path: Path) -> None:
    held = found(tmp_path / "a", BOUND, ["bad_ratio", "bad_ratio"])
    assert (held.published, held.measured) == ("≤ 1", "1 at worst; all of 4 hold it")
    assert (held.margin, said(held, "controls-caught")) == ("none", {"count": 2})
    assert numbers(held) == {"worst entry": 1.0, "entries": 4}
    broken = found(tmp_path / "b", BOUND, ["bad_ratio"], ratio=np.array([0.2, 1.5, 3.0]))
    assert (broken.outcome, pointing(broken)) == ("contradicted", "")
    assert codes(broken) == ["counterexamples", "controls-caught"]
    assert broken.measured == "3 at worst; 2 of 3 layers break it"
    assert said(broken, "counterexamples") == {"broken": 2, "layers": 3}


def of_layers(*arrays: tuple[StabilityJob, str, list[Any]]) -> tuple[int, int]:
    """How many layers some marks are of, and how many are marked."""
    records_of = [(SimpleNamespace(record=SimpleNamespace(job=job)), *at) for job, *at in arrays]
    return layer._of_layers([(one, name, np.array(marks)) for one, name, marks in records_of])  # type: ignore[misc]


def test_entries_of_one_layer_count_once() -> None:
    """Arrays of a record are of the same layers, a sweep of the first of them, and random layers of
    `mamba-zoh` are those of `mamba-euler`; a control has layers of its own, and so has Mamba-2."""
    zoh = JOB.model_copy(update={"family": "mamba-zoh"})
    other = JOB.model_copy(update={"family": "mamba2"})
    arrays = [(JOB, "a/ratio", [1, 0, 0, 0]), (JOB, "b/ratio", [1, 1, 0, 0])]
    assert of_layers(*arrays) == (4, 2)
    assert of_layers(*arrays, (JOB, "sweep/0.1/a/ratio", [0, 0, 1])) == (4, 3)
    assert of_layers(*arrays, (zoh, "a/ratio", [1, 0, 0, 0])) == (4, 2)
    assert of_layers(*arrays, (other, "a/ratio", [1, 0, 0, 0])) == (8, 3)
    zero = "control/zero-decay/a/ratio"
    thrice = [(job, zero, [1]) for job in (JOB, zoh, other)]
    assert of_layers(*arrays, *thrice) == (6, 4)
    assert of_layers(*arrays, (JOB, "control/vanishing-step/a/ratio", [1]), thrice[0]) == (6, 4)
    assert of_layers((JOB, "a/curves", [[0, 1], [1, 1], [0, 0]])) == (3, 2)


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"channels": 4}, {"state_size": 4}, {"checkpoint": "mamba-1", "seed": 0}],
)
def test_other_layers_are_counted_apart(changes: dict[str, Any]) -> None:
    other = JOB.model_copy(update=changes)
    assert of_layers((JOB, "a", [1, 0]), (other, "a", [1, 0])) == (4, 2)


def test_the_two_families_have_layers_in_common_only_where_they_are_drawn() -> None:
    trained = [
        (JOB.model_copy(update={"checkpoint": "mamba-1", "family": family}), "a", [1, 0])
        for family in ("mamba-euler", "mamba-zoh")
    ]
    assert of_layers(*trained) == (4, 2)


def test_one_layer_that_breaks_twice_is_one(tmp_path: Path) -> None:
    both = {**BOUND, "arrays": ["ratio", "again"]}
    found_ = found(tmp_path, both, [], ratio=np.array([2.0, 0.5]), again=np.array([3.0, 0.5]))
    assert said(found_, "counterexamples") == {"broken": 1, "layers": 2}
    assert numbers(found_)["entries"] == 4


def test_the_worst_entry_of_a_lower_limit_is_the_least(tmp_path: Path) -> None:
    above = {**BOUND, "relation": "above"}
    broken = found(tmp_path / "a", above, [], ratio=np.array([0.2, 1.5, 3.0]))
    assert (broken.outcome, broken.measured) == (
        "contradicted",
        "0.2 at worst; 1 of 3 layers break it",
    )
    assert broken.published == "> 1"
    held = found(tmp_path / "b", above, [], ratio=np.array([1.2, 1.5, 3.0]))
    assert (held.outcome, held.measured) == ("inconclusive", "1.2 at worst; all of 3 hold it")
    below = found(tmp_path / "c", {**BOUND, "relation": "below"}, [], ratio=np.array([0.2, 0.5]))
    assert (below.outcome, below.measured) == ("inconclusive", "0.5 at worst; all of 2 hold it")
    assert below.published == "< 1"


def test_findings_on_trends_whole(tmp_path: Path) -> None:
    """Rates of -0.5 and -0.1; of 0.3 and 0.2."""
    falling = found(tmp_path / "a", TREND, ["rising"])
    assert (falling.published, falling.margin) == ("rate < 0", "sign of the fit")
    assert falling.measured == "rates -0.5 to -0.1 a step"
    assert said(falling, "held") == {"count": 2}
    rates = {"least rate": -0.5, "greatest rate": -0.1, "curves": 2}
    assert numbers(falling) == pytest.approx(rates)
    units = {each.label: each.unit for each in falling.estimates}
    assert units == {"least rate": "a step", "greatest rate": "a step", "curves": ""}
    rising = found(tmp_path / "b", TREND, [], curves=GOOD["rising"])
    assert rising.measured == "rates 0.2 to 0.3 a step"
    assert codes(rising) == ["curves-rise", "curves-not-falling", "no-control"]
    assert said(rising, "curves-rise") == {"rising": 2, "layers": 2}
    assert pointing(rising) == ""


def test_level_curves_neither_fall_nor_rise(tmp_path: Path) -> None:
    """All ones: the rate is 0. A level control is caught."""
    level = found(tmp_path / "a", TREND, [], curves=np.ones((2, 8)))
    assert (level.outcome, pointing(level)) == ("inconclusive", "")
    assert said(level, "curves-not-falling") == {"rest": 2, "layers": 2}
    assert codes(found(tmp_path / "b", TREND, ["rising"], rising=np.ones((1, 8))))[0] == "held"


def test_findings_on_identities_whole(tmp_path: Path) -> None:
    held = found(tmp_path / "a", IDENTITY, ["untied"])
    assert (held.outcome, held.published, held.margin) == ("reproduced", "equal", "exact")
    assert held.measured == "2 of 2 rows equal"
    assert codes(held) == ["exact-algebra", "controls-caught"]
    change = np.array([[2, 4], [3, 7]])
    broken = found(tmp_path / "b", IDENTITY, [], **{"tied/change": change})
    assert (broken.outcome, broken.measured) == ("contradicted", "1 of 2 rows equal")
    assert codes(broken) == ["exact-algebra", "no-control"]


def test_integers_are_multiplied_as_integers(tmp_path: Path) -> None:
    """(2^31 + 1)^2 has 63 bits: in float64, or in the 32 bits of one factor, another number."""
    factor = 2**31 + 1
    arrays = {
        "tied/change": np.array([[factor**2]], dtype=np.int64),
        "tied/up": np.array([[factor]], dtype=np.int64),
        "tied/down": np.array([[factor]], dtype=np.int64),
    }
    assert found(tmp_path / "a", IDENTITY, ["untied"], **arrays).outcome == "reproduced"
    arrays["tied/change"] += 1
    assert found(tmp_path / "b", IDENTITY, ["untied"], **arrays).outcome == "contradicted"
    small = {"tied/up": np.array([[100]], np.int8), "tied/down": np.array([[100]], np.int8)}
    small["tied/change"] = np.array([[10_000]], np.int16)
    assert found(tmp_path / "c", IDENTITY, ["untied"], **small).outcome == "reproduced"


RECORD = "record [0-9a-f]{12}"
BROKEN: list[tuple[dict[str, Any], list[str], dict[str, Any], str]] = [
    (BOUND, [], {"ratio": None}, "{} has no array ratio"),
    (BOUND, [], {"ratio": np.array([])}, "{}: ratio is empty or not finite"),
    (TREND, [], {"curves": np.eye(2, 8)}, "{}: too few points of curves above rounding to fit"),
    (IDENTITY, [], {"tied/up": np.ones((2, 1))}, "{}: tied is no product of integer matrices"),
    (IDENTITY, [], {"tied/up": np.ones((2, 2), int)}, "{}: tied is no product of integer matrices"),
    (IDENTITY, [], {"tied/up": np.ones(2, int)}, "{}: tied is no product of integer matrices"),
    (IDENTITY, [], {"tied/up": np.ones((3, 1), int)}, "{}: tied is no product of integer matrices"),
    (
        IDENTITY,
        [],
        {"tied/change": np.ones((0, 2), int), "tied/up": np.ones((0, 1), int)},
        "{}: tied is no product of integer matrices",
    ),
    (
        IDENTITY,
        [],
        {"tied/change": np.ones((3, 2), int)},
        "{}: tied is no product of integer matrices",
    ),
    *(
        (claim, [name], {}, f"the control «{name}» was not caught in {{}}: " + why)
        for claim, name in ((BOUND, "ratio"), (TREND, "curves"), (IDENTITY, "tied"))
        for why in ["a check that cannot fail shows nothing"]
    ),
]


@pytest.mark.parametrize(("claim", "controls", "arrays", "why"), BROKEN)
def test_what_cannot_be_judged_names_its_record(
    tmp_path: Path, claim: dict[str, Any], controls: list[str], arrays: dict[str, Any], why: str
) -> None:
    finding = found(tmp_path, claim, controls, **arrays)
    assert finding.outcome == "invalid"
    assert re.fullmatch(why.format(RECORD), finding.reason)


def test_one_point_too_few_for_any_curve_is_too_few(tmp_path: Path) -> None:
    """Three points can deviate from a line; through two there is always one."""
    three, two = np.zeros((1, 8)), np.zeros((1, 8))
    three[0, :3], two[0, :2] = [1.0, 0.5, 0.3], [1.0, 0.5]
    floor = np.zeros((1, 8))
    rising = found(tmp_path / "a", TREND, [], curves=three, floor=floor)
    assert rising.outcome == "inconclusive"
    assert found(tmp_path / "b", TREND, [], curves=two, floor=floor).outcome == "invalid"


def test_controls_are_fitted_above_zero(tmp_path: Path) -> None:
    """A control has no floor: small numbers that rise are caught as such."""
    rising = GOOD["rising"] * 1e-3
    assert codes(found(tmp_path, TREND, ["rising"], rising=rising))[0] == "held"
