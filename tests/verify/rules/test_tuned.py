"""Claims about tuned models, decided from records in which we choose which answers are right.

MMLU has 65 questions at 0 and 5 shots: an answer is 1.538 points, the floor of one bar's spread
300 / 65 x sqrt(2 / 2) = 4.615. Benchmarks have 100 questions: the floor of a score is 3 points.
"""

import json
import math
from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_tuning as tuned
import numpy as np
import pytest
from made_up_records import codes, numbers, pointing, said
from tuned_worlds import ARMS, MODELS, divergence, it, losing

from repro.report.numbers import bars_of
from repro.schema.causes import BARS, cause
from repro.schema.finding import Finding
from repro.schema.jobs import BenchmarkJob, EvaluateJob
from repro.schema.tuned_slots import TunedModel
from verify import decision_rule, tuned_paired
from verify.decidable import family, score_floor, undecidable
from verify.evidence import Evidence
from verify.judge import judge
from verify.rules import score as score_rules

POINT = 100 / 65


def controls_of(finding: Finding) -> dict[str, float]:
    """What a divergence stands beside."""
    return {name: v for name, v in numbers(finding).items() if "against" in name or "two" in name}


def accuracies(finding: Finding) -> tuple[float, ...]:
    """Of the references: least, greatest, and who always gives the commonest answer."""
    found = numbers(finding)
    ends = ("least accuracy of a reference", "greatest accuracy of a reference")
    return tuple(found[name] for name in (*ends, "share of the commonest answer"))


def zs(finding: Finding) -> list[float]:
    """z of the sampling of questions, comparison by comparison."""
    return [
        value for name, value in numbers(finding).items() if name.endswith("z of the questions")
    ]


def divergences(
    root: Path, claim: dict[str, Any], lost: dict[str, int], text: str = "20.0", **changes: Any
) -> Evidence:
    named = json.dumps(claim)
    models = tuple(each for each in MODELS if each in named)
    group = tuned.group(models, ARMS, ("mmlu",), **changes)
    return tuned.run(root, tuned.manifest([group], [claim], number=text), losing(lost))


# -----------------------------------------------------------------------------
# Printed divergences


def test_printed_divergences(tmp_path: Path) -> None:
    """13 answers of 65 are 20 points."""
    outcomes = {"20.0": "reproduced", "60.0": "contradicted", "30.0": "inconclusive"}
    cells = [{**divergence("lora-all"), "id": text, "published": text} for text in outcomes]
    group = tuned.group(MODELS[:1], ARMS, ("mmlu",))
    claimed = tuned.manifest([group], cells, **{text: text for text in outcomes})
    evidence = tuned.run(tmp_path, claimed, losing({"lora-all.bfloat16": 13}))
    for found in judge(claimed, evidence, {}).findings:
        assert (found.outcome, found.published) == (outcomes[found.claim], found.claim)
        assert found.margin == "± 12"
        assert found.measured == "19.8 (5 settings: 19.2 to 20.8)"
        # Of accuracies printed to four digits: half of 0.1 and 0.01.
        assert found.causes[-1].values["rounding"] == pytest.approx(0.06)
        assert said(found, "null-between-tunings") == {}
        assert numbers(found)["null divergence"] == pytest.approx(1.538, abs=1e-3)
        # What the made-up manifest says that the paper leaves open, and what no manifest has to.
        assert said(found, "left-open") == {"names": "loss, seeds, evaluation in float32"}


def test_a_divergence_is_the_mean_over_checkpoints_and_methods(tmp_path: Path) -> None:
    """26 and 13 answers lost of one model, none of the other: 39 / 4 answers, 15 points."""
    lost = {"mamba-1 lora-all.bfloat16": 26, "mamba-1 lora-sll.bfloat16": 13}
    claim = divergence("lora-all", "lora-sll", models=MODELS)
    found = it(divergences(tmp_path, claim, lost, "15.0"))
    assert found.measured == "14.9 (5 settings: 14.6 to 15.4)"
    # 5 settings of 2 references and 4 candidates, and the tuning of each.
    assert len(found.records) == 5 * (2 + 4) * 2


