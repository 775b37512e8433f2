"""From a manifest and a tier to the jobs that it asks for.

Both sides use it: the runner to know what to run, the verifier to know what should have
been run. It looks at nothing but the manifest and the catalog.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from repro.catalog import Checkpoint
from repro.errors import BadInputError
from repro.jobs import Arm, EvaluateJob, Job, Setting, Tier
from repro.manifest import EvaluationGroup, Manifest, SingleJob


@dataclass(frozen=True)
class Slot:
    """One place in a manifest's plan, and the job that fills it."""

    id: str
    """`<checkpoint>.<dtype>.<setting>` for an evaluation, with the arm before the setting where it
    is not weight-cast; the group's id for a single job."""
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
        if isinstance(self.job, EvaluateJob) and self.job.checkpoint != self.checkpoint:
            return self.id.replace(str(self.checkpoint), self.job.checkpoint, 1)
        return self.id


def evaluation_slot(checkpoint: str, dtype: str, setting: str, arm: Arm = "weight-cast") -> str:
    """The id of the slot of one evaluation."""
    named = "" if arm == "weight-cast" else f"{arm}."
    return f"{checkpoint}.{dtype}.{named}{setting}"


def slots(
    manifest: Manifest, tier: Tier, checkpoints: Mapping[str, Checkpoint]
) -> tuple[Slot, ...]:
    """Every job of a manifest at a tier, in the manifest's order.

    Raises:
        BadInputError: if the tier is not defined, or a checkpoint is not in the catalog.
    """
    if tier not in manifest.tiers():
        message = (
            f"the manifest {manifest.id} has no tier {tier!r}; it has {', '.join(manifest.tiers())}"
        )
        raise BadInputError(message)
    found: list[Slot] = []
    for group in manifest.jobs:
        if tier not in group.tiers:
            continue
        if isinstance(group, SingleJob):
            found.append(Slot(group.id, group.job, "", None, None, None))
        else:
            found += _evaluations(manifest, group, tier, checkpoints)
    return tuple(found)


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
        if name not in checkpoints:
            message = f"manifest {manifest.id}: the catalog has no checkpoint {name!r}"
            raise BadInputError(message)
        family = checkpoints[name].family
        runs = spec.stand_ins.get(family, None if spec.only_stand_ins else name)
        reason = "" if runs else f"tier {tier} has no twin of the family {family}"
        for number, setting in enumerate(settings_of(manifest, group, tier)):
            for dtype, arm in _arms(group, spec.other_arms if number == 0 else ()):
                job = runs and EvaluateJob(
                    kind="evaluate",
                    checkpoint=runs,
                    dtype=dtype,
                    arm=arm,
                    task=group.task,
                    subjects=spec.subjects,
                    shots=group.shots,
                    setting=setting,
                )
                slot = evaluation_slot(name, dtype, setting.id, arm)
                found.append(Slot(slot, job or None, reason, name, dtype, setting.id))
    return found


def _arms(
    group: EvaluationGroup, others: tuple[Arm, ...]
) -> Iterator[tuple[Literal["float32", "float16", "bfloat16"], Arm]]:
    """Every dtype with its arms; float32 has one."""
    for dtype in group.dtypes:
        yield dtype, "weight-cast"
        for arm in others if dtype != "float32" else ():
            yield dtype, arm
