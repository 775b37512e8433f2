"""Recipes: everything of a fine-tuning run but the model.

Table 2 and Appendix D of the paper, and a field of its own for each thing that the paper leaves
open.

Reference: paper v2, sections 5.1 and 5.2, Appendix D.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from repro.schema.base import Frozen, Slug

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
