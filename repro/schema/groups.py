"""Groups of jobs in a manifest: what each tier runs, and with what in the place of what.

A setting of a tuning group is a setting of its evaluations together with a seed of its tuning, so
that both sides of a difference saw the same rows in the same order.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from repro.schema.base import Frozen, Slug, Slugs
from repro.schema.jobs import (
    Job,
    LoneJob,
    Method,
    Precision,
    SharedRecipe,
    SharedThroughput,
    Tier,
)

Dtypes = Annotated[tuple[Precision, ...], Field(min_length=1)]
Shots = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]


class GroupTier(Frozen):
    """What one tier of a group runs."""

    settings: Slugs
    stand_ins: dict[Slug, Slug] = Field(default_factory=dict)
    """Checkpoint family to the bundled twin that stands in for it; empty at full."""
    only_stand_ins: bool = False
    """True: families without a stand-in are not run at this tier."""

    def runs(self, checkpoint: str, family: str) -> str | None:
        """What runs in the place of a checkpoint: itself, its twin, or nothing."""
        return self.stand_ins.get(family, None if self.only_stand_ins else checkpoint)


class EvaluationTier(GroupTier):
    """What one tier of an evaluation runs."""

    settings: tuple[Slug, ...] = ()
    """Left out: all of the manifest."""
    subjects: tuple[Slug, ...] = ()
    """Of MMLU, whole subjects, chosen before any result was seen; none of another task."""
    questions: PositiveInt | None = None
    """Of another task than MMLU, only the first so many; null for all."""
    rule: str = ""
    """How the subjects were chosen."""
    other_arms: tuple[Literal["autocast", "float32-head", "ieee"], ...] = ()
    """Of MMLU, run beside weight-cast under the first setting only, in half precision (ieee: the
    float32 of Mamba-2): shown with the cells, to tell what of a divergence they explain, deciding
    nothing."""


class EvaluationGroup(Frozen):
    """Checkpoints x dtypes x settings, one job each."""

    kind: Literal["evaluation"]
    id: Slug
    checkpoints: Slugs
    dtypes: Dtypes
    task: Slug
    """`mmlu`, or a task under `benchmarks` of the catalog."""
    shots: Shots
    tiers: dict[Tier, EvaluationTier]


class TunedCheckpoint(Frozen):
    """A row of a table of recipes: what its size class is tuned with."""

    checkpoint: Slug
    learning_rate: PositiveFloat
    rank: PositiveInt
    """LoRA r."""


class Arm(Frozen):
    """One way of fine-tuning."""

    method: Method
    precision: Precision

    @property
    def id(self) -> str:
        """As slots name it."""
        return f"{self.method}.{self.precision}"


class GroupRecipe(SharedRecipe):
    """A recipe, but for what a checkpoint, an arm and a setting say of it; see `Recipe`."""

    lora_scale: PositiveFloat
    """LoRA alpha over r."""
    lora_dropout: NonNegativeFloat


class SmallerRecipe(Frozen):
    """What a tier below full changes of every recipe, so that twins are tuned in seconds."""

    data: Slug
    rows: PositiveInt
    epochs: PositiveInt
    batch_size: PositiveInt
    max_length: PositiveInt
    learning_rate: PositiveFloat
    rank: PositiveInt


class Questions(Frozen):
    """What every tuned checkpoint is asked afterwards."""

    task: Slug
    """As in an evaluation."""
    shots: Shots
    dtypes: Dtypes
    """Dtypes that the tuned weights are evaluated in."""
    of: Literal["every-arm", "first-arm"]
    """`first-arm`: a control of the reference alone."""


class TuningTier(GroupTier):
    """What one tier of a tuning group runs."""

    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    """Seed of the tuning under each setting."""
    precisions: Dtypes
    """Arms of other precisions are left out: a CPU has no float16 mixed precision."""
    tasks: Slugs
    """Questions of other tasks are left out."""
    dtypes: Dtypes
    """Evaluations in other dtypes are left out."""
    subjects: tuple[Slug, ...]
    """Of MMLU, whole; empty where it is not asked."""
    questions: PositiveInt | None
    """Of every other task the first so many; null for all."""
    smaller: SmallerRecipe | None


class TuningGroup(Frozen):
    """Checkpoints x arms x settings: tuned, then evaluated."""

    kind: Literal["tuning"]
    id: Slug
    checkpoints: Annotated[tuple[TunedCheckpoint, ...], Field(min_length=1)]
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    """The first is the reference of divergences."""
    pretrained: bool
    """Whether the checkpoint is evaluated as it was before, too."""
    recipe: GroupRecipe
    left_open: dict[Slug, str]
    """Fields of the recipe that the paper leaves open, to why they are as they are."""
    questions: Annotated[tuple[Questions, ...], Field(min_length=1)]
    tiers: dict[Tier, TuningTier]


class ThroughputGroup(SharedThroughput):
    """Sizes x arms x memory caps, one job each; the same at every tier named."""

    kind: Literal["throughput"]
    id: Slug
    checkpoints: Annotated[tuple[TunedCheckpoint, ...], Field(min_length=1)]
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    memory_caps: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
    """GiB."""
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1)]


class SingleJob(Frozen):
    """One job, the same at every tier named."""

    kind: Literal["single"]
    id: Slug
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1)]
    job: Annotated[LoneJob, Field(discriminator="kind")]


Group = Annotated[
    EvaluationGroup | TuningGroup | ThroughputGroup | SingleJob, Field(discriminator="kind")
]


# -----------------------------------------------------------------------------
# One place in a manifest's plan, and the job that fills it.


@dataclass(frozen=True)
class Slot:
    """One place in a manifest's plan, and the job that fills it."""

    id: str
    """`<checkpoint>.<dtype>.<setting>` for an evaluation, with the arm before the setting where it
    is not weight-cast; `repro.schema.tuned_slots` names those of tuning; else the group's id."""
    job: Job | None
    """None where this tier has nothing that can stand in."""
    reason: str
    """Why there is no job."""
    checkpoint: str | None
    """The paper's checkpoint; the job's own may be a stand-in."""
    dtype: str | None
    setting: str | None

    @property
    def name(self) -> str:
        """For people: the id, with the checkpoint that really runs."""
        runs = getattr(self.job, "checkpoint", None)
        if runs and self.checkpoint and runs != self.checkpoint:
            return self.id.replace(self.checkpoint, runs, 1)
        return self.id
