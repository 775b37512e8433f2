"""Writes the sizes of every checkpoint that the manifests name into docs/models.md.

    python -m tools.describe_models

Parameters and states are counted of models that are built of the published configurations, of
tensors without memory, without weights; peak memory is what `repro plan` reckons with.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves  # both private, and the same since torch 2.2
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
from transformers.modeling_utils import no_init_weights

from repro import paths
from repro.schema import catalog
from repro.schema.catalog import Checkpoint
from repro.schema.families import FAMILIES
from repro.schema.kinds.cost import MAX_LENGTH, peak_memory
from runner.models.mamba2 import Mamba2ForCausalLM
from runner.models.mamba2_config import Mamba2Config
from runner.models.mamba_paths import set_path
from runner.models.openelm import OpenELMForCausalLM
from runner.models.openelm_config import OpenELMConfig
from runner.models.registry import MODELS
from tools import command

PAGE = paths.ROOT / "docs" / "models.md"
MARK = "<!-- sizes: python -m tools.describe_models -->"


def _mamba(hidden: int, blocks: int) -> PretrainedConfig:
    return MambaConfig(hidden_size=hidden, num_hidden_layers=blocks)


def _mamba2(hidden: int, blocks: int) -> PretrainedConfig:
    sizes = {"d_model": hidden, "n_layer": blocks, "vocab_size": 50277}
    return Mamba2Config(**sizes, pad_vocab_size_multiple=16)


def _pythia(hidden: int, blocks: int, heads: int) -> PretrainedConfig:
    sizes = {"hidden_size": hidden, "num_hidden_layers": blocks, "num_attention_heads": heads}
    return GPTNeoXConfig(**sizes, vocab_size=50304, intermediate_size=4 * hidden)


def _openelm(hidden: int, blocks: int) -> PretrainedConfig:
    sizes = {"model_dim": hidden, "num_transformer_layers": blocks, "head_dim": 64}
    shares = {"qkv_multipliers": [0.5, 1.0], "ffn_multipliers": [0.5, 4.0], "num_gqa_groups": 4}
    flags = {"normalize_qk_projections": True, "share_input_output_layers": True}
    return OpenELMConfig(**sizes, **shares, **flags)


def _attention(
    kind: type[PretrainedConfig], sizes: tuple[int, ...], **others: object
) -> PretrainedConfig:
    """Width, blocks, heads, width of the feed-forward and rows of the embedding."""
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    return kind(**dict(zip((*names, "vocab_size"), sizes, strict=True)), **others)


CONFIGURATIONS: Mapping[str, PretrainedConfig] = {
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
    "olmo-1b": _attention(OlmoConfig, (2048, 16, 16, 8192, 50304), tie_word_embeddings=True),
    "phi-1.5": _attention(PhiConfig, (2048, 24, 32, 8192, 51200)),
    "openelm-270m": _openelm(1280, 16),
    "openelm-450m": _openelm(1536, 20),
    "openelm-1.1b": _openelm(2048, 28),
    "tinyllama-1.1b": _attention(LlamaConfig, (2048, 22, 32, 5632, 32000), num_key_value_heads=4),
}
"""Of config.json what is no default, by name in the catalog."""


_OURS: Mapping[type, Callable[[PretrainedConfig], PreTrainedModel]] = {
    Mamba2Config: Mamba2ForCausalLM,
    OpenELMConfig: OpenELMForCausalLM,
}

STATED = {
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "pythia-2.8b": 2_775_208_960,
    "openelm-270m": 271_527_168,
    "openelm-450m": 457_179_136,
    "openelm-1.1b": 1_079_891_456,
}
"""Parameters that a release states to the digit: Pythia's README, OpenELM's checkpoints."""
PROSE = {"phi-1.5": 1.3e9}
"""Where the name says nothing of the size: Phi-1.5's report."""

