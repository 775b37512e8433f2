"""What fine-tuning costs a GPU: tokens a second and memory."""

from typing import ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt

from repro.schema import catalog
from repro.schema.base import Frozen, Slug
from repro.schema.catalog import Checkpoint
from repro.schema.kinds import rates
from repro.schema.kinds.base import MODELS, TEXT, Data, Estimate, KindOfJob
from repro.schema.kinds.cost import vocabulary_of
from repro.schema.kinds.tuning import Method, Precision, TuningPath

CONTEXT = 2 << 30
"""Bytes that no process's CUDA context takes: 94 records on an H200 have 0.7 to 0.9 GiB. What is
more is another process's, and what fits under a cap beside it says nothing."""
_LARGEST = 32
"""Rows of a batch that are tried at most, about."""
_TRIED = 4
"""Steps of the largest batch that all tries come to: two of each power of two."""
_KEPT = {"float32": 33, "float16": 21, "bfloat16": 21}
"""Bytes of each token, block and unit of the hidden size that Mamba keeps for its backward pass,
as committed records measured; three float32 numbers of each token and entry of the vocabulary."""
_STATES = {"float32": (16, 4.5), "float16": (18, 6.5), "bfloat16": (18, 6.5)}
"""Bytes a parameter, all trained or adapters alone; with autocast's copy in half precision."""
_BUILT = 0.8
"""Seconds to build a model, and all that it takes where one row does not fit."""


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
        """As `KindOfJob` says; what does not fit the memory is a result.

        Batches of 1, 2, 4 … rows are tried in two steps each; the largest that fits is timed.
        """
        known = checkpoint or catalog.checkpoints().get(self.checkpoint)
        assert known  # noqa: S101  # manifests are held to the catalog
        full, adapters = _STATES[self.precision]
        weights = known.parameters * (full if self.method == "full" else adapters)
        token = _KEPT[self.precision] * known.blocks * known.hidden_size + 12 * vocabulary_of(known)
        fit = int((self.memory_cap * 2**30 - weights) / (token * self.max_length))
        rows = min(2 ** (fit.bit_length() - 1), _LARGEST) if fit > 0 else 0
        steps = _TRIED + self.warm_up_steps + self.repeats * self.steps
        tokens = rows * self.max_length
        step = rates.step(known, self.method, self.precision, tokens)
        seconds = steps * step.seconds
        return Estimate(
            _BUILT + seconds, _BUILT + seconds, 0, seconds, self.precision, step.stand_ins
        )

    def stored_bytes(self, checkpoint: Checkpoint | None, data: Data) -> int:  # noqa: ARG002
        """As `KindOfJob` says."""
        return TEXT

    def why_gpu(self) -> str:
        """As `KindOfJob` says."""
        return "speed and memory of training are measured on a CUDA GPU"
