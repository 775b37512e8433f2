"""Estimates: right in what they depend on; the figures themselves are only rough."""

import pytest

from repro import catalog, cost, environment
from repro.jobs import EvaluateJob, Setting, StabilityJob

SETTING = Setting(
    id="a",
    batch_size=16,
    order="length-descending",
    attention_float32="eager",
    attention_half="eager",
    mamba_path="slow",
)


def job(checkpoint: str, dtype: str = "float32", shots: tuple[int, ...] = (0,)) -> EvaluateJob:
    return EvaluateJob(
        kind="evaluate",
        checkpoint=checkpoint,
        dtype=dtype,  # type: ignore[arg-type]
        task="mmlu",
        subjects=("abstract_algebra",),
        shots=shots,
        setting=SETTING,
    )


def estimate(asked: EvaluateJob) -> cost.Cost:
    known = catalog.checkpoints()[asked.checkpoint]
    machine = environment.capture(["torch"])
    return cost.of_job(asked, known, catalog.datasets()["mmlu"], machine)


def test_tokens_grow_with_shots_and_stop_at_the_longest_context() -> None:
    mmlu = catalog.datasets()["mmlu"]
    few, many = (cost.tokens(job("mamba-130m", shots=(k,)), mmlu, small=False) for k in (0, 5))
    assert 0 < few < many <= 100 * 2048


def test_tokens_of_the_smoke_subject_are_about_right() -> None:
    """Oracle: 94,609 tokens at 5 shots were counted on two subjects of which it is half."""
    mmlu = catalog.datasets()["mmlu"]
    found = cost.tokens(job("mamba-twin", shots=(5,)), mmlu, small=True)
    assert found == pytest.approx(47_000, rel=0.3)


def test_larger_models_cost_more_time_and_memory() -> None:
    small, large = estimate(job("pythia-160m")), estimate(job("pythia-2.8b"))
    assert small.seconds < large.seconds
    assert small.gpu_seconds < large.gpu_seconds
    assert large.memory - small.memory == pytest.approx(4 * (2_775_208_960 - 162_322_944))


def test_half_precision_halves_the_weights() -> None:
    assert estimate(job("pythia-2.8b", "float16")).memory < estimate(job("pythia-2.8b")).memory


def test_stability_scales_with_its_entries() -> None:
    def layers(count: int) -> StabilityJob:
        return StabilityJob(
            kind="stability",
            family="mamba2",
            checkpoint=None,
            layers=count,
            channels=16,
            state_size=128,
            steps=1024,
            epsilon=0.001,
            sweep=(),
            sweep_layers=0,
            precisions=(),
            seed=0,
        )

    machine = environment.capture(["torch"])
    one, ten = (cost.of_job(layers(count), None, None, machine) for count in (100, 1000))
    assert ten.seconds - 1 == pytest.approx(10 * (one.seconds - 1))
