"""The trained layers of a Mamba checkpoint, each with the inputs that reach it.

Reads a folder in the Hugging Face Mamba format (transformers 4.40: `config.json`, safetensors
with `backbone.layers.i.mixer...`). Inputs are the real ones of a random text: token ids drawn
uniformly run through the model's own embedding, norms, projections, convolutions, gates and the
layers before, in float64; what enters layer i's recurrence is kept as its input sequence. So the
scale is the trained model's, the text is not language.

Shapes: S sequences, T steps, E hidden size, J = `intermediate_size` channels, R dt rank.

What x_proj and dt_proj compute is written as one matrix, W_Δ = dt_proj.weight @ x_proj[:R],
because `runner.stability.layers` bounds the step size by its rows.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from repro.errors import BadInputError
from repro.weights import checkpoint_files, foreign_json, loadable
from runner.models import checkpoint_checks
from runner.stability.layers import Layers
from runner.stability.random_layers import Design

Weights = dict[str, Tensor]

_LAYER = re.compile(r"backbone\.layers\.(\d{1,6})\.")


class UnsuitableCheckpointError(BadInputError, ValueError):
    """A checkpoint whose layers these are not."""


@dataclass(frozen=True)
class MambaWeights:
    """Weights of the backbone in float64, and what of the configuration the layers need."""

    weights: Weights
    layers: int
    state_size: int
    vocabulary: int
    norm_epsilon: float

    def mixer(self, layer: int) -> Weights:
        """Weights of one mixer by their name within it."""
        prefix = f"backbone.layers.{layer}.mixer."
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.weights.items()
            if name.startswith(prefix)
        }


def load_mamba_weights(folder: Path) -> MambaWeights:
    """Read a checkpoint folder, of which nothing but `loadable.names` is read.

    Raises:
        UnfitError: if it is no Mamba checkpoint, holds no safetensors, or others than its config's.
    """
    config = foreign_json.read(folder / loadable.CONFIG)
    if config.get("model_type") != "mamba":
        found = config.get("model_type")
        message = f"{folder.name}/config.json model_type: found {found}, expected mamba"
        raise UnsuitableCheckpointError(message)
    if not loadable.weights(folder):
        message = f"{folder.name}: found no safetensors, expected the checkpoint's weights"
        raise UnsuitableCheckpointError(message)
    with loadable.private_copy(folder) as own, checkpoint_checks.checkpoint_errors(own):
        stored = checkpoint_files.stored_tensors(own)
        numbers = {int(found[1]) for name in stored if (found := _LAYER.match(name))}
        if len(numbers) != config["num_hidden_layers"] or max(numbers, default=0) >= len(numbers):
            message = f"{folder.name}: found {len(numbers)} layers, expected those of config.json"
            raise UnsuitableCheckpointError(message)
        return MambaWeights(
            weights={name: each.double() for name, each in checkpoint_checks.stored_tensors(own)},
            layers=config["num_hidden_layers"],
            state_size=config["state_size"],
            vocabulary=config["vocab_size"],
            norm_epsilon=config["layer_norm_epsilon"],
        )


def trained_layers(folder: Path, sequences: int, design: Design) -> Layers:
    """All layers of a checkpoint, each once a sequence: L = layers · sequences, layer by layer.

    Args:
        folder: the checkpoint.
        sequences: S, random token sequences.
        design: T; the first D channels of each layer are kept (Δ, B, C still read all J); N as
            the checkpoint has it; which hold (it was trained with Euler); seed of the tokens.

    Raises:
        UnfitError: if the checkpoint is no Mamba, or has not these channels and states.
    """
    model = load_mamba_weights(folder)
    if model.state_size != design.state_size:
        message = (
            f"state_size: found {model.state_size} in {folder.name}, asked for {design.state_size}"
        )
        raise UnsuitableCheckpointError(message)
    rng = np.random.default_rng([design.seed, 5])
    tokens = rng.integers(model.vocabulary, size=(sequences, design.steps))
    with checkpoint_checks.checkpoint_errors(folder):
        every_input = layer_inputs(model, torch.from_numpy(tokens))
    width = every_input[0].shape[-1]
    if design.channels > width:
        message = f"channels: found {width} in {folder.name}, asked for {design.channels}"
        raise UnsuitableCheckpointError(message)
    parts = [_recurrence(model, i, design.channels) for i in range(model.layers)]

    repeated: dict[str, Any] = {
        name: torch.stack([part[name] for part in parts]).repeat_interleave(sequences, dim=0)
        for name in parts[0]
    }
    return Layers(**repeated, inputs=torch.cat(every_input), hold=design.hold)


def _recurrence(model: MambaWeights, layer: int, channels: int) -> Weights:
    """A, W_Δ, bias, W_B, W_C of the first channels of one layer, named as in `Layers`."""
    mixer = model.mixer(layer)
    size = model.state_size
    projection = mixer["x_proj.weight"]  # rows: dt (R), B (N), C (N)
    rank = projection.shape[0] - 2 * size
    low, inward, outward = torch.split(projection, [rank, size, size])
    return {
        "decay": -torch.exp(mixer["A_log"][:channels]),
        "step_weight": mixer["dt_proj.weight"][:channels] @ low,
        "step_bias": mixer["dt_proj.bias"][:channels],
        "input_weight": inward,
        "output_weight": outward,
    }


def layer_inputs(model: MambaWeights, tokens: Tensor) -> list[Tensor]:
    """What enters the recurrence of each layer, (S, T, J), for token ids (S, T).

    Reference:
        transformers 4.40.0, `MambaMixer.slow_forward`. Differs: float64 throughout.
    """
    hidden = model.weights["backbone.embeddings.weight"][tokens]  # (S, T, E)
    found = []
    for layer in range(model.layers):
        mixer = model.mixer(layer)
        scale = model.weights[f"backbone.layers.{layer}.norm.weight"]
        variance = hidden.square().mean(-1, keepdim=True) + model.norm_epsilon
        projected = _linear(hidden * torch.rsqrt(variance) * scale, mixer, "in_proj")
        driven, gate = projected.chunk(2, dim=-1)  # (S, T, J) each
        u = functional.silu(_convolve(driven, mixer))
        found.append(u)
        y = _scan(u, _recurrence(model, layer, u.shape[-1])) + u * mixer["D"]
        hidden = hidden + _linear(y * functional.silu(gate), mixer, "out_proj")
    return found


def _linear(x: Tensor, mixer: Weights, name: str) -> Tensor:
    return functional.linear(x, mixer[f"{name}.weight"], mixer.get(f"{name}.bias"))


def _convolve(x: Tensor, mixer: Weights) -> Tensor:
    """Causal convolution over time, one kernel a channel, as a sum of shifted copies."""
    kernel = mixer["conv1d.weight"][:, 0]  # (J, width)
    steps, width = x.shape[1], kernel.shape[-1]
    padded = functional.pad(x, (0, 0, width - 1, 0))
    summed = sum(padded[:, k : k + steps] * kernel[:, k] for k in range(width))
    return torch.as_tensor(summed) + mixer.get("conv1d.bias", x.new_zeros(()))


def _scan(u: Tensor, layer: Weights) -> Tensor:
    """Outputs y of the recurrence with Euler input, (S, T, J)."""
    step = functional.softplus(u @ layer["step_weight"].T + layer["step_bias"])  # (S, T, J)
    inward, outward = u @ layer["input_weight"].T, u @ layer["output_weight"].T  # (S, T, N)
    state = u.new_zeros(u.shape[0], u.shape[2], inward.shape[-1])
    outputs = []
    for t in range(u.shape[1]):
        state.mul_(torch.exp(step[:, t, :, None] * layer["decay"]))
        state.addcmul_((step[:, t] * u[:, t])[..., None], inward[:, t, None])
        outputs.append(torch.einsum("sjn,sn->sj", state, outward[:, t]))
    return torch.stack(outputs, dim=1)
