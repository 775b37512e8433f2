"""Random layers, which stand in for the paper's undescribed experiment; and controls.

The TMLR version reports "a large number of randomly generated SSM layers" and gives neither
sizes nor distributions. This is what is drawn instead; every number is a choice made here.

- A: layers with an even index take A = -exp(N(0, 1)); the others Mamba's own initial values,
  S4D-real A[d,n] = -(n+1), or for Mamba-2 A = -Uniform[1, 16], one scalar a head.
- Δ: softplus(bias) log-uniform in [1e-3, 0.1] (the official initialisation), and
  W_Δ ~ N(0, 1/J), so that the pre-activation moves by about ±1 with the input: selective.
- W_B, W_C ~ N(0, 1/J); inputs u ~ N(0, 1), independent over time and channels.
- Mamba-2: heads of four channels share A and Δ. Differs: in Mamba-2 Δ, B and C are rows of
  in_proj and read the block's input, here they read u itself as in Mamba-1.

Each layer has a generator of its own, seeded by (seed, family, index): a layer's numbers
depend neither on how many layers are drawn nor on how they are grouped.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runner.stability.layers import TENSORS, Hold, Layers
from runner.stability.summary import Trace

Family = Literal["mamba-euler", "mamba-zoh", "mamba2"]

HEAD_CHANNELS = 4
"""Channels of a Mamba-2 head; D must be a multiple (Mamba-2 itself uses 64 of 1,536)."""
STEP_RANGE = (1e-3, 0.1)
"""dt_min and dt_max of the official initialisation."""

Draw = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a family of layers looks like, and the seed of everything drawn."""

    family: Family
    channels: int
    """D, and J of random layers."""
    state_size: int
    """N."""
    steps: int
    """T."""
    seed: int

    @property
    def hold(self) -> Hold:
        """How the input enters."""
        return "zoh" if self.family == "mamba-zoh" else "euler"


def draw_layers(design: Design, start: int, stop: int) -> Layers:
    """Layers `start` to `stop` (excluded) of the endless list that the seed names, on the CPU.

    Raises:
        ValueError: for Mamba-2 if the channels make no whole heads.
    """
    family, channels, state_size = design.family, design.channels, design.state_size
    if family == "mamba2" and channels % HEAD_CHANNELS:
        message = f"channels: found {channels}, expected a multiple of {HEAD_CHANNELS}"
        raise ValueError(message)
    # Euler and zero-order hold run on the very same layers: only the gain differs.
    stream = 2 if family == "mamba2" else 1
    draws = []
    for index in range(start, stop):
        rng = np.random.default_rng([design.seed, stream, index])
        draw = (
            _draw_mamba2(rng, index, channels)
            if family == "mamba2"
            else _draw_mamba1(rng, index, channels, state_size)
        )
        draw["input_weight"] = _weight(rng, state_size, channels)
        draw["output_weight"] = _weight(rng, state_size, channels)
        draw["inputs"] = rng.standard_normal((design.steps, channels))
        draws.append(draw)

    stacked: dict[str, Any] = {
        name: torch.from_numpy(np.stack([draw[name] for draw in draws])) for name in TENSORS
    }
    return Layers(**stacked, hold=design.hold)


def inverse_softplus(step: NDArray[np.float64]) -> NDArray[np.float64]:
    """The pre-activation whose softplus is `step` > 0: log(exp(step) - 1)."""
    return np.asarray(step + np.log(-np.expm1(-step)), dtype=np.float64)


def _draw_mamba1(rng: np.random.Generator, index: int, channels: int, state_size: int) -> Draw:
    """A of shape (D, N) and Δ's weight, one row a channel."""
    normal = rng.standard_normal((channels, state_size))
    s4d = np.broadcast_to(np.arange(1.0, state_size + 1), normal.shape)
    return {
        "decay": -np.exp(normal) if index % 2 == 0 else -s4d,
        "step_weight": _weight(rng, channels, channels),
        "step_bias": _step_bias(rng, channels),
    }


def _draw_mamba2(rng: np.random.Generator, index: int, channels: int) -> Draw:
    """A of shape (D, 1) and Δ's weight, equal within a head."""
    heads = channels // HEAD_CHANNELS
    scale = np.exp(rng.standard_normal(heads)) if index % 2 == 0 else rng.uniform(1, 16, heads)
    per_head = {
        "decay": -scale[:, None],
        "step_weight": _weight(rng, heads, channels),
        "step_bias": _step_bias(rng, heads),
    }
    return {name: np.repeat(rows, HEAD_CHANNELS, axis=0) for name, rows in per_head.items()}


