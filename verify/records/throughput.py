"""What a record of training speed and memory says, from its arrays alone.

Arrays, as the runner writes them: of each try of a batch size (k,) batch_sizes_tried, fits_tried
(0 or 1), tokens_per_second_tried (0 where it does not fit), memory_allocated_tried and
memory_reserved_tried; of each timing at the fastest batch size (repeats,) tokens_per_second,
memory_allocated and memory_reserved, all empty where one row does not fit; memory_uncapped (2,),
allocated and reserved by one row without the cap, 0 where the card is too small. Memory is peaks in
bytes.

Not covered: the clock, and the bytes of the CUDA context, which no array bears out.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from repro.schema.jobs import ThroughputJob
from repro.schema.kinds.throughput import CONTEXT
from repro.store.record import Record
from verify.errors import InvalidError
from verify.records import consistency
from verify.records.consistency import KindOfRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repro.store.store import Arrays

Count = Literal["allocated", "reserved"]
COUNTS: tuple[Count, ...] = ("allocated", "reserved")
"""What torch's allocator gave out, and what it held."""

_TRIED = ("fits", "tokens_per_second", "memory_allocated", "memory_reserved")
_TIMED = ("tokens_per_second", "memory_allocated", "memory_reserved")
_GIB = 2**30
_ROUNDING = 1e-9
"""Relative; a mean may be summed in several ways."""


def check(record: Record, job: ThroughputJob, arrays: "Arrays") -> None:
    """Hold a record to its own arrays.

    Raises:
        InvalidError: at the first thing that does not follow.
    """
    for fault in _faults(record, job, arrays):
        message = f"record {record.key[:12]}: {fault}"
        raise InvalidError(message)


# -----------------------------------------------------------------------------
# What arrays say


def batch_size(arrays: "Arrays") -> int:
    """The batch size with the most tokens a second among those that fit; 0 if none does."""
    if not arrays["fits_tried"].any():
        return 0
    # What does not fit has a speed of 0, what fits a larger one: `_tries` saw to it.
    return int(arrays["batch_sizes_tried"][arrays["tokens_per_second_tried"].argmax()])


def speeds_of(arrays: "Arrays") -> list[float]:
    """Tokens a second of each timing; none if one row does not fit."""
    return [float(each) for each in arrays["tokens_per_second"]]


def memory_of(job: ThroughputJob, arrays: "Arrays", count: Count) -> float | None:
    """Bytes a token: the peak of the whole run over the tokens of a batch; None if it does not fit.

    Reference: paper v2, section 5.1: the maximum "over the entire fine-tuning run". So it is taken
    over all timings, and is one number with no noise of a clock.
    """
    peaks = arrays[f"memory_{count}"]
    return float(peaks.max()) / (batch_size(arrays) * job.max_length) if len(peaks) else None


def fits(record: Record, job: ThroughputJob, arrays: "Arrays", count: Count) -> bool:
    """Whether one row trains under the cap.

    Args:
        record: For the bytes of the CUDA context.
        job: For the cap.
        arrays: Of the record.
        count: reserved: it did. allocated: what it takes without the cap is within the cap, so that
            fragments do not count.
    """
    if count == "reserved":
        return bool(arrays["fits_tried"][0])
    needed = int(arrays["memory_uncapped"][0])
    return 0 < needed <= job.memory_cap * _GIB - context_bytes(record)


def gib_needed(record: Record, arrays: "Arrays") -> float | None:
    """GiB that one row takes without the cap, with the CUDA context; None if the card has less."""
    bytes_ = int(arrays["memory_uncapped"][0])
    return (bytes_ + context_bytes(record)) / _GIB if bytes_ else None


def context_bytes(record: Record) -> int:
    """Bytes of the CUDA context, as recorded."""
    return int(record.values["context_bytes"])


# -----------------------------------------------------------------------------
# Faults


def _faults(record: Record, job: ThroughputJob, arrays: "Arrays") -> Iterator[str]:
    """What does not follow; each part relies on those before it."""
    yield from _shapes(job, arrays)
    yield from _tries(arrays)
    yield from _memory(record, job, arrays)
    for name, found in _summary(job, arrays).items():
        said = record.values.get(name)
        if not isinstance(said, int | float) or abs(said - found) > _ROUNDING * abs(found):
            yield f"it says {name} {said}, its arrays say {found:.12g}"


