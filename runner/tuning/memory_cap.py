"""A cap on a GPU's memory, and the batch size with the most tokens a second that fits under it.

Sizes are doubled until one does not fit. Sizes whose answer two others foretell are skipped: the
peak of the forward pass grows with the batch along a line. What is known at the end is what
doubling finds: the largest power of two that fits, that the next does not, and the speed of the two
largest (and of 1 and 2).

Reference: paper v2, section 5.1: the batch size is adjusted to
maximise throughput. Differs: the paper does not say how it was looked for; powers of two are.
"""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from repro.errors import CannotRunError
from repro.schema.kinds.throughput import CONTEXT
from runner.models.checkpoint_checks import is_out_of_memory


@dataclass(frozen=True)
class BatchSizeTrial:
    """A few steps at one batch size."""

    batch_size: int
    """Rows."""
    fits: bool
    tokens_per_second: float
    """0 if it does not fit."""
    allocated: int
    """Peak bytes that the allocator gave out; where it does not fit, until then."""
    reserved: int
    """Peak bytes that the allocator held."""
    forward: int
    """Peak bytes allocated until the end of the forward pass: the optimizer's peak, which is the
    same at every batch size, can hide how it grows."""


def search_batch_size(attempt: Callable[[int], BatchSizeTrial], limit: int) -> list[BatchSizeTrial]:
    """Try batch sizes until the largest that fits is known.

    Args:
        attempt: Tries a batch size, a power of two.
        limit: Bytes that may be allocated; only for guessing.

    Returns:
        Every try, in order; the first is of 1 row, and the only one if that does not fit.
    """
    tries = [attempt(1)]
    while tries[-1].fits:
        tries.append(attempt(_next(tries, limit)))
    above = tries[-1].batch_size
    while above > 1 and above > 2 * _largest(tries):  # guessed too far: back by halves
        above //= 2
        tries.append(attempt(above))
    half = _largest(tries) // 2
    if half and all(each.batch_size != half for each in tries):
        tries.append(attempt(half))
    return tries


def fastest(tries: Sequence[BatchSizeTrial]) -> BatchSizeTrial | None:
    """The try with the most tokens a second, the first of equals; None if none fits."""
    return max(
        (each for each in tries if each.fits),
        key=lambda each: each.tokens_per_second,
        default=None,
    )


def _largest(tries: Sequence[BatchSizeTrial]) -> int:
    return max((each.batch_size for each in tries if each.fits), default=0)


def _next(tries: Sequence[BatchSizeTrial], limit: int) -> int:
    """The largest power of two that should fit, but at least twice the last."""
    last = tries[-1]
    size = 2 * last.batch_size
    if len(tries) > 1:
        before = tries[-2]
        row = (last.forward - before.forward) / (last.batch_size - before.batch_size)
        while row > 0 and last.forward + (2 * size - last.batch_size) * row <= limit:
            size *= 2
    return size


# -----------------------------------------------------------------------------
# The cap, emulated where the card has more
#
# The cap counts what torch's allocator reserves and the CUDA context: what the card says is taken,
# less what is reserved. The allocator gets the rest, by `set_per_process_memory_fraction`. A card
# that is smaller than the cap is its own cap.
#
# Another process on the card would count as context, so a job that finds one measures nothing.
#
# Not covered: a process that comes and goes while a job runs; memory that a library takes past
# torch's allocator after the cap was set.

GIB = 2**30


@dataclass(frozen=True)
class MemoryCap:
    """What a process may take."""

    context: int
    """Bytes of the CUDA context."""
    allowed: int
    """Bytes that the allocator may reserve."""
    words: str
    """Whether it is emulated, and on what."""


def set_cap(gib: float) -> MemoryCap:
    """Hold the allocator to a cap less the context, which is whole once all kernels have run.

    Raises:
        CannotRunError: as `context_bytes`.
    """
    context, cap, total = context_bytes(), round(gib * GIB), torch.cuda.mem_get_info()[1]
    allowed = max(0, min(cap, total) - context)
    torch.cuda.set_per_process_memory_fraction(allowed / total)
    whole = f"{total / GIB:.1f} GiB"
    return MemoryCap(
        context, allowed, f"emulated on {whole}" if cap < total else f"the card's {whole}"
    )


def context_bytes() -> int:
    """What the card says is taken and torch's allocator has not reserved.

    Raises:
        CannotRunError: it is more than a context: what fits here says nothing about a cap.
    """
    reset_peak_memory()
    free, total = torch.cuda.mem_get_info()
    context = total - free - torch.cuda.memory_reserved()
    if context > CONTEXT:
        found = f"{context / GIB:.1f} GiB of the GPU are taken by another process"
        message = f"{found}: memory and speed are measured on a GPU that nothing else uses"
        raise CannotRunError(message)
    return context


def lift_cap() -> None:
    """Let the allocator have the whole card again, and give back what nothing refers to."""
    torch.cuda.set_per_process_memory_fraction(1.0)
    gc.collect()  # models of transformers refer to themselves
    reset_peak_memory()


def reset_peak_memory() -> None:
    """Give back what the allocator holds and nothing uses, and start to count peaks."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def runs_within_memory(do: Callable[[], None]) -> bool:
    """Whether something runs within memory; peaks are counted from its start."""
    reset_peak_memory()
    try:
        do()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    else:
        return True
    gc.collect()  # frames of the traceback, with their tensors; it takes 0.2 s
    return False