def _weight(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    return np.asarray(rng.standard_normal((rows, columns)) / np.sqrt(columns))


def _step_bias(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return inverse_softplus(
        np.exp(rng.uniform(math.log(STEP_RANGE[0]), math.log(STEP_RANGE[1]), count))
    )


# -----------------------------------------------------------------------------
# Controls: systems that must break the bounds, and systems on which the paper's words fail.
#
# | name             | system                                | what must be seen                   |
# |------------------|---------------------------------------|-------------------------------------|
# | `positive-decay` | the job's random layers with A > 0    | every bound broken, λ_max > 0       |
# | `tanh-rnn`       | x_t = tanh(W x_{t-1} + V u_t), gain 4 | ε · 1 broken (ζ ≤ 0), λ_max > 0     |
# | `zero-decay`     | A = 0, λ = 0                          | |dx| = ε at every step, exactly     |
# | `vanishing-step` | A = -1, Δ_t → 0 summably, λ → 0-      | |dx| ≥ ε / 2 for ever: its limit > 0|
#
# The first two show that the checks can fail. The last two are counterexamples to sentences of
# the paper: with λ ≤ 0 nearby trajectories need not "ultimately converge to the same fixed point
# or periodic cycles" (Section 3.1), and deviations need not be "exponentially decreasing"
# (Appendix B). In both x' stays away from x for ever. `zero-decay` lies on the edge of the model
# class (A = -exp(A_log) is below 0 but rounds to -0 in float32 for A_log < -104);
# `vanishing-step` lies in it: the input drives the step size.

DYADIC = 2.0**-10
"""Perturbation of the λ = 0 controls: 1 + ε and its multiples are exact in float64."""
GROWTH = (0.3, 0.6)
"""A of `positive-decay`: grows by e^10 or more over 1,024 steps and stays finite."""
RNN_UNITS = 64
RNN_GAIN = 4.0
"""Spectral radius of W; above 1 a random tanh network is chaotic if its input is weak."""
RNN_INPUT = 0.1


def positive_decay(design: Design, count: int) -> Layers:
    """The first `count` random layers of a family with A drawn from `GROWTH` instead."""
    layers = draw_layers(design, 0, count)
    rng = np.random.default_rng([design.seed, 3])
    grown = torch.from_numpy(rng.uniform(*GROWTH, size=tuple(layers.decay.shape)))
    return replace(layers, decay=grown)


def zero_decay(steps: int) -> Layers:
    """A = 0 and B = 0 from x_0 = 1: a state that stays where it is put."""
    return _input_free(decay=0.0, raw_step=np.zeros(steps))


def vanishing_step(steps: int) -> Layers:
    """A = -1 and exp(Δ_t A) = 1 - 1/(t+1)², whose product is (t+2) / (2(t+1)) → 1/2."""
    time = np.arange(1, steps + 1)
    return _input_free(decay=-1.0, raw_step=inverse_softplus(-np.log1p(-1.0 / (time + 1.0) ** 2)))


def _input_free(decay: float, raw_step: NDArray[np.float64]) -> Layers:
    """One layer, one channel, one state entry; its input sets Δ and nothing else, C = 1.

    The input has two columns: column 0 drives the channel (B = 0 switches that off) and makes
    C = 1, column 1 is the pre-activation of Δ.
    """

    def column(*values: float) -> Tensor:
        return torch.tensor([[values]], dtype=torch.float64)

    inputs = np.stack([np.ones_like(raw_step), raw_step], axis=-1)
    return Layers(
        decay=column(decay),
        step_weight=column(0.0, 1.0),
        step_bias=column(0.0)[0],
        input_weight=column(0.0, 0.0),
        output_weight=column(1.0, 0.0),
        inputs=torch.from_numpy(inputs)[None],
        hold="euler",
        initial=1.0,
    )


def tanh_rnn(count: int, *, steps: int, epsilon: float, at: int, seed: int) -> tuple[Trace, Tensor]:
    """Roll out unstable tanh networks against the bound ε · min(1, ·) ≤ ε of Theorem 1.

    The whole state is perturbed before step `at`, counted from 0.

    Returns:
        The trace, with units in the place of channels and mode `latent-once` only; and the
        largest Lyapunov exponent of each network, (L,), nats a step, by one tangent vector
        (an estimate: converges as 1/T).
    """
    rng = np.random.default_rng([seed, 4])
    scale = RNN_GAIN / math.sqrt(RNN_UNITS)
    weight = torch.from_numpy(rng.standard_normal((count, RNN_UNITS, RNN_UNITS)) * scale)
    drive = torch.from_numpy(rng.standard_normal((steps, count, RNN_UNITS)) * RNN_INPUT)
    tangent = torch.from_numpy(rng.standard_normal((count, RNN_UNITS)))
    x = torch.zeros(count, RNN_UNITS, dtype=torch.float64)
    moved, exponent = x.clone(), torch.zeros(count, dtype=torch.float64)
    deviations, states = [], []
    for t in range(steps):
        if t == at:
            moved = moved + epsilon
        x = torch.tanh(torch.einsum("lij,lj->li", weight, x) + drive[t])
        moved = torch.tanh(torch.einsum("lij,lj->li", weight, moved) + drive[t])
        tangent = (1 - x**2) * torch.einsum("lij,lj->li", weight, tangent)
        norm = tangent.norm(dim=-1)
        exponent, tangent = exponent + norm.log() / steps, tangent / norm[:, None]
        deviations.append((moved - x).abs())
        states.append(x.abs())
    deviation = torch.stack(deviations)[:, None]  # (T, 1, L, units)
    none = torch.zeros_like(deviation)
    trace = Trace(
        modes=("latent-once",),
        at=at,
        latent=deviation,
        latent_ratio=deviation / epsilon,
        output=deviation,
        output_ratio=deviation / epsilon,
        latent_rounding=none,
        output_rounding=none,
        state=torch.stack(states)[:, None],
        step=none[:, 0],
    )
    return trace, exponent
