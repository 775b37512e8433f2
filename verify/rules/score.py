"""Claims about scores: a printed score, a mean over tasks, and a count of wins.

Both arms of a comparison ran under the same settings and seeds, so a win is decided on paired
differences over settings. Another machine is taken to be as far off as another kernel; where one
kernel alone was measured, nothing is decided. How far a score would carry to other questions
(lm-eval's standard error, McNemar's test) stands in the working and is never the tolerance.

Reference: paper v2, Appendix F; McNemar 1947.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from repro.schema.catalog import Metric
from repro.schema.causes import Estimate, cause
from repro.schema.evaluation.asking import asking
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim
from repro.schema.tuned_claims import MeasuredWinsClaim, ScoreColumn, Scores, columns_of
from repro.schema.tuned_slots import PRETRAINED, TunedModel, model_of
from verify import noise, shown, tuned_paired
from verify.decidable import score_floor
from verify.decision_rule import Decision, Sample, decide, mean
from verify.evidence import Evidence
from verify.outcome import JudgedClaim, RuleDecision
from verify.paired import most_machine_share
from verify.records.answers import lost_and_won
from verify.records.benchmark import perplexity
from verify.records.checked_record import CheckedRecord
from verify.rules.improvement_values import Series

_SHOTS = 0
"""Of wins."""
_SAMPLING = 2
"""Standard errors of the questions that the page's claims on sampling ask for."""


@dataclass(frozen=True)
class MeasuredScore:
    """One score, or a mean of several, under each setting."""

    wanted: Scores
    rows: tuple[tuple[CheckedRecord, ...], ...]
    """One row a setting, in it one evaluation a column."""

    @property
    def name(self) -> str:
        """For people."""
        tasks = ", ".join(each.task for each in columns_of(self.wanted))
        return f"{' '.join(model_of(self.wanted))} on {tasks}"

    @cached_property
    def series(self) -> Series:
        """The score under each setting."""
        return series_of(columns_of(self.wanted), self.rows, self.wanted.shots)

    @property
    def loaded(self) -> list[CheckedRecord]:
        """Every evaluation."""
        return [each for row in self.rows for each in row]

    def estimates(self) -> Iterator[Estimate]:
        """How far the score carries to other questions, and what one answer alone would get."""
        columns, first = columns_of(self.wanted), self.rows[0]
        errors = [
            _standard_error(each, one.metric, self.wanted.shots)
            for each, one in zip(first, columns, strict=True)
        ]
        error = math.hypot(*errors) / len(errors)
        yield from shown.estimate("standard error over questions", error)
        shots = self.wanted.shots
        has_choices = all(f"shots{shots}/gold" in each.arrays for each in first)
        if self.wanted.method is None and has_choices:
            golds = [each.gold(shots) for each in first]
            share = mean([float(np.bincount(gold).max() / len(gold)) for gold in golds])
            yield from shown.estimate("share of the commonest answer", 100 * share, unit="%")


def measured(
    manifest: Manifest, evidence: Evidence, wanted: Sequence[Scores]
) -> tuple[list[MeasuredScore], int]:
    """Some scores under the same settings, and how many settings repeat another.

    Raises:
        NotRunError: if an evaluation is missing.
        InvalidError: if a record cannot be trusted.
    """
    columns = []
    for one in wanted:
        for each in columns_of(one):
            found = asking(manifest, model_of(one), each.task, one.dtype, one.shots)
            assert found  # noqa: S101  # the manifest was checked when it was loaded
            columns.append(tuned_paired.answers_to(evidence, found))
    rows, repeated = tuned_paired.distinct_settings(columns)
    scores, start = [], 0
    for one in wanted:
        end = start + len(columns_of(one))
        scores.append(MeasuredScore(one, tuple(row[start:end] for row in rows)))
        start = end
    return scores, repeated


