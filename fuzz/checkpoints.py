"""Checkpoint folders with something wrong: decoys, odd shards and indices, JSON and headers.

Each starts as a copy of a twin; what is changed is what `tests/decoys.py` names, or what loading
reads.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import decoys

from fuzz import json_trees
from fuzz.choices import Choices
from fuzz.honest import ROOT
from fuzz.inputs import placed
from repro.weights.loadable import INDEX, PLAIN, WEIGHTS

TWINS = {"mamba": "mamba-twin", "mamba2": "mamba2-twin", "gpt-neox": "gpt-neox-twin"}
"""Family to its twin."""
_CONTENTS = (b"", b"{}", b"[]", b"3", b"\x80\x04cos\nsystem\n.", b"[" * 50_000, b'{"a": 1}')
_SHARDS = (
    *("a.safetensors", "b.safetensors", "sub/a.safetensors", "../a.safetensors", "/a.safetensors"),
    *("a.bin", "", ".", "..", "\0", "\ud800", "a" * 5000, "./a.safetensors", "config.json"),
)
_JSON = tuple(name for name in PLAIN["transformers"] if name.endswith(".json"))


def make(folder: Path, family: str, choices: Choices) -> None:
    """Write a twin's copy into a folder that is not there, and change it in one to three ways."""
    twin = ROOT / "twins" / TWINS[family]
    shutil.copytree(twin, folder, ignore=shutil.ignore_patterns("*.md", "training.json"))
    for _ in range(1 + choices.below(3)):
        choices.of(_WAYS)(folder, choices)


def _decoy(folder: Path, choices: Choices) -> None:
    """A file that some library would read; one in 32 is no file, and goes away again."""
    path = folder / choices.of((*decoys.NAMES, decoys.ADAPTER, *PLAIN["transformers"]))
    with placed(path, choices.of(_CONTENTS), choices):
        content = path.read_bytes() if path.is_file() and path.stat().st_size else b""
    path.write_bytes(content)


def _sharded(folder: Path, choices: Choices) -> None:
    """The weights under another name, whole or twice, with an index that may be wrong."""
    if not (folder / WEIGHTS).is_file():
        return
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).rename(folder / "a.safetensors")
    if choices.below(2):
        (folder / "b.safetensors").write_bytes(content)
    names = _header(content)
    where: object = dict.fromkeys(names, "a.safetensors")
    if choices.below(2) and isinstance(where, dict):
        where[choices.of(sorted(where))] = choices.of(_SHARDS)
    if choices.one_in(4):
        where = choices.of(([], {}, None, {"a": 1}, {"a": None}, "a"))
    text = json.dumps({"metadata": {}, "weight_map": where}).encode()
    (folder / INDEX).write_bytes(text if choices.below(8) else choices.of(_CONTENTS))


def _edited(folder: Path, choices: Choices) -> None:
    """A JSON file that loading reads, changed where it has structure."""
    path = folder / choices.of(_JSON)
    if path.is_file() and (text := _changed(path.read_bytes(), choices)):
        path.write_bytes(text)


def _changed(text: bytes, choices: Choices) -> bytes:
    """JSON changed in a few places; empty if it was none, or holds nothing."""
    try:
        tree = json_trees.parse(text)
    except (ValueError, RecursionError):
        return b""
    if not isinstance(tree, dict | list) or not tree:
        return b""
    json_trees.mutate(tree, choices)
    return json_trees.text_of(tree, choices)


def _headed(folder: Path, choices: Choices) -> None:
    """A safetensors file with another header, or cut short; the numbers stay."""
    path = folder / WEIGHTS
    if not path.is_file():
        return
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    text = _changed(content[8 : 8 + min(length, len(content))], choices)
    whole = len(text).to_bytes(8, "little") + text + content[8 + length :]
    path.write_bytes(whole if choices.below(8) else whole[: choices.below(len(whole))])


def _header(content: bytes) -> list[str]:
    """Names of the tensors of a safetensors file; none if it is damaged."""
    try:
        found = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (ValueError, RecursionError, OverflowError):
        return ["a"]
    return [str(name) for name in found] if isinstance(found, dict) and found else ["a"]


_WAYS: tuple[Callable[[Path, Choices], None], ...] = (_decoy, _sharded, _edited, _edited, _headed)
