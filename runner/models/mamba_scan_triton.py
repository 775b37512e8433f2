"""Mamba's scan from a state, as one kernel of Triton.

One program scans a block of channels of one row, step by step, with h in registers: what it reads
and writes is the inputs, the outputs and the two states, each once, in whatever layout and dtype
they lie. mamba-ssm's kernel splits the steps of one channel among threads instead, which is better
for few long rows; behind a prefix there are many short ones, and every row starts from a state.

Arithmetic in FP32, y rounded once, after the gate, as mamba-ssm's kernel does; Δ u is made first.

Twins: `mamba_scan.by_pseudo_steps`, and `mamba_scan.scan_from_state` in plain PyTorch.
`python -m benchmarks.scan_starts` holds their speeds against each other.

Reference: Gu and Dao 2023, arXiv 2312.00752, Algorithm 2, with D and the gate of mamba-ssm 2.2.2,
`selective_scan_fn`.
Not covered: gradients; N that is no power of 2.
"""

# Triton's arguments are pointers and integers by position, with no types; names are the paper's.
# ruff: noqa: ANN001, N803, N806, PLR0913, PLR0917

from typing import TYPE_CHECKING

import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

if TYPE_CHECKING:
    from runner.models.mamba_scan import ScanInputs

CHANNELS = 64
"""Of one program, which is one warp: with N = 16, 32 numbers of h a thread."""


def by_one_kernel(_: object, inputs: "ScanInputs", state: Tensor) -> tuple[Tensor, Tensor]:
    """As `mamba_scan.by_pseudo_steps`, on a GPU; it needs no scan from 0.

    Fastest where channels lie side by side in memory, in the inputs as in the state.
    """
    batch, inner, length = inputs.u.shape
    y = inputs.u.new_empty(batch, length, inner).transpose(1, 2)
    last = state.new_empty(batch, state.shape[-1], inner).transpose(1, 2)
    strided = (inputs.u, inputs.delta, inputs.z, y, inputs.B, inputs.C, state, last, inputs.A)
    _scan[batch, triton.cdiv(inner, CHANNELS)](
        *strided,
        inputs.D,
        inner,
        length,
        *(stride for tensor in strided for stride in tensor.stride()),
        N=state.shape[-1],
        CHANNELS=CHANNELS,
        num_warps=1,
    )
    return y, last


@triton.jit(do_not_specialize=("length",))  # type: ignore[untyped-decorator]
def _scan(  # type: ignore[no-untyped-def]
    u,
    delta,
    z,
    y,
    B,
    C,
    start,
    last,
    A,
    D,
    inner,
    length,
    u_row,
    u_channel,
    u_step,
    delta_row,
    delta_channel,
    delta_step,
    z_row,
    z_channel,
    z_step,
    y_row,
    y_channel,
    y_step,
    B_row,
    B_state,
    B_step,
    C_row,
    C_state,
    C_step,
    start_row,
    start_channel,
    start_state,
    last_row,
    last_channel,
    last_state,
    A_channel,
    A_state,
    N: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, N)
    inside = d < inner
    # (N, CHANNELS): a thread has whole channels, so that the sum over N stays in it
    both = inside[None, :]
    a = tl.load(A + n[:, None] * A_state + d[None, :] * A_channel, mask=both, other=0.0)
    start += row * start_row + n[:, None] * start_state + d[None, :] * start_channel
    h = tl.load(start, mask=both, other=0.0)
    skip = tl.load(D + d, mask=inside, other=0.0)
    u += row * u_row + d * u_channel
    delta += row * delta_row + d * delta_channel
    z += row * z_row + d * z_channel
    y += row * y_row + d * y_channel
    B += row * B_row + n * B_state
    C += row * C_row + n * C_state
    for _ in range(length):
        x = tl.load(u, mask=inside, other=0.0).to(tl.float32)
        step = tl.load(delta, mask=inside, other=0.0)
        gate = tl.load(z, mask=inside, other=0.0).to(tl.float32)
        inward = tl.load(B).to(tl.float32)
        outward = tl.load(C).to(tl.float32)
        h = tl.exp(step[None, :] * a) * h + (step * x)[None, :] * inward[:, None]
        out = tl.sum(h * outward[:, None], 0) + skip * x
        tl.store(y, (out * gate * tl.sigmoid(gate)).to(y.dtype.element_ty), mask=inside)
        u += u_step
        delta += delta_step
        z += z_step
        y += y_step
        B += B_step
        C += C_step
    last += row * last_row + n[:, None] * last_state + d[None, :] * last_channel
    tl.store(last, h, mask=both)
