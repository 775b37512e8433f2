"""Stability runs: many layers, every perturbation, every bound (Theorems 1 and 2, Lemma 1).

`run` cuts the layers of a job into chunks, rolls each out (`runner.stability.rollout`), reduces it
to per-layer arrays (`runner.stability.summary` names them) and joins them in order. On top of the
table there: `sweep/<ε>/...` the same on the first layers for other ε (modes of `SWEPT`, no
envelopes), `precision/<dtype>/...` (`runner.stability.precision`), and for random layers
`control/<name>/...` (`runner.stability.random_layers`). `times` and `perturbed_at` count steps from
0.

Of the job's own layers counts are int32 and envelopes float32, and but for `FITTED` of its first
`sweep_layers` layers: they are drawn, not judged, and were three quarters of a record's 7.6 MB.

What is claimed: each deviation against its explicit bound, in float64, rounding included.
What is not: anything about a whole network (gates, norms, convolutions and residual streams lie
between the layers), and anything for T beyond what was run.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from repro.schema.jobs import StabilityJob
from runner.measurement import Arrays, Inputs, Measurement, Progress, Values
from runner.stability import random_layers
from runner.stability.layers import Layers
from runner.stability.perturbation import MODES, SWEPT, Mode
from runner.stability.precision import LowDtype, low_precision
from runner.stability.random_layers import Design, draw_layers
from runner.stability.rollout import chunk_size, roll_out
from runner.stability.summary import join, recorded_times, summarise
from runner.stability.trained_layers import trained_layers

# -----------------------------------------------------------------------------
# The tasks

CONTROL_LAYERS = 16
"""Layers, and networks, of a control that is random."""

Source = Callable[[int, int], Layers]
"""Layers `start` to `stop` of a job, on the CPU."""
Task = tuple[str, Callable[[], Arrays], int]
"""Prefix of its arrays, the work, and the layers that it counts for."""


@dataclass(frozen=True)
class TaskPlan:
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

    def _chunks(self, count: int) -> Iterator[tuple[Callable[[], Layers], int]]:
        """Chunks of the first layers, to be made, and how many layers each has."""
        size = chunk_size(self.design, self.device)
        for start in range(0, count, size):
            stop = min(start + size, count)
            yield partial(self.source, start, stop), stop - start

    def _rolled(
        self, make: Callable[[], Layers], epsilon: float, modes: tuple[Mode, ...] = MODES
    ) -> Arrays:
        layers = self._moved(make())
        return summarise(roll_out(layers, epsilon, self.at, modes), layers.decay, self.times)

    def _rounded(self, make: Callable[[], Layers], names: tuple[LowDtype, ...]) -> Arrays:
        return low_precision(self._moved(make()), names, self.times)

    def _moved(self, layers: Layers) -> Layers:
        return layers.mapped(0, layers.count, self.device)

    def main(self) -> Iterator[Task]:
        """Every layer at the job's ε."""
        for make, size in self._chunks(self.count):
            yield "", partial(self._rolled, make, self.job.epsilon), size

    def sweeps(self) -> Iterator[Task]:
        """The first layers at every other ε, in the modes of `SWEPT`."""
        for epsilon in self.job.sweep:
            if epsilon == self.job.epsilon:
                continue
            for make, size in self._chunks(self.swept):
                yield sweep_prefix(epsilon), partial(self._rolled, make, epsilon, SWEPT), size

    def precisions(self) -> Iterator[Task]:
        """The first layers in all low precisions."""
        names = tuple(name for name in self.job.precisions if name != "float64")
        for make, size in self._chunks(self.swept) if names else ():
            yield "precision", partial(self._rounded, make, names), size

    def controls(self) -> Iterator[Task]:
        """Every control, through the same roll-out and the same summary."""
        count, steps = min(CONTROL_LAYERS, self.job.layers), self.job.steps
        grown = partial(random_layers.positive_decay, self.design, count)
        zero = partial(random_layers.zero_decay, steps)
        vanishing = partial(random_layers.vanishing_step, steps)
        for name, make, epsilon in (
            ("positive-decay", grown, self.job.epsilon),
            ("zero-decay", zero, random_layers.DYADIC),
            ("vanishing-step", vanishing, random_layers.DYADIC),
        ):
            yield f"control/{name}", partial(self._control, make, epsilon), 1
        yield "control/tanh-rnn", partial(self._networks, count), 1

    def _control(self, make: Callable[[], Layers], epsilon: float) -> Arrays:
        return self._rolled(make, epsilon) | {"epsilon": np.array([epsilon])}

    def _networks(self, count: int) -> Arrays:
        job = self.job
        trace, exponent = random_layers.tanh_rnn(
            count, steps=job.steps, epsilon=job.epsilon, at=self.at, seed=job.seed
        )
        found = summarise([trace], torch.zeros(count, 1, 1, dtype=torch.float64), self.times)
        kept = {name: value for name, value in found.items() if not name.startswith("lambda")}
        return kept | {"lambda_max": exponent.numpy(), "epsilon": np.array([job.epsilon])}