def test_methods_that_share_a_reference_share_its_flips(tmp_path: Path) -> None:
    """Var of the mean over c1 - r and c2 - r at two shots: f^2 (2 / 4 + 1) / 2."""
    claim = divergence("lora-all", "lora-sll")
    evidence = divergences(tmp_path, claim, {})
    both = [TunedModel("mamba-1", f"{name}.bfloat16") for name in ("lora-all", "lora-sll")]
    found = tuned_paired.pair_models(evidence.manifest, both, evidence, "mmlu")
    flip = 300 / 65
    assert found.least_spread == pytest.approx(flip * math.sqrt(0.75))
    alone = tuned_paired.pair_models(evidence.manifest, both[:1], evidence, "mmlu")
    assert alone.least_spread == pytest.approx(flip) == pytest.approx(decision_rule.floor(65, 2))
    slots = [each.slot.id for each in alone.rows[1][0]]
    assert slots == [
        f"mamba-1.{arm}.batch-8.mmlu.float32" for arm in ("full.float32", "lora-all.bfloat16")
    ]


def test_a_divergence_stands_beside_its_controls(tmp_path: Path) -> None:
    lost = {"pretrained": 26, "lora-all.float32": 13, "lora-all.bfloat16": 13}
    asked = tuned.group(MODELS, ARMS, ("mmlu",))["questions"]
    asked += [{**asked[0], "dtypes": ["bfloat16"], "of": "first-arm"}]
    evidence = divergences(tmp_path, divergence("lora-all"), lost, questions=asked)
    controls = {
        "full.float32 between two seeds and settings": 0.0,
        "pretrained against full.float32": 39.846,
        "lora-all.float32 against full.float32": 19.846,
        "full.float32 evaluated in bfloat16 against float32": 0.0,
    }
    assert controls_of(it(evidence)) == pytest.approx(controls, abs=1e-3)
    left_out = it(tuned.without(evidence, "pretrained", "mmlu.bfloat16"))
    kept = {name: controls[name] for name in list(controls)[::2]}
    assert controls_of(left_out) == pytest.approx(kept, abs=1e-3)


def test_the_same_arms_on_another_path_are_a_control(tmp_path: Path) -> None:
    group = tuned.group(MODELS[:1], ARMS, ("mmlu",))
    live = tuned.group(MODELS[:1], ("full.float32", "lora-all.bfloat16"), ("mmlu",), id="live")
    live["recipe"]["mamba_path"] = "live"
    claimed = tuned.manifest([group, live], [divergence("lora-all")], number="20.0")
    evidence = tuned.run(tmp_path, claimed, losing({"lora-all.bfloat16": 13}))
    name = "lora-all.bfloat16.live against full.float32.live"
    assert numbers(it(evidence))[name] == pytest.approx(19.846, abs=1e-3)


def test_other_printed_values_that_would_have_been_accepted(tmp_path: Path) -> None:
    """21.0 is within 12 of 19.8 too, 60.0 is not; a cell of another precision is no neighbour."""
    group = tuned.group(MODELS[:1], ARMS, ("mmlu",))
    cells = [divergence("lora-all")]
    cells += [
        {**divergence("lora-sll"), "id": name, "published": name} for name in ("at.21.0", "at.60.0")
    ]
    cells.append({**divergence("lora-all"), "id": "float32", "published": "at.21.0"})
    cells[-1]["measure"] = {**cells[-1]["measure"], "precision": "float32"}
    texts = {"number": "20.0", "at.21.0": "21.0", "at.60.0": "60.0"}
    claimed = tuned.manifest([group], cells, **texts)
    evidence = tuned.run(tmp_path, claimed, losing({"lora-all.bfloat16": 13}))
    assert said(it(evidence), "other-values-accepted") == {"accepted": 1, "others": 2}


def test_what_was_left_out_of_a_run_is_not_run(tmp_path: Path) -> None:
    evidence = divergences(tmp_path, divergence("lora-all"), {})
    found = it(tuned.without(evidence, "mamba-1.full.float32.batch-8"))
    assert found.outcome == "not-run"
    assert found.reason == "mamba-1.full.float32.batch-8.mmlu.float32 was left out of the run"


