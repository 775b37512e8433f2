"""A random checkpoint of every family, small enough for a CPU and a second.

OpenELM's own code and hf_olmo's are not here: their place is taken by `CODE`, a model whose logits
come from the mean of all embeddings so far, through layers of the names that theirs have. It is
loaded as they are, from Python beside the weights.
"""

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import made_up_mmlu
import tiny_mamba2
import torch
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

from runner.models import mamba2_checkpoint

COMMON = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2}
HEADS = {**COMMON, "num_attention_heads": 2, "intermediate_size": 48}
CONFIGS: dict[str, Any] = {
    "mamba": MambaConfig(**COMMON, state_size=4),
    "gpt-neox": GPTNeoXConfig(**HEADS),
    "olmo": OlmoConfig(**HEADS, clip_qkv=4.0),
    "phi": PhiConfig(**HEADS),
    "llama": LlamaConfig(**HEADS, num_key_value_heads=1),
}
"""Families that transformers has a class for."""

CODE = """
import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast


class TinyConfig(PretrainedConfig):
    model_type = "MODEL_TYPE"

    def __init__(self, vocab_size=64, width=16, **others):
        self.vocab_size, self.width = vocab_size, width
        super().__init__(**{"tie_word_embeddings": False, **others})


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        for name in ("A", "B", "C", "D"):
            setattr(self, name, nn.Linear(width, width, bias=False))

    def forward(self, means):
        means = means + self.B(torch.tanh(self.A(means)))
        return means + self.D(torch.tanh(self.C(means)))


class TinyForCausalLM(PreTrainedModel):
    config_class = TinyConfig

    def get_input_embeddings(self):
        return self.embedding

    def get_output_embeddings(self):
        return getattr(self, "ff_out", None)

    def __init__(self, config):
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(Block(config.width) for _ in range(2))
        self.HEAD = nn.Linear(config.width, config.vocab_size, bias=False)

    def forward(self, input_ids, past_key_values=None, use_cache=None, **others):
        rows = self.embedding(input_ids)[:, None]
        if past_key_values is not None:
            rows = torch.cat([past_key_values[0][0], rows], dim=2)
        count = torch.arange(1, rows.shape[2] + 1, device=rows.device)[:, None]
        means = (rows.float().cumsum(2) / count).to(rows.dtype)[:, 0, -input_ids.shape[1] :]
        for layer in self.layers:
            means = layer(means)
        return CausalLMOutputWithPast(logits=self.HEAD(means), past_key_values=((rows, rows),))
"""
OWN: dict[str, dict[str, str]] = {
    "openelm": {"HEAD": "head", "A": "qkv_proj", "B": "out_proj", "C": "proj_1", "D": "proj_2"},
    "hf_olmo": {"HEAD": "ff_out", "A": "att_proj", "B": "attn_out", "C": "ff_proj", "D": "ff_out"},
}
"""Layouts whose code comes with the checkpoint: names of the layers in `CODE`. An hf_olmo that is
not tied calls its output layer as it calls the last layer of a block."""
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
    if family in OWN:
        code = _imported(changes.pop("code"))
        made = code.TinyForCausalLM(code.TinyConfig(**changes))
    else:
        config = type(CONFIGS[family]).from_dict({**CONFIGS[family].to_dict(), **changes})
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
    if family in OWN:
        (folder / "modeling_tiny.py").write_text(code_of(family))
        if family == "openelm":
            _begin_with_bos(folder)
        made = model(family, code=folder / "modeling_tiny.py", vocab_size=size)
        made.save_pretrained(folder)
        edit(folder / "config.json", lambda config: config.update(auto_map=AUTO_MAP))
        return made
    made = model(family, vocab_size=size, **changes)
    made.save_pretrained(folder)
    return made


def code_of(layout: str) -> str:
    """The module that loads a checkpoint of a layout of `OWN`."""
    text = CODE.replace("MODEL_TYPE", layout)
    for name, said in OWN[layout].items():
        text = re.sub(rf"(?<=self\.){name}\b|(?<=\"){name}(?=\")", said, text)
    return text


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


def _begin_with_bos(folder: Path) -> None:
    """A tokenizer that adds BOS where special tokens are asked for, as Llama 2's does."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    bos = (tokenizer.bos_token, tokenizer.bos_token_id)
    template = TemplateProcessing(single=f"{bos[0]} $A", special_tokens=[bos])
    tokenizer.backend_tokenizer.post_processor = template
    tokenizer.save_pretrained(folder)
