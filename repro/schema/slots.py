"""From a manifest and a tier to the jobs that it asks for.

Both sides use it: the runner to know what to run, the verifier to know what should have
been run. It looks at nothing but the manifest and the catalog.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from repro.errors import BadInputError
from repro.schema import jobs, tuned_slots
from repro.schema.catalog import MMLU, Checkpoint
from repro.schema.groups import (
    EvaluationGroup,
    EvaluationTier,
    Group,
    SingleJob,
    Slot,
    ThroughputGroup,
    TuningGroup,
)
from repro.schema.jobs import BenchmarkJob, CastMode, Engine, EvaluateJob, Setting, Tier
from repro.schema.manifest import Manifest
from repro.schema.tuned_slots import PRETRAINED, SAMPLER_SEED, TunedModel, asked_slot


def evaluation_slot(
    checkpoint: str, dtype: str, setting: str, arm: CastMode = "weight-cast"
) -> str:
    """The id of the slot of one evaluation."""
    named = "" if arm == "weight-cast" else f"{arm}."
    return f"{checkpoint}.{dtype}.{named}{setting}"


def slots(
    manifest: Manifest,
    tier: Tier,
    checkpoints: Mapping[str, Checkpoint],
    engine: Engine = "lm-eval",
) -> tuple[Slot, ...]:
    """Every job of a manifest at a tier, in the manifest's order.

    Args:
        manifest: What asks.
        tier: How much of it.
        checkpoints: The catalog's.
        engine: What evaluates.

    Raises:
        BadInputError: if the tier is not defined.
    """
    if tier not in manifest.tiers():
        message = (
            f"the manifest {manifest.id} has no tier {tier!r}; it has {', '.join(manifest.tiers())}"
        )
        raise BadInputError(message)
    found: list[Slot] = []
    settings = {each.id: each for each in manifest.settings}
    for group in manifest.jobs:
        if tier not in group.tiers:
            continue
        made: Iterable[Slot]
        if isinstance(group, SingleJob):
            made = [Slot(group.id, group.job, "", None, None, None)]
        elif isinstance(group, ThroughputGroup):
            made = tuned_slots.throughput(group)
        elif isinstance(group, TuningGroup):
            made = tuned_slots.tuning(group, settings, tier, checkpoints)
        else:
            made = _evaluations(manifest, group, tier, checkpoints)
        found += [
            replace(each, job=each.job and jobs.with_engine(each.job, engine)) for each in made
        ]
    return tuple(found)


@dataclass(frozen=True)
class Asking:
    """A group of a manifest that asks a model a task."""

    group: EvaluationGroup | TuningGroup
    model: TunedModel
    """Its arm as slots name it."""
    task: str
    dtype: str
    shots: tuple[int, ...]

    def __str__(self) -> str:
        shots = ", ".join(map(str, self.shots))
        return f"{' as '.join(self.model)} on {self.task} at {shots} shots in {self.dtype}"

    def slots(self, tier: Tier) -> list[str]:
        """What it answered, one slot a setting; none where the tier does not run the group."""
        if tier not in self.group.tiers:
            return []
        return [self._slot(each) for each in self.group.tiers[tier].settings]

    def _slot(self, setting: str) -> str:
        if isinstance(self.group, EvaluationGroup) and self.task == MMLU:
            return evaluation_slot(self.model.checkpoint, self.dtype, setting)
        return asked_slot(*self.model, setting, self.task, self.dtype)


def askings(manifest: Manifest, model: TunedModel) -> Iterator[Asking]:
    """Everything that a model is asked; a checkpoint as it is, by tuning groups or evaluations."""
    for group in manifest.jobs:
        if isinstance(group, TuningGroup) and (arm := tuned_slots.arm_in(group, model)):
            named = TunedModel(model.checkpoint, arm)
            for each in group.questions:
                if each.of == "every-arm":
                    for dtype in each.dtypes:
                        yield Asking(group, named, each.task, dtype, each.shots)
        elif isinstance(group, EvaluationGroup) and model.arm == PRETRAINED:
            named_here = model.checkpoint in group.checkpoints
            for dtype in group.dtypes if named_here else ():
                yield Asking(group, model, group.task, dtype, group.shots)


def asking(
    manifest: Manifest, model: TunedModel, task: str, dtype: str, shots: int | None = None
) -> Asking | None:
    """The first that asks a task in a dtype, behind so many examples; None if none does."""
    for each in askings(manifest, model):
        if (each.task, each.dtype) == (task, dtype) and (shots is None or shots in each.shots):
            return each
    return None


def checkpoints_of(group: Group) -> tuple[str, ...]:
    """Checkpoints of the paper that a group runs."""
    if isinstance(group, SingleJob):
        return ()
    if isinstance(group, EvaluationGroup):
        return group.checkpoints
    return tuple(each.checkpoint for each in group.checkpoints)


def settings_of(manifest: Manifest, group: EvaluationGroup, tier: Tier) -> tuple[Setting, ...]:
    """The settings that a group runs at a tier, in the manifest's order."""
    named = group.tiers[tier].settings
    return tuple(setting for setting in manifest.settings if setting.id in named)


def _evaluations(
    manifest: Manifest,
    group: EvaluationGroup,
    tier: Tier,
    checkpoints: Mapping[str, Checkpoint],
) -> list[Slot]:
    spec = group.tiers[tier]
    found = []
    for name in group.checkpoints:
        family = checkpoints[name].family
        runs = spec.runs(name, family)
        reason = "" if runs else f"tier {tier} has no twin of the family {family}"
        for number, setting in enumerate(settings_of(manifest, group, tier)):
            for dtype, arm in _arms(group, family, spec.other_arms if number == 0 else ()):
                job = runs and _question_job(group, spec, runs, dtype, arm, setting)
                slot = evaluation_slot(name, dtype, setting.id, arm)
                if group.task != MMLU:
                    slot = asked_slot(name, PRETRAINED, setting.id, group.task, dtype)
                found.append(Slot(slot, job or None, reason, name, dtype, setting.id))
    return found


def _question_job(  # what an evaluation is
    group: EvaluationGroup,
    spec: EvaluationTier,
    checkpoint: str,
    dtype: Literal["float32", "float16", "bfloat16"],
    arm: CastMode,
    setting: Setting,
) -> EvaluateJob | BenchmarkJob:
    if group.task == MMLU:
        return EvaluateJob(
            kind="evaluate",
            checkpoint=checkpoint,
            dtype=dtype,
            arm=arm,
            task=MMLU,
            subjects=spec.subjects,
            shots=group.shots,
            setting=setting,
        )
    return BenchmarkJob(
        kind="benchmark",
        checkpoint=checkpoint,
        tuned=None,
        dtype=dtype,
        arm=arm,
        task=group.task,
        questions=spec.questions,
        shots=group.shots,
        seed=SAMPLER_SEED,
        setting=setting,
    )


def _arms(
    group: EvaluationGroup, family: str, others: tuple[CastMode, ...]
) -> Iterator[tuple[Literal["float32", "float16", "bfloat16"], CastMode]]:
    """Every dtype with its arms; Mamba-2's kernels alone have two ways of float32."""
    for dtype in group.dtypes:
        yield dtype, "weight-cast"
        for arm in others:
            if (arm == "ieee") == (dtype == "float32") and (arm != "ieee" or family == "mamba2"):
                yield dtype, arm
