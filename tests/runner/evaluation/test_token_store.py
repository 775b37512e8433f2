"""Token ids kept on the disk.

Oracle: the tokenizer itself, whatever the file says.
"""

import multiprocessing
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from repro import paths
from runner.evaluation import token_store
from runner.evaluation.token_store import TokenStore

TWIN = paths.ROOT / "twins" / "mamba-twin"
TEXTS = [f"Count {number} and {number * 7 % 11}.\n\nAnswer:" for number in range(120)]

pytestmark = pytest.mark.filterwarnings("error")


class Watched(TokenStore):
    """Keeps what the tokenizer was asked."""

    def __init__(self, tokenizer: Any, folder: Path) -> None:
        super().__init__(tokenizer, folder)
        self.asked: list[str] = []

    def _encoded(self, texts: list[str]) -> dict[str, token_store.Ids]:
        self.asked += texts
        return super()._encoded(texts)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(TWIN)


def right(tokenizer: Any, store: TokenStore, texts: list[str]) -> bool:
    """Whether a store gives what the tokenizer gives."""
    found = {text: ids.tolist() for text, ids in store.ids(texts).items()}
    return found == {text: tokenizer.encode(text, add_special_tokens=False) for text in texts}


def test_pieces_are_encoded_once(tokenizer: Any, tmp_path: Path) -> None:
    """By one process for the next; of what is found a sample is encoded, another each time."""
    store = Watched(tokenizer, tmp_path)
    assert right(tokenizer, store, TEXTS[:110])
    assert right(tokenizer, store, TEXTS[:110])
    assert store.asked == TEXTS[:110]
    samples = set()
    for _ in range(2):
        later = Watched(tokenizer, tmp_path)
        assert right(tokenizer, later, TEXTS[:110])
        assert len(later.asked) == 16
        samples.add(tuple(later.asked))
    assert len(samples) == 2
    assert right(tokenizer, later, TEXTS)
    assert later.asked[16:] == TEXTS[110:]


def test_the_file_is_ours_alone(tokenizer: Any, tmp_path: Path) -> None:
    TokenStore(tokenizer, tmp_path / "cache" / "ids").ids(TEXTS[:3])
    assert (tmp_path / "cache" / "ids").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "cache" / "ids" / "pieces.sqlite").stat().st_mode & 0o777 == 0o600


# -----------------------------------------------------------------------------
# Files that cannot be believed


@pytest.fixture
def kept(tokenizer: Any, tmp_path: Path) -> Path:
    """A file with all texts."""
    TokenStore(tokenizer, tmp_path).ids(TEXTS)
    return tmp_path / "pieces.sqlite"


def damaged(file: Path, change: Callable[[bytearray], object]) -> None:
    content = bytearray(file.read_bytes())
    change(content)
    file.write_bytes(content)


def rewritten(file: Path, change: Callable[[sqlite3.Connection], object]) -> None:
    with sqlite3.connect(file) as opened:
        change(opened)
    opened.close()


def with_false_ids(opened: sqlite3.Connection) -> None:
    """Other ids of the same length, under the digest of the right ones."""
    for key, ids in opened.execute("SELECT key, ids FROM pieces").fetchall():
        opened.execute("UPDATE pieces SET ids = ? WHERE key = ?", (ids[::-1], key))


def with_exchanged_rows(opened: sqlite3.Connection) -> None:
    """Ids and digest of another text."""
    rows = opened.execute("SELECT key, ids, digest FROM pieces").fetchall()
    others = [
        (ids, digest, key)
        for (key, _, _), (_, ids, digest) in zip(rows, rows[1:] + rows[:1], strict=True)
    ]
    opened.executemany("UPDATE pieces SET ids = ?, digest = ? WHERE key = ?", others)