def test_a_twin_decides_nothing_about_tuned_models(tmp_path: Path) -> None:
    group = tuned.group(("mamba-1", "phi-1"), ARMS, ("mmlu",))
    cells = [divergence("lora-all"), divergence("lora-all", models=("phi-1",))]
    cells[1] |= {"id": "phi"}
    claimed = tuned.manifest([group], cells, number="20.0")
    evidence = tuned.run(tmp_path, claimed, losing({"lora-all.bfloat16": 13}), "smoke")
    found, phi = judge(claimed, evidence, {}).findings
    assert (found.outcome, pointing(found)) == ("inconclusive", "points-to reproduced")
    assert codes(found) == ["tier-and-stand-in", "within-margin"]
    assert said(found, "tier-and-stand-in") == {"tier": "smoke", "checkpoint": "twin"}
    assert (phi.outcome, phi.reason) == ("not-run", "tier smoke has no twin of the family phi")


def test_a_tier_that_a_group_lacks_is_not_run(tmp_path: Path) -> None:
    groups = [tuned.group((name,), ARMS, ("mmlu",), id=name) for name in MODELS]
    del groups[1]["tiers"]["smoke"]
    claimed = tuned.manifest(groups, [divergence("lora-all", models=MODELS[1:])], number="20.0")
    found = it(tuned.run(tmp_path, claimed, losing({}), "smoke"))
    assert (found.outcome, found.reason) == ("not-run", "tier smoke does not run mamba-2")


def test_drift_of_what_tunes_keeps_a_number_open(tmp_path: Path) -> None:
    """Evaluations and tunings rest on the same machine here, so one line says it."""
    claim = {**divergence("lora-all"), "depends_on": ["torch"]}
    evidence = divergences(tmp_path, claim, {"lora-all.bfloat16": 13})
    found = judge(evidence.manifest, evidence, {"torch": "0.0.1"}).findings[0]
    assert codes(found)[0] == "drift"
    assert said(found, "drift")["package"] == "torch"


def test_substituted_instruction_data_keeps_a_number_open(tmp_path: Path) -> None:
    evidence = divergences(tmp_path, divergence("lora-all"), {"lora-all.bfloat16": 13})
    evidence.run = evidence.run.model_copy(update={"substitutions": {"alpaca": {}}})
    assert it(evidence).causes[0] == cause("substituted", name="alpaca")


# -----------------------------------------------------------------------------
# Bars


def bars(relation: str, **fields: Any) -> dict[str, Any]:
    return tuned.claim(
        "bars",
        **{
            "published": None,
            "task": "mmlu",
            "checkpoints": ["mamba-1"],
            "methods": ["lora-all", "lora-sll"],
            "precisions": ["bfloat16"],
            "relation": relation,
            "above": None,
            "others": [],
            **fields,
        },
    )


@pytest.mark.parametrize(
    ("lost", "above", "none", "some", "measured"),
    [
        ((30, 4), "25", "contradicted", "reproduced", "1"),  # 46 and 6 points
        ((4, 4), "40", "reproduced", "contradicted", "0"),
        ((17, 4), "25", "inconclusive", "inconclusive", "0 to 1"),  # 26: above, not surely
        ((16, 4), "25", "inconclusive", "inconclusive", "0 to 1"),  # 24.6: not above, not surely
    ],
)
def test_spikes(
    tmp_path: Path, lost: tuple[int, int], above: str, none: str, some: str, measured: str
) -> None:
    arms = dict(zip(("lora-all.bfloat16", "lora-sll.bfloat16"), lost, strict=True))
    claims = [bars("none-above", above=above), {**bars("some-above", above=above), "id": "some"}]
    group = tuned.group(MODELS[:1], ARMS, ("mmlu",))
    evidence = tuned.run(tmp_path, tuned.manifest([group], claims), losing(arms))
    first, second = judge(evidence.manifest, evidence, {}).findings
    assert (first.outcome, second.outcome) == (none, some)
    assert first.published == f"none-above {above}"
    assert first.measured.startswith(f"{measured} above, the highest ")
    assert said(first, "counted-above")["total"] == 2
    # 40 of 65 right; the commonest letter stands 17 times.
    assert accuracies(first) == pytest.approx((61.538, 61.538, 26.154), abs=1e-3)
    points = {each.label: each.value for each in bars_of(first)[BARS["divergence of "]]}
    assert points == pytest.approx(
        {f"mamba-1 {arm}": (count - 0.1) * POINT for arm, count in zip(arms, lost, strict=True)}
    )


