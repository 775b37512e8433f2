"""What loading may read, from the files alone. Oracle: the bytes that lie in the private folder."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import decoys
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from repro import fileio, paths
from repro.errors import BadInputError, CannotSaveError
from repro.inputs import checkpoints
from repro.inputs.locate import InputLocator
from repro.inputs.located import Located, Missing
from repro.weights import checkpoint_files, foreign_json, loadable
from repro.weights.loadable import ChangedError, NotLoadableError

TWIN = paths.ROOT / "twins" / "mamba-twin"
READ = {
    *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    "special_tokens_map.json",
}
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(TWIN, copy)
    return copy


def digested(folder: Path) -> set[str]:
    return {name.partition("/")[2] for name in checkpoints.checkpoint_digests(folder, "x")}


# -----------------------------------------------------------------------------
# The list


def test_every_file_of_the_list_is_digested_and_no_decoy(folder: Path, tmp_path: Path) -> None:
    assert digested(folder) == READ
    decoys.plant(folder, tmp_path / "touched")
    assert digested(folder) == READ
    for name in loadable.PLAIN["transformers"]:
        (folder / name).touch()
    assert digested(folder) == {WEIGHTS, *loadable.PLAIN["transformers"]}


def test_the_layout_decides_too(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(paths.ROOT / "twins" / "mamba2-twin", copy)
    (copy / "generation_config.json").write_text("{}")
    assert digested(copy) == READ


def test_what_is_read_is_part_of_what_the_checkpoint_is(folder: Path) -> None:
    """A twin with one more file of a tokenizer is no twin; with a pickle beside it, it still is."""

    def substituted() -> bool:
        found = InputLocator(substitutes={"mamba-twin": folder}).checkpoint("mamba-twin")
        assert isinstance(found, Located)
        return found.substituted

    assert not substituted()
    (folder / "pytorch_model.bin").write_bytes(b"not opened")
    assert not substituted()
    (folder / "added_tokens.json").write_text("{}")
    assert substituted()


def test_an_adapter_and_what_a_file_says_are_told_before_anything_runs(folder: Path) -> None:
    def told() -> str:
        found = InputLocator(substitutes={"mamba-twin": folder}).checkpoint("mamba-twin")
        assert isinstance(found, Missing)
        assert (found.what, found.download) == ("a sound copy of mamba-twin", 0)
        return found.remedy

    (folder / "adapter_config.json").symlink_to("nowhere")
    assert "adapter_config.json" in told()
    (folder / "adapter_config.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_file": "/x", "vocab_file": "/y"}')
    assert "$.tokenizer_file" in told()
    assert "$.vocab_file" in told()


def test_a_damaged_copy_in_the_hubs_cache_costs_its_own_jobs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody gave it on the command line: the other checkpoints of the run are sound."""
    (folder / WEIGHTS).write_bytes(b"cut")
    monkeypatch.setattr("repro.inputs.locate._in_hub_cache", lambda _: folder)
    found = InputLocator().checkpoint("mamba-130m")
    assert isinstance(found, Missing)
    assert "a whole safetensors file" in found.remedy
    with pytest.raises(BadInputError, match="a whole safetensors file"):
        InputLocator(substitutes={"mamba-130m": folder}).checkpoint("mamba-130m")


# -----------------------------------------------------------------------------
# Shards


def shards(folder: Path, **held: list[str]) -> Callable[[dict[str, str]], None]:
    """Write shards of zeros by name; what comes back writes their index."""
    (folder / WEIGHTS).unlink()
    for name, tensors in held.items():
        save_file(
            {each: np.zeros(2, np.float32) for each in tensors}, folder / f"{name}.safetensors"
        )

    def index(where: dict[str, str]) -> None:
        (folder / loadable.INDEX).write_text(json.dumps({"weight_map": where}))

    return index


BARE = {"x": "a.safetensors", "y": "b.safetensors"}


@pytest.mark.parametrize(
    "name",
    [
        *("sub/c.safetensors", "../c.safetensors", "/c.safetensors", "./c.safetensors", ".", ".."),
        *("", "c.bin", "c", "sub\\c.safetensors", "\0.safetensors", "\ud800.safetensors"),
        *(
            "é" * 200 + ".safetensors",
            "folder.safetensors",
            "dangling.safetensors",
            "C.safetensors",
        ),
    ],
)
def test_a_shard_has_the_bare_name_of_a_file(name: str, folder: Path, tmp_path: Path) -> None:
    index = shards(folder, a=["x"], b=["y"])
    for path in (folder / "sub", folder / "folder.safetensors"):
        path.mkdir()
    for path in (folder / "sub" / "c.safetensors", tmp_path / "c.safetensors", folder / "c.bin"):
        save_file({"z": np.zeros(2, np.float32)}, path)
    (folder / "dangling.safetensors").symlink_to("nowhere")
    index(BARE)
    assert loadable.weights(folder) == [loadable.INDEX, *BARE.values()]
    index({**BARE, "z": name})
    half = "no index of tensors .*surrogates not allowed"  # of a pair, which is no text
    found = half if name.startswith("\ud800") else "1 tensors in no shard: z"
    with pytest.raises(NotLoadableError, match=found):
        checkpoints.checkpoint_digests(folder, "x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"weight_map": []}',
        '{"weight_map": {}}',
        '{"weight_map": {"a": 1}}',
        "[" * 9999,
    ],
)
def test_an_index_that_is_none_is_told(text: str, folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / loadable.INDEX).write_text(text)
    with pytest.raises(NotLoadableError, match="a JSON object with weight_map"):
        loadable.weights(folder)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({"a": ["x"], "b": ["y", "x"]}, "1 tensors in a shard alone: x"),
        ({"a": ["x"], "b": ["y", "z"]}, "1 tensors in a shard alone: z"),
        ({"a": ["x", "y"], "b": []}, "1 tensors in another shard: y"),
        ({"a": ["x"], "b": []}, "1 tensors in no shard: y"),
    ],
)
def test_each_tensor_lies_in_the_shard_that_the_index_names(
    held: dict[str, list[str]], words: str, folder: Path
) -> None:
    shards(folder, **held)(BARE)
    with pytest.raises(BadInputError, match=words):
        checkpoint_files.stored_tensors(folder)


