"""Mamba and Mamba-2 from a state to a state, as kernels of Triton.

Behind a prefix there are many short rows, and what bounds a pass of them is Python and the number
of kernels. So what stands between two products is one kernel each: `added_and_normed`, `convolved`,
the scan of a mixer. Each reads what it needs where it lies, in whatever dtype, once; all compute in
FP32 and round where the code does that they stand for. Every row starts from a state.

Mamba (`by_one_kernel`): one program scans a block of channels of one row, step by step, with h in
registers; mamba-ssm's kernel splits the steps of one channel among threads instead, which is better
for few long rows. y is rounded once, after the gate, as there; Δ u is made first.

Mamba-2 (`chunk_scan`): one program scans one head of one row, in the chunks of
`mamba2_scan.chunked_scan`, which says what is rounded; products of float32 are TF32 where those of
mamba-ssm's kernels are (`precision`). Those are five kernels, each tuned for every size of chunk;
here a chunk is as long as fits, and what follows the last step costs nothing.

Twins: `mamba_scan.by_pseudo_steps`, `mamba_scan.scan_from_state`, `mamba2_scan.chunked_scan`, the
norms' own modules. `python -m benchmarks.scan_starts` holds speeds of Mamba's against each other.

Reference: Gu and Dao 2023, arXiv 2312.00752, Algorithm 2, with D and the gate of mamba-ssm 2.2.2,
`selective_scan_fn`; causal-conv1d 1.4.0; mamba-ssm 2.2.2, `ops/triton`.
Not covered: gradients; N that is no power of 2, and for Mamba-2 (`scans`) P as well.
"""

# Triton's arguments are pointers and integers by position, with no types; names are the paper's.
# ruff: noqa: ANN001, N803, N806, PLR0913, PLR0917

from typing import TYPE_CHECKING

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor, nn

from runner.triton_launch import launch

if TYPE_CHECKING:
    from runner.models.mamba_scan import ScanInputs

CHANNELS = 64
"""Of one program, which is one warp: with N = 16, 32 numbers of h a thread."""


