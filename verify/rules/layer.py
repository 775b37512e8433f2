"""Claims about state-space layers and exact algebra, decided from arrays of records.

A theorem speaks of every layer: one counterexample beyond rounding contradicts it, and
no number of layers proves it. So what was sampled is `contradicted` or `inconclusive`;
only exact algebra is `reproduced`. A claim whose controls do not break is `invalid`: its
check cannot fail, so it shows nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from repro import fileio
from repro.schema.causes import Cause, cause
from repro.schema.jobs import StabilityJob
from repro.schema.measured_claims import BoundClaim, Control, IdentityClaim, TrendClaim
from verify.errors import InvalidError
from verify.evidence import Evidence
from verify.outcome import JudgedClaim, RuleDecision
from verify.records.checked_record import CheckedRecord
from verify.shown import estimate

if TYPE_CHECKING:
    from repro.schema.finding import Outcome

_SIGNS = {"at-most": "≤", "below": "<", "above": ">"}
_FEWEST_POINTS = 3
_THIRDS = 3


def bound(claim: BoundClaim, evidence: Evidence) -> JudgedClaim:
    """Every entry of the arrays within the limit, and every entry of each control outside."""
    loaded = [evidence.get(job) for job in claim.jobs]
    limit = float(claim.limit)
    parts = [(each, name, _entries(each, name)) for each in loaded for name in claim.arrays]
    marked = [(*part[:2], ~_within(part[2], claim.relation, limit)) for part in parts]
    layers, broken = _of_layers(marked)
    for control in claim.controls:
        for each in loaded:
            if _within(_entries(each, control.array), claim.relation, limit).any():
                raise InvalidError(_uncaught_control(each, control.what))
    published = f"{_SIGNS[claim.relation]} {limit:.6g}"
    entries = np.concatenate([np.ravel(part[2]) for part in parts])
    worst = float(entries.min() if claim.relation == "above" else entries.max())
    share = f"{broken:,} of {layers:,} layers break it" if broken else f"all of {layers:,} hold it"
    measured = f"{worst:.6g} at worst; {share}"
    estimates = (*estimate("worst entry", worst), *estimate("entries", len(entries)))
    outcome: Outcome = "inconclusive"
    why, direction = cause("held", count=layers), cause("holds-so-far")
    if broken:
        outcome, why = "contradicted", cause("counterexamples", broken=broken, layers=layers)
    causes = (why, _caught(claim.controls))
    decided = RuleDecision(outcome, published, measured, "none", causes, (), estimates)
    return JudgedClaim(decided, None if broken else direction, loaded)


def trend(claim: TrendClaim, evidence: Evidence) -> JudgedClaim:
    """The fitted exponential rate of every curve is negative, controls excepted.

    A recurrence has no noise, and what rounding can make up is left out: the sign of a rate is a
    fact about the steps that were recorded, without a level of confidence. It says nothing about
    later steps, so a rate that is not negative refutes nothing and is only not held. A curve
    contradicts if it rises throughout: each third of it lies wholly above the one before.
    """
    loaded = [evidence.get(job) for job in claim.jobs]
    pairs = list(zip(claim.arrays, claim.floors, strict=True))
    every = [
        (each, name, _rates(each, name, floor, claim.times))
        for each in loaded
        for name, floor in pairs
    ]
    for control in claim.controls:
        for each in loaded:
            if (_rates(each, control.array, None, claim.times).value < 0).any():
                raise InvalidError(_uncaught_control(each, control.what))
    layers, rest = _of_layers([(each, name, rates.value >= 0) for each, name, rates in every])
    _, rising = _of_layers([(each, name, rates.rising) for each, name, rates in every])
    values = np.concatenate([rates.value for *_, rates in every])
    least, most = float(values.min()), float(values.max())
    measured = f"rates {least:.3g} to {most:.3g} a step"
    estimates = (
        *estimate("least rate", least, unit="a step"),
        *estimate("greatest rate", most, unit="a step"),
        *estimate("curves", len(values)),
    )
    outcome: Outcome = "inconclusive"
    why, direction = [cause("held", count=layers)], [cause("holds-so-far")]
    if rest:
        why, direction = [cause("curves-not-falling", rest=rest, layers=layers)], []
    if rising:
        outcome = "contradicted"
        why.insert(0, cause("curves-rise", rising=rising, layers=layers))
    causes = (*why, _caught(claim.controls))
    decided = RuleDecision(outcome, "rate < 0", measured, "sign of the fit", causes, (), estimates)
    return JudgedClaim(decided, next(iter(direction), None), loaded)


# Which layers entries are of. Random layers of `mamba-euler` and `mamba-zoh` are the same ones,
# held in two ways; of arrays of one record an entry stands for the layer at its place, and a sweep
# runs on the first of them; a control has layers of its own.

_SAME_LAYERS = {"mamba-zoh": "mamba-euler"}
_CONTROL = "control/"


def _of_layers(marked: "Sequence[tuple[CheckedRecord, str, NDArray[np.bool_]]]") -> tuple[int, int]:
    """How many layers some arrays are of, each once, and how many have an entry that is marked.

    Args:
        marked: Record, name of the array and its marks, shape (layers, ...).
    """
    found: dict[tuple[str, str], list[NDArray[np.bool_]]] = {}
    for loaded, name, marks in marked:
        by_layer = marks.reshape(len(marks), -1).any(axis=1)
        found.setdefault((_layers_of(loaded), _case(name)), []).append(by_layer)
    total = hit = 0
    for each in found.values():
        longest = max(map(len, each))
        padded = [np.pad(marks, (0, longest - len(marks))) for marks in each]
        total, hit = total + longest, hit + int(np.any(padded, axis=0).sum())
    return total, hit


def _layers_of(loaded: CheckedRecord) -> str:
    """Alike for two records of the same layers."""
    job = loaded.record.job
    if not isinstance(job, StabilityJob):
        return loaded.record.key
    family = _SAME_LAYERS.get(job.family, job.family) if job.checkpoint is None else job.family
    drawn = (family, job.checkpoint, job.channels, job.state_size, job.seed)
    return "/".join(map(str, drawn))


def _case(name: str) -> str:
    """The control that an array is of; empty for what is no control."""
    return name.split("/")[1] if name.startswith(_CONTROL) else ""


def identity(claim: IdentityClaim, evidence: Evidence) -> JudgedClaim:
    """A change of weights factorises as claimed, in integers, and that of the controls does not."""
    loaded = [evidence.get(job) for job in claim.jobs]
    different = total = 0
    for each in loaded:
        found = _off_product(each, claim.case)
        different, total = different + int(found.sum()), total + len(found)
        for control in claim.controls:
            if not _off_product(each, control.array).any():
                raise InvalidError(_uncaught_control(each, control.what))
    measured = f"{total - different:,} of {total:,} rows equal"
    why = (cause("exact-algebra"), _caught(claim.controls))
    outcome: Outcome = "contradicted" if different else "reproduced"
    return JudgedClaim(RuleDecision(outcome, "equal", measured, "exact", why), None, loaded)


def _off_product(loaded: CheckedRecord, case: str) -> NDArray[np.bool_]:
    """Rows of the case's change that are not those of `<case>/up` x `<case>/down`."""
    up, down = (_array(loaded, f"{case}/{name}") for name in ("up", "down"))
    change = _array(loaded, f"{case}/change_sha256")
    integers = all(np.issubdtype(part.dtype, np.integer) for part in (up, down))
    matrices = [up.ndim, down.ndim] == [2, 2] and up.shape[1] == down.shape[0]
    digested = change.dtype == np.uint8 and matrices and change.shape == (len(up), 32)
    if not integers or not digested or not up.size or not down.size:
        message = f"record {loaded.record.key[:12]}: {case} is no product of integer matrices"
        raise InvalidError(message)
    product = up.astype(np.int64) @ down.astype(np.int64)
    found: NDArray[np.bool_] = (fileio.digests_of_rows(product) != change).any(axis=1)
    return found


