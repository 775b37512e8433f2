"""How far a perturbed input can move what a layer computes from it, from the weights alone.

With |u' - u| ≤ ε, softplus 1-Lipschitz, and |W|₁ the sum of the absolute values of a row::

    |Δ' - Δ| ≤ r_Δ = |W_Δ|₁ ε     |B' - B| ≤ r_B = |W_B|₁ ε     |C' - C| ≤ r_C = |W_C|₁ ε

and on top of each what rounding adds: u + ε and the matrix products are computed in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from runner.ssm_layers import Layers

UNIT = 2.0**-53
"""Unit round-off of float64."""


@dataclass(frozen=True)
class Radii:
    """How far a perturbed input can move u, Δ, B and C, rounding included."""

    size: float
    """ε itself: |η|."""
    input: Tensor
    """|u' - u|, (L, 1, 1)."""
    step: Tensor
    """r_Δ, (L, D, 1)."""
    inward: Tensor
    """r_B, (L, 1, N), or its maximum over n, (L, 1, 1)."""
    outward: Tensor
    """Σ_n r_C, (L, 1, 1)."""

    def laid(self, layout: Callable[[Tensor], Tensor]) -> Self:
        """The same in another order of axes."""
        tensors = self.input, self.step, self.inward, self.outward
        return type(self)(self.size, *map(layout, tensors))


def radii(layers: Layers, epsilon: float) -> Radii:
    """Radii of a perturbation of size `epsilon`, from the weights and max |u| alone.

    Example:
        >>> import torch
        >>> one = torch.ones(1, 1, 1, dtype=torch.float64)
        >>> r = radii(Layers(decay=-one, step_weight=3 * one, step_bias=one[0], input_weight=one,
        ...                  output_weight=one, inputs=one, hold="euler"), 0.5)
        >>> round(r.step.item(), 6), round(r.inward.item(), 6)
        (1.5, 0.5)
    """
    largest = layers.inputs.abs().amax(dim=(1, 2))[:, None] + epsilon  # (L, 1)
    shift = epsilon + 4 * UNIT * largest
    # A product of J terms errs by (J + 2) units of its absolute terms; twice, and spare.
    margin = 4 * (layers.inputs.shape[-1] + 4) * UNIT

    def moved(weight: Tensor) -> Tensor:
        return weight.abs().sum(-1) * (shift + margin * largest)  # (L, rows)

    inward = moved(layers.input_weight)
    if layers.decay.shape[-1] == 1:
        inward = inward.amax(-1, keepdim=True)
    step = moved(layers.step_weight) + margin * (layers.step_bias.abs() + 1)
    outward = moved(layers.output_weight).sum(-1, keepdim=True)
    return Radii(epsilon, shift[:, None], step[..., None], inward[:, None], outward[:, None])
