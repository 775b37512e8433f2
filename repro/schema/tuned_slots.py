"""Slots of tuning groups and of throughput groups: names and jobs.

A tuned checkpoint's slot is `<checkpoint>.<method>.<precision>.<setting>`, the questions that it is
asked afterwards add `.<task>.<dtype>`; `pretrained` stands for the arm of the checkpoint as it was.
An arm is `<method>.<precision>`, and then the path of Mamba's code where that is not the pins'.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from repro.schema.catalog import MMLU, Checkpoint
from repro.schema.groups import (
    Arm,
    EvaluationGroup,
    EvaluationTier,
    Questions,
    Slot,
    ThroughputGroup,
    TunedCheckpoint,
    TuningGroup,
    TuningTier,
)
from repro.schema.jobs import (
    BenchmarkJob,
    CastMode,
    EvaluateJob,
    Precision,
    Recipe,
    Setting,
    SharedThroughput,
    ThroughputJob,
    Tier,
    TuningJob,
)
from repro.schema.manifest import Manifest
from repro.schema.tuned_claims import (
    BarsClaim,
    ImprovementClaim,
    ImprovementRatio,
    MeanScore,
    MeasuredDifference,
    MeasuredWinsClaim,
    Parameters,
    Quantity,
    Score,
    Scores,
    TunedDivergence,
)

PRETRAINED = "pretrained"
SAMPLER_SEED = 1234
"""lm-eval's own seed of the few-shot sampler."""


def tuning_slot(checkpoint: str, arm: str, setting: str) -> str:
    """The id of the slot of one tuned checkpoint."""
    return f"{checkpoint}.{arm}.{setting}"


def asked_slot(checkpoint: str, arm: str, setting: str, task: str, dtype: str) -> str:
    """The id of the slot of what a tuned checkpoint (or `pretrained`) is asked."""
    return f"{tuning_slot(checkpoint, arm, setting)}.{task}.{dtype}"


def arm_name(group: TuningGroup, arm: Arm) -> str:
    """The arm as slots name it."""
    path = group.recipe.mamba_path
    return arm.id if path == "kernels" else f"{arm.id}.{path}"


def throughput_slot(checkpoint: str, arm: str, rank: int | None, cap: float) -> str:
    """The id of the slot of one throughput measurement; with LoRA it names the rank."""
    named = arm if rank is None else f"{arm}.r{rank}"
    return f"{checkpoint}.{named}.{cap:g}gib"


def tuning(
    group: TuningGroup,
    settings: Mapping[str, Setting],
    tier: Tier,
    checkpoints: Mapping[str, Checkpoint],
) -> Iterator[Slot]:
    """Every job of a tuning group at a tier: tunings first, then the questions."""
    spec = group.tiers[tier]
    arms = [arm for arm in group.arms if arm.precision in spec.precisions]
    for row in group.checkpoints:
        family = checkpoints[row.checkpoint].family
        runs = spec.runs(row.checkpoint, family)
        reason = "" if runs else f"tier {tier} has no twin of the family {family}"
        for name, seed in zip(spec.settings, spec.seeds, strict=True):
            setting = settings[name]
            for arm in arms:
                recipe = recipe_of(group, spec, row, arm, seed)
                job = runs and TuningJob(kind="tuning", checkpoint=runs, recipe=recipe)
                slot = tuning_slot(row.checkpoint, arm_name(group, arm), name)
                yield Slot(slot, job or None, reason, row.checkpoint, arm.precision, name)
            tuned: list[tuple[str, Recipe | None]] = [
                (arm_name(group, arm), recipe_of(group, spec, row, arm, seed)) for arm in arms
            ]
            if group.pretrained:
                tuned.append((PRETRAINED, None))
            for number, (arm_id, recipe_) in enumerate(tuned):
                for each, dtype in _questions(group, spec, first_arm=number == 0):
                    found = runs and question_job(each, spec, runs, dtype, setting, recipe=recipe_)
                    slot = asked_slot(row.checkpoint, arm_id, name, each.task, dtype)
                    yield Slot(slot, found or None, reason, row.checkpoint, dtype, name)


def _questions(
    group: TuningGroup, spec: TuningTier, *, first_arm: bool
) -> Iterator[tuple[Questions, Precision]]:
    """What one arm is asked at a tier, and in which dtypes."""
    for each in group.questions:
        if each.task in spec.tasks and (first_arm or each.of == "every-arm"):
            yield from ((each, dtype) for dtype in each.dtypes if dtype in spec.dtypes)


def recipe_of(
    group: TuningGroup, spec: TuningTier, row: TunedCheckpoint, arm: Arm, seed: int
) -> Recipe:
    """The recipe of one tuning."""
    lora = arm.method != "full"
    said = {**group.recipe.model_dump(), "learning_rate": row.learning_rate, "rank": row.rank}
    said |= spec.smaller.model_dump() if spec.smaller else {}
    said |= {"method": arm.method, "precision": arm.precision, "seed": seed}
    if not lora:
        said |= {"rank": None, "lora_scale": None, "lora_dropout": None}
    return Recipe(**said)


