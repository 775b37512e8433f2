"""From a manifest and a tier to the jobs that it asks for.

Both sides use it: the runner to know what to run, the verifier to know what should have
been run. It looks at nothing but the manifest and the catalog.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from repro.catalog import Checkpoint
from repro.errors import BadInputError
from repro.jobs import EvaluateJob, Job, Setting, Tier
from repro.manifest import EvaluationGroup, Manifest, SingleJob


@dataclass(frozen=True)
class Slot:
    """One place in a manifest's plan, and the job that fills it."""

    id: str
    """`<checkpoint>.<dtype>.<setting>` for an evaluation, the group's id for a single job."""
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
            return f"{self.job.checkpoint}.{self.dtype}.{self.setting}"
        return self.id


def evaluation_slot(checkpoint: str, dtype: str, setting: str) -> str:
    """The id of the slot of one evaluation."""
    return f"{checkpoint}.{dtype}.{setting}"


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
        for setting in settings_of(manifest, group, tier):
            for dtype in group.dtypes:
                job = runs and EvaluateJob(
                    kind="evaluate",
                    checkpoint=runs,
                    dtype=dtype,
                    task=group.task,
                    subjects=spec.subjects,
                    shots=group.shots,
                    setting=setting,
                )
                slot = evaluation_slot(name, dtype, setting.id)
                found.append(Slot(slot, job or None, reason, name, dtype, setting.id))
    return found
