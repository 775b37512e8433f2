"""Claims about scores, about fine-tuned models, and about what solved examples change.

A model is a checkpoint as one arm of a tuning group left it, or as it was before (`pretrained`).
The improvement of a model at k shots is 100 (s_k - s_0) / s_0 with s its score, in points of
accuracy 100 (s_k - s_0); AIPSS is its mean over benchmarks and k = 1, 3, 5.

Reference: paper v2, sections 5.1 to 5.3 and Appendix F. Differs: the paper gives no formula for
AIPSS and no metric for any benchmark; both readings of each are claims of their own.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from repro.decimals import DecimalText
from repro.schema.base import Frozen, Slug, Slugs
from repro.schema.catalog import Metric
from repro.schema.claim_base import ClaimBase, Text
from repro.schema.jobs import Method, Precision

Methods = Annotated[tuple[Method, ...], Field(min_length=1)]
Precisions = Annotated[tuple[Precision, ...], Field(min_length=1)]


class TunedDivergence(Frozen):
    """Mean over checkpoints, methods and shots of |MMLU accuracy of the reference arm - of this|.

    In percentage points; the reference is the first arm of the tuning group, under the same
    setting and so the same seed.
    """

    kind: Literal["tuned-divergence"]
    checkpoints: Slugs
    methods: Methods
    precision: Precision


class ScoredModel(Frozen):
    """Whose answers are scored, and how it was asked."""

    checkpoint: Slug
    method: Method | None = None
    precision: Precision | None = None
    """Of its tuning; null, as `method`, for the checkpoint as it is."""
    dtype: Precision = "float32"
    """Of the weights when it was asked."""
    shots: NonNegativeInt = 0
    """Solved examples before each question."""
    left_open: tuple[Text, ...] | None = None
    """What the paper leaves open of the evaluation and one choice was made of here, e.g. "dtype":
    with any of it nothing is decided. Not null for a checkpoint as it is: [] says that the paper
    names dtype, shots, metric, prompt and program."""


class Score(ScoredModel):
    """Score of a checkpoint, tuned or not, on one task, in percent, or its perplexity."""

    kind: Literal["score"]
    task: Slug
    metric: Metric


class ScoreColumn(Frozen):
    """One column of a table of scores; a lower perplexity wins, a higher accuracy."""

    task: Slug
    metric: Metric


PAPER_BENCHMARKS = (
    ScoreColumn(task="hellaswag", metric="accuracy_norm"),
    ScoreColumn(task="piqa", metric="accuracy"),
    ScoreColumn(task="arc_easy", metric="accuracy"),
    ScoreColumn(task="arc_challenge", metric="accuracy_norm"),
    ScoreColumn(task="winogrande", metric="accuracy"),
)
"""Those of section 5.2, each in the metric that its printed pretrained scores are in."""

Benchmarks = Annotated[tuple[ScoreColumn, ...], Field(min_length=1)]


class ClaimedModel(Frozen):
    """A checkpoint as it was, or as an arm of a tuning group left it."""

    checkpoint: Slug
    arm: Slug
    """`<method>.<precision>`, or `pretrained`."""


Models = Annotated[tuple[ClaimedModel, ...], Field(min_length=1)]


class ImprovementRatio(Frozen):
    """AIPSS of some models over that of others, in percent; one of each side a size."""

    kind: Literal["improvement-ratio"]
    left: Models
    right: Models
    unit: Literal["relative", "points"]
    average: Literal["mean-first", "ratio-first"]
    """The ratio of the two means over sizes, or the mean over sizes of the ratios."""
    benchmarks: Benchmarks = PAPER_BENCHMARKS
    """What an improvement is the mean over."""


class BarsClaim(ClaimBase):
    """What bars of divergences have in common: one a checkpoint, method and precision.

    A bar is the mean over shots 0, 1, 3 and 5 of |accuracy of the reference arm - of this|.
    """

    kind: Literal["bars"]
    published: Slug | None
    task: Slug
    """What accuracies are of; v2 draws MMLU, v3 has WinoGrande as well."""
    checkpoints: Slugs
    methods: Methods
    precisions: Precisions
    relation: Literal["none-above", "some-above", "smaller", "smaller-beyond-null"]
    """`smaller`: for every method and precision the mean over checkpoints is below that of each of
    the `others`; `smaller-beyond-null`: by more than coin flips alone would give."""
    above: DecimalText | None
    """Threshold in percentage points, exclusive; null for both of `smaller`."""
    others: tuple[Slugs, ...]
    """Groups of checkpoints; empty but for both of `smaller`."""


class ImprovementClaim(ClaimBase):
    """A sentence about the improvement of some models with shots.

    One word is one rule: "positive" is of the AIPSS of each model of `of`, "most" and "the
    majority" are more than half. Relations on the AIPSS: none-positive (none by more than twice its
    sampling error over questions: slight), most-positive, all-positive; on each shot count by
    itself: most-positive-throughout (most are positive at every count); rising and not-rising, of
    each model's mean score from each shot count to the next; above-partner, most improve more than
    the model at the same place of `others`; below-all, each less than every one of `others`;
    highest, the one of `of` improves more than each of `others`; apart-highest and apart-lowest,
    it does so by more than lies between the next two; not-monotone, in the order given neither
    rising nor falling throughout.
    """

    kind: Literal["improvement"]
    published: Slug | None
    of: Models
    relation: Literal[
        "none-positive",
        "most-positive",
        "all-positive",
        "most-positive-throughout",
        "rising",
        "not-rising",
        "above-partner",
        "below-all",
        "highest",
        "apart-highest",
        "apart-lowest",
        "not-monotone",
    ]
    others: tuple[ClaimedModel, ...]
    shots: tuple[PositiveInt, ...]
    """Shot counts that the mean is over."""
    benchmarks: Benchmarks = PAPER_BENCHMARKS
    """What an improvement is the mean over."""


class MeasuredWinsClaim(ClaimBase):
    """A printed count is the number of measured comparisons that the left arm wins."""

    kind: Literal["measured-wins"]
    published: Slug
    out_of: Slug
    """Published number of comparisons: checkpoints times columns."""
    checkpoints: Slugs
    left: Slug
    """Arm that is said to win, `<method>.<precision>`."""
    right: Slug
    columns: Annotated[tuple[ScoreColumn, ...], Field(min_length=1)]


class LearnsClaim(ClaimBase):
    """Adapters of a layer learn: a gradient arrives at each, and each moves.

    What passes an adapter by is code and no number: one run of a small model shows it.
    """

    kind: Literal["learns"]
    jobs: Slugs
    """Single jobs that fine-tune."""
    layer: Slug
    """Name of the adapted modules, e.g. `x_proj`."""
    path: Literal["kernels", "live", "fused", "unfused", "slow", "plain", "none"]
    """Code that has to have run, as the record says; another one shows nothing. A model without
    Mamba's mixers has none."""


# -----------------------------------------------------------------------------
# What is measured of models beside one score, and how much more of it one has than another.
#
# Two sides are of one kind: two scores, two numbers of parameters, or two times. What a score is of
# and how it was asked stands in each side, so that two models, two tasks, two dtypes or a model
# before and after fine-tuning are compared in the same words.


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
    return not isinstance(claimed, Parameters)
