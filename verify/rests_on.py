"""Which jobs a claim rests on: the slots whose records its rule reads before it decides anything.

What a rule shows beside a decision where it was run (other arms of mixed precision, controls) is
not among them, as no decision changes with it. A kind of claim that is not known here rests on
every slot of its manifest: too many jobs are only dear, too few would leave it undecided.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import chain

from repro.schema import tuned_slots
from repro.schema.catalog import MMLU
from repro.schema.claims import (
    AmbiguousClaim,
    Claim,
    ModelClaim,
    PageClaim,
    PlannedClaim,
    claimed_by,
)
from repro.schema.evaluation.asking import askings
from repro.schema.groups import ThroughputGroup, TuningGroup
from repro.schema.jobs import Tier
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import (
    BoundClaim,
    CountClaim,
    Divergence,
    FitsClaim,
    GrowingClaim,
    IdentityClaim,
    MeanClaim,
    ProofClaim,
    ThroughputGain,
    TrendClaim,
    UnbuiltMeasure,
)
from repro.schema.page_claims import FactClaim
from repro.schema.tuned_claims import (
    BarsClaim,
    LearnsClaim,
    MeasuredWinsClaim,
    Scores,
    TunedDivergence,
    columns_of,
)
from repro.schema.tuned_slots import OfTunedModels, models_of, tuning_slot
from verify.paired import slots_of_pairs
from verify.tuned_paired import reference_of

OnNoRun = PageClaim | FactClaim | PlannedClaim | UnbuiltMeasure
"""What printed values or pinned code decide, or nothing can yet."""

OnNamedJobs = BoundClaim | TrendClaim | IdentityClaim | ProofClaim | LearnsClaim
"""What names its jobs one by one."""


def slots_of(manifest: Manifest, claim: Claim, tier: Tier, every: frozenset[str]) -> frozenset[str]:
    """The slots that a claim rests on at a tier; of a sentence those of all its readings.

    Args:
        manifest: That of the claim.
        claim: What is to be decided.
        tier: Whose settings are run.
        every: All slots of the manifest at that tier.
    """
    if isinstance(claim, AmbiguousClaim):
        readings = [each for each in manifest.claims if each.id in claim.readings]
        found = (slots_of(manifest, each, tier, every) for each in readings)
        return frozenset[str]().union(*found)
    named = _named(manifest, claim, tier)
    return every if named is None else frozenset(named) & every


def _named(manifest: Manifest, claim: Claim, tier: Tier) -> Iterable[str] | None:
    """Their names, those of other tiers among them; None for a kind that is not known."""
    claimed = claimed_by(claim)
    found: Iterable[str] | None = None
    if isinstance(claimed, OnNoRun) or (isinstance(claim, ModelClaim) and claim.basis == "printed"):
        found = ()
    elif isinstance(claimed, OnNamedJobs):
        found = claimed.jobs
    elif isinstance(claimed, Divergence):
        found = chain.from_iterable(slots_of_pairs(manifest, claimed, tier))
    elif isinstance(claim, ModelClaim):
        cells = claim.of if isinstance(claim, MeanClaim | CountClaim) else claim.left + claim.right
        several = [_named(manifest, manifest.cell(name), tier) for name in cells]
        found = chain.from_iterable(each for each in several if each is not None)
        found = None if None in several else found
    elif isinstance(claimed, OfTunedModels):
        found = _of_models(manifest, claimed, tier)
    elif isinstance(claimed, ThroughputGain | GrowingClaim):
        sizes = {*claimed.checkpoints, getattr(claimed, "against", None)}
        found = _of_throughput(manifest, claimed.group, sizes)
    elif isinstance(claimed, FitsClaim):
        groups = ((each.group, {each.checkpoint}) for each in claimed.runs)
        found = (name for each in groups for name in _of_throughput(manifest, *each))
    return found


def _of_throughput(
    manifest: Manifest, group_id: str, sizes: AbstractSet[str | None]
) -> Iterator[str]:
    for group in manifest.jobs:
        if isinstance(group, ThroughputGroup) and group.id == group_id:
            yield from (s.id for s in tuned_slots.throughput(group) if s.checkpoint in sizes)


def _of_models(manifest: Manifest, claimed: OfTunedModels, tier: Tier) -> Iterator[str]:
    """What every model was asked, and the reference that its divergence is from; tunings."""
    folded = isinstance(claimed, TunedDivergence | BarsClaim)
    tasks = _tasks(claimed)
    for model in models_of(claimed):
        for each in {model, reference_of(manifest, model)} if folded else {model}:
            for asked in askings(manifest, each):
                if not tasks or asked.task in tasks:
                    yield from asked.slots(tier)
                    if isinstance(asked.group, TuningGroup) and tier in asked.group.tiers:
                        settings = asked.group.tiers[tier].settings
                        yield from (tuning_slot(*asked.model, name) for name in settings)


def _tasks(claimed: OfTunedModels) -> tuple[str, ...]:
    """Tasks that decide; empty where all that are asked may."""
    if isinstance(claimed, BarsClaim):
        return (claimed.task,)
    if isinstance(claimed, MeasuredWinsClaim):
        return tuple(each.task for each in claimed.columns)
    if isinstance(claimed, Scores):
        return tuple(each.task for each in columns_of(claimed))
    return (MMLU,) if isinstance(claimed, TunedDivergence) else ()
