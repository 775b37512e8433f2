"""When another engine's answers count. Oracle: answers to a made-up sample, changed by hand."""

from pathlib import Path
from typing import Any

import made_up_records as records
import pytest

from repro import engines
from repro.expand import slots
from repro.finding import Finding
from repro.jobs import BenchmarkJob, EvaluateJob, Setting
from verify.evidence import Evidence
from verify.judge import judge

PINS = {"torch": "2.2.1"}
WHOLE = "shots5/log_likelihood"


def found(root: Path, change: records.Change | None = None) -> Finding:
    """What a run by the engine prefix comes to, after a change of every record."""
    claimed, known = records.manifest(), records.checkpoints()
    store, run = records.run(root, claimed, "full", change, engine="prefix")
    evidence = Evidence(claimed, run, store, known, {"mmlu": records.dataset()})
    findings = judge(claimed, evidence, PINS).findings
    return next(each for each in findings if each.claim == "T9.mamba-1.float16")


def another_answer(arrays: dict[str, Any], who: str) -> None:
    """The first question of lm-eval's sample at 5 shots gets another letter."""
    scores = arrays[f"{who}/{WHOLE}"]
    scores[0, (scores[0].argmax() + 1) % 4] = 9.0


def test_equal_answers_count(tmp_path: Path) -> None:
    assert "the engine" not in found(tmp_path).reason


def test_an_answer_that_only_the_engine_changes_keeps_it_from_deciding(tmp_path: Path) -> None:
    def change(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        another_answer(arrays, "stock")
        another_answer(arrays, "stock-other")

    one = found(tmp_path, change)
    assert one.outcome == "inconclusive"
    expected = "gives 1 of 80 answers to its sample otherwise than lm-eval, which gives 0"
    assert expected in one.reason


def test_an_answer_that_a_batch_size_changes_too_counts(tmp_path: Path) -> None:
    def change(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        another_answer(arrays, "stock")

    assert "the engine" not in found(tmp_path, change).reason


@pytest.mark.parametrize("who", ["stock", "stock-other"])
def test_a_record_without_lm_evals_answers_is_invalid(tmp_path: Path, who: str) -> None:
    def change(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        arrays.pop(f"{who}/{WHOLE}")

    one = found(tmp_path, change)
    assert one.outcome == "invalid"
    assert f"no array '{who}/{WHOLE}'" in one.reason


def test_a_run_by_one_engine_is_not_judged_as_one_by_the_other(tmp_path: Path) -> None:
    claimed, known = records.manifest(), records.checkpoints()
    store, run = records.run(tmp_path, claimed, "full")
    renamed = run.model_copy(update={"engine": "prefix"})
    evidence = Evidence(claimed, renamed, store, known, {"mmlu": records.dataset()})
    one = next(
        each
        for each in judge(claimed, evidence, PINS).findings
        if each.claim == "T9.mamba-1.float16"
    )
    assert (one.outcome, "another job" in one.reason) == ("invalid", True)


def test_the_sample_is_part_of_the_job() -> None:
    made = slots(records.manifest(), "full", records.checkpoints(), "prefix")
    samples = {
        (job.checked, job.checked_shots)
        for slot in made
        if isinstance(job := slot.job, EvaluateJob)
    }
    assert samples == {(("arithmetic",), records.SHOTS)}


def test_a_job_no_larger_than_its_sample_is_checked_at_one_number_of_shots() -> None:
    slot = slots(records.manifest(), "full", records.checkpoints())[0]
    assert isinstance(slot.job, EvaluateJob)
    small = slot.job.model_copy(update={"subjects": ("geometry",), "shots": (0, 1, 3, 5)})
    made = engines.by(small, "prefix")
    assert isinstance(made, EvaluateJob)
    assert (made.checked, made.checked_shots) == (("geometry",), (1,))


def test_a_benchmark_is_checked_on_its_first_questions() -> None:
    setting = Setting(
        id="one",
        batch_size=8,
        order="length-descending",
        attention_float32="eager",
        attention_half="eager",
        mamba_path="slow",
    )
    job = BenchmarkJob(
        kind="benchmark",
        checkpoint="twin",
        tuned=None,
        dtype="float32",
        arm="weight-cast",
        task="piqa",
        questions=20,
        shots=(0,),
        seed=1,
        setting=setting,
    )
    made = engines.by(job, "prefix")
    assert isinstance(made, BenchmarkJob)
    assert made.checked == 20
    assert engines.by(job, "lm-eval") == job
