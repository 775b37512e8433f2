"""OLMo of hf_olmo in the layout of transformers, so that loading it executes no code of a hub.

Every tensor of the new layout is a run of rows of a tensor of the old one, and rows lie one after
the other: names and byte ranges change, no number does.

    att_proj    query, key and value, in this order
    attn_out    the output of attention
    ff_proj     the feed-forward's value, then its gate
    ff_out      the feed-forward's output; without a block, the output layer where it is not tied
    wte         the embedding

Layer norm has no weights in either. In float32 the two models compute the same.

Reference: hf_olmo and olmo.model of ai2-olmo 0.3.0; transformers 4.40.0, models/olmo.
Not covered: half precision, where hf_olmo rotates queries and keys in float32 and transformers in
the half precision; biases, ALiBi, norms with weights or of queries and keys: they are refused.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from repro import fileio, json_text
from repro.errors import BadInputError, Problem
from repro.fileio import DraftFile, Drafts
from repro.weights import checkpoint_files, foreign_json

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
_PIECE = 1 << 24
"""Bytes read at a time."""

Range = tuple[str, list[int], int, int]
"""Dtype, shape, and where the bytes begin and end in the source's data."""


def convert(file: Path, out: Path) -> list[DraftFile]:
    """Write config.json, model.safetensors and the tokenizer in the layout of transformers.

    Args:
        file: `model.safetensors` of hf_olmo, with its config.json and tokenizer beside it.
        out: Another folder; a file that is there with another content is not overwritten.

    Raises:
        BadInputError: if it is no such checkpoint; nothing was written.
    """
    try:
        config = json_text.load(file.parent / "config.json")
        known = _checked(config, file.parent / "config.json")
        ranges = _ranges(checkpoint_files.safetensors_header(file), known, file)
        with Drafts(out) as drafts:
            made = [drafts.write("model.safetensors", _weights(file, ranges))]
            made.append(drafts.write("config.json", [_text(_new_config(config))]))
            made += [drafts.write(name, [text]) for name, text in _tokenizer(file.parent)]
            drafts.publish()
    except (OSError, ValueError) as error:
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        why = f"{json_text.explain_error(error)}{where}"
        message = f"{file} cannot be turned into another layout: {why}; nothing was written"
        raise BadInputError(message) from error
    return made


def _checked(config: object, path: Path) -> Mapping[str, Any]:
    """The configuration, if transformers' OLMo can be what it says."""
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
        message = "no OLMo that transformers has a class for; nothing was written"
        raise BadInputError(message, problems)
    return config


def _ranges(
    source: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any], file: Path
) -> dict[str, Range]:
    """Every tensor of the new layout, in the order in which their bytes lie in the source."""
    made: dict[str, Range] = {}
    problems = []
    for name, tensor in sorted(source.items(), key=lambda each: each[1]["data_offsets"][0]):
        parts = _renamed_rows(name, tensor["shape"], config)
        if not parts or sum(rows for _, rows in parts) != tensor["shape"][0]:
            found = f"{name} of shape {tensor['shape']}"
            problems.append(Problem(str(file), found, "a weight of an OLMo of its config.json"))
            continue
        begin, end = tensor["data_offsets"]
        row = (end - begin) // tensor["shape"][0]
        for new, rows in parts:
            shape = [rows, *tensor["shape"][1:]]
            made[new] = tensor["dtype"], shape, begin, begin + rows * row
            begin += rows * row
    expected = 7 * config["n_layers"] + 1 + (not config.get("weight_tying", True))
    if not problems and len(made) != expected:
        problems = [Problem(str(file), f"{len(made)} weights", f"{expected}, by its config.json")]
    if problems:
        raise BadInputError("no OLMo in hf_olmo's layout; nothing was written", problems)
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


def _weights(file: Path, ranges: Mapping[str, Range]) -> Iterator[bytes]:
    """The content of the new safetensors file, in pieces."""
    yield checkpoint_files.new_header(
        (name, dtype, shape, end - begin) for name, (dtype, shape, begin, end) in ranges.items()
    )
    with fileio.open_regular_file(file) as stream:
        data = 8 + int.from_bytes(stream.read(8), "little")
        for _, _, begin, end in ranges.values():
            stream.seek(data + begin)
            for left in range(end - begin, 0, -_PIECE):
                yield stream.read(min(left, _PIECE))


def _new_config(config: Mapping[str, Any]) -> dict[str, object]:
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
    """The tokenizer's files; its class, code of the hub, becomes the one that it derives from."""
    for name in ("tokenizer.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            yield name, fileio.read_bytes(folder / name)
    path = folder / "tokenizer_config.json"
    if path.is_file():
        settings = foreign_json.read(path)
        settings.pop("auto_map", None)
        yield path.name, _text(settings | {"tokenizer_class": "PreTrainedTokenizerFast"})


def _text(data: object) -> bytes:
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()
