"""The recurrence of Mamba-2, step by step and in chunks.

For each head, with a state h of P rows and N columns that starts from `initial` or 0::

    h_t = exp(Δ_t A) h_{t-1} + Δ_t x_t B_tᵀ
    y_t = h_t C_t + D x_t

| symbol  | code name | shape                          | what                               |
|---------|-----------|--------------------------------|------------------------------------|
| x, y    | `x`       | (batch, length, heads, P)      | input and output                   |
| Δ       | `step`    | (batch, length, heads)         | step size, ≥ 0, after softplus     |
| A       | `decay`   | (heads,)                       | ≤ 0, one scalar a head             |
| B       | `inward`  | (batch, length, groups, N)     | heads / groups heads share one     |
| C       | `outward` | (batch, length, groups, N)     | the same                           |
| D       | `skip`    | (heads,)                       |                                    |
| h       | `state`   | (batch, heads, P, N)           | float32 (float64 where x is)       |
| Q       | `chunk`   |                                | steps a chunk, 256 in the release  |

`stepwise_scan` is the definition, one step after the other: the slow twin. `chunked_scan` is the
SSD form: within a chunk the outputs are one masked Q × Q matrix product a head, as in attention;
between chunks only the state is carried.

Precision: everything is float32, or float64 where x is float64; y is rounded once, to the dtype of
x. Where that is FP16 or BF16, `chunked_scan` also rounds what the released kernels round before
their tensor-core products (mamba-ssm 2.2.2, `ssd_chunk_scan.py`, `ssd_chunk_state.py`,
`ssd_state_passing.py`): the masked scores, the weighted B, and the state that a chunk starts from
where C reads it. Decays, Δ, CBᵀ, all sums and the state that is carried on stay float32 there and
here. So half-precision outputs depend on Q, in the release as here.

Source: Dao and Gu 2024, arXiv 2405.21060, Sections 6 and 7.1 (blocks), Equation 2 (recurrence).
Differs: the paper takes ΔB as B; the chunks are taken one after the other, which bounds memory by
one chunk; rounding passes its gradient on unchanged, while the kernels round some gradients too;
products are float32, where Triton's on a GPU take TF32 for float32 inputs.
"""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor as float32, or as it is in float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def stepwise_scan(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    inward: Tensor,
    outward: Tensor,
    skip: Tensor,
    *,
    initial: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Outputs and last state, one step after the other.

    Names and shapes are the table's, of any floating dtype; `initial` is h before the first step.

    Returns:
        y in the shape and dtype of x; the last h, float32 (float64 where x is).
    """
    share = x.shape[2] // inward.shape[2]
    every_inward = at_least_float32(inward).repeat_interleave(
        share, dim=2
    )  # (batch, length, heads, N)
    every_outward = at_least_float32(outward).repeat_interleave(share, dim=2)
    transition = torch.exp(at_least_float32(step) * at_least_float32(decay))
    driven = at_least_float32(step)[..., None] * at_least_float32(x)
    state = _start(x, inward, initial)
    outputs = []
    for t in range(x.shape[1]):
        fed = driven[:, t, :, :, None] * every_inward[:, t, :, None]
        state = transition[:, t, :, None, None] * state + fed
        outputs.append(torch.einsum("bhpn,bhn->bhp", state, every_outward[:, t]))
    y = torch.stack(outputs, dim=1) + at_least_float32(skip)[:, None] * at_least_float32(x)
    return y.to(x.dtype), state


def chunked_scan(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    inward: Tensor,
    outward: Tensor,
    skip: Tensor,
    *,
    initial: Tensor | None = None,
    chunk: int = 256,
) -> tuple[Tensor, Tensor]:
    """Outputs and last state, chunk by chunk; takes and returns what `stepwise_scan` does.

    Memory is that of one chunk, batch · heads · chunk² numbers a few times over. Where gradients
    are taken, each chunk is computed again on the way back instead of being kept.

    `chunk` is Q ≥ 1; the last chunk may be shorter.
    """
    state = _start(x, inward, initial)
    outputs = []
    for first in range(0, x.shape[1], chunk):
        x_part, step_part, inward_part, outward_part = (
            tensor[:, first : first + chunk] for tensor in (x, step, inward, outward)
        )
        given = (state, x_part, step_part, decay, inward_part, outward_part)
        if torch.is_grad_enabled():
            y, state = checkpoint(_chunk, *given, use_reentrant=False, preserve_rng_state=False)
        else:
            y, state = _chunk(*given)
        outputs.append((y + at_least_float32(skip)[:, None] * at_least_float32(x_part)).to(x.dtype))
    return torch.cat(outputs, dim=1), state


def _start(x: Tensor, inward: Tensor, initial: Tensor | None) -> Tensor:
    """The state before the first step."""
    if initial is not None:
        return at_least_float32(initial)
    batch, _, heads, rows = x.shape
    return at_least_float32(x.new_zeros(())).new_zeros(batch, heads, rows, inward.shape[-1])


def _chunk(
    state: Tensor,
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    inward: Tensor,
    outward: Tensor,
) -> tuple[Tensor, Tensor]:
    """Outputs without D of one chunk and the state after it.

    Letters of axes: b batch, g group, r head within its group, i and j step within the chunk
    (j ≤ i), p row and n column of the state.
    """
    groups = inward.shape[2]
    values = at_least_float32(x).unflatten(2, (groups, -1)).permute(0, 2, 3, 1, 4)  # bgrjp
    steps = at_least_float32(step).unflatten(2, (groups, -1)).permute(0, 2, 3, 1)  # bgrj
    into, out = (
        at_least_float32(inward).transpose(1, 2),
        at_least_float32(outward).transpose(1, 2),
    )  # bgjn, bgin
    held = state.unflatten(1, (groups, -1))  # bgrpn

    # The logarithm of a decay is a sum of ΔA ≤ 0. A difference of two sums may round to above 0
    # where they are huge, hence the clamps: nothing overflows.
    log_decay = torch.cumsum(steps * at_least_float32(decay).view(groups, -1, 1), dim=-1)
    between = log_decay[..., :, None] - log_decay[..., None, :]  # bgrij
    later = torch.ones(between.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
    decays = between.masked_fill_(later, -torch.inf).clamp(max=0.0).exp_()
    scores = (out @ into.mT)[:, :, None] * decays
    inner = _rounded(scores * steps[..., None, :], x.dtype) @ values
    carried = torch.einsum("bgin,bgrpn->bgrip", out, _rounded(held, x.dtype))
    y = inner + carried * log_decay.exp()[..., None]

    whole = log_decay[..., -1:]
    weights = (whole - log_decay).clamp(max=0.0).exp() * steps
    fed = values.mT @ _rounded(into[:, :, None] * weights[..., None], x.dtype)
    after = whole.exp()[..., None] * held + fed
    return y.permute(0, 3, 1, 2, 4).flatten(2, 3), after.flatten(1, 2)


class _Rounded(torch.autograd.Function):
    """Round to a narrower dtype and widen again; the gradient passes unchanged."""

    @staticmethod
    def forward(
        _: torch.autograd.function.FunctionCtx, tensor: Tensor, dtype: torch.dtype
    ) -> Tensor:
        return tensor.to(dtype).to(tensor.dtype)

    @staticmethod
    def backward(_: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def _rounded(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The float32 tensor with the values that `dtype` has, where that is narrower."""
    if dtype.itemsize >= tensor.dtype.itemsize:
        return tensor
    result: Tensor = _Rounded.apply(tensor, dtype)  # type: ignore[no-untyped-call]
    return result
