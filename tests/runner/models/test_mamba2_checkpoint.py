"""Mamba-2 checkpoints in the official layout. Oracles: the saved model, and lists of names and
shapes written out from mamba-ssm 2.2.2's modules.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_mamba2
import torch
from safetensors.torch import load_file, save_file

from repro.errors import BadInputError
from runner.models.mamba2 import Mamba2ForCausalLM
from runner.models.mamba2_checkpoint import CONFIG, INDEX, WEIGHTS, load, save
from runner.models.mamba2_config import Mamba2Config

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny checkpoint."""
    save(tiny_mamba2.model(), tmp_path / "tiny")
    return tmp_path / "tiny"


def edit_config(folder: Path, edit: Edit) -> None:
    config = json.loads((folder / CONFIG).read_text())
    edit(config)
    (folder / CONFIG).write_text(json.dumps(config))


def edit_weights(folder: Path, edit: Edit) -> None:
    weights = load_file(folder / WEIGHTS)
    edit(weights)
    save_file({name: w.clone() for name, w in weights.items()}, folder / WEIGHTS)


def refusal(folder: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        load(folder)
    return str(caught.value)


# -----------------------------------------------------------------------------
# The official layout


def test_names_and_shapes_are_those_of_mamba2_130m() -> None:
    """`state-spaces/mamba2-130m`: its config.json, its first layer and what is around."""
    given: dict[str, Any] = {
        "d_model": 768,
        "d_intermediate": 0,
        "n_layer": 24,
        "vocab_size": 50277,
        "ssm_cfg": {"layer": "Mamba2"},
        "attn_layer_idx": [],
        "attn_cfg": {},
        "rms_norm": True,
        "residual_in_fp32": True,
        "fused_add_norm": True,
        "pad_vocab_size_multiple": 16,
        "tie_embeddings": True,
    }
    with torch.device("meta"):
        model = Mamba2ForCausalLM(Mamba2Config(**given))
    shapes = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    layer = "backbone.layers.0"
    first = {
        f"{layer}.norm.weight": (768,),
        f"{layer}.mixer.in_proj.weight": (3352, 768),  # 2 · 1536 + 2 · 128 + 24
        f"{layer}.mixer.conv1d.weight": (1792, 1, 4),
        f"{layer}.mixer.conv1d.bias": (1792,),
        f"{layer}.mixer.dt_bias": (24,),
        f"{layer}.mixer.A_log": (24,),
        f"{layer}.mixer.D": (24,),
        f"{layer}.mixer.norm.weight": (1536,),
        f"{layer}.mixer.out_proj.weight": (768, 1536),
    }
    around = {
        "backbone.embedding.weight": (50288, 768),
        "backbone.norm_f.weight": (768,),
        "lm_head.weight": (50288, 768),
    }
    assert {name: shapes[name] for name in first} == first
    assert shapes.keys() == around.keys() | {
        name.replace("layers.0", f"layers.{number}") for name in first for number in range(24)
    }
    assert {name: shapes[name] for name in around} == around
    assert sum(weight.numel() for weight in model.parameters()) == 128_989_632
    assert model.config.official() == given


# -----------------------------------------------------------------------------
# There and back


@pytest.mark.parametrize("tied", [True, False])
def test_saved_and_loaded_bit_for_bit(tmp_path: Path, *, tied: bool) -> None:
    model = tiny_mamba2.model(tie_embeddings=tied, residual_in_fp32=False)
    save(model, tmp_path)
    loaded = load(tmp_path)
    assert loaded.config.official() == model.config.official()
    assert (loaded.lm_head.weight is loaded.backbone.embedding.weight) == tied
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name
    assert all(weight.requires_grad for weight in loaded.parameters())
    assert not loaded.training
    ids = tiny_mamba2.tokens(9)
    assert torch.equal(loaded(ids).logits, model(ids).logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_casts_all_but_d(folder: Path, dtype: torch.dtype) -> None:
    stored, loaded = load_file(folder / WEIGHTS), load(folder, dtype)
    for name, weight in loaded.state_dict().items():
        expected = torch.float32 if name.endswith(".D") else dtype
        source = stored.get(name, stored["backbone.embedding.weight"])
        assert weight.dtype == expected, name
        assert torch.equal(weight, source.to(expected)), name


def test_half_precision_is_saved_as_it_is(folder: Path, tmp_path: Path) -> None:
    save(load(folder, torch.bfloat16), tmp_path / "half")
    dtypes = {name: weight.dtype for name, weight in load_file(tmp_path / "half" / WEIGHTS).items()}
    assert dtypes["backbone.layers.0.mixer.A_log"] == torch.bfloat16
    assert dtypes["backbone.layers.0.mixer.D"] == torch.float32
    wide, half = load(tmp_path / "half"), load(folder, torch.bfloat16)
    for name, weight in wide.state_dict().items():
        assert torch.equal(weight, half.state_dict()[name].float()), name


def test_shards_are_read_through_their_index(folder: Path) -> None:
    whole, weights = load(folder), load_file(folder / WEIGHTS)
    names = sorted(weights)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard, held in shards.items():
        save_file({name: weights[name] for name in held}, folder / shard)
    (folder / WEIGHTS).unlink()
    index = {name: shard for shard, held in shards.items() for name in held}
    (folder / INDEX).write_text(json.dumps({"weight_map": index}))
    for name, weight in load(folder).state_dict().items():
        assert torch.equal(weight, whole.state_dict()[name])

    (folder / "b.safetensors").unlink()
    assert "b.safetensors\n    found:    no file" in refusal(folder)


def test_what_transformers_saves_can_be_loaded(tmp_path: Path) -> None:
    """The Trainer saves through `save_pretrained`, which adds fields of its own."""
    model = tiny_mamba2.model()
    model.save_pretrained(tmp_path)
    for name, weight in load(tmp_path).state_dict().items():
        assert torch.equal(weight, model.state_dict()[name])


def test_an_equal_output_layer_beside_the_embedding_is_the_embedding(folder: Path) -> None:
    def add(weights: dict[str, Any]) -> None:
        weights["lm_head.weight"] = weights["backbone.embedding.weight"]

    edit_weights(folder, add)
    loaded = load(folder)
    assert loaded.lm_head.weight is loaded.backbone.embedding.weight


# -----------------------------------------------------------------------------
# Refused


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            lambda c: c.update(ssm_cfg={"layer": "Mamba1"}),
            "$.ssm_cfg.layer\n    found:    'Mamba1'",
        ),
        (lambda c: c.pop("ssm_cfg"), "$.ssm_cfg.layer\n    found:    None"),
        (lambda c: c["ssm_cfg"].update(bias=True), "$.ssm_cfg.bias\n    found:    not covered"),
        (lambda c: c.update(attn_layer_idx=[3]), "$.attn_layer_idx\n    found:    [3]"),
        (lambda c: c.update(rms_norm=False), "$.rms_norm\n    found:    False"),
        (lambda c: c.update(d_inner=24), "$.d_inner\n    found:    an unknown field"),
        (lambda c: c.pop("vocab_size"), "no vocab_size"),
        (lambda c: c.update(n_layer="2"), "$.n_layer\n    found:    '2'"),
        (lambda c: c["ssm_cfg"].update(headdim=5), "an inner width of 24"),
    ],
)
def test_refuses_a_configuration(folder: Path, edit: Edit, expected: str) -> None:
    edit_config(folder, edit)
    assert expected in refusal(folder)


