"""Whether a folder is what was pinned. Oracle: torch's own pickle, turned by `repro convert`."""

import json
from pathlib import Path

import pytest
import torch

from repro import fileio
from repro.inputs import checkpoints
from repro.weights import convert


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint that was published as a pickle, with the safetensors made of it."""
    made = tmp_path / "made"
    made.mkdir()
    torch.save({"one": torch.arange(6.0), "two": torch.ones(2)}, made / "pytorch_model.bin")
    (made / "config.json").write_text("{}")
    convert.convert(made / "pytorch_model.bin", None, lambda *_: None)
    return made


def pinned(folder: Path, *names: str) -> dict[str, str]:
    return {f"x/{name}": fileio.digest_of_file(folder / name) for name in names}


def agrees(folder: Path, pins: dict[str, str]) -> bool:
    return checkpoints.matches_pins(checkpoints.checkpoint_digests(folder, "x"), pins, folder)


def test_safetensors_made_of_the_pinned_pickle_are_the_checkpoint(folder: Path) -> None:
    pins = pinned(folder, "config.json", "pytorch_model.bin")
    before = sorted(folder.iterdir())
    assert agrees(folder, pins)
    assert sorted(folder.iterdir()) == before  # only compared
    # The pickle is no file that a job reads: it is not in the job's key.
    assert set(checkpoints.checkpoint_digests(folder, "x")) == {
        "x/config.json",
        "x/model.safetensors",
    }


def test_other_safetensors_beside_the_pinned_pickle_are_not(folder: Path, tmp_path: Path) -> None:
    pins = pinned(folder, "config.json", "pytorch_model.bin")
    other = tmp_path / "other.bin"
    torch.save({"one": torch.arange(6.0) + 1, "two": torch.ones(2)}, other)
    (made,) = convert.convert(other, tmp_path / "other", lambda *_: None)
    weights = folder / "model.safetensors"
    right = weights.read_bytes()
    weights.write_bytes(made.target.read_bytes())
    assert not agrees(folder, pins)
    weights.rename(folder / "weights.safetensors")
    assert not agrees(folder, pins)
    assert not weights.exists()  # nothing is converted on the way
    (folder / "weights.safetensors").unlink()
    weights.write_bytes(right)
    assert agrees(folder, pins)
    (folder / "more.safetensors").write_bytes(right)
    assert not agrees(folder, pins)


def test_another_pickle_or_none_is_not(folder: Path) -> None:
    pins = pinned(folder, "config.json", "pytorch_model.bin")
    torch.save({"one": torch.arange(7.0)}, folder / "pytorch_model.bin")
    assert not agrees(folder, pins)
    (folder / "pytorch_model.bin").unlink()
    assert not agrees(folder, pins)
    assert agrees(folder, pinned(folder, "config.json", "model.safetensors"))
    assert not agrees(folder, pinned(folder, "config.json") | {"x/merges.txt": "0" * 64})


def test_shards_go_by_their_index(tmp_path: Path) -> None:
    torch.save({"one": torch.arange(6.0)}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save({"two": torch.ones(2)}, tmp_path / "pytorch_model-00002-of-00002.bin")
    shards = {"one": "pytorch_model-00001-of-00002.bin", "two": "pytorch_model-00002-of-00002.bin"}
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": shards}))
    (tmp_path / "config.json").write_text("{}")
    convert.convert(index, None, lambda *_: None)
    pins = pinned(tmp_path, index.name, *shards.values())
    assert agrees(tmp_path, pins)
    (tmp_path / "model.safetensors.index.json").unlink()
    assert not agrees(tmp_path, pins)
