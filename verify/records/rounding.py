"""In which dtype log-likelihoods were made, seen in their digits.

A log-likelihood is read off a log-softmax in the dtype of the logits, so it is a number of that
dtype. Where a half-precision model's logits were widened to float32 first, the log-likelihoods of
one position are x - c in float32, each x a number of the half-precision dtype and c one number
for all of them; a c that puts all four letters of a question on such numbers is looked for.

What an honest record has always passes: the tolerance is twice what float32's rounding can add.
What was copied from a record of another dtype does not: of float32's own questions few pass by
chance (measured on the twins: 0 to 9 % for float16, 0 to 3 % for bfloat16), and all have to.

Not covered: log-likelihoods that were made up to fit; sums over several tokens of widened logits.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.schema.jobs import EvaluateJob, ModelJob
from repro.store.record import Record
from verify.errors import InvalidError

Floats = NDArray[np.float64]

_HALF = {"float16": 10, "bfloat16": 7}
"""Stored bits of the fraction."""
_LARGEST = 2.0**16
"""Logits beyond it are not looked for; float16 ends there."""
_SMALLEST = 2.0**-24
"""The least positive number of float16; a smaller logit is 0 within the tolerance."""
_SAMPLE = 4
"""Questions of each number of shots that are looked at."""
_ENOUGH = 32
"""Values that by chance are never all numbers of a shorter dtype: 2 to the power of -13 each."""
_ROUNDING = 2.0**-21
"""Two log-likelihoods of one position: float32 rounds each twice, 2**-24 a time; and twice that."""


def check_dtype(record: Record, job: ModelJob, scores: dict[int, Floats]) -> None:
    """Hold log-likelihoods, by shots, to the dtype that the job asks for.

    Raises:
        InvalidError: if they are not what that dtype gives.
    """
    short, logits = record.key[:12], record.path.get("logits_dtype", "none")
    if logits not in {job.dtype, "float32"}:
        message = f"record {short}: logits in {logits}, its job is in {job.dtype}"
        raise InvalidError(message)
    for shots, each in scores.items():
        finite = each[np.isfinite(each)]
        if not np.array_equal(rounded_to(finite, logits), finite):
            message = f"record {short}: log-likelihoods at {shots} shots are no numbers of {logits}"
            raise InvalidError(message)
    if logits != "float32" or job.arm == "float32-head":
        return
    if job.dtype == "float32":
        _hold_apart(short, job, scores)
    elif isinstance(job, EvaluateJob):
        for shots, each in scores.items():
            if not all(_widened(row, job.dtype) for row in _questions(each)):
                message = (
                    f"record {short}: log-likelihoods at {shots} shots do not come from logits "
                    f"in {job.dtype}"
                )
                raise InvalidError(message)


def _hold_apart(short: str, job: ModelJob, scores: dict[int, Floats]) -> None:
    """That a float32 model's log-likelihoods are not those of a half-precision one."""
    found = np.concatenate([each.ravel() for each in scores.values()])
    # Of a likelihood near 1 only a few digits are left, whatever the dtype.
    large = np.unique(found[np.isfinite(found) & (np.abs(found) > 1)])
    rows = [row for each in scores.values() for row in _questions(each)]
    for dtype in _HALF:
        alike = len(large) >= _ENOUGH and np.array_equal(rounded_to(large, dtype), large)
        if isinstance(job, EvaluateJob) and len(rows) >= _SAMPLE:
            alike = alike or all(_widened(row, dtype) for row in rows)
        if alike:
            message = (
                f"record {short}: log-likelihoods of a model in {dtype}, its job is in float32"
            )
            raise InvalidError(message)


def rounded_to(values: Floats, dtype: str) -> Floats:
    """The nearest numbers of a dtype; halves may go either way where they are none."""
    if dtype == "float32":
        return values.astype(np.float32).astype(np.float64)
    _, exponent = np.frexp(values)
    least = -24 if dtype == "float16" else -133  # of the subnormal numbers
    spacing = np.exp2(np.maximum(exponent - 1 - _HALF[dtype], least).astype(np.float64))
    nearest: Floats = np.round(values / spacing) * spacing
    return nearest


def _questions(scores: Floats) -> Iterator[Floats]:
    """A few questions whose log-likelihoods can tell: finite, and of three values at least."""
    fit = np.flatnonzero(np.isfinite(scores).all(axis=1) & (np.abs(scores) < 2**10).all(axis=1))
    chosen = fit[np.unique(np.linspace(0, len(fit) - 1, _SAMPLE).astype(int))] if len(fit) else fit
    for row in scores[chosen]:
        if len(np.unique(row)) >= 3:  # noqa: PLR2004
            yield row


def _widened(row: Floats, dtype: str) -> bool:
    """Whether one number, taken from all, leaves numbers of a half-precision dtype."""
    tolerance = _ROUNDING * max(1.0, float(np.abs(row).max()))
    first, *others = row
    split = 2.0 ** (52 - _HALF[dtype]) + 1
    logits = _numbers(dtype)
    for each in others:
        moved = logits + (each - first)
        scaled = split * moved
        nearest = scaled - (scaled - moved)  # to as many bits as the dtype has; Veltkamp 1968
        logits = logits[np.abs(nearest - moved) <= tolerance]
    return bool(len(logits))


@cache
def _numbers(dtype: str) -> Floats:
    """The numbers of a dtype that a logit may be."""
    scale = 2.0 ** np.arange(-24, 17)
    fraction = 1 + np.arange(2 ** _HALF[dtype]) / 2 ** _HALF[dtype]
    positive: NDArray[Any] = np.unique(rounded_to(np.outer(scale, fraction).ravel(), dtype))
    positive = positive[(positive >= _SMALLEST) & (positive <= _LARGEST)]
    return np.concatenate([-positive, [0.0], positive])
