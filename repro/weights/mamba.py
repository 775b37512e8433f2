"""Mamba and Mamba-2 from the layout that nothing here loads into the one that is loaded.

    mamba     MambaLMHeadModel's of the release    into transformers' Mamba, which the paper names
    mamba2    transformers' Mamba2 (from 4.44 on)  into the release's, which the paper used

The embedding is called otherwise, and config.json says the same in other words. Tensors stay as
they are, to the byte, in files of the same names. In float32 both models compute the same.

Reference: mamba-ssm 2.2.2, `models/config_mamba.py`, `modules/mamba_simple.py`; transformers
4.40.0, models/mamba; transformers 4.55.4, models/mamba2, whose logits of tiny checkpoints are these
to 2e-7 (4.46.3's plain loop bounds Δ from below, and is as far off as that moves it).
Not covered: half precision, where the two round differently; several groups of heads in
transformers' Mamba2, which normalises all of them together and the release each alone.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from repro import fileio
from repro.errors import BadInputError, Problem
from repro.fileio import DraftFile, Drafts
from repro.schema.families import converted_by
from repro.weights import checkpoint_files, foreign_json, loadable

_EMBEDDING = {"mamba": "backbone.embeddings.weight", "mamba2": "backbone.embedding.weight"}
"""Layout to what it calls the embedding; the other's name becomes it."""

_NEEDED: Mapping[str, Mapping[str, tuple[object, ...]]] = {
    "mamba": {
        "rms_norm": (True,),
        "d_intermediate": (0,),
        "attn_layer_idx": ([],),
        "attn_cfg": ({},),
    },
    "mamba2": {
        "rms_norm": (True,),
        "use_bias": (False,),
        "use_conv_bias": (True,),
        "hidden_act": ("silu", "swish"),
        "layer_norm_epsilon": (1e-5,),
        "time_step_limit": ([0.0, math.inf],),
        "n_groups": (1,),
    },
}
"""What the layout that is made takes for granted, by field of the config.json that is read; a field
that is not there says the same, but for `n_groups`, whose default is 8."""
_BLOCK = {
    *("layer", "d_state", "d_conv", "expand", "dt_rank", "bias", "conv_bias", "use_fast_path"),
    *("dt_min", "dt_max", "dt_init", "dt_scale", "dt_init_floor"),
}
"""Fields of the release's `ssm_cfg` for Mamba; those of the last line matter before training."""
_SIZES = {
    "mamba": ("d_model", "n_layer", "vocab_size"),
    "mamba2": ("hidden_size", "num_hidden_layers", "vocab_size", "num_heads", "head_dim"),
}


def convert(file: Path, out: Path, layout: Literal["mamba", "mamba2"]) -> list[DraftFile]:
    """Write config.json, the weights and the tokenizer in another layout.

    Args:
        file: `model.safetensors` or its index, with config.json and tokenizer beside it.
        out: Another folder; a file that is there with another content is not overwritten.
        layout: Of which family the checkpoint is.

    Raises:
        BadInputError: if it is no such checkpoint; nothing was written.
    """
    folder = file.parent
    with checkpoint_files.layout_errors(file):
        fileio.open_regular_file(file).close()
        config = foreign_json.read(folder / loadable.CONFIG)
        made_config = _new_config(config, folder / loadable.CONFIG, layout)
        checkpoint_files.stored_tensors(folder)  # refuses files that are not whole
        (other,) = {*_EMBEDDING.values()} - {_EMBEDDING[layout]}
        renamed = {other: _EMBEDDING[layout]}
        with Drafts(out) as drafts:
            made = [
                drafts.write(name, _rewritten(folder / name, renamed))
                for name in loadable.weights(folder)
            ]
            made.append(drafts.write(loadable.CONFIG, [foreign_json.file_of(made_config)]))
            made += [
                drafts.write(name, [fileio.read_bytes(folder / name)])
                for name in loadable.TOKENIZER
                if (folder / name).is_file()
            ]
            drafts.publish()
    return made


