"""Random layers: the design that stands in for the paper's undescribed experiment.

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
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runner.stability.layers import Hold, Layers

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
        if family == "mamba2":
            draw = _draw_mamba2(rng, index, channels)
        else:
            draw = _draw_mamba1(rng, index, channels, state_size)
        draw["input_weight"] = _weight(rng, state_size, channels)
        draw["output_weight"] = _weight(rng, state_size, channels)
        draw["inputs"] = rng.standard_normal((design.steps, channels))
        draws.append(draw)

    def stack(name: str) -> Tensor:
        return torch.from_numpy(np.stack([draw[name] for draw in draws]))

    return Layers(
        decay=stack("decay"),
        step_weight=stack("step_weight"),
        step_bias=stack("step_bias"),
        input_weight=stack("input_weight"),
        output_weight=stack("output_weight"),
        inputs=stack("inputs"),
        hold=design.hold,
    )


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
