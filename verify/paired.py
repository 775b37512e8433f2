"""Evaluations of some cells under every setting, as the statistics that rules decide by.

Per question and shots, x is right in the candidate less right in the reference: 0, or an answer
gained or lost. Per cell j, setting r and number of shots k, in percentage points, with Q questions:

    d       accuracy of the candidate minus that of the reference, signed
    c       answers whose correctness the dtype changes: the x that are not 0
    D       divergence, mean over k of |d|, as printed; folded: positive when nothing happened
    null    what D is below with probability 0.95 if gains and losses are tosses of a fair coin
    u       variance of D that another machine adds (`Divergences.machine`)

A group of cells has the mean of each over its cells. Reference: paper v2, section 5; DESIGN, "How
a claim is decided".
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from repro.schema.catalog import MMLU
from repro.schema.causes import Cause, cause
from repro.schema.groups import EvaluationGroup
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim, Divergence, UnbuiltMeasure
from repro.schema.slots import evaluation_slot, settings_of
from verify import decision_rule
from verify.decision_rule import Sample, most_likely_changes
from verify.divergences import Divergences
from verify.errors import NotRunError
from verify.evidence import Evidence
from verify.records import answers
from verify.records.checked_record import CheckedRecord

if TYPE_CHECKING:
    from repro.schema.jobs import CastMode, Tier

Pair = tuple[CheckedRecord, CheckedRecord]
"""Reference and candidate under one setting."""

Row = TypeVar("Row")
"""All that was evaluated under one setting."""

Made = TypeVar("Made")
"""What is computed of one setting."""

POINTS = "percentage points"
"""Unit of divergences."""


@dataclass(frozen=True)
class PairedCells:
    """Some cells under every setting that gave numbers of its own."""

    rows: tuple[tuple[Pair, ...], ...]
    """One row a setting, one pair a cell."""
    repeated: int
    """Settings left out because every log-likelihood was another setting's, to the last bit."""

    @cached_property
    def measured(self) -> Divergences:
        """What rules ask of them."""
        gained_by = self._gained
        return Divergences(
            net=gained_by.sum(axis=-1, dtype=np.float64),
            of_cells=np.array([[divergence(*pair) for pair in row] for row in self.rows]),
            changes=np.count_nonzero(gained_by, axis=-1).max(axis=0),
            apart=[self._changed_by_kernels(cell) for cell in range(len(self.rows[0]))],
            together=list(_together(self.rows[0])),
            questions=gained_by.shape[-1],
            least_spread=self.least_spread,
        )

    @property
    def divergences(self) -> list[float]:
        """D, one a setting."""
        return self.measured.values

    @property
    def sample(self) -> Sample:
        """D under each setting, with how far another setting and another machine may be off."""
        return self.measured.sample

    @property
    def ranges(self) -> Sample:
        """Largest divergence of a cell minus the smallest."""
        return self.measured.ranges

    @property
    def changes(self) -> NDArray[np.int64]:
        """c, the most under any setting: (cells, shots)."""
        return self.measured.changes

    @property
    def null(self) -> float:
        """95 % quantile of D if gains and losses were tosses of a fair coin."""
        return self.measured.null

    @property
    def at_the_floor(self) -> bool:
        """Whether D, mean over settings, is what nothing at all can look like."""
        return self.measured.at_the_floor

    @property
    def machine(self) -> float:
        """The share u of one machine."""
        return self.measured.machine

    @property
    def machine_share(self) -> Cause:
        """Where u comes from."""
        apart = [each for each in self.measured.apart if each is not None]
        if len(apart) < len(self.measured.apart):
            return cause("machine-from-changes", changes=int(self.changes.sum()))
        limit = sum(map(most_likely_changes, apart))
        return cause("machine-from-kernels", changes=sum(apart), limit=limit)

    @cached_property
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

    def _changed_by_kernels(self, cell: int) -> int | None:
        """Changes between two kernels, all shots together; None where one kernel ran."""
        settings = [row[cell] for row in self.rows]
        pairs = on_other_kernels(settings, self._gained[:, cell])
        return max((int(((one - other) ** 2).sum()) for one, other in pairs), default=None)


Compared = PairedCells | Divergences
"""Cells of records, or of a simulation: rules that compare ask the same of both."""


def _together(row: Sequence[Pair]) -> Iterator[list[int]]:
    """Cells that share an evaluation, also by way of another cell."""
    cells = list(enumerate(row))
    while cells:
        group, names = [cells.pop(0)], set[str]()
        while len(names) < len(names := _keys(pair for _, pair in group)):
            joined = [each for each in cells if _keys([each[1]]) & names]
            group += joined
            cells = [each for each in cells if each not in joined]
        yield [at for at, _ in group]


def _keys(pairs: Iterable[Pair]) -> set[str]:
    """Keys of the evaluations of some cells."""
    return {each.record.key for pair in pairs for each in pair}


