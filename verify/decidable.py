"""Which printed numbers no run could decide, told before a GPU is paid for."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from repro.decimals import half_unit
from repro.schema.catalog import Benchmark, Dataset
from repro.schema.causes import Cause, say
from repro.schema.groups import EvaluationGroup, TuningGroup
from repro.schema.jobs import Tier
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim, Divergence, MeanClaim
from repro.schema.tuned_claims import ImprovementRatio, Score, TunedDivergence
from verify import decision_rule

Datasets = Mapping[str, Dataset | Benchmark]
"""By the name of a task."""

ACCURACY_ROUNDING = Decimal("0.01")
"""lm-eval 0.4.2 prints fractions to four digits, so two of them move a difference by so much."""


@dataclass(frozen=True)
class DecidableNumber:
    """A printed number that tier full decides."""

    claim: CellClaim | MeanClaim
    least_spread: float
    """As far as it is known before anything is measured."""
    rounding: Decimal


def undecidable(manifest: Manifest, tier: Tier, datasets: Datasets) -> dict[str, str]:
    """Claims whose margin is within rounding, or within what a few flipped answers do.

    Returns:
        Claim to reason. Tiers below full decide nothing about the paper's models and have none.
    """
    if tier != "full":
        return {}
    return {name: say(why) for name, why in _undecidable(manifest, datasets).items()}


def _undecidable(manifest: Manifest, datasets: Datasets) -> dict[str, Cause]:
    """The same as data."""
    found = {}
    for each in _numbers(manifest, datasets):
        margin = each.claim.margin.value if each.claim.margin else "0"
        text = manifest.text_of(each.claim.published)
        why = decision_rule.undecidable(text, margin, each.least_spread, each.rounding)
        if why:
            found[each.claim.id] = why
    return found


def family(manifest: Manifest, datasets: Datasets) -> int:
    """How many printed numbers of a manifest a whole run could contradict.

    Holm's adjustment is over these, whatever was run: a run of one cell is no smaller family.
    """
    numbers = list(_numbers(manifest, datasets))
    return len(numbers) - len(_undecidable(manifest, datasets))


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


def _numbers(manifest: Manifest, datasets: Datasets) -> Iterator[DecidableNumber]:
    """Printed numbers that tier full decides."""
    for claim in manifest.claims:
        if isinstance(claim, CellClaim) and not isinstance(claim.measure, Divergence):
            yield from _tuned(manifest, claim, datasets)
            continue
        if isinstance(claim, CellClaim):
            cells = [claim]
        elif isinstance(claim, MeanClaim) and claim.basis == "measured":
            cells = [manifest.cell(name) for name in claim.of]
        else:
            continue
        groups = [_group(manifest, each) for each in cells]
        if groups[0] and all(groups):
            questions = _questions(groups[0], datasets)
            spread = decision_rule.floor(questions, len(cells) * len(groups[0].shots))
            yield DecidableNumber(claim, spread, input_rounding(manifest, claim, cells))


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


def _tuned(manifest: Manifest, claim: CellClaim, datasets: Datasets) -> Iterator[DecidableNumber]:
    """A number of tuned models, if tier full tunes any."""
    groups = [
        group for group in manifest.jobs if isinstance(group, TuningGroup) and "full" in group.tiers
    ]
    measure = claim.measure
    if not groups:
        return
    if isinstance(measure, TunedDivergence):
        group = next(each for each in groups if _tunes_at_full(each, measure.checkpoints[0]))
        shots = next(each.shots for each in group.questions if each.task == "mmlu")
        # All methods of a checkpoint share their reference: see `verify.paired`.
        methods = len(measure.methods)
        evaluations = 2 * len(measure.checkpoints) * methods * len(shots) / (1 + methods)
        spread = decision_rule.floor(_questions(group, datasets), evaluations)
        yield DecidableNumber(claim, spread, ACCURACY_ROUNDING)
    elif isinstance(measure, Score):
        known = datasets[measure.task]
        assert isinstance(known, Benchmark)  # noqa: S101  # the catalog names each task once
        printed = float(manifest.text_of(claim.published))
        spread = score_floor(measure.metric, printed, known.questions)
        yield DecidableNumber(claim, spread, Decimal(0))
    elif isinstance(measure, ImprovementRatio):
        yield DecidableNumber(claim, 0.0, Decimal(0))  # what flips do to it hangs on the scores


def score_floor(metric: str, score: float, questions: int) -> float:
    """Standard deviation of one score that is three answers off.

    Of a perplexity: with the log-likelihood of three words changed by one nat in one direction.

    Example:
        >>> round(score_floor("accuracy", 45.16, 5153), 3)
        0.058
        >>> round(score_floor("perplexity", 15.37, 5153), 3)
        0.009
    """
    if metric == "perplexity":
        return score * math.expm1(decision_rule.FLIPPED / questions)
    return 100 * decision_rule.FLIPPED / questions


def _tunes_at_full(group: TuningGroup, checkpoint: str) -> bool:
    return checkpoint in {each.checkpoint for each in group.checkpoints}


def _questions(group: EvaluationGroup | TuningGroup, datasets: Datasets) -> int:
    """Questions of MMLU that tier full asks."""
    known = datasets["mmlu"]
    assert isinstance(known, Dataset)  # noqa: S101  # the catalog names each task once
    return sum(known.subject(name).questions for name in group.tiers["full"].subjects)
