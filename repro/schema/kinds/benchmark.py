"""Evaluation of a checkpoint, tuned or not, on one of lm-eval's benchmarks."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from repro.schema.base import Slug
from repro.schema.kinds.base import MODELS, TEXT, Arm, Engine, KindOfJob, Setting
from repro.schema.kinds.cost import CHECKED, Estimate, prompt_tokens, rate
from repro.schema.kinds.evaluate import ANSWER_BYTES, evaluation
from repro.schema.kinds.recipe import Recipe

if TYPE_CHECKING:
    from repro.schema.catalog import Benchmark, Checkpoint, Dataset, Instructions

BenchmarkTask = Literal[
    "hellaswag", "piqa", "arc_easy", "arc_challenge", "winogrande", "lambada_openai"
]


class BenchmarkJob(KindOfJob):
    """One checkpoint, tuned or not, on one of lm-eval's benchmarks, over all shots."""

    ENTRY: ClassVar = "runner.evaluation.benchmark"
    LIBRARIES: ClassVar = (*MODELS, "lm-eval")
    READS_TOKENIZER: ClassVar = True

    kind: Literal["benchmark"]
    checkpoint: Slug
    """Name in `catalog/checkpoints.json`."""
    tuned: Recipe | None
    """The fine-tuning that it went through before; null for the checkpoint as it is."""
    dtype: Literal["float32", "float16", "bfloat16"]
    arm: Arm
    """How the dtype is applied; float32 has only weight-cast and ieee."""
    task: BenchmarkTask
    """lm-eval's name."""
    questions: PositiveInt | None
    """Only the first so many questions of the split; null for all."""
    shots: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    """Numbers of solved examples before each question."""
    seed: int
    """Of the sampler of solved examples; lm-eval's own is 1234."""
    setting: Setting
    engine: Engine = "lm-eval"
    checked: NonNegativeInt = 0
    """With the engine prefix: lm-eval answers the first so many questions too, twice."""

    def checkpoint_name(self) -> str:
        """As `KindOfJob` says."""
        return self.checkpoint

    def data_name(self) -> str:
        """As `KindOfJob` says."""
        return self.task

    def estimate(
        self,
        checkpoint: "Checkpoint | None",
        data: "Dataset | Benchmark | Instructions | None",
    ) -> Estimate:
        """As `KindOfJob` says."""
        assert checkpoint  # noqa: S101  # manifests are held to the catalog
        return evaluation(self, checkpoint, self.tokens(_questions(data), rate(checkpoint)))

    def tokens(self, data: "Benchmark", characters: float) -> float:
        """As `EvaluateJob.tokens`; here the choices of a question share its solved examples."""
        question = data.question_characters / characters

        def read(questions: int, *, shared: bool) -> float:
            prompts = questions * data.choices
            times = questions if shared else prompts
            every = (shots * data.shot_characters / characters for shots in self.shots)
            return sum(prompt_tokens(prompts, question, times, solved) for solved in every)

        questions = self._asked(data)
        if self.engine == "lm-eval":
            return read(questions, shared=False)
        return read(questions, shared=True) + CHECKED * read(self.checked, shared=False)

    def stored_bytes(
        self,
        checkpoint: "Checkpoint | None",  # noqa: ARG002
        data: "Dataset | Benchmark | Instructions | None",
    ) -> int:
        """As `KindOfJob` says."""
        return TEXT + self._asked(_questions(data)) * len(self.shots) * ANSWER_BYTES

    def _asked(self, data: "Benchmark") -> int:
        return min(self.questions or data.questions, data.questions)


def _questions(data: "Dataset | Benchmark | Instructions | None") -> "Benchmark":
    from repro.schema.catalog import Benchmark

    assert isinstance(data, Benchmark)  # noqa: S101  # the catalog names each task once
    return data
