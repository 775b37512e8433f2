"""Claims about scores of checkpoints as they are, and about how much more one has than another.

100 questions, so an answer is a point and the floor of a score is 3 points. Two kernels agree, so
that another machine adds u = 3.00 / 2 x 1^2 = 1.50 to each side. A score has V = 2 x 1.50 + 9 x 8/7
= 13.28: 6.60 points on one side. Of a difference of two scores both add up, V = 26.57 at 10.0
degrees of freedom: 9.34 on one side, 11.49 either way.
"""

from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_tuning as tuned
import pytest
from made_up_records import codes, numbers
from tuned_worlds import it

from repro.schema.jobs import Tier
from verify.decidable import family, undecidable
from verify.errors import InvalidError
from verify.evidence import Evidence
from verify.judge import judge

A, B = "mamba-1", "mamba-2"
RIGHT = {A: 60, B: 40}


def score(name: str, task: str = "piqa", **changes: Any) -> dict[str, Any]:
    whole = {"kind": "score", "checkpoint": name, "task": task, "metric": "accuracy"}
    return {**whole, "left_open": [], **changes}


def difference(kind: str = "difference", **changes: Any) -> dict[str, Any]:
    return {"kind": kind, "left": score(A), "right": score(B), **changes}


def evaluation(task: str = "piqa", **changes: Any) -> dict[str, Any]:
    return {
        "kind": "evaluation",
        "id": f"asked-{task}",
        "checkpoints": [A, B],
        "dtypes": ["float32"],
        "task": task,
        "shots": [0],
        "tiers": {"smoke": {"stand_ins": {"mamba": "twin"}}, "full": {}},
        **changes,
    }


def evidence_of(  # noqa: PLR0917  # what a run is
    root: Path,
    measure: dict[str, Any],
    printed: str,
    margin: str,
    tier: Tier = "full",
    change: records.Change | None = None,
    tasks: tuple[str, ...] = ("piqa",),
) -> Evidence:
    claimed = tuned.manifest(
        [evaluation(task) for task in tasks], [tuned.cell(measure, margin)], number=printed
    )
    return tuned.run(root, claimed, lambda name, *_: RIGHT.get(name, 50), tier, change)


@pytest.mark.parametrize(
    ("printed", "outcome"),
    [
        ("60.0", "reproduced"),
        ("62.3", "reproduced"),  # 2.3 + 0.05 + 6.60 is within 9
        ("62.4", "inconclusive"),
        ("68.1", "inconclusive"),  # 8.1 - 0.05 is within 8.12
        ("68.2", "contradicted"),
    ],
)
def test_a_score_of_a_checkpoint_as_it_is(tmp_path: Path, printed: str, outcome: str) -> None:
    found = it(evidence_of(tmp_path, score(A), printed, "9"))
    assert (found.outcome, found.measured) == (outcome, "60.0 (7 settings: 60.0 to 60.0)")
    assert numbers(found)["share of the commonest answer"] == 34


@pytest.mark.parametrize(
    ("printed", "outcome"),
    [
        ("20.0", "reproduced"),
        ("25.6", "reproduced"),  # 5.6 + 0.05 + 9.34 is within 15
        ("25.7", "inconclusive"),
        ("31.5", "inconclusive"),  # 11.5 - 0.05 is within 11.49
        ("31.6", "contradicted"),
    ],
)
def test_a_beats_b_by_points(tmp_path: Path, printed: str, outcome: str) -> None:
    found = it(evidence_of(tmp_path, difference(), printed, "15"))
    assert (found.outcome, found.measured) == (outcome, "20.0 (7 settings: 20.0 to 20.0)")
    seen = numbers(found)
    sides = [f"the left side, {A} pretrained on piqa", f"the right side, {B} pretrained on piqa"]
    assert [seen[each] for each in sides] == [60, 40]
    # Of 60 and 40 right, the first ones, A alone answers 20 and B none: McNemar's z is √20.
    assert seen["z of the questions"] == pytest.approx(20**0.5)