@pytest.mark.parametrize(
    ("lost", "none", "some"),
    [
        (25, "contradicted", "reproduced"),
        (5, "reproduced", "contradicted"),
        (15, "inconclusive", "inconclusive"),
    ],
)
def test_spikes_of_winogrande(tmp_path: Path, lost: int, none: str, some: str) -> None:
    """Of 100 questions of two choices an answer is a point; on MMLU the models do not part."""
    claims = [
        bars("none-above", above="15", task="winogrande"),
        {**bars("some-above", above="15", task="winogrande"), "id": "some"},
        {**bars("none-above", above="1"), "id": "mmlu"},
    ]
    group = tuned.group(MODELS[:1], ARMS, ("mmlu", "winogrande"))

    def right(checkpoint: str, arm: str, setting: int, task: str, shots: int) -> int:
        found = losing({"lora-all.bfloat16": lost} if task == "winogrande" else {})
        return found(checkpoint, arm, setting, task, shots)

    evidence = tuned.run(tmp_path, tuned.manifest([group], claims), right)
    first, second, mmlu = judge(evidence.manifest, evidence, {}).findings
    assert (first.outcome, second.outcome, mmlu.outcome) == (none, some, "inconclusive")
    # One answer less is lost in two of five settings, one more in another, at three of four shots.
    measured = lost + 3 / 4 * (-1 + 0 + 1 - 1 + 0) / 5
    assert numbers(first)["divergence of mamba-1 lora-all.bfloat16"] == pytest.approx(measured)
    assert numbers(first)["null divergence, mamba-1 lora-all.bfloat16"] > 0
    assert accuracies(first) == pytest.approx((40, 40, 50))
    assert numbers(first)["full.float32 between two seeds and settings"] == 0
    asked = {evidence.store.load(key)[0].job for key in first.records}
    assert {job.task for job in asked if isinstance(job, BenchmarkJob)} == {"winogrande"}
    assert not any(isinstance(job, EvaluateJob) for job in asked)


def test_a_spike_at_the_floor_is_no_spike(tmp_path: Path) -> None:
    """26 answers apart, surely more than a point; two seeds of the reference are up to 28 apart."""

    def right(_: str, arm: str, setting: int, task: str, shots: int) -> int:
        del task, shots
        return 45 if arm != "full.float32" else 5 + 7 * setting

    group = tuned.group(MODELS[:1], ARMS, ("mmlu",))
    claimed = tuned.manifest([group], [bars("some-above", above="1")])
    found = it(tuned.run(tmp_path, claimed, right))
    assert found.outcome == "inconclusive"
    counts = said(found, "counted-above")
    assert (counts["sure"], counts["possible"], counts["above"]) == (0, 2, "1")
    assert said(found, "floor-of") == {"sides": "mamba-1 lora-all.bfloat16"}


@pytest.mark.parametrize(
    ("first", "second", "expected", "agree", "counts"),
    [
        ((4, 4), (30, 30), "reproduced", 2, (2, 0)),
        # One method is enough.
        ((30, 4), (4, 30), "contradicted", 1, (1, 1)),
        # The other is open.
        ((4, 13), (30, 14), "inconclusive", 2, (1, 0)),
        # Nothing at all is at the floor.
        ((0, 4), (30, 30), "inconclusive", 2, (1, 0)),
        ((4, 13), (30, 13), "inconclusive", 1, (1, 0)),
    ],
)
def test_smaller_bars(
    tmp_path: Path,
    first: tuple[int, int],
    second: tuple[int, int],
    expected: str,
    agree: int,
    counts: tuple[int, int],
) -> None:
    lost = {
        f"{name} {method}.bfloat16": count
        for name, each in zip(MODELS, (first, second), strict=True)
        for method, count in zip(("lora-all", "lora-sll"), each, strict=True)
    }
    claim = bars("smaller", others=[["mamba-2"]])
    found = it(divergences(tmp_path, claim, lost))
    assert found.outcome == expected
    assert found.published == "smaller"
    assert "null divergence, mamba-2 lora-sll.bfloat16" in numbers(found)
    assert ("at-the-floor" in codes(found)) == (first[0] == 0)
    if first[0] == 0:
        assert said(found, "floor-of") == {"sides": "mamba-1 lora-all.bfloat16"}
    assert (found.measured, pointing(found)) == (f"{agree} of 2", f"counted-agreeing {agree} 2")
    sure, never = counts
    assert said(found, "counted-smaller") == {"total": 2, "sure": sure, "never": never}
    assert ("not-reproduced-here" in codes(found)) == (
        expected == "inconclusive" and agree < 2 and first[0] > 0
    )


