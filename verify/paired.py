"""Evaluations of some cells under every setting, as the statistics that rules decide by.

Per question and shots, x is right in the candidate less right in the reference: 0, or an answer
gained or lost. Per cell j, setting r and number of shots k, in percentage points, with Q questions:

    d       accuracy of the candidate minus that of the reference, signed
    c       answers whose correctness the dtype changes: the x that are not 0
    D       divergence, mean over k of |d|, as printed; folded: positive when nothing happened
    null    what D is below with probability 0.95 if gains and losses are tosses of a fair coin
    u       variance of D that another machine adds (`PairedCells.machine`)

A group of cells has the mean of each over its cells. Reference: paper v2, section 5; DESIGN, "How
a claim is decided".
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
from numpy.typing import NDArray

from repro.schema.causes import Cause, cause
from repro.schema.groups import EvaluationGroup
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim, Divergence, UnbuiltMeasure
from repro.schema.slots import evaluation_slot, settings_of
from verify import decision_rule
from verify.decision_rule import Sample, coin_flips, mean, most_likely_changes
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

_HALF = 0.5
"""Of the changes between two machines or kernels, that one of them brings."""


@dataclass(frozen=True)
class PairedCells:
    """Some cells under every setting that gave numbers of its own."""

    rows: tuple[tuple[Pair, ...], ...]
    """One row a setting, one pair a cell."""
    repeated: int
    """Settings left out because every log-likelihood was another setting's, to the last bit."""

    @cached_property
    def divergences(self) -> list[float]:
        """D, one a setting."""
        return [mean([divergence(*pair) for pair in row]) for row in self.rows]

    @cached_property
    def sample(self) -> Sample:
        """D under each setting, with how far another setting and another machine may be off.

        Folding at 0 hides a part of the spread: s is never below that of the signed differences.
        """
        signed = self._gained.mean(axis=-1) * 100
        least = self.least_spread
        if len(self.rows) > 1:
            cells = signed.var(axis=0, ddof=1).sum(axis=-1) / signed.shape[-1] ** 2
            least = max(least, math.sqrt(self._of_mean(cells)))
        return decision_rule.sample(self.divergences, least, self.machine)

    @cached_property
    def ranges(self) -> Sample:
        """Largest divergence of a cell minus the smallest: one cell moves it, not their mean."""
        found = [[divergence(*pair) for pair in row] for row in self.rows]
        values = [max(row) - min(row) for row in found]
        least = self.least_spread * len(self.rows[0]) ** 0.5
        return decision_rule.sample(values, least, 2 * float(self._machines.max()))

    @cached_property
    def changes(self) -> NDArray[np.int64]:
        """c, the most under any setting: (cells, shots)."""
        found: NDArray[np.int64] = np.count_nonzero(self._gained, axis=-1).max(axis=0)
        return found

    @cached_property
    def null(self) -> float:
        """95 % quantile of D if gains and losses were tosses of a fair coin."""
        return coin_flips(tuple(sorted(self.changes.ravel().tolist())), self._gained.shape[-1])

    @property
    def at_the_floor(self) -> bool:
        """Whether D, mean over settings, is what nothing at all can look like."""
        net = int(np.abs(self._gained.sum(axis=-1, dtype=np.int64)).sum())
        # One division of whole numbers, as the null is: means of rounded ones miss a tie.
        return not 100 * net / self._gained.size > self.null

    @property
    def machine(self) -> float:
        """U. Measured, half of the changes between two kernels; else c, as if all were redrawn.

        The largest pair of settings is taken, and the upper limit of its count; settings that
        differ in batch or order alone say nothing of another machine.
        """
        return self._of_mean(self._machines)

    @property
    def machine_share(self) -> Cause:
        """Where u comes from."""
        apart = [each for each in self._apart if each is not None]
        if len(apart) < len(self._apart):
            return cause("machine-from-changes", changes=int(self.changes.sum()))
        limit = sum(map(most_likely_changes, apart))
        return cause("machine-from-kernels", changes=sum(apart), limit=limit)

    @property
    def least_spread(self) -> float:
        """What the standard deviation of a divergence is never taken below.

        An evaluation that several cells share moves all of them in one direction.
        """
        row = self.rows[0]
        shared = Counter(each.record.key for pair in row for each in pair)
        weight = sum(count**2 for count in shared.values())  # 2 a cell where none is shared
        evaluations = 2 * len(row) ** 2 * len(row[0][0].shots()) / weight
        return decision_rule.floor(self._gained.shape[-1], evaluations)

    @property
    def loaded(self) -> list[CheckedRecord]:
        """Every evaluation."""
        return [each for row in self.rows for pair in row for each in pair]

    def flips(self) -> tuple[float, float]:
        """Answers lost and won over all shots and cells, mean over settings."""
        lost, won = ((self._gained == sign).sum() / len(self.rows) for sign in (-1, 1))
        return float(lost), float(won)

    def reference_accuracy(self) -> tuple[float, float, float]:
        """Lowest and highest accuracy of the references, and that of the commonest gold answer."""
        references = [pair[0] for row in self.rows for pair in row]
        found = [each for reference in references for each in reference.accuracies()]
        one = references[0]
        gold = one.gold(one.shots()[0])
        return min(found), max(found), float(np.bincount(gold).max() / len(gold))

    @cached_property
    def _gained(self) -> NDArray[np.int8]:
        """x: (settings, cells, shots, questions)."""
        return np.array([[gained(*pair) for pair in row] for row in self.rows])

    @cached_property
    def _apart(self) -> list[int | None]:
        """Changes between two kernels, all shots of a cell together; None where one kernel ran."""
        found = list[int | None]()
        for cell in range(len(self.rows[0])):
            pairs = [
                int(((self._gained[a, cell] - self._gained[b, cell]) ** 2).sum())
                for a, b in combinations(range(len(self.rows)), 2)
                if kernels_of(self.rows[a][cell]) != kernels_of(self.rows[b][cell])
            ]
            found.append(max(pairs, default=None))
        return found

    @cached_property
    def _machines(self) -> NDArray[np.float64]:
        """U of each cell."""
        by_changes = self.changes.sum(axis=1).tolist()
        counts = [
            count if apart is None else _HALF * most_likely_changes(apart)
            for apart, count in zip(self._apart, by_changes, strict=True)
        ]
        shots, questions = self._gained.shape[-2:]
        return np.array(counts) * (100 / questions / shots) ** 2

    def _of_mean(self, variances: NDArray[np.float64]) -> float:
        """Variance of the mean over cells, each with its own.

        Cells that share an evaluation are taken to move together: their deviations add up.
        """
        cells, total = list(enumerate(self.rows[0])), 0.0
        while cells:
            together, names = [cells.pop(0)], set[str]()
            while len(names) < len(names := _keys(pair for _, pair in together)):
                joined = [each for each in cells if _keys([each[1]]) & names]
                together += joined
                cells = [each for each in cells if each not in joined]
            total += sum(math.sqrt(variances[at]) for at, _ in together) ** 2
        return total / len(self.rows[0]) ** 2


