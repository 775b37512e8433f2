"""From a manifest and a tier to the jobs that it asks for.

Both sides use it: the runner to know what to run, the verifier to know what should have
been run. It looks at nothing but the manifest and the catalog.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from repro.errors import BadInputError
from repro.schema import jobs, tuned_slots
from repro.schema.catalog import Checkpoint
from repro.schema.claims import claimed_by
from repro.schema.evaluation.evaluation_slots import evaluation_slot, evaluations, settings_of
from repro.schema.evaluation.looks import in_order
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
    if tier == "full" and not _scores(manifest):
        return tuple(_screened(found, [each.id for each in in_order(manifest, tier)]))
    return tuple(found)


def _screened(found: Iterable[Slot], order: Sequence[str]) -> Iterator[Slot]:
    """Slots whose float32 evaluations of a checkpoint as it is are screened against the first.

    Args:
        found: All slots.
        order: Of settings: the first one that asks the same is that of the screen.
    """
    alike: dict[str, list[ModelJob]] = {}
    for each in found:
        if job := _to_screen(each):
            alike.setdefault(job.model_dump_json(exclude={"setting"}), []).append(job)
    for each in found:
        if job := _to_screen(each):
            several = alike[job.model_dump_json(exclude={"setting"})]
            first = min((one.setting for one in several), key=lambda one: order.index(one.id))
            if first != job.setting:
                screen = screened_against(first, job.setting)
                yield replace(each, job=job.model_copy(update={"screen": screen}))
                continue
        yield each


def _to_screen(slot: Slot) -> ModelJob | None:
    """Its job, if that is in float32 and of a checkpoint as it is."""
    job = slot.job
    plain = isinstance(job, ModelJob) and job.tuned is None
    return job if plain and (job.dtype, job.arm) == ("float32", "weight-cast") else None


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