def sweep_prefix(epsilon: float) -> str:
    """Prefix of the arrays of one ε of the sweep: `sweep/1e-05`."""
    return f"sweep/{epsilon:g}"


# -----------------------------------------------------------------------------
# The run

ENVELOPE_POINTS = 34
"""Times at which envelopes are kept; close to the perturbation some of them coincide."""

FITTED = (
    "latent-once/output_envelope",
    "joint-once-selective/output_envelope",
    "rounding/output_envelope",
)
"""Envelopes of every layer: Appendix B has a rate for each layer's output."""


def run(job: StabilityJob, inputs: Inputs, progress: Progress) -> Measurement:
    """Roll out all layers of `job` in every mode; see the module for what comes back."""
    # Operations here are too small to share: each of torch's threads takes chunks of layers.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _run(job, inputs, progress, threads)
    finally:
        torch.set_num_threads(threads)


def _run(job: StabilityJob, inputs: Inputs, progress: Progress, threads: int) -> Measurement:
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
    plan = TaskPlan(job, design, source, count, device, at, times)
    tasks = [*plan.main(), *plan.sweeps(), *plan.precisions()]
    if job.checkpoint is None:
        tasks += plan.controls()
    found = _execute(tasks, threads if device.type == "cpu" else 1, progress)
    whole = found.pop("")
    arrays = {name: _kept(name, value, plan.swept) for name, value in whole.items()}
    left_out = tuple(f"{mode.name}/" for mode in MODES if mode not in SWEPT)
    if job.epsilon in job.sweep:  # run already
        found[sweep_prefix(job.epsilon)] = {
            name: value[: plan.swept]
            for name, value in _without_envelopes(whole).items()
            if not name.startswith(left_out)
        }
    for prefix, part in found.items():
        arrays |= {f"{prefix}/{name}": value for name, value in part.items()}
    arrays |= {"times": times, "perturbed_at": np.array([at], dtype=np.int64)}
    return Measurement(
        values=_values(job, count, arrays),
        arrays=arrays,
        path={"device": device.type, "dtype": "float64", "scan": "runner.stability.rollout"},
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


def _execute(tasks: list[Task], threads: int, progress: Progress) -> dict[str, Arrays]:
    """Run tasks on so many threads; join the chunks of each prefix in order."""
    total, done = sum(size for _, _, size in tasks), 0
    parts: dict[str, list[Arrays]] = {}
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures: list[Future[Arrays]] = [pool.submit(work) for _, work, _ in tasks]
        try:
            for (prefix, _, size), future in zip(tasks, futures, strict=True):
                found = future.result()
                if prefix.startswith("sweep/"):
                    found = _without_envelopes(found)
                if prefix == "precision":
                    found = {name: _kept(name, value, len(value)) for name, value in found.items()}
                parts.setdefault(prefix, []).append(found)
                done += size
                progress(done, total, prefix or "layers")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {prefix: join(chunks) for prefix, chunks in parts.items()}


def _kept(name: str, value: NDArray[Any], layers: int) -> NDArray[Any]:
    """What a record keeps of an array: an envelope in float32, of so many layers if not fitted."""
    if name.endswith("_envelope"):
        return value[: None if name in FITTED else layers].astype(np.float32)
    return value.astype(np.int32) if value.dtype == np.int64 else value


def _without_envelopes(arrays: Arrays) -> Arrays:
    return {name: value for name, value in arrays.items() if not name.endswith("_envelope")}


def _values(job: StabilityJob, count: int, arrays: Arrays) -> Values:
    """A few numbers for people; all of them can be recomputed from the arrays."""
    values: Values = {
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