BROKEN: dict[str, Callable[[Path], object]] = {
    "cut short": lambda file: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file: os.truncate(file, 0),
    "text": lambda file: file.write_text("not a file of SQLite " * 1000),
    "no header": lambda file: damaged(file, lambda content: content.__setitem__(0, 0)),
    "zeros": lambda file: damaged(
        file, lambda content: content.__setitem__(slice(4096, None), bytes(len(content) - 4096))
    ),
    "other ids": lambda file: rewritten(file, with_false_ids),
    "another's ids": lambda file: rewritten(file, with_exchanged_rows),
    "texts for ids": lambda file: rewritten(
        file, lambda opened: opened.execute("UPDATE pieces SET ids = 'forty-two'")
    ),
    "nothing for ids": lambda file: rewritten(
        file, lambda opened: opened.execute("UPDATE pieces SET ids = NULL, digest = NULL")
    ),
    "another table": lambda file: rewritten(
        file, lambda opened: opened.execute("ALTER TABLE pieces RENAME COLUMN ids TO tokens")
    ),
    "no table": lambda file: rewritten(file, lambda opened: opened.execute("DROP TABLE pieces")),
    "a link that leads nowhere": lambda file: (file.unlink(), file.symlink_to("nowhere")),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a journal of another file": lambda file: Path(f"{file}-journal").write_bytes(b"\xd9\xd5\x05"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_file_is_not_believed(how: str, tokenizer: Any, kept: Path) -> None:
    BROKEN[how](kept)
    for _ in range(2):
        assert right(tokenizer, TokenStore(tokenizer, kept.parent), TEXTS)


@settings(max_examples=30, deadline=None)
@given(place=st.integers(0, 1 << 20), bits=st.integers(1, 255))
def test_a_changed_byte_changes_no_id(
    place: int, bits: int, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("ids")
    TokenStore(tokenizer, folder).ids(TEXTS[:40])
    file = folder / "pieces.sqlite"
    damaged(file, lambda content: content.__setitem__(place % len(content), bits))
    assert right(tokenizer, TokenStore(tokenizer, folder), TEXTS[:40])


def test_a_file_that_was_forged_whole_is_dropped(tokenizer: Any, kept: Path) -> None:
    """Each row with a digest of its own that fits."""
    store = TokenStore(tokenizer, kept.parent)
    false = [(store._digest(text.encode()), np.array([7], np.int32)) for text in TEXTS]
    store._write(false)
    assert store._read({TEXTS[0]: false[0][0]})[TEXTS[0]].tolist() == [7]
    assert right(tokenizer, store, TEXTS)
    assert not kept.exists() or right(tokenizer, Watched(tokenizer, kept.parent), TEXTS)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_others_can_write_is_not_believed(what: str, tokenizer: Any, kept: Path) -> None:
    place = kept if what == "file" else kept.parent
    place.chmod(place.stat().st_mode | 0o020)
    before = kept.read_bytes()
    store = Watched(tokenizer, kept.parent)
    assert right(tokenizer, store, TEXTS)
    assert store.asked == TEXTS
    assert kept.read_bytes() == before


def test_another_owners_file_is_not_believed(
    tokenizer: Any, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_store, "geteuid", lambda: os.geteuid() + 1)
    store = Watched(tokenizer, kept.parent)
    assert right(tokenizer, store, TEXTS)
    assert store.asked == TEXTS


def test_another_tokenizer_has_its_own_rows(tokenizer: Any, kept: Path, tmp_path: Path) -> None:
    """The same vocabulary, and no merges."""
    path = tmp_path / "tokenizer.json"
    path.write_bytes((TWIN / "tokenizer.json").read_bytes())
    tiny_models.edit(path, lambda content: content["model"]["merges"].clear())
    other = PreTrainedTokenizerFast(tokenizer_file=str(path))
    store = Watched(other, kept.parent)
    assert right(other, store, TEXTS)
    assert store.asked == TEXTS
    assert any(other.encode(text) != tokenizer.encode(text) for text in TEXTS)


def test_another_version_of_the_library_has_its_own_rows(
    tokenizer: Any, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_store.metadata, "version", lambda _: "99")
    store = Watched(tokenizer, kept.parent)
    store.ids(TEXTS)
    assert store.asked == TEXTS


# -----------------------------------------------------------------------------
# Without a file, and beside others


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/ids", "/dev/full"])
def test_no_file_is_needed(place: str, tokenizer: Any) -> None:
    assert right(tokenizer, TokenStore(tokenizer, Path(place)), TEXTS)


def test_what_cannot_be_written_is_read(
    tokenizer: Any, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full, or read-only, as SQLite tells of it."""
    connect = sqlite3.connect

    def read_only(path: Path, **options: Any) -> sqlite3.Connection:
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    store = Watched(tokenizer, kept.parent)
    assert right(tokenizer, store, [*TEXTS, "A new one."])
    assert len(store.asked) == 17
    later = Watched(tokenizer, kept.parent)
    assert right(tokenizer, later, ["A new one."])
    assert later.asked == ["A new one."]


def test_a_lock_is_not_waited_for_long(tokenizer: Any, kept: Path) -> None:
    held = sqlite3.connect(kept)
    held.execute("BEGIN EXCLUSIVE")
    assert right(tokenizer, TokenStore(tokenizer, kept.parent), TEXTS[:3])
    held.close()


def test_a_full_file_starts_anew(
    tokenizer: Any, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = kept.stat().st_size
    monkeypatch.setattr(token_store, "BYTES", size - 1)
    assert right(tokenizer, TokenStore(tokenizer, kept.parent), TEXTS[:3])
    assert kept.stat().st_size < size


def _one_of_two(folder: Path, start: int) -> bool:
    tokenizer = AutoTokenizer.from_pretrained(TWIN)
    return all(
        right(tokenizer, TokenStore(tokenizer, folder), TEXTS[place : place + 30])
        for place in range(start, 90, 15)
    )


@pytest.mark.usefixtures("all_cores")
def test_several_processes_at_once(tokenizer: Any, tmp_path: Path) -> None:
    """Overlapping texts in small steps; in the end the file has them all."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap(_one_of_two, [(tmp_path, 0), (tmp_path, 7)]) == [True, True]
    store = Watched(tokenizer, tmp_path)
    assert right(tokenizer, store, TEXTS[:105])
    assert len(store.asked) == 16
