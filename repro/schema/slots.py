"""From a manifest and a tier to the jobs that it asks for.

Both sides use it: the runner to know what to run, the verifier to know what should have
been run. It looks at nothing but the manifest and the catalog.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from repro.errors import BadInputError
from repro.schema import jobs, tuned_slots
from repro.schema.catalog import Checkpoint
from repro.schema.claims import claimed_by
from repro.schema.evaluation.evaluation_slots import evaluation_slot, evaluations, settings_of
from repro.schema.groups import (
    EvaluationGroup,
    Group,
    SingleJob,
    Slot,
    ThroughputGroup,
    TuningGroup,
)
from repro.schema.jobs import Engine, ModelJob, Tier
from repro.schema.kinds.screen import screened_against
from repro.schema.manifest import Manifest
from repro.schema.tuned_claims import BarsClaim, TunedDivergence
from repro.schema.tuned_slots import OfTunedModels

__all__ = ["checkpoints_of", "evaluation_slot", "settings_of", "slots"]


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
            made = evaluations(manifest, group, tier, checkpoints)
        found += [
            replace(each, job=each.job and jobs.with_engine(each.job, engine)) for each in made
        ]
    return tuple(_screened(found) if tier == "full" and not _scores(manifest) else found)


def _screened(found: Iterable[Slot]) -> Iterator[Slot]:
    """Slots whose float32 evaluations of a checkpoint as it is are screened against the first."""
    firsts: dict[str, ModelJob] = {}
    for each in found:
        job = each.job
        if (
            isinstance(job, ModelJob)
            and job.tuned is None
            and (job.dtype, job.arm) == ("float32", "weight-cast")
        ):
            first = firsts.setdefault(job.model_dump_json(exclude={"setting"}), job)
            if first is not job:
                screen = screened_against(first.setting, job.setting)
                yield replace(each, job=job.model_copy(update={"screen": screen}))
                continue
        yield each


def _scores(manifest: Manifest) -> bool:
    """Whether anything is claimed of a score by itself: its settings are its draws.

    A screened setting is none. A divergence has a draw in each evaluation in half precision.
    """
    claimed = (claimed_by(each) for each in manifest.claims)
    return any(
        isinstance(each, OfTunedModels) and not isinstance(each, TunedDivergence | BarsClaim)
        for each in claimed
    )


def checkpoints_of(group: Group) -> tuple[str, ...]:
    """Checkpoints of the paper that a group runs."""
    if isinstance(group, SingleJob):
        return ()
    if isinstance(group, EvaluationGroup):
        return group.checkpoints
    return tuple(each.checkpoint for each in group.checkpoints)