INTRODUCTION = f"""\
Of the configuration alone, as it is published; the model hub was not at hand, so each was written
down from what is known of its release and is held to its number of parameters. "Stated" is what the
release says to the digit, else what the name says, as the paper does, with how far the count is
from it. Every count is the catalog's, or the difference is shown. Bytes of the weights as
they are loaded; the state or cache that one prompt of {MAX_LENGTH:,} tokens leaves; the peak that
`repro plan` expects of one such prompt, with eager attention; each in FP32, then in half precision.
What a row was held against is said of its family above.
"""
COLUMNS = ("checkpoint", "family", "parameters", "stated", "weights", "state or cache", "peak")


def table() -> str:
    """The page's part about sizes; of two sizes the first is float32's, the other of half."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    rows += [row(name) for name in CONFIGURATIONS]
    lines = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    return f"{MARK}\n\n## Sizes\n\n{INTRODUCTION}\n{lines}"


def row(name: str) -> tuple[str, ...]:
    """What the table says of a checkpoint, by `COLUMNS`."""
    known = catalog.checkpoints()[name]
    with FakeTensorMode(), no_init_weights():
        model = _model(name, known, "float32")
        count = sum(weight.numel() for weight in model.parameters())
        sizes = [_bytes(known, model), _bytes(known, _model(name, known, "bfloat16"))]
    counted = f"{count:,}" + f" (catalog: {known.parameters:,})" * (count != known.parameters)
    stated = STATED.get(name) or PROSE.get(name) or _said_by(name)
    said = f"{stated:,}" if name in STATED else f"{stated / 1e9:g} B"
    said += "" if count == stated else f" ({count / stated - 1:+.1%})"
    both = [" / ".join(map(_size, found)) for found in zip(*sizes, strict=True)]
    return name, known.family, counted, said, *both


def _model(name: str, known: Checkpoint, dtype: str) -> PreTrainedModel:
    """A model as a checkpoint's is loaded in a dtype."""
    layouts = FAMILIES[known.family].layouts.values()
    kept = tuple(end for each in layouts for end in each.kept_wide)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))  # for tables of angles, as transformers does
    try:
        config = CONFIGURATIONS[name]
        made = _OURS.get(type(config), AutoModelForCausalLM.from_config)
        model: PreTrainedModel = made(config).eval()
        model.tie_weights()
    finally:
        torch.set_default_dtype(usual)
    for part, weight in model.named_parameters():
        wide = torch.float32 if kept and part.endswith(kept) else getattr(torch, dtype)
        weight.data = weight.data.to(wide)
    set_path(model, "slow")
    return model


def _bytes(known: Checkpoint, model: PreTrainedModel) -> tuple[int, int, int]:
    """Of the weights, of what a long prompt leaves, and at the peak."""
    weights = sum(each.numel() * each.element_size() for each in model.parameters())
    token = torch.zeros(1, 1, dtype=torch.long)
    _, state = MODELS[known.family].continued(model, token, None)
    left = sum(each.numel() * each.element_size() for each in tree_leaves(state))
    length = MAX_LENGTH if FAMILIES[known.family].state == "key-value cache" else 1
    dtype = str(model.get_input_embeddings().weight.dtype).removeprefix("torch.")
    return weights, left * length, peak_memory(known, dtype, 1, "eager")


def _said_by(name: str) -> float:
    """130m, 1.4b."""
    said = name.rpartition("-")[2]
    return float(said[:-1]) * {"m": 1e6, "b": 1e9}[said[-1]]


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"  # noqa: PLR2004


def page(text: str) -> str:
    """The page with its part about sizes made again."""
    return text.partition(MARK)[0].rstrip() + "\n\n" + table()


def main() -> None:
    """Write the sizes into the page."""
    parser = command.parser(__doc__)
    parser.add_argument("page", nargs="?", metavar="PAGE", type=Path, default=PAGE)
    written = parser.parse_args().page
    written.write_text(page(written.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    command.run(main)