def test_reports_all_faults_of_a_configuration_at_once(folder: Path) -> None:
    edit_config(folder, lambda c: c.update(rms_norm=False, d_intermediate=8, d_inner=24))
    assert refusal(folder).count("found:") == 3


@pytest.mark.parametrize(("multiple", "rows"), [(8, 32), (20, 40)])
def test_refuses_another_vocabulary(folder: Path, multiple: int, rows: int) -> None:
    edit_config(folder, lambda c: c.update(vocab_size=rows - 3, pad_vocab_size_multiple=multiple))
    if rows == 32:
        assert load(folder).config.vocab_size == 29
        return
    message = refusal(folder)
    assert (
        "1 tensors of the wrong shape: backbone.embedding.weight [32, 12] for [40, 12]" in message
    )
    assert "40 rows: vocab_size 37 padded to a multiple of 20" in message


def test_names_three_of_many_missing_tensors_and_every_other_fault(folder: Path) -> None:
    def edit(weights: dict[str, Any]) -> None:
        for name in [name for name in weights if "layers.1" in name]:
            del weights[name]
        weights["backbone.layers.0.mixer.D"] = torch.ones(7)
        weights["backbone.layers.0.mixer.A_log"] = torch.ones(6, dtype=torch.int8)
        weights["backbone.layers.2.mixer.D"] = torch.ones(6)

    edit_weights(folder, edit)
    message = refusal(folder)
    first = "backbone.layers.1.mixer.A_log, backbone.layers.1.mixer.D"
    assert f"9 tensors missing: {first}, backbone.layers.1.mixer.conv1d.bias ...\n" in message
    assert "1 tensors unknown: backbone.layers.2.mixer.D\n" in message
    assert "1 tensors of the wrong shape: backbone.layers.0.mixer.D [7] for [6]\n" in message
    assert "1 tensors in another dtype: backbone.layers.0.mixer.A_log I8\n" in message


def test_refuses_an_untied_output_layer_where_it_should_be_tied(folder: Path) -> None:
    def add(weights: dict[str, Any]) -> None:
        weights["lm_head.weight"] = weights["backbone.embedding.weight"] + 1

    edit_weights(folder, add)
    assert "lm_head.weight and backbone.embedding.weight with different values" in refusal(folder)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_refuses_a_file_that_is_cut_short(folder: Path, kept: int) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:kept])
    assert "a whole safetensors file" in refusal(folder)


def test_refuses_a_folder_without_safetensors(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert "found:    no weights" in refusal(folder)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    assert "only pytorch_model.bin, a pickle, which is not opened" in refusal(folder)


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_refuses_a_folder_without_a_configuration(folder: Path, content: str | None) -> None:
    (folder / CONFIG).unlink()
    if content is not None:
        (folder / CONFIG).write_text(content)
    assert f"{folder / CONFIG}\n    found:" in refusal(folder)


def test_refuses_an_index_of_nothing(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text("{}")
    assert "no weight_map" in refusal(folder)
