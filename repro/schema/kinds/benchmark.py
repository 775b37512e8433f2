"""Evaluation of a checkpoint, tuned or not, on any of lm-eval's tasks but MMLU."""

from typing import ClassVar, Literal

from pydantic import NonNegativeInt, PositiveInt

from repro.schema.base import Slug
from repro.schema.catalog import Benchmark, Checkpoint
from repro.schema.kinds.base import TEXT, Data
from repro.schema.kinds.cost import CHECKED, Reading, prompt_tokens
from repro.schema.kinds.evaluation import ANSWER_BYTES, KindOfEvaluation


class BenchmarkJob(KindOfEvaluation):
    """One checkpoint on one of lm-eval's tasks; its YAML says what is asked."""

    ENTRY: ClassVar = "runner.evaluation.benchmark"

    kind: Literal["benchmark"]
    task: Slug
    """lm-eval's name."""
    questions: PositiveInt | None
    """Only the first so many questions of the split; null for all."""
    seed: int
    """Of the sampler of solved examples; lm-eval's own is 1234."""
    checked: NonNegativeInt = 0
    """With the engine prefix: lm-eval answers the first so many questions too, twice."""

    def reading(self, data: Data, characters: float) -> Reading:
        """As `KindOfEvaluation` says; the choices of a question share its solved examples."""
        assert isinstance(data, Benchmark)  # noqa: S101  # the catalog names each task once
        question, choices = data.question_characters / characters, data.choices
        solved = [count * data.shot_characters / characters for count in self.shots]

        def read(questions: float, *, shared: bool) -> float:
            prompts = questions * choices
            times = questions if shared else prompts
            return sum(prompt_tokens(prompts, question, times, each) for each in solved)

        shots, asked = len(self.shots), self._asked(data)
        questions: float = asked
        if self.screen and data.output != "loglikelihood":
            questions *= self.screen.share(asked)
        if self.engine == "lm-eval":
            stock = read(questions, shared=False)
            return Reading(stock=stock, prompts=questions * choices * shots, encoded=stock)
        stock = CHECKED * read(self.checked, shared=False)
        return Reading(
            shared=read(questions, shared=True),
            answered=asked * shots,
            stock=stock,
            prompts=CHECKED * self.checked * choices * shots,
            encoded=stock,
        )

    def stored_bytes(self, checkpoint: Checkpoint | None, data: Data) -> int:  # noqa: ARG002
        """As `KindOfJob` says."""
        assert isinstance(data, Benchmark)  # noqa: S101  # the catalog names each task once
        return TEXT + self._asked(data) * len(self.shots) * ANSWER_BYTES

    def _asked(self, data: Benchmark) -> int:
        return min(self.questions or data.questions, data.questions)
