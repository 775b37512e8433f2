"""The recurrence of Mamba as transformers' loop rounds it, as one kernel of Triton.

`slow_forward` goes through the tokens in PyTorch, and on a GPU its time is that of launching: some
six kernels a token and layer. Here one program goes through them for a block of channels of one
row, with h in registers. It is for FP16 and BF16, in which the loop rounds what mamba-ssm's kernel
does not, and starts from a state as `mamba_scan.scan_from_state` does, its twin; names and shapes
are those of the table there. D, the gate and all else of a mixer stay in PyTorch.

| operation            | `slow_forward`               | here        | twin              |
|----------------------|------------------------------|-------------|-------------------|
| Δ A, exp             | FP32, expf of CUDA           | same bits¹  | same bits         |
| (Δ B) u              | FP32, rounded twice          | same bits   | (Δ u) B           |
| exp(ΔA) h + (Δ B) u  | FP32, rounded twice          | same bits²  | once, on a GPU    |
| h, as C reads it     | rounded to half              | the same    | the same          |
| y = Σ_n h_n C_n      | exact products, FP32 sum     | other order | other order       |
| y                    | that sum, rounded to half    | the same    | the same          |
| y + D u, gate        | in the dtypes of its tensors | not here    | not there         |

¹ The function of CUDA's libdevice that torch was compiled with; Triton's own `tl.exp` is another.
² By `add_rn`, as Triton would make one multiply-add of it. Triton's forms of both flush what is
below 2^-126 to 0.

So beside `slow_forward` h has the same bits, and y differs by the order of the sum alone: two sums
of N products in any order, one of which may be truncated as tensor cores do, are less than
3 (N - 1) 2^-24 Σ|h_n C_n| apart, 2.7e-6 Σ|h_n C_n| for N = 16. Both are then rounded to half, so
that a y differs by one unit in its last place where a boundary of rounding lies between them; by
more only where Σ|h_n C_n| is over 180 (FP16) or 1,400 (BF16) times |y|. Beside the twin h differs
in its last bits of FP32, which may move it over a boundary of its own rounding.

Reference: transformers 4.40.0, `MambaMixer.slow_forward`.
Not covered: gradients; FP32, which stays with the twin; N that is no power of 2.
"""

# Triton's arguments are pointers and integers by position, with no types; names are the paper's.
# ruff: noqa: ANN001, N803, N806, PLR0913, PLR0917

import importlib

import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

from runner.triton_launch import FINDS_FAST, launch

libdevice = importlib.import_module("triton.language.extra.libdevice") if FINDS_FAST else tl.math
"""Where Triton 3 and 2.2 have CUDA's own functions."""

CHANNELS = 32
"""Of one program, which is one warp: a channel a thread."""


def plain_scan(
    u: Tensor, step: Tensor, decay: Tensor, inward: Tensor, outward: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Outputs y, (batch, length, inner) in the dtype of C, and the last h.

    As `mamba_scan.scan_from_state`, on a GPU, for C in FP16 or BF16 and h in FP32, each row of it
    contiguous; the others of any floating dtype but float64, in any order in memory.
    """
    batch, length, inner = u.shape
    states = state.shape[1]
    y = outward.new_empty(batch, length, inner)
    last = state.new_empty(batch, states, inner)
    strided = u, step, inward, outward
    launch(
        _scan_plainly,
        (batch, triton.cdiv(inner, CHANNELS)),
        *strided,
        state,
        decay.contiguous(),
        y,
        last,
        inner,
        length,
        state.stride(0),
        *(stride for tensor in strided for stride in tensor.stride()),
        N=states,
        CHANNELS=CHANNELS,
        num_warps=1,
    )
    return y, last


# fmt: off
@triton.jit(do_not_specialize=("length",))  # type: ignore[untyped-decorator]
def _scan_plainly(  # type: ignore[no-untyped-def]
    u, delta, B, C, start, A, y, last, inner, length, start_row, u_row, u_step, u_channel,
    delta_row, delta_step, delta_channel, B_row, B_step, B_state, C_row, C_step, C_state,
    N: tl.constexpr, CHANNELS: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, N)
    inside = d < inner
    both = inside[None, :]  # (N, CHANNELS): a thread has a channel, so that the sum stays in it
    held = n[:, None] * inner + d[None, :]
    a = tl.load(A + held, mask=both, other=0.0)
    h = tl.load(start + row * start_row + held, mask=both, other=0.0)
    u += row * u_row + d * u_channel
    delta += row * delta_row + d * delta_channel
    B += row * B_row + n * B_state
    C += row * C_row + n * C_state
    y += row * length * inner + d
    for _ in range(length):
        x = tl.load(u, mask=inside, other=0.0).to(tl.float32)
        step = tl.load(delta, mask=inside, other=0.0).to(tl.float32)
        inward = tl.load(B).to(tl.float32)
        outward = tl.load(C).to(tl.float32)
        kept = libdevice.exp(step[None, :] * a) * h
        h = libdevice.add_rn(kept, step[None, :] * inward[:, None] * x[None, :])
        read = h.to(y.dtype.element_ty).to(tl.float32)
        out = tl.sum(read * outward[:, None], 0)
        tl.store(y, out.to(y.dtype.element_ty), mask=inside)
        u += u_step
        delta += delta_step
        B += B_step
        C += C_step
        y += inner
    tl.store(last + row * N * inner + held, h, mask=both)
