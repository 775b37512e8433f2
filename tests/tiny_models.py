"""A random checkpoint of every family, small enough for a CPU and a second.

`own-code` stands for what nobody has written here: `CODE`, a model whose logits come from the mean
of all embeddings so far. It is loaded from Python beside the weights.
"""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import made_up_mmlu
import tiny_mamba2
import torch
from safetensors.torch import save_file
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    OlmoConfig,
    PhiConfig,
    PreTrainedTokenizerFast,
)

from repro.schema.families import OWN_CODE
from runner.models import mamba2_checkpoint
from runner.models.openelm import OpenELMForCausalLM
from runner.models.openelm_config import OpenELMConfig

COMMON = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2}
HEADS = {**COMMON, "num_attention_heads": 2, "intermediate_size": 48}
CONFIGS: dict[str, Any] = {
    "mamba": MambaConfig(**COMMON, state_size=4),
    "gpt-neox": GPTNeoXConfig(**HEADS),
    "olmo": OlmoConfig(**HEADS, clip_qkv=4.0),
    "phi": PhiConfig(**HEADS),
    "llama": LlamaConfig(**HEADS, num_key_value_heads=1),
    "openelm": OpenELMConfig(
        vocab_size=64,
        model_dim=32,
        num_transformer_layers=2,
        head_dim=8,
        num_gqa_groups=2,
        qkv_multipliers=[0.5, 1.0],
        ffn_multipliers=[0.5, 1.5],
        ffn_dim_divisor=16,
        rope_max_length=64,
        max_context_length=32,
        normalize_qk_projections=True,
        share_input_output_layers=True,
    ),
}
"""Families that transformers has a class for, its own or registered by ours."""

CODE = """
import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast


class TinyConfig(PretrainedConfig):
    model_type = "tiny"

    def __init__(self, vocab_size=64, width=16, **others):
        self.vocab_size, self.width = vocab_size, width
        super().__init__(**{"tie_word_embeddings": False, **others})


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner, self.outer = (nn.Linear(width, width, bias=False) for _ in range(2))

    def forward(self, means):
        return means + self.outer(torch.tanh(self.inner(means)))


class TinyForCausalLM(PreTrainedModel):
    config_class = TinyConfig

    def get_input_embeddings(self):
        return self.embedding

    def __init__(self, config):
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(Block(config.width) for _ in range(2))
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)

    def forward(self, input_ids, past_key_values=None, use_cache=None, **others):
        rows = self.embedding(input_ids)[:, None]
        if past_key_values is not None:
            rows = torch.cat([past_key_values[0][0], rows], dim=2)
        count = torch.arange(1, rows.shape[2] + 1, device=rows.device)[:, None]
        means = (rows.float().cumsum(2) / count).to(rows.dtype)[:, 0, -input_ids.shape[1] :]
        for layer in self.layers:
            means = layer(means)
        return CausalLMOutputWithPast(logits=self.head(means), past_key_values=((rows, rows),))
"""
HF_OLMO = {
    "att_proj": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "attn_out": ["self_attn.o_proj"],
    "ff_proj": ["mlp.up_proj", "mlp.gate_proj"],
    "ff_out": ["mlp.down_proj"],
}
"""hf_olmo's layers of a block, to those of transformers that each holds, one below the other."""
AUTO_MAP = {
    "AutoConfig": "modeling_tiny.TinyConfig",
    "AutoModelForCausalLM": "modeling_tiny.TinyForCausalLM",
}


def tokens(length: int, batch: int = 2) -> torch.Tensor:
    """Random ids below 29, which every model here has, (batch, length)."""
    return tiny_mamba2.tokens(length, batch)


def model(family: str, attention: str = "eager", **changes: Any) -> Any:
    """A model in float32 whose logits are about 1 and depend on every weight."""
    torch.manual_seed(1)
    if family == "mamba2":
        return tiny_mamba2.model(**changes)
    if family == OWN_CODE:
        code = _imported(changes.pop("code"))
        made = code.TinyForCausalLM(code.TinyConfig(**changes))
    else:
        config = type(CONFIGS[family]).from_dict({**CONFIGS[family].to_dict(), **changes})
        if family == "openelm":
            made = OpenELMForCausalLM(config)  # its one attention kernel
        else:
            made = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    for name, weight in made.named_parameters():
        if weight.dim() > 1 and "A_log" not in name:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        elif name.endswith("bias") and "dt_proj" not in name:
            torch.nn.init.normal_(weight, std=0.1)
    return made.eval()


