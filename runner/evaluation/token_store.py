"""Token ids of pieces of text, kept on the disk from one run to the next.

    <cache>/token-ids/pieces.sqlite    a row a piece: digest of tokenizer and text; token ids;
                                       digest of both

Token ids change numbers, so that nothing is believed of the file but what is right:

- **Broken**: a row counts if its own digest says so. A bit that fell over, a file cut short, a row
  of another tokenizer or of another version of the tokenizers library is a piece that is not known,
  and is encoded.
- **Foreign**: file and folder have to belong to this user and be writable by nobody else. Whoever
  can write them in spite of that can write this code.
- **Stale or forged whole**, digests included: of what was found some pieces, drawn anew each time,
  are encoded again. If one is otherwise nothing of the file is taken, and it goes.

Without a file (no right to write, a full disk, a lock that is held too long) every piece is
encoded; the ids are the same. The stock answers of lm-eval that a job is checked by never come from
here. SQLite writes whole transactions and lets several processes in at once. Rows are read, not
mapped: what is asked is small, and an error of the disk under a map would kill the process.

Not covered: one row that this user forged with its digest, which a sample may miss. Which piece was
asked last: a full file starts anew.

Reference: SQLite 3; tokenizers 0.19.
"""

import hashlib
import random
import sqlite3
import stat
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from importlib import metadata
from os import geteuid
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from repro import paths

Ids = NDArray[np.int32]
"""Token ids of one piece, (tokens,)."""

BYTES = 1 << 28
"""A file that has grown beyond is dropped. All of MMLU takes 8 MB a tokenizer."""

CHECKED = 64
"""Of so many pieces that were found one is encoded again, and 16 at least."""

_ASKED = 500
"""Rows of one query, which may have 999 parameters."""


class TokenStore:
    """What one tokenizer makes of texts, each on its own and without special tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, folder: Path | None = None) -> None:
        """Of a fast tokenizer; its file lies in a folder of its own, which is made."""
        self._tokenizer = tokenizer
        self._file = (folder or paths.cache() / "token-ids") / "pieces.sqlite"
        backend = tokenizer.backend_tokenizer
        said = f"{metadata.version('tokenizers')}\n{backend.encode_special_tokens}\n"
        self._key = hashlib.sha256(said.encode() + backend.to_str().encode()).digest()
        self._known: dict[str, Ids] = {}

    def ids(self, texts: Sequence[str]) -> dict[str, Ids]:
        """Token ids of distinct texts; each is looked for once."""
        asked = [text for text in texts if text not in self._known]
        if asked:
            keys = {text: self._digest(text.encode("utf-8", "surrogatepass")) for text in asked}
            self._known |= self._checked(self._read(keys))
            new = self._encoded([text for text in asked if text not in self._known])
            self._write([(keys[text], ids) for text, ids in new.items()])
            self._known |= new
        return {text: self._known[text] for text in texts}

    def _encoded(self, texts: list[str]) -> dict[str, Ids]:
        """What the tokenizer itself says."""
        if not texts:
            return {}
        options = {"return_attention_mask": False, "return_token_type_ids": False}
        found = self._tokenizer(texts, add_special_tokens=False, **options)["input_ids"]
        return {text: np.array(ids, np.int32) for text, ids in zip(texts, found, strict=True)}

    def _checked(self, known: dict[str, Ids]) -> dict[str, Ids]:
        """What was found, unless some of it, drawn by chance, is not what the tokenizer says."""
        count = min(len(known), max(16, len(known) // CHECKED))
        drawn = random.SystemRandom().sample(list(known), count)
        if all(np.array_equal(known[text], ids) for text, ids in self._encoded(drawn).items()):
            return known
        self._drop()
        return {}

    def _digest(self, content: bytes) -> bytes:
        return hashlib.blake2b(content, digest_size=16, key=self._key).digest()

    # -------------------------------------------------------------------------
    # The file

    def _read(self, keys: dict[str, bytes]) -> dict[str, Ids]:
        """Of some texts those that the file has, and has right."""
        rows: dict[bytes, Ids] = {}
        asked = list(keys.values())

        def read(file: sqlite3.Connection) -> None:
            for start in range(0, len(asked), _ASKED):
                some = asked[start : start + _ASKED]
                places = ",".join("?" * len(some))
                query = f"SELECT key, ids, digest FROM pieces WHERE key IN ({places})"  # noqa: S608
                for key, ids, digest in file.execute(query, some):
                    stored = isinstance(key, bytes) and isinstance(ids, bytes)
                    if stored and digest == self._digest(key + ids):
                        rows[key] = np.frombuffer(ids, "<i4")

        self._with_file(read)
        return {text: rows[key] for text, key in keys.items() if key in rows}

    def _write(self, new: list[tuple[bytes, Ids]]) -> None:
        """Keep some rows, all or none."""
        if not new:
            return
        whole = [(key, ids.astype("<i4").tobytes()) for key, ids in new]
        rows = [(key, ids, self._digest(key + ids)) for key, ids in whole]

        def write(file: sqlite3.Connection) -> None:
            with file:
                columns = "key BLOB PRIMARY KEY, ids BLOB, digest BLOB"
                file.execute(f"CREATE TABLE IF NOT EXISTS pieces ({columns})")
                file.executemany("INSERT OR REPLACE INTO pieces VALUES (?, ?, ?)", rows)

        self._with_file(write)

    def _with_file(self, use: Callable[[sqlite3.Connection], None]) -> None:
        """Use the file as far as it can be used; one that is no such file is dropped."""
        try:
            if not self._is_ours():
                return
            with closing(sqlite3.connect(self._file, timeout=0.2)) as file:
                file.execute("PRAGMA synchronous = OFF")  # what a power cut breaks is not believed
                file.execute("PRAGMA trusted_schema = OFF")
                use(file)
        except (OSError, sqlite3.OperationalError):  # no right, no room, no time, no table
            return
        except sqlite3.DatabaseError:
            self._drop()

    def _is_ours(self) -> bool:
        """Whether the file is there, made if need be, and nobody else can have written it."""
        folder = self._file.parent
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        if self._file.exists() and self._file.stat().st_size > BYTES:
            self._drop()
        if not self._file.exists():
            self._file.touch(mode=0o600)
        found = [each.stat() for each in (folder, self._file)]
        others = stat.S_IWGRP | stat.S_IWOTH
        return all(each.st_uid == geteuid() and not each.st_mode & others for each in found)

    def _drop(self) -> None:
        for suffix in ("", "-journal"):
            with suppress(OSError):
                self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