@pytest.mark.parametrize(
    ("lost", "smaller", "beyond"),
    [(30, "reproduced", "reproduced"), (11, "reproduced", "inconclusive")],
)
def test_significantly_smaller_bars_are_by_more_than_seeds_differ(
    tmp_path: Path, lost: int, smaller: str, beyond: str
) -> None:
    """4 answers against 11 are 10.77 points; the mean of one comparison reaches 8.10, which leaves
    2.65: less than the null divergence of two tunings, if that is 4 answers at one of two shots."""
    relations = ("smaller", "smaller-beyond-null")
    claims = [
        {**bars(name, others=[["mamba-2"]], methods=["lora-all"]), "id": name} for name in relations
    ]

    def right(checkpoint: str, arm: str, setting: int, _: str, shots: int) -> int:
        if arm != "lora-all.bfloat16":
            return 40
        return 36 if checkpoint == "mamba-1" else 40 - lost - 2 * (setting % 3 - 1) * (shots > 0)

    group = tuned.group(MODELS, ARMS, ("mmlu",))
    evidence = tuned.run(tmp_path, tuned.manifest([group], claims), right)
    found = judge(evidence.manifest, evidence, {}).findings
    assert [each.outcome for each in found] == [smaller, beyond]
    assert numbers(found[1])["null divergence, mamba-2 lora-all.bfloat16"] == pytest.approx(
        2 * POINT
    )


def test_bars_smaller_than_two_groups(tmp_path: Path) -> None:
    """Two methods against two groups; what stands beside them is about the smaller bars' model."""
    names = (*MODELS, "mamba-3")
    lost = {f"mamba-1 {method}.bfloat16": 4 for method in ("lora-all", "lora-sll")}
    lost |= {f"mamba-{at} lora-{each}.bfloat16": 30 for at in (2, 3) for each in ("all", "sll")}
    lost |= {"mamba-1 pretrained": 6, "mamba-2 pretrained": 12}
    claimed = tuned.manifest(
        [tuned.group(names, ARMS, ("mmlu",))], [bars("smaller", others=[["mamba-2"], ["mamba-3"]])]
    )
    found = it(tuned.run(tmp_path, claimed, losing(lost)))
    assert (found.outcome, found.measured) == ("reproduced", "4 of 4")
    assert said(found, "counted-smaller") == {"total": 4, "sure": 4, "never": 0}
    heads = [label for label in numbers(found) if label.startswith("mean divergence of ")]
    assert heads == [
        f"mean divergence of {name} {method}.bfloat16"
        for method in ("lora-all", "lora-sll")
        for name in names
    ]
    # Six answers of 65 are 9.231 points, less 0.154 for the settings that lose fewer.
    assert numbers(found)["pretrained against full.float32"] == pytest.approx(9.077, abs=1e-3)


def test_bars_stand_beside_how_right_their_references_are(tmp_path: Path) -> None:
    """30 and 40 of 65 right; the commonest letter stands 17 times."""
    claims = [
        bars("smaller", others=[["mamba-2"]]),
        {**bars("some-above", checkpoints=list(MODELS), above="1"), "id": "above"},
    ]
    group = tuned.group(MODELS, ARMS, ("mmlu",))
    claimed = tuned.manifest([group], claims)
    evidence = tuned.run(tmp_path, claimed, lambda *at: 30 if at[0] == "mamba-1" else 40)
    for found in judge(claimed, evidence, {}).findings:
        assert accuracies(found) == pytest.approx((46.154, 61.538, 26.154), abs=1e-3)


