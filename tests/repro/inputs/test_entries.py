"""Entries of the catalog, made of files; the twins' own are the oracle."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from repro import paths
from repro.errors import BadInputError
from repro.inputs import entries
from repro.schema import catalog

TWINS = ("mamba-twin", "mamba2-twin", "gpt-neox-twin")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return Path(shutil.copytree(paths.ROOT / "twins" / "mamba-twin", tmp_path / "my mamba"))


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_gets_the_entry_that_it_has(name: str) -> None:
    found = entries.model_entry(paths.ROOT / "twins" / name, name)
    known = catalog.checkpoints()[name]
    told = {"note": known.note, "vocabulary": known.vocabulary}  # what no file of it says
    assert found.model_copy(update=told) == known


def test_what_is_stored_twice_counts_once_where_it_is_tied(mine: Path) -> None:
    weights = load_file(mine / "model.safetensors")
    count = sum(each.numel() for each in weights.values())
    embedding = weights["backbone.embeddings.weight"]
    save_file({**weights, "lm_head.weight": embedding.clone()}, mine / "model.safetensors")
    assert entries.model_entry(mine, "mine").parameters == count
    other = embedding + torch.ones_like(embedding)
    save_file({**weights, "lm_head.weight": other}, mine / "model.safetensors")
    assert entries.model_entry(mine, "mine").parameters == count + embedding.numel()


def test_a_folder_elsewhere_is_called_by_its_name(mine: Path) -> None:
    assert entries.name_of(mine) == "my-mamba"
    assert not entries.lies_in_bundle(mine)
    assert entries.model_entry(mine, "mine").source.model_dump()["folder"] == "my mamba"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model_type": "gpt2"}, "of no family that is known here"),
        ({"hidden_size": None}, "no hidden_size or d_model"),
    ],
)
def test_what_no_entry_can_be_made_of(mine: Path, change: dict[str, object], told: str) -> None:
    config = json.loads((mine / "config.json").read_text())
    (mine / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(BadInputError, match=told):
        entries.model_entry(mine, "mine")


def test_every_reason_is_told_at_once(mine: Path) -> None:
    weights = {name: each.double() for name, each in load_file(mine / "model.safetensors").items()}
    save_file(weights, mine / "model.safetensors")
    (mine / "tokenizer.json").unlink()
    with pytest.raises(BadInputError) as caught:
        entries.model_entry(mine, "mine")
    assert "no tokenizer" in str(caught.value)
    assert "weights in F64" in str(caught.value)


def test_data_of_ones_own_is_known_by_what_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("{}\n")
    found = entries.data_source(file, "CC0")
    assert (found["wheel"], found["file"], found["licence"]) == (None, "rows.jsonl", "CC0")
    assert list(found["known"]) == ["rows.jsonl"]
    with pytest.raises(BadInputError, match="there is no such data"):
        entries.data_source(tmp_path / "none", "CC0")