def by_one_kernel(
    _: object, inputs: "ScanInputs", state: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As `mamba_scan.by_pseudo_steps`, on a GPU; it needs no scan from 0.

    Fastest where channels lie side by side in memory, in the inputs as in the state. With a `bias`,
    (inner,), delta is as it is before that and its softplus, in any dtype.
    """
    batch, inner, length = inputs.u.shape
    y = inputs.u.new_empty(batch, length, inner).transpose(1, 2)
    last = state.new_empty(batch, state.shape[-1], inner).transpose(1, 2)
    strided = (inputs.u, inputs.delta, inputs.z, y, inputs.B, inputs.C, state, last, inputs.A)
    launch(
        _scan,
        (batch, triton.cdiv(inner, CHANNELS)),
        *strided,
        inputs.D,
        inputs.D if bias is None else bias,
        inner,
        length,
        *(stride for tensor in strided for stride in tensor.stride()),
        N=state.shape[-1],
        CHANNELS=CHANNELS,
        RAW=bias is not None,
        num_warps=1,
    )
    return y, last


@triton.jit
def _softplus(x):  # type: ignore[no-untyped-def]  # noqa: ANN202
    e = tl.exp(tl.minimum(x, 20.0))
    above = 1.0 + e  # what rounding took from e is put back: log(1 + e) / ((1 + e) - 1) is smooth
    exact = tl.where(above == 1.0, e, tl.log(above) * (e / tl.where(above == 1.0, 1.0, above - 1)))
    return tl.where(x > 20.0, x, exact)  # noqa: PLR2004 - torch's


# fmt: off
@triton.jit(do_not_specialize=("length",))  # type: ignore[untyped-decorator]
def _scan(  # type: ignore[no-untyped-def]
    u, delta, z, y, B, C, start, last, A, D, bias, inner, length, u_row, u_channel, u_step,
    delta_row, delta_channel, delta_step, z_row, z_channel, z_step, y_row, y_channel, y_step,
    B_row, B_state, B_step, C_row, C_state, C_step, start_row, start_channel, start_state,
    last_row, last_channel, last_state, A_channel, A_state, N: tl.constexpr,
    CHANNELS: tl.constexpr, RAW: tl.constexpr,
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
    if RAW:
        shift = tl.load(bias + d, mask=inside, other=0.0)
    u += row * u_row + d * u_channel
    delta += row * delta_row + d * delta_channel
    z += row * z_row + d * z_channel
    y += row * y_row + d * y_channel
    B += row * B_row + n * B_state
    C += row * C_row + n * C_state
    for _ in range(length):
        x = tl.load(u, mask=inside, other=0.0).to(tl.float32)
        step = tl.load(delta, mask=inside, other=0.0).to(tl.float32)
        if RAW:
            step = _softplus(step + shift)
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

# fmt: on

# -----------------------------------------------------------------------------
# The causal convolution, its SiLU, and what it leaves

STEPS, WIDE = 16, 128
"""Steps and channels of one program."""


def convolved(layer: nn.Module, driven: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """A causal convolution with SiLU behind what a state holds, and what it leaves for the next.

    Args:
        layer: One kernel of W steps a channel; its weight and bias are read past adapters.
        driven: (batch, length, channels), channels side by side.
        before: The last W - 1 inputs before, (batch, W - 1, channels); None is 0.

    Returns:
        (batch, length, channels) in the dtype of `driven`; the last W - 1 inputs.
    """
    rows, length, channels = driven.shape
    width = layer.weight.shape[-1]
    y = driven.new_empty(rows, length, channels)
    left = driven.new_empty(rows, width - 1, channels)
    earlier = left if before is None else before
    launch(
        _convolve,
        (rows, triton.cdiv(length, STEPS), triton.cdiv(channels, WIDE)),
        driven,
        earlier,
        layer.weight,
        layer.weight if layer.bias is None else layer.bias,
        y,
        left,
        channels,
        length,
        *driven.stride()[:2],
        *earlier.stride(),
        BEFORE=before is not None,
        BIAS=layer.bias is not None,
        W=width,
        STEPS=STEPS,
        WIDE=WIDE,
    )
    return y, left


# fmt: off
@triton.jit(do_not_specialize=("length",))  # type: ignore[untyped-decorator]
def _convolve(  # type: ignore[no-untyped-def]
    x, before, weight, bias, y, left, channels, length, x_row, x_step, before_row, before_step,
    before_channel, BEFORE: tl.constexpr, BIAS: tl.constexpr, W: tl.constexpr,
    STEPS: tl.constexpr, WIDE: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    t = tl.program_id(1) * STEPS + tl.arange(0, STEPS)[:, None]
    d = tl.program_id(2) * WIDE + tl.arange(0, WIDE)[None, :]
    inside = d < channels
    x += row * x_row + d
    before += row * before_row + d * before_channel
    total = tl.zeros((STEPS, WIDE), tl.float32)
    if BIAS:
        total += tl.load(bias + d, mask=inside, other=0.0).to(tl.float32)
    for w in tl.static_range(W):
        source = t + (w - W + 1)
        here = inside & (source >= 0) & (source < length)
        read = tl.load(x + source * x_step, mask=here, other=0.0).to(tl.float32)
        if BEFORE:
            place = before + (source + (W - 1)) * before_step
            read += tl.load(place, mask=inside & (source < 0), other=0.0).to(tl.float32)
        total += read * tl.load(weight + d * W + w, mask=inside, other=0.0).to(tl.float32)
    out = y + (row * length + t) * channels + d
    tl.store(out, (total * tl.sigmoid(total)).to(y.dtype.element_ty), mask=inside & (t < length))
    if tl.program_id(1) == 0:
        j = tl.arange(0, STEPS)[:, None]
        end = length - (W - 1) + j
        kept = inside & (j < W - 1)
        last = tl.load(x + end * x_step, mask=kept & (end >= 0), other=0.0)
        if BEFORE:
            still = before + (end + (W - 1)) * before_step
            last += tl.load(still, mask=kept & (end < 0), other=0.0)
        tl.store(left + (row * (W - 1) + j) * channels + d, last, mask=kept)

# fmt: on

# -----------------------------------------------------------------------------
# A norm, and what is done to its input


def added_and_normed(
    norm: nn.Module,
    x: Tensor,
    *,
    eps: float,
    stream: Tensor | None = None,
    kept: torch.dtype | None = None,
    gate: Tensor | None = None,
    rounded: tuple[bool, bool] = (False, False),
) -> tuple[Tensor, Tensor]:
    """RMSNorm of x + stream, or of x · SiLU(gate), in the dtype of x.

    Args:
        norm: With a weight.
        x: (batch, length, width), contiguous.
        eps: Added to the mean square.
        stream: Added in FP32, of the same shape.
        kept: The dtype in which the sum is handed on.
        gate: The same shape, its last axis side by side.
        rounded: Whether the input of the norm, and what is multiplied by the weight, are rounded
            to the weight's dtype.

    Returns:
        The norm in the weight's dtype if what is multiplied is rounded, else in that of x; the sum
        in `kept`, x itself without.
    """
    rows, length, width = x.shape
    normed = torch.empty_like(x, dtype=norm.weight.dtype if rounded[1] else x.dtype)
    total = torch.empty_like(x, dtype=kept) if kept else x
    beside = x if gate is None else gate
    launch(
        _norm,
        (rows * length,),
        x,
        x if stream is None else stream,
        beside,
        norm.weight,
        total,
        normed,
        width,
        length,
        *beside.stride()[:2],
        eps,
        ADDS=stream is not None,
        KEEPS=kept is not None,
        GATED=gate is not None,
        FIRST=rounded[0],
        THEN=rounded[1],
        WIDTH=triton.next_power_of_2(width),
        num_warps=4,
    )
    return normed, total


# fmt: off
@triton.jit(do_not_specialize=("length",))  # type: ignore[untyped-decorator]
def _norm(  # type: ignore[no-untyped-def]
    x, stream, gate, weight, total, normed, width, length, gate_row, gate_step, eps,
    ADDS: tl.constexpr, KEEPS: tl.constexpr, GATED: tl.constexpr, FIRST: tl.constexpr,
    THEN: tl.constexpr, WIDTH: tl.constexpr,
) -> None:
    place = tl.program_id(0).to(tl.int64)
    d = tl.arange(0, WIDTH)
    inside = d < width
    given = tl.load(x + place * width + d, mask=inside, other=0.0).to(tl.float32)
    if ADDS:
        given += tl.load(stream + place * width + d, mask=inside, other=0.0).to(tl.float32)
    if KEEPS:
        tl.store(total + place * width + d, given.to(total.dtype.element_ty), mask=inside)
    if GATED:
        where = gate + (place // length) * gate_row + (place % length) * gate_step + d
        z = tl.load(where, mask=inside, other=0.0).to(tl.float32)
        given = given * z * tl.sigmoid(z)
    if FIRST:
        given = given.to(weight.dtype.element_ty).to(tl.float32)
    scaled = given * (1.0 / tl.sqrt(tl.sum(given * given, 0) / width + eps))
    if THEN:
        scaled = scaled.to(weight.dtype.element_ty).to(tl.float32)
    scaled = scaled * tl.load(weight + d, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + place * width + d, scaled.to(normed.dtype.element_ty), mask=inside)

# fmt: on

# -----------------------------------------------------------------------------
# Mamba-2's scan


HELD = 8192
"""Numbers of h that a program of four warps holds in registers."""


def scans(P: int, N: int) -> bool:
    """Whether `chunk_scan` takes heads of P rows and N columns."""
    return all(size in {16, 32, 64, 128, 256} for size in (P, N)) and P * N <= HELD


def chunk_scan(
    x: Tensor,
    step: Tensor,
    A_log: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    bias: Tensor,
    state: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """What `mamba2_scan.chunked_scan` gives, for a step before its bias and softplus.

    Args:
        x: (batch, length, heads, P), FP32 or half; rows and columns of a head side by side.
        step: (batch, length, heads), any dtype.
        A_log: (heads,), any dtype: log(-A); D and bias too.
        B: (batch, length, groups, N), the dtype of x.
        C: The same.
        D: Skip.
        bias: Of the step.
        state: (batch, heads, P, N), FP32, each row contiguous; None is 0.

    Returns:
        y (batch, length, heads · P) in the dtype of x; the last state, FP32.
    """
    rows, length, heads, P = x.shape
    groups, N = B.shape[2:]
    y = x.new_empty(rows, length, heads * P)
    last = torch.empty(rows, heads, P, N, device=x.device)
    start = last if state is None else state
    strides = (stride for tensor in (x, step, B, C) for stride in tensor.stride()[:2])
    launch(
        _scan_chunks, (rows, heads),
        x, step, B, C, start, y, last, A_log, D, bias, length, *strides, start.stride(0),
        heads=heads,
        share=heads // groups,
        STARTED=state is not None,
        P=P,
        N=N,
        Q=32 if x.dtype == torch.float32 else 64,
        num_warps=4,
        num_stages=1,
    )  # fmt: skip
    return y, last


# fmt: off
@triton.jit(do_not_specialize=("length",))  # type: ignore[untyped-decorator]
def _scan_chunks(  # type: ignore[no-untyped-def]
    x, step, B, C, start, y, last, A_log, D, bias, length, x_row, x_step, step_row, step_step,
    B_row, B_step, C_row, C_step, start_row, heads: tl.constexpr, share: tl.constexpr,
    STARTED: tl.constexpr, P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr,
) -> None:
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    q, p, n = tl.arange(0, Q), tl.arange(0, P), tl.arange(0, N)
    kind = x.dtype.element_ty
    decay = -tl.exp(tl.load(A_log + head).to(tl.float32))
    shift = tl.load(bias + head).to(tl.float32)
    skip = tl.load(D + head).to(tl.float32)
    x += row * x_row + head * P
    step += row * step_row + head
    B += row * B_row + (head // share) * N
    C += row * C_row + (head // share) * N
    y += row * length * heads * P + head * P
    held = head * P * N + p[None, :] * N + n[:, None]  # h on its side, as products take it
    h = tl.zeros((N, P), tl.float32)
    if STARTED:
        h += tl.load(start + row * start_row + held)
    later = q[:, None] >= q[None, :]
    for first in range(0, length, Q):
        t = first + q
        there = t < length
        delta = _softplus(
            tl.load(step + t * step_step, mask=there, other=0.0).to(tl.float32) + shift
        )
        delta = tl.where(there, delta, 0.0)
        values = tl.load(x + t[:, None] * x_step + p[None, :], mask=there[:, None], other=0.0)
        into = tl.load(B + t[None, :] * B_step + n[:, None], mask=there[None, :], other=0.0)
        out = tl.load(C + t[:, None] * C_step + n[None, :], mask=there[:, None], other=0.0)
        # a running sum: Triton 2.2 aborts over its own cumsum beside a product
        logs = tl.sum(tl.where(later, (delta * decay)[None, :], 0.0), 1)
        whole = tl.sum(delta * decay, 0)
        between = tl.where(later, tl.exp(tl.minimum(logs[:, None] - logs[None, :], 0.0)), 0.0)
        scores = tl.dot(out, into) * between * delta[None, :]
        result = tl.dot(out, h.to(kind)) * tl.exp(logs)[:, None]
        result += tl.dot(scores.to(kind), values) + skip * values.to(tl.float32)
        place = y + t[:, None] * (heads * P) + p[None, :]
        tl.store(place, result.to(kind), mask=there[:, None])
        weights = tl.exp(tl.minimum(whole - logs, 0.0)) * delta
        fed = tl.dot((into.to(tl.float32) * weights[None, :]).to(kind), values)
        h = h * tl.exp(whole) + fed
    tl.store(last + row * (heads * P * N) + held, h)
