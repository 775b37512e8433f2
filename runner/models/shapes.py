"""Models of published sizes with random weights, and LoRA on them.

Speed and memory of training depend on the shape of a model, never on the values of its weights:
so nothing is downloaded. The parameters of each shape are as many as the checkpoint has.

Shapes are what `catalog/checkpoints.json` says of each checkpoint, from its config.json.

Reference: transformers 4.40.0 and mamba-ssm 2.2.2 for what that leaves to defaults; PEFT 0.10.0.
Not covered: families whose code comes with the checkpoint, OLMo, Phi, TinyLlama.
"""

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
from repro.schema import catalog
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


FAMILIES: tuple[Literal["mamba", "mamba2", "gpt-neox"], ...] = ("mamba", "mamba2", "gpt-neox")
"""What `build` makes; Mamba-2's vocabulary is padded to a multiple of 16."""


def shapes() -> dict[str, Shape]:
    """The shapes that are known, by name in the catalog."""
    return {
        name: Shape(family, each.hidden_size, each.blocks, each.vocabulary, each.heads or 0)
        for name, each in catalog.checkpoints().items()
        for family in FAMILIES
        if family == each.family and each.vocabulary
    }


def shape_of(checkpoint: str) -> Shape:
    """The shape of a checkpoint of the catalog.

    Raises:
        CannotRunError: if none is known.
    """
    known = shapes()
    if checkpoint not in known:
        message = (
            f"no shape of {checkpoint} is known: throughput is measured of {', '.join(known)}; "
            "`vocabulary` in its entry of catalog/checkpoints.json adds one of these families"
        )
        raise CannotRunError(message)
    return known[checkpoint]


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
