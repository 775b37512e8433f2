"""Which tuning group of a manifest runs a model that a claim names."""

from typing import NamedTuple

from repro.expand_tuning import PRETRAINED, arm_name
from repro.job_groups import TuningGroup
from repro.manifest import Manifest
from repro.tuned_claims import (
    BarsClaim,
    ImprovementClaim,
    ImprovementRatio,
    MeasuredWinsClaim,
    Score,
    TunedDivergence,
)


class TunedModel(NamedTuple):
    """A checkpoint, and the arm of a tuning group that left it so."""

    checkpoint: str
    arm: str
    """`<method>.<precision>`, or `pretrained`; with a path behind it as slots have it, or without:
    then the first group of the manifest is meant."""


def group_of(manifest: Manifest, model: TunedModel) -> tuple[TuningGroup, str] | None:
    """The first group that runs a model, and the arm as its slots name it; None if none does."""
    for group in manifest.jobs:
        if isinstance(group, TuningGroup) and tunes(group, model.checkpoint):
            if model.arm == PRETRAINED and group.pretrained:
                return group, PRETRAINED
            for arm in group.arms:
                if model.arm in {arm.id, arm_name(group, arm)}:
                    return group, arm_name(group, arm)
    return None


def tunes(group: TuningGroup, checkpoint: str) -> bool:
    """Whether a group has a checkpoint."""
    return any(each.checkpoint == checkpoint for each in group.checkpoints)


def models_of(
    claimed: TunedDivergence
    | Score
    | ImprovementRatio
    | BarsClaim
    | ImprovementClaim
    | MeasuredWinsClaim,
) -> list[TunedModel]:
    """Every model that a claim, or what a cell measures, names."""
    if isinstance(claimed, ImprovementRatio):
        return [TunedModel(each.checkpoint, each.arm) for each in (*claimed.left, *claimed.right)]
    if isinstance(claimed, ImprovementClaim):
        return [TunedModel(each.checkpoint, each.arm) for each in (*claimed.of, *claimed.others)]
    if isinstance(claimed, MeasuredWinsClaim):
        arms = (claimed.left, claimed.right)
        return [TunedModel(name, arm) for name in claimed.checkpoints for arm in arms]
    if isinstance(claimed, Score):
        return [TunedModel(claimed.checkpoint, f"{claimed.method}.{claimed.precision}")]
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
