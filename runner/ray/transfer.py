"""What jobs read made into parcels for a node, and their records brought home.

Not covered: how bytes travel (`remote`).
"""

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from repro import paths
from repro.errors import CannotRunError, save_errors
from repro.fileio import digest_of_file
from repro.inputs.located import Located
from repro.store.record import ArrayFile, Record
from repro.store.store import MODEL, BrokenRecordError, Store

PIECE = 16 << 20
"""Bytes that travel at once."""


@dataclass(frozen=True)
class SentFile:
    """One file that a job reads."""

    name: str
    """Inside the folder of the checkpoint; of a file of data, its own."""
    sha256: str
    """Of its bytes: a record names compressed data by what they hold."""
    size: int


@dataclass(frozen=True)
class SentInput:
    """One input, as it is sent."""

    located: Located
    items: tuple[SentFile, ...]
    folder: bool
    """Whether the job is given a folder, and not a file."""


def input_to_send(located: Located) -> tuple[SentInput, dict[str, Path]]:
    """An input as it is sent, and the path here of every file by digest.

    What the hub itself is asked for has no files.
    """
    if located.path is None:
        return SentInput(located, (), folder=False), {}
    paths = {located.path.name: located.path}
    folder = located.path.is_dir()
    if folder:
        paths = {name: located.path / name for name in located.digests_by_name}
    items = {
        SentFile(name, _digest(path, path.stat().st_mtime_ns), path.stat().st_size): path
        for name, path in paths.items()
    }
    by_digest = {item.sha256: path for item, path in items.items()}
    return SentInput(located, tuple(items), folder), by_digest


@functools.cache
def _digest(path: Path, _: int) -> str:
    """SHA-256 of what is about to be sent, once for each state of a file."""
    return digest_of_file(path)


def piece(path: Path, offset: int) -> bytes:
    """`PIECE` bytes of a file, or what is left of it."""
    with path.open("rb") as stream:
        stream.seek(offset)
        return stream.read(PIECE)


def fetch_record(
    key: str, files: Mapping[str, int], read: Callable[[str, int], bytes], store: Store
) -> None:
    """Fetch a record with its arrays and its model, check every digest, and save it.

    Args:
        key: The job's key, which has to be the record's.
        files: Bytes by name, as `NodeFiles.made` lists them.
        read: Gives the piece of a file at an offset.
        store: Where it goes; it appears whole or not at all.

    Raises:
        CannotRunError: what came is not what the record says, or cannot be saved.
    """
    with save_errors(store.root):
        store.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".home-", dir=store.root) as folder:
            inbox = Store(Path(folder))
            for name, size in files.items():
                path = inbox.folder(key) / check_file_name(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as stream:
                    stream.writelines(read(name, offset) for offset in range(0, size, PIECE))
            try:
                record, arrays = inbox.load(key)
                _check_model(inbox.folder(key) / MODEL, record)
            except (BrokenRecordError, FileNotFoundError) as error:
                message = f"what a node sent is not a whole record: {error}"
                raise CannotRunError(message) from error
            model = inbox.folder(key) / MODEL if record.files else None
            with store.lock(key):
                store.save(arrays, functools.partial(_as_made, record), model)


def check_file_name(name: str) -> str:
    """A name that a node gave, which must not lead out of the record's folder."""
    if name not in ("record.json", "arrays.safetensors") and (
        PurePosixPath(name).parts != (MODEL, PurePosixPath(name).name)
    ):
        message = f"a node sent {name!r}, which no record has"
        raise CannotRunError(message)
    return name


def _check_model(folder: Path, record: Record) -> None:
    for name, sha in record.files.items():
        if digest_of_file(folder / name) != sha:
            message = f"{MODEL}/{name} is not what record {record.key[:12]} says"
            raise BrokenRecordError(message)


def _as_made(record: Record, arrays: ArrayFile) -> Record:
    """The record as it was made; its arrays, written anew, are the same bytes."""
    if arrays != record.arrays:
        message = f"the arrays of record {record.key[:12]} changed on their way"
        raise CannotRunError(message)
    return record


# -----------------------------------------------------------------------------
# The files of a node: what was sent to it, once, and what its jobs made
#
#   <cache>/shipped/<sha256>    files by what they hold; a name appears when its digest was checked
#   <cache>/ran/                a results folder for what is not home yet; lost tunings go on there
#
# Not covered: clearing it; between runs the whole of it may be deleted.

_SPARE = 1 << 30
"""Bytes of disk that stay free."""


class NoRoomError(CannotRunError):
    """A node's disk is too full; another's may not be."""


class NodeFiles:
    """The files of a node, for one process of it."""

    def __init__(self, cache: Path | None = None) -> None:
        root = cache or paths.cache()
        self.shipped, self.store = root / "shipped", Store(root / "ran")
        self._saving = functools.partial(save_errors, self.shipped, "REPRO_CACHE")

    def lacks(self, wanted: Mapping[str, int]) -> list[str]:
        """Which of some files are not here.

        `wanted` has bytes by digest.

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
        found = digest_of_file(draft)
        if found != sha:
            draft.unlink()
            message = f"a file arrived on {os.uname().nodename} as {found[:12]}, sent as {sha[:12]}"
            raise NoRoomError(message)
        draft.rename(self.shipped / sha)

    def _draft(self, sha: str) -> Path:
        return self.shipped / f".{sha}-{os.getpid()}"

    def lay_out(self, key: str, role: str, sent_input: SentInput) -> Located:
        """An input with its files under their names, on this node."""
        if not sent_input.items:
            return sent_input.located
        folder = self.store.root / "inputs" / key / role
        shutil.rmtree(folder, ignore_errors=True)
        for item in sent_input.items:
            path = folder / item.name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.shipped / item.sha256, path)
        path = folder if sent_input.folder else folder / sent_input.items[0].name
        return replace(sent_input.located, path=path)

    def made(self, key: str) -> dict[str, int]:
        """Bytes of every file of a record, by name."""
        folder = self.store.folder(key)
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}

    def read(self, key: str, name: str, offset: int) -> bytes:
        """A piece of a file of a record."""
        return piece(self.store.folder(key) / check_file_name(name), offset)

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
