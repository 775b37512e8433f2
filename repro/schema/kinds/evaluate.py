"""Evaluation of a checkpoint on MMLU."""

import itertools
from typing import ClassVar, Literal

from pydantic import NonNegativeInt

from repro.schema.base import Slug, Slugs
from repro.schema.catalog import Checkpoint, Dataset
from repro.schema.kinds.base import TEXT, Data
from repro.schema.kinds.cost import CHECKED, Reading, longest_prompt, prompt_tokens
from repro.schema.kinds.evaluation import ANSWER_BYTES, KindOfEvaluation
from repro.schema.kinds.tuning import Recipe

_LETTERS = 4
"""Requests of a question of MMLU, which are one prompt for the model."""


class EvaluateJob(KindOfEvaluation):
    """One checkpoint on subjects of MMLU."""

    ENTRY: ClassVar = "runner.evaluation.evaluate"

    kind: Literal["evaluate"]
    tuned: Recipe | None = None
    """The fine-tuning that it went through before; null for the checkpoint as it is."""
    task: Literal["mmlu"]
    subjects: Slugs
    """Whole subjects of the task, sorted."""
    checked: tuple[Slug, ...] = ()
    """With the engine prefix: subjects that lm-eval answers too, under the same setting and with
    another batch size."""
    checked_shots: tuple[NonNegativeInt, ...] = ()
    """At which numbers of solved examples it does."""

    def reading(self, data: Data, characters: float) -> Reading:
        """As `KindOfEvaluation` says; the questions of a subject share solved examples."""
        assert isinstance(data, Dataset)  # noqa: S101  # the catalog names each task once

        def read(
            subjects: tuple[str, ...], shots: tuple[int, ...], share: float, *, shared: bool
        ) -> float:
            total = 0.0
            for subject, count in itertools.product(map(data.subject, subjects), shots):
                question = subject.question_characters / characters
                solved = subject.shot_characters[count - 1] / characters if count else 0.0
                prompts = share * subject.questions
                total += prompt_tokens(prompts, question, 1 if shared else prompts, solved)
            return total

        def questions(subjects: tuple[str, ...], shots: tuple[int, ...]) -> int:
            return len(shots) * sum(data.subject(each).questions for each in subjects)

        share = self.screen.share(questions(self.subjects, (0,))) if self.screen else 1.0
        asked, sample = (self.subjects, self.shots), (self.checked, self.checked_shots)
        stock = CHECKED * read(*sample, 1.0, shared=False)
        prompts = CHECKED * questions(*sample)
        if self.engine == "lm-eval":
            stock, prompts = read(*asked, share, shared=False), round(share * questions(*asked))
            return Reading(stock=stock, prompts=prompts, encoded=_LETTERS * stock)
        return Reading(
            shared=read(*asked, share, shared=True),
            answered=questions(*asked),
            stock=stock,
            prompts=prompts,
            encoded=_LETTERS * stock,
        )

    def longest(self, data: Data, characters: float) -> float:
        """As `KindOfEvaluation` says."""
        assert isinstance(data, Dataset)  # noqa: S101  # the catalog names each task once
        most = max(self.shots)
        return max(
            longest_prompt(each.question_characters / characters, solved / characters)
            for each in map(data.subject, self.subjects)
            for solved in (each.shot_characters[most - 1] if most else 0,)
        )

    def stored_bytes(self, checkpoint: Checkpoint | None, data: Data) -> int:  # noqa: ARG002
        """As `KindOfJob` says."""
        assert isinstance(data, Dataset)  # noqa: S101  # the catalog names each task once
        questions = sum(data.subjects[name].questions for name in self.subjects)
        return TEXT + questions * len(self.shots) * ANSWER_BYTES
