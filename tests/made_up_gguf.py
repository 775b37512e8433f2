"""GGUF files written by hand: the format's specification, in `struct` and plain numbers.

A tensor is stored as it is given: (format's number, sizes with the fastest first, bytes).
"""

import json
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

F32, F16, Q4_1, Q8_0 = 0, 1, 3, 8
U32, F32_VALUE, BOOL, TEXT, LIST, I32 = 4, 6, 7, 8, 9, 5

Tensor = tuple[int, Sequence[int], bytes]
Change = Callable[[dict[str, Any], dict[str, Tensor]], object]
"""Of settings and tensors, before they are written."""


def text(value: str) -> bytes:
    """A length and UTF-8."""
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value(given: Any) -> bytes:
    """A setting's kind and value: int as u32, float as f32, lists of text or i32."""
    if isinstance(given, bool):
        return struct.pack("<IB", BOOL, given)
    if isinstance(given, int):
        return struct.pack("<II", U32, given)
    if isinstance(given, float):
        return struct.pack("<If", F32_VALUE, given)
    if isinstance(given, str):
        return struct.pack("<I", TEXT) + text(given)
    if given and isinstance(given[0], int):
        return struct.pack(f"<IIQ{len(given)}i", LIST, I32, len(given), *given)
    return struct.pack("<IIQ", LIST, TEXT, len(given)) + b"".join(map(text, given))


def f32(values: NDArray[Any]) -> Tensor:
    """A tensor as it is."""
    return F32, values.shape[::-1], values.astype("<f4").tobytes()


def f16(values: NDArray[Any]) -> Tensor:
    """A tensor rounded to half precision."""
    return F16, values.shape[::-1], values.astype("<f2").tobytes()


def q4_1(shape: Sequence[int], blocks: Sequence[tuple[float, float, Sequence[int]]]) -> Tensor:
    """A tensor of blocks: scale, minimum and 32 numbers from 0 to 15."""
    packed = b"".join(
        struct.pack("<ee16B", scale, least, *(q[at] | q[at + 16] << 4 for at in range(16)))
        for scale, least, q in blocks
    )
    return Q4_1, shape[::-1], packed


def q8_0(shape: Sequence[int], blocks: Sequence[tuple[float, Sequence[int]]]) -> Tensor:
    """A tensor of blocks: scale and 32 numbers from -128 to 127."""
    packed = b"".join(struct.pack("<e32b", scale, *q) for scale, q in blocks)
    return Q8_0, shape[::-1], packed


def file(
    settings: Mapping[str, Any], tensors: Mapping[str, Tensor], *, version: int = 3, align: int = 32
) -> bytes:
    """A whole file; `settings` of bytes are kind and value already."""
    named = {"general.alignment": align, **settings} if align != 32 else settings
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(named))
    for name, given in named.items():
        head += text(name) + (given if isinstance(given, bytes) else value(given))
    data = b""
    for name, (kind, sizes, content) in tensors.items():
        data += bytes(-len(data) % align)
        head += text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, len(data))
        data += content
    return head + bytes(-len(head) % align) + data


# -----------------------------------------------------------------------------
# A Llama, from transformers' own weights: the rows of queries and keys as llama.cpp turns them.


def turned(rows: NDArray[Any], heads: int) -> NDArray[Any]:
    """As `LlamaModel.permute` of convert_hf_to_gguf.py."""
    parts = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return parts.swapaxes(1, 2).reshape(rows.shape)


NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def llama_tensors(
    weights: Mapping[str, NDArray[Any]], heads: int, key_heads: int
) -> dict[str, Tensor]:
    """Tensors under the names of GGUF, from those of transformers."""
    found = {}
    for name, values in weights.items():
        bare = name.removesuffix(".weight")
        if bare in OUTSIDE:
            found[f"{OUTSIDE[bare]}.weight"] = f32(values)
            continue
        block, _, part = bare.removeprefix("model.layers.").partition(".")
        turns = {"self_attn.q_proj": heads, "self_attn.k_proj": key_heads}.get(part)
        found[f"blk.{block}.{NAMES[part]}.weight"] = f32(turned(values, turns) if turns else values)
    return found


