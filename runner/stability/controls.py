"""Controls: systems that must break the bounds, and systems on which the paper's words fail.

| name             | system                                | what must be seen                    |
|------------------|---------------------------------------|--------------------------------------|
| `positive-decay` | the job's random layers with A > 0    | every bound broken, λ_max > 0        |
| `tanh-rnn`       | x_t = tanh(W x_{t-1} + V u_t), gain 4 | ε · 1 broken (ζ ≤ 0), λ_max > 0      |
| `zero-decay`     | A = 0, λ = 0                          | |dx| = ε at every step, exactly      |
| `vanishing-step` | A = -1, Δ_t → 0 summably, λ → 0-      | |dx| ≥ ε / 2 for ever: a limit, not 0|

The first two show that the checks can fail. The last two are counterexamples to sentences of
the paper: with λ ≤ 0 nearby trajectories need not "ultimately converge to the same fixed point
or periodic cycles" (Section 3.1), and deviations need not be "exponentially decreasing"
(Appendix B). In both x' stays away from x for ever. `zero-decay` lies on the edge of the model
class (A = -exp(A_log) is below 0 but rounds to -0 in float32 for A_log < -104);
`vanishing-step` lies in it: the input drives the step size.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runner.stability.layers import Layers
from runner.stability.random_layers import Design, draw_layers, inverse_softplus
from runner.stability.trace import Trace

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

    Args:
        count: networks.
        steps: T.
        epsilon: perturbation of the whole state before step `at`.
        at: that step.
        seed: of weights and inputs.

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
