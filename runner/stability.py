"""Stability runs: many layers, every perturbation, every bound (Theorems 1 and 2, Lemma 1).

`run` cuts the layers of a job into chunks, rolls each out (`runner.rollout`), reduces it to
per-layer arrays (`runner.deviation_summary` names them) and joins them in order. On top of the
table there: `sweep/<ε>/...` the same on the first layers for other ε (modes of `SWEPT`,
envelopes in float32), `precision/<dtype>/...` (`runner.precision`), and for random layers
`control/<name>/...` (`runner.controls`). `times` and `perturbed_at` count steps from 0.

What is claimed: each deviation against its explicit bound, in float64, rounding included.
What is not: anything about a whole network (gates, norms, convolutions and residual streams lie
between the layers), and anything for T beyond what was run.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from repro.jobs import StabilityJob
from runner import controls
from runner.deviation_summary import Arrays, join, recorded_times, summarise
from runner.measurement import Inputs, Measurement, Progress
from runner.perturbation import MODES, SWEPT, Mode
from runner.precision import LowDtype, low_precision
from runner.random_layers import Design, draw_layers
from runner.rollout import chunk_size, roll_out
from runner.ssm_layers import Layers
from runner.trained_layers import trained_layers

ENVELOPE_POINTS = 48
CONTROL_LAYERS = 16

Source = Callable[[int, int], Layers]
"""Layers `start` to `stop` of a job, on the CPU."""
Task = tuple[str, Callable[[], Arrays], int]
"""Prefix of its arrays, the work, and the layers that it counts for."""


def run(job: StabilityJob, inputs: Inputs, progress: Progress) -> Measurement:
    """Roll out all layers of `job` in every mode; see the module for what comes back."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    design = Design(
        family=job.family,
        channels=job.channels,
        state_size=job.state_size,
        steps=job.steps,
        seed=job.seed,
    )
    source, count = _source(job, inputs, design)
    at = job.steps // 16
    times = recorded_times(job.steps, at, ENVELOPE_POINTS)
    plan = _Plan(job, design, source, count, device, at, times)
    tasks = [*plan.main(), *plan.sweeps(), *plan.precisions()]
    if job.checkpoint is None:
        tasks += plan.controls()
    found = _execute(tasks, device, progress)
    arrays = found.pop("")
    left_out = tuple(f"{mode.name}/" for mode in MODES if mode not in SWEPT)
    if job.epsilon in job.sweep:  # run already
        found[_sweep(job.epsilon)] = {
            name: _shorter(name, value[: plan.swept])
            for name, value in arrays.items()
            if not name.startswith(left_out)
        }
    for prefix, part in found.items():
        arrays |= {f"{prefix}/{name}": value for name, value in part.items()}
    arrays |= {"times": times, "perturbed_at": np.array([at], dtype=np.int64)}
    return Measurement(
        values=_values(job, count, arrays),
        arrays=arrays,
        path={"device": device.type, "dtype": "float64", "scan": "runner.rollout"},
    )


def _source(job: StabilityJob, inputs: Inputs, design: Design) -> tuple[Source, int]:
    """Where layers come from, and how many there are."""
    if job.checkpoint is None:
        return partial(draw_layers, design), job.layers
    if inputs.checkpoint is None:
        message = f"checkpoint: found none, expected the folder of {job.checkpoint}"
        raise ValueError(message)
    layers = trained_layers(inputs.checkpoint, job.layers, design)
    return partial(layers.mapped, device=torch.device("cpu")), layers.count


