"""Checkpoints of several files: converted together or not at all, and only what lies beside."""

import json
from collections.abc import Callable
from pathlib import Path

import made_up_archives as made_up
import pytest
import torch
from made_up_archives import state_dict, tensor
from safetensors.torch import load_file

from repro.errors import BadInputError
from repro.weights.convert import convert


def quiet(_done: int, _total: int, _note: str) -> None:
    """No bar."""


def refusal(index: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        convert(index, None, quiet)
    return str(caught.value)


def shard(folder: Path, **promised: str) -> Path:
    """Two shards of a tensor each, and an index."""
    weight_map = {"one": "pytorch_model-00001-of-00002.bin"} | {
        "two": "pytorch_model-00002-of-00002.bin"
    }
    for name, file in weight_map.items():
        (folder / file).write_bytes(made_up.archive(state_dict(**{name: tensor()})))
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map | promised}))
    return index


def test_shards_are_converted_together(tmp_path: Path) -> None:
    made = convert(shard(tmp_path), None, quiet)
    assert [each.target.name for each in made] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    assert json.loads(made[-1].target.read_text()) == {
        "metadata": {"total_size": 32},
        "weight_map": {
            "one": "model-00001-of-00002.safetensors",
            "two": "model-00002-of-00002.safetensors",
        },
    }
    assert not any(each.written for each in convert(made[-1].source, None, quiet))


def test_a_shard_alone_keeps_its_number(tmp_path: Path) -> None:
    shard(tmp_path)
    (made,) = convert(tmp_path / "pytorch_model-00002-of-00002.bin", None, quiet)
    assert made.target.name == "model-00002-of-00002.safetensors"
    assert list(load_file(made.target)) == ["two"]


def test_transformers_own_shards_load_again(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """Oracle: transformers writes the shards and reads the result."""
    from transformers import MambaForCausalLM

    model = MambaForCausalLM.from_pretrained(tiny_checkpoint("mamba"))
    model.save_pretrained(tmp_path, safe_serialization=False, max_shard_size="20KB")
    made = convert(tmp_path / "pytorch_model.bin.index.json", None, quiet)
    assert len(made) > 2
    for path in tmp_path.glob("*.bin*"):
        path.unlink()
    again = MambaForCausalLM.from_pretrained(tmp_path, use_safetensors=True)
    found, expected = again.state_dict(), model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "name", ["../x.bin", "/etc/passwd", "a\\b.bin", "..", "", "none.bin", "\0"]
)
def test_an_index_names_files_beside_it_and_no_others(name: str, tmp_path: Path) -> None:
    (tmp_path.parent / "x.bin").write_bytes(made_up.archive())
    said = refusal(shard(tmp_path, three=name))
    assert "expected: the name of a file in the same folder" in said
    assert not list(tmp_path.glob("*.safetensors*"))


def test_an_index_of_other_tensors_is_refused(tmp_path: Path) -> None:
    said = refusal(shard(tmp_path, three="pytorch_model-00001-of-00002.bin"))
    assert "1 tensors in the index or in a shard alone: three in pytorch_model-00001" in said
    said = refusal(shard(tmp_path, two="pytorch_model-00001-of-00002.bin"))
    assert "expected: each tensor in the shard that the index names" in said
    assert not list(tmp_path.glob("*.safetensors*"))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', "[" * 100_000]
)
def test_an_index_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.index.json").write_text(text)
    assert "no index of a torch checkpoint" in refusal(tmp_path / "x.index.json")


def test_what_is_wrong_with_each_shard_is_said_at_once(tmp_path: Path) -> None:
    index = shard(tmp_path)
    (tmp_path / "pytorch_model-00001-of-00002.bin").write_bytes(b"")
    gadget = made_up.archive(state_dict(two=b"cposix\nsystem\n)R"))
    (tmp_path / "pytorch_model-00002-of-00002.bin").write_bytes(gadget)
    said = refusal(index)
    assert "00001-of-00002.bin\n    found:    a file of 0 bytes" in said
    assert "00002-of-00002.bin: data.pkl at byte 12\n    found:    the global posix.system" in said
    assert "nothing was executed or written" in said


def test_a_damaged_second_shard_leaves_nothing(tmp_path: Path) -> None:
    index = shard(tmp_path)
    second = tmp_path / "pytorch_model-00002-of-00002.bin"
    second.write_bytes(second.read_bytes().replace(bytes(range(16)), bytes(16)))
    said = refusal(index)
    assert "00002-of-00002.bin: member data/0" in said
    assert "the file is damaged" in said
    assert len(list(tmp_path.iterdir())) == 3