def save(family: str, folder: Path, **changes: Any) -> Any:
    """Write a checkpoint with its tokenizer; returns the model that was saved.

    `hf_olmo` stands for the other layout of OLMo; `changes` are of transformers' configuration.
    """
    size = made_up_mmlu.save_tokenizer(folder)
    if family == "mamba2":
        made = model(family, vocab_size=size, **changes)
        mamba2_checkpoint.save(made, folder)
        return made
    if family == OWN_CODE:
        (folder / "modeling_tiny.py").write_text(CODE)
        made = model(family, code=folder / "modeling_tiny.py", vocab_size=size)
        made.save_pretrained(folder)
        edit(folder / "config.json", lambda config: config.update(auto_map=AUTO_MAP))
        return made
    if family == "openelm":
        begin_with_bos(folder)
    if family == "hf_olmo":
        made = model("olmo", vocab_size=size, **changes)
        _save_as_hf_olmo(made, folder)
        return made
    made = model(family, vocab_size=size, **changes)
    made.save_pretrained(folder)
    if family == "openelm":  # as published
        blocks = made.config.blocks()
        heads = {"num_query_heads": [each.heads for each in blocks]}
        heads |= {"num_kv_heads": [each.key_heads for each in blocks]}
        edit(folder / "config.json", lambda config: config.update(heads))
    return made


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON object on the disk."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("tiny_own_code", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def begin_with_bos(folder: Path) -> None:
    """A tokenizer that adds BOS where special tokens are asked for, as Llama 2's does."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    bos = (tokenizer.bos_token, tokenizer.bos_token_id)
    template = TemplateProcessing(single=f"{bos[0]} $A", special_tokens=[bos])
    tokenizer.backend_tokenizer.post_processor = template
    tokenizer.save_pretrained(folder)


def _save_as_hf_olmo(made: Any, folder: Path) -> None:
    """The weights of transformers' OLMo fused as hf_olmo has them, with its own tokenizer class."""
    config, old = made.config, made.state_dict()
    fused = {"model.transformer.wte.weight": old["model.embed_tokens.weight"]}
    if not config.tie_word_embeddings:
        fused["model.transformer.ff_out.weight"] = old["lm_head.weight"]
    for layer in range(config.num_hidden_layers):
        for name, parts in HF_OLMO.items():
            rows = [old[f"model.layers.{layer}.{part}.weight"] for part in parts]
            fused[f"model.transformer.blocks.{layer}.{name}.weight"] = torch.cat(rows)
    save_file(fused, folder / "model.safetensors")
    said = {"model_type": "hf_olmo", "activation_type": "swiglu", "block_type": "sequential"}
    said |= {"layer_norm_type": "default", "layer_norm_with_affine": False, "rope": True}
    said |= dict.fromkeys(("attention_layer_norm", "include_bias", "alibi", "scale_logits"), False)
    said |= {"d_model": config.hidden_size, "mlp_hidden_size": 2 * config.intermediate_size}
    said |= {"n_heads": config.num_attention_heads, "n_kv_heads": config.num_key_value_heads}
    said |= {"n_layers": config.num_hidden_layers, "vocab_size": config.vocab_size}
    said |= {"max_sequence_length": config.max_position_embeddings, "clip_qkv": config.clip_qkv}
    said |= {"weight_tying": config.tie_word_embeddings}
    (folder / "config.json").write_text(json.dumps(said))
    named = {"tokenizer_class": "OLMoTokenizerFast"}
    named |= {"auto_map": {"AutoTokenizer": ["tokenization_olmo_fast.OLMoTokenizerFast", None]}}
    edit(folder / "tokenizer_config.json", lambda settings: settings.update(named))
