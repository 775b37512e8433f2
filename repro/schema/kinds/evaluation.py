"""What evaluations of a checkpoint on any benchmark have in common."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, SerializerFunctionWrapHandler, model_serializer

from repro.schema.base import Slug
from repro.schema.catalog import Checkpoint
from repro.schema.kinds import rates
from repro.schema.kinds.base import (
    MODELS,
    CastMode,
    Data,
    Engine,
    Estimate,
    KindOfJob,
    Setting,
)
from repro.schema.kinds.cost import (
    MAX_LENGTH,
    START,
    Reading,
    characters_per_token,
    cpu_seconds,
    peak_memory,
)
from repro.schema.kinds.screen import Screen
from repro.schema.kinds.tuning import Recipe

ANSWER_BYTES = 64
"""Of a record's arrays, each question and number of shots; measured at tier smoke: 63."""


class KindOfEvaluation(KindOfJob):
    """One checkpoint in one dtype under one setting, over all shots of a task."""

    LIBRARIES: ClassVar = (*MODELS, "lm-eval")
    READS_TOKENIZER: ClassVar = True

    kind: str
    checkpoint: Slug
    """Name in `catalog/checkpoints.json`."""
    tuned: Recipe | None
    """The fine-tuning that it went through before; null for the checkpoint as it is."""
    dtype: Literal["float32", "float16", "bfloat16"]
    arm: CastMode
    """How the dtype is applied; float32 has only weight-cast and ieee."""
    task: str
    """lm-eval's name."""
    shots: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    """Numbers of solved examples before each question."""
    setting: Setting
    engine: Engine = "lm-eval"
    screen: Screen | None = None
    """Asked in part, beside the answers of another setting; null for all questions."""

    @model_serializer(mode="wrap")
    def _said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """No screen is not said: digests of jobs from before there were any are of as much."""
        said: dict[str, Any] = handler(self)
        return said if self.screen else {name: e for name, e in said.items() if name != "screen"}

    def specification(self) -> dict[str, Any]:
        """As `KindOfJob` says."""
        said = super().specification()
        if self.screen:
            del said["screen"]["against"]["id"]
        return said

    def whole(self) -> Self:
        """The same with every question asked."""
        return self.model_copy(update={"screen": None})

    def first(self) -> Self | None:
        """The job whose answers it is screened against; None of one that asks every question."""
        if self.screen is None:
            return None
        return self.model_copy(update={"setting": self.screen.against, "screen": None})

    def checkpoint_name(self) -> str:
        """As `KindOfJob` says."""
        return self.checkpoint

    def data_name(self) -> str:
        """As `KindOfJob` says."""
        return self.task

    def reading(self, data: Data, characters: float) -> Reading:
        """What the model reads over all questions and shots.

        The engine prefix reads solved examples once for all questions that share them, lm-eval a
        sample twice beside it.

        Args:
            data: Characters of questions and solved examples.
            characters: A token.
        """
        raise NotImplementedError

    def tokens(self, data: Data, characters: float) -> float:
        """Tokens of `reading`."""
        return self.reading(data, characters).tokens

    def longest(self, data: Data, characters: float) -> float:  # noqa: ARG002
        """Tokens of the longest prompt, at most about; the whole context unless more is known."""
        return MAX_LENGTH

    def estimate(self, checkpoint: Checkpoint | None, data: Data) -> Estimate:
        """As `KindOfJob` says."""
        assert checkpoint  # noqa: S101  # manifests are held to the catalog
        setting, single = self.setting, self.dtype == "float32"
        attention = setting.attention_float32 if single else setting.attention_half
        characters = characters_per_token(checkpoint)
        length, size = self.longest(data, characters), setting.batch_size or 1
        read = self.reading(data, characters)
        asked = self.asking(checkpoint, read)
        width = 4 if checkpoint.stored_dtype == "float32" else 2
        loaded = rates.measured()["load"]["seconds_per_gb"] * width * checkpoint.parameters / 1e9
        return Estimate(
            gpu_seconds=START + loaded + asked.seconds,
            cpu_seconds=cpu_seconds(checkpoint, self.dtype, read.tokens, operations=2, loops=1),
            memory=peak_memory(checkpoint, self.dtype, size, attention, length),
            on_card=asked.seconds - _text_seconds(read),
            products=self.dtype,
            stand_ins=asked.stand_ins,
        )

    def asking(self, checkpoint: Checkpoint, read: Reading) -> rates.Rate:
        """To ask a model that is loaded, text and all."""
        path = self.setting.mamba_path if checkpoint.family == "mamba" else "kernels"
        text, seconds = rates.measured()["text"], _text_seconds(read)
        taken: list[rates.Rate] = []
        if read.shared:
            zero = rates.token(checkpoint, self.dtype, "from_zero", path)
            behind = rates.token(checkpoint, self.dtype, "behind", path)
            call = rates.call(checkpoint, self.dtype, "behind_call", path)
            token, count = (zero.seconds + behind.seconds) / 2, read.shared / text["pass_tokens"]
            seconds += rates.pass_seconds(count, read.shared, token, call.seconds)
            taken += zero, behind, call
        if read.stock:
            stock = rates.token(checkpoint, self.dtype, "stock", "kernels")
            call = rates.call(checkpoint, self.dtype, "stock_call", path)
            # Mamba's loop launches so much for each step over time.
            times = read.stock / read.prompts / rates.STOCK_LENGTH if path == "slow" else 1.0
            count = read.prompts / (self.setting.batch_size or 1)
            seconds += rates.pass_seconds(count, read.stock, stock.seconds, call.seconds * times)
            taken += stock, call
        return rates.Rate(seconds, frozenset().union(*(each.stand_ins for each in taken)))


def _text_seconds(read: Reading) -> float:
    """Of an evaluation, what is not the model's."""
    text = rates.measured()["text"]
    ours: float = read.answered * text["question_seconds"]
    stock: float = read.encoded * text["encoded_token_seconds"]
    return ours + stock
