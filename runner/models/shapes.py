"""Models of the paper's sizes with random weights, and LoRA on them.

Speed and memory of training depend on the shape of a model, never on the values of its weights:
so nothing is downloaded. The parameters of each shape are as many as the checkpoint has.

Reference: config.json of the checkpoints that `catalog/checkpoints.json` names; transformers 4.40.0
and mamba-ssm 2.2.2 for what it leaves to defaults; PEFT 0.10.0.
Not covered: families whose code comes with the checkpoint, OLMo, Phi, TinyLlama.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import peft
from torch import nn
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedModel,
)

from repro.errors import CannotRunError
from repro.schema.jobs import Method
from runner.models.mamba2 import Mamba2ForCausalLM
from runner.models.mamba2_config import Mamba2Config
from runner.models.tuned_weights import adapter_targets


@dataclass(frozen=True)
class Shape:
    """What the number of parameters, speed and memory follow from."""

    family: Literal["mamba", "mamba2", "gpt-neox"]
    """Key in `FAMILIES`."""
    hidden: int
    blocks: int
    vocabulary: int
    heads: int = 0
    """Attention heads; 0 without attention."""


_MAMBA, _MAMBA2, _PYTHIA = 50_280, 50_277, 50_304
"""Vocabularies; Mamba-2's is padded to a multiple of 16."""

SHAPES: Mapping[str, Shape] = {
    "mamba-130m": Shape("mamba", 768, 24, _MAMBA),
    "mamba-370m": Shape("mamba", 1024, 48, _MAMBA),
    "mamba-790m": Shape("mamba", 1536, 48, _MAMBA),
    "mamba-1.4b": Shape("mamba", 2048, 48, _MAMBA),
    "mamba-2.8b": Shape("mamba", 2560, 64, _MAMBA),
    "mamba2-130m": Shape("mamba2", 768, 24, _MAMBA2),
    "mamba2-370m": Shape("mamba2", 1024, 48, _MAMBA2),
    "mamba2-780m": Shape("mamba2", 1536, 48, _MAMBA2),
    "mamba2-1.3b": Shape("mamba2", 2048, 48, _MAMBA2),
    "mamba2-2.7b": Shape("mamba2", 2560, 64, _MAMBA2),
    "pythia-160m": Shape("gpt-neox", 768, 12, _PYTHIA, 12),
    "pythia-410m": Shape("gpt-neox", 1024, 24, _PYTHIA, 16),
    "pythia-1b": Shape("gpt-neox", 2048, 16, _PYTHIA, 8),
    "pythia-1.4b": Shape("gpt-neox", 2048, 24, _PYTHIA, 16),
    "pythia-2.8b": Shape("gpt-neox", 2560, 32, _PYTHIA, 32),
    "mamba-twin": Shape("mamba", 64, 2, 2048),
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
    hidden, blocks = shape.hidden, shape.blocks
    if shape.family == "mamba":
        return MambaForCausalLM(
            MambaConfig(vocab_size=shape.vocabulary, hidden_size=hidden, num_hidden_layers=blocks)
        )
    if shape.family == "mamba2":
        return Mamba2ForCausalLM(
            Mamba2Config(
                d_model=hidden,
                n_layer=blocks,
                vocab_size=shape.vocabulary,
                pad_vocab_size_multiple=16,
            )
        )
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=shape.vocabulary,
            hidden_size=hidden,
            num_hidden_layers=blocks,
            num_attention_heads=shape.heads,
            intermediate_size=4 * hidden,
        )
    )


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
