"""The recurrence of Mamba in plain PyTorch, from a state to a state.

For each channel d and each of N states n, with h that starts from `state`::

    h_t = exp(Δ_t A) h_{t-1} + Δ_t u_t B_t
    y_t = C_t h_t                                       (D and the gate are the caller's)

| symbol | code name | shape                  | what                                  |
|--------|-----------|------------------------|---------------------------------------|
| u, y   | `u`       | (batch, length, inner) | input and output                      |
| Δ      | `step`    | (batch, length, inner) | step size, ≥ 0, after softplus        |
| A      | `decay`   | (N, inner)             | ≤ 0                                   |
| B      | `inward`  | (batch, length, N)     |                                       |
| C      | `outward` | (batch, length, N)     |                                       |
| h      | `state`   | (batch, N, inner)      | float32 (float64 where Δ is)          |

What is rounded is what `slow_forward` of transformers rounds, so that both differ by the order of
float32 sums alone: u and B are float32 even in float64, h is float32 (float64 where Δ is) and is
rounded to the dtype of C where C reads it, y is rounded once to that dtype. Every decay is ≤ 1 and
is multiplied step by step, so that nothing overflows.

It is faster than `slow_forward` on a CPU because channels lie side by side in memory, decays are
made for many steps at once, and a step is then one operation. In half precision on a GPU
`mamba_scan_plain` does all steps in one kernel.

Reference: transformers 4.40.0, `MambaMixer.slow_forward`; Gu and Dao 2023, arXiv 2312.00752,
Algorithm 2. Differs: (Δ u) B is multiplied in this order, there it is (Δ B) u.
Not covered: gradients; the memory that they need is why it is not used in training.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from runner.models.mamba2_scan import at_least_float32

CHUNK = {"cpu": 2**19, "cuda": 2**26}
"""Numbers of h at once: as fit a core's cache; on a GPU, as keep it busy (256 MiB, twice)."""


def scan_from_state(
    u: Tensor, step: Tensor, decay: Tensor, inward: Tensor, outward: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Outputs y, (batch, length, inner) in the dtype of C, and the last h.

    Names and shapes are the table's, length ≥ 1; A is float32, the others of any floating dtype.
    `state` is h before the first step and is not changed.
    """
    chunk = max(1, CHUNK.get(u.device.type, CHUNK["cpu"]) // state.numel())
    by_time = [tensor.transpose(0, 1).split(chunk) for tensor in (u, step, inward, outward)]
    decays, fed = (state.new_empty(len(by_time[0][0]), *state.shape) for _ in range(2))
    outputs = []
    with torch.autocast(u.device.type, enabled=False):
        for u_part, step_part, inward_part, outward_part in zip(*by_time, strict=True):
            now, held = decays[: len(u_part)], fed[: len(u_part)]
            torch.mul(step_part[:, :, None], decay, out=now).exp_()
            driven = at_least_float32(step_part) * u_part.float()
            torch.mul(driven[:, :, None], inward_part.float()[..., None], out=held)
            for each, decayed in zip(held, now, strict=True):
                state = each.addcmul_(decayed, state)  # what was fed becomes h
            read = at_least_float32(held.to(outward.dtype))
            y = (at_least_float32(outward_part)[:, :, None] @ read)[:, :, 0]
            outputs.append(y.to(outward.dtype))
            state = state.clone()  # the next chunk is fed into the same memory
    return torch.cat(outputs).transpose(0, 1), state


# -----------------------------------------------------------------------------
# From a state by a scan that starts from 0, as mamba-ssm's kernel does
#
# N steps are put before the first one, the n-th of which writes the n-th column of the state: B is
# 1 at n, Δ = 2^-60, u = h / Δ. exp(ΔA) is then 1 in FP32, and Δ u B is the state to the bit, as
# scaling by a power of 2 rounds nothing. It costs the scan N (16) more steps and a copy of
# everything; `python -m benchmarks.scan_starts` has what that takes, beside two other ways.
#
# The scan gets FP32 inputs and y is rounded once, after the gate, as the kernel does for half
# inputs. Where Triton can compile, a kernel that starts from a state is taken instead
# (`mamba_scan_triton`).
#
# Reference: mamba-ssm 2.2.2 and 2.3.2, `selective_scan_fn` (read: it multiplies Δ by u first, in
# FP32, whatever the inputs' dtype).
# Not covered: gradients; |A| ≥ 2^35 and |h| ≥ 2^67, at which it would be wrong.

Scan = Callable[..., tuple[Tensor, Tensor]]
"""`selective_scan_fn`: called with u, delta, A, B, C, D, z and return_last_state by name; gives
outputs (batch, inner, length) and the last state (batch, inner, N)."""

TINY = 2.0**-60
"""Δ of a pseudo-step."""

Start = Callable[[Scan, "ScanInputs", Tensor], tuple[Tensor, Tensor]]
"""A way to do it: gated outputs and the last state, as `by_pseudo_steps` says."""


class ScanInputs(NamedTuple):
    """What the kernel scans, named as its arguments are."""

    u: Tensor
    """(batch, inner, length)."""
    delta: Tensor
    """The same shape, after its bias and softplus, FP32."""
    A: Tensor
    """(inner, N), FP32."""
    B: Tensor
    """(batch, N, length)."""
    C: Tensor
    """(batch, N, length)."""
    D: Tensor
    """(inner,), FP32."""
    z: Tensor
    """The gate before its SiLU, in the shape of u."""


def by_pseudo_steps(scan: Scan, inputs: ScanInputs, state: Tensor) -> tuple[Tensor, Tensor]:
    """Gated outputs, in the dtype of u, and the last state of a scan from `state`.

    Args:
        scan: What starts from 0.
        inputs: Of the steps after the state.
        state: (batch, inner, N), FP32.
    """
    count = state.shape[-1]
    columns = torch.eye(count, dtype=state.dtype, device=state.device).expand(len(state), -1, -1)
    nothing = torch.zeros_like(state)
    before = {
        "u": state / TINY,
        "delta": torch.full_like(state, TINY),
        "B": columns,
        "C": torch.zeros_like(columns),
        "z": nothing,
    }
    longer = {
        name: torch.cat([first, at_least_float32(getattr(inputs, name))], dim=-1)
        for name, first in before.items()
    }
    y, last = scan(**longer, A=inputs.A, D=inputs.D, return_last_state=True)
    return y[..., count:].to(inputs.u.dtype), last
