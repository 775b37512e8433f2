"""Perturbed roll-outs of state-space layers: Lemma 1, Theorems 1 and 2."""

from typing import ClassVar, Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from repro.schema.base import Slug
from repro.schema.catalog import Checkpoint
from repro.schema.kinds.base import Data, Dtype, Estimate, KindOfJob

_ENTRIES_A_SECOND = {
    "mamba-euler": (4.6e8, 1.1e8),
    "mamba-zoh": (4.5e8, 1.1e8),
    "mamba2": (4.3e9, 6.1e8),
}
"""Perturbed state entries on an H200 and on two CPU cores, from `benchmarks/stability.py`."""
_MODES = 7
"""Trajectories of a roll-out: the unperturbed one and six perturbed ones."""


class StabilityJob(KindOfJob):
    """Perturbed roll-outs of many state-space layers of one family."""

    ENTRY: ClassVar = "runner.stability.stability"
    LIBRARIES: ClassVar = ("torch", "numpy", "safetensors")

    kind: Literal["stability"]
    family: Literal["mamba-euler", "mamba-zoh", "mamba2"]
    """Recurrence: S6 with Euler input (the kernels), S6 with zero-order hold (as printed), SSD."""
    checkpoint: Slug | None
    """Take the trained layers of this checkpoint; null draws random layers."""
    layers: PositiveInt
    """Random layers drawn (D, N below); for a checkpoint, input sequences per trained layer."""
    channels: PositiveInt
    """D, channels of a random layer; for a checkpoint, channels kept of each layer."""
    state_size: PositiveInt
    """N, state entries a channel."""
    steps: PositiveInt
    """T, time steps."""
    epsilon: PositiveFloat
    """Size of the perturbation that every mode is run with."""
    sweep: tuple[PositiveFloat, ...]
    """Further perturbation sizes, run on the first `sweep_layers` layers."""
    sweep_layers: NonNegativeInt
    precisions: tuple[Dtype, ...]
    """Dtypes whose trajectory is compared with float64, on the first `sweep_layers` layers."""
    seed: int

    def checkpoint_name(self) -> str:
        """As `KindOfJob` says."""
        return self.checkpoint or ""

    def estimate(self, checkpoint: Checkpoint | None, data: Data) -> Estimate:  # noqa: ARG002
        """As `KindOfJob` says."""
        swept = 1 + len(self.sweep) * self.sweep_layers / self.layers
        entries = swept * self.layers * self.channels * self.state_size * self.steps * _MODES
        gpu, cpu = (1 + entries / each for each in _ENTRIES_A_SECOND[self.family])
        return Estimate(gpu, cpu, 1 << 30)
