"""OpenELM by our own code. Oracles: its equations by hand in numpy, in float64; the numbers of
parameters that its release states; mlx-lm, in a Python of its own, where one is named.

    python -m venv /tmp/mlx && /tmp/mlx/bin/pip install 'mlx[cpu]' mlx-lm
    MLX_LM_PYTHON=/tmp/mlx/bin/python pytest tests/runner/models/test_openelm.py

Float32 against float64: some 30 sums a block of about u each, and no more than 1e-5 in all. In half
precision as `test_registry` says; what is rounded where, module by module.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from saved_models import UNITS, error
from torch import nn

from repro.errors import BadInputError
from runner.models import openelm
from runner.models.openelm import OpenELMForCausalLM
from runner.models.openelm_config import OpenELMConfig
from runner.models.registry import MODELS

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # torch and transformers warn about each other
    pytest.mark.usefixtures("one_thread"),
]

Array = NDArray[np.float64]

RELEASE: dict[str, Any] = {
    "head_dim": 64,
    "num_gqa_groups": 4,
    "qkv_multipliers": [0.5, 1.0],
    "ffn_multipliers": [0.5, 4.0],
    "normalize_qk_projections": True,
    "share_input_output_layers": True,
}
SIZES = {
    "270M": ({"num_transformer_layers": 16, "model_dim": 1280}, 271_527_168),
    "450M": ({"num_transformer_layers": 20, "model_dim": 1536}, 457_179_136),
    "1.1B": ({"num_transformer_layers": 28, "model_dim": 2048}, 1_079_891_456),
    "3B": ({"num_transformer_layers": 36, "model_dim": 3072, "head_dim": 128}, 3_036_647_424),
}
"""What differs in config.json of the release's sizes, and the parameters that it states."""

TINY = tiny_models.CONFIGS["openelm"].to_diff_dict()
VARIANTS: dict[str, dict[str, Any]] = {
    "as released": {},
    "one share for all": {"qkv_multipliers": 1.0, "ffn_multipliers": 2.0, "num_gqa_groups": 1},
    "a share a block": {"num_transformer_layers": 3, "ffn_multipliers": [0.5, 1.25, 0.75]},
    "without norms": {"normalize_qk_projections": False, "rope_freq_constant": 500},
    "untied": {"share_input_output_layers": False, "num_gqa_groups": 4, "head_dim": 4},
}
IDS = tiny_models.tokens(11)
CPU = torch.device("cpu")


def made(variant: dict[str, Any]) -> OpenELMForCausalLM:
    """A model of a tiny configuration, every weight of it at random."""
    torch.manual_seed(3)
    model = OpenELMForCausalLM(OpenELMConfig(**{**TINY, **variant}))
    model.tie_weights()
    for weight in model.parameters():
        mean, std = (1, 0.3) if weight.dim() == 1 else (0, weight.shape[1] ** -0.5)
        nn.init.normal_(weight, mean, std)
    return model.eval()


