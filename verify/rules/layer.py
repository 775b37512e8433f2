"""Claims about state-space layers and exact algebra, decided from arrays of records.

A theorem speaks of every layer: one counterexample beyond rounding contradicts it, and
no number of layers proves it. So what was sampled is `contradicted` or `inconclusive`;
only exact algebra is `reproduced`. A claim whose controls do not break is `invalid`: its
check cannot fail, so it shows nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro import fileio
from repro.schema.causes import cause
from repro.schema.measured_claims import BoundClaim, Control, IdentityClaim, TrendClaim
from repro.text import counted
from verify.errors import InvalidError
from verify.evidence import Evidence
from verify.outcome import Decided, Judged
from verify.records.loaded import Loaded

_CONFIDENCE = 0.95
_SIGNS = {"at-most": "≤", "below": "<", "above": ">"}
_SAMPLED = "sampled layers can refute a theorem, not prove it"


def bound(claim: BoundClaim, evidence: Evidence) -> Judged:
    """Every entry of the arrays within the limit, and every entry of each control outside."""
    loaded = [evidence.get(job) for job in claim.jobs]
    limit = float(claim.limit)
    entries = np.concatenate([_flat(each, name) for each in loaded for name in claim.arrays])
    broken = int((~_within(entries, claim.relation, limit)).sum())
    for control in claim.controls:
        for each in loaded:
            if _within(_flat(each, control.array), claim.relation, limit).any():
                raise InvalidError(_toothless(each, control.what))
    published = f"{_SIGNS[claim.relation]} {limit:.6g}"
    worst = entries.min() if claim.relation == "above" else entries.max()
    share = f"{broken:,} of {len(entries):,} break it"
    measured = f"{worst:.6g} at worst; {share if broken else f'none of {len(entries):,} breaks it'}"
    if broken:
        reason = f"{share}{_caught(claim.controls)}"
        return Judged(Decided("contradicted", published, measured, "none", reason), "", loaded)
    held = cause("held", count=len(entries))
    why = (held, _caught(claim.controls)[2:])
    return Judged(Decided("inconclusive", published, measured, "none", why), "holds", loaded)


def trend(claim: TrendClaim, evidence: Evidence) -> Judged:
    """The fitted exponential rate of every curve is negative, controls excepted."""
    loaded = [evidence.get(job) for job in claim.jobs]
    pairs = list(zip(claim.arrays, claim.floors, strict=True))
    rates = _joined([_rates(each, *pair, claim.times) for each in loaded for pair in pairs])
    for control in claim.controls:
        for each in loaded:
            if (_rates(each, control.array, None, claim.times).high < 0).any():
                raise InvalidError(_toothless(each, control.what))
    falling, rising = int((rates.high < 0).sum()), int((rates.low > 0).sum())
    total = len(rates.value)
    measured = f"rates {rates.value.min():.3g} to {rates.value.max():.3g} a step"
    reason = f"{falling:,} of {total:,} curves fall at 95 % confidence, {rising:,} rise"
    if rising:
        return Judged(Decided("contradicted", "rate < 0", measured, "95 % CI", reason), "", loaded)
    direction = "holds" if falling == total else "undecided for some layers"
    reason = f"{reason}; {_SAMPLED}"
    return Judged(
        Decided("inconclusive", "rate < 0", measured, "95 % CI", reason), direction, loaded
    )


def identity(claim: IdentityClaim, evidence: Evidence) -> Judged:
    """A change of weights factorises as claimed, in integers, and that of the controls does not."""
    loaded = [evidence.get(job) for job in claim.jobs]
    different = total = 0
    for each in loaded:
        found = _off_product(each, claim.case)
        different, total = different + int(found.sum()), total + len(found)
        for control in claim.controls:
            if not _off_product(each, control.array).any():
                raise InvalidError(_toothless(each, control.what))
    measured = f"{total - different:,} of {total:,} rows equal"
    reason = f"exact integer algebra, multiplied again here{_caught(claim.controls)}"
    if different:
        return Judged(Decided("contradicted", "equal", measured, "exact", reason), "", loaded)
    return Judged(Decided("reproduced", "equal", measured, "exact", reason), "", loaded)


def _off_product(loaded: Loaded, case: str) -> NDArray[np.bool_]:
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
    """Fitted exponential rates with 95 % confidence limits, a step; shape (curves,)."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


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
        Rates a step. The limits take residuals as independent, which envelopes are not:
        they say how well a straight line fits, no more.

    Example:
        >>> t = np.arange(5.0)
        >>> round(float(fit_rates(np.exp(-0.5 * t)[None], t).value[0]), 6)
        -0.5
    """
    from scipy.special import stdtrit  # 0.1 s that `repro list` need not pay

    used = envelopes > floors
    number = used.sum(axis=1)
    logs = np.log(np.where(used, envelopes, 1.0))
    t = np.where(used, times[None, :], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        t_mean = (t.sum(axis=1) / number)[:, None]
        y_mean = (logs.sum(axis=1) / number)[:, None]  # an unused point's logarithm is 0
        dt = np.where(used, times[None, :] - t_mean, 0.0)
        dy = np.where(used, logs - y_mean, 0.0)
        spread = (dt * dt).sum(axis=1)
        slope = (dt * dy).sum(axis=1) / spread
        residual = dy - slope[:, None] * dt
        freedom = number - 2
        error = np.sqrt((residual * residual).sum(axis=1) / freedom / spread)
        half = stdtrit(np.maximum(freedom, 1), 0.5 + _CONFIDENCE / 2) * error
    return Rates(slope, slope - half, slope + half)


def _rates(loaded: Loaded, name: str, floor: str | None, times: str) -> Rates:
    envelopes = np.atleast_2d(_array(loaded, name)).astype(np.float64)
    floors = np.atleast_2d(_array(loaded, floor)).astype(np.float64) if floor else 0.0
    rates = fit_rates(envelopes, _array(loaded, times).astype(np.float64), floors)
    if not (np.isfinite(rates.low) & np.isfinite(rates.high)).all():
        message = f"record {loaded.record.key[:12]}: too few points of {name} above rounding to fit"
        raise InvalidError(message)
    return rates


def _joined(every: Sequence[Rates]) -> Rates:
    return Rates(
        np.concatenate([each.value for each in every]),
        np.concatenate([each.low for each in every]),
        np.concatenate([each.high for each in every]),
    )


def _array(loaded: Loaded, name: str) -> NDArray[Any]:
    if name not in loaded.arrays:
        message = f"record {loaded.record.key[:12]} has no array {name}"
        raise InvalidError(message)
    return loaded.arrays[name]


def _flat(loaded: Loaded, name: str) -> NDArray[Any]:
    """An array as a list of finite numbers; empty is never success."""
    found = np.ravel(_array(loaded, name))
    if not len(found) or not np.isfinite(found).all():
        message = f"record {loaded.record.key[:12]}: {name} is empty or not finite"
        raise InvalidError(message)
    return found


def _within(entries: NDArray[Any], relation: str, limit: float) -> NDArray[np.bool_]:
    if relation == "at-most":
        return entries <= limit
    return entries < limit if relation == "below" else entries > limit


def _caught(controls: Sequence[Control]) -> str:
    return f"; {counted(len(controls), 'control')} caught" if controls else "; no control"


def _toothless(loaded: Loaded, what: str) -> str:
    return (
        f"the control «{what}» was not caught in record {loaded.record.key[:12]}: "
        "a check that cannot fail shows nothing"
    )
