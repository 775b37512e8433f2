"""Evaluations of some cells under every setting, as the statistics that rules decide by.

Per cell, setting and number of shots k, in percentage points:

    d_k   accuracy of the candidate minus that of the reference, signed
    v_k   variance of d_k if its flips were coin tosses: (lost + won) (100 / Q)^2

    divergence   mean over k of |d_k|, as printed; folded: positive when nothing happened
    shift        mean over k of d_k^2 - v_k; 0 on average when nothing happened
    null         the divergence between two settings of one dtype: what nothing looks like

A group of cells has the mean of each over its cells. Reference: paper v2, section 5.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from repro.schema.groups import EvaluationGroup
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim, Divergence, UnbuiltMeasure
from repro.schema.slots import evaluation_slot, settings_of
from verify import decision_rule
from verify.decision_rule import mean
from verify.errors import NotRunError
from verify.evidence import Evidence
from verify.records import answers
from verify.records.checked_record import CheckedRecord

if TYPE_CHECKING:
    from repro.schema.jobs import CastMode

Pair = tuple[CheckedRecord, CheckedRecord]
"""Reference and candidate under one setting."""

Row = TypeVar("Row")
"""All that was evaluated under one setting."""

POINTS = "percentage points"
"""Unit of divergences."""

_NULL_QUANTILE = 0.95


@dataclass(frozen=True)
class PairedCells:
    """Some cells under every setting that gave numbers of its own."""

    rows: tuple[tuple[Pair, ...], ...]
    """One row a setting, one pair a cell."""
    repeated: int
    """Settings left out because every log-likelihood was another setting's, to the last bit."""

    @cached_property
    def divergences(self) -> list[float]:
        """One a setting."""
        return [mean([divergence(*pair) for pair in row]) for row in self.rows]

    @cached_property
    def shifts(self) -> list[float]:
        """One a setting, squared percentage points."""
        return [mean([_shift(*pair) for pair in row]) for row in self.rows]

    @cached_property
    def ranges(self) -> list[float]:
        """Largest divergence of a cell minus the smallest, one a setting."""
        found = [[divergence(*pair) for pair in row] for row in self.rows]
        return [max(row) - min(row) for row in found]

    @cached_property
    def null(self) -> float:
        """95 % quantile of the null divergence; NaN with a single setting."""
        found = [
            mean([divergence(a[arm], b[arm]) for a, b in zip(*rows, strict=True)])
            for rows in combinations(self.rows, 2)
            for arm in (0, 1)
        ]
        return float(np.quantile(found, _NULL_QUANTILE, method="higher")) if found else math.nan

    @property
    def at_the_floor(self) -> bool:
        """Whether the mean divergence is what nothing at all can look like; unknown counts."""
        return not mean(self.divergences) > self.null

    @property
    def least_spread(self) -> float:
        """What the standard deviation of a divergence is never taken below.

        An evaluation that several cells share moves all of them in one direction.
        """
        row = self.rows[0]
        reference = row[0][0]
        shared = Counter(each.record.key for pair in row for each in pair)
        weight = sum(count**2 for count in shared.values())  # 2 a cell where none is shared
        evaluations = 2 * len(row) ** 2 * len(reference.shots()) / weight
        return decision_rule.floor(_questions(reference), evaluations)

    @property
    def loaded(self) -> list[CheckedRecord]:
        """Every evaluation."""
        return [each for row in self.rows for pair in row for each in pair]

    def flips(self) -> tuple[float, float]:
        """Answers lost and won over all shots and cells, mean over settings."""
        found = [_flips(*pair) for row in self.rows for pair in row]
        lost, won = (sum(each) / len(self.rows) for each in zip(*found, strict=True))
        return lost, won

    def reference_accuracy(self) -> tuple[float, float, float]:
        """Lowest and highest accuracy of the references, and that of the commonest gold answer."""
        references = [pair[0] for row in self.rows for pair in row]
        found = [each for reference in references for each in reference.accuracies()]
        one = references[0]
        gold = one.gold(one.shots()[0])
        return min(found), max(found), float(np.bincount(gold).max() / len(gold))