def _keys(pairs: Iterable[Pair]) -> set[str]:
    """Keys of the evaluations of some cells."""
    return {each.record.key for pair in pairs for each in pair}


def gained(reference: CheckedRecord, candidate: CheckedRecord) -> NDArray[np.int8]:
    """x: (shots, questions)."""
    found = []
    for shots in reference.shots():
        gold = reference.gold(shots)
        before, after = (each.predicted(shots) == gold for each in (reference, candidate))
        found.append(after.astype(np.int8) - before.astype(np.int8))
    return np.array(found, np.int8)


_KERNELS = ("attention", "mamba_scan")
"""What a record's path says of the kernels that ran."""


def kernels_of(evaluations: Iterable[CheckedRecord]) -> tuple[str | None, ...]:
    """Attention and scan that some evaluations really took."""
    return tuple(each.record.path.get(name) for each in evaluations for name in _KERNELS)


def other_kernels(
    rows: Sequence[Sequence[CheckedRecord]],
) -> list[tuple[Sequence[CheckedRecord], Sequence[CheckedRecord]]]:
    """Pairs of settings under which the same evaluations took different kernels."""
    pairs = combinations(rows, 2)
    return [(one, other) for one, other in pairs if kernels_of(one) != kernels_of(other)]


def machine_share(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Variance that another machine adds to a sum over questions, from two kernels' terms of it.

    Half of the squared changes, more by as much as their number may be (`most_likely_changes`).
    """
    largest, apart = max(np.abs(one).max(), np.abs(other).max()), np.abs(one - other)
    changed = int((apart > _CHANGED * largest).sum())
    most = most_likely_changes(changed)
    if not changed:
        return float(most * largest**2 / 2)
    return float((apart**2).sum() * most / changed / 2)


_CHANGED = 1e-3
"""Of the largest term: less is no changed answer, but another weight of the same."""


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


def by_cast_mode(manifest: Manifest, cell: CellClaim, evidence: Evidence) -> dict[str, Pair]:
    """Reference and candidate under a tier's first setting, by arm; those that were run."""
    wanted = cell.measure
    found: dict[str, Pair] = {}
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
                reference, candidate = (
                    evaluation_slot(wanted.checkpoint, dtype, first, way)
                    for dtype, way in zip((wanted.reference, wanted.dtype), ways, strict=True)
                )
                with suppress(NotRunError):
                    found[arm] = evidence.get(reference), evidence.get(candidate)
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
