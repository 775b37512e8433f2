"""Which printed numbers no run could reproduce, and what decides nothing, before a GPU is paid for.

What another machine adds is known from c, the answers whose correctness a dtype changes
(`verify.paired`): of the cell's own records where there is a run, else those that a real model
was seen to change, which is said.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeGuard

from repro.decimals import half_unit
from repro.schema.catalog import Benchmark, Dataset
from repro.schema.causes import Cause, cause, say
from repro.schema.claims import AmbiguousClaim, Claim, claimed_by
from repro.schema.groups import EvaluationGroup
from repro.schema.jobs import Tier
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import (
    CellClaim,
    Divergence,
    FitsClaim,
    GrowingClaim,
    MeanClaim,
    ThroughputGain,
)
from repro.schema.tuned_claims import MeasuredDifference, Seconds, leaves_open, scores_in
from repro.schema.tuned_slots import OfTunedModels
from repro.schema.validate import MIN_SETTINGS
from verify import decision_rule, tuned_paired
from verify.decision_rule import Sample
from verify.errors import InvalidError, NotRunError
from verify.evidence import Evidence
from verify.paired import evaluation_of, pair_cells

Datasets = Mapping[str, Dataset | Benchmark]
"""By the name of a task."""

Prospect = Literal["decided", "contradicted", "nothing"]
"""What a claim can come to: either way, at most that it is contradicted, or neither."""

ACCURACY_ROUNDING = Decimal("0.01")
"""lm-eval 0.4.2 prints fractions to four digits, so two of them move a difference by so much."""


@dataclass(frozen=True)
class MeasuredNumber:
    """A printed number that tier full measures under every setting."""

    claim: CellClaim | MeanClaim
    cells: tuple[CellClaim, ...]
    group: EvaluationGroup
    rounding: Decimal


def undecidable(
    manifest: Manifest, tier: Tier, datasets: Datasets, evidence: Evidence | None = None
) -> dict[str, str]:
    """Claims that no measurement under this manifest could decide.

    Args:
        manifest: The claims.
        tier: Those below full decide nothing about the paper's models and name none.
        datasets: What the catalog knows of the questions.
        evidence: A run of it, if there is one: its cells tell their own c.

    Returns:
        Claim to reason.
    """
    if tier != "full":
        return {}
    return {name: say(why) for name, why in _undecidable(manifest, datasets, evidence).items()}


def _undecidable(
    manifest: Manifest, datasets: Datasets, evidence: Evidence | None
) -> dict[str, Cause]:
    """The same as data."""
    found = {}
    for each in numbers_of(manifest):
        known = _measured(manifest, each, evidence)
        changes = None if known else _dataset(datasets).changes
        why = decision_rule.undecidable(
            manifest.text_of(each.claim.published),
            each.claim.margin.value if each.claim.margin else "0",
            known or _assumed(each, _dataset(datasets)),
            each.rounding,
        )
        if why and why.code == "margin-within-noise" and changes:
            why = cause("margin-within-assumed-noise", **why.values, of=changes.of)
        if why:
            found[each.claim.id] = why
    for claim in manifest.claims:
        claimed = claimed_by(claim)
        if isinstance(claimed, OfTunedModels):
            why = tuned_paired.open_factors(manifest, claimed)
            if why is None and isinstance(claim, CellClaim) and scores_in(claimed):
                why = _margin_within_rounding(manifest.text_of(claim.published), claim.margin.value)
            if why:
                found[claim.id] = why
    return found


def _margin_within_rounding(published: str, margin: str) -> Cause | None:
    """Why a score cannot be reproduced, however little it varies; None if it may."""
    without_spread = Sample((0.0,) * MIN_SETTINGS, 0.0, 0.0)
    return decision_rule.undecidable(published, margin, without_spread, Decimal(0))


def prospects(
    manifest: Manifest, tier: Tier, datasets: Datasets, hardware: str
) -> dict[str, Prospect]:
    """What measuring could make of each claim that rests on a run, before anything is run.

    By what a real model was seen to change, never by a record of the run: what is left out would
    otherwise hang on what was measured. A sentence fares as the worst of its readings.

    Args:
        manifest: The claims.
        tier: Those below full decide nothing about the paper's models.
        datasets: What the catalog knows of the questions.
        hardware: The class of machine that it would be measured on.
    """
    why = _undecidable(manifest, datasets, None)
    found: dict[str, Prospect] = {}
    for claim in manifest.claims:
        names = claim.readings if isinstance(claim, AmbiguousClaim) else (claim.id,)
        codes = {why[name].code for name in names if name in why}
        beyond = any(
            _is_of_elsewhere(each, hardware) for each in manifest.claims if each.id in names
        )
        if tier != "full" or beyond or codes - _MAY_BE_CONTRADICTED:
            found[claim.id] = "nothing"
        else:
            found[claim.id] = "contradicted" if codes else "decided"
    return found


_MAY_BE_CONTRADICTED = {*decision_rule.UNDECIDABLE, "margin-within-assumed-noise"}


def _is_of_elsewhere(claim: Claim, hardware: str) -> bool:
    """Whether speed or memory is claimed that is not decided on some hardware; speed is nowhere."""
    claimed = claimed_by(claim)
    if isinstance(claimed, MeasuredDifference) and isinstance(claimed.left, Seconds):
        return True
    timed = getattr(claimed, "statistic", "speed") == "speed" and not isinstance(claim, FitsClaim)
    return isinstance(claimed, ThroughputGain | GrowingClaim | FitsClaim) and (
        timed or claimed.hardware != hardware
    )


def family(manifest: Manifest) -> int:
    """How many distinct printed numbers a whole run could contradict, with those of other tables.

    Holm's adjustment is over these, whatever was run: a run of one cell is no smaller family. Two
    readings of one number, and two places where it is printed, are one.
    """
    distinct: set[object] = {
        frozenset(_what(cell) for cell in each.cells) for each in numbers_of(manifest)
    }
    distinct |= {each.measure for each in manifest.claims if _is_decided_score(each)}
    return len(distinct) + manifest.numbers_elsewhere


def tested(manifest: Manifest) -> list[Claim]:
    """Claims on the numbers that a whole run could contradict, which guard each other."""
    scores = [each for each in manifest.claims if _is_decided_score(each)]
    return [*(each.claim for each in numbers_of(manifest)), *scores]


def _is_decided_score(claim: Claim) -> TypeGuard[CellClaim]:
    """Whether a claim is a number of scores that leave nothing open."""
    if not isinstance(claim, CellClaim):
        return False
    return bool(scores_in(claim.measure)) and not leaves_open(claim.measure)


def _what(cell: CellClaim) -> tuple[str, str]:
    assert isinstance(cell.measure, Divergence)  # noqa: S101  # `_numbers` saw to it
    return cell.measure.checkpoint, cell.measure.dtype


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


def numbers_of(manifest: Manifest) -> Iterator[MeasuredNumber]:
    """Printed numbers that tier full measures of models as they were published."""
    for claim in manifest.claims:
        if isinstance(claim, CellClaim) and isinstance(claim.measure, Divergence):
            cells: tuple[CellClaim, ...] = (claim,)
        elif isinstance(claim, MeanClaim) and claim.basis == "measured":
            cells = tuple(manifest.cell(name) for name in claim.of)
        else:
            continue
        groups = [_group(manifest, each) for each in cells]
        if groups[0] and all(groups):
            rounding = input_rounding(manifest, claim, cells)
            yield MeasuredNumber(claim, cells, groups[0], rounding)


def _group(manifest: Manifest, cell: CellClaim) -> EvaluationGroup | None:
    """The evaluation that measures a cell at tier full, if there is one."""
    wanted = cell.measure
    return evaluation_of(manifest, wanted, "full") if isinstance(wanted, Divergence) else None


def _measured(
    manifest: Manifest, number: MeasuredNumber, evidence: Evidence | None
) -> Sample | None:
    """What a run tells of a number before it is held to what was printed; None without one."""
    if evidence is not None and evidence.run.tier == "full":
        with suppress(NotRunError, InvalidError):
            found = pair_cells(manifest, number.cells, evidence)
            return Sample((0.0,) * len(found.rows), found.least_spread, found.machine)
    return None


def _assumed(number: MeasuredNumber, dataset: Dataset) -> Sample:
    """The same where nothing was run: each cell changes what a real model was seen to."""
    shots = number.group.shots
    questions = sum(dataset.subject(name).questions for name in number.group.tiers["full"].subjects)
    settings = max(MIN_SETTINGS, len(set(number.group.tiers["full"].settings)))
    floor = decision_rule.floor(questions, len(number.cells) * len(shots))
    known = dataset.changes
    changes = sum(
        known.expected(cell.measure.dtype, k) * questions if known else 0.0
        for cell in number.cells
        if isinstance(cell.measure, Divergence)
        for k in shots
    )
    each = 100 / questions / len(shots) / len(number.cells)
    return Sample((0.0,) * settings, floor, changes * each**2)


def _dataset(datasets: Datasets) -> Dataset:
    known = datasets["mmlu"]
    assert isinstance(known, Dataset)  # noqa: S101  # the catalog names each task once
    return known


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
