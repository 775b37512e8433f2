"""The slow roll-out: the equations as they stand, one mode and one step at a time.

The twin of `runner.rollout`, and its oracle: it shares no buffers, no parameters and no layout
with it. Arrays are (L, D, N), the parameters of a step are computed in that step from that
step's input, and the bound is written as `runner.deviation_bounds` derives it. Both must agree
to rounding; `benchmarks/stability.py` times one against the other over the same layers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from runner.deviation_bounds import ROUNDING, TINY
from runner.perturbation import Mode
from runner.ssm_layers import Layers


@dataclass(frozen=True)
class Trajectory:
    """Every state and output of a batch of layers."""

    states: Tensor
    """x_t, (T, L, D, N)."""
    outputs: Tensor
    """y_t, (T, L, D)."""


def plain_trajectory(
    layers: Layers, mode: Mode | None = None, epsilon: float = 0.0, at: int = 0
) -> Trajectory:
    """Roll `layers` out; with a `mode`, perturbed by `epsilon`.

    Example:
        >>> from runner.random_layers import Design, draw_layers
        >>> design = Design(family="mamba2", channels=4, state_size=2, steps=5, seed=0)
        >>> layers = draw_layers(design, 0, 3)
        >>> tuple(plain_trajectory(layers).states.shape)
        (5, 3, 4, 2)
    """
    shape = (layers.count, layers.channels, layers.state_size)
    x = layers.inputs.new_full(shape, layers.initial)
    states, outputs = [], []
    for t in range(layers.steps):
        given = layers.inputs[:, t]  # (L, J)
        active = mode is not None and mode.active(t, at)
        perturbed = given + epsilon if active and mode is not None and mode.input else given
        if active and mode is not None and mode.latent:
            x = x + epsilon
        transition, gain, inward, outward = _step(
            layers, perturbed if mode is not None and mode.selective else given
        )
        drive = perturbed[:, : layers.channels, None]
        x = transition * x + gain * inward * drive
        states.append(x)
        outputs.append((outward * x).sum(-1))
    return Trajectory(torch.stack(states), torch.stack(outputs))


def plain_bound(layers: Layers, base: Trajectory, mode: Mode, epsilon: float, at: int) -> Tensor:
    """c_t of one mode, (T, L, D, N), or (T, L, D, 1) where A is one scalar a channel."""
    scalar = layers.decay.shape[-1] == 1

    def reduce(entries: Tensor) -> Tensor:
        return entries.amax(-1, keepdim=True) if scalar else entries

    step_radius = layers.step_weight.abs().sum(-1)[..., None] * epsilon  # (L, D, 1)
    inward_radius = reduce(layers.input_weight.abs().sum(-1)[:, None] * epsilon)
    bound = torch.zeros_like(layers.decay)
    before = torch.full_like(base.states[0], layers.initial)
    bounds = []
    for t in range(layers.steps):
        given = layers.inputs[:, t]
        transition, gain, inward, _ = _step(layers, given)
        drive = given[:, : layers.channels, None].abs()
        active, size, inward = mode.active(t, at), before.abs(), reduce(inward.abs())
        survive = transition.clamp(max=1)
        if active and mode.selective:
            step = torch.logaddexp(_raw_step(layers, given), given.new_zeros(()))
            survive = (layers.decay * (step - step_radius).clamp(min=0)).exp().clamp(max=1)
        bound = survive * (bound + (epsilon if active and mode.latent else 0.0))
        if active and mode.input and not mode.selective:
            bound = bound + gain * inward * epsilon
        elif active and mode.input:
            bound = bound + survive * layers.decay.abs() * step_radius * reduce(size)
            bound = bound + step_radius * inward * drive
            through_input = inward_radius * drive + (inward + inward_radius) * epsilon
            bound = bound + (gain + step_radius) * through_input
        fresh = size.amax(-1, keepdim=True) + gain * inward * drive
        bound = bound + ROUNDING * fresh + TINY
        before = base.states[t]
        bounds.append(bound)
    return torch.stack(bounds)


def _raw_step(layers: Layers, inputs: Tensor) -> Tensor:
    """Pre-activation of Δ, (L, D, 1)."""
    raw = torch.einsum("ldj,lj->ld", layers.step_weight, inputs) + layers.step_bias
    return raw[..., None]


def _step(layers: Layers, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """exp(ΔA), g, B, C of one step: (L, D, N or 1), the same, (L, 1, N), (L, 1, N)."""
    step = torch.logaddexp(_raw_step(layers, inputs), inputs.new_zeros(()))
    inward = torch.einsum("lnj,lj->ln", layers.input_weight, inputs)[:, None]
    outward = torch.einsum("lnj,lj->ln", layers.output_weight, inputs)[:, None]
    transition = torch.exp(step * layers.decay)
    if layers.hold == "zoh":
        return transition, torch.expm1(step * layers.decay) / layers.decay, inward, outward
    return transition, step, inward, outward