@pytest.mark.parametrize(
    ("kind", "sides", "printed", "outcome"),
    [
        ("percent-more", (A, B), "50", "reproduced"),
        ("percent-fewer", (B, A), "33", "reproduced"),
        ("percent-fewer", (B, A), "90", "contradicted"),
        ("percent-more", (A, B), "150", "contradicted"),
        ("percent-more", (A, B), "-50", "contradicted"),
    ],
)
def test_percent_of_scores(
    tmp_path: Path, kind: str, sides: tuple[str, str], printed: str, outcome: str
) -> None:
    """60 is 50 % more than 40, and 40 is a third less than 60; nothing is divided in deciding."""
    measure = difference(kind, left=score(sides[0]), right=score(sides[1]))
    found = it(evidence_of(tmp_path, measure, printed, "45"))
    assert found.outcome == outcome
    assert numbers(found)["measured"] == pytest.approx(50 if kind == "percent-more" else 100 / 3)
    where = {"33": "mean-within-margin", "50": "mean-within-margin", "-50": "mean-above-printed"}
    assert found.direction
    assert found.direction.code == where.get(printed, "mean-below-printed")


def test_a_mean_over_tasks_and_sides_that_share_an_evaluation(tmp_path: Path) -> None:
    """What is shared moves both sides.

    Floors of two tasks are 3 / √2 points of their mean, and 3.00 changes of half a point u = 0.375.
    """
    columns = [{"task": task, "metric": "accuracy"} for task in ("piqa", "winogrande")]
    mean = {"kind": "mean-score", "checkpoint": A, "columns": columns, "left_open": []}
    both = ("piqa", "winogrande")
    found = it(evidence_of(tmp_path, mean, "60.0", "9", tasks=both))
    assert (found.outcome, numbers(found)["measured"]) == ("reproduced", 60)
    assert _error(found) == pytest.approx((2 * 0.375 + 4.5 * 8 / 7) ** 0.5, rel=1e-3)
    norm = difference(right=score(A, metric="accuracy_norm"))
    same = it(evidence_of(tmp_path / "same", norm, "0", "30"))
    apart = it(evidence_of(tmp_path / "apart", difference(), "20", "30"))
    # Two floors of 3 that are one flip: (3 + 3)^2 is twice 3^2 + 3^2.
    assert _error(same) == pytest.approx(2**0.5 * _error(apart), rel=1e-3)


def _error(found: Any) -> float:
    return float(next(each.values["error"] for each in found.causes if "error" in each.values))


def test_what_the_paper_leaves_open_keeps_it_open(tmp_path: Path) -> None:
    measure = difference(right=score(B, left_open=["dtype", "shots"]))
    evidence = evidence_of(tmp_path, measure, "20.0", "15")
    found = it(evidence)
    assert found.outcome == "inconclusive"
    assert found.causes[0].values == {"names": "dtype, shots"}
    assert "open-factors" in codes(found)
    assert list(undecidable(evidence.manifest, "full", evidence.datasets)) == ["it"]
    assert family(evidence.manifest) == 0


def test_the_family_is_what_a_whole_run_could_contradict(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path, difference(), "20.0", "0.01")
    assert family(evidence.manifest) == 1
    (why,) = undecidable(evidence.manifest, "full", evidence.datasets).values()
    assert why.startswith("cannot be reproduced, whatever is measured: the margin 0.01 is within r")


@pytest.mark.parametrize("measure", [score(A), difference(), difference("percent-more")])
def test_a_twin_decides_nothing(tmp_path: Path, measure: dict[str, Any]) -> None:
    found = it(evidence_of(tmp_path, measure, "20", "15", tier="smoke"))
    assert found.outcome == "inconclusive"
    assert "tier-and-stand-in" in codes(found)


# -----------------------------------------------------------------------------
# Parameters and seconds


def counted(said: dict[str, int]) -> records.Change:
    def change(_: dict[str, Any], fields: dict[str, Any]) -> None:
        count = said.get(fields["job"].checkpoint)
        fields["values"] = {**fields["values"], **({"parameters": count} if count else {})}

    return change


