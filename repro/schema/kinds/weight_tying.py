"""LoRA on a stacked projection, in exact integers: Theorem 3."""

from typing import ClassVar, Literal

from pydantic import PositiveInt

from repro.schema.base import Slug
from repro.schema.kinds.base import KindOfJob


class WeightTyingJob(KindOfJob):
    """LoRA on one stacked projection against LoRA on its blocks, in exact integer algebra."""

    ENTRY: ClassVar = "runner.stability.weight_tying"
    LIBRARIES: ClassVar = ("numpy",)

    kind: Literal["weight_tying"]
    projection: Slug
    """Which weight, e.g. `small.x_proj`; a label."""
    inputs: PositiveInt
    """Columns of the weight."""
    blocks: dict[Slug, PositiveInt]
    """Rows of the weight by the quantity that they produce, in stored order."""
    rank: PositiveInt
    """LoRA r."""
    seed: int
