"""The tasks that a stability job is cut into: one chunk of layers for one purpose each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from repro.schema.jobs import StabilityJob
from runner.stability import controls as stability_controls
from runner.stability.layers import Layers
from runner.stability.perturbation import MODES, SWEPT, Mode
from runner.stability.precision import LowDtype, low_precision
from runner.stability.random_layers import Design
from runner.stability.rollout import chunk_size, roll_out
from runner.stability.summary import Arrays, summarise

CONTROL_LAYERS = 16
"""Layers, and networks, of a control that is random."""

Source = Callable[[int, int], Layers]
"""Layers `start` to `stop` of a job, on the CPU."""
Task = tuple[str, Callable[[], Arrays], int]
"""Prefix of its arrays, the work, and the layers that it counts for."""


@dataclass(frozen=True)
class Plan:
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
                yield sweep_prefix(epsilon), work, stop - start

    def precisions(self) -> Iterator[Task]:
        """The first layers in all low precisions."""
        names = tuple(name for name in self.job.precisions if name != "float64")
        for start, stop in self._chunks(self.swept) if names else ():
            yield "precision", partial(self._rounded, names, start, stop), stop - start

    def controls(self) -> Iterator[Task]:
        """Every control, through the same roll-out and the same summary."""
        count, steps = min(CONTROL_LAYERS, self.job.layers), self.job.steps
        grown = partial(stability_controls.positive_decay, self.design, count)
        zero = partial(stability_controls.zero_decay, steps)
        vanishing = partial(stability_controls.vanishing_step, steps)
        for name, make, epsilon in (
            ("positive-decay", grown, self.job.epsilon),
            ("zero-decay", zero, stability_controls.DYADIC),
            ("vanishing-step", vanishing, stability_controls.DYADIC),
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
        trace, exponent = stability_controls.tanh_rnn(
            count, steps=job.steps, epsilon=job.epsilon, at=self.at, seed=job.seed
        )
        found = summarise([trace], torch.zeros(count, 1, 1, dtype=torch.float64), self.times)
        kept = {name: value for name, value in found.items() if not name.startswith("lambda")}
        return kept | {"lambda_max": exponent.numpy(), "epsilon": np.array([job.epsilon])}


def sweep_prefix(epsilon: float) -> str:
    """Prefix of the arrays of one ε of the sweep: `sweep/1e-05`."""
    return f"sweep/{epsilon:g}"