def gained(reference: CheckedRecord, candidate: CheckedRecord) -> NDArray[np.int8]:
    """x: (shots, questions)."""
    before, after = (
        np.array([each.right("accuracy", shots) for shots in reference.shots()], np.int8)
        for each in (reference, candidate)
    )
    return after - before


_KERNELS = ("attention", "mamba_scan")
"""What a record's path says of the kernels that ran."""


def kernels_of(evaluations: Iterable[CheckedRecord]) -> tuple[str | None, ...]:
    """Attention and scan that gave the answers of some evaluations.

    Of a screened one those of its first, which has nearly all of them: two kernels that cannot
    differ tell nothing of another machine.
    """
    paths = [(each.first or each).record.path for each in evaluations]
    return tuple(path.get(name) for path in paths for name in _KERNELS)


def on_other_kernels(
    settings: Sequence[Sequence[CheckedRecord]], made: Iterable[Made]
) -> list[tuple[Made, Made]]:
    """Pairs of what was made of settings under which the same evaluations took other kernels."""
    known = [each for each in zip(settings, made, strict=True) if not _any_imported(each[0])]
    pairs = combinations(known, 2)
    return [(a, b) for (one, a), (other, b) in pairs if kernels_of(one) != kernels_of(other)]


def _any_imported(evaluations: Iterable[CheckedRecord]) -> bool:
    """Whether nobody knows which kernels some of them took."""
    return any(each.imported for each in evaluations)


def most_machine_share(
    settings: Sequence[Sequence[CheckedRecord]], terms: Iterable[NDArray[np.float64]]
) -> float:
    """The largest `machine_share` of two settings on other kernels; inf where one kernel ran.

    Args:
        settings: Evaluations under each.
        terms: What the questions add to a statistic, under each.
    """
    return max(
        (machine_share(*pair) for pair in on_other_kernels(settings, terms)), default=math.inf
    )


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
    mixed = any(_any_imported(members(row)) for row in rows)  # an import lacks some arrays
    for row in rows:
        found.setdefault(tuple(each.digest(of_answers=mixed) for each in members(row)), row)
    return tuple(found.values())


def by_cast_mode(manifest: Manifest, cell: CellClaim, evidence: Evidence) -> dict[str, Pair]:
    """Reference and candidate under a tier's first setting, by arm; those that were run."""
    wanted, tier = cell.measure, evidence.run.tier
    if not (isinstance(wanted, Divergence) and (group := evaluation_of(manifest, wanted, tier))):
        return {}
    found: dict[str, Pair] = {}
    first = settings_of(manifest, group, tier)[0].id
    named: list[CastMode] = ["weight-cast", *group.tiers[tier].other_arms]
    for arm in named:
        # ieee is a way of float32, so of the reference; the others are ways of the dtype.
        ways: list[CastMode] = [arm, "weight-cast"] if arm == "ieee" else ["weight-cast", arm]
        reference, candidate = (
            evaluation_slot(wanted.checkpoint, dtype, first, way)
            for dtype, way in zip((wanted.reference, wanted.dtype), ways, strict=True)
        )
        with suppress(NotRunError):
            found[arm] = evidence.get(reference), evidence.get(candidate)
    return found


def evaluation_of(manifest: Manifest, wanted: Divergence, tier: "Tier") -> EvaluationGroup | None:
    """The group that asks MMLU of both sides of a divergence at a tier; None if none does."""
    for group in manifest.jobs:
        if (
            isinstance(group, EvaluationGroup)
            and group.task == MMLU
            and wanted.checkpoint in group.checkpoints
            and {wanted.reference, wanted.dtype} <= set(group.dtypes)
            and tier in group.tiers
        ):
            return group
    return None


def slots_of_pairs(manifest: Manifest, wanted: Divergence, tier: "Tier") -> list[tuple[str, str]]:
    """Slots of reference and candidate, one pair a setting; none where a tier asks neither."""
    group = evaluation_of(manifest, wanted, tier)
    settings = settings_of(manifest, group, tier) if group else ()
    return [
        (
            evaluation_slot(wanted.checkpoint, wanted.reference, each.id),
            evaluation_slot(wanted.checkpoint, wanted.dtype, each.id),
        )
        for each in settings
    ]


def _pairs(manifest: Manifest, cell: CellClaim, evidence: Evidence) -> list[Pair]:
    wanted = cell.measure
    if isinstance(wanted, UnbuiltMeasure):
        message = f"no job for it: {wanted.needs}, for {cell.id}"
        raise NotRunError(message)
    assert isinstance(wanted, Divergence)  # noqa: S101  # the manifest was checked
    tier = evidence.run.tier
    slots = slots_of_pairs(manifest, wanted, tier)
    if not slots:
        sides = f"{wanted.checkpoint} in {wanted.reference} and {wanted.dtype}"
        message = f"tier {tier} does not evaluate {sides}"
        raise NotRunError(message)
    return [(evidence.get(one), evidence.get(other)) for one, other in slots]


def divergence(reference: CheckedRecord, candidate: CheckedRecord) -> float:
    """Divergence of two evaluations, percentage points."""
    return answers.divergence(reference.accuracies(), candidate.accuracies())