def parameters(kind: str = "percent-fewer") -> dict[str, Any]:
    sides = {"left": {"kind": "parameters", "checkpoint": A}}
    return {"kind": kind, **sides, "right": {"kind": "parameters", "checkpoint": B}}


def test_parameters_are_counted_and_exact(tmp_path: Path) -> None:
    known = records.checkpoints()
    said = {name: known[name].parameters for name in (A, B)}
    value = 100 * (1 - said[A] / said[B])
    for place, (printed, outcome) in enumerate(
        ((f"{value:.1f}", "reproduced"), (f"{value + 1:.1f}", "contradicted"))
    ):
        found = it(
            evidence_of(tmp_path / str(place), parameters(), printed, "9", change=counted(said))
        )
        assert (found.outcome, found.measured) == (outcome, f"{value:.1f}")
    nobody = it(evidence_of(tmp_path / "nobody", parameters(), "0", "9"))
    assert nobody.outcome == "not-run"
    wrong = counted({**said, B: said[B] + 1})
    lied = it(evidence_of(tmp_path / "lied", parameters(), "0", "9", change=wrong))
    assert lied.outcome == "invalid"


@pytest.mark.parametrize("count", ["many", -1, 1.5])
def test_a_stand_in_counts_whole_numbers_too(tmp_path: Path, count: Any) -> None:
    """Where the catalog says nothing of a checkpoint, a record is not taken at any word."""
    change = counted({A: records.checkpoints()[A].parameters, B: count})
    evidence = evidence_of(tmp_path, parameters(), "0", "9", change=change)
    evidence.run = evidence.run.model_copy(update={"substitutions": {B: {}}})
    found = it(evidence)
    assert found.outcome == "invalid"
    assert f"counted {count!r} parameters of {B}" in found.reason


@pytest.mark.parametrize(
    ("printed", "outcome"),
    [
        ("1e3", "reproduced"),
        ("1.1e3", "contradicted"),
        ("1000", "reproduced"),
        ("999", "contradicted"),
    ],
)
def test_parameters_of_one_model_round_to_what_is_printed(
    tmp_path: Path, printed: str, outcome: str
) -> None:
    """A thousand prints as 1e3, and not as 1.1e3."""
    assert records.checkpoints()[A].parameters == 1000
    measure = {"kind": "parameters", "checkpoint": A}
    change = counted({A: 1000})
    found = it(evidence_of(tmp_path, measure, printed, "0", change=change))
    assert (found.outcome, found.measured) == (outcome, "1000")
    smoke = it(evidence_of(tmp_path / "s", measure, printed, "0", tier="smoke", change=change))
    assert smoke.outcome != outcome


def test_seconds_show_a_direction_and_decide_nothing(tmp_path: Path) -> None:
    def change(_: dict[str, Any], fields: dict[str, Any]) -> None:
        fields["seconds"] = 6.0 if fields["job"].checkpoint == A else 10.0

    sides = {
        name: {"kind": "seconds", "checkpoint": each, "task": "piqa", "hardware": "a GPU"}
        for name, each in (("left", A), ("right", B))
    }
    found = it(evidence_of(tmp_path, {"kind": "percent-fewer", **sides}, "40", "20", change=change))
    assert (found.outcome, found.measured) == ("inconclusive", "40")
    assert {"one-machine", "other-hardware"} <= set(codes(found))
    assert found.direction
    assert found.direction.code == "mean-within-margin"


def test_greedy_answers_beside_choices_are_refused(tmp_path: Path) -> None:
    """They would be taken for the answers: whoever wrote them could choose the score."""

    def forged(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        arrays["shots0/greedy"] = (arrays["shots0/tokens"] > 0).astype("uint8")

    evidence = evidence_of(tmp_path, score(A), "99.0", "9", change=forged)
    with pytest.raises(InvalidError, match="greedy answers at 0 shots to a question with choices"):
        evidence.get(f"{A}.pretrained.{tuned.SETTINGS[0]}.piqa.float32")
    assert {each.outcome for each in judge(evidence.manifest, evidence, {}).findings} == {"invalid"}
