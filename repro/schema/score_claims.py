"""What is measured of models beside their scores, and how much more of it one has than another.

Two sides are of one kind: two scores, two numbers of parameters, or two times. What a score is of
and how it was asked stands in each side, so that two models, two tasks, two dtypes or a model
before and after fine-tuning are compared in the same words.
"""

from typing import Annotated, Literal

from pydantic import Field

from repro.schema.base import Frozen, Slug
from repro.schema.claim_base import Text
from repro.schema.jobs import Precision
from repro.schema.tuned_claims import Score, ScoreColumn, ScoredModel


class MeanScore(ScoredModel):
    """Mean of the scores of one model on several tasks, each task once, in percent."""

    kind: Literal["mean-score"]
    columns: Annotated[tuple[ScoreColumn, ...], Field(min_length=2)]


class Parameters(Frozen):
    """Parameters of a checkpoint, tied weights once, as counted when it was evaluated."""

    kind: Literal["parameters"]
    checkpoint: Slug


class Seconds(Frozen):
    """Wall time of the evaluation of a checkpoint on a task, all numbers of shots together.

    Loading the model is part of it. Time belongs to a machine: it shows a direction, decides
    nothing.
    """

    kind: Literal["seconds"]
    checkpoint: Slug
    task: Slug
    dtype: Precision = "float32"
    hardware: Text
    """What it was printed of, as its driver names the GPU, or as records name a CPU."""


Scores = Score | MeanScore
"""What is decided by answers to questions."""

Quantity = Annotated[Score | MeanScore | Parameters | Seconds, Field(discriminator="kind")]


class MeasuredDifference(Frozen):
    """How much more the left side has than the right one.

    difference: left - right, of accuracies in percentage points; percent-more: 100 (left / right
    - 1); percent-fewer: 100 (1 - left / right).
    """

    kind: Literal["difference", "percent-more", "percent-fewer"]
    left: Quantity
    right: Quantity

    @property
    def sides(self) -> tuple[Quantity, Quantity]:
        """Left and right."""
        return self.left, self.right


def scores_in(claimed: object) -> tuple[Scores, ...]:
    """Scores that are claimed, or that a difference is of; none of anything else."""
    if isinstance(claimed, MeasuredDifference):
        return tuple(each for each in claimed.sides if isinstance(each, Scores))
    return (claimed,) if isinstance(claimed, Scores) else ()


def columns_of(score: Scores) -> tuple[ScoreColumn, ...]:
    """What a score is the mean over."""
    if isinstance(score, MeanScore):
        return score.columns
    return (ScoreColumn(task=score.task, metric=score.metric),)


def leaves_open(claimed: object) -> bool:
    """Whether one choice was made of something that the paper leaves open, of all but scores true.

    A recipe always leaves something open, and so does what an improvement was asked in.
    """
    if isinstance(claimed, MeasuredDifference | Scores):
        return any(each.method is not None or each.left_open for each in scores_in(claimed))
    return True
