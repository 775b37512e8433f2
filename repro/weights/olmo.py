"""OLMo of hf_olmo in the layout of transformers, so that loading it executes no code of a hub.

Every tensor of the new layout is a run of rows of a tensor of the old one, and rows lie one after
the other: names and byte ranges change, no number does.

    att_proj    query, key and value, in this order
    attn_out    the output of attention
    ff_proj     the feed-forward's value, then its gate
    ff_out      the feed-forward's output; without a block, the output layer where it is not tied
    wte         the embedding

Layer norm has no weights in either. In float32 the two models compute the same. `convert` writes a
checkpoint in the new layout; `renamed` says what a model of it takes from one in the old.

Reference: hf_olmo and olmo.model of ai2-olmo 0.3.0; transformers 4.40.0, models/olmo.
Not covered: half precision, where hf_olmo rotates queries and keys in float32 and transformers in
the half precision; biases, ALiBi, norms with weights or of queries and keys: they are refused.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from repro import fileio, json_text
from repro.errors import BadInputError, Problem
from repro.fileio import DraftFile, Drafts
from repro.weights import checkpoint_files, foreign_json
from repro.weights.checkpoint_files import Tensors

_NEEDED: Mapping[str, tuple[object, ...]] = {
    "activation_type": ("swiglu",),
    "block_type": ("sequential",),
    "block_group_size": (1, None),
    "layer_norm_type": ("default", "low_precision"),
    "layer_norm_with_affine": (False,),
    "attention_layer_norm": (False,),
    "include_bias": (False,),
    "rope": (True,),
    "alibi": (False,),
    "scale_logits": (False,),
}
"""What transformers' OLMo takes for granted, by field of hf_olmo's config.json."""

_BLOCK = re.compile(
    r"model\.transformer\.blocks\.(\d+)\.(att_proj|attn_out|ff_proj|ff_out)\.weight"
)
_OUTSIDE = {
    "model.transformer.wte.weight": "model.embed_tokens.weight",
    "model.transformer.ff_out.weight": "lm_head.weight",
}

Rows = tuple[str, int, int]
"""Of a tensor of the new layout: the tensor of the old one, its first row there, its rows."""


def convert(file: Path, out: Path) -> list[DraftFile]:
    """Write config.json, model.safetensors and the tokenizer in the layout of transformers.

    Args:
        file: `model.safetensors` of hf_olmo, with its config.json and tokenizer beside it.
        out: Another folder; a file that is there with another content is not overwritten.

    Raises:
        BadInputError: if it is no such checkpoint; nothing was written.
    """
    with checkpoint_files.layout_errors(file):
        known = checked(json_text.load(file.parent / "config.json"), file.parent / "config.json")
        tensors = checkpoint_files.safetensors_header(file)
        rows = renamed(tensors, known, file)
        with Drafts(out) as drafts:
            made = [drafts.write("model.safetensors", _weights(file, tensors, rows))]
            made.append(drafts.write("config.json", [foreign_json.file_of(new_config(known))]))
            made += [drafts.write(name, [text]) for name, text in _tokenizer(file.parent)]
            drafts.publish()
    return made


def checked(config: object, path: Path) -> Mapping[str, Any]:
    """The configuration, if transformers' OLMo can be what it says.

    Raises:
        BadInputError: naming every field that says otherwise.
        ValueError: it is no JSON object.
    """
    if not isinstance(config, dict):
        raise ValueError(f"{path} is no JSON object")  # noqa: TRY004  # what a damaged file is
    problems = [
        Problem(f"{path}: $.{field}", repr(config.get(field)), f"one of {allowed}")
        for field, allowed in _NEEDED.items()
        if config.get(field) not in allowed
    ]
    problems += [
        Problem(f"{path}: $.{field}", repr(config.get(field)), "a number above 0")
        for field in ("d_model", "n_heads", "n_layers", "vocab_size", "max_sequence_length")
        if type(config.get(field)) is not int or config[field] < 1
    ]
    if problems:
        message = "no OLMo that transformers has a class for"
        raise BadInputError(message, problems)
    return config


def renamed(stored: Tensors, config: Mapping[str, Any], where: Path) -> dict[str, Rows]:
    """Every tensor of the new layout, in the order in which their bytes lie in the source.

    Args:
        stored: Tensors of the old layout, from the headers.
        config: As `checked` gives it.
        where: The file or folder that they are in, for messages.

    Raises:
        BadInputError: they are not those of the configuration.
    """
    made: dict[str, Rows] = {}
    problems = []
    for name, tensor in sorted(stored.items(), key=lambda each: each[1]["data_offsets"][0]):
        parts = _renamed_rows(name, tensor["shape"], config)
        if not parts or sum(rows for _, rows in parts) != tensor["shape"][0]:
            found = f"{name} of shape {tensor['shape']}"
            problems.append(Problem(str(where), found, "a weight of an OLMo of its config.json"))
            continue
        first = 0
        for new, rows in parts:
            made[new] = name, first, rows
            first += rows
    expected = 7 * config["n_layers"] + 1 + (not config.get("weight_tying", True))
    if not problems and len(made) != expected:
        problems = [Problem(str(where), f"{len(made)} weights", f"{expected}, by its config.json")]
    if problems:
        raise BadInputError("no OLMo in hf_olmo's layout", problems)
    return made


def _renamed_rows(name: str, shape: list[int], config: Mapping[str, Any]) -> list[tuple[str, int]]:
    """New names and rows of a tensor; empty for one that is not known."""
    if len(shape) != 2 or not shape[0]:  # noqa: PLR2004  # no matrix
        return []
    if name in _OUTSIDE:
        return [(_OUTSIDE[name], shape[0])]
    match = _BLOCK.fullmatch(name)
    if match is None:
        return []
    layer, kind = f"model.layers.{match[1]}", match[2]
    if kind == "att_proj":
        keys = config["d_model"] // config["n_heads"] * _key_heads(config)
        rows = {"q_proj": config["d_model"], "k_proj": keys, "v_proj": keys}
        return [(f"{layer}.self_attn.{part}.weight", count) for part, count in rows.items()]
    if kind == "ff_proj":
        half = shape[0] // 2
        return [(f"{layer}.mlp.up_proj.weight", half), (f"{layer}.mlp.gate_proj.weight", half)]
    new = "self_attn.o_proj" if kind == "attn_out" else "mlp.down_proj"
    return [(f"{layer}.{new}.weight", shape[0])]


def _key_heads(config: Mapping[str, Any]) -> int:
    heads: int = 1 if config.get("multi_query_attention") else config["n_heads"]
    return config.get("n_kv_heads") or heads


def _weights(file: Path, tensors: Tensors, rows: Mapping[str, Rows]) -> Iterator[bytes]:
    """The content of the new safetensors file, in pieces."""
    header, places = list[tuple[str, str, list[int], int]](), list[tuple[int, int]]()
    for new, (old, first, count) in rows.items():
        tensor = tensors[old]
        begin, end = tensor["data_offsets"]
        row = (end - begin) // tensor["shape"][0]
        header.append((new, tensor["dtype"], [count, *tensor["shape"][1:]], count * row))
        places.append((begin + first * row, begin + (first + count) * row))
    yield checkpoint_files.new_header(header)
    yield from checkpoint_files.stored_bytes(file, places)


def new_config(config: Mapping[str, Any]) -> dict[str, object]:
    """config.json as transformers' OLMo reads it."""
    width = config.get("mlp_hidden_size") or config["d_model"] * config.get("mlp_ratio", 4)
    return {
        "architectures": ["OlmoForCausalLM"],
        "model_type": "olmo",
        "vocab_size": config.get("embedding_size") or config["vocab_size"],
        "hidden_size": config["d_model"],
        "intermediate_size": width // 2,
        "num_hidden_layers": config["n_layers"],
        "num_attention_heads": config["n_heads"],
        "num_key_value_heads": _key_heads(config),
        "max_position_embeddings": config["max_sequence_length"],
        "hidden_act": "silu",
        "rope_theta": 10000.0,
        "clip_qkv": config.get("clip_qkv"),
        "tie_word_embeddings": config.get("weight_tying", True),
        "pad_token_id": config.get("pad_token_id"),
        "bos_token_id": None,
        "eos_token_id": config.get("eos_token_id"),
    }


def _tokenizer(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The tokenizer's files; of a class that is code of the hub, the one it derives from."""
    for name in ("tokenizer.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            yield name, fileio.read_bytes(folder / name)
    path = folder / "tokenizer_config.json"
    if path.is_file():
        yield path.name, foreign_json.tokenizer_settings(fileio.read_bytes(path))