@dataclass(frozen=True)
class Rates:
    """Fitted exponential rates, a step; shape (curves,)."""

    value: NDArray[np.float64]
    """NaN with fewer than three points: a line through two fits anything."""
    rising: NDArray[np.bool_]
    """Whether each third of the curve, by points, lies wholly above the third before."""


def fit_rates(
    envelopes: NDArray[np.float64],
    times: NDArray[np.float64],
    floors: NDArray[np.float64] | float = 0.0,
) -> Rates:
    """Least-squares slope of log(envelope) over time, curve by curve.

    Args:
        envelopes: shape (curves, times).
        times: shape (times,), steps.
        floors: shape (curves, times) or one number; points at or below are left out, since
            what rounding can make up has no rate, and zero no logarithm.

    Returns:
        Rates a step, without limits of confidence: what a straight line leaves of an envelope is
        no independent noise, so there is none that a limit could be taken from.

    Example:
        >>> t = np.arange(5.0)
        >>> round(float(fit_rates(np.exp(-0.5 * t)[None], t).value[0]), 6)
        -0.5
    """
    used = envelopes > floors
    number = used.sum(axis=1)
    logs = np.log(np.where(used, envelopes, 1.0))
    t = np.where(used, times[None, :], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        t_mean = (t.sum(axis=1) / number)[:, None]
        y_mean = (logs.sum(axis=1) / number)[:, None]  # an unused point's logarithm is 0
        dt = np.where(used, times[None, :] - t_mean, 0.0)
        dy = np.where(used, logs - y_mean, 0.0)
        slope = (dt * dy).sum(axis=1) / (dt * dt).sum(axis=1)
    fitted = number >= _FEWEST_POINTS
    place = (used.cumsum(axis=1) - 1) * _THIRDS // np.maximum(number, 1)[:, None]
    lows, highs = [], []
    for third in range(_THIRDS):
        within = used & (place == third)
        lows.append(np.where(within, logs, np.inf).min(axis=1))
        highs.append(np.where(within, logs, -np.inf).max(axis=1))
    above = [low > high for high, low in zip(highs[:-1], lows[1:], strict=True)]
    return Rates(np.where(fitted, slope, np.nan), fitted & np.all(above, axis=0))


def _rates(loaded: CheckedRecord, name: str, floor: str | None, times: str) -> Rates:
    envelopes = np.atleast_2d(_array(loaded, name)).astype(np.float64)
    floors = np.atleast_2d(_array(loaded, floor)).astype(np.float64) if floor else 0.0
    rates = fit_rates(envelopes, _array(loaded, times).astype(np.float64), floors)
    if not np.isfinite(rates.value).all():
        message = f"record {loaded.record.key[:12]}: too few points of {name} above rounding to fit"
        raise InvalidError(message)
    return rates


def _array(loaded: CheckedRecord, name: str) -> NDArray[Any]:
    if name not in loaded.arrays:
        message = f"record {loaded.record.key[:12]} has no array {name}"
        raise InvalidError(message)
    return loaded.arrays[name]


def _entries(loaded: CheckedRecord, name: str) -> NDArray[Any]:
    """An array of finite numbers, layers first; empty is never success."""
    found: NDArray[Any] = np.atleast_1d(_array(loaded, name))
    if not found.size or not np.isfinite(found).all():
        message = f"record {loaded.record.key[:12]}: {name} is empty or not finite"
        raise InvalidError(message)
    return found


def _within(entries: NDArray[Any], relation: str, limit: float) -> NDArray[np.bool_]:
    if relation == "at-most":
        return entries <= limit
    return entries < limit if relation == "below" else entries > limit


def _caught(controls: Sequence[Control]) -> Cause:
    return cause("controls-caught", count=len(controls)) if controls else cause("no-control")


def _uncaught_control(loaded: CheckedRecord, what: str) -> str:
    return (
        f"the control «{what}» was not caught in record {loaded.record.key[:12]}: "
        "a check that cannot fail shows nothing"
    )
