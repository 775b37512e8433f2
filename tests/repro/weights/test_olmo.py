"""OLMo from hf_olmo's layout into transformers'. Oracles: hf_olmo itself where it is installed,
and its equations written out in numpy, from the weights of the old layout.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from repro import paths
from repro.cli import main
from repro.errors import BadInputError
from repro.weights import olmo

Array = NDArray[np.float64]
IDS = np.array([3, 17, 4, 4, 60, 1, 22])
CONFIG: dict[str, Any] = {
    "model_type": "hf_olmo",
    "d_model": 24,
    "n_heads": 3,
    "n_layers": 2,
    "mlp_ratio": 4,
    "mlp_hidden_size": 40,
    "vocab_size": 60,
    "embedding_size": 128,
    "max_sequence_length": 32,
    "activation_type": "swiglu",
    "block_type": "sequential",
    "block_group_size": 1,
    "layer_norm_type": "default",
    "layer_norm_with_affine": False,
    "attention_layer_norm": False,
    "include_bias": False,
    "rope": True,
    "alibi": False,
    "scale_logits": False,
    "clip_qkv": None,
    "weight_tying": True,
    "multi_query_attention": False,
    "attention_dropout": 0.0,
    "residual_dropout": 0.0,
    "embedding_dropout": 0.0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}
VARIANTS = (
    {},
    {"weight_tying": False, "clip_qkv": 0.4},
    {"n_kv_heads": 1, "multi_query_attention": None},
)


def weights(config: dict[str, Any]) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(5)
    size, head = config["d_model"], config["d_model"] // config["n_heads"]
    rows = size + 2 * head * (config.get("n_kv_heads") or config["n_heads"])
    shapes = {"wte": (128, size)} | ({} if config["weight_tying"] else {"ff_out": (128, size)})
    for layer in range(config["n_layers"]):
        shapes |= {
            f"blocks.{layer}.att_proj": (rows, size),
            f"blocks.{layer}.attn_out": (size, size),
            f"blocks.{layer}.ff_proj": (40, size),
            f"blocks.{layer}.ff_out": (size, 20),
        }
    return {
        f"model.transformer.{name}.weight": random.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def write(folder: Path, config: dict[str, Any], tensors: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    twin = paths.ROOT / "twins/gpt-neox-twin"
    (folder / "tokenizer.json").write_bytes((twin / "tokenizer.json").read_bytes())
    settings = {"auto_map": {"AutoTokenizer": ["tokenization_olmo_fast.X", None]}}
    settings |= {"tokenizer_class": "OLMoTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    save_file(tensors, folder / "model.safetensors")
    return folder / "model.safetensors"


def forward(config: dict[str, Any], tensors: dict[str, Any]) -> Array:
    """Logits (length, vocabulary), in float64, from hf_olmo's tensors."""
    old = {
        name.removeprefix("model.transformer.").removesuffix(".weight"): each.astype(np.float64)
        for name, each in tensors.items()
    }
    size, heads = config["d_model"], config["n_heads"]
    width = size // heads
    key_heads = config.get("n_kv_heads") or heads
    turns = np.arange(len(IDS))[:, None] / 10000 ** (np.arange(0, width, 2) / width)
    cos, sin = (np.concatenate([each, each], 1)[:, None] for each in (np.cos(turns), np.sin(turns)))

    def norm(x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        return np.asarray(centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5))

    def rotate(x: Array) -> Array:
        left, right = x[..., : width // 2], x[..., width // 2 :]
        return np.asarray(x * cos + np.concatenate([-right, left], -1) * sin)

    x = old["wte"][IDS]
    for layer in range(config["n_layers"]):
        block = f"blocks.{layer}"
        fused = norm(x) @ old[f"{block}.att_proj"].T
        if config["clip_qkv"]:
            fused = fused.clip(-config["clip_qkv"], config["clip_qkv"])
        parts = np.split(fused, [size, size + key_heads * width], axis=1)
        query, key, value = (each.reshape(len(IDS), -1, width) for each in parts)
        key, value = (np.repeat(each, heads // key_heads, axis=1) for each in (rotate(key), value))
        scores = np.einsum("qhd,khd->hqk", rotate(query), key) / np.sqrt(width)
        scores[:, np.triu(np.ones((len(IDS),) * 2, bool), 1)] = -np.inf
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", share, value).reshape(len(IDS), size)
        x = x + mixed @ old[f"{block}.attn_out"].T
        up, gate = np.split(norm(x) @ old[f"{block}.ff_proj"].T, 2, axis=1)
        x = x + (up * gate / (1 + np.exp(-gate))) @ old[f"{block}.ff_out"].T
    return np.asarray(norm(x) @ old.get("ff_out", old["wte"]).T)


def converted(folder: Path) -> Array:
    """Logits of transformers' own class, from the new folder."""
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True).eval()
    assert type(model).__name__ == "OlmoForCausalLM"
    with torch.no_grad():
        return np.asarray(model(torch.tensor(IDS)[None]).logits[0].numpy())


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_logits_are_those_of_the_old_layout(variant: dict[str, Any], tmp_path: Path) -> None:
    config = CONFIG | variant
    tensors = weights(config)
    olmo.convert(write(tmp_path / "old", config, tensors), tmp_path / "new")
    found, expected = converted(tmp_path / "new"), forward(config, tensors)
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_logits_are_those_of_hf_olmo(variant: dict[str, Any], tmp_path: Path) -> None:
    hf_olmo = pytest.importorskip("hf_olmo", reason="needs the package ai2-olmo, 0.3.0")
    config = CONFIG | variant
    tensors = weights(config)
    olmo.convert(write(tmp_path / "old", config, tensors), tmp_path / "new")
    model = hf_olmo.OLMoForCausalLM(hf_olmo.OLMoConfig(**config)).eval()
    model.load_state_dict({name: torch.tensor(each) for name, each in tensors.items()})
    with torch.no_grad():
        expected = model(torch.tensor(IDS)[None]).logits[0].numpy()
    np.testing.assert_allclose(
        converted(tmp_path / "new"), expected, atol=2e-5 * np.abs(expected).max()
    )


def test_no_bit_of_a_weight_changes_and_the_tokenizer_loads_without_code(tmp_path: Path) -> None:
    tensors = weights(CONFIG)
    half = {name: each.astype(np.float16) for name, each in tensors.items()}
    olmo.convert(write(tmp_path / "old", CONFIG, half), tmp_path / "new")
    with safe_open(tmp_path / "new/model.safetensors", "np") as file:
        new = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    query, key, value = np.split(half["model.transformer.blocks.1.att_proj.weight"], 3)
    attention = "model.layers.1.self_attn"
    for name, expected in (("q_proj", query), ("k_proj", key), ("v_proj", value)):
        assert new[f"{attention}.{name}.weight"].tobytes() == expected.tobytes()
    assert sum(each.size for each in new.values()) == sum(each.size for each in half.values())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "new")
    twin = AutoTokenizer.from_pretrained(paths.ROOT / "twins/gpt-neox-twin")
    assert tokenizer("What is 3 and 4?").input_ids == twin("What is 3 and 4?").input_ids


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ({"include_bias": True}, "$.include_bias\n    found:    True"),
        ({"layer_norm_with_affine": True}, "$.layer_norm_with_affine"),
        ({"activation_type": "gelu"}, "$.activation_type\n    found:    'gelu'"),
        ({"d_model": None}, "$.d_model\n    found:    None"),
        ({"n_heads": 0}, "$.n_heads"),
        ({"n_layers": 3}, "found:    15 weights\n    expected: 22"),
        ({"n_kv_heads": 1}, "att_proj.weight of shape [72, 24]"),
    ],
)
def test_another_model_is_refused(variant: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = write(tmp_path / "old", CONFIG | variant, weights(CONFIG))
    with pytest.raises(BadInputError) as caught:
        olmo.convert(file, tmp_path / "new")
    assert words in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_an_unknown_tensor_and_a_damaged_file_are_refused(tmp_path: Path) -> None:
    name = "model.transformer.blocks.0.attn_norm.weight"
    tensors: dict[str, Any] = weights(CONFIG) | {name: np.ones(24, np.float32)}
    file = write(tmp_path / "old", CONFIG, tensors)
    with pytest.raises(BadInputError, match="attn_norm"):
        olmo.convert(file, tmp_path / "new")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BadInputError, match="where the header promises"):
        olmo.convert(file, tmp_path / "new")
    (tmp_path / "old/config.json").write_text("[]")
    with pytest.raises(BadInputError, match="is no JSON object"):
        olmo.convert(file, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "old", CONFIG, weights(CONFIG))
    assert main.main(["convert", str(file), "--layout", "olmo"]) == 2
    assert "--layout olmo: expected --out FOLDER" in capsys.readouterr().err
    assert (
        main.main(["convert", str(file), "--layout", "olmo", "--out", str(tmp_path / "new")]) == 0
    )
    assert f"{tmp_path}/new/model.safetensors: " in capsys.readouterr().out
    assert main.main(["convert", str(file), "--layout", "olmo", "--out", str(file.parent)]) == 2
    assert "a file of that name is there" in capsys.readouterr().err
