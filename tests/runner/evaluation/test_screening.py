"""Settings of float32 that are asked in part, of real models on a CPU.

Oracle: the same evaluation, whole. The first setting's record is that one with every log-likelihood
a little off, as between two kernels, and with what a test plants in it.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import benchmark_jobs
import evaluate_jobs
import made_up_benchmarks
import made_up_records as records
import numpy as np
import pytest
from safetensors.numpy import save_file

from repro import paths
from repro.errors import BadInputError
from repro.schema.jobs import BenchmarkJob, EvaluateJob
from repro.schema.kinds.screen import Screen
from runner.evaluation import benchmark, evaluate, language_model
from runner.measurement import Inputs, Measurement
from verify.records import screened

pytestmark = pytest.mark.usefixtures("one_thread")

APART = 1e-4
"""Nats, about what two kernels differ by."""
ROUNDING = 2e-5
"""What batches of other questions may differ by, on a CPU."""
SAMPLE = 3


def screen_of(job: EvaluateJob | BenchmarkJob) -> Screen:
    against = job.setting.model_copy(update={"id": "first", "batch_size": 2})
    return Screen(against=against, times=8, sample=SAMPLE, seed=1)


def no_progress(*_: object, **__: object) -> None:
    pass


Whole = tuple[EvaluateJob, Inputs, Measurement]


@pytest.fixture(params=["lm-eval", "prefix"])
def whole(
    request: pytest.FixtureRequest, tiny_checkpoint: Callable[[str], Path], tiny_wheel: Path
) -> Whole:
    """MMLU, 18 questions at two numbers of shots, all asked."""
    job = evaluate_jobs.job(engine=request.param)
    if request.param == "prefix":
        job = job.model_copy(update={"checked": job.subjects[:1], "checked_shots": (5,)})
    inputs = Inputs(checkpoint=tiny_checkpoint("gpt-neox"), data=tiny_wheel)
    return job, inputs, evaluate.run(job, inputs, no_progress)


def moved(arrays: dict[str, Any]) -> dict[str, Any]:
    """The same, every log-likelihood a little off and no answer another."""
    noise = np.random.default_rng(0)
    found = {name: each.copy() for name, each in arrays.items()}
    for name, each in found.items():
        if name.startswith("shots") and name.endswith("log_likelihood"):
            found[name] = each + noise.uniform(-APART / 4, APART / 4, each.shape)
    return found


def swap(arrays: dict[str, Any], shots: int, row: int, apart: float) -> None:
    """Another answer under the first setting: the second option is ahead of the best by so much."""
    scores = arrays[f"shots{shots}/log_likelihood"][row]
    second, best = np.argsort(scores)[-2:]
    scores[second] = scores[best] + apart
    arrays[f"shots{shots}/prediction"][row] = second


def under_a_screen(
    job: EvaluateJob, inputs: Inputs, first: dict[str, Any], folder: Path
) -> Measurement:
    folder.mkdir(exist_ok=True)
    save_file(first, folder / "arrays.safetensors")
    part = job.model_copy(update={"screen": screen_of(job)})
    function = evaluate.run if isinstance(job, EvaluateJob) else benchmark.run
    return function(part, replace(inputs, first=folder), no_progress)  # type: ignore[arg-type]


def believed(job: EvaluateJob, found: Measurement, first: dict[str, Any]) -> None:
    """What the verifier makes of it."""
    part = job.model_copy(update={"screen": screen_of(job)})
    record = records.Record.model_construct(key="0" * 64, values=found.values)
    screened.check(record, part, found.arrays, first)


def test_what_is_near_is_asked_and_all_answers_are_those_of_a_whole_evaluation(
    whole: Whole, tmp_path: Path
) -> None:
    job, inputs, full = whole
    first = moved(full.arrays)
    sample = screen_of(job).sampled(18, 5)
    near = next(row for row in range(18) if row not in sample)
    swap(first, 5, near, 1e-6)  # in doubt, and answered otherwise
    found = under_a_screen(job, inputs, first, tmp_path / "first")
    assert found.arrays["shots5/asked"][near] == 1
    for shots in job.shots:
        asked = found.arrays[f"shots{shots}/asked"] == 1
        name = f"shots{shots}/log_likelihood"
        assert asked[list(screen_of(job).sampled(18, shots))].all()
        assert np.array_equal(found.arrays[name][~asked], first[name][~asked])
        assert np.allclose(found.arrays[name][asked], full.arrays[name][asked], 0, ROUNDING)
        for other in ("prediction", "gold", "tokens"):
            name = f"shots{shots}/{other}"
            assert np.array_equal(found.arrays[name], full.arrays[name]), name
        assert asked.sum() < 18
    believed(job, found, first)
    stock = [name for name in full.arrays if name.startswith("stock")]
    for name in stock:  # the engine's own check stays whole
        assert np.array_equal(found.arrays[name], full.arrays[name])
    assert bool(stock) == (job.engine == "prefix")


def test_an_answer_over_a_wide_gap_in_the_sample_asks_all(whole: Whole, tmp_path: Path) -> None:
    job, inputs, full = whole
    first = moved(full.arrays)
    swap(first, 0, screen_of(job).sampled(18, 0)[1], 2.0)
    found = under_a_screen(job, inputs, first, tmp_path / "first")
    assert found.values["shots0/asked"] == 18
    assert found.values["shots5/asked"] < 18  # each number of shots by itself
    name = "shots0/log_likelihood"
    assert np.allclose(found.arrays[name], full.arrays[name], 0, ROUNDING)
    assert np.array_equal(found.arrays["shots0/prediction"], full.arrays["shots0/prediction"])
    believed(job, found, first)


def test_a_first_setting_that_is_far_off_asks_all(whole: Whole, tmp_path: Path) -> None:
    """All log-likelihoods in doubt: a change of one nat leaves no gap wide enough."""
    job, inputs, full = whole
    first = moved(full.arrays)
    for shots in job.shots:
        first[f"shots{shots}/log_likelihood"][:, 0] -= 0.0 if shots else 1.0
    first["shots0/prediction"] = first["shots0/log_likelihood"].argmax(axis=1)
    found = under_a_screen(job, inputs, first, tmp_path / "first")
    assert found.values["shots0/asked"] == 18
    believed(job, found, first)


def test_numbers_that_are_none_under_the_first_setting_are_asked(
    whole: Whole, tmp_path: Path
) -> None:
    job, inputs, full = whole
    first = moved(full.arrays)
    row = next(row for row in range(18) if row not in screen_of(job).sampled(18, 0))
    first["shots0/log_likelihood"][row, 2] = np.nan
    found = under_a_screen(job, inputs, first, tmp_path / "first")
    assert found.arrays["shots0/asked"][row] == 1
    assert np.isfinite(found.arrays["shots0/log_likelihood"]).all()
    json.dumps(found.values, allow_nan=False)


@pytest.mark.parametrize("whole", ["prefix"], indirect=True)
def test_batches_that_do_not_fit_are_asked_again_under_the_screen(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory ends while the sample is asked."""
    job, inputs, full = whole
    first, calls = moved(full.arrays), list[int]()
    honest = language_model.MeasuredLM._model_call

    def short(model: Any, *given: Any, **more: Any) -> Any:
        calls.append(model.batch_size)
        if model.batch_size == 4:
            raise MemoryError
        return honest(model, *given, **more)

    monkeypatch.setattr(language_model.MeasuredLM, "_model_call", short)
    stock = job.model_copy(update={"engine": "lm-eval", "checked": (), "checked_shots": ()})
    found = under_a_screen(stock, inputs, first, tmp_path / "first")
    assert set(calls) == {4, 2}
    assert found.path["batch_size"] == "2"
    assert 0 < found.values["shots0/asked"] < 18
    believed(stock, found, first)


