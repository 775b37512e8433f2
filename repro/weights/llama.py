"""A Llama in a GGUF file as a checkpoint folder of transformers: weights, configuration, tokenizer.

Every weight becomes float32, which holds what its block stands for; names change, and the rows of
queries and keys go back to transformers' order: the file has of each head the two halves that a
rotation turns against each other row by row, transformers one half after the other.

    file            (heads, half, 2)       x0 x_half x1 x_half+1 …
    transformers    (heads, 2, half)       x0 x1 … x_half x_half+1 …

The tokenizer is a byte-level BPE that takes digits one by one.

Reference: the format's specification and `convert_hf_to_gguf.py` of llama.cpp (`LlamaModel`,
`permute`; pre-tokeniser smollm); transformers 4.40.0, models/llama; tokenizers 0.19.1.
Not covered: experts, biases, scaled rotations, other tokenizers: they are refused.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repro.errors import BadInputError, Problem
from repro.fileio import DraftFile, Drafts
from repro.text import first_few
from repro.weights import checkpoint_files, gguf
from repro.weights.gguf import Gguf
from repro.weights.loadable import CONFIG, WEIGHTS
from repro.weights.torch_zip import RefusedError, printable

_EXPECTED: Mapping[str, tuple[object, ...]] = {
    "general.architecture": ("llama",),
    "tokenizer.ggml.model": ("gpt2",),
    "tokenizer.ggml.pre": ("smollm",),
    "tokenizer.ggml.add_bos_token": (False, None),
    "tokenizer.ggml.add_eos_token": (False, None),
    "tokenizer.ggml.add_space_prefix": (False, None),
}
"""What a setting may say; None stands for a file that does not have it."""

_COUNTS: Mapping[str, str] = {
    "llama.block_count": "num_hidden_layers",
    "llama.context_length": "max_position_embeddings",
    "llama.embedding_length": "hidden_size",
    "llama.feed_forward_length": "intermediate_size",
    "llama.attention.head_count": "num_attention_heads",
    "llama.attention.head_count_kv": "num_key_value_heads",
    "llama.vocab_size": "vocab_size",
}
"""Setting to the field of config.json."""
_NUMBERS: Mapping[str, str] = {
    "llama.attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "llama.rope.freq_base": "rope_theta",
}
"""The same, of float32 numbers: written as the shortest decimals that stand for them."""
_ROTATED = "llama.rope.dimension_count"
_SPECIAL: Mapping[str, str] = {
    "bos": "tokenizer.ggml.bos_token_id",
    "eos": "tokenizer.ggml.eos_token_id",
    "pad": "tokenizer.ggml.padding_token_id",
    "unk": "tokenizer.ggml.unknown_token_id",
}

_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}

_LISTS = "tokenizer.ggml"
_OF = {"tokens": str, "token_type": int, "merges": str}
_CONTROL = 3
_TYPES = {1, _CONTROL}
"""Of tokens: normal, and special. Others (bytes, unused) are of other tokenizers."""
_SMALLEST = 1e-37
"""Near the ends of float32."""
_MOST = 1 << 20
"""Of anything that a setting counts."""


def convert(file: Path, out: Path) -> list[DraftFile]:
    """Write config.json, model.safetensors and the tokenizer into a folder, all or none.

    Args:
        file: In GGUF.
        out: A file that is there with another content is not overwritten.

    Raises:
        BadInputError: it is no such Llama, or damaged, or cannot be read or written; with every
            setting or tensor that is wrong. Nothing was written.
    """
    message = f"{file.name} cannot be turned into a checkpoint; nothing was written"
    try:
        source = gguf.read(file)
        config = _config(source)
        tensors = dict(sorted(_expected(config)))
        _refuse(source, [*_other_tensors(source, tensors), *_other_tokens(source, config)])
        tokenizer = dict(_tokenizer(source, config))
        with Drafts(out) as drafts:
            made = [drafts.write(WEIGHTS, _weights(source, tensors, config))]
            texts = {CONFIG: config, **tokenizer}
            made += [drafts.write(name, [_text(each)]) for name, each in texts.items()]
            drafts.publish()
    except RefusedError as error:
        where = f"{file}: {error.where}" if error.where else str(file)
        raise BadInputError(message, [Problem(where, error.found, error.expected)]) from error
    except OSError as error:
        why = f"{error.filename or file}: {error.strerror or error}"
        raise BadInputError(f"{message}: {why}") from error
    return made


def _refuse(source: Gguf, problems: list[Problem]) -> None:
    if problems:
        message = f"{source.path.name} holds no Llama that is known here; nothing was written"
        raise BadInputError(message, problems)


def _wrong(source: Gguf, field: str, expected: str) -> Problem:
    found = printable(repr(source.settings[field])) if field in source.settings else "nothing"
    return Problem(f"{source.path}: {field}", found, expected)


def _config(source: Gguf) -> dict[str, Any]:
    """config.json, of settings that were all understood."""
    said = _understood(source)
    counts = {name: said[field] for field, name in _COUNTS.items()}
    special = {f"{name}_token_id": said.get(field) for name, field in _SPECIAL.items()}
    del special["unk_token_id"]  # the tokenizer's alone
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **counts,
        **{name: float(str(np.float32(said[field]))) for field, name in _NUMBERS.items()},
        **special,
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": "output.weight" not in source.tensors,
        "torch_dtype": "float32",
    }


def _understood(source: Gguf) -> dict[str, Any]:
    """The settings, with what is taken for granted where they say nothing."""
    tokens = source.settings.get(f"{_LISTS}.tokens")
    said = {
        "llama.vocab_size": len(tokens) if isinstance(tokens, list) else 0,
        "llama.attention.head_count_kv": source.settings.get("llama.attention.head_count"),
        "llama.rope.freq_base": 10_000.0,
        **source.settings,
    }
    known = {*_COUNTS, *_NUMBERS, _ROTATED}
    faults = [
        (field, f"one of {', '.join(map(repr, allowed))}")
        for field, allowed in _EXPECTED.items()
        if said.get(field) not in allowed
    ]
    faults += [
        (field, f"a whole number from 1 to {_MOST:,}")
        for field in _COUNTS
        if type(said.get(field)) is not int or not 1 <= said[field] <= _MOST
    ]
    faults += [
        (field, "a number above 0, of float32")
        for field in _NUMBERS
        if type(said.get(field)) is not float or not _SMALLEST < said[field] < 1 / _SMALLEST
    ]
    faults += [
        (f"{_LISTS}.{name}", f"a list of {kind.__name__}")
        for name, kind in _OF.items()
        if not isinstance(found := said.get(f"{_LISTS}.{name}"), list)
        or any(type(each) is not kind for each in found)
    ]
    faults += [
        (field, "no such setting: only what is known here is converted")
        for field in source.settings
        if field.startswith("llama.") and field not in known
    ]
    faults = faults or list(_contradictions(said, len(source.tensors)))
    _refuse(source, [_wrong(source, *each) for each in faults])
    return said


def _contradictions(said: Mapping[str, Any], tensors: int) -> Iterator[tuple[str, str]]:
    """Settings that cannot hold beside the others, and what could."""
    hidden, heads = said["llama.embedding_length"], said["llama.attention.head_count"]
    if hidden % (2 * heads) or heads % said["llama.attention.head_count_kv"]:
        expected = f"heads that divide {hidden} into even widths, and that key-value heads divide"
        yield "llama.attention.head_count", expected
    elif said.get(_ROTATED, hidden // heads) != hidden // heads:
        yield _ROTATED, f"{hidden // heads}, the whole width of a head"
    if said["llama.block_count"] > tensors:
        yield "llama.block_count", f"a number that {tensors} tensors bear out"
    for field in _SPECIAL.values():
        token, count = said.get(field, 0), said["llama.vocab_size"]
        if type(token) is not int or not 0 <= token < count:
            yield field, f"a token from 0 to {count - 1}, or no such setting"


# -----------------------------------------------------------------------------
# Weights


@dataclass(frozen=True)
class _Weight:
    """One tensor of the new layout."""

    source: str
    shape: tuple[int, ...]
    heads: int = 0
    """Of rows that are turned, in as many heads; 0 for all others."""


def _other_tensors(source: Gguf, expected: Mapping[str, _Weight]) -> Iterator[Problem]:
    """Tensors that the file lacks, or has beyond those of the new layout, or in another shape."""
    named = {each.source: each for each in expected.values()}
    for what, names in (
        ("missing", named.keys() - source.tensors.keys()),
        ("unknown", source.tensors.keys() - named.keys()),
    ):
        if names:
            shown = first_few([printable(name) for name in sorted(names)])
            told = f"{len(names)} tensors {what}: {shown}"
            yield Problem(str(source.path), told, f"the {len(named)} of a Llama of its settings")
    for name, each in named.items():
        if (found := source.tensors.get(name)) and found.shape != each.shape:
            shape = f"shape {list(found.shape)}"
            yield Problem(f"{source.path}: {name}", shape, f"{list(each.shape)}")


def _expected(config: Mapping[str, Any]) -> Iterator[tuple[str, _Weight]]:
    """Every tensor of the new layout by name."""
    size, inner = config["hidden_size"], config["intermediate_size"]
    heads, key_heads = config["num_attention_heads"], config["num_key_value_heads"]
    keys = size // heads * key_heads
    shapes = {
        "attn_norm": (size,),
        "ffn_norm": (size,),
        "attn_output": (size, size),
        "attn_q": (size, size),
        "attn_k": (keys, size),
        "attn_v": (keys, size),
        "ffn_gate": (inner, size),
        "ffn_up": (inner, size),
        "ffn_down": (size, inner),
    }
    turned = {"attn_q": heads, "attn_k": key_heads}
    for block in range(config["num_hidden_layers"]):
        for old, new in _BLOCK.items():
            weight = _Weight(f"blk.{block}.{old}.weight", shapes[old], turned.get(old, 0))
            yield f"model.layers.{block}.{new}.weight", weight
    for old, new in _OUTSIDE.items():
        if old != "output" or not config["tie_word_embeddings"]:
            shape = (size,) if old == "output_norm" else (config["vocab_size"], size)
            yield f"{new}.weight", _Weight(f"{old}.weight", shape)


def _weights(
    source: Gguf, tensors: Mapping[str, _Weight], config: Mapping[str, Any]
) -> Iterator[bytes | memoryview]:
    """The content of the safetensors file, a tensor at a time."""
    width = config["hidden_size"] // config["num_attention_heads"]
    yield checkpoint_files.new_header(
        (name, "F32", each.shape, 4 * int(np.prod(each.shape))) for name, each in tensors.items()
    )
    for each in tensors.values():
        values = source.values(each.source)
        if each.heads:
            pairs = values.reshape(each.heads, width // 2, 2, -1)
            values = pairs.swapaxes(1, 2).reshape(each.shape)
        yield np.ascontiguousarray(values, "<f4").data.cast("B")


# -----------------------------------------------------------------------------
# The tokenizer


def _lists(source: Gguf) -> tuple[list[str], list[int], list[str]]:
    """Tokens, what kind each is, and merges, first to last."""
    tokens, types, merges = (source.settings[f"{_LISTS}.{name}"] for name in _OF)
    return tokens, types, merges


def _other_tokens(source: Gguf, config: Mapping[str, Any]) -> Iterator[Problem]:
    """Lists that are no byte-level BPE of the model's vocabulary."""
    tokens, types, merges = _lists(source)
    distinct, count = set(tokens), config["vocab_size"]
    unlike = [each for each in merges if not _is_merge(each, distinct)]
    once = f"{len(tokens)} tokens, {len(distinct)} of them distinct"
    kinds = f"{len(types)} of the kinds {sorted(set(types))}"
    for name, wrong, found, expected in (
        ("tokens", not len(distinct) == len(tokens) == count, once, f"{count}, each once"),
        ("token_type", len(types) != count or {*types} - _TYPES, kinds, f"{count} of {_TYPES}"),
        ("merges", unlike, "".join(unlike[:1]), "two tokens that make a third, a space between"),
    ):
        if wrong:
            yield Problem(f"{source.path}: {_LISTS}.{name}", printable(found), expected)


def _tokenizer(source: Gguf, config: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """The tokenizer's files."""
    tokens, types, merges = _lists(source)
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    byte_level["use_regex"] = True
    yield (
        "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": number, "content": tokens[number], **flags, "special": True}
                for number, kind in enumerate(types)
                if kind == _CONTROL
            ],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
            },
            "post_processor": None,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "byte_fallback": False,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "ignore_merges": False,
                "vocab": {token: number for number, token in enumerate(tokens)},
                "merges": merges,
            },
        },
    )
    named = {
        f"{name}_token": tokens[number]
        for name, field in _SPECIAL.items()
        if (number := source.settings.get(field)) is not None
    }
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    settings["model_max_length"] = config["max_position_embeddings"]
    yield "tokenizer_config.json", settings | named


def _is_merge(text: str, tokens: Collection[str]) -> bool:
    first, _, second = text.partition(" ")
    return all(each in tokens for each in (first, second, first + second))


def _text(data: object) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()
