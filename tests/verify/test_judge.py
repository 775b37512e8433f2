"""What keeps a measurement from deciding a claim. Oracle: the same run at tier full, as pinned."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_tuning as tuned
import pytest
from made_up_worlds import BOTH, named, sentence, table, wobbling, world

from repro.environment import machine
from repro.environment.machine import Drift
from repro.schema.causes import Cause, cause
from repro.schema.finding import Finding, Verdict
from repro.schema.jobs import Tier
from verify import tuned_paired
from verify.decision_rule import NumberTest, Variance
from verify.evidence import Evidence
from verify.judge import decide, judge
from verify.outcome import JudgedClaim, RuleDecision
from verify.whole_table import adjust_over_table

TORCH = machine.capture(["torch"]).packages["torch"]
TWENTY = {"mamba-1": "20.0", "phi-1": "20.0"}


def wide(texts: dict[str, str], **more: Any) -> dict[str, Any]:
    """A table whose margins, 16 points, can be decided: 13 or 14 of 65 answers change, so that two
    machines leave 7.503 open, and 12.8 with rounding and the quantile of Student's t."""
    return table(texts, margin="16", **more)


def verdict(root: Path, pins: dict[str, str], **changes: Any) -> Verdict:
    """A whole run at tier full that loses 13 answers, 20 points, of every model."""
    claimed, evidence = world(root, wobbling({"mamba-1": 13, "phi-1": 13}), **changes)
    return judge(claimed, evidence, pins)


def lower_tier(
    root: Path, tier: Tier, substitutions: tuple[str, ...] = (), **changes: Any
) -> Verdict:
    """A run at another tier, with random answers. Subset runs the models themselves."""
    data = {"jobs": records.manifest_data()["jobs"], **changes}
    tiers = data["jobs"][0]["tiers"]
    tiers["subset"] = tiers["full"]
    claimed = records.manifest(**data)
    store, run = records.run(root, claimed, tier)
    run = run.model_copy(update={"substitutions": {name: {} for name in substitutions}})
    datasets = {"mmlu": records.dataset()}
    evidence = Evidence(claimed, run, store, records.checkpoints(), datasets)
    return judge(claimed, evidence, {})


def against(finding: Finding, count: int = 1) -> tuple[Cause, ...]:
    """What stands before the causes of the rule."""
    return finding.causes[:count]


STAND_IN = cause("tier-and-stand-in", tier="smoke", checkpoint="twin")


@pytest.mark.parametrize(("printed", "outcome"), [("20.0", "reproduced"), ("60.0", "contradicted")])
def test_drift_shows_where_it_points_and_decides_nothing(
    tmp_path: Path, printed: str, outcome: str
) -> None:
    changes = wide({**TWENTY, "mamba-1": printed})
    pinned = named(verdict(tmp_path / "a", {"torch": TORCH}, **changes), BOTH[0])
    assert pinned.outcome == outcome
    drifted = named(verdict(tmp_path / "b", {"torch": "0.0.1"}, **changes), BOTH[0])
    points = cause("points-to", outcome=outcome)
    assert (drifted.outcome, drifted.direction) == ("inconclusive", points)
    drift = cause("drift", package="torch", installed=TORCH, pinned="0.0.1")
    assert drifted.causes == (drift, *pinned.causes)


def test_an_open_measurement_keeps_its_own_direction_under_drift(tmp_path: Path) -> None:
    """20 points against 30.0, with a margin of 16: its interval crosses it."""
    found = named(verdict(tmp_path, {}, **wide({**TWENTY, "mamba-1": "30.0"})), BOTH[0])
    assert found.outcome == "inconclusive"
    assert found.direction is not None
    assert found.direction.code != "points-to"


def test_drift_names_what_is_not_pinned_and_what_is_not_installed(tmp_path: Path) -> None:
    changes = table(TWENTY)
    changes["claims"][0]["depends_on"] = ["torch", "no-such-thing", "torch"]
    found = named(verdict(tmp_path, {"no-such-thing": "1.0"}, **changes), BOTH[0])
    assert against(found, 2) == (
        cause("drift", package="torch", installed=TORCH, pinned="no pin"),
        cause("drift", package="no-such-thing", installed="none", pinned="1.0"),
    )
    assert [each.code for each in found.causes].count("drift") == 2


