"""What matches the schema of throughput groups and claims about them, and still makes no sense."""

from collections import Counter
from collections.abc import Iterator, Sequence

from repro.claims import Claim
from repro.job_groups import ThroughputGroup
from repro.manifest import Manifest
from repro.model_claims import CellClaim
from repro.throughput_claims import FitsClaim, GrowingClaim, Throughput

Wrong = tuple[str, str, str]
"""Path, what was found there, what was expected."""

Named = tuple[str, str, Sequence[str], Sequence[str]]
"""Path, a group, checkpoints and arms of it."""


def group_problems(group: ThroughputGroup) -> Iterator[Wrong]:
    """What is wrong with one group; paths inside it."""
    named = {
        "checkpoints": [each.checkpoint for each in group.checkpoints],
        "arms": [each.id for each in group.arms],
        "memory_caps": [f"{cap:g}" for cap in group.memory_caps],
    }
    for field, members in named.items():
        for each, times in Counter(members).items():
            if times > 1:
                yield field, f"{each} {times} times", "each once"


def claim_problems(manifest: Manifest, claim: Claim) -> Iterator[Wrong]:
    """Groups, checkpoints and arms that a claim names and the manifest does not have."""
    groups = {each.id: each for each in manifest.jobs if isinstance(each, ThroughputGroup)}
    for where, name, checkpoints, arms in _named(claim):
        group = groups.get(name)
        if group is None:
            known = ", ".join(groups) or "none is defined"
            yield f"{where}group", f"{name!r}, which is no throughput group", f"one of: {known}"
            continue
        sizes = [each.checkpoint for each in group.checkpoints]
        yield from _unknown(f"{where}checkpoints", checkpoints, sizes)
        yield from _unknown(f"{where}arms", arms, [each.id for each in group.arms])


def _named(claim: Claim) -> Iterator[Named]:
    """What a claim names, each with the path up to it."""
    if isinstance(claim, CellClaim) and isinstance(claim.measure, Throughput):
        wanted = claim.measure
        against = [wanted.against] if wanted.against else []
        yield "measure.", wanted.group, [*wanted.checkpoints, *against], [wanted.reference]
    elif isinstance(claim, GrowingClaim):
        yield "", claim.group, claim.checkpoints, [claim.reference]
    elif isinstance(claim, FitsClaim):
        for index, run in enumerate(claim.runs):
            yield f"runs[{index}].", run.group, [run.checkpoint], [run.arm]


def _unknown(where: str, names: Sequence[str], known: Sequence[str]) -> Iterator[Wrong]:
    for name in names:
        if name not in known:
            yield where, f"{name!r}, which the group does not run", f"one of: {', '.join(known)}"