# -----------------------------------------------------------------------------
# Scores

COLUMNS = [
    {"task": tuned.WORDS, "metric": "perplexity"},
    {"task": tuned.WORDS, "metric": "accuracy"},
    {"task": "piqa", "metric": "accuracy"},
]


def score(task: str, metric: str, margin: str = "9") -> dict[str, Any]:
    measure = {
        "kind": "score",
        "checkpoint": "mamba-1",
        "method": "lora-w",
        "precision": "bfloat16",
        "task": task,
        "metric": metric,
    }
    return tuned.cell(measure, margin)


def scores(
    root: Path,
    claims: list[dict[str, Any]],
    right: tuned.Right,
    change: records.Change | None = None,
    **texts: str,
) -> Evidence:
    arms = ("lora-w.bfloat16", "lora-not-w.bfloat16")
    group = tuned.group(MODELS, arms, (tuned.WORDS, "piqa"))
    return tuned.run(root, tuned.manifest([group], claims, **texts), right, change=change)


@pytest.mark.parametrize(
    ("printed", "outcome"),
    [("60.0", "reproduced"), ("90.0", "contradicted"), ("67.0", "inconclusive")],
)
def test_a_printed_score(tmp_path: Path, printed: str, outcome: str) -> None:
    """60 of 100 right; s is at its floor of 3, so the mean's interval reaches 2.86."""

    def right(_: str, arm: str, *__: Any) -> int:
        return 40 if arm == "pretrained" else 60

    found = it(scores(tmp_path, [score("piqa", "accuracy")], right, number=printed))
    assert (found.outcome, found.published, found.margin) == (outcome, printed, "± 9")
    assert found.measured == "60.0 (5 settings: 60.0 to 60.0)"
    why = found.causes[-1].values
    assert (why["spread"], why["draws"]) == (3, 5)
    error = 100 * math.sqrt(0.6 * 0.4 / 99)
    expected = {"measured": 60, "standard error over questions": error, "before tuning": 40}
    assert numbers(found) == pytest.approx(expected)
    assert said(found, "left-open")["names"].endswith("seeds, evaluation in float32")


def test_a_printed_perplexity(tmp_path: Path) -> None:
    """60 words of -1 nat and 40 of -3: exp(1.8) = 6.05; three of 100 nats more move it by 3 %."""
    cells = [score(tuned.WORDS, "perplexity", "0.6")]
    found = it(scores(tmp_path, cells, lambda *_: 60, number="6.05"))
    assert found.outcome == "reproduced"
    assert found.measured == "6.06 (5 settings: 6.05 to 6.07)"
    assert said(found, "within-margin")["spread"] == pytest.approx(
        6.06 * math.expm1(0.03), rel=0.01
    )
    # Nats have a standard deviation of 2 sqrt(0.24 x 100 / 99) over questions, the first setting
    # a perplexity of 6.0496.
    error = 6.0496 * 2 * math.sqrt(0.24 / 99)
    assert numbers(found)["standard error over questions"] == pytest.approx(error, rel=1e-3)
    assert numbers(found)["before tuning"] == pytest.approx(6.06, abs=5e-3)


def test_other_values_of_a_column_that_would_have_been_accepted(tmp_path: Path) -> None:
    """61 is within 9 of 60 too, 90 is not; a score of another metric is of no such column."""
    cells = [score("piqa", "accuracy"), score(tuned.WORDS, "accuracy")]
    cells[1] |= {"id": "words", "published": "near"}
    cells += [{**cells[0], "id": name, "published": name} for name in ("near", "far")]
    texts = {"number": "60.0", "near": "61.0", "far": "90.0"}
    evidence = scores(tmp_path, cells, lambda *_: 60, None, **texts)
    assert said(it(evidence), "other-values-accepted") == {"accepted": 1, "others": 2}
    # Without what was before tuning a score stands alone.
    alone = it(tuned.without(evidence, "pretrained"))
    assert (alone.outcome, "before tuning" in numbers(alone)) == ("reproduced", False)


