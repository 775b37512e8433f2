"""Model families of the paper: what the paper's stack does with each, as data.

`logits` matters for ties and flips: where a family returns its half-precision logits as they
are, log-softmax is taken in half precision too; where it widens them first, they are rounded
once. Targets of LoRA are names of modules; `embeddings` count where the paper lists them.

Reference: paper v2, Appendix D; code of the pinned packages (transformers 4.40.0, mamba-ssm
2.2.2). Differs: the paper does not define ALL for any family; every linear layer inside the
blocks is taken, and the output layer is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Family:
    """One architecture."""

    layout: Literal["transformers", "mamba-ssm"]
    """Whose config.json and parameter names a checkpoint has."""
    config: tuple[str, ...]
    """What config.json may say: `model_type` of transformers, `ssm_cfg.layer` of mamba-ssm."""
    embedding: str
    """Name of the input embedding in the weights: its rows bound the vocabulary."""
    logits: Literal["widened", "as computed"]
    """Whether half-precision logits are cast to float32 before the log-softmax."""
    flash_attention: bool
    """Whether the paper's half-precision runs used FlashAttention 2."""
    state: Literal["recurrent", "key-value cache"]
    """What a prefix leaves behind."""
    lora_all: tuple[str, ...]
    """ALL LoRA: every linear layer of a block."""
    lora_sll: tuple[str, ...]
    """SLL LoRA as Appendix D lists it; empty where the paper names none."""


FAMILIES: Mapping[str, Family] = {
    "mamba": Family(
        layout="transformers",
        config=("mamba",),
        embedding="backbone.embeddings.weight",
        logits="widened",
        flash_attention=False,
        state="recurrent",
        lora_all=("in_proj", "x_proj", "dt_proj", "out_proj"),
        lora_sll=("x_proj", "embeddings", "in_proj", "out_proj"),
    ),
    "mamba2": Family(
        layout="mamba-ssm",
        config=("Mamba2",),
        embedding="backbone.embedding.weight",
        logits="as computed",
        flash_attention=False,
        state="recurrent",
        lora_all=("in_proj", "out_proj"),
        lora_sll=(),
    ),
    "gpt-neox": Family(
        layout="transformers",
        config=("gpt_neox",),
        embedding="gpt_neox.embed_in.weight",
        logits="as computed",
        flash_attention=True,
        state="key-value cache",
        lora_all=("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
        lora_sll=("dense", "embed_in", "query_key_value", "dense_h_to_4h", "dense_4h_to_h"),
    ),
    "olmo": Family(
        layout="transformers",
        config=("hf_olmo", "olmo"),
        embedding="model.transformer.wte.weight",
        logits="widened",
        flash_attention=True,
        state="key-value cache",
        lora_all=("att_proj", "attn_out", "ff_proj", "ff_out"),
        lora_sll=(),
    ),
    "phi": Family(
        layout="transformers",
        config=("phi",),
        embedding="model.embed_tokens.weight",
        logits="widened",
        flash_attention=False,
        state="key-value cache",
        lora_all=("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
        lora_sll=(),
    ),
    "openelm": Family(
        layout="transformers",
        config=("openelm",),
        embedding="transformer.token_embeddings.weight",
        logits="as computed",
        flash_attention=False,
        state="key-value cache",
        lora_all=("qkv_proj", "out_proj", "proj_1", "proj_2"),
        lora_sll=(),
    ),
    "llama": Family(
        layout="transformers",
        config=("llama",),
        embedding="model.embed_tokens.weight",
        logits="widened",
        flash_attention=False,
        state="key-value cache",
        lora_all=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        lora_sll=(),
    ),
}
"""Family, as `catalog/checkpoints.json` names it, to what is known of it."""
