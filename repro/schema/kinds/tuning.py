"""Fine-tuning of a checkpoint by a recipe."""

from typing import TYPE_CHECKING, ClassVar, Literal

from repro.schema.base import Slug
from repro.schema.kinds.base import MODELS, TEXT, KindOfJob
from repro.schema.kinds.cost import Estimate, passes, rate
from repro.schema.kinds.memory import vocabulary_of
from repro.schema.kinds.recipe import Recipe

if TYPE_CHECKING:
    from repro.schema.catalog import Benchmark, Checkpoint, Dataset, Instructions

_STATES = {"full": 16, "lora": 4.5}
"""Bytes a parameter of the model in training: weights, and of what is trained also a gradient and
Adam's two moments, all float32; adapters are about 3 % of it."""
_PASSES = {"full": 6, "lora": 4}
"""Operations a parameter and token of one training step."""
_KEPT = 34
"""Numbers kept of each token, block and unit of the hidden size for the backward pass."""
_ADAPTED = 0.03
"""Of the parameters, what adapters are."""


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

    def estimate(
        self,
        checkpoint: "Checkpoint | None",
        data: "Dataset | Benchmark | Instructions | None",
    ) -> Estimate:
        """As `KindOfJob` says."""
        from repro.schema.catalog import Instructions

        assert checkpoint  # noqa: S101  # manifests are held to the catalog
        assert isinstance(data, Instructions)  # noqa: S101  # the same
        recipe = self.recipe
        trained = "full" if recipe.method == "full" else "lora"
        rows = min(recipe.rows or data.rows, data.rows)
        characters = data.row_characters / rate(checkpoint)
        tokens = recipe.epochs * rows * min(characters, recipe.max_length)
        batch = recipe.batch_size * recipe.max_length
        kept = _KEPT * checkpoint.blocks * checkpoint.hidden_size + 3 * vocabulary_of(checkpoint)
        memory = round(checkpoint.parameters * _STATES[trained]) + 4 * batch * kept
        return passes(
            checkpoint,
            recipe.precision,
            tokens,
            operations=_PASSES[trained],
            loops=3,
            memory=memory,
        )

    def stored_bytes(
        self,
        checkpoint: "Checkpoint | None",
        data: "Dataset | Benchmark | Instructions | None",  # noqa: ARG002
    ) -> int:
        """As `KindOfJob` says: the float32 model, or its adapters."""
        assert checkpoint  # noqa: S101  # manifests are held to the catalog
        share = 1 if self.recipe.method == "full" else _ADAPTED
        return TEXT + int(4 * checkpoint.parameters * share)

    def why_gpu(self) -> str:
        """As `KindOfJob` says."""
        half = self.recipe.precision == "float16"
        return "torch has no float16 mixed precision on a CPU" if half else ""