@dataclass(frozen=True)
class _Plan:
    """The tasks of a job: each one chunk of layers for one purpose."""

    job: StabilityJob
    design: Design
    source: Source
    count: int
    device: torch.device
    at: int
    times: NDArray[np.int64]

    @property
    def swept(self) -> int:
        """Layers of the sweep and of the precisions."""
        return min(self.job.sweep_layers, self.count)

    def _chunks(self, count: int) -> Iterator[tuple[int, int]]:
        size = chunk_size(self.design, self.device)
        for start in range(0, count, size):
            yield start, min(start + size, count)

    def _rolled(self, epsilon: float, modes: tuple[Mode, ...], start: int, stop: int) -> Arrays:
        layers = self.source(start, stop).mapped(0, stop - start, self.device)
        return summarise(roll_out(layers, epsilon, self.at, modes), layers.decay, self.times)

    def _rounded(self, names: tuple[LowDtype, ...], start: int, stop: int) -> Arrays:
        layers = self.source(start, stop).mapped(0, stop - start, self.device)
        return low_precision(layers, names, self.times)

    def main(self) -> Iterator[Task]:
        """Every layer at the job's ε."""
        for start, stop in self._chunks(self.count):
            yield "", partial(self._rolled, self.job.epsilon, MODES, start, stop), stop - start

    def sweeps(self) -> Iterator[Task]:
        """The first layers at every other ε, in the modes of `SWEPT`."""
        for epsilon in self.job.sweep:
            if epsilon == self.job.epsilon:
                continue
            for start, stop in self._chunks(self.swept):
                work = partial(self._rolled, epsilon, SWEPT, start, stop)
                yield _sweep(epsilon), work, stop - start

    def precisions(self) -> Iterator[Task]:
        """The first layers in all low precisions."""
        names = tuple(name for name in self.job.precisions if name != "float64")
        for start, stop in self._chunks(self.swept) if names else ():
            yield "precision", partial(self._rounded, names, start, stop), stop - start

    def controls(self) -> Iterator[Task]:
        """Every control, through the same roll-out and the same summary."""
        count, steps = min(CONTROL_LAYERS, self.job.layers), self.job.steps
        grown = partial(controls.positive_decay, self.design, count)
        zero = partial(controls.zero_decay, steps)
        vanishing = partial(controls.vanishing_step, steps)
        for name, make, epsilon in (
            ("positive-decay", grown, self.job.epsilon),
            ("zero-decay", zero, controls.DYADIC),
            ("vanishing-step", vanishing, controls.DYADIC),
        ):
            yield f"control/{name}", partial(self._control, make, epsilon), 1
        yield "control/tanh-rnn", partial(self._networks, count), 1

    def _control(self, make: Callable[[], Layers], epsilon: float) -> Arrays:
        layers = make()
        layers = layers.mapped(0, layers.count, self.device)
        found = summarise(roll_out(layers, epsilon, self.at), layers.decay, self.times)
        return found | {"epsilon": np.array([epsilon])}

    def _networks(self, count: int) -> Arrays:
        job = self.job
        trace, exponent = controls.tanh_rnn(
            count, steps=job.steps, epsilon=job.epsilon, at=self.at, seed=job.seed
        )
        found = summarise([trace], torch.zeros(count, 1, 1, dtype=torch.float64), self.times)
        kept = {name: value for name, value in found.items() if not name.startswith("lambda")}
        return kept | {"lambda_max": exponent.numpy(), "epsilon": np.array([job.epsilon])}


def _execute(tasks: list[Task], device: torch.device, progress: Progress) -> dict[str, Arrays]:
    """Run tasks, on a CPU one to a core; join the chunks of each prefix in order."""
    total, done = sum(size for _, _, size in tasks), 0
    parts: dict[str, list[Arrays]] = {}
    workers = len(os.sched_getaffinity(0)) if device.type == "cpu" else 1
    with _one_thread_each(), ThreadPoolExecutor(workers, initializer=_single) as pool:
        futures: list[Future[Arrays]] = [pool.submit(work) for _, work, _ in tasks]
        try:
            for (prefix, _, size), future in zip(tasks, futures, strict=True):
                found = future.result()
                if prefix.startswith("sweep/"):
                    found = {name: _shorter(name, value) for name, value in found.items()}
                parts.setdefault(prefix, []).append(found)
                done += size
                progress(done, total, prefix or "layers")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {prefix: join(chunks) for prefix, chunks in parts.items()}


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers set torch to one thread; put the caller's number back."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _single() -> None:
    torch.set_num_threads(1)


def _sweep(epsilon: float) -> str:
    return f"sweep/{epsilon:g}"


def _shorter(name: str, value: NDArray[Any]) -> NDArray[Any]:
    return value.astype(np.float32) if name.endswith("_envelope") else value


def _values(job: StabilityJob, count: int, arrays: Arrays) -> dict[str, float | int | str]:
    """A few numbers for people; all of them can be recomputed from the arrays."""
    values: dict[str, float | int | str] = {
        "layers": count,
        "lambda_max": float(arrays["lambda_max"].max()),
        "latent_entries_checked": count * job.steps * job.channels * job.state_size,
        "outputs_checked": count * job.steps * job.channels,
    }
    for mode in MODES:
        for what in ("latent", "output"):
            name = f"{mode.name}/{what}"
            values[f"{name}_violations"] = int(arrays[f"{name}_violations"].sum())
            values[f"{name}_ratio"] = float(arrays[f"{name}_ratio"].max())
    return values
