"""Claims about state-space layers and exact algebra, decided from arrays of records.

A theorem speaks of every layer: one counterexample beyond rounding contradicts it, and
no number of layers proves it. So what was sampled is `contradicted` or `inconclusive`;
only exact algebra is `reproduced`. A claim whose controls do not break is `invalid`: its
check cannot fail, so it shows nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.claims import BoundClaim, IdentityClaim, TrendClaim
from verify.evidence import Evidence, InvalidError, Loaded
from verify.model_rules import Judged
from verify.printed_rules import Decided

_CONFIDENCE = 0.95
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
    sign = "≤" if claim.relation == "at-most" else "<"
    measured = f"largest {entries.max():.6g} of {len(entries):,}"
    caught = f"; {len(claim.controls)} controls caught" if claim.controls else ""
    if broken:
        reason = f"{broken:,} of {len(entries):,} break it{caught}"
        decided = Decided("contradicted", f"{sign} {claim.limit}", measured, "rounding", reason)
        return decided, "", loaded
    reason = f"held by all {len(entries):,}; {_SAMPLED}{caught}"
    decided = Decided("inconclusive", f"{sign} {claim.limit}", measured, "rounding", reason)
    return decided, "holds", loaded


def trend(claim: TrendClaim, evidence: Evidence) -> Judged:
    """The fitted exponential rate of every curve is negative, controls excepted."""
    loaded = [evidence.get(job) for job in claim.jobs]
    rates = _all_rates(loaded, claim.arrays, claim.times)
    for control in claim.controls:
        for each in loaded:
            if (_rates(each, control.array, claim.times).high < 0).any():
                raise InvalidError(_toothless(each, control.what))
    falling, rising = int((rates.high < 0).sum()), int((rates.low > 0).sum())
    total = len(rates.value)
    measured = f"rates {rates.value.min():.3g} to {rates.value.max():.3g} a step"
    reason = f"{falling:,} of {total:,} curves fall at 95 % confidence, {rising:,} rise"
    if rising:
        return Decided("contradicted", "rate < 0", measured, "95 % CI", reason), "", loaded
    direction = "holds" if falling == total else "undecided for some layers"
    reason = f"{reason}; {_SAMPLED}"
    return Decided("inconclusive", "rate < 0", measured, "95 % CI", reason), direction, loaded


def identity(claim: IdentityClaim, evidence: Evidence) -> Judged:
    """Integers from exact algebra are equal, and those of the controls are not."""
    loaded = [evidence.get(job) for job in claim.jobs]
    different = total = 0
    for each in loaded:
        left, right = _flat(each, claim.array), _flat(each, claim.equals)
        if left.shape != right.shape or not np.issubdtype(left.dtype, np.integer):
            message = f"record {each.record.key[:12]}: {claim.array} is not comparable integers"
            raise InvalidError(message)
        different += int((left != right).sum())
        total += len(left)
        for control in claim.controls:
            if (_flat(each, control.array) == right).any():
                raise InvalidError(_toothless(each, control.what))
    measured = f"{total - different:,} of {total:,} equal"
    outcome = "contradicted" if different else "reproduced"
    reason = "exact integer algebra" + (f"; {len(claim.controls)} controls caught")
    return Decided(outcome, "equal", measured, "exact", reason), "", loaded  # type: ignore[arg-type]


@dataclass(frozen=True)
class Rates:
    """Fitted exponential rates with 95 % confidence limits, a step; shape (curves,)."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def fit_rates(envelopes: NDArray[np.float64], times: NDArray[np.float64]) -> Rates:
    """Least-squares slope of log(envelope) over time, curve by curve.

    Args:
        envelopes: shape (curves, times); points that are not positive are left out, since
            a deviation that has reached zero has no logarithm.
        times: shape (times,), steps.

    Returns:
        Rates a step. The limits take residuals as independent, which envelopes are not:
        they say how well a straight line fits, no more.

    Example:
        >>> t = np.arange(5.0)
        >>> round(float(fit_rates(np.exp(-0.5 * t)[None], t).value[0]), 6)
        -0.5
    """
    from scipy.special import stdtrit  # 0.1 s that `repro list` need not pay

    used = envelopes > 0
    number = used.sum(axis=1)
    logs = np.log(np.where(used, envelopes, 1.0))
    t = np.where(used, times[None, :], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        t_mean = (t.sum(axis=1) / number)[:, None]
        y_mean = (np.where(used, logs, 0.0).sum(axis=1) / number)[:, None]
        dt = np.where(used, times[None, :] - t_mean, 0.0)
        dy = np.where(used, logs - y_mean, 0.0)
        spread = (dt * dt).sum(axis=1)
        slope = (dt * dy).sum(axis=1) / spread
        residual = np.where(used, dy - slope[:, None] * dt, 0.0)
        freedom = number - 2
        error = np.sqrt((residual * residual).sum(axis=1) / freedom / spread)
        half = stdtrit(np.maximum(freedom, 1), 0.5 + _CONFIDENCE / 2) * error
    return Rates(slope, slope - half, slope + half)


def _rates(loaded: Loaded, name: str, times: str) -> Rates:
    envelopes = np.atleast_2d(_array(loaded, name)).astype(np.float64)
    rates = fit_rates(envelopes, _array(loaded, times).astype(np.float64))
    if not (np.isfinite(rates.low) & np.isfinite(rates.high)).all():
        message = f"record {loaded.record.key[:12]}: too few positive points in {name} to fit"
        raise InvalidError(message)
    return rates


def _all_rates(loaded: list[Loaded], names: tuple[str, ...], times: str) -> Rates:
    every = [_rates(each, name, times) for each in loaded for name in names]
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
    return entries <= limit if relation == "at-most" else entries < limit


def _toothless(loaded: Loaded, what: str) -> str:
    return (
        f"the control «{what}» was not caught in record {loaded.record.key[:12]}: "
        "a check that cannot fail shows nothing"
    )
