"""Model families of the paper: what the paper's stack does with each, as data.

A family has one layout or two: names of parts, dtype of logits and where its code comes from
belong to the code that loads a checkpoint, which its config.json names. What the paper says of an
architecture, and what it leaves behind, belong to the family.

`logits` matters for ties and flips: where a layout returns its half-precision logits as they
are, log-softmax is taken in half precision too; where it widens them first, they are rounded
once. Targets of LoRA are names of modules; `embeddings` count where the paper lists them.

The dtype that weights are stored in belongs to a checkpoint and stands in the catalog. The code is
`runner.models`.

Reference: paper v2, Appendix D and F; code of the pinned packages (transformers 4.40.0, mamba-ssm
2.2.2) and of ai2-olmo 0.3.0; OpenELM's model card for its BOS. Differs: the paper does not define
ALL for any family; every linear layer inside the blocks is taken, and the output layer is not. OLMo
of hf_olmo is loaded as transformers' own class, so that the layers that hf_olmo fuses are adapted
each by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from repro import plugins


@dataclass(frozen=True)
class Layout:
    """One code that a family's checkpoints are written for."""

    embedding: str
    """Name of the input embedding in the weights: its rows bound the vocabulary."""
    logits: Literal["widened", "as computed"]
    """Whether half-precision logits are cast to float32 before the log-softmax."""
    lora_all: tuple[str, ...]
    """ALL LoRA: every linear layer of a block."""
    lora_sll: tuple[str, ...] = ()
    """SLL LoRA as Appendix D lists it; empty where the paper names none."""
    lora_w: str = ""
    """W of Appendix F, which makes B, C and Δ together; empty for other families."""
    kept_wide: tuple[str, ...] = ()
    """Endings of the names of weights that a cast to half precision leaves in float32."""
    unused: tuple[str, ...] = ()
    """Patterns of names that are stored and that loading passes over, rightly; any other that is
    not the model's is refused."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Names that older versions stored, to those of today."""


@dataclass(frozen=True)
class Family:
    """One architecture."""

    layouts: Mapping[str, Layout]
    """What the field of config.json that `layout` names may say, to what belongs to it."""
    layout: Literal["transformers", "mamba-ssm"] = "transformers"
    """Whose config.json a checkpoint has: with `model_type`, or with `ssm_cfg.layer`."""
    state: Literal["recurrent", "key-value cache"] = "key-value cache"
    """What a prefix leaves behind."""
    begins: bool = False
    """Whether lm-eval was told to put the tokenizer's BOS before every prompt."""
    flash_attention: bool = False
    """Whether the paper's half-precision runs used FlashAttention 2."""

    @property
    def config(self) -> tuple[str, ...]:
        """What config.json may say."""
        return tuple(self.layouts)


_LLAMA_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

_ROTARY = (r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq",)
"""Constants that other versions of transformers stored."""

FAMILIES: Mapping[str, Family] = {
    **plugins.load("repro.model_families"),
    "mamba": Family(
        layouts={
            "mamba": Layout(
                embedding="backbone.embeddings.weight",
                logits="widened",
                lora_all=("in_proj", "x_proj", "dt_proj", "out_proj"),
                lora_sll=("x_proj", "embeddings", "in_proj", "out_proj"),
                lora_w="x_proj",
                renamed={"backbone.embedding.weight": "backbone.embeddings.weight"},
            )
        },
        state="recurrent",
    ),
    "mamba2": Family(
        layout="mamba-ssm",
        layouts={
            "Mamba2": Layout(
                embedding="backbone.embedding.weight",
                logits="as computed",
                lora_all=("in_proj", "out_proj"),
                lora_w="in_proj",
                kept_wide=(".mixer.D",),
            )
        },
        state="recurrent",
    ),
    "gpt-neox": Family(
        layouts={
            "gpt_neox": Layout(
                embedding="gpt_neox.embed_in.weight",
                logits="as computed",
                lora_all=("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
                lora_sll=("dense", "embed_in", "query_key_value", "dense_h_to_4h", "dense_4h_to_h"),
                unused=(
                    r"gpt_neox\.layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)",
                    r"gpt_neox\.rotary_emb\.inv_freq",
                ),
            )
        },
        flash_attention=True,
    ),
    "olmo": Family(
        layouts={
            "hf_olmo": Layout(  # as published; `repro.weights.olmo` renames its weights
                embedding="model.transformer.wte.weight",
                logits="widened",
                lora_all=_LLAMA_LINEAR,
            ),
            "olmo": Layout(  # what `repro convert --layout olmo` makes
                embedding="model.embed_tokens.weight",
                logits="widened",
                lora_all=_LLAMA_LINEAR,
                unused=_ROTARY,
            ),
        },
        flash_attention=True,
    ),
    "phi": Family(
        layouts={
            "phi": Layout(
                embedding="model.embed_tokens.weight",
                logits="widened",
                lora_all=("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
                unused=_ROTARY,
            )
        },
    ),
    "openelm": Family(
        layouts={
            "openelm": Layout(
                embedding="transformer.token_embeddings.weight",
                logits="as computed",
                lora_all=("qkv_proj", "out_proj", "proj_1", "proj_2"),
                unused=(r"transformer\.classifier\.weight",),
            )
        },
        begins=True,
    ),
    "llama": Family(
        layouts={
            "llama": Layout(
                embedding="model.embed_tokens.weight",
                logits="widened",
                lora_all=_LLAMA_LINEAR,
                unused=_ROTARY,
            )
        },
    ),
    "own-code": Family(layouts={}),
}
"""Family, as `catalog/checkpoints.json` names it, to what is known of it."""

OWN_CODE = "own-code"
"""The family of what nobody has written here: Python beside the weights loads it, if allowed."""
_UNWRITTEN = Layout(embedding="", logits="as computed", lora_all=())


def family_and_layout(config: Mapping[str, object]) -> tuple[str, Layout] | None:
    """The family and the layout of a checkpoint, told by what its config.json holds.

    Any other that names code of its own is of `OWN_CODE`; None without.
    """
    layout, says = "transformers", config.get("model_type")
    if "ssm_cfg" in config:
        sizes = config["ssm_cfg"]
        layout, says = "mamba-ssm", sizes.get("layer") if isinstance(sizes, Mapping) else None
    for name, family in FAMILIES.items():
        if family.layout == layout and isinstance(says, str) and says in family.layouts:
            return name, family.layouts[says]
    return (OWN_CODE, _UNWRITTEN) if config.get("auto_map") and layout == "transformers" else None


def family_named(config: Mapping[str, object]) -> str | None:
    """The family alone."""
    found = family_and_layout(config)
    return found[0] if found else None


def converted_by(config: Mapping[str, object]) -> str:
    """The `--layout` of `repro convert` that a checkpoint needs to be loaded at all; "" for none.

    The release's Mamba becomes transformers', transformers' Mamba2 the release's.
    """
    if config.get("model_type") == "mamba2":
        return "mamba2"
    sizes = config.get("ssm_cfg")
    released = isinstance(sizes, Mapping) and sizes.get("layer", "Mamba1") == "Mamba1"
    return "mamba" if released and "model_type" not in config else ""


def unused_tensors(config: Mapping[str, object]) -> tuple[str, ...]:
    """Patterns of names that a checkpoint may store and loading passes over."""
    found = family_and_layout(config)
    return found[1].unused if found else ()


def renamed_tensors(config: Mapping[str, object]) -> Mapping[str, str]:
    """Names that a checkpoint of an older version may store, to those of today."""
    found = family_and_layout(config)
    return found[1].renamed if found else {}
