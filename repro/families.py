"""Model families of the paper: what the paper's stack does with each, as data.

`logits` matters for ties and flips: where a family returns its half-precision logits as they
are, log-softmax is taken in half precision too; where it widens them first, they are rounded
once. Targets of LoRA are names of modules; `embeddings` count where the paper lists them.

The dtype that weights are stored in belongs to a checkpoint and stands in the catalog; what a
cast to half precision does to them belongs to the family. The code is `runner.models`.

Reference: paper v2, Appendix D; code of the pinned packages (transformers 4.40.0, mamba-ssm
2.2.2); OpenELM's model card for its BOS. Differs: the paper does not define ALL for any family;
every linear layer inside the blocks is taken, and the output layer is not.
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
    own_code: tuple[str, ...]
    """Those of `config` without a class in transformers: the checkpoint's own code loads them."""
    begins: bool
    """Whether lm-eval was told to put the tokenizer's BOS before every prompt."""
    embedding: str
    """Name of the input embedding in the weights: its rows bound the vocabulary."""
    kept_wide: tuple[str, ...]
    """Endings of the names of weights that a cast to half precision leaves in float32."""
    logits: Literal["widened", "as computed"]
    """Whether half-precision logits are cast to float32 before the log-softmax."""
    flash_attention: bool
    """Whether the paper's half-precision runs used FlashAttention 2."""
    state: Literal["recurrent", "key-value cache"]
    """What a prefix leaves behind."""
    unused: tuple[str, ...]
    """Patterns of names that are stored and that loading passes over, rightly; any other that is
    not the model's is refused."""
    lora_all: tuple[str, ...]
    """ALL LoRA: every linear layer of a block."""
    lora_sll: tuple[str, ...]
    """SLL LoRA as Appendix D lists it; empty where the paper names none."""


FAMILIES: Mapping[str, Family] = {
    "mamba": Family(
        layout="transformers",
        config=("mamba",),
        own_code=(),
        begins=False,
        embedding="backbone.embeddings.weight",
        kept_wide=(),
        logits="widened",
        flash_attention=False,
        state="recurrent",
        unused=(),
        lora_all=("in_proj", "x_proj", "dt_proj", "out_proj"),
        lora_sll=("x_proj", "embeddings", "in_proj", "out_proj"),
    ),
    "mamba2": Family(
        layout="mamba-ssm",
        config=("Mamba2",),
        own_code=(),
        begins=False,
        embedding="backbone.embedding.weight",
        kept_wide=(".mixer.D",),
        logits="as computed",
        flash_attention=False,
        state="recurrent",
        unused=(),
        lora_all=("in_proj", "out_proj"),
        lora_sll=(),
    ),
    "gpt-neox": Family(
        layout="transformers",
        config=("gpt_neox",),
        own_code=(),
        begins=False,
        embedding="gpt_neox.embed_in.weight",
        kept_wide=(),
        logits="as computed",
        flash_attention=True,
        state="key-value cache",
        unused=(r"gpt_neox\.layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)",),
        lora_all=("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
        lora_sll=("dense", "embed_in", "query_key_value", "dense_h_to_4h", "dense_4h_to_h"),
    ),
    "olmo": Family(
        layout="transformers",
        config=("hf_olmo", "olmo"),
        own_code=("hf_olmo",),
        begins=False,
        embedding="model.transformer.wte.weight",
        kept_wide=(),
        logits="as computed",  # hf_olmo's, as the other names here; transformers' own are widened
        flash_attention=True,
        state="key-value cache",
        unused=(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",),
        lora_all=("att_proj", "attn_out", "ff_proj", "ff_out"),
        lora_sll=(),
    ),
    "phi": Family(
        layout="transformers",
        config=("phi",),
        own_code=(),
        begins=False,
        embedding="model.embed_tokens.weight",
        kept_wide=(),
        logits="widened",
        flash_attention=False,
        state="key-value cache",
        unused=(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",),
        lora_all=("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
        lora_sll=(),
    ),
    "openelm": Family(
        layout="transformers",
        config=("openelm",),
        own_code=("openelm",),
        begins=True,
        embedding="transformer.token_embeddings.weight",
        kept_wide=(),
        logits="as computed",
        flash_attention=False,
        state="key-value cache",
        unused=(),
        lora_all=("qkv_proj", "out_proj", "proj_1", "proj_2"),
        lora_sll=(),
    ),
    "llama": Family(
        layout="transformers",
        config=("llama",),
        own_code=(),
        begins=False,
        embedding="model.embed_tokens.weight",
        kept_wide=(),
        logits="widened",
        flash_attention=False,
        state="key-value cache",
        unused=(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",),
        lora_all=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        lora_sll=(),
    ),
}
"""Family, as `catalog/checkpoints.json` names it, to what is known of it."""


def named_by(config: Mapping[str, object]) -> str | None:
    """The family of a checkpoint, told by what its config.json holds; None for any other."""
    layout, says = "transformers", config.get("model_type")
    if "ssm_cfg" in config:
        sizes = config["ssm_cfg"]
        layout, says = "mamba-ssm", sizes.get("layer") if isinstance(sizes, Mapping) else None
    for name, family in FAMILIES.items():
        if family.layout == layout and says in family.config:
            return name
    return None
