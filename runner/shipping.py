"""What jobs read made into parcels for a node, and their records brought home.

Not covered: how bytes travel (`on_ray_remote`); the other side (`node_files`).
"""

import functools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from repro.digests import of_file
from repro.errors import CannotRunError, saving
from repro.located import Located
from repro.record import ArrayFile, Record
from repro.store import MODEL, BrokenRecordError, Store

PIECE = 16 << 20
"""Bytes that travel at once."""


@dataclass(frozen=True)
class Item:
    """One file that a job reads."""

    name: str
    """Inside the folder of the checkpoint; of a file of data, its own."""
    sha256: str
    """Of its bytes: a record names compressed data by what they hold."""
    size: int


@dataclass(frozen=True)
class Parcel:
    """One input, as it is sent."""

    located: Located
    items: tuple[Item, ...]
    folder: bool
    """Whether the job is given a folder, and not a file."""


def parcel_of(located: Located) -> tuple[Parcel, dict[str, Path]]:
    """An input as it is sent, and the path here of every file by digest.

    What the hub itself is asked for has no files.
    """
    if located.path is None:
        return Parcel(located, (), folder=False), {}
    paths = {located.path.name: located.path}
    folder = located.path.is_dir()
    if folder:
        paths = {name: located.path / name for name in located.held}
    items = {
        Item(name, _digest(path, path.stat().st_mtime_ns), path.stat().st_size): path
        for name, path in paths.items()
    }
    by_digest = {item.sha256: path for item, path in items.items()}
    return Parcel(located, tuple(items), folder), by_digest


@functools.cache
def _digest(path: Path, _: int) -> str:
    """SHA-256 of what is about to be sent, once for each state of a file."""
    return of_file(path)


def pieces(path: Path) -> Callable[[int], bytes]:
    """Reads a piece of a file at an offset."""

    def read(offset: int) -> bytes:
        with path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(PIECE)

    return read


def bring_home(
    key: str, files: Mapping[str, int], read: Callable[[str, int], bytes], store: Store
) -> None:
    """Fetch a record with its arrays and its model, check every digest, and save it.

    Args:
        key: The job's key, which has to be the record's.
        files: Bytes by name, as `Node.made` lists them.
        read: Gives the piece of a file at an offset.
        store: Where it goes; it appears whole or not at all.

    Raises:
        CannotRunError: what came is not what the record says, or cannot be saved.
    """
    with saving(store.root):
        store.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".home-", dir=store.root) as folder:
            inbox = Store(Path(folder))
            for name, size in files.items():
                _receive(inbox.folder(key) / safe(name), size, functools.partial(read, name))
            try:
                record, arrays = inbox.load(key)
                _check_model(inbox.folder(key) / MODEL, record)
            except (BrokenRecordError, FileNotFoundError) as error:
                message = f"what a node sent is not a whole record: {error}"
                raise CannotRunError(message) from error
            model = inbox.folder(key) / MODEL if record.files else None
            with store.lock(key):
                store.save(arrays, functools.partial(_same, record), model)


def _receive(path: Path, size: int, read: Callable[[int], bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        for offset in range(0, size, PIECE):
            stream.write(read(offset))


def safe(name: str) -> str:
    """A name that a node gave, which must not lead out of the record's folder."""
    if name not in ("record.json", "arrays.safetensors") and (
        PurePosixPath(name).parts != (MODEL, PurePosixPath(name).name)
    ):
        message = f"a node sent {name!r}, which no record has"
        raise CannotRunError(message)
    return name


def _check_model(folder: Path, record: Record) -> None:
    for name, sha in record.files.items():
        if of_file(folder / name) != sha:
            message = f"{MODEL}/{name} is not what record {record.key[:12]} says"
            raise BrokenRecordError(message)


def _same(record: Record, arrays: ArrayFile) -> Record:
    """The record as it was made; its arrays, written anew, are the same bytes."""
    if arrays != record.arrays:
        message = f"the arrays of record {record.key[:12]} changed on their way"
        raise CannotRunError(message)
    return record
