"""Slots of evaluations of checkpoints as they are: names and jobs."""

from collections.abc import Iterator, Mapping
from typing import Literal

from repro.schema.catalog import MMLU, Checkpoint
from repro.schema.groups import EvaluationGroup, Slot
from repro.schema.jobs import CastMode, Setting, Tier
from repro.schema.manifest import Manifest
from repro.schema.tuned_slots import PRETRAINED, asked_slot, question_job


def evaluation_slot(
    checkpoint: str, dtype: str, setting: str, arm: CastMode = "weight-cast"
) -> str:
    """The id of the slot of one evaluation."""
    named = "" if arm == "weight-cast" else f"{arm}."
    return f"{checkpoint}.{dtype}.{named}{setting}"


def settings_of(manifest: Manifest, group: EvaluationGroup, tier: Tier) -> tuple[Setting, ...]:
    """The settings that a group runs at a tier, in the manifest's order."""
    named = group.tiers[tier].settings
    return tuple(setting for setting in manifest.settings if setting.id in named)


def evaluations(
    manifest: Manifest,
    group: EvaluationGroup,
    tier: Tier,
    checkpoints: Mapping[str, Checkpoint],
) -> list[Slot]:
    """Every job of an evaluation at a tier."""
    spec = group.tiers[tier]
    found = []
    for name in group.checkpoints:
        family = checkpoints[name].family
        runs = spec.runs(name, family)
        reason = "" if runs else f"tier {tier} has no twin of the family {family}"
        for number, setting in enumerate(settings_of(manifest, group, tier)):
            for dtype, arm in _arms(group, family, spec.other_arms if number == 0 else ()):
                job = runs and question_job(group, spec, runs, dtype, setting, arm=arm)
                slot = evaluation_slot(name, dtype, setting.id, arm)
                if group.task != MMLU:
                    slot = asked_slot(name, PRETRAINED, setting.id, group.task, dtype)
                found.append(Slot(slot, job or None, reason, name, dtype, setting.id))
    return found


def _arms(
    group: EvaluationGroup, family: str, others: tuple[CastMode, ...]
) -> Iterator[tuple[Literal["float32", "float16", "bfloat16"], CastMode]]:
    """Every dtype with its arms; Mamba-2's kernels alone have two ways of float32."""
    for dtype in group.dtypes:
        yield dtype, "weight-cast"
        for arm in others:
            if (arm == "ieee") == (dtype == "float32") and (arm != "ieee" or family == "mamba2"):
                yield dtype, arm
