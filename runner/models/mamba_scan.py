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
made for many steps at once, and a step is then one operation.

Reference: transformers 4.40.0, `MambaMixer.slow_forward`; Gu and Dao 2023, arXiv 2312.00752,
Algorithm 2. Differs: (Δ u) B is multiplied in this order, there it is (Δ B) u.
Not covered: gradients; the memory that they need is why it is not used in training.
"""

import torch
from torch import Tensor

CHUNK = {"cpu": 2**19, "cuda": 2**26}
"""Numbers of h at once: as fit a core's cache; on a GPU, as keep it busy (256 MiB, twice)."""


def wide(tensor: Tensor) -> Tensor:
    """The tensor as float32, or as it is in float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def scanned(
    u: Tensor, step: Tensor, decay: Tensor, inward: Tensor, outward: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Outputs y, (batch, length, inner) in the dtype of C, and the last h.

    Args:
        u: As the table says, any floating dtype, length ≥ 1; the others likewise.
        step: Δ.
        decay: A, float32.
        inward: B.
        outward: C.
        state: h before the first step; not changed.
    """
    chunk = max(1, CHUNK.get(u.device.type, CHUNK["cpu"]) // state.numel())
    by_time = [tensor.transpose(0, 1).split(chunk) for tensor in (u, step, inward, outward)]
    decays, fed = (state.new_empty(len(by_time[0][0]), *state.shape) for _ in range(2))
    outputs = []
    with torch.autocast(u.device.type, enabled=False):
        for u_part, step_part, inward_part, outward_part in zip(*by_time, strict=True):
            now, held = decays[: len(u_part)], fed[: len(u_part)]
            torch.mul(step_part[:, :, None], decay, out=now).exp_()
            driven = wide(step_part) * u_part.float()
            torch.mul(driven[:, :, None], inward_part.float()[..., None], out=held)
            for each, decayed in zip(held, now, strict=True):
                state = each.addcmul_(decayed, state)  # what was fed becomes h
            read = wide(held.to(outward.dtype))
            y = (wide(outward_part)[:, :, None] @ read)[:, :, 0]
            outputs.append(y.to(outward.dtype))
            state = state.clone()  # the next chunk is fed into the same memory
    return torch.cat(outputs).transpose(0, 1), state
