"""When another engine's answers count. Oracle: answers to a made-up sample, changed by hand."""

import re
from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_tuning as tuned
import numpy as np
import pytest

from repro.schema import jobs
from repro.schema.causes import cause
from repro.schema.finding import Finding
from repro.schema.groups import Slot
from repro.schema.jobs import BenchmarkJob, EvaluateJob, Setting
from repro.schema.slots import slots
from repro.store.store import Store
from verify import qualifiers
from verify.errors import InvalidError
from verify.evidence import Evidence
from verify.judge import judge
from verify.records import answers
from verify.records import benchmark as benchmark_records
from verify.records.checked_record import CheckedRecord

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


@pytest.mark.parametrize("cut", [np.s_[:-1], np.s_[:, 0], np.s_[:, :3], np.s_[:, :0]])
@pytest.mark.parametrize("who", ["stock", "stock-other"])
def test_answers_of_another_shape_are_none_to_the_sample(
    tmp_path: Path, who: str, cut: Any
) -> None:
    def change(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        arrays[f"{who}/{WHOLE}"] = arrays[f"{who}/{WHOLE}"][cut]

    one = found(tmp_path, change)
    assert one.outcome == "invalid"
    assert re.fullmatch("record [0-9a-f]{12} lacks lm-eval's answers to the sample", one.reason)


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
    made = jobs.with_engine(small, "prefix")
    assert isinstance(made, EvaluateJob)
    assert (made.checked, made.checked_shots) == (("geometry",), (1,))


# -----------------------------------------------------------------------------
# Benchmarks


def benchmark(task: str, questions: int | None = 20, checked: int = 4) -> BenchmarkJob:
    """A job by the engine prefix at two numbers of shots, with a sample."""
    setting = Setting(
        id="one",
        batch_size=8,
        order="length-descending",
        attention_float32="eager",
        attention_half="eager",
        mamba_path="slow",
    )
    return BenchmarkJob(
        kind="benchmark",
        checkpoint="twin",
        tuned=None,
        dtype="float32",
        arm="weight-cast",
        task=task,
        questions=questions,
        shots=(0, 5),
        seed=1,
        setting=setting,
        engine="prefix",
        checked=checked,
    )


def answered(job: BenchmarkJob) -> dict[str, Any]:
    """Arrays with answers of lm-eval that are the engine's; the fourth question has 3 choices."""
    arrays, _ = tuned.benchmark(job, lambda _: 10, 0)
    what = "greedy" if job.task == tuned.WORDS else "log_likelihood"
    for shots in job.shots:
        if job.task != tuned.WORDS:
            arrays[f"shots{shots}/log_likelihood"][3, 3] = np.nan
            arrays[f"shots{shots}/characters"][3, 3] = 0
        for who in ("stock", "stock-other"):
            at = f"shots{shots}/{what}"
            arrays[f"{who}/{at}"] = arrays[at][: job.checked].copy()
    return arrays


def kept(root: Path, job: BenchmarkJob, arrays: dict[str, Any]) -> CheckedRecord:
    """The record of some arrays, saved and read."""
    store = Store(root)
    values = tuned.values_of(job.task, {k: v for k, v in arrays.items() if k.startswith("shots")})
    key = records.save_record(store, job, arrays, records.this_machine(), values=values)
    record, read = store.load(key)
    return CheckedRecord(Slot("it", job, "", "twin", "float32", "one"), record, read)


def counts(root: Path, job: BenchmarkJob, arrays: dict[str, Any]) -> tuple[int, int, int]:
    return answers.count_engine_differences(kept(root, job, arrays).record, job, arrays)


def choose(arrays: dict[str, Any], at: str, question: int) -> None:
    """The question gets another of its first three choices."""
    scores = arrays[f"{at}/log_likelihood"][question, :3]
    scores[(scores.argmax() + 1) % 3] = 9.0


def test_a_benchmark_is_checked_on_its_first_questions() -> None:
    job = benchmark("piqa").model_copy(update={"engine": "lm-eval", "checked": 0})
    made = jobs.with_engine(job, "prefix")
    assert isinstance(made, BenchmarkJob)
    assert made.checked == 20
    assert jobs.with_engine(job, "lm-eval") == job


def test_answers_to_a_benchmark_count_over_all_shots(tmp_path: Path) -> None:
    """Outside its 4 questions of 20 an answer is in no sample."""
    job = benchmark("piqa")
    arrays = answered(job)
    choose(arrays, "shots0", 4)
    assert counts(tmp_path / "a", job, arrays) == (0, 0, 8)
    choose(arrays, "shots0", 3)
    assert counts(tmp_path / "b", job, arrays) == (1, 0, 8)
    choose(arrays, "shots5", 0)
    assert counts(tmp_path / "c", job, arrays) == (2, 0, 8)
    choose(arrays, "stock-other/shots0", 1)
    assert counts(tmp_path / "d", job, arrays) == (2, 1, 8)
    loaded = kept(tmp_path / "e", job, arrays)
    differs = cause("engine-differs", engine="prefix", apart=2, own=1, asked=8)
    assert qualifiers._reasons_of_engine(loaded) == differs
    choose(arrays, "stock-other/shots5", 1)
    assert counts(tmp_path / "f", job, arrays) == (2, 2, 8)
    assert not qualifiers._reasons_of_engine(kept(tmp_path / "g", job, arrays))


def test_a_choice_that_is_not_there_is_no_answer(tmp_path: Path) -> None:
    """NaN stands for it, which argmax would take; a choice of one character is there."""
    job = benchmark("piqa")
    arrays = answered(job)
    for shots in job.shots:
        arrays[f"shots{shots}/characters"][:, :3] = 1
    choose(arrays, "stock/shots0", 3)
    choose(arrays, "stock-other/shots0", 3)
    assert counts(tmp_path, job, arrays) == (1, 0, 8)


@pytest.mark.parametrize(("checked", "asked"), [(29, 29), (30, 30), (31, 30), (100, 30)])
def test_a_benchmark_shorter_than_its_sample_is_checked_whole(
    tmp_path: Path, checked: int, asked: int
) -> None:
    job = benchmark("piqa", 30, checked)
    assert counts(tmp_path, job, answered(job)) == (0, 0, 2 * asked)


def test_words_are_the_same_where_greedy_decoding_is(tmp_path: Path) -> None:
    job = benchmark("lambada_openai")
    arrays = answered(job)
    assert counts(tmp_path / "a", job, arrays) == (0, 0, 8)
    for who in ("", "stock-other/"):
        arrays[f"{who}shots0/greedy"][2] ^= 1
    assert counts(tmp_path / "b", job, arrays) == (1, 1, 8)
    arrays["shots5/greedy"][0] ^= 1
    assert counts(tmp_path / "c", job, arrays) == (2, 1, 8)


@pytest.mark.parametrize("task", ["piqa", "lambada_openai"])
def test_a_benchmark_by_an_engine_without_a_sample_is_invalid(tmp_path: Path, task: str) -> None:
    job = benchmark(task)
    whole, none = kept(tmp_path, job, answered(job)), job.model_copy(update={"checked": 0})
    known = tuned.datasets()[task]
    benchmark_records.check(whole.record, job, whole.arrays, known)
    with pytest.raises(InvalidError, match="names no sample that lm-eval answered"):
        benchmark_records.check(whole.record, none, whole.arrays, known)
    what = "greedy" if task == tuned.WORDS else "log_likelihood"
    less = {k: v for k, v in whole.arrays.items() if not k.startswith("stock-other/shots5")}
    with pytest.raises(InvalidError, match=f"has no array 'stock-other/shots5/{what}'"):
        benchmark_records.check(whole.record, job, less, known)