def question_job(
    asked: EvaluationGroup | Questions,
    spec: EvaluationTier | TuningTier,
    checkpoint: str,
    dtype: Precision,
    setting: Setting,
    *,
    arm: CastMode = "weight-cast",
    recipe: Recipe | None = None,
) -> EvaluateJob | BenchmarkJob:
    """What a model is asked at a tier: of whole subjects, or of questions.

    Args:
        asked: Its task and shots.
        spec: Of the tier.
        checkpoint: The one that is asked, or that was tuned.
        dtype: Its weights'.
        setting: Under which.
        arm: How the dtype is applied.
        recipe: Of its tuning; none of a checkpoint as it is.
    """
    if asked.task == MMLU:
        return EvaluateJob(
            kind="evaluate",
            checkpoint=checkpoint,
            tuned=recipe,
            dtype=dtype,
            arm=arm,
            task=MMLU,
            subjects=spec.subjects,
            shots=asked.shots,
            setting=setting,
        )
    return BenchmarkJob(
        kind="benchmark",
        checkpoint=checkpoint,
        tuned=recipe,
        dtype=dtype,
        arm=arm,
        task=asked.task,
        questions=spec.questions,
        shots=asked.shots,
        seed=SAMPLER_SEED,
        setting=setting,
    )


def throughput(group: ThroughputGroup) -> Iterator[Slot]:
    """Every job of a throughput group."""
    shared = group.model_dump(include=set(SharedThroughput.model_fields))
    for row in group.checkpoints:
        for arm in group.arms:
            for cap in group.memory_caps:
                job = ThroughputJob(
                    kind="throughput",
                    checkpoint=row.checkpoint,
                    method=arm.method,
                    precision=arm.precision,
                    rank=None if arm.method == "full" else row.rank,
                    memory_cap=cap,
                    **shared,
                )
                slot = throughput_slot(row.checkpoint, arm.id, job.rank, cap)
                yield Slot(slot, job, "", row.checkpoint, arm.precision, None)


# -----------------------------------------------------------------------------
# Which tuning group of a manifest runs a model that a claim names.


class TunedModel(NamedTuple):
    """A checkpoint, and the arm of a tuning group that left it so."""

    checkpoint: str
    arm: str
    """`<method>.<precision>`, or `pretrained`; with a path behind it as slots have it, or without:
    then the first group of the manifest is meant."""


def group_of(manifest: Manifest, model: TunedModel) -> tuple[TuningGroup, str] | None:
    """The first group that runs a model, and the arm as its slots name it; None if none does."""
    for group in manifest.jobs:
        if isinstance(group, TuningGroup) and (arm := arm_in(group, model)):
            return group, arm
    return None


def arm_in(group: TuningGroup, model: TunedModel) -> str:
    """The arm of a model as the slots of a group name it; empty if the group does not run it."""
    if not has_checkpoint(group, model.checkpoint):
        return ""
    if model.arm == PRETRAINED and group.pretrained:
        return PRETRAINED
    names = (
        arm_name(group, arm) for arm in group.arms if model.arm in {arm.id, arm_name(group, arm)}
    )
    return next(names, "")


def has_checkpoint(group: TuningGroup, checkpoint: str) -> bool:
    """Whether a group has a checkpoint."""
    return any(each.checkpoint == checkpoint for each in group.checkpoints)


def model_of(quantity: Quantity) -> TunedModel:
    """The model that something is measured of."""
    if isinstance(quantity, Scores) and quantity.method:
        return TunedModel(quantity.checkpoint, f"{quantity.method}.{quantity.precision}")
    return TunedModel(quantity.checkpoint, PRETRAINED)


OfTunedModels = (
    TunedDivergence
    | Score
    | MeanScore
    | MeasuredDifference
    | Parameters
    | ImprovementRatio
    | BarsClaim
    | ImprovementClaim
    | MeasuredWinsClaim
)
"""What is claimed of models that a recipe tuned, or of the same models before."""


def models_of(claimed: OfTunedModels) -> list[TunedModel]:
    """Every model that a claim, or what a cell measures, names."""
    if isinstance(claimed, ImprovementRatio):
        return [TunedModel(each.checkpoint, each.arm) for each in (*claimed.left, *claimed.right)]
    if isinstance(claimed, ImprovementClaim):
        return [TunedModel(each.checkpoint, each.arm) for each in (*claimed.of, *claimed.others)]
    if isinstance(claimed, MeasuredWinsClaim):
        arms = (claimed.left, claimed.right)
        return [TunedModel(name, arm) for name in claimed.checkpoints for arm in arms]
    if isinstance(claimed, MeasuredDifference):
        return [model_of(each) for each in claimed.sides]
    if isinstance(claimed, Scores | Parameters):
        return [model_of(claimed)]
    names = list(claimed.checkpoints)
    if isinstance(claimed, BarsClaim):
        names += [name for group in claimed.others for name in group]
        precisions = claimed.precisions
    else:
        precisions = (claimed.precision,)
    return [
        TunedModel(name, f"{method}.{precision}")
        for name in names
        for method in claimed.methods
        for precision in precisions
    ]
