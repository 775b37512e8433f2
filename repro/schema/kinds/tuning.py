"""Fine-tuning of a checkpoint by a recipe: everything of a run but the model.

What a paper says of its recipe, and a field of its own for each thing that it leaves open.

Reference: paper v2, sections 5.1 and 5.2, Appendix D.
"""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from repro.schema.base import Frozen, Slug
from repro.schema.catalog import Checkpoint, Instructions
from repro.schema.kinds import rates
from repro.schema.kinds.base import MODELS, TEXT, Data, Estimate, KindOfJob
from repro.schema.kinds.cost import START, characters_per_token, cpu_seconds, vocabulary_of

Method = Literal["full", "lora-all", "lora-sll", "lora-w", "lora-not-w"]
"""What is trained: every weight; LoRA on every linear layer of the blocks (ALL), on the layers
that Appendix D lists (SLL), on W alone (x_proj of Mamba, in_proj of Mamba-2; Appendix F), on every
linear layer but W."""

Precision = Literal["float32", "float16", "bfloat16"]
"""Weights are float32 throughout; the other two run torch's automatic mixed precision."""

TuningPath = Literal["kernels", "live", "slow"]
"""Mamba's code in training. kernels: what the pins do, one call that reads base weights of some
projections and so passes their adapters by; live: the scan's kernel with projections called as
modules; slow: the loop in Python."""


class SharedRecipe(Frozen):
    """What all tunings of a group have in common, whatever the checkpoint, method and seed."""

    data: Slug
    """Instruction data in `catalog/datasets.json`."""
    rows: PositiveInt | None
    """Only the first so many rows that are well formed; null for all."""
    epochs: PositiveInt
    batch_size: PositiveInt
    max_length: PositiveInt
    """Tokens kept of a row."""
    append_eos: bool
    """Whether every answer ends in the end-of-sequence token."""
    loss: Literal["all", "answer"]
    """Which tokens of a row are learned; padding never is."""
    weight_decay: NonNegativeFloat
    adam_betas: Annotated[tuple[float, ...], Field(min_length=2, max_length=2)]
    adam_epsilon: PositiveFloat
    max_gradient_norm: PositiveFloat
    mamba_path: TuningPath


class Recipe(SharedRecipe):
    """One fine-tuning run, but for the model."""

    method: Method
    precision: Precision
    learning_rate: PositiveFloat
    rank: PositiveInt | None
    """LoRA r; null with method full."""
    lora_scale: PositiveFloat | None
    """LoRA alpha over r; null with method full."""
    lora_dropout: NonNegativeFloat | None
    """Null with method full."""
    seed: int
    """Of the order of rows, of LoRA's A and of dropout."""


# -----------------------------------------------------------------------------
# The job, and what it costs.

_STATES = {"full": 16, "lora": 4.5}
"""Bytes a parameter of the model in training: weights, and of what is trained also a gradient and
Adam's two moments, all float32; adapters are about 3 % of it."""
_PASSES = {"full": 6, "lora": 4}
"""Operations a parameter and token of one training step."""
_KEPT = 34
"""Numbers kept of each token, block and unit of the hidden size for the backward pass."""
_ADAPTED = 0.03
"""Of the parameters, what adapters are."""
_PADDED = 1.5
"""Length of the longest row of a batch over the mean of all, about."""


class TuningJob(KindOfJob):
    """One checkpoint fine-tuned by one recipe; the weights are kept beside the record."""

    ENTRY: ClassVar = "runner.tuning.finetune"
    LIBRARIES: ClassVar = (*MODELS, "accelerate", "trl")
    READS_TOKENIZER: ClassVar = True

    kind: Literal["tuning"]
    checkpoint: Slug
    """Name in `catalog/checkpoints.json`."""
    recipe: Recipe

    def checkpoint_name(self) -> str:
        """As `KindOfJob` says."""
        return self.checkpoint

    def data_name(self) -> str:
        """As `KindOfJob` says."""
        return self.recipe.data

    def estimate(self, checkpoint: Checkpoint | None, data: Data) -> Estimate:
        """As `KindOfJob` says."""
        assert checkpoint  # noqa: S101  # manifests are held to the catalog
        assert isinstance(data, Instructions)  # noqa: S101  # the same
        recipe = self.recipe
        trained = "full" if recipe.method == "full" else "lora"
        rows = min(recipe.rows or data.rows, data.rows)
        characters = data.row_characters / characters_per_token(checkpoint)
        tokens = recipe.epochs * rows * min(characters, recipe.max_length)
        batch = recipe.batch_size * recipe.max_length
        kept = _KEPT * checkpoint.blocks * checkpoint.hidden_size + 3 * vocabulary_of(checkpoint)
        memory = round(checkpoint.parameters * _STATES[trained]) + 4 * batch * kept
        padded = min(_PADDED * characters, recipe.max_length) * recipe.batch_size
        steps = recipe.epochs * math.ceil(rows / recipe.batch_size)
        step = rates.step(checkpoint, recipe.method, recipe.precision, padded)
        trained_for = steps * step.seconds
        operations = _PASSES[trained]
        return Estimate(
            gpu_seconds=START + trained_for,
            cpu_seconds=cpu_seconds(
                checkpoint, recipe.precision, tokens, operations=operations, loops=3
            ),
            memory=memory,
            on_card=trained_for,
            products=recipe.precision,
            stand_ins=step.stand_ins,
        )

    def stored_bytes(self, checkpoint: Checkpoint | None, data: Data) -> int:  # noqa: ARG002
        """As `KindOfJob` says: the float32 model, or its adapters."""
        assert checkpoint  # noqa: S101  # manifests are held to the catalog
        share = 1 if self.recipe.method == "full" else _ADAPTED
        return TEXT + int(4 * checkpoint.parameters * share)

    def why_gpu(self) -> str:
        """As `KindOfJob` says."""
        half = self.recipe.precision == "float16"
        return "torch has no float16 mixed precision on a CPU" if half else ""
