"""A random Mamba-2 language model of a few thousand weights, and the same model in numpy loops.

`logits` is the oracle of the tests beside it: float64, one token, head and row at a time, written
from the equations and importing nothing of `runner`.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from runner.models.mamba2 import Mamba2ForCausalLM
from runner.models.mamba2_config import Mamba2Config

Array = NDArray[np.float64]

SIZES = {"d_state": 5, "headdim": 4, "ngroups": 2, "chunk_size": 8, "d_conv": 4, "expand": 2}
EPSILON = 1e-5


def config(**options: Any) -> Mamba2Config:
    """Two layers, 6 heads of 4 rows in 2 groups, 29 words in 32 rows."""
    sizes = {"layer": "Mamba2"} | SIZES | options.pop("ssm_cfg", {})
    given = {"d_model": 12, "n_layer": 2, "vocab_size": 29, "ssm_cfg": sizes} | options
    return Mamba2Config(**given)


def model(seed: int = 3, **options: Any) -> Mamba2ForCausalLM:
    """A model in which every weight matters: none is 0 or 1, as some are at first."""
    torch.manual_seed(seed)
    made = Mamba2ForCausalLM(config(**options))
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if name.endswith(("norm.weight", "norm_f.weight", ".D")):
                weight.uniform_(0.5, 1.5)
            elif name.endswith(".dt_bias"):
                weight.normal_(-5.0)  # steps of 0.01: what was read is kept beyond a chunk
            elif name.endswith("conv1d.bias"):
                weight.normal_()
            elif weight.dim() > 1:
                weight.normal_(std=weight[0].numel() ** -0.5)
    made.eval()
    return made


def tokens(length: int, batch: int = 2) -> torch.Tensor:
    """Random ids, (batch, length)."""
    return torch.randint(29, (batch, length), generator=torch.Generator().manual_seed(4))


def logits(made: Mamba2ForCausalLM, ids: list[int]) -> Array:
    """Logits (length, rows) of one sequence."""
    weights = {name: w.detach().double().numpy() for name, w in made.state_dict().items()}
    stream = weights["backbone.embedding.weight"][ids]
    for number in range(made.config.n_layer):
        prefix = f"backbone.layers.{number}."
        layer = {k.removeprefix(prefix): w for k, w in weights.items() if k.startswith(prefix)}
        stream = stream + mixer(layer, normed(stream, layer["norm.weight"]))
    last = normed(stream, weights["backbone.norm_f.weight"])
    found: Array = last @ weights["lm_head.weight"].T
    return found


def batch_logits(made: Mamba2ForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    """Logits (batch, length, rows) of token ids (batch, length)."""
    return torch.stack([torch.from_numpy(logits(made, row)) for row in ids.tolist()])


def normed(rows: Array, weight: Array) -> Array:
    return np.array([row / np.sqrt(np.mean(row**2) + EPSILON) * weight for row in rows])


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def mixer(layer: dict[str, Array], inputs: Array) -> Array:
    """One mixer over a sequence, (length, d_model)."""
    heads, inner = len(layer["mixer.D"]), len(layer["mixer.norm.weight"])
    groups, states = SIZES["ngroups"], SIZES["d_state"]
    projected = inputs @ layer["mixer.in_proj.weight"].T
    gate, rest = projected[:, :inner], projected[:, inner:]
    raw, driven = rest[:, -heads:], convolved(layer, rest[:, :-heads])
    x = driven[:, :inner].reshape(-1, heads, inner // heads)
    inward = driven[:, inner : inner + groups * states].reshape(-1, groups, states)
    outward = driven[:, inner + groups * states :].reshape(-1, groups, states)
    outputs = np.zeros_like(x)
    for head in range(heads):
        group = head * groups // heads
        rate = -np.exp(layer["mixer.A_log"][head])
        state = np.zeros((x.shape[2], states))
        for t in range(len(x)):
            step = np.log1p(np.exp(raw[t, head] + layer["mixer.dt_bias"][head]))
            state = np.exp(step * rate) * state
            state += step * np.outer(x[t, head], inward[t, group])
            outputs[t, head] = state @ outward[t, group] + layer["mixer.D"][head] * x[t, head]
    gated = (outputs.reshape(len(x), inner) * silu(gate)).reshape(len(x), groups, -1)
    scale = 1 / np.sqrt(np.mean(gated**2, axis=2, keepdims=True) + EPSILON)
    mixed = (gated * scale).reshape(len(x), inner) * layer["mixer.norm.weight"]
    found: Array = mixed @ layer["mixer.out_proj.weight"].T
    return found


def convolved(layer: dict[str, Array], driven: Array) -> Array:
    """SiLU of the causal convolution: the last weight is of the present."""
    kernel = layer["mixer.conv1d.weight"][:, 0]
    width = kernel.shape[1]
    sums = np.tile(layer["mixer.conv1d.bias"], (len(driven), 1))
    for t in range(len(driven)):
        for k in range(width):
            past = t - (width - 1) + k
            if past >= 0:
                sums[t] += kernel[:, k] * driven[past]
    return silu(sums)
