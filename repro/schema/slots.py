"""From a manifest and a tier to the jobs that it asks for.

Both sides use it: the runner to know what to run, the verifier to know what should have
been run. It looks at nothing but the manifest and the catalog.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from repro.errors import BadInputError
from repro.schema import jobs, tuned_slots
from repro.schema.catalog import Checkpoint
from repro.schema.evaluation.evaluation_slots import (
    evaluation_slot,
    evaluations,
    screened,
    settings_of,
)
from repro.schema.groups import (
    EvaluationGroup,
    Group,
    SingleJob,
    Slot,
    ThroughputGroup,
    TuningGroup,
)
from repro.schema.jobs import Engine, Tier
from repro.schema.manifest import Manifest

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
    return tuple(screened(manifest, tier, found))


def checkpoints_of(group: Group) -> tuple[str, ...]:
    """Checkpoints of the paper that a group runs."""
    if isinstance(group, SingleJob):
        return ()
    if isinstance(group, EvaluationGroup):
        return group.checkpoints
    return tuple(each.checkpoint for each in group.checkpoints)
