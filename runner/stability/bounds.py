"""Explicit bounds on deviations: Theorems 1 and 2 with their constants filled in.

"∈ O(ε exp(Nζ))" with a free constant can never fail. This is what the proof gives once it is
mended (the step size, B and C depend on the perturbed input, and x_t is reached through the
unperturbed x_{t-1}); ' marks the perturbed trajectory, d the difference, per entry [d,n].

Radii. With |u' - u| ≤ ε, softplus 1-Lipschitz and |W|₁ the sum of a row's absolute values::

    |Δ' - Δ| ≤ r_Δ = |W_Δ|₁ ε     |B' - B| ≤ r_B = |W_B|₁ ε     |C' - C| ≤ r_C = |W_C|₁ ε

One step. Let a = exp(ΔA), a' = exp(Δ'A), and η the perturbation of the latent, |η| ≤ ε. Then::

    x'_t - x_t = a' (dx_{t-1} + η) + (a' - a) x_{t-1} + (g'B'u' - gBu)

- a' ≤ s := min(1, exp(A max(0, Δ - r_Δ))). For A ≤ 0 the minimum changes nothing; it is
  what "ζ ≤ 0" claims, and what a layer with A > 0 must break.
- |a' - a| ≤ |A| r_Δ s, by the mean value theorem: any Δ between has exp(ΔA) ≤ s.
- g'B'u' - gBu = (g' - g) B u + g' (B' - B) u + g' B' (u' - u). Euler: g = Δ. Zero-order hold:
  g = ∫₀^Δ exp(sA) ds, so dg/dΔ = exp(ΔA) ∈ (0, 1]. Either way |g' - g| ≤ r_Δ.

Hence, with c_{t-1} bounding |dx_{t-1}|, an input-to-state bound that holds for noise at every
step, and for noise at one time is Theorem 1 with ε K Π min(1, exp(ΔA))::

    c_t = s (c_{t-1} + |η|) + κ_t
    κ_t = s |A| r_Δ |x_{t-1}| + r_Δ |B| |u| + (g + r_Δ) (r_B |u| + (|B| + r_B) ε)

With fixed parameters all r are 0 and s = min(1, a): κ_t = g |B| ε. Outputs (Theorem 2)::

    |y'_t - y_t| ≤ ‖C_t‖₁ max_n c_t + (Σ_n r_C) max_n |x'_t|

|x_{t-1}| is the unperturbed trajectory's, and no free constant either: ζ ≤ 0 bounds it by
X_t = min(1, a) X_{t-1} + g |B| |u|. For A ≤ 0, |x| ≤ X always; with A > 0 the trajectory itself
leaves X, and then X stands in κ and below: a bound may not grow with what it should exclude.

Rounding. Two honest trajectories are subtracted, so c also carries, each step, what floating
point may add to their difference: 32 units (2^-53) of |x_{t-1}| + Δ' |B'| |u'|. Counted: at most
4 for products and sums of both, 10 for exp (two units, its argument, its factor), 8 for the gain.
The radii carry the error of u + ε and of the matrix products in float64. Relative errors of c
itself grow by a few units a step; the final comparison allows `RATIO_SLACK` for them.

Reference: paper v2, Section 3.1 and Appendices B, C. Differs: constants; s depends on time, so
no single ζ is needed; noise at every step and the dependence of θ on u are not in the paper's
proof; ‖C‖₁ replaces "∝", because C_t sums over n and is not diagonal.

For one scalar A a channel (Mamba-2) |x|, |B| and r_B enter as their maxima over n: s does not
depend on n, so the bound is one number a channel and still checked against every entry.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from runner.stability.layers import Layers
from runner.stability.perturbation import PerturbedModes

# -----------------------------------------------------------------------------
# Radii

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


# -----------------------------------------------------------------------------
# Bounds

ROUNDING = 32 * UNIT
"""Rounding of one step of both trajectories, relative to what enters it (counted above)."""
TINY = 1e-290
"""Above any error of underflow; keeps 0/0 out of the ratios."""
RATIO_SLACK = 2.0**-36
"""How far above 1 a ratio deviation/bound may lie through the bound's own rounding: a few units
a step, so enough for some 30,000 steps."""


class BoundTrack:
    """c_t of every mode, advanced with the roll-out that it bounds.

    Shapes are those of one step in the roll-out's layout; N stands for N or 1. Whatever does not
    depend on the state is prepared for a block of steps at once.
    """

    def __init__(
        self, decay: Tensor, radius: Radii, axis: int, *, modes: int, initial: float
    ) -> None:
        """Start from no deviation.

        Args:
            decay: A, shape (L, D, N).
            radius: radii of the perturbation.
            axis: the axis of n, counted from the last.
            modes: M.
            initial: |x_0|.
        """
        self.bound = decay.new_zeros(modes, *decay.shape)
        self._rows = self.bound.unbind(0)
        self._tails = [(self.bound[:split], self.bound[split:]) for split in range(modes)]
        self.rounding = torch.zeros_like(decay.amax(axis, keepdim=True))
        self._decay, self._radius, self._axis = decay, radius, axis
        self._slowest = decay.amax(axis, keepdim=True)
        self._expands = bool((decay > 0).any())
        self._limit = torch.zeros_like(decay).add_(initial)
        self._pull = decay.abs() * radius.step  # |A| r_Δ
        # s = min(1, a exp(|A| r_Δ)), the same for A ≤ 0; and 1 for A > 0.
        self._lift = self._pull.exp().masked_fill_(decay > 0, torch.inf)

    def prepare(self, step: Tensor, inward: Tensor, drive: Tensor) -> None:
        """What the next block of T steps needs.

        Args:
            step: Δ, shape (T, L, D, 1), unperturbed.
            inward: B, shape (T, L, 1, full N), unperturbed.
            drive: u, shape (T, L, D, 1), unperturbed.
        """
        radius, axis = self._radius, self._axis
        largest = torch.maximum(inward.amax(axis, keepdim=True), -inward.amin(axis, keepdim=True))
        size = largest if self._decay.shape[axis] == 1 else inward.abs()
        drive = drive.abs()
        self._inward = size.unbind(0)
        self._drive = drive.unbind(0)
        self._moved_step = (radius.step * drive).unbind(0)
        self._moved_input = (size * radius.input).unbind(0)
        self._moved_both = ((size + radius.inward) * radius.input).unbind(0)
        reach = (drive + radius.input) * (step + radius.step)  # |u'| Δ'
        fresh = reach * (largest + radius.inward.amax(axis, keepdim=True))
        self._fresh = fresh.mul_(ROUNDING).add_(TINY).unbind(0)
        self._rounding_survives = (step * self._slowest).exp_().clamp_(max=1).unbind(0)

    def advance(
        self,
        t: int,
        active: PerturbedModes,
        transition: Tensor,
        gain: Tensor,
        sizes: tuple[Tensor, Tensor],
    ) -> None:
        """From c_{t-1} to c_t.

        Args:
            t: the step, counted within the prepared block.
            active: which modes are perturbed in this step.
            transition: exp(ΔA), shape (L, D, N).
            gain: g, shape (L, D, N or 1).
            sizes: |x_{t-1}|, shape (L, D, N), and its maximum over n, shape (L, D, 1).
        """
        size, largest = sizes
        for i in active.latent:
            self._rows[i].add_(self._radius.size)
        survive = (transition * self._lift).clamp_(max=1)
        if self._expands:  # else min(1, .) changes nothing
            transition = transition.clamp(max=1)
        fixed, selective = self._tails[active.split]
        fixed.mul_(transition)
        selective.mul_(survive)
        rounding = torch.add(self._fresh[t], largest, alpha=ROUNDING)
        self.bound.add_(rounding)
        self.rounding.mul_(self._rounding_survives[t]).add_(rounding)
        for i in active.fixed_input:
            self._rows[i].addcmul_(self._moved_input[t], gain)
        kappa = self._selective_injection(t, survive, gain, self.limited(size))
        for i in active.selective_input:
            self._rows[i].add_(kappa)
        if self._expands:
            self._limit.mul_(transition).add_(self._inward[t] * gain * self._drive[t])

    def limited(self, state: Tensor) -> Tensor:
        """|x|, or X where x has left the bound that ζ ≤ 0 puts on it; the same for A ≤ 0."""
        return torch.minimum(state, self._limit) if self._expands else state

    def _selective_injection(self, t: int, survive: Tensor, gain: Tensor, state: Tensor) -> Tensor:
        """κ_t: what a perturbed input with perturbed parameters can add in one step."""
        radius = self._radius
        kappa = (self._pull * survive).mul_(state)
        kappa.addcmul_(self._inward[t], self._moved_step[t])
        through_input = torch.addcmul(self._moved_both[t], radius.inward, self._drive[t])
        return kappa.addcmul_(gain + radius.step, through_input)


@dataclass(frozen=True)
class OutputBound:
    """Theorem 2's bound from Theorem 1's, with the rounding of both sums over n."""

    norm: Tensor
    """‖C_t‖₁, shape (T, 1, L, 1)."""
    terms: int
    """N, the terms of each sum."""
    radius: Tensor
    """Σ_n r_C, shape (L, 1)."""

    def __call__(self, latent: Tensor, state: Tensor, limited: Tensor, selective: Tensor) -> Tensor:
        """Bound on |y'_t - y_t|, shape (T, M, L, D).

        Args:
            latent: max_n c_t, shape (T, M, L, D).
            state: max_n |x_t| of the unperturbed trajectory, shape (T, 1, L, D).
            limited: the same, at most X_t.
            selective: 1 where a mode reads the perturbed C in that step, shape (T, M, 1, 1).
        """
        moved = selective * self.radius  # (T, M, L, 1)
        rounding = 4 * (self.terms + 4) * UNIT * (self.norm + moved) * (latent + state)
        return rounding.add_(TINY).addcmul_(self.norm, latent).add_(moved * (latent + limited))
