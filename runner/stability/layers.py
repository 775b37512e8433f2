"""State-space layers as tensors: one batch of layers of a family, and their parameters over time.

Recurrence, per layer, channel d and state entry n (paper v2, Equations 1-2, diagonal)::

    x_t[d,n] = exp(Δ_t[d] A[d,n]) x_{t-1}[d,n] + g_t[d,n] B_t[n] u_t[d]
    y_t[d]   = Σ_n C_t[n] x_t[d,n]
    Δ_t = softplus(W_Δ u_t + bias),  B_t = W_B u_t,  C_t = W_C u_t

| symbol    | code name             | shape             | what                                   |
|-----------|-----------------------|-------------------|----------------------------------------|
| L, T      | `count`, `steps`      |                   | layers of the batch, time steps        |
| D, N, J   | `channels`, ...       |                   | channels, entries a channel, inputs    |
| A         | `decay`               | (L, D, N or 1)    | ≤ 0 in Mamba; SSD: one scalar a head   |
| W_Δ, bias | `step_weight`, `_bias`| (L, D, J), (L, D) | dt_proj after the dt rows of x_proj    |
| W_B       | `input_weight`        | (L, N, J)         | the B rows of x_proj                   |
| W_C       | `output_weight`       | (L, N, J)         | the C rows of x_proj                   |
| u         | `inputs`              | (L, T, J)         | u[..., d] drives channel d, so D ≤ J   |
| Δ         | `step`                | (T, L, D, 1)      | step size, ≥ 0                         |
| B, C      | `inward`, `outward`   | (T, L, 1, N)      |                                        |
| g         | `gain`                | (L, D, N or 1)    | Euler: Δ. Hold: (exp(ΔA) - 1) / A      |
| exp(ΔA)   | `transition`          | (L, D, N or 1)    | A-bar, the Jacobian ∂x_t/∂x_{t-1}      |

Everything is float64 (`runner.stability.precision` excepted).

Differs: the paper prints zero-order hold, the released kernels use Euler; both are here. The
kernels return the pre-activation itself where softplus exceeds 20 (2e-9 less than softplus);
here softplus is exact, because the bounds need its slope to be at most 1.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

Hold = Literal["euler", "zoh"]

TENSORS = ("decay", "step_weight", "step_bias", "input_weight", "output_weight", "inputs")
"""Fields of `Layers` that have a row for each layer."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """A batch of layers and the input sequence of each; shapes in the module's glossary."""

    decay: Tensor
    step_weight: Tensor
    step_bias: Tensor
    input_weight: Tensor
    output_weight: Tensor
    inputs: Tensor
    hold: Hold
    """How the input enters: Euler (the kernels) or zero-order hold (as printed)."""
    initial: float = 0.0
    """Every entry of x_0. Mamba starts from 0."""

    def __post_init__(self) -> None:
        """Refuse a decay of zero under zero-order hold, where g divides by it."""
        if self.hold == "zoh" and not bool((self.decay != 0).all()):
            message = "zero-order hold divides by A: found an A of 0, expected none"
            raise ValueError(message)

    @property
    def count(self) -> int:
        """L."""
        return int(self.decay.shape[0])

    @property
    def channels(self) -> int:
        """D."""
        return int(self.decay.shape[1])

    @property
    def state_size(self) -> int:
        """N."""
        return int(self.input_weight.shape[1])

    @property
    def steps(self) -> int:
        """T."""
        return int(self.inputs.shape[1])

    def mapped(self, start: int, stop: int, device: torch.device) -> Self:
        """Layers `start` to `stop` of the batch, on `device`."""
        rows = {name: getattr(self, name)[start:stop].to(device) for name in TENSORS}
        return replace(self, **rows)


@dataclass(frozen=True)
class Parameters:
    """Δ_t, B_t and C_t of every layer along one input sequence."""

    step: Tensor
    """Δ, (T, L, D, 1)."""
    inward: Tensor
    """B, (T, L, 1, N)."""
    outward: Tensor
    """C, (T, L, 1, N)."""

    def laid(self, layout: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Δ, B and C in another order of axes."""
        return layout(self.step), layout(self.inward), layout(self.outward)


def parameter_memory(layers: Layers, steps: int) -> Tensor:
    """Memory for `steps` steps of Δ's pre-activation, B and C: (L, steps, D + 2 N)."""
    rows = layers.channels + 2 * layers.state_size
    return layers.inputs.new_empty(layers.count, steps, rows)


def parameters(layers: Layers, inputs: Tensor, memory: Tensor | None = None) -> Parameters:
    """Δ, B, C that the layers compute from `inputs`.

    One matrix product a layer, as x_proj is: a batched product may round differently with the
    number of layers in the batch, and no number may depend on that.

    `inputs` is (L, T, J). `memory` is from `parameter_memory`, at least T steps, and B and C are
    views of it.
    """
    steps, size = inputs.shape[1], layers.state_size
    stacked = torch.cat([layers.step_weight, layers.input_weight, layers.output_weight], dim=1)
    found = (parameter_memory(layers, steps) if memory is None else memory)[:, :steps]
    for u, weight, out in zip(inputs, stacked, found, strict=True):
        torch.mm(u, weight.T, out=out)
    rows = found.transpose(0, 1)  # (T, L, D + 2 N)
    step, inward, outward = torch.split(rows, [layers.channels, size, size], dim=-1)
    raw = step + layers.step_bias
    return Parameters(
        step=torch.logaddexp(raw, raw.new_zeros(()))[..., None],
        inward=inward[:, :, None],
        outward=outward[:, :, None],
    )


def discretise(step: Tensor, decay: Tensor, hold: Hold) -> tuple[Tensor, Tensor]:
    """One step's transition exp(ΔA) and gain g.

    Args:
        step: Δ_t, shape (L, D, 1), ≥ 0. Any order of axes does, if it is one for all.
        decay: A, shape (L, D, N or 1).
        hold: which gain.

    Returns:
        transition, shape of `decay`; gain, shape of `step` (Euler) or `decay` (hold).

    Reference:
        Paper v2, Section 3, below Equation 2. Differs: expm1 for the hold, which is the same
        number without the cancellation of exp(ΔA) - 1 at small Δ.

    Example:
        >>> a, g = discretise(torch.full((1, 1, 1), 0.5), torch.full((1, 1, 1), -2.0), "zoh")
        >>> round(a.item(), 4), round(g.item(), 4)
        (0.3679, 0.3161)
    """
    exponent = step * decay
    if hold == "euler":
        return exponent.exp_(), step
    gain = torch.expm1(exponent).div_(decay)
    return exponent.exp_(), gain
