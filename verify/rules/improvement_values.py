"""What solved examples in the prompt change: the improvement of a model with shots.

Glossary: T benchmarks; K shot counts k > 0; s_k the share of right answers at k shots, Q questions.

    relative   mean over benchmarks and k of 100 (s_k - s_0) / s_0, in percent
    points     mean over benchmarks and k of 100 (s_k - s_0), in points

Both are, to first order, sums over questions: of task t question q adds
w (r_k - g_k r_0) for each k, with r whether it was answered right and w = 100 / (T K), g_k = 1 in
points, w = 100 / (T K s_0), g_k = s_k / s_0 relative. From these follow what three flipped answers
in every evaluation do to the mean (the floor of its spread), what answers that another kernel
changes do to it (half of them: another machine's share), and its sampling error over questions.

Reference: paper v2, sections 5.2 and 5.3. Differs: the paper names neither formula nor metric;
here scores are acc_norm where the printed pretrained scores are (HellaSwag, ARC-c), else
acc. Scores are not rounded first.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from repro.decimals import half_unit
from repro.schema.catalog import Metric
from repro.schema.causes import cause
from repro.schema.manifest import Manifest
from repro.schema.tuned_claims import PAPER_BENCHMARKS, ScoreColumn
from repro.schema.tuned_slots import TunedModel
from verify import decision_rule, noise, tuned_paired
from verify.decision_rule import FLIPPED, Decision, Sample, mean, sample
from verify.evidence import Evidence
from verify.look import current
from verify.paired import most_machine_share
from verify.records.checked_record import CheckedRecord

Unit = Literal["relative", "points"]
SHOTS = (1, 3, 5)

METRICS: Mapping[str, Metric] = {each.task: each.metric for each in PAPER_BENCHMARKS}
"""Benchmark to the metric that its printed scores are in, unless a claim says otherwise."""
_ACCURACY: Metric = "accuracy"


@dataclass(frozen=True)
class Series:
    """One statistic under each setting."""

    values: tuple[float, ...]
    floor: float
    """What its standard deviation is never taken below."""
    machine: float
    """Variance that another machine adds; inf where one kernel alone was measured."""

    def __sub__(self, other: "Series") -> "Series":
        return self.less(1.0, other)

    def less(self, times: float, other: "Series") -> "Series":
        """It minus a multiple of another one."""
        values = tuple(a - times * b for a, b in zip(self.values, other.values, strict=True))
        machine = self.machine + (times**2 * other.machine if times else 0.0)
        return Series(values, math.hypot(self.floor, times * other.floor), machine)

    @property
    def sample(self) -> Sample:
        """As what is decided."""
        return sample(self.values, self.floor, self.machine)


@dataclass(frozen=True)
class MeasuredModel:
    """What one model answered on some benchmarks under each setting."""

    name: str
    rows: tuple[tuple[CheckedRecord, ...], ...]
    """One row a setting, in it one evaluation a benchmark, in the order of `metrics`."""
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)

    def improvement(self, shots: Sequence[int], unit: Unit, *, plain: bool = False) -> Series:
        """AIPSS over some shot counts; `plain` reads every score as accuracy."""
        metrics = dict.fromkeys(self.metrics, _ACCURACY) if plain else self.metrics
        found = [_improvement(row, shots, unit, metrics) for row in self.rows]
        return Series(
            tuple(each.value for each in found),
            max(each.floor for each in found),
            most_machine_share(self.rows, [each.added for each in found]),
        )

    def sampling(self, shots: Sequence[int], unit: Unit) -> Series:
        """Standard error of AIPSS over questions."""
        found = [_improvement(row, shots, unit, self.metrics) for row in self.rows]
        return Series(tuple(each.sampling for each in found), 0.0, 0.0)

    def score(self, shots: int) -> Series:
        """Mean score over benchmarks, in percent."""
        values, floors, added = [], [], []
        for row in self.rows:
            found = [e.right(m, shots) for e, m in _with_metrics(row, self.metrics)]
            values.append(100 * sum(float(each.mean()) for each in found) / len(found))
            floors.append(math.hypot(*(100 * FLIPPED / len(each) for each in found)) / len(found))
            added.append(np.concatenate([100 / len(found) / len(each) * each for each in found]))
        return Series(tuple(values), max(floors), most_machine_share(self.rows, added))


@dataclass(frozen=True)
class Models:
    """Some models under the same settings."""

    models: tuple[MeasuredModel, ...]
    repeated: int
    """Settings left out because they repeat another one."""

    @cached_property
    def loaded(self) -> list[CheckedRecord]:
        """Every evaluation."""
        return [each for model in self.models for row in model.rows for each in row]

    @property
    def settings(self) -> int:
        """Settings that gave numbers of their own."""
        return len(self.models[0].rows)


def models(
    manifest: Manifest,
    evidence: Evidence,
    named: Sequence[TunedModel],
    benchmarks: Sequence[ScoreColumn] = PAPER_BENCHMARKS,
) -> Models:
    """Models on some benchmarks under every setting.

    Raises:
        NotRunError: if an evaluation is missing.
        InvalidError: if a record cannot be trusted.
    """
    metrics = {each.task: each.metric for each in benchmarks}
    asked = [(model, task) for model in named for task in metrics]
    rows, repeated = tuned_paired.rows_of_settings(manifest, evidence, asked)
    width = len(metrics)
    found = [
        MeasuredModel(
            " ".join(name), tuple(row[at * width : (at + 1) * width] for row in rows), metrics
        )
        for at, name in enumerate(named)
    ]
    return Models(tuple(found), repeated)


@dataclass(frozen=True)
class _Improvement:
    """AIPSS of one model under one setting."""

    value: float
    floor: float
    sampling: float
    added: NDArray[np.float64]
    """What each question of each benchmark adds."""


def _improvement(
    row: Sequence[CheckedRecord], shots: Sequence[int], unit: Unit, metrics: Mapping[str, Metric]
) -> _Improvement:
    parts, flips, errors, terms = [], [], [], []
    with np.errstate(divide="ignore", invalid="ignore"):  # no right answer without an example
        for loaded, metric in _with_metrics(row, metrics):
            before = loaded.right(metric, 0).astype(np.float64)
            after = np.array([loaded.right(metric, k) for k in shots], dtype=np.float64)
            relative = unit == "relative"
            weight = 100 / (len(row) * len(shots) * (before.mean() if relative else np.float64(1)))
            ratios = after.mean(axis=1) / before.mean() if relative else np.ones(len(shots))
            parts.append(weight * (after.mean(axis=1) - before.mean()).sum())
            share = FLIPPED / len(before)
            flips.append(share * weight * np.sqrt(len(shots) + ratios.sum() ** 2))
            added = weight * (after - ratios[:, None] * before).sum(axis=0)
            errors.append(np.std(added) / math.sqrt(len(added)))
            terms.append(added / len(added))
    value, floor, sampling = sum(parts), math.hypot(*flips), math.hypot(*errors)
    return _Improvement(float(value), floor, sampling, np.concatenate(terms))


def _with_metrics(
    row: Sequence[CheckedRecord], metrics: Mapping[str, Metric]
) -> list[tuple[CheckedRecord, Metric]]:
    return list(zip(row, metrics.values(), strict=True))


# -----------------------------------------------------------------------------
# One improvement over another


def mean_of(each: Sequence[Series]) -> Series:
    """Mean over models, setting by setting."""
    values = tuple(mean(row) for row in zip(*(one.values for one in each), strict=True))
    floor = math.hypot(*(one.floor for one in each)) / len(each)
    return Series(values, floor, sum(one.machine for one in each) / len(each) ** 2)


def ratios(left: Sequence[Series], right: Sequence[Series]) -> list[float]:
    """Mean over pairs of 100 left / right under each setting."""
    columns = [
        [_percent(a, b) for a, b in zip(one.values, other.values, strict=True)]
        for one, other in zip(left, right, strict=True)
    ]
    return [mean(row) for row in zip(*columns, strict=True)]


def _percent(a: float, b: float) -> float:
    return 100 * a / b if b else math.nan


def decide_ratio(
    sides: tuple[Sequence[Series], Sequence[Series]],
    values: Sequence[float],
    published: str,
    margin: str,
) -> Decision:
    """What two improvements say about 100 times the one over the other."""
    finite = all(map(math.isfinite, values))
    where = decision_rule.direction(mean(values), published, margin) if finite else None
    if len(values) < 2:  # noqa: PLR2004  # what a spread takes
        why = cause("too-few-draws", draws=len(values), needed=2)
        return Decision("inconclusive", why, where, None, 0.0, math.inf)
    if len(sides[0]) > 1:
        why = cause("mean-of-ratios")
        return Decision("inconclusive", why, where, None, 0.0, math.inf)
    (left,), (right,) = sides
    divisor = noise.intervals_of(right.sample).draw
    if not divisor[0] > 0:
        why = cause("divisor-without-ends")
        if all(map(math.isfinite, divisor)):
            why = cause("divided-by-zero", low=divisor[0], high=divisor[1])
        return Decision("inconclusive", why, where, None, 0.0, math.inf)
    printed, limit, h = (float(Decimal(each)) for each in (published, margin, half_unit(published)))
    ends = [left.less((printed + sign * (limit - h)) / 100, right).sample for sign in (-1, 1)]
    low, high = (each.of_draw.reach(current().share(decision_rule.ERROR_RATE)) for each in ends)
    inside = ends[0].mean - low >= 0 and ends[1].mean + high <= 0
    above = ends[0].mean + ends[1].mean > 0
    nearest = left.less((printed + (h if above else -h)) / 100, right).sample
    off = nearest.mean if above == (nearest.mean > 0) else 0.0  # within what rounding leaves open
    test = decision_rule.NumberTest(off, nearest.deviation, nearest.of_draw, 0.0)
    why = cause("ratio-within" if inside and limit > h else "ratio-open", margin=margin)
    outcome: Literal["reproduced", "inconclusive"] = "inconclusive"
    if inside and limit > h:
        outcome = "reproduced"
    return Decision(outcome, why, where, test, 0.0, math.inf)