def test_a_pipe_or_a_folder_by_a_known_name_is_not_opened(folder: Path) -> None:
    for name in ("tokenizer.json", "generation_config.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / "tokenizer.json")
    (folder / "generation_config.json").mkdir()
    (folder / "special_tokens_map.json").symlink_to("/dev/zero")
    assert digested(folder) == {"config.json", WEIGHTS, "tokenizer_config.json"}


# -----------------------------------------------------------------------------
# The private folder


def test_it_holds_the_list_and_nothing_else_and_goes_away(folder: Path, tmp_path: Path) -> None:
    decoys.plant(folder, tmp_path / "touched")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with loadable.private_copy(folder) as own:
        assert own.name == folder.name
        assert own.parent.stat().st_mode & 0o077 == 0
        assert {path.name for path in own.iterdir()} == READ
        for path in own.iterdir():
            assert path.read_bytes() == (folder / path.name).read_bytes()
        with loadable.private_copy(own) as again:
            assert again == own
        assert own.is_dir()
    assert not own.parent.exists()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_another_file_put_there_later_is_not_read(folder: Path, tmp_path: Path) -> None:
    held = InputLocator(substitutes={"mamba-twin": folder}).checkpoint("mamba-twin")
    assert isinstance(held, Located)
    right = {name: (folder / name).read_bytes() for name in READ}
    with loadable.private_copy(folder, held=held.digests_by_name) as own:
        for name in READ:
            (tmp_path / "other").write_bytes(b"{}")
            (tmp_path / "other").replace(folder / name)
        assert {name: (own / name).read_bytes() for name in READ} == right
        assert load_file(own / WEIGHTS).keys() == load_file(TWIN / WEIGHTS).keys()
    with (
        pytest.raises(ChangedError, match="is not what it was"),
        loadable.private_copy(folder, held=held.digests_by_name),
    ):
        pass


def test_weights_that_are_written_to_meanwhile_are_told(folder: Path) -> None:
    with (
        pytest.raises(ChangedError, match=r"model\.safetensors was written to while it was in use"),
        loadable.private_copy(folder),
    ):
        (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-4] + b"abcd")


def test_a_file_that_went_away_is_told(folder: Path) -> None:
    held = {name: fileio.digest_of_file(folder / name) for name in READ}
    (folder / "tokenizer.json").unlink()
    with (
        pytest.raises(ChangedError, match="No such file"),
        loadable.private_copy(folder, held=held),
    ):
        pass


def test_it_lies_in_the_jobs_own_folder_where_nothing_else_can_be_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("repro.weights.loadable.gettempdir", nowhere)
    with loadable.private_copy(folder, work=tmp_path / "work" / "key") as own:
        assert own.parent.parent == tmp_path / "work" / "key"
    assert not list((tmp_path / "work" / "key").iterdir())
    with pytest.raises(CannotSaveError, match="set TMPDIR"), loadable.private_copy(folder):
        pass


def test_messages_name_the_folder_that_the_user_knows(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text("[]")
    with pytest.raises(NotLoadableError) as caught, loadable.private_copy(folder):
        pass
    assert str(folder / "tokenizer_config.json") in str(caught.value)
    with pytest.raises(BadInputError) as later, loadable.private_copy(TWIN) as own:
        foreign_json.read(own / "none.json")
    assert str(TWIN / "none.json") in str(later.value)


# -----------------------------------------------------------------------------
# tokenizer.json


def tokenizer(**changes: Any) -> bytes:
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
    found = {"version": "1.0", "model": {**model, **changes.pop("model", {})}, **changes}
    return json.dumps(found).encode()


@pytest.mark.parametrize("given", [tokenizer(), tokenizer(model={"merges": []}), b"{}"])
def test_a_tokenizer_that_is_read_as_it_is_keeps_its_bytes(given: bytes) -> None:
    assert foreign_json.tokenizer(given) is given


def test_pairs_become_words_where_both_say_the_same() -> None:
    found = foreign_json.tokenizer(tokenizer(model={"merges": [["a", "b"], "b a"]}, newer=None))
    assert json.loads(found) == json.loads(tokenizer(model={"merges": ["a b", "b a"]}))
    for merges in ([["a b", "c"]], [["a"]], [["a", "b", "c"]], [1], [{}], [["a", 1]]):
        with pytest.raises(ValueError, match="a merge"):
            foreign_json.tokenizer(tokenizer(model={"merges": merges}))
    with pytest.raises(ValueError, match=r"does not know: newer$"):
        foreign_json.tokenizer(tokenizer(newer={"a": 1}, empty={}))
