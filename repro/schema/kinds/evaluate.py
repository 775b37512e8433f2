"""Evaluation of a checkpoint on MMLU."""

import itertools
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt

from repro.schema.base import Slug
from repro.schema.kinds.base import MODELS, TEXT, Arm, Engine, KindOfJob, Setting
from repro.schema.kinds.cost import CHECKED, Estimate, passes, prompt_tokens, rate
from repro.schema.kinds.memory import peak_memory
from repro.schema.kinds.recipe import Recipe

if TYPE_CHECKING:
    from repro.schema.catalog import Benchmark, Checkpoint, Dataset, Instructions
    from repro.schema.kinds.benchmark import BenchmarkJob

ANSWER_BYTES = 64
"""Of a record's arrays, each question and number of shots; measured at tier smoke: 63."""


class EvaluateJob(KindOfJob):
    """One checkpoint in one dtype under one setting, over all shots of a task."""

    ENTRY: ClassVar = "runner.evaluation.evaluate"
    LIBRARIES: ClassVar = (*MODELS, "lm-eval")
    READS_TOKENIZER: ClassVar = True

    kind: Literal["evaluate"]
    checkpoint: Slug
    """Name in `catalog/checkpoints.json`."""
    tuned: Recipe | None = None
    """The fine-tuning that it went through before; null for the checkpoint as it is."""
    dtype: Literal["float32", "float16", "bfloat16"]
    arm: Arm
    """How the dtype is applied; float32 has only weight-cast and ieee."""
    task: Literal["mmlu"]
    subjects: Annotated[tuple[Slug, ...], Field(min_length=1)]
    """Whole subjects of the task, sorted."""
    shots: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    """Numbers of solved examples before each question."""
    setting: Setting
    engine: Engine = "lm-eval"
    checked: tuple[Slug, ...] = ()
    """With the engine prefix: subjects that lm-eval answers too, under the same setting and with
    another batch size."""
    checked_shots: tuple[NonNegativeInt, ...] = ()
    """At which numbers of solved examples it does."""

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
        return evaluation(self, checkpoint, self.tokens(_subjects(data), rate(checkpoint)))

    def tokens(self, dataset: "Dataset", characters: float) -> float:
        """Tokens that the model reads over all questions and shots.

        The engine prefix reads solved examples once a subject, lm-eval a sample twice beside it.

        Args:
            dataset: Characters of questions and solved examples, by subject.
            characters: A token.
        """

        def read(subjects: tuple[str, ...], shots: tuple[int, ...], *, shared: bool) -> float:
            total = 0.0
            for subject, count in itertools.product(map(dataset.subject, subjects), shots):
                question = subject.question_characters / characters
                solved = subject.shot_characters[count - 1] / characters if count else 0.0
                times = 1 if shared else subject.questions
                total += prompt_tokens(subject.questions, question, times, solved)
            return total

        if self.engine == "lm-eval":
            return read(self.subjects, self.shots, shared=False)
        checked = read(self.checked, self.checked_shots, shared=False)
        return read(self.subjects, self.shots, shared=True) + CHECKED * checked

    def stored_bytes(
        self,
        checkpoint: "Checkpoint | None",  # noqa: ARG002
        data: "Dataset | Benchmark | Instructions | None",
    ) -> int:
        """As `KindOfJob` says."""
        known = _subjects(data)
        questions = sum(known.subjects[name].questions for name in self.subjects)
        return TEXT + questions * len(self.shots) * ANSWER_BYTES


def evaluation(
    job: "EvaluateJob | BenchmarkJob", checkpoint: "Checkpoint", tokens: float
) -> Estimate:
    """An evaluation that reads so many tokens."""
    setting = job.setting
    single = job.dtype == "float32"
    attention = setting.attention_float32 if single else setting.attention_half
    memory = peak_memory(checkpoint, job.dtype, setting.batch_size or 1, attention)
    return passes(checkpoint, job.dtype, tokens, operations=2, loops=1, memory=memory)


def _subjects(data: "Dataset | Benchmark | Instructions | None") -> "Dataset":
    """MMLU, which alone has subjects."""
    from repro.schema.catalog import Dataset

    assert isinstance(data, Dataset)  # noqa: S101  # the catalog names each task once
    return data