def test_a_killed_one_goes_on_to_the_same_record(whole: Whole, tmp_path: Path) -> None:
    job, inputs, full = whole
    first = moved(full.arrays)
    inputs = replace(inputs, work=tmp_path / "work")
    once = under_a_screen(job, inputs, first, tmp_path / "first")
    (tmp_path / "work" / "shots5.json").unlink()
    again = under_a_screen(job, inputs, first, tmp_path / "first")
    assert once.values == again.values
    for name, each in once.arrays.items():
        assert np.array_equal(each, again.arrays[name]), name


@pytest.mark.parametrize("task", ["arc_easy", "winogrande"])
def test_benchmarks_compare_by_length_too(task: str, tmp_path: Path) -> None:
    twin = paths.ROOT / "twins" / "gpt-neox-twin"
    data = made_up_benchmarks.write_wheel(tmp_path / "rows.whl")
    job = benchmark_jobs.job(task, questions=7, engine="prefix", checked=2)
    inputs = Inputs(checkpoint=twin, data=data)
    full = benchmark.run(job, inputs, no_progress)
    first = moved(full.arrays)
    found = under_a_screen(job, inputs, first, tmp_path / "first")  # type: ignore[arg-type]
    for shots in job.shots:
        assert SAMPLE <= found.values[f"shots{shots}/asked"] < 7
        for name in ("prediction", "prediction_normalised", "gold", "characters"):
            at = f"shots{shots}/{name}"
            assert np.array_equal(found.arrays[at], full.arrays[at]), at
    believed(job, found, first)  # type: ignore[arg-type]


def test_words_have_no_gap_and_are_asked_whole(tmp_path: Path) -> None:
    twin = paths.ROOT / "twins" / "gpt-neox-twin"
    data = made_up_benchmarks.write_lambada(tmp_path / "lambada.jsonl")
    job = benchmark_jobs.job("lambada_openai", engine="prefix", checked=2)
    inputs = Inputs(checkpoint=twin, data=data)
    full = benchmark.run(job, inputs, no_progress)
    found = under_a_screen(job, inputs, moved(full.arrays), tmp_path / "first")  # type: ignore[arg-type]
    assert found.arrays.keys() == full.arrays.keys()
    for name, each in full.arrays.items():
        assert np.array_equal(each, found.arrays[name])


def test_a_screen_and_no_answers_to_it_do_not_go_together(whole: Whole) -> None:
    job, inputs, _ = whole
    with pytest.raises(BadInputError, match="do not go together"):
        evaluate.run(job.model_copy(update={"screen": screen_of(job)}), inputs, no_progress)
