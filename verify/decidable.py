"""Which printed numbers no run could decide, told before a GPU is paid for."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from repro.catalog import Dataset
from repro.jobs import Tier
from repro.manifest import EvaluationGroup, Manifest
from repro.model_claims import CellClaim, Divergence, MeanClaim
from repro.printed import half_unit
from verify import decision


def undecidable(manifest: Manifest, tier: Tier, datasets: Mapping[str, Dataset]) -> dict[str, str]:
    """Claims whose margin is within rounding, or within what a few flipped answers do.

    Returns:
        Claim to reason. Tiers below full decide nothing about the paper's models and have none.
    """
    if tier != "full":
        return {}
    found = {}
    for claim, cells, group in _numbers(manifest):
        margin = claim.margin.value if claim.margin else "0"
        subjects = group.tiers["full"].subjects
        questions = sum(datasets[group.task].subjects[name].questions for name in subjects)
        spread = decision.floor(questions, len(cells) * len(group.shots))
        rounding = input_rounding(manifest, claim, cells)
        why = decision.undecidable(manifest.text_of(claim.published), margin, spread, rounding)
        if why:
            found[claim.id] = why
    return found


def family(manifest: Manifest, datasets: Mapping[str, Dataset]) -> int:
    """How many printed numbers of a manifest a whole run could contradict.

    Holm's adjustment is over these, whatever was run: a run of one cell is no smaller family.
    """
    numbers = [claim.id for claim, _, _ in _numbers(manifest)]
    return len(numbers) - len(undecidable(manifest, "full", datasets))


def input_rounding(
    manifest: Manifest, claim: CellClaim | MeanClaim, cells: Sequence[CellClaim]
) -> Decimal:
    """What rounding before a divergence or a mean of them was taken can add or take away."""
    accuracies = max(
        Decimal(each.measure.input_rounding)
        for each in cells
        if isinstance(each.measure, Divergence)
    )
    if isinstance(claim, CellClaim):
        return accuracies
    # The paper may have averaged its cells as it prints them.
    return accuracies + max(half_unit(manifest.text_of(each.published)) for each in cells)


def _numbers(
    manifest: Manifest,
) -> Iterator[tuple[CellClaim | MeanClaim, list[CellClaim], EvaluationGroup]]:
    """Printed numbers that tier full decides: the cells that each is over, and what runs them."""
    for claim in manifest.claims:
        if isinstance(claim, CellClaim):
            cells = [claim]
        elif isinstance(claim, MeanClaim) and claim.basis == "measured":
            cells = [manifest.cell(name) for name in claim.of]
        else:
            continue
        groups = [_group(manifest, each) for each in cells]
        if groups[0] and all(groups):
            yield claim, cells, groups[0]


def _group(manifest: Manifest, cell: CellClaim) -> EvaluationGroup | None:
    """The evaluation that measures a cell at tier full, if there is one."""
    if isinstance(cell.measure, Divergence):
        for group in manifest.jobs:
            if (
                isinstance(group, EvaluationGroup)
                and cell.measure.checkpoint in group.checkpoints
                and "full" in group.tiers
            ):
                return group
    return None
