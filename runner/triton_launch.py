"""A kernel of Triton, launched without looking for what it was compiled to each time anew.

Triton 2.2, the pinned one, binds the arguments of every launch to the kernel's signature, asks
every tensor where it lies and builds three keys before it finds what it has compiled: 0.1 to 0.2 ms
of Python, some seventy times in a pass of Mamba. Here one key says all that tells two compiled
forms apart: dtype of each pointer and whether it is a multiple of 16, and of each integer whether
it is 1, a multiple of 16, of 8, or longer than 32 bits.

Twin: `kernel[grid](*args, **options)`, which also compiles what is new. Triton 3 finds its kernels
in C, and is called so always.
"""

from typing import Any, Final

import torch
import triton  # type: ignore[import-untyped]

FINDS_FAST: Final = int(triton.__version__.split(".", 1)[0]) >= 3  # noqa: PLR2004 - a version

_COMPILED: dict[tuple[object, ...], Any] = {}
"""By kernel, device, options and what kind each argument is."""


def launch(
    kernel: Any,  # noqa: ANN401 - Triton has no types
    grid: tuple[int, ...],
    *args: torch.Tensor | float,
    **options: object,
) -> None:
    """Run a kernel as `kernel[grid](*args, **options)` does.

    Args:
        kernel: What `triton.jit` gave, whose constants stand behind its other parameters.
        grid: Programs in each of one to three directions.
        args: All that are no constants, in their order: tensors on one GPU, integers, floats.
        options: Constants by name, and what Triton compiles with (`num_warps`).
    """
    if FINDS_FAST:
        kernel[grid](*args, **options)
        return
    key = kernel, torch.cuda.current_device(), *map(kind, args), *options.items()
    if compiled := _COMPILED.get(key):
        compiled[*grid, 1, 1](*args)
    else:
        _COMPILED[key] = kernel[grid](*args, **options)


def kind(arg: torch.Tensor | float) -> object:
    """All that Triton 2.2 compiles an argument for, or more."""
    if isinstance(arg, torch.Tensor):
        return arg.dtype, arg.data_ptr() % 16 == 0
    if isinstance(arg, int):
        return arg == 1, arg % 16 == 0, arg % 8 == 0, -(2**31) <= arg < 2**31
    return "fp32"