def test_floors_of_scores() -> None:
    assert score_floor("accuracy", 50.0, 100) == 3.0
    assert score_floor("perplexity", 10.0, 300) == pytest.approx(0.1005, abs=1e-4)


def test_which_scores_no_run_could_decide(tmp_path: Path) -> None:
    """Margins: 0 for a tie of the arms, 5 under two floors of 3, 6 at them; 0.3 of perplexity 6."""
    cells = [
        {**score("piqa", "accuracy", margin), "id": f"at.{margin}"} for margin in ("0", "5", "6")
    ]
    cells.append({**score(tuned.WORDS, "perplexity", "0.3"), "id": "ppl"})
    cells[3]["published"] = "words"
    claimed = scores(tmp_path, cells, lambda *_: 60, number="60.0", words="6.05").manifest
    found = undecidable(claimed, "full", tuned.datasets())
    assert set(found) == {"at.0", "at.5", "ppl"}
    assert found["at.0"] == "not decidable: the margin 0 is within rounding, 0.05"
    assert found["at.5"].endswith("5 is under two standard deviations of 3")
    assert family(claimed, tuned.datasets()) == 1
    assert undecidable(claimed, "smoke", tuned.datasets()) == {}


def test_which_divergences_no_run_could_decide() -> None:
    """Two floors of 4.615 for a method alone, of 3.997 for two that share their reference."""
    cells = [divergence("lora-all", margin="9"), divergence("lora-all", "lora-sll", margin="9")]
    cells[1] |= {"id": "both"}
    claimed = tuned.manifest([tuned.group(MODELS, ARMS, ("mmlu",))], cells, number="20.0")
    assert set(undecidable(claimed, "full", tuned.datasets())) == {"it"}
    assert family(claimed, tuned.datasets()) == 1


# -----------------------------------------------------------------------------
# Wins


def wins(printed: str, columns: list[dict[str, str]] = COLUMNS) -> Any:
    claim = tuned.claim(
        "measured-wins",
        published="wins",
        out_of="all",
        checkpoints=list(MODELS),
        left="lora-w.bfloat16",
        right="lora-not-w.bfloat16",
        columns=columns,
    )
    return [claim], {"wins": printed, "all": str(len(MODELS) * len(columns))}


def by_arm(better: dict[str, int]) -> tuned.Right:
    """By how many answers of 100 the left arm is better, by checkpoint, or checkpoint and task."""

    def right(checkpoint: str, arm: str, setting: int, task: str, _: int) -> int:
        gap = better.get(f"{checkpoint} {task}", better.get(checkpoint, 0))
        # Both arms move with the setting: the difference does not.
        return 50 + setting + (gap if arm == "lora-w.bfloat16" else 0)

    return right


@pytest.mark.parametrize(
    ("printed", "better", "outcome", "measured"),
    [
        ("6", {"mamba-1": 40, "mamba-2": 40}, "reproduced", "6 of 6"),
        ("3", {"mamba-1": 40, "mamba-2": -40}, "reproduced", "3 of 6"),
        ("6", {"mamba-1": 40, "mamba-2": -40}, "contradicted", "3 of 6"),
        ("6", {"mamba-1": 40, "mamba-2": 2}, "inconclusive", "3 to 6 of 6"),
        ("3", {"mamba-1": 40, "mamba-2": 0}, "inconclusive", "3 to 6 of 6"),
    ],
)
def test_a_count_of_wins(
    tmp_path: Path, printed: str, better: dict[str, int], outcome: str, measured: str
) -> None:
    claims, texts = wins(printed)
    found = it(scores(tmp_path, claims, by_arm(better), **texts))
    assert (found.outcome, found.measured) == (outcome, measured)
    assert found.published == f"{printed} of 6"


