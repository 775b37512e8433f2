"""A cap on what a process takes of a GPU's memory, emulated where the card has more.

The cap counts what torch's allocator reserves and the CUDA context: what the card says is taken,
less what is reserved. The allocator gets the rest, by `set_per_process_memory_fraction`. A card
that is smaller than the cap is its own cap.

Not covered: other processes on the card, which count as context; memory that a library takes past
torch's allocator after the cap was set.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass

import torch

GIB = 2**30


@dataclass(frozen=True)
class Cap:
    """What a process may take."""

    context: int
    """Bytes of the CUDA context."""
    allowed: int
    """Bytes that the allocator may reserve."""
    words: str
    """Whether it is emulated, and on what."""


def set_cap(gib: float) -> Cap:
    """Hold the allocator to a cap less the context, which is whole once all kernels have run."""
    count_anew()
    free, total = torch.cuda.mem_get_info()
    context, cap = total - free - torch.cuda.memory_reserved(), round(gib * GIB)
    allowed = max(0, min(cap, total) - context)
    torch.cuda.set_per_process_memory_fraction(allowed / total)
    whole = f"{total / GIB:.1f} GiB"
    return Cap(context, allowed, f"emulated on {whole}" if cap < total else f"the card's {whole}")


def lift_cap() -> None:
    """Let the allocator have the whole card again, and give back what nothing refers to."""
    torch.cuda.set_per_process_memory_fraction(1.0)
    gc.collect()  # models of transformers refer to themselves
    count_anew()


def count_anew() -> None:
    """Give back what the allocator holds and nothing uses, and start to count peaks."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def fits(do: Callable[[], None]) -> bool:
    """Whether something runs within memory; peaks are counted from its start."""
    count_anew()
    try:
        do()
    except RuntimeError as error:
        # A kernel outside torch reports what torch's allocator throws as a plain RuntimeError.
        words = str(error)
        if "out of memory" not in words and "ALLOC_FAILED" not in words:
            raise
        fit = False
    else:
        fit = True
    if not fit:
        gc.collect()  # frames of the traceback, with their tensors; it takes 0.2 s
    return fit
