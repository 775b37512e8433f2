"""Models of the paper's sizes with random weights, and LoRA on them.

Speed and memory of training depend on the shape of a model, never on the values of its weights:
so nothing is downloaded. The parameters of each shape are as many as the checkpoint has.

Reference: config.json of the checkpoints that `catalog/checkpoints.json` names, all of them public;
transformers 4.40.0, mamba-ssm 2.2.2 and OpenELM's release for what it leaves to defaults; PEFT
0.10.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import peft
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    OlmoConfig,
    PhiConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from repro.errors import CannotRunError
from repro.schema.jobs import Method
from runner.models.mamba2 import Mamba2ForCausalLM
from runner.models.mamba2_config import Mamba2Config
from runner.models.openelm import OpenELMForCausalLM
from runner.models.openelm_config import OpenELMConfig
from runner.models.tuned_weights import adapter_targets

_CLASSES: Mapping[str, Any] = {
    "mamba": MambaConfig,
    "mamba2": Mamba2Config,
    "gpt-neox": GPTNeoXConfig,
    "olmo": OlmoConfig,
    "phi": PhiConfig,
    "openelm": OpenELMConfig,
    "llama": LlamaConfig,
}
_OURS: Mapping[str, Any] = {"mamba2": Mamba2ForCausalLM, "openelm": OpenELMForCausalLM}


@dataclass(frozen=True)
class Shape:
    """What the number of parameters, speed and memory follow from."""

    family: str
    """Key in `FAMILIES`."""
    said: Mapping[str, Any]
    """Fields of config.json that are no defaults."""

    @property
    def config(self) -> PretrainedConfig:
        """The whole configuration, whatever family's."""
        return _CLASSES[self.family](**self.said)

    @property
    def vocabulary(self) -> int:
        """Ids that may be read; the embedding may have more rows."""
        return int(self.config.vocab_size)


def _mamba(hidden: int, blocks: int) -> Shape:
    return Shape("mamba", {"hidden_size": hidden, "num_hidden_layers": blocks})


def _mamba2(hidden: int, blocks: int) -> Shape:
    sizes = {"d_model": hidden, "n_layer": blocks, "vocab_size": 50277}
    return Shape("mamba2", {**sizes, "pad_vocab_size_multiple": 16})


def _pythia(hidden: int, blocks: int, heads: int) -> Shape:
    sizes = {"hidden_size": hidden, "num_hidden_layers": blocks, "num_attention_heads": heads}
    return Shape("gpt-neox", {**sizes, "vocab_size": 50304, "intermediate_size": 4 * hidden})


def _openelm(hidden: int, blocks: int) -> Shape:
    sizes = {"model_dim": hidden, "num_transformer_layers": blocks, "head_dim": 64}
    shares = {"qkv_multipliers": [0.5, 1.0], "ffn_multipliers": [0.5, 4.0], "num_gqa_groups": 4}
    flags = {"normalize_qk_projections": True, "share_input_output_layers": True}
    return Shape("openelm", {**sizes, **shares, **flags})


def _attention(family: str, sizes: tuple[int, ...], **others: object) -> Shape:
    """Width, blocks, heads, width of the feed-forward and rows of the embedding."""
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    return Shape(family, {**dict(zip((*names, "vocab_size"), sizes, strict=True)), **others})


SHAPES: Mapping[str, Shape] = {
    "mamba-130m": _mamba(768, 24),
    "mamba-370m": _mamba(1024, 48),
    "mamba-790m": _mamba(1536, 48),
    "mamba-1.4b": _mamba(2048, 48),
    "mamba-2.8b": _mamba(2560, 64),
    "mamba2-130m": _mamba2(768, 24),
    "mamba2-370m": _mamba2(1024, 48),
    "mamba2-780m": _mamba2(1536, 48),
    "mamba2-1.3b": _mamba2(2048, 48),
    "mamba2-2.7b": _mamba2(2560, 64),
    "pythia-160m": _pythia(768, 12, 12),
    "pythia-410m": _pythia(1024, 24, 16),
    "pythia-1b": _pythia(2048, 16, 8),
    "pythia-1.4b": _pythia(2048, 24, 16),
    "pythia-2.8b": _pythia(2560, 32, 32),
    "olmo-1b": _attention("olmo", (2048, 16, 16, 8192, 50304), tie_word_embeddings=True),
    "phi-1.5": _attention("phi", (2048, 24, 32, 8192, 51200)),
    "openelm-270m": _openelm(1280, 16),
    "openelm-450m": _openelm(1536, 20),
    "openelm-1.1b": _openelm(2048, 28),
    "tinyllama-1.1b": _attention("llama", (2048, 22, 32, 5632, 32000), num_key_value_heads=4),
    "mamba-twin": Shape("mamba", {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 2048}),
}
"""By name in the catalog."""


def shape_of(checkpoint: str) -> Shape:
    """The shape of a checkpoint of the catalog.

    Raises:
        CannotRunError: if none is known here.
    """
    if checkpoint not in SHAPES:
        message = (
            f"no shape of {checkpoint} is known; throughput is measured of {', '.join(SHAPES)}"
        )
        raise CannotRunError(message)
    return SHAPES[checkpoint]


def build(shape: Shape) -> PreTrainedModel:
    """A model of a shape in float32, weights at random, on torch's current device."""
    made = _OURS.get(shape.family, AutoModelForCausalLM.from_config)
    model: PreTrainedModel = made(shape.config)
    return model


def with_adapters(model: PreTrainedModel, method: Method, rank: int | None) -> nn.Module:
    """The model with what a method trains: all of it, or LoRA adapters and nothing else.

    alpha = r and no dropout: neither changes a byte, and dropout of 0 is an identity in PEFT.

    Raises:
        CannotRunError: as `targets`.
    """
    names = adapter_targets(model.config.to_dict(), method)
    found: nn.Module = model
    if names:
        assert rank is not None  # noqa: S101  # the expansion gives every LoRA arm its row's
        config = peft.LoraConfig(
            r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=list(names), bias="none"
        )
        found = peft.get_peft_model(model, config)
    return found
