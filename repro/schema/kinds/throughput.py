"""What fine-tuning costs a GPU: tokens a second and memory."""

from typing import ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt

from repro.schema.base import Frozen, Slug
from repro.schema.catalog import Checkpoint
from repro.schema.kinds.base import MODELS, TEXT, Data, Estimate, KindOfJob
from repro.schema.kinds.tuning import Method, Precision, TuningPath

_SECONDS = 10.0
"""Of one measurement on a GPU."""


class SharedThroughput(Frozen):
    """What all measurements of a group have in common, whatever the checkpoint, arm and memory."""

    max_length: PositiveInt
    mamba_path: TuningPath
    warm_up_steps: PositiveInt
    """Steps before the clock starts."""
    steps: PositiveInt
    """Steps of one timing."""
    repeats: PositiveInt
    """Timings."""
    seed: int


class ThroughputJob(SharedThroughput, KindOfJob):
    """Training steps of a model of some size with random weights, under a cap of GPU memory.

    Speed and memory do not depend on the values of weights. Every row is `max_length` tokens
    long: padding would make them depend on the data.
    """

    ENTRY: ClassVar = "runner.tuning.throughput"
    LIBRARIES: ClassVar = MODELS

    kind: Literal["throughput"]
    checkpoint: Slug
    """Whose shape the model has; its weights are not read."""
    method: Method
    precision: Precision
    rank: PositiveInt | None
    memory_cap: PositiveFloat
    """GiB of GPU memory that the run may take; emulated where the GPU has more."""

    def estimate(self, checkpoint: Checkpoint | None, data: Data) -> Estimate:  # noqa: ARG002
        """As `KindOfJob` says; what does not fit the memory is a result."""
        return Estimate(_SECONDS, _SECONDS, 0)

    def stored_bytes(self, checkpoint: Checkpoint | None, data: Data) -> int:  # noqa: ARG002
        """As `KindOfJob` says."""
        return TEXT

    def why_gpu(self) -> str:
        """As `KindOfJob` says."""
        return "speed and memory of training are measured on a CUDA GPU"