def cell(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> JudgedClaim:
    """A printed score, or mean of scores, against that under each setting."""
    measure = claim.measure
    assert isinstance(measure, Scores)  # noqa: S101  # the dispatch saw to it
    (found,), repeated = measured(manifest, evidence, [measure])
    series = found.series
    published, margin = manifest.text_of(claim.published), claim.margin.value

    def decided(text: str) -> Decision:
        return decide(series.sample, text, margin, least_spread=series.floor)

    others = [
        manifest.text_of(each.published)
        for each in manifest.claims
        if isinstance(each, CellClaim)
        and isinstance(each.measure, Scores)
        and columns_of(each.measure) == columns_of(measure)
        and each.id != claim.id
    ]
    decision = decided(published)
    judged = shown.decided_number(
        decision,
        series.sample,
        manifest.printed(claim.published),
        margin,
        shown.what_it_notices(decision, [decided(text) for text in others]),
        found.loaded,
        (*found.estimates(), *_before(manifest, evidence, measure)),
        tier=evidence.run.tier,
    )
    return shown.require_settings(judged, len(found.rows), repeated)


def score(loaded: CheckedRecord, metric: Metric, shots: int) -> float:
    """Accuracy in percent, or perplexity."""
    if metric == "perplexity":
        return perplexity(loaded.arrays[f"shots{shots}/log_likelihood"][:, 0])
    return float(100 * loaded.right(metric, shots).mean())


def series_of(
    columns: Sequence[ScoreColumn], rows: Sequence[Sequence[CheckedRecord]], shots: int
) -> Series:
    """A mean of scores under each setting, with what another kernel does to single questions.

    Args:
        columns: What it is the mean of.
        rows: One a setting, in it one evaluation a column.
        shots: Examples that were shown.
    """
    parts = [
        [score(each, one.metric, shots) for each, one in zip(row, columns, strict=True)]
        for row in rows
    ]
    by_column = [tuple(column) for column in zip(*parts, strict=True)]
    floors = [
        score_floor(one.metric, mean(values), _questions(each, shots))
        for one, values, each in zip(columns, by_column, rows[0], strict=True)
    ]
    terms = [
        np.concatenate(
            [
                _terms(each, one.metric, shots, mean(values)) / len(columns)
                for each, one, values in zip(row, columns, by_column, strict=True)
            ]
        )
        for row in rows
    ]
    machine = most_machine_share(rows, terms)
    return Series(tuple(map(mean, parts)), math.hypot(*floors) / len(columns), machine)


def _terms(loaded: CheckedRecord, metric: Metric, shots: int, middle: float) -> NDArray[np.float64]:
    """What each question adds to a score; of a perplexity, to first order about the mean one."""
    questions = _questions(loaded, shots)
    if metric == "perplexity":
        words = loaded.arrays[f"shots{shots}/log_likelihood"][:, 0].astype(np.float64)
        return -middle * words / questions
    return 100 * loaded.right(metric, shots).astype(np.float64) / questions


def _before(manifest: Manifest, evidence: Evidence, measure: Scores) -> list[Estimate]:
    """The score before tuning, where it was run."""
    if measure.method is None:
        return []
    model, values = TunedModel(measure.checkpoint, PRETRAINED), []
    for each in columns_of(measure):
        found = tuned_paired.evaluations_if_run(manifest, evidence, model, each.task)
        values += [score(one, each.metric, measure.shots) for one in found]
    return [*shown.estimate("before tuning", mean(values))] if values else []


def _standard_error(loaded: CheckedRecord, metric: Metric, shots: int) -> float:
    """Standard error of a score over questions, as lm-eval gives it; by the delta method."""
    if metric == "perplexity":
        words = loaded.arrays[f"shots{shots}/log_likelihood"][:, 0]
        return score(loaded, metric, shots) * _error_of_mean(words)
    return 100 * _error_of_mean(loaded.right(metric, shots).astype(np.float64))


def _error_of_mean(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> float:
    with np.errstate(invalid="ignore"):  # a tuned model may have overflowed
        return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _questions(loaded: CheckedRecord, shots: int) -> int:
    return len(loaded.arrays[f"shots{shots}/log_likelihood"])


# -----------------------------------------------------------------------------
# Wins


@dataclass(frozen=True)
class _Comparison:
    """One checkpoint and column under every setting."""

    name: str
    left: tuple[float, ...]
    right: tuple[float, ...]
    margins: Sample
    """By how much the left arm is better, one a setting."""
    z: float
    """Of the sampling of questions, under the first setting."""
    loaded: tuple[CheckedRecord, ...]
    repeated: int

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """Both scores, by how much the left is better, and z of the sampling of questions."""
        span = noise.intervals_of(self.margins).mean
        return (
            *shown.estimate(f"{self.name}, left", mean(self.left)),
            *shown.estimate(f"{self.name}, right", mean(self.right)),
            *shown.estimate(f"{self.name}, better by", self.margins.mean, span),
            *shown.estimate(f"{self.name}, z of the questions", self.z),
        )


def wins(manifest: Manifest, claim: MeasuredWinsClaim, evidence: Evidence) -> JudgedClaim:
    """A printed count of wins against the measured ones; a tie is no win."""
    each = [
        _compared(
            manifest,
            evidence,
            TunedModel(checkpoint, claim.left),
            TunedModel(checkpoint, claim.right),
            column,
        )
        for checkpoint, column in product(claim.checkpoints, claim.columns)
    ]
    tests, published = len(each), manifest.text_of(claim.published)
    spans = [noise.intervals_of(one.margins, tests).draw for one in each]
    sure, possible = sum(low > 0 for low, _ in spans), sum(high > 0 for _, high in spans)
    outcome, measured, direction = shown.count_sides(int(published), sure, possible)
    beyond = sum(one.z > _SAMPLING for one in each)
    why = cause("counted-won", total=tests, sure=sure, possible=possible)
    total = f"{published} of {manifest.text_of(claim.out_of)}"
    decided = RuleDecision(
        outcome,
        total,
        f"{measured} of {tests}",
        "exact",
        (why,),
        (cause("won-beyond-sampling", won=beyond, z=_SAMPLING),),
        tuple(number for one in each for number in one.estimates),
    )
    decided = shown.not_here(decided, evidence.run.tier, away=direction.code == "disagrees")
    loaded = [record for one in each for record in one.loaded]
    fewest = min(each, key=lambda one: len(one.margins.values))
    return shown.require_settings(
        JudgedClaim(decided, direction, loaded), len(fewest.margins.values), fewest.repeated
    )


def _compared(
    manifest: Manifest, evidence: Evidence, left: TunedModel, other: TunedModel, column: ScoreColumn
) -> _Comparison:
    """Two arms of a checkpoint in one column."""
    asked = [(left, column.task), (other, column.task)]
    rows, repeated = tuned_paired.rows_of_settings(manifest, evidence, asked)
    one, two = (series_of([column], [(row[side],) for row in rows], _SHOTS) for side in (0, 1))
    better = two - one if column.metric == "perplexity" else one - two
    return _Comparison(
        name=f"{left.checkpoint} {column.task} {column.metric}",
        left=one.values,
        right=two.values,
        margins=better.sample,
        z=question_z(rows[0][0], rows[0][1], column.metric, _SHOTS),
        loaded=tuple(each for row in rows for each in row),
        repeated=repeated,
    )


def question_z(left: CheckedRecord, other: CheckedRecord, metric: Metric, shots: int) -> float:
    """By how many standard errors of paired questions the left is better: McNemar's z."""
    if metric == "perplexity":
        name = f"shots{shots}/log_likelihood"
        apart = left.arrays[name][:, 0] - other.arrays[name][:, 0]
        error = _error_of_mean(apart)
        return float(apart.mean() / error) if error else 0.0
    one, two = (each.right(metric, shots) for each in (left, other))
    alone, other_alone = lost_and_won(one, two)
    discordant = alone + other_alone
    return (alone - other_alone) / math.sqrt(discordant) if discordant else 0.0