def _rewritten(path: Path, renamed: Mapping[str, str]) -> Iterator[bytes]:
    """A file of weights, or their index, with other names."""
    if path.name == loadable.INDEX:
        named = loadable.shards_of(path)
        index = foreign_json.read(path) | {
            "weight_map": {renamed.get(name, name): file for name, file in named.items()}
        }
        yield foreign_json.file_of(index)
        return
    header = checkpoint_files.safetensors_header(path)
    tensors = sorted(header.items(), key=lambda each: each[1]["data_offsets"])
    yield checkpoint_files.new_header(
        (
            renamed.get(name, name),
            each["dtype"],
            each["shape"],
            each["data_offsets"][1] - each["data_offsets"][0],
        )
        for name, each in tensors
    )
    places = (each["data_offsets"] for _, each in tensors)
    yield from checkpoint_files.stored_bytes(path, places)


# -----------------------------------------------------------------------------
# config.json


def _new_config(config: Mapping[str, Any], path: Path, layout: str) -> dict[str, Any]:
    """What config.json says, in the words of the layout that is made.

    Raises:
        BadInputError: naming every field that it has no word for.
    """
    if converted_by(config) != layout:
        says = config.get("model_type", config.get("ssm_cfg"))
        expected = {
            "mamba": "the release's Mamba: ssm_cfg with the layer Mamba1, or none",
            "mamba2": "transformers' Mamba2: the model_type mamba2",
        }
        problems = [Problem(f"{path}: $", f"{says!r}", expected[layout])]
    else:
        problems = [*_problems(config, path, layout)]
    if problems:
        message = f"no checkpoint that --layout {layout} is for; nothing was written"
        raise BadInputError(message, problems)
    return _transformers_mamba(config) if layout == "mamba" else _released_mamba2(config)


def _problems(config: Mapping[str, Any], path: Path, layout: str) -> Iterator[Problem]:
    for field, allowed in _NEEDED[layout].items():
        found = config.get(field, None if field == "n_groups" else allowed[0])
        if found not in allowed:
            yield Problem(f"{path}: $.{field}", repr(found), f"one of {allowed}")
    for field in _SIZES[layout]:
        if type(config.get(field)) is not int or config[field] < 1:
            yield Problem(f"{path}: $.{field}", repr(config.get(field)), "a number above 0")
            return
    if layout == "mamba":
        for field in sorted(config["ssm_cfg"].keys() - _BLOCK):
            yield Problem(f"{path}: $.ssm_cfg.{field}", "an unknown field", "a field of Mamba")
    elif (
        config["num_heads"] * config["head_dim"] != config.get("expand", 2) * config["hidden_size"]
    ):
        found = f"{config['num_heads']} heads of {config['head_dim']}"
        yield Problem(f"{path}: $.num_heads", found, "as many as expand times hidden_size holds")


def _transformers_mamba(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of the release's Mamba, whose vocabulary is padded to a multiple in the weights alone."""
    block, multiple = config["ssm_cfg"], config.get("pad_vocab_size_multiple", 8)
    rank = block.get("dt_rank", "auto")
    return {
        "architectures": ["MambaForCausalLM"],
        "model_type": "mamba",
        "vocab_size": -(-config["vocab_size"] // multiple) * multiple,
        "hidden_size": config["d_model"],
        "num_hidden_layers": config["n_layer"],
        "state_size": block.get("d_state", 16),
        "conv_kernel": block.get("d_conv", 4),
        "expand": block.get("expand", 2),
        "time_step_rank": math.ceil(config["d_model"] / 16) if rank == "auto" else rank,
        "use_bias": block.get("bias", False),
        "use_conv_bias": block.get("conv_bias", True),
        "hidden_act": "silu",
        "layer_norm_epsilon": 1e-5,
        "residual_in_fp32": config.get("residual_in_fp32", True),
        "tie_word_embeddings": config.get("tie_embeddings", True),
    }


def _released_mamba2(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of transformers' Mamba2, whose vocabulary is padded already; defaults are its own."""
    return {
        "d_model": config["hidden_size"],
        "d_intermediate": 0,
        "n_layer": config["num_hidden_layers"],
        "vocab_size": config["vocab_size"],
        "ssm_cfg": {
            "layer": "Mamba2",
            "d_state": config.get("state_size", 128),
            "d_conv": config.get("conv_kernel", 4),
            "expand": config.get("expand", 2),
            "headdim": config["head_dim"],
            "ngroups": 1,
            "chunk_size": config.get("chunk_size", 256),
        },
        "attn_layer_idx": [],
        "attn_cfg": {},
        "rms_norm": True,
        "residual_in_fp32": config.get("residual_in_fp32", True),
        "fused_add_norm": True,
        "pad_vocab_size_multiple": 1,
        "tie_embeddings": config.get("tie_word_embeddings", False),
    }
