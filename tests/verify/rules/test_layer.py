"""Claims about layers, judged from made-up arrays. Oracle: what a reader would say of them."""

import re
from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np
import pytest
from made_up_layers import BOUND, GOOD, IDENTITY, JOB, TIMES, TREND, as_recorded
from made_up_records import shown

from repro.environment import machine as environment
from repro.schema.finding import Finding
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
    common = {"id": "it", "statement": "", "place": {"section": "3"}, "depends_on": ["torch"]}
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
    assert (finding.outcome, finding.direction) == ("inconclusive", "holds")
    assert "held by all 4" in finding.reason
    assert "1 control caught" in finding.reason


def test_one_counterexample_contradicts(tmp_path: Path) -> None:
    finding = found(tmp_path, BOUND, ["bad_ratio"], ratio=np.array([0.2, 1.0 + 1e-9]))
    assert finding.outcome == "contradicted"
    assert "1 of 2 break it" in finding.reason


def test_a_control_that_is_not_caught_makes_the_claim_invalid(tmp_path: Path) -> None:
    finding = found(tmp_path, BOUND, ["bad_ratio"], bad_ratio=np.array([3.0, 0.5]))
    assert finding.outcome == "invalid"
    assert "cannot fail" in finding.reason


def test_a_check_without_a_control_says_so(tmp_path: Path) -> None:
    assert "no control" in found(tmp_path, BOUND, []).reason


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
    assert found(tmp_path, TREND, ["rising"]).direction == "holds"
    rising = found(tmp_path, TREND, [], curves=GOOD["rising"])
    assert rising.outcome == "contradicted"


def test_curves_without_a_slope_are_undecided(tmp_path: Path) -> None:
    noise = np.exp(np.random.default_rng(0).normal(0, 1, (3, 8)))
    finding = found(tmp_path, TREND, [], curves=noise, floor=np.zeros((3, 8)))
    assert finding.outcome == "inconclusive"
    assert finding.direction == "undecided for some layers"


def test_points_that_rounding_can_make_up_have_no_rate(tmp_path: Path) -> None:
    """A curve that falls to the floor and then wanders there: the fall alone is fitted."""
    curves = np.maximum(np.exp(-3.0 * TIMES), 1e-6)[None] * np.array([1, 1, 1, 1, 1, 9, 5, 90])
    finding = found(tmp_path, TREND, [], curves=curves, floor=np.full((1, 8), 1e-4))
    assert finding.direction == "holds"
    assert "rates -3 to -3" in finding.measured


def test_points_at_the_floor_move_neither_rate_nor_limits() -> None:
    """Oracle: the fit of the other points alone."""
    curve = np.array([[8.0, 5.0, 3.0, 1.5, 1.0, 0.25, 0.125, 0.25]])
    alone = layer.fit_rates(curve[:, :5], TIMES[:5])
    found = layer.fit_rates(curve, TIMES, np.full((1, 8), 0.25))
    for name in ("value", "low", "high"):
        assert getattr(found, name) == pytest.approx(getattr(alone, name), rel=1e-12)
    assert alone.low < alone.value < alone.high


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

SAMPLED = "sampled layers can refute a theorem, not prove it"


def test_findings_on_bounds_whole(tmp_path: Path) -> None:
    held = found(tmp_path / "a", BOUND, ["bad_ratio", "bad_ratio"])
    reason = f"held by all 4; {SAMPLED}; 2 controls caught"
    worst = "1 at worst; none of 4 breaks it"
    assert shown(held) == ("inconclusive", "≤ 1", worst, "none", reason, "holds")
    broken = found(tmp_path / "b", BOUND, ["bad_ratio"], ratio=np.array([0.2, 1.5, 3.0]))
    reason = "2 of 3 break it; 1 control caught"
    worst = "3 at worst; 2 of 3 break it"
    assert shown(broken) == ("contradicted", "≤ 1", worst, "none", reason, "")


def test_the_worst_entry_of_a_lower_limit_is_the_least(tmp_path: Path) -> None:
    above = {**BOUND, "relation": "above"}
    broken = found(tmp_path / "a", above, [], ratio=np.array([0.2, 1.5, 3.0]))
    assert (broken.outcome, broken.measured) == ("contradicted", "0.2 at worst; 1 of 3 break it")
    assert broken.published == "> 1"
    held = found(tmp_path / "b", above, [], ratio=np.array([1.2, 1.5, 3.0]))
    assert (held.outcome, held.measured) == ("inconclusive", "1.2 at worst; none of 3 breaks it")
    below = found(tmp_path / "c", {**BOUND, "relation": "below"}, [], ratio=np.array([0.2, 0.5]))
    assert (below.outcome, below.measured) == ("inconclusive", "0.5 at worst; none of 2 breaks it")
    assert below.published == "< 1"


def test_findings_on_trends_whole(tmp_path: Path) -> None:
    """Rates of -0.5 and -0.1; of 0.3 and 0.2."""
    falling = found(tmp_path / "a", TREND, ["rising"])
    reason = f"2 of 2 curves fall at 95 % confidence, 0 rise; {SAMPLED}"
    measured = "rates -0.5 to -0.1 a step"
    assert shown(falling) == ("inconclusive", "rate < 0", measured, "95 % CI", reason, "holds")
    rising = found(tmp_path / "b", TREND, [], curves=GOOD["rising"])
    reason = "0 of 2 curves fall at 95 % confidence, 2 rise"
    measured = "rates 0.2 to 0.3 a step"
    assert shown(rising) == ("contradicted", "rate < 0", measured, "95 % CI", reason, "")


def test_level_curves_neither_fall_nor_rise(tmp_path: Path) -> None:
    """All ones: the rate is 0, and so are both of its limits. A level control is caught."""
    level = found(tmp_path / "a", TREND, [], curves=np.ones((2, 8)))
    assert level.direction == "undecided for some layers"
    assert level.reason.startswith("0 of 2 curves fall at 95 % confidence, 0 rise")
    assert found(tmp_path / "b", TREND, ["rising"], rising=np.ones((1, 8))).direction == "holds"


def test_findings_on_identities_whole(tmp_path: Path) -> None:
    exact = "exact integer algebra, multiplied again here"
    held = found(tmp_path / "a", IDENTITY, ["untied"])
    reason = f"{exact}; 1 control caught"
    assert shown(held) == ("reproduced", "equal", "2 of 2 rows equal", "exact", reason, "")
    change = np.array([[2, 4], [3, 7]])
    broken = found(tmp_path / "b", IDENTITY, [], **{"tied/change": change})
    reason = f"{exact}; no control"
    assert shown(broken) == ("contradicted", "equal", "1 of 2 rows equal", "exact", reason, "")


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
    """Three points leave one degree of freedom and have limits; two have none."""
    three, two = np.zeros((1, 8)), np.zeros((1, 8))
    three[0, :3], two[0, :2] = [1.0, 0.5, 0.3], [1.0, 0.5]
    floor = np.zeros((1, 8))
    rising = found(tmp_path / "a", TREND, [], curves=three, floor=floor)
    assert rising.outcome == "inconclusive"
    assert found(tmp_path / "b", TREND, [], curves=two, floor=floor).outcome == "invalid"


def test_controls_are_fitted_above_zero(tmp_path: Path) -> None:
    """A control has no floor: small numbers that rise are caught as such."""
    rising = GOOD["rising"] * 1e-3
    assert found(tmp_path, TREND, ["rising"], rising=rising).direction == "holds"
