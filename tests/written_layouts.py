"""One tiny checkpoint in every layout that is met, written from the plain one by hand.

`LAYOUTS` are functions of a folder with config.json, model.safetensors and a tokenizer, which they
change; what has to be converted first is converted as a user would do it.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny_models
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from repro.cli import main

Tensors = dict[str, Tensor]
WEIGHTS, CONFIG = "model.safetensors", "config.json"
HEADS = {"gpt-neox": "embed_out.weight"}
EMBEDDINGS = {
    "mamba": "backbone.embeddings.weight",
    "mamba2": "backbone.embedding.weight",
    "gpt-neox": "gpt_neox.embed_in.weight",
}


def head(family: str) -> str:
    return HEADS.get(family, "lm_head.weight")


def embedding(family: str) -> str:
    return EMBEDDINGS.get(family, "model.embed_tokens.weight")


def change(folder: Path, edit: Callable[[Tensors], Any]) -> None:
    """Edit the weights; without metadata, as other programs write them."""
    weights = load_file(folder / WEIGHTS)
    edit(weights)
    save_file({name: each.clone().contiguous() for name, each in weights.items()}, folder / WEIGHTS)


def sharded(folder: Path) -> None:
    _shards(folder, "model", "safetensors", save_file)


def pickled(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    torch.save(weights, folder / "pytorch_model.bin")


def pickled_shards(folder: Path) -> None:
    _shards(folder, "pytorch_model", "bin", torch.save)


def _shards(folder: Path, stem: str, ending: str, save: Callable[[Any, Any], object]) -> None:
    weights, named = load_file(folder / WEIGHTS), {}
    (folder / WEIGHTS).unlink()
    for number in (1, 2, 3):
        file = f"{stem}-{number:05d}-of-00003.{ending}"
        part = dict(list(weights.items())[number - 1 :: 3])
        save(part, folder / file)
        named |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": named}
    (folder / f"{stem}.{ending}.index.json").write_text(json.dumps(index))


def converted(folder: Path) -> None:
    """`repro convert`, and the pickles taken away."""
    index = folder / "pytorch_model.bin.index.json"
    source = index if index.is_file() else folder / "pytorch_model.bin"
    assert main.main(["convert", str(source)]) == 0
    for each in folder.glob("pytorch_model*"):
        each.unlink()


def laid_out(layout: str, folder: Path) -> None:
    """`repro convert --layout`, in the folder's place."""
    index = folder / f"{WEIGHTS}.index.json"
    source, out = index if index.is_file() else folder / WEIGHTS, folder.with_name("laid-out")
    assert main.main(["convert", str(source), "--layout", layout, "--out", str(out)]) == 0
    folder.rename(folder.with_name("before"))
    out.rename(folder)


# -----------------------------------------------------------------------------
# Mamba and Mamba-2 under others' names


def released_mamba(folder: Path) -> None:
    """As `MambaLMHeadModel.save_pretrained` writes it: the vocabulary before it is padded."""
    config = json.loads((folder / CONFIG).read_text())
    said = {
        "d_model": config["hidden_size"],
        "n_layer": config["num_hidden_layers"],
        "vocab_size": config["vocab_size"],
        "ssm_cfg": {"d_state": config["state_size"]},
        "rms_norm": True,
        "residual_in_fp32": True,
        "fused_add_norm": True,
        "pad_vocab_size_multiple": 1,
    }
    (folder / CONFIG).write_text(json.dumps(said))
    older_mamba(folder)


def older_mamba(folder: Path) -> None:
    """Transformers' configuration with the release's name of the embedding; the head is there."""

    def edit(weights: Tensors) -> None:
        words = weights.pop("backbone.embeddings.weight")
        weights |= {"backbone.embedding.weight": words, "lm_head.weight": words}

    change(folder, edit)


def transformers_mamba2(folder: Path) -> None:
    """As transformers 4.46 saves what its own script made of the release."""
    config = json.loads((folder / CONFIG).read_text())
    sizes, width = config["ssm_cfg"], config["d_model"]
    rows = -(-config["vocab_size"] // config["pad_vocab_size_multiple"])
    said = {
        "architectures": ["Mamba2ForCausalLM"],
        "model_type": "mamba2",
        "hidden_size": width,
        "num_hidden_layers": config["n_layer"],
        "vocab_size": rows * config["pad_vocab_size_multiple"],
        "num_heads": 2 * width // sizes["headdim"],
        "head_dim": sizes["headdim"],
        "state_size": sizes["d_state"],
        "chunk_size": sizes["chunk_size"],
        "conv_kernel": sizes["d_conv"],
        "expand": 2,
        "n_groups": sizes["ngroups"],
        "hidden_act": "silu",
        "layer_norm_epsilon": 1e-05,
        "residual_in_fp32": True,
        "rms_norm": True,
        "time_step_limit": [0.0, math.inf],
        "time_step_rank": 1,
        "use_bias": False,
        "use_conv_bias": True,
        "tie_word_embeddings": config["tie_embeddings"],
        "transformers_version": "4.46.3",
    }
    (folder / CONFIG).write_text(json.dumps(said))

    def edit(weights: Tensors) -> None:
        weights["backbone.embeddings.weight"] = weights.pop("backbone.embedding.weight")

    change(folder, edit)


# -----------------------------------------------------------------------------
# Constants that other versions stored beside the weights


def angles(folder: Path, base: float | None = None) -> tuple[str, Tensor]:
    """Where a family's layers have their rotary angles, and what they are."""
    config = json.loads((folder / CONFIG).read_text())
    width = config["hidden_size"] // config["num_attention_heads"]
    turned = config.get("rotary_pct", config.get("partial_rotary_factor", 1.0))
    size = int(width * turned)
    base = base or config.get("rotary_emb_base", config.get("rope_theta", 10_000))
    found = 1 / base ** (torch.arange(0, size, 2).float() / size)
    neox = config["model_type"] == "gpt_neox"
    return ("gpt_neox.layers.{}.attention" if neox else "model.layers.{}.self_attn"), found


def with_angles(folder: Path, *, half: bool = False, base: float | None = None) -> None:
    where, found = angles(folder, base)

    def edit(weights: Tensors) -> None:
        for layer in range(2):
            name = f"{where.format(layer)}.rotary_emb.inv_freq"
            weights[name] = found.half() if half else found

    change(folder, edit)


def with_masks(folder: Path) -> None:
    """GPT-NeoX before transformers 4.30: the causal mask, and what stands for minus infinity."""
    with_angles(folder, half=True)

    def edit(weights: Tensors) -> None:
        for layer in range(2):
            where = f"gpt_neox.layers.{layer}.attention"
            weights[f"{where}.bias"] = torch.ones(1, 1, 64, 64, dtype=torch.bool).tril()
            weights[f"{where}.masked_bias"] = torch.tensor(-1e9)

    change(folder, edit)


def saved(family: str, folder: Path, **changes: Any) -> Any:
    """A plain checkpoint; one group of heads in Mamba-2, as every checkpoint of the paper."""
    if family == "mamba2":
        changes = {"ssm_cfg": {"ngroups": 1}} | changes
    return tiny_models.save(family, folder, **changes)