def pair_cells(manifest: Manifest, cells: Sequence[CellClaim], evidence: Evidence) -> PairedCells:
    """Reference and candidate of each cell under every setting of the tier.

    Raises:
        NotRunError: if an evaluation is missing, or its job type is not built.
        InvalidError: if a record cannot be trusted.
    """
    columns = [_pairs(manifest, cell, evidence) for cell in cells]
    return pair_rows(list(zip(*columns, strict=True)))


def pair_rows(rows: Sequence[tuple[Pair, ...]]) -> PairedCells:
    """Pairs of some cells, one row a setting, without settings that repeat another."""
    kept = distinct_rows(rows, lambda row: [each for pair in row for each in pair])
    return PairedCells(kept, len(rows) - len(kept))


def distinct_rows(
    rows: Sequence[Row], members: Callable[[Row], Iterable[CheckedRecord]]
) -> tuple[Row, ...]:
    """The first row of each that gave the same numbers: a repetition is no further draw."""
    found: dict[tuple[str, ...], Row] = {}
    for row in rows:
        found.setdefault(tuple(each.record.arrays.sha256 for each in members(row)), row)
    return tuple(found.values())


def by_cast_mode(manifest: Manifest, cell: CellClaim, evidence: Evidence) -> dict[str, float]:
    """Divergence of a cell under a tier's first setting, by arm; those that were run."""
    wanted = cell.measure
    found: dict[str, float] = {}
    for group in manifest.jobs:
        if (
            isinstance(group, EvaluationGroup)
            and isinstance(wanted, Divergence)
            and wanted.checkpoint in group.checkpoints
        ):
            first = settings_of(manifest, group, evidence.run.tier)[0].id
            named: list[CastMode] = ["weight-cast", *group.tiers[evidence.run.tier].other_arms]
            for arm in named:
                # ieee is a way of float32, so of the reference; the others are ways of the dtype.
                ways: list[CastMode] = (
                    [arm, "weight-cast"] if arm == "ieee" else ["weight-cast", arm]
                )
                dtypes = (wanted.reference, wanted.dtype)
                sides = [
                    evaluation_slot(wanted.checkpoint, dtype, first, way)
                    for dtype, way in zip(dtypes, ways, strict=True)
                ]
                with suppress(NotRunError):
                    found[arm] = divergence(*map(evidence.get, sides))
    return found


def _pairs(manifest: Manifest, cell: CellClaim, evidence: Evidence) -> list[Pair]:
    wanted = cell.measure
    if isinstance(wanted, UnbuiltMeasure):
        message = f"no job for it: {wanted.needs}, for {cell.id}"
        raise NotRunError(message)
    assert isinstance(wanted, Divergence)  # noqa: S101  # the manifest was checked
    for group in manifest.jobs:
        if isinstance(group, EvaluationGroup) and wanted.checkpoint in group.checkpoints:
            return [
                (
                    evidence.get(evaluation_slot(wanted.checkpoint, wanted.reference, each.id)),
                    evidence.get(evaluation_slot(wanted.checkpoint, wanted.dtype, each.id)),
                )
                for each in settings_of(manifest, group, evidence.run.tier)
            ]
    message = f"no evaluation of {manifest.id} runs {wanted.checkpoint}"
    raise AssertionError(message)  # the manifest was checked when it was loaded


def divergence(reference: CheckedRecord, candidate: CheckedRecord) -> float:
    """Divergence of two evaluations, percentage points."""
    return answers.divergence(reference.accuracies(), candidate.accuracies())


def _shift(reference: CheckedRecord, candidate: CheckedRecord) -> float:
    found = []
    for shots in reference.shots():
        flips = _flips_at(reference, candidate, shots)
        unit = 100 / len(reference.predicted(shots))
        found.append(((flips.won - flips.lost) ** 2 - (flips.won + flips.lost)) * unit**2)
    return mean(found)


def _flips(reference: CheckedRecord, candidate: CheckedRecord) -> tuple[int, int]:
    found = [_flips_at(reference, candidate, shots) for shots in reference.shots()]
    return sum(each.lost for each in found), sum(each.won for each in found)


def _flips_at(reference: CheckedRecord, candidate: CheckedRecord, shots: int) -> answers.Flips:
    gold = reference.gold(shots)
    return answers.flips(reference.predicted(shots), candidate.predicted(shots), gold)


def _questions(loaded: CheckedRecord) -> int:
    return len(loaded.predicted(loaded.shots()[0]))
