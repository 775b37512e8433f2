"""The files of a node of a cluster: what was sent to it, once, and what its jobs made.

    <cache>/shipped/<sha256>    files by what they hold; a name appears when its digest was checked
    <cache>/ran/                a results folder for what is not home yet; lost tunings go on there

Not covered: clearing it; between runs the whole of it may be deleted.
"""

import functools
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from repro import bundle
from repro.digests import of_file
from repro.errors import CannotRunError, saving
from repro.located import Located
from repro.store import MODEL, Store
from runner.shipping import Parcel, pieces, safe

_SPARE = 1 << 30
"""Bytes of disk that stay free."""


class NoRoomError(CannotRunError):
    """A node's disk is too full; another's may not be."""


class Node:
    """The files of a node, for one process of it."""

    def __init__(self, cache: Path | None = None) -> None:
        root = cache or bundle.cache()
        self.shipped, self.store = root / "shipped", Store(root / "ran")
        self._saving = functools.partial(saving, self.shipped, "REPRO_CACHE")

    def lacks(self, wanted: Mapping[str, int]) -> list[str]:
        """Which of some files are not here.

        Args:
            wanted: Bytes by digest.

        Raises:
            NoRoomError: they do not fit on the disk.
        """
        with self._saving():
            self.shipped.mkdir(parents=True, exist_ok=True)
        missing = [sha for sha in wanted if not (self.shipped / sha).is_file()]
        needed, free = sum(wanted[sha] for sha in missing), shutil.disk_usage(self.shipped).free
        if free < needed + _SPARE:
            message = (
                f"{os.uname().nodename} has {free / 1e9:.1f} GB of disk free under {self.shipped}, "
                f"{(needed + _SPARE) / 1e9:.1f} GB are needed; free some or set REPRO_CACHE there"
            )
            raise NoRoomError(message)
        return missing

    def write(self, sha: str, offset: int, data: bytes) -> None:
        """Take a piece of a file."""
        with self._saving(), self._draft(sha).open("r+b" if offset else "wb") as stream:
            stream.seek(offset)
            stream.write(data)

    def seal(self, sha: str) -> None:
        """A file is whole: give it its name, if it is what it was said to be."""
        draft = self._draft(sha)
        draft.touch()  # an empty file comes in no piece
        found = of_file(draft)
        if found != sha:
            draft.unlink()
            message = f"a file arrived on {os.uname().nodename} as {found[:12]}, sent as {sha[:12]}"
            raise NoRoomError(message)
        draft.rename(self.shipped / sha)

    def _draft(self, sha: str) -> Path:
        return self.shipped / f".{sha}-{os.getpid()}"

    def lay_out(self, key: str, role: str, parcel: Parcel) -> Located:
        """An input with its files under their names, on this node."""
        if not parcel.items:
            return parcel.located
        folder = self.store.root / "inputs" / key / role
        shutil.rmtree(folder, ignore_errors=True)
        for item in parcel.items:
            path = folder / item.name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.shipped / item.sha256, path)
        path = folder if parcel.folder else folder / parcel.items[0].name
        return replace(parcel.located, path=path)

    def made(self, key: str) -> dict[str, int]:
        """Bytes of every file of a record, by name."""
        folder = self.store.folder(key)
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}

    def read(self, key: str, name: str, offset: int) -> bytes:
        """A piece of a file of a record."""
        return pieces(self.store.folder(key) / safe(name))(offset)

    def home(self, key: str) -> None:
        """A record is home: keep the model that it made for those that ask it, and nothing else."""
        record, _ = self.store.load(key)
        for name, sha in record.files.items():
            path = self.store.folder(key) / MODEL / name
            if not (self.shipped / sha).exists():
                os.link(path, self.shipped / sha)
        self.forget(key)

    def forget(self, key: str) -> None:
        """Remove what a job was given and what it made."""
        shutil.rmtree(self.store.root / "inputs" / key, ignore_errors=True)
        shutil.rmtree(self.store.folder(key), ignore_errors=True)
