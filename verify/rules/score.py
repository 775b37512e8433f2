"""Claims about zero-shot scores of tuned models: a printed score, and a count of wins.

Both arms of a comparison ran under the same settings and seeds, so a win is decided on paired
differences over settings. Another machine is taken to be as far off as another kernel; where one
kernel alone was measured, nothing is decided. How far a score would carry to other questions
(lm-eval's standard error, McNemar's test) stands in the working and is never the tolerance.

Reference: paper v2, Appendix F; McNemar 1947.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from repro.schema.causes import Estimate, cause
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim
from repro.schema.tuned_claims import MeasuredWinsClaim, Score, ScoreColumn
from repro.schema.tuned_slots import PRETRAINED, TunedModel, models_of
from verify import noise, shown, tuned_paired
from verify.decidable import score_floor
from verify.decision_rule import Decision, Sample, decide, mean, sample
from verify.evidence import Evidence
from verify.outcome import JudgedClaim, RuleDecision
from verify.paired import most_machine_share
from verify.records.answers import Metric
from verify.records.benchmark import score
from verify.records.checked_record import CheckedRecord

_SHOTS = 0
_SAMPLING = 2
"""Standard errors of the questions that the page's claims on sampling ask for."""


def cell(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> JudgedClaim:
    """A printed score against the score under each setting."""
    measure = claim.measure
    assert isinstance(measure, Score)  # noqa: S101  # the dispatch saw to it
    asked = [(model, measure.task) for model in models_of(measure)]
    rows, repeated = tuned_paired.rows_of_settings(manifest, evidence, asked)
    loaded = [row[0] for row in rows]
    found = _scores(loaded, measure.metric)
    published, margin = manifest.text_of(claim.published), claim.margin.value
    least = score_floor(measure.metric, found.mean, _questions(loaded[0]))

    def decided(text: str) -> Decision:
        return decide(found, text, margin, least_spread=least)

    others = [
        manifest.text_of(each.published)
        for each in manifest.claims
        if isinstance(each, CellClaim)
        and isinstance(each.measure, Score)
        and (each.measure.task, each.measure.metric) == (measure.task, measure.metric)
        and each.id != claim.id
    ]
    decision = decided(published)
    working = (*shown.what_it_notices(decision, [decided(text) for text in others]),)
    error = _standard_error(loaded[0], measure.metric)
    judged = shown.decided_number(
        decision,
        found,
        manifest.printed(claim.published),
        margin,
        working,
        loaded,
        (
            *shown.estimate("standard error over questions", error),
            *_before(manifest, evidence, measure),
        ),
        tier=evidence.run.tier,
    )
    return shown.require_settings(judged, len(rows), repeated)


def _scores(loaded: Sequence[CheckedRecord], metric: Metric) -> Sample:
    """One score under each setting, with what another kernel does to single questions."""
    values = [score(each.arrays, metric, _SHOTS) for each in loaded]
    least = score_floor(metric, mean(values), _questions(loaded[0]))
    terms = [_terms(each, metric, values) for each in loaded]
    return sample(values, least, most_machine_share([(each,) for each in loaded], terms))


def _terms(loaded: CheckedRecord, metric: Metric, values: Sequence[float]) -> NDArray[np.float64]:
    """What each question adds to a score; of a perplexity, to first order."""
    questions = _questions(loaded)
    if metric == "perplexity":
        words = loaded.arrays[f"shots{_SHOTS}/log_likelihood"][:, 0].astype(np.float64)
        return -mean(values) * words / questions
    return 100 * loaded.right(metric, _SHOTS).astype(np.float64) / questions


def _before(manifest: Manifest, evidence: Evidence, measure: Score) -> list[Estimate]:
    """The score before tuning, where it was run."""
    model = TunedModel(measure.checkpoint, PRETRAINED)
    found = tuned_paired.evaluations_if_run(manifest, evidence, model, measure.task)
    values = [score(each.arrays, measure.metric, _SHOTS) for each in found]
    return [*shown.estimate("before tuning", mean(values))] if values else []


def _standard_error(loaded: CheckedRecord, metric: Metric) -> float:
    """Standard error of a score over questions, as lm-eval gives it; by the delta method."""
    if metric == "perplexity":
        words = loaded.arrays[f"shots{_SHOTS}/log_likelihood"][:, 0]
        return score(loaded.arrays, metric, _SHOTS) * _error_of_mean(words)
    return 100 * _error_of_mean(loaded.right(metric, _SHOTS).astype(np.float64))


def _error_of_mean(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> float:
    with np.errstate(invalid="ignore"):  # a tuned model may have overflowed
        return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _questions(loaded: CheckedRecord) -> int:
    return len(loaded.arrays[f"shots{_SHOTS}/log_likelihood"])


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
    one, two = (_scores([row[side] for row in rows], column.metric) for side in (0, 1))
    sign = -1 if column.metric == "perplexity" else 1
    margins = [sign * (a - b) for a, b in zip(one.values, two.values, strict=True)]
    questions = _questions(rows[0][0])
    floor = math.hypot(*(score_floor(column.metric, e.mean, questions) for e in (one, two)))
    return _Comparison(
        name=f"{left.checkpoint} {column.task} {column.metric}",
        left=one.values,
        right=two.values,
        margins=sample(margins, floor, one.machine + two.machine),
        z=_z(rows[0][0], rows[0][1], column.metric),
        loaded=tuple(each for row in rows for each in row),
        repeated=repeated,
    )


def _z(left: CheckedRecord, other: CheckedRecord, metric: Metric) -> float:
    """By how many standard errors of paired questions the left is better: McNemar's z."""
    if metric == "perplexity":
        name = f"shots{_SHOTS}/log_likelihood"
        apart = left.arrays[name][:, 0] - other.arrays[name][:, 0]
        error = _error_of_mean(apart)
        return float(apart.mean() / error) if error else 0.0
    one, two = (each.right(metric, _SHOTS) for each in (left, other))
    alone, other_alone = int((one & ~two).sum()), int((two & ~one).sum())
    discordant = alone + other_alone
    return (alone - other_alone) / math.sqrt(discordant) if discordant else 0.0
