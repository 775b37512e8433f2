"""Evaluations that are killed and taken up again, and those that do not fit the memory.

Oracle: the same job, uninterrupted: arrays by their bytes, and everything else that a record says.
Kills are SIGKILL; the memory is capped by the system.
"""

import json
import math
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import benchmark_jobs
import evaluate_jobs
import little_memory
import made_up_benchmarks
import numpy as np
import pytest
import torch
from made_up_mmlu import LONG
from safetensors.numpy import save

from repro import paths
from repro.schema.jobs import BenchmarkJob, EvaluateJob
from runner.evaluation import benchmark, evaluate
from runner.evaluation.partial_answers import PartialAnswers
from runner.measurement import Inputs, Measurement
from runner.models import checkpoint_checks

pytestmark = pytest.mark.usefixtures("one_thread")

Asked = tuple[Callable[..., Measurement], Any, Inputs]
"""A job function, a job and what it reads."""


@pytest.fixture(params=["lm-eval", "prefix"])
def asked(
    request: pytest.FixtureRequest, tiny_checkpoint: Callable[[str], Path], tiny_wheel: Path
) -> Asked:
    """MMLU at three numbers of shots, by either engine."""
    job = evaluate_jobs.job(shots=(0, 1, 2), engine=request.param)
    if request.param == "prefix":
        update = {"checked": job.subjects[:1], "checked_shots": (1,)}
        job = job.model_copy(update=update)
    return evaluate.run, job, Inputs(checkpoint=tiny_checkpoint("gpt-neox"), data=tiny_wheel)


def in_a_child(work: Callable[[], None]) -> int:
    """Run something in a process of its own; how it ended, as `waitpid` says it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # a child must not go on as pytest
            Path("/dev/stderr").write_text(repr(error))
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def killed_when(asked: Asked, work: Path, said: str) -> None:
    """Run a job until its progress says something, then SIGKILL."""
    function, job, inputs = asked

    def progress(_: int, __: int, note: str = "") -> None:
        if said in note:
            os.kill(os.getpid(), signal.SIGKILL)

    status = in_a_child(lambda: function(job, replace(inputs, work=work), progress) and None)
    assert os.WIFSIGNALED(status), "the job ended before it could be killed"


def ran(asked: Asked, work: Path | None) -> tuple[Measurement, set[str]]:
    """A job to its end, and everything that its progress said."""
    notes = set()

    def progress(_: int, __: int, note: str = "") -> None:
        notes.add(note)

    function, job, inputs = asked
    return function(job, replace(inputs, work=work), progress), notes


def assert_equal(one: Measurement, other: Measurement) -> None:
    """To the bit, names and order included."""
    assert save(one.arrays) == save(other.arrays)
    assert json.dumps(one.values) == json.dumps(other.values)
    assert one.path == other.path
    assert one.warnings == other.warnings


def test_a_killed_evaluation_goes_on_to_the_same_record(asked: Asked, tmp_path: Path) -> None:
    killed_when(asked, tmp_path, "2-shot")
    again, notes = ran(asked, tmp_path)
    assert notes & {"0-shot", "1-shot"} == set()  # neither was asked again
    whole, notes = ran(asked, None)
    assert {"0-shot", "1-shot"} <= notes
    assert_equal(again, whole)
    again, notes = ran(asked, tmp_path)
    assert not any("-shot" in note for note in notes)  # nothing was
    assert_equal(again, whole)


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
@pytest.mark.parametrize("asked", ["lm-eval"], indirect=True)
def test_a_damaged_part_is_asked_again(asked: Asked, tmp_path: Path, suffix: str) -> None:
    whole, _ = ran(asked, tmp_path)
    path = tmp_path / f"shots1.{suffix}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    again, notes = ran(asked, tmp_path)
    assert {"0-shot", "1-shot", "2-shot"} & notes == {"1-shot"}
    assert_equal(again, whole)


@pytest.fixture
def lambada(tmp_path: Path) -> Asked:
    """A benchmark whose values are not all whole numbers, by the engine prefix."""
    job: BenchmarkJob = benchmark_jobs.job("lambada_openai", engine="prefix", checked=2)
    data = made_up_benchmarks.write_lambada(tmp_path / "lambada.jsonl")
    twin = paths.ROOT / "twins" / "gpt-neox-twin"
    return benchmark.run, job, Inputs(checkpoint=twin, data=data)


def test_a_killed_benchmark_goes_on_to_the_same_record(lambada: Asked, tmp_path: Path) -> None:
    killed_when(lambada, tmp_path / "work", "1-shot")
    again, notes = ran(lambada, tmp_path / "work")
    assert "0-shot" not in notes
    assert_equal(again, ran(lambada, None)[0])


def test_numbers_that_are_none_come_back(tmp_path: Path) -> None:
    parts = PartialAnswers(tmp_path)
    arrays = {"a": np.array([np.nan, -np.inf, 1e-310]), "b": np.zeros((0, 2), np.int64)}
    parts._save_part("x", arrays, {"values": {"v": math.inf, "w": math.nan, "u": 0.1}})
    kept = parts._load_part("x")
    assert kept
    assert save(kept[0]) == save(arrays)
    assert json.dumps(kept[1]) == '{"values": {"v": Infinity, "w": NaN, "u": 0.1}}'


# -----------------------------------------------------------------------------
# Too little memory


def in_a_new_process(work: Callable[..., None], *given: object) -> int | None:
    """Run something where no memory is free that an earlier test had; how it ended."""
    child = multiprocessing.get_context("spawn").Process(target=work, args=given)
    child.start()
    child.join()
    return child.exitcode


@pytest.fixture
def long_questions(
    tiny_checkpoint: Callable[[str], Path], tiny_wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[EvaluateJob, Inputs]:
    """Questions of which one alone takes 100 MB of eager attention, asked four at a time.

    A new process gives back what it is done with: a run before it must leave nothing to use, as
    `scheduling.KEEP_MEMORY` would, which a test of `execute` leaves set.
    """
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(1 << 16))
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", str(1 << 16))
    job = evaluate_jobs.job(subjects=(LONG,), shots=(5,))
    return job, Inputs(checkpoint=tiny_checkpoint("gpt-neox"), data=tiny_wheel)


def test_batches_are_halved_until_they_fit_and_the_record_says_so(
    long_questions: tuple[EvaluateJob, Inputs], tmp_path: Path
) -> None:
    job, inputs = long_questions
    setting = job.setting.model_copy(update={"batch_size": 1})
    smaller = job.model_copy(update={"setting": setting})

    assert in_a_new_process(little_memory.halved, job, smaller, inputs, tmp_path / "said") == 0
    took, warnings = json.loads((tmp_path / "said").read_text())
    assert took == "1"
    assert warnings == ["too little memory for 5-shot questions, 4 at a time: 1 at a time"]


def test_memory_that_does_not_suffice_for_one_is_a_message(
    long_questions: tuple[EvaluateJob, Inputs], tmp_path: Path
) -> None:
    job, inputs = long_questions
    assert in_a_new_process(little_memory.too_little, job, inputs, tmp_path / "said") == 0
    assert (
        "not enough memory for 5-shot questions, one at a time" in (tmp_path / "said").read_text()
    )


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:83] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_gpus_memory_is_as_the_machines(error: Exception) -> None:
    assert checkpoint_checks.is_out_of_memory(error)
    assert not checkpoint_checks.is_out_of_memory(RuntimeError("shapes differ"))
    assert not checkpoint_checks.is_out_of_memory(ValueError("a tensor called out of memory"))