def by_hand(model: OpenELMForCausalLM, ids: torch.Tensor) -> Array:
    """Logits (length, vocabulary) of one row in float64."""
    config = model.config
    at = {name: each.double().numpy() for name, each in model.state_dict().items()}

    def linear(x: Array, name: str) -> Array:
        return x @ at[f"{name}.weight"].T

    def norm(x: Array, name: str) -> Array:
        if f"{name}.weight" not in at:
            return x
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * at[f"{name}.weight"]

    width, length = config.head_dim, len(ids)
    turns = np.arange(length) / config.rope_freq_constant ** (
        np.arange(0, width, 2)[:, None] / width
    )
    spin = np.exp(1j * turns.T)[:, None]

    def rotate(x: Array) -> Array:
        turned = (x[..., : width // 2] + 1j * x[..., width // 2 :]) * spin
        return np.concatenate([turned.real, turned.imag], -1)

    x = at["transformer.token_embeddings.weight"][ids]
    for number, sizes in enumerate(config.blocks()):
        block = f"transformer.layers.{number}"
        fused = linear(norm(x, f"{block}.attn_norm"), f"{block}.attn.qkv_proj")
        heads = fused.reshape(length, -1, width)
        query, key, value = np.split(heads, [sizes.heads, sizes.heads + sizes.key_heads], axis=1)
        query = rotate(norm(query, f"{block}.attn.q_norm"))
        key = rotate(norm(key, f"{block}.attn.k_norm"))
        mixed = np.empty((length, sizes.heads, width))
        for head in range(sizes.heads):
            group = head // (sizes.heads // sizes.key_heads)
            scores = query[:, head] @ key[:, group].T / np.sqrt(width)
            share = np.tril(np.exp(scores - scores.max()))
            mixed[:, head] = share / share.sum(-1, keepdims=True) @ value[:, group]
        x = x + linear(mixed.reshape(length, -1), f"{block}.attn.out_proj")
        gate, wide = np.split(
            linear(norm(x, f"{block}.ffn_norm"), f"{block}.ffn.proj_1"), 2, axis=1
        )
        x = x + linear(gate / (1 + np.exp(-gate)) * wide, f"{block}.ffn.proj_2")
    return linear(norm(x, "transformer.norm"), "lm_head")


# -----------------------------------------------------------------------------
# What is computed


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_the_logits_are_those_by_hand(variant: dict[str, Any]) -> None:
    model = made(variant)
    with torch.no_grad():
        found = model(IDS).logits
    for row, ids in zip(found, IDS, strict=True):
        assert error(row, torch.from_numpy(by_hand(model, ids))) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_rounds_some_twelve_values_a_block(dtype: torch.dtype) -> None:
    model = made({}).to(dtype)
    with torch.no_grad():
        found = model(IDS).logits
    assert found.dtype == dtype
    expected = torch.from_numpy(by_hand(model, IDS[0]))
    assert UNITS[dtype] / 8 < error(found[0], expected) < 8 * UNITS[dtype]


def test_heads_are_turned_in_float32() -> None:
    heads, angles = torch.randn(1, 2, 11, 8).half(), openelm._angles(made({}).config, 3, 11, CPU)
    turned = torch.view_as_complex(torch.stack(heads.double().chunk(2, -1), -1))
    turned *= torch.exp(1j * angles[:, :4].double())
    expected = torch.cat([turned.real, turned.imag], -1).half()
    assert error(openelm._rotated(heads, angles), expected) < 0.1 * UNITS[torch.float16]
    assert error(openelm._rotated(heads, angles.half()), expected) > 0.5 * UNITS[torch.float16]


def test_norms_round_before_they_scale() -> None:
    norm = made({}).transformer.norm.half()
    hidden = torch.randn(200, 32).half()
    wide = hidden.double()
    normed = wide / (wide.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    late = (normed * norm.weight.double()).half()
    assert torch.equal(norm(hidden), normed.float().half() * norm.weight)
    assert not torch.equal(norm(hidden), late)


def test_a_loss_is_the_mean_over_what_is_predicted() -> None:
    model, labels = made({}), IDS.clone()
    labels[0, 4:] = -100
    found = model(IDS, labels=labels, attention_mask=torch.ones_like(IDS))
    logs = found.logits[:, :-1].log_softmax(-1).gather(-1, IDS[:, 1:, None])[..., 0]
    expected = -torch.cat([logs[0, :3], logs[1]]).mean()
    assert torch.allclose(found.loss, expected, rtol=1e-6)
    with pytest.raises(TypeError, match=r"OpenELMForCausalLM.forward has no inputs_embeds"):
        model(IDS, inputs_embeds=torch.zeros(1))


# -----------------------------------------------------------------------------
# Sizes and names


@pytest.mark.parametrize("size", SIZES)
def test_the_parameters_are_those_that_the_release_states(size: str) -> None:
    changed, expected = SIZES[size]
    with torch.device("meta"):
        model = OpenELMForCausalLM(OpenELMConfig(**{**RELEASE, **changed}))
    model.tie_weights()
    assert sum(each.numel() for each in model.parameters()) == expected


def test_the_heads_of_the_release_are_listed_in_its_configuration() -> None:
    """Of the 1.1B, as published; the heads of a group of four share a key."""
    heads = [16] * 3 + [20] * 7 + [24] * 8 + [28] * 6 + [32] * 4
    said = {"num_query_heads": heads, "num_kv_heads": [each // 4 for each in heads]}
    shares = [0.5, *(0.63, 0.76, 0.89, 1.02, 1.15, 1.28, 1.41, 1.54, 1.67, 1.8, 1.93, 2.06, 2.19)]
    shares += [2.31, 2.44, 2.57, 2.7, 2.83, 2.96, 3.09, 3.22, 3.35, 3.48, 3.61, 3.74, 3.87, 4.0]
    listed = OpenELMConfig(**{**RELEASE, **SIZES["1.1B"][0], **said, "ffn_multipliers": shares})
    assert listed.blocks() == OpenELMConfig(**{**RELEASE, **SIZES["1.1B"][0]}).blocks()


def test_the_names_are_the_release_s(tmp_path: Path) -> None:
    tiny_models.save("openelm", tmp_path)
    names = {name for name in load_file(tmp_path / "model.safetensors") if ".1." not in name}
    attention = ("qkv_proj", "out_proj", "q_norm", "k_norm")
    block = [f"attn.{name}" for name in attention] + ["attn_norm", "ffn_norm"]
    block += ["ffn.proj_1", "ffn.proj_2"]
    assert names == {
        *(f"transformer.layers.0.{name}.weight" for name in block),
        "transformer.token_embeddings.weight",
        "transformer.norm.weight",
    }


def test_a_head_that_is_stored_is_the_embedding_or_the_model_is_untied(tmp_path: Path) -> None:
    tiny_models.save("openelm", tmp_path)
    file = tmp_path / "model.safetensors"
    weights = {name: each.clone() for name, each in load_file(file).items()}  # not of the file
    embedding = weights["transformer.token_embeddings.weight"]
    save_file({**weights, "lm_head.weight": embedding.clone()}, file)
    before = MODELS["openelm"].load(tmp_path, torch.float32, "eager", remote_code=False)
    with torch.no_grad():
        hidden, logits = before.transformer(IDS).last_hidden_state, before(IDS).logits
    save_file({**weights, "lm_head.weight": embedding + 1}, file)
    with pytest.raises(BadInputError, match=r"lm_head.* with different values"):
        MODELS["openelm"].load(tmp_path, torch.float32, "eager", remote_code=False)
    tiny_models.edit(
        tmp_path / "config.json", lambda said: said.update(share_input_output_layers=False)
    )
    apart = MODELS["openelm"].load(tmp_path, torch.float32, "eager", remote_code=False)
    with torch.no_grad():
        difference = apart(IDS).logits - logits
    assert error(difference, hidden.sum(-1, keepdim=True).expand_as(difference)) < 1e-5


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ({"model_dim": 0, "head_dim": 7}, ["model_dim: found 0", "head_dim: found 7"]),
        ({"vocab_size": True}, ["vocab_size: found True, expected a whole number"]),
        ({"num_gqa_groups": None}, ["num_gqa_groups: found None"]),
        ({"activation_fn_name": "gelu"}, ["found 'gelu', expected one of 'swish', 'silu'"]),
        ({"ffn_with_glu": False}, ["ffn_with_glu: found False"]),
        ({"normalization_layer_name": "layer_norm"}, ["normalization_layer_name"]),
        ({"qkv_multipliers": [0.5, 0.7, 1.0]}, ["qkv_multipliers: found [0.5, 0.7, 1.0]"]),
        ({"ffn_multipliers": [1.0] * 3}, ["ffn_multipliers", "or 2: one a block"]),
        ({"ffn_multipliers": [float("nan"), 1.0]}, ["ffn_multipliers: found [nan, 1.0]"]),
        ({"rope_freq_constant": -1}, ["rope_freq_constant: found -1"]),
        ({"normalize_qk_projections": "yes"}, ["found 'yes', expected true or false"]),
        ({"num_query_heads": [2, 2]}, ["num_query_heads: found [2, 2], expected [2, 4]"]),
        ({"num_kv_heads": 2}, ["num_kv_heads: found 2, expected one number a block"]),
        ({"num_transformer_layers": 10**9}, ["1000000000 layers, with 18 tensors stored"]),
        ({"rms_norm_eps": 1e-6, "num_transformer_layers": 1}, ["tensors unknown"]),
    ],
)
def test_another_configuration_is_refused(
    variant: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    tiny_models.save("openelm", tmp_path)

    def change(said: dict[str, Any]) -> None:
        for listed in ("num_query_heads", "num_kv_heads"):
            del said[listed]
        said.update(variant)

    tiny_models.edit(tmp_path / "config.json", change)
    with pytest.raises(BadInputError) as caught:
        MODELS["openelm"].load(tmp_path, torch.float32, "eager", remote_code=False)
    for each in words:
        assert each in str(caught.value)


# -----------------------------------------------------------------------------
# Another program

MLX = """
import json, sys
import mlx.core as mx
from mlx_lm.models import openelm
folder = sys.argv[1]
config = json.load(open(folder + "/config.json"))
model = openelm.Model(openelm.ModelArgs.from_dict(config))
model.load_weights(folder + "/model.safetensors", strict=True)
logits = model(mx.array(json.load(open(folder + "/ids.json"))))
json.dump(logits.tolist(), open(folder + "/logits.json", "w"))
"""


@pytest.mark.skipif("MLX_LM_PYTHON" not in os.environ, reason="needs a Python with mlx-lm, named")
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_the_logits_are_those_of_mlx_lm(variant: dict[str, Any], tmp_path: Path) -> None:
    model = made(variant)
    blocks = model.config.blocks()
    layers = model.config.num_transformer_layers
    shares = np.broadcast_to(np.array(model.config.ffn_multipliers), layers).tolist()
    said = {**model.config.to_dict(), "ffn_multipliers": shares}
    said |= {"num_query_heads": [each.heads for each in blocks]}
    said |= {"num_kv_heads": [each.key_heads for each in blocks]}
    (tmp_path / "config.json").write_text(json.dumps(said))
    (tmp_path / "ids.json").write_text(json.dumps(IDS.tolist()))
    weights = {name: each.clone() for name, each in model.state_dict().items()}
    if model.config.share_input_output_layers:
        del weights["lm_head.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    python = os.environ["MLX_LM_PYTHON"]
    subprocess.run([python, "-c", MLX, str(tmp_path)], check=True)
    expected = torch.tensor(json.loads((tmp_path / "logits.json").read_text()))
    with torch.no_grad():
        assert error(model(IDS).logits, expected) < 1e-4