def _shapes(job: ThroughputJob, arrays: "Arrays") -> Iterator[str]:
    """Arrays that are missing, of another shape, or not finite."""
    tried = ("batch_sizes_tried", *(f"{name}_tried" for name in _TRIED))
    for name in (*tried, *_TIMED, "memory_uncapped"):
        if name not in arrays:
            yield f"it has no array {name!r}"
        elif not np.isfinite(arrays[name]).all() or (arrays[name] < 0).any():
            yield f"{name} has entries that are negative or no numbers"
    tries = len(np.ravel(arrays["batch_sizes_tried"]))
    timings = job.repeats if arrays["fits_tried"].any() else 0
    expected = dict.fromkeys(tried, (tries,)) | dict.fromkeys(_TIMED, (timings,))
    for name, shape in (expected | {"memory_uncapped": (2,)}).items():
        if arrays[name].shape != shape:
            yield f"{name} has shape {arrays[name].shape}, expected {shape}"


def _tries(arrays: "Arrays") -> Iterator[str]:
    """Tries that are no search of the fastest batch size by powers of two."""
    sizes = [int(each) for each in arrays["batch_sizes_tried"]]
    fit, speeds = arrays["fits_tried"], arrays["tokens_per_second_tried"]
    powers = all(size > 0 and size & (size - 1) == 0 for size in sizes)
    if not powers or sizes[:1] != [1] or len(set(sizes)) != len(sizes):
        yield f"batch sizes {sizes} are not powers of two, 1 first and each once"
    if not np.isin(fit, (0, 1)).all() or not np.array_equal(speeds > 0, fit == 1):
        yield "speeds of batch sizes that do not fit, or none of those that do"
    largest = max((size for size, fits_ in zip(sizes, fit, strict=True) if fits_), default=0)
    if largest and 2 * largest not in sizes:
        yield f"batches of {largest} fit, and twice as many were not tried"
    if (arrays["tokens_per_second"] <= 0).any():
        yield "timings without speed"


def _memory(record: Record, job: ThroughputJob, arrays: "Arrays") -> Iterator[str]:
    """Peaks that contradict each other or the cap."""
    said = record.values.get("context_bytes")
    if not isinstance(said, int) or said < 0:
        yield f"it says that the CUDA context has {said} bytes"
        return
    if said > CONTEXT:
        yield f"{said / _GIB:.1f} GiB of the GPU were no job's of ours: what fitted says nothing"
    fit, uncapped = arrays["fits_tried"] == 1, arrays["memory_uncapped"]
    pairs: list[tuple[NDArray[Any], NDArray[Any]]] = [
        (arrays["memory_allocated"], arrays["memory_reserved"]),
        (arrays["memory_allocated_tried"][fit], arrays["memory_reserved_tried"][fit]),
    ]
    for allocated, reserved in pairs:
        if (allocated <= 0).any() or (allocated > reserved).any():
            yield "more memory was allocated than reserved, or none"
        if (reserved + said > job.memory_cap * _GIB).any():
            yield f"more memory was reserved than the cap of {job.memory_cap:g} GiB allows"
    if uncapped[0] > uncapped[1] or (fit.any() and not uncapped[0]):
        yield "one row fits under the cap and not without it, or more was allocated than reserved"


def _summary(job: ThroughputJob, arrays: "Arrays") -> dict[str, float]:
    """What a record says of its own arrays, computed from them."""
    size, speeds = batch_size(arrays), speeds_of(arrays)
    if not size:
        return {"fits": 0}
    found = {"fits": 1, "batch_size": size, "tokens_per_second": sum(speeds) / len(speeds)}
    for count in COUNTS:
        found[f"max_memory_{count}"] = float(arrays[f"memory_{count}"].max())
        found[f"memory_per_token_{count}"] = float(memory_of(job, arrays, count) or 0)
    return found


def _path(record: Record) -> Iterator[str]:
    job = record.job
    assert isinstance(job, ThroughputJob)  # noqa: S101  # by its kind
    yield from consistency.scan(record, "mamba", job.mamba_path)


KIND = KindOfRecord(
    numbers="tokens_per_second",
    differences=lambda one, other: [("jobs", one.job, other.job)],
    check=lambda record, job, arrays, _: check(record, job, arrays),
    path=_path,
)