@pytest.mark.parametrize(
    ("printed", "first", "second", "outcome", "measured"),
    [
        ("2", 7, 7, "reproduced", "2 of 2"),
        ("2", 7, 6, "inconclusive", "1 to 2 of 2"),
        ("1", -17, -17, "contradicted", "0 of 2"),
        ("1", -17, -16, "inconclusive", "0 of 2"),
    ],
)
def test_wins_are_sure_beyond_the_floors_of_both_arms(
    tmp_path: Path, printed: str, first: int, second: int, outcome: str, measured: str
) -> None:
    """Two floors of 3 make 4.243; t is 3.495 of two comparisons at 4 degrees of freedom. So the
    mean of five reaches 6.63 points, another draw 16.24."""
    claims, texts = wins(printed, COLUMNS[2:])
    found = it(scores(tmp_path, claims, by_arm({"mamba-1": first, "mamba-2": second}), **texts))
    assert (found.outcome, found.measured) == (outcome, measured)


def test_a_margin_that_may_be_nothing_is_no_sure_win() -> None:
    assert score_rules._signs([(0.0, 1.0), (-1.0, 0.0), (0.5, 1.0)]) == (1, 2)


def test_wins_are_decided_on_paired_differences(tmp_path: Path) -> None:
    """Both arms move by 15 answers from setting to setting, their difference not at all."""

    def right(_: str, arm: str, setting: int, *__: Any) -> int:
        return 30 + 15 * (setting % 2) + (30 if arm == "lora-w.bfloat16" else 0)

    claims, texts = wins("2", COLUMNS[2:])
    assert it(scores(tmp_path, claims, right, **texts)).outcome == "reproduced"


def test_sampling_of_questions_is_told_beside_wins(tmp_path: Path) -> None:
    """12 questions that the left alone has right: McNemar's z is 12 / sqrt(12) = 3.46."""
    claims, texts = wins("2", COLUMNS[2:])
    found = it(scores(tmp_path, claims, by_arm({"mamba-1": 12, "mamba-2": 3}), **texts))
    assert said(found, "won-beyond-sampling") == {"won": 1, "z": 2}
    expected = {
        "mamba-1 piqa accuracy, left": 64,
        "mamba-1 piqa accuracy, right": 52,
        "mamba-1 piqa accuracy, better by": 12,
        "mamba-1 piqa accuracy, z of the questions": math.sqrt(12),
        "mamba-2 piqa accuracy, left": 55,
        "mamba-2 piqa accuracy, right": 52,
        "mamba-2 piqa accuracy, better by": 3,
        "mamba-2 piqa accuracy, z of the questions": math.sqrt(3),
    }
    assert numbers(found) == pytest.approx(expected)


def test_two_standard_errors_of_the_questions_are_not_beyond_two(tmp_path: Path) -> None:
    """5 / sqrt(5) is 2.24, 4 / sqrt(4) is 2."""
    claims, texts = wins("2", COLUMNS[2:])
    found = it(scores(tmp_path, claims, by_arm({"mamba-1": 5, "mamba-2": 4}), **texts))
    assert said(found, "won-beyond-sampling") == {"won": 1, "z": 2}
    assert zs(found) == pytest.approx([math.sqrt(5), 2])


def test_sampling_of_words_is_told_beside_wins(tmp_path: Path) -> None:
    """Of 100 words 10 are likelier by 2 nats: 0.2 on average, over 2 sqrt(0.09 / 99) = 0.0603."""
    claims, texts = wins("2", COLUMNS[:1])
    found = it(scores(tmp_path, claims, by_arm({"mamba-1": 10, "mamba-2": 0}), **texts))
    assert zs(found) == pytest.approx([0.2 / (2 * math.sqrt(0.09 / 99)), 0])


def test_a_perplexity_that_is_no_number_is_neither_won_nor_lost(tmp_path: Path) -> None:
    def overflow(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        if isinstance(job, BenchmarkJob) and job.tuned and job.task == tuned.WORDS:
            if job.tuned.method == "lora-not-w":
                arrays["shots0/log_likelihood"][0] = np.nan
            fields["values"] = tuned.values_of(job.task, arrays)

    claims, texts = wins("2", COLUMNS[:1])
    found = it(scores(tmp_path, claims, by_arm({"mamba-1": 40, "mamba-2": 40}), overflow, **texts))
    assert (found.outcome, found.measured) == ("inconclusive", "0 to 2 of 2")
    assert said(found, "no-finite-likelihood") == {"bad": 10, "asked": 2000}