def test_a_twin_decides_nothing(tmp_path: Path) -> None:
    """Nor do the versions under which it ran matter."""
    found = named(lower_tier(tmp_path, "smoke", **table(TWENTY)), BOTH[0])
    assert (found.outcome, against(found)) == ("inconclusive", (STAND_IN,))
    assert "drift" not in [each.code for each in found.causes]


@pytest.mark.parametrize("code", ["not-reproduced-here", "at-the-floor"])
def test_what_a_stand_in_shows_puts_no_claim_on_a_list(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor what was measured of the model itself under drift: another environment, other numbers."""

    def weak(*_: object) -> JudgedClaim:
        return JudgedClaim(
            RuleDecision("inconclusive", "1", "2", "± 1", (cause(code),)), None, loaded
        )

    claimed, evidence = world(tmp_path, wobbling({"mamba-1": 13, "phi-1": 13}), **table(TWENTY))
    loaded = list(decide(claimed, claimed.claims[0], evidence).loaded)
    monkeypatch.setattr("verify.judge.decide", weak)
    pinned = named(judge(claimed, evidence, {"torch": TORCH}), BOTH[0])
    assert pinned.listed_under == code
    drifted = named(judge(claimed, evidence, {"torch": "0.0.1"}), BOTH[0])
    assert (drifted.outcome, drifted.listed_under) == ("inconclusive", None)
    told = [each.code for each in drifted.working]
    assert (code in told) == (code == "at-the-floor")


def test_part_of_the_questions_decides_nothing(tmp_path: Path) -> None:
    found = named(lower_tier(tmp_path, "subset", **table(TWENTY)), BOTH[0])
    assert (found.outcome, against(found)) == ("inconclusive", (cause("tier", tier="subset"),))


def test_every_model_of_a_claim_is_looked_at(tmp_path: Path) -> None:
    margin = {"value": "12", "origin": "made up"}
    mean = sentence("mean", published="mean", of=BOTH, margin=margin)
    changes = table(TWENTY, more=[mean])
    found = lower_tier(tmp_path, "subset", ("phi-1",), **changes)
    tier, substituted = cause("tier", tier="subset"), cause("substituted", name="phi-1")
    assert against(named(found, "it"), 2) == (tier, substituted)
    assert against(named(found, BOTH[0])) == (tier,)
    assert substituted not in named(found, BOTH[0]).causes
    assert "phi-1 was substituted" in found.notes


# -----------------------------------------------------------------------------
# The verdict


def rerun(
    root: Path, change: records.Change | None = None, then: Any = None, **changes: Any
) -> Verdict:
    """A smoke run of the made-up manifest with `change`, judged with `changes` to the manifest.

    `then` are changes that were made before the run.
    """
    jobs = records.manifest_data()["jobs"]
    jobs[0]["checkpoints"].reverse()  # the family without a twin comes first
    store, run = records.run(root, records.manifest(jobs=jobs, **(then or {})), change=change)
    claimed = records.manifest(**{"jobs": jobs, **changes})
    datasets = {"mmlu": records.dataset()}
    evidence = Evidence(claimed, run, store, records.checkpoints(), datasets)
    return judge(claimed, evidence, {})


def test_a_verdict_has_every_claim_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    found = rerun(tmp_path)
    assert (found.manifest, found.title, found.tier) == ("table9", "Made up", "smoke")
    names = [*BOTH, "mean.printed", "count.measured", "order.measured"]
    assert [each.claim for each in found.findings] == names
    outcomes = ["inconclusive", "not-run", "consistent", "not-run", "not-run"]
    assert [each.outcome for each in found.findings] == outcomes


def test_a_sentence_follows_from_measured_readings(tmp_path: Path) -> None:
    sentences = [
        {**sentence("ambiguous", missing="all", readings=readings), "id": name}
        for name, readings in (("first", BOTH[1:]), ("last", [BOTH[0], "mean.printed"]))
    ]
    for each in sentences:
        del each["basis"]
    claims = [sentences[0], *records.manifest_data()["claims"], sentences[1]]
    found = rerun(tmp_path, then={"claims": claims}, claims=claims)
    first, last = named(found, "first"), named(found, "last")
    assert (first.outcome, first.basis) == ("not-run", "measured")
    assert (last.outcome, last.basis) == ("inconclusive", "measured")
    assert found.findings[0] == first
    assert found.findings[-1] == last
    assert not [note for note in found.notes if "cell" in note]  # readings are no table


def test_a_sentence_added_after_the_run_is_invalid_if_it_rests_on_measurements(
    tmp_path: Path,
) -> None:
    sentences = [
        {**sentence("ambiguous", missing="all", readings=readings), "id": name}
        for name, readings in (("measured", BOTH[1:]), ("printed", ["mean.printed"]))
    ]
    for each in sentences:
        del each["basis"]
    found = rerun(tmp_path, claims=[*records.manifest_data()["claims"], *sentences])
    measured, printed = named(found, "measured"), named(found, "printed")
    assert (measured.outcome, measured.basis) == ("invalid", "measured")
    what = "the claim was added after the run"
    assert measured.causes == (cause("changed-after-the-run", what=what),)
    assert (printed.outcome, printed.basis) == ("consistent", "page")


def test_changes_after_the_run_are_noted(tmp_path: Path) -> None:
    claims = records.manifest_data()["claims"]
    claims[0]["margin"]["value"] = "9"
    found = rerun(tmp_path / "a", claims=claims)
    what = "the claim or its margin was changed after the run"
    assert found.notes[0] == f"{BOTH[0]}: {what}"
    assert named(found, BOTH[0]).causes == (cause("changed-after-the-run", what=what),)
    settings = records.manifest_data()["settings"]
    settings[0]["batch_size"] = 5
    found = rerun(tmp_path / "b", settings=settings)
    what = "the settings or jobs of the manifest were changed after the run"
    assert found.notes[0] == what
    measured = [each for each in found.findings if each.basis == "measured"]
    assert all(each.causes == (cause("changed-after-the-run", what=what),) for each in measured)
    assert len(measured) == 4


@pytest.mark.parametrize(
    ("others", "noted"),
    [
        ((), ()),
        (("numpy",), ("drift: 1 other package is not at the pins; the records name them",)),
        (
            ("numpy", "scipy"),
            ("drift: 2 other packages are not at the pins; the records name them",),
        ),
    ],
)
def test_what_records_warn_of_is_noted_once(
    tmp_path: Path, others: tuple[str, ...], noted: tuple[str, ...]
) -> None:
    here = records.this_machine().packages
    drift = tuple(
        Drift(package=name, pinned="0.0.1", installed=here.get(name)) for name in ("torch", *others)
    )

    def change(_: dict[str, Any], fields: dict[str, Any]) -> None:
        fields["warnings"] = ("the disk was full",)
        fields["environment"] = fields["environment"].model_copy(update={"drift": drift})

    assert rerun(tmp_path, change).notes[2:] == (  # after those of the table
        "the disk was full",
        f"drift: torch {here['torch']}, pinned 0.0.1",
        *noted,
    )


def test_records_at_the_pins_say_so(tmp_path: Path) -> None:
    def change(_: dict[str, Any], fields: dict[str, Any]) -> None:
        fields["environment"] = fields["environment"].model_copy(update={"drift": drift})

    drift: tuple[Drift, ...] = ()
    assert rerun(tmp_path, change).notes[-1] == "drift: none"
    drift = (Drift(package="numpy", pinned="0.0.1", installed=None),)
    assert "drift: none" not in rerun(tmp_path / "b", change).notes


def test_cells_that_were_not_measured_are_not_counted_as_such(tmp_path: Path) -> None:
    assert rerun(tmp_path).notes[:2] == (
        "0 of 2 cells reproduced; the table is only if every cell is",
        "up to 0.05 of 1 cell would be reproduced falsely if each lay just at its margin",
    )
    settings = records.manifest_data()["settings"]
    settings[0]["batch_size"] = 5
    invalid = rerun(tmp_path / "b", settings=settings)
    assert not [note for note in invalid.notes if "cells" in note]


# -----------------------------------------------------------------------------
# Holm over a table


@dataclass(frozen=True)
class Known(NumberTest):
    """A test whose p-value is given, to stand exactly at a border."""

    p: float = 1.0

    def p_value(self, guard: float = 0.0) -> float:
        assert guard == self.deviation
        return self.p


def number(outcome: Any, p: float) -> JudgedClaim:
    test = Known(1.0, 0.0, Variance(1.0, 6), 0.0, p)
    return JudgedClaim(RuleDecision(outcome, "1", "2", "± 0.5", WHY), UP, [], test)


def normal(off: float, deviation: float) -> JudgedClaim:
    """Off by so much of a standard deviation that is known."""
    test = NumberTest(off, 0.0, Variance(1.0, math.inf), deviation)
    return JudgedClaim(RuleDecision("inconclusive", "1", "2", "± 0.5", WHY), UP, [], test)


WHY = (cause("not-reproduced-here"), cause("every-step", steps=1, direction="rising"))
UP = cause("agrees")


def test_what_is_far_off_is_contradicted_by_adjusted_p_values() -> None:
    """0.01 x 3, then 0.04 x 2, then 0.2: the first one is under 0.05 over the table."""
    judged = {name: number("inconclusive", p) for name, p in (("a", 0.04), ("b", 0.01), ("c", 0.2))}
    found = adjust_over_table(judged, 3)
    assert [each.decided.outcome for each in found.values()] == [
        "inconclusive",
        "contradicted",
        "inconclusive",
    ]
    # What is contradicted is on no other list.
    beyond, *others = found["b"].decided.causes
    assert (beyond.code, others) == ("beyond-another-draw", [WHY[1]])
    assert beyond.values == {"tests": 3, "p": pytest.approx(0.03)}
    # What is off by itself alone says that many numbers were looked at, and stays on its list.
    holm, *others = found["a"].decided.causes
    assert (holm.code, others) == ("holm", list(WHY))
    assert holm.values == {"tests": 3, "p": pytest.approx(0.08)}
    assert (found["b"].direction, found["b"].test) == (UP, judged["b"].test)
    assert found["c"] is judged["c"]


def test_a_number_that_was_reproduced_stays_so_and_counts() -> None:
    """0.001 x 2 is its own p-value, so that 0.04 x 1 is left for the other one."""
    judged = {"a": number("inconclusive", 0.04), "b": number("reproduced", 0.001)}
    found = adjust_over_table(judged, 2)
    assert found["b"] is judged["b"]
    assert found["a"].decided.outcome == "contradicted"
    assert adjust_over_table(judged, 3)["a"].decided.outcome == "inconclusive"


@pytest.mark.parametrize("outcome", ["reproduced", "contradicted"])
def test_only_what_is_open_is_decided_over_the_table(outcome: str) -> None:
    judged = {"a": number(outcome, 0.0001)}
    assert adjust_over_table(judged, 1)["a"] is judged["a"]


def test_what_has_no_test_takes_no_part() -> None:
    """0.04 in a family of one: what has no test is no further one, and is left as it is."""
    judged = {
        "b": replace(number("inconclusive", 1.0), test=None),
        "a": number("inconclusive", 0.04),
    }
    found = adjust_over_table(judged, 1)
    assert found["a"].decided.outcome == "contradicted"
    assert found["b"] is judged["b"]
    assert adjust_over_table({"b": judged["b"]}, 3) == {"b": judged["b"]}


@pytest.mark.parametrize(
    ("p", "tests", "outcome", "code"),
    [
        (0.049, 1, "contradicted", "beyond-another-draw"),
        (0.05, 1, "inconclusive", "not-reproduced-here"),
        (0.024, 2, "contradicted", "beyond-another-draw"),
        (0.025, 2, "inconclusive", "holm"),
    ],
)
def test_an_adjusted_p_at_the_error_rate_contradicts_nothing(
    p: float, tests: int, outcome: str, code: str
) -> None:
    found = adjust_over_table({"a": number("inconclusive", p)}, tests)["a"].decided
    assert (found.outcome, found.causes[0].code) == (outcome, code)


@pytest.mark.parametrize("outcome", ["contradicted", "inconclusive"])
def test_a_setting_that_is_off_in_one_number_guards_the_others(outcome: str) -> None:
    """3.3 standard deviations less 1 or 1.1 have p = 0.0214 and 0.0278, twice that over two."""
    guard = 1.1 if outcome == "inconclusive" else 1.0
    for deviations in ((0.0, guard), (guard, 0.0)):
        judged = {"a": normal(3.3, deviations[0]), "b": normal(0.0, deviations[1])}
        found = adjust_over_table(judged, 2)
        assert found["a"].decided.outcome == outcome


def test_no_number_is_adjusted_where_there_is_none() -> None:
    assert adjust_over_table({}, 0) == {}


# 13 or 14 of 65 answers lost are 20 points: off by 30 from 50.0, at an error of 7.503 and h = 0.06.
# The largest deviation of a setting is half an answer at two numbers of shots.
P_OF_FIFTY = 0.000478


def contradicted_fifty(root: Path, **more: Any) -> Finding:
    changes = {**wide({**TWENTY, "mamba-1": "50.0"}), **more}
    return named(verdict(root, {"torch": TORCH}, **changes), BOTH[0])


def test_a_number_is_contradicted_among_all_numbers_of_its_family(tmp_path: Path) -> None:
    """Two of its own, and those that other tables print: over 105 of them p is above 0.05."""
    for elsewhere, outcome in ((102, "contradicted"), (103, "inconclusive")):
        found = contradicted_fifty(tmp_path / str(elsewhere), numbers_elsewhere=elsewhere)
        assert found.outcome == outcome
        why = records.said(found, "holm" if outcome == "inconclusive" else "beyond-another-draw")
        assert why["tests"] == 2 + elsewhere
        assert why["p"] == pytest.approx(P_OF_FIFTY * (2 + elsewhere), rel=0.005)


def test_a_number_that_was_not_run_belongs_to_the_family(tmp_path: Path) -> None:
    """A run of one cell is no smaller family."""
    changes = wide({**TWENTY, "mamba-1": "50.0"})
    claimed, evidence = world(tmp_path, wobbling({"mamba-1": 13, "phi-1": 13}), **changes)
    jobs = {name: key for name, key in evidence.run.jobs.items() if "phi-1" not in name}
    run = evidence.run.model_copy(update={"jobs": jobs})
    part = Evidence(claimed, run, evidence.store, evidence.checkpoints, evidence.datasets)
    found = judge(claimed, part, {"torch": TORCH})
    assert named(found, BOTH[1]).outcome == "not-run"
    assert records.said(named(found, BOTH[0]), "beyond-another-draw")["tests"] == 2


def test_a_run_whose_one_setting_is_off_contradicts_no_number_of_the_table(tmp_path: Path) -> None:
    """The second model loses 30 answers once, in place of 13: 26 points that guard the first."""
    changes = wide({**TWENTY, "mamba-1": "50.0"})
    for lost, outcome in ((13, "contradicted"), (30, "inconclusive")):
        flips = lambda model, at, _, lost=lost: (lost if (model, at) == ("phi-1", 2) else 13, 0)  # noqa: E731
        claimed, evidence = world(tmp_path / str(lost), flips, **changes)
        found = named(judge(claimed, evidence, {"torch": TORCH}), BOTH[0])
        assert (found.outcome, found.listed_under == "not-reproduced-here") == (
            outcome,
            outcome == "inconclusive",
        )


def test_a_number_reproduced_within_its_margin_stays_so_whatever_its_p(tmp_path: Path) -> None:
    """A margin of 60 leaves room for 30 points, and for what two machines leave open."""
    changes = table({**TWENTY, "mamba-1": "50.0"}, margin="60")
    found = named(verdict(tmp_path, {"torch": TORCH}, **changes), BOTH[0])
    assert found.outcome == "reproduced"
    assert [each.code for each in found.causes] == ["within-margin"]


def test_a_number_changed_after_the_run_counts_over_the_table(tmp_path: Path) -> None:
    changes = wide({**TWENTY, "mamba-1": "50.0"}, more=None)
    changes["numbers_elsewhere"] = 102
    claimed, evidence = world(tmp_path, wobbling({"mamba-1": 13, "phi-1": 13}), **changes)
    assert named(judge(claimed, evidence, {"torch": TORCH}), BOTH[0]).outcome == "contradicted"
    changes["claims"][1]["margin"]["value"] = "15"
    changed = records.manifest(**changes)
    again = Evidence(changed, evidence.run, evidence.store, evidence.checkpoints, evidence.datasets)
    found = named(judge(changed, again, {"torch": TORCH}), BOTH[0])
    assert found.outcome == "inconclusive"
    assert (found.causes[0].code, found.causes[0].values["tests"]) == ("holm", 105)
    assert named(judge(changed, again, {"torch": TORCH}), BOTH[1]).outcome == "invalid"


def test_fewer_settings_than_needed_contradict_nothing(tmp_path: Path) -> None:
    """Seven of them do, and six do not."""
    flips = lambda _, setting, __: (13 + setting % 6 % 3, 0)  # noqa: E731
    claimed, evidence = world(tmp_path, flips, **wide({**TWENTY, "mamba-1": "60.0"}))
    found = named(judge(claimed, evidence, {"torch": TORCH}), BOTH[0])
    assert found.outcome == "contradicted"
    jobs = records.manifest_data()["jobs"]
    jobs[0]["tiers"]["full"]["settings"].pop()
    changes = {**wide({**TWENTY, "mamba-1": "60.0"}), "jobs": jobs}
    claimed, evidence = world(tmp_path / "b", flips, **changes)
    found = named(judge(claimed, evidence, {"torch": TORCH}), BOTH[0])
    assert found.outcome == "inconclusive"
    assert found.causes[0] == cause("few-settings", draws=6, needed=7, repeated=0)


def test_nothing_measured_of_tuned_models_is_decided() -> None:
    """What the paper leaves open was one choice: the direction alone is kept, and no test."""
    claimed = tuned.manifest(
        [tuned.group(("mamba-1",), ("full.float32", "lora-all.bfloat16"), ("mmlu",))],
        [{**tuned.cell(MEASURE, "9"), "id": "it"}],
        number="20.0",
    )
    cell: Any = claimed.claims[0]
    why = tuned_paired.open_factors(claimed, cell.measure)
    for outcome, direction in (
        ("reproduced", cause("points-to", outcome="reproduced")),
        ("contradicted", cause("points-to", outcome="contradicted")),
        ("inconclusive", UP),
    ):
        found = tuned_paired.with_open_factors(claimed, cell.measure, number(outcome, 0.001))
        assert (found.decided.outcome, found.direction) == ("inconclusive", direction)
        assert (found.decided.causes, found.test) == ((why, *WHY), None)


MEASURE = {
    "kind": "tuned-divergence",
    "checkpoints": ["mamba-1"],
    "methods": ["lora-all"],
    "precision": "bfloat16",
}


def test_a_finding_says_what_was_pinned_on_first_use(tmp_path: Path) -> None:
    """The made-up catalog knows no digest of its checkpoints on the hub."""
    claimed, evidence = world(tmp_path, wobbling({"mamba-1": 13, "phi-1": 13}), **wide(TWENTY))
    line = cause("pinned-on-first-use", names=BOTH[0].split(".")[1])
    assert named(judge(claimed, evidence, {"torch": TORCH}), BOTH[0]).working[-1] == line
    run = evidence.run.model_copy(update={"substitutions": {"mamba-1": {}}})
    given = Evidence(claimed, run, evidence.store, evidence.checkpoints, evidence.datasets)
    assert line not in named(judge(claimed, given, {"torch": TORCH}), BOTH[0]).working


def test_files_that_are_not_the_catalogs_decide_nothing(tmp_path: Path) -> None:
    claimed, evidence = world(tmp_path, wobbling({"mamba-1": 13, "phi-1": 13}), **wide(TWENTY))
    known = dict(evidence.checkpoints)
    pinned = known["mamba-1"].model_copy(update={"files": {"model.safetensors": "1" * 64}})
    other = Evidence(
        claimed, evidence.run, evidence.store, {**known, "mamba-1": pinned}, evidence.datasets
    )
    before, after = (
        named(judge(claimed, each, {"torch": TORCH}), BOTH[0]) for each in (evidence, other)
    )
    assert before.outcome == "reproduced"
    assert after.outcome == "inconclusive"
    assert after.causes[0] == cause("other-files", checkpoint="mamba-1")
