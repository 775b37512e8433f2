"""Slots of evaluations of checkpoints as they are: names, jobs, and which of them are screened."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from repro.schema.catalog import MMLU, Checkpoint
from repro.schema.claims import claimed_by
from repro.schema.evaluation.looks import in_order
from repro.schema.groups import EvaluationGroup, Slot
from repro.schema.jobs import CastMode, ModelJob, Setting, Tier
from repro.schema.kinds.screen import screened_against
from repro.schema.manifest import Manifest
from repro.schema.tuned_claims import BarsClaim, TunedDivergence
from repro.schema.tuned_slots import PRETRAINED, OfTunedModels, asked_slot, question_job


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


# -----------------------------------------------------------------------------
# Settings of float32 after the first


def screened(manifest: Manifest, tier: Tier, found: Sequence[Slot]) -> Iterator[Slot]:
    """Slots of a manifest, whose float32 is screened against the first setting where it can be.

    Of all that ask the same the first is the one that a run takes first, in whichever group.
    """
    jobs = {each.id: job for each in found if (job := _in_float32(each))}
    if tier != "full" or _scores(manifest):
        jobs = {}
    order = {each.id: place for place, each in enumerate(in_order(manifest, tier))}
    firsts: dict[str, Setting] = {}
    for job in sorted(jobs.values(), key=lambda job: order[job.setting.id]):
        firsts.setdefault(_but_for_setting(job), job.setting)
    for each in found:
        job = jobs.get(each.id)
        if job and (first := firsts[_but_for_setting(job)]) != job.setting:
            screen = screened_against(first, job.setting)
            yield replace(each, job=job.model_copy(update={"screen": screen}))
        else:
            yield each


def _in_float32(slot: Slot) -> ModelJob | None:
    """Its job, where that asks a checkpoint as it is in float32."""
    job = slot.job
    if not isinstance(job, ModelJob) or job.tuned:
        return None
    return job if (job.dtype, job.arm) == ("float32", "weight-cast") else None


def _but_for_setting(job: ModelJob) -> str:
    return job.model_dump_json(exclude={"setting"})


def _scores(manifest: Manifest) -> bool:
    """Whether anything is claimed of a score by itself: its settings are its draws.

    A screened setting is none. A divergence has a draw in each evaluation in half precision.
    """
    claimed = (claimed_by(each) for each in manifest.claims)
    return any(
        isinstance(each, OfTunedModels) and not isinstance(each, TunedDivergence | BarsClaim)
        for each in claimed
    )