def llama_settings(
    config: Any, tokens: list[str], merges: list[str], special: int
) -> dict[str, Any]:
    """Settings of a `LlamaConfig` and a byte-level BPE whose first tokens are special."""
    return {
        "general.architecture": "llama",
        "general.name": "made up",
        "llama.block_count": config.num_hidden_layers,
        "llama.context_length": config.max_position_embeddings,
        "llama.embedding_length": config.hidden_size,
        "llama.feed_forward_length": config.intermediate_size,
        "llama.attention.head_count": config.num_attention_heads,
        "llama.attention.head_count_kv": config.num_key_value_heads,
        "llama.rope.freq_base": float(config.rope_theta),
        "llama.rope.dimension_count": config.hidden_size // config.num_attention_heads,
        "llama.attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "llama.vocab_size": len(tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] * special + [1] * (len(tokens) - special),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def tokenizer() -> tuple[list[str], list[str], Any]:
    """A byte-level BPE that takes digits one by one, as tokenizers trains it.

    Returns:
        Tokens, the first three special; merges; the tokenizer itself, which is the oracle.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    words = "The question is about anatomy. The answer is the sum of the questions: A B C D 1984."
    made.train_from_iterator([words] * 3, trainer)
    said = json.loads(made.to_str())["model"]
    tokens = sorted(said["vocab"], key=said["vocab"].get)
    return tokens, said["merges"], made


def llama(variant: Mapping[str, Any]) -> Any:
    """A random Llama with the vocabulary of `tokenizer`."""
    import tiny_models  # torch takes a while

    heads = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4}
    return tiny_models.model("llama", **{**heads, "vocab_size": len(tokenizer()[0]), **variant})


def write_llama(model: Any, path: Path, change: Change = lambda *_: None) -> Path:
    """A model in GGUF, after a change of its settings and tensors."""
    tokens, merges, _ = tokenizer()
    weights = {name: each.detach().numpy() for name, each in model.named_parameters()}
    settings = llama_settings(model.config, tokens, merges, special=3)
    heads = model.config.num_attention_heads, model.config.num_key_value_heads
    tensors = llama_tensors(weights, *heads)
    change(settings, tensors)
    path.write_bytes(file(settings, tensors))
    return path


WHEEL, MEMBER = "made_up_llama-1.0-py3-none-any.whl", "made_up_llama/tiny.gguf"


def write_wheel(folder: Path) -> Any:
    """A wheel with a Llama, as a package index has it; returns what a catalog would say of it."""
    from repro import fileio
    from repro.schema.catalog import Checkpoint
    from repro.weights import llama as converted

    model = llama({"tie_word_embeddings": True})
    file = write_llama(model, folder / "tiny.gguf")
    made = converted.convert(file, folder / "tiny")
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        about = "made_up_llama-1.0.dist-info"
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: made-up-llama\nVersion: 1.0\n"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr(f"{about}/RECORD", "")
        archive.write(file, MEMBER)
    wheel = {"distribution": "made-up-llama", "version": "1.0", "filename": WHEEL}
    wheel |= {"sha256": fileio.digest_of_file(folder / WHEEL)}
    wheel |= {"size": (folder / WHEEL).stat().st_size}
    source = {"kind": "wheel", "wheel": wheel, "file": MEMBER}
    source |= {"sha256": fileio.digest_of_file(file)}
    return Checkpoint.model_validate(
        {
            "family": "llama",
            "source": source,
            "stored_dtype": "float32",
            "tokenizer": "own",
            "parameters": sum(each.numel() for each in model.parameters()),
            "hidden_size": 32,
            "blocks": 2,
            "heads": 4,
            "note": "made up",
            "files": {each.path.name: each.sha256 for each in made},
        }
    )
