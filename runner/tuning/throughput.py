"""Speed and memory of fine-tuning steps, by a model of random weights under a cap of GPU memory.

A few steps of one row run before the cap is set: kernels are compiled, and Adam's moments exist,
whatever float16's scaling skips at first. Then batch sizes are tried
under the cap (`runner.tuning.memory_cap`), and the fastest is timed (`runner.tuning.steps`).

Reference: paper v2, section 5.1: tokens a second are all tokens over the training time; memory a
token is the maximum over the run over the tokens of a mini-batch.
Differs: every row has `max_length` tokens; the paper's have the lengths of Alpaca, padded.
"""

from dataclasses import replace

import numpy as np
import torch

from repro.errors import CannotRunError
from repro.schema.jobs import ThroughputJob
from runner.measurement import Arrays, Inputs, Measurement, Progress, Values
from runner.tuning import memory_cap
from runner.tuning.memory_cap import BatchSizeTrial, fastest, search_batch_size
from runner.tuning.steps import Timing, Training


def run(job: ThroughputJob, inputs: Inputs, progress: Progress) -> Measurement:
    """Measure one way of fine-tuning a model of some size.

    No file is read; progress counts timings.

    Returns:
        Arrays: tokens_per_second float64, memory_allocated and memory_reserved int64, (repeats,),
        bytes, the peaks of each timing; empty where 1 row does not fit. Of every try, (k,):
        batch_sizes_tried int64, fits_tried uint8, tokens_per_second_tried float64,
        memory_allocated_tried and memory_reserved_tried int64, peaks. memory_uncapped (2,) int64:
        bytes allocated and reserved at most by a step of 1 row without the cap; 0 where the card
        is too small. Values: `_values`.

    Raises:
        CannotRunError: no GPU, one that another process uses, or weights beyond it; the scan's
            kernels are missing; a shape that is not known; gradients that stay infinite in float16.
    """
    del inputs
    if not torch.cuda.is_available():
        message = "speed and memory are measured on a CUDA GPU; there is none here"
        raise CannotRunError(message)
    memory_cap.lift_cap()  # what a job before this one left, if it failed
    try:
        return _measure(job, progress)
    finally:
        memory_cap.lift_cap()


def _measure(job: ThroughputJob, progress: Progress) -> Measurement:
    progress(0, job.repeats, "building the model")
    training = _built(job)
    uncapped = training.warm_up()
    cap = memory_cap.set_cap(job.memory_cap)

    def attempt(rows: int) -> BatchSizeTrial:
        progress(0, job.repeats, f"batches of {rows}")
        return training.attempt(rows)

    if any(uncapped):
        tries = search_batch_size(attempt, cap.allowed)
    else:
        tries = [
            BatchSizeTrial(1, fits=False, tokens_per_second=0.0, allocated=0, reserved=0, forward=0)
        ]
    timings: list[Timing] = []
    while not timings and (best := fastest(tries)):
        timings = _timed(training, best.batch_size, job, progress)
        if not timings:  # what earlier tries left in fragments can make the difference
            lost = replace(best, fits=False, tokens_per_second=0.0)
            tries = [lost if each is best else each for each in tries]
    memory_cap.context_bytes()  # nobody came meanwhile
    values = _values(training, tries, timings) | {"context_bytes": cap.context}
    path = training.path | {"memory_cap": cap.words}
    arrays = _arrays(tries, timings, uncapped)
    return Measurement(
        values=values, arrays=arrays, path=path, warnings=_warnings(training, timings)
    )


def _built(job: ThroughputJob) -> Training:
    found: list[Training] = []
    if not memory_cap.runs_within_memory(lambda: found.append(Training(job))):
        message = f"the weights of {job.checkpoint} alone are more than the memory of this GPU"
        raise CannotRunError(message)
    return found[0]


def _timed(training: Training, rows: int, job: ThroughputJob, progress: Progress) -> list[Timing]:
    """All timings at a batch size; none if it does not fit after all."""
    found: list[Timing] = []

    def steps() -> None:
        tokens = training.rows(rows)
        for _ in range(job.warm_up_steps):
            training.step(tokens)
        for number in range(job.repeats):
            torch.cuda.reset_peak_memory_stats()
            found.append(training.timing(tokens, job.steps))
            progress(number + 1, job.repeats, f"batches of {rows}")

    if memory_cap.runs_within_memory(steps):
        return found
    training.drop_gradients()
    return []


def _arrays(
    tries: list[BatchSizeTrial], timings: list[Timing], uncapped: tuple[int, int]
) -> Arrays:
    """As `run` says."""
    return {
        "tokens_per_second": np.array([each.tokens_per_second for each in timings], np.float64),
        "memory_allocated": np.array([each.allocated for each in timings], np.int64),
        "memory_reserved": np.array([each.reserved for each in timings], np.int64),
        "batch_sizes_tried": np.array([each.batch_size for each in tries], np.int64),
        "fits_tried": np.array([each.fits for each in tries], np.uint8),
        "tokens_per_second_tried": np.array([each.tokens_per_second for each in tries], np.float64),
        "memory_allocated_tried": np.array([each.allocated for each in tries], np.int64),
        "memory_reserved_tried": np.array([each.reserved for each in tries], np.int64),
        "memory_uncapped": np.array(uncapped, np.int64),
    }


def _values(training: Training, tries: list[BatchSizeTrial], timings: list[Timing]) -> Values:
    """Summary numbers, memory in bytes; those of timings are absent where nothing fits."""
    found: Values = {
        "fits": int(bool(timings)),
        "parameters": training.parameters,
        "trainable_parameters": training.trainable(),
        "parameters_without_gradient": training.without_gradient(),
    }
    best = fastest(tries)
    if best is None:
        return found
    tokens = best.batch_size * training.length
    speeds = [each.tokens_per_second for each in timings]
    peaks = {
        "allocated": max(each.allocated for each in timings),
        "reserved": max(each.reserved for each in timings),
    }
    found |= {"batch_size": best.batch_size, "tokens_per_second": sum(speeds) / len(speeds)}
    found |= {f"max_memory_{name}": peak for name, peak in peaks.items()}
    return found | {f"memory_per_token_{name}": peak / tokens for name, peak in peaks.items()}


def _warnings(training: Training, timings: list[Timing]) -> tuple[str, ...]:
    found = []
    bad, skipped = sum(not each.finite for each in timings), sum(each.skipped for each in timings)
    if bad:
        found.append(f"the loss is no finite number at the end of {bad} timings")
    if skipped:
        found.append(f"{skipped} timed steps were skipped by float16's scaling, which is faster")
    if training.without_gradient():
        found.append(
            f"the path {training.path['mamba']} reads base weights: some adapters get no gradient, "
            "and cost neither time nor moments"
        )
    return tuple(found)
