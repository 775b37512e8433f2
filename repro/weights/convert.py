"""Torch checkpoints as safetensors: the same tensors under the same names, bit for bit.

The library would hold a whole checkpoint in memory to write it, so the format is written here,
tensor by tensor.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from repro import fileio
from repro.errors import BadInputError, Problem
from repro.fileio import Drafts
from repro.weights import checkpoint_files, loadable, torch_tensors, torch_zip
from repro.weights.torch_pickle import STORAGES
from repro.weights.torch_tensors import Archive
from repro.weights.torch_zip import RefusedError

Progress = Callable[[int, int, str], None]
"""Takes the bytes done, all bytes, and what is being done."""

_RANK = {dtype.name: rank for rank, dtype in enumerate(STORAGES.values())}
_REFUSED = "cannot be turned into safetensors; nothing was executed or written"


@dataclass(frozen=True)
class Converted:
    """One file that was read, and the file that now stands for it."""

    source: Path
    source_bytes: int
    source_sha256: str
    target: Path
    target_bytes: int
    target_sha256: str
    tensors: int
    shared: tuple[tuple[str, ...], ...]
    """Names of tensors that lie in one storage of the source, tied weights or views of each other;
    each is written in full."""
    written: bool
    """False where the target was there already, with the same bytes."""


def convert(file: Path, out: Path | None, progress: Progress) -> list[Converted]:
    """Write a checkpoint's weights as safetensors, all files or none.

    Args:
        file: A `pytorch_model.bin`, one shard of several, or their index.
        out: The folder to write to; None for the one that `file` is in.
        progress: Told how far the reading and writing is.

    Raises:
        BadInputError: if a file holds anything but tensors, is damaged, or cannot be read; or
            if the target cannot be written, or holds something else. Nothing is written then.
    """
    folder = out or file.parent
    try:
        shards = checkpoint_files.find_shards(file)
        archives = _load(shards.targets)
        text = checkpoint_files.index(file, shards, {each.path: each.tensors for each in archives})
        with Drafts(folder) as drafts:
            meter = _Meter(progress, archives)
            made = [_weights(each, shards.targets[each.path], drafts, meter) for each in archives]
            if text is not None:
                made.append(_index(file, text, drafts))
            drafts.publish()
    except OSError as error:
        raise BadInputError(
            f"{error.filename or folder}: {error.strerror or error}; nothing was written. Free "
            "some space, or choose a folder that can be written, with --out"
        ) from error
    return made


def _load(files: Mapping[Path, str]) -> list[Archive]:
    """What every file holds, or what is wrong with each of them."""
    archives, problems = [], []
    for path in files:
        try:
            archives.append(torch_tensors.load(path))
        except RefusedError as error:
            problems.append(_problem(path, error))
    if problems:
        raise BadInputError(f"{', '.join(path.name for path in files)} {_REFUSED}", problems)
    return archives


def _weights(archive: Archive, name: str, drafts: Drafts, meter: "_Meter") -> Converted:
    """Write the tensors of one torch file."""
    meter.note = archive.path.name
    try:
        with fileio.open_regular_file(archive.path) as file:
            sha256 = torch_zip.digest(file, archive.members, archive.size, meter)
        draft = drafts.write(name, _safetensors(archive, meter))
    except RefusedError as error:
        message = f"{archive.path.name} {_REFUSED}"
        raise BadInputError(message, [_problem(archive.path, error)]) from error
    names: dict[str, list[str]] = {}
    for each, tensor in archive.tensors.items():
        names.setdefault(tensor.storage.key, []).append(each)
    shared = tuple(tuple(each) for each in names.values() if len(each) > 1)
    source = archive.path, archive.size, sha256
    return Converted(
        *source, draft.path, draft.size, draft.sha256, len(archive.tensors), shared, draft.written
    )


def _index(file: Path, text: bytes, drafts: Drafts) -> Converted:
    """Write the index of several files."""
    draft = drafts.write(loadable.INDEX, [text])
    count = len(json.loads(text)["weight_map"])
    source = file, file.stat().st_size, fileio.digest_of_file(file)
    return Converted(*source, draft.path, draft.size, draft.sha256, count, (), draft.written)


def _safetensors(archive: Archive, advance: Callable[[int], None]) -> Iterator[bytes | memoryview]:
    """The content of a safetensors file, in pieces; ordered as the library orders it."""
    ordered = sorted(
        archive.tensors.items(), key=lambda each: (-_RANK[each[1].storage.dtype.name], each[0])
    )
    yield checkpoint_files.new_header(
        (name, each.storage.dtype.name, each.shape, each.size) for name, each in ordered
    )
    for _, tensor in ordered:
        for piece in archive.data(tensor):
            yield piece
            advance(len(piece))


def _problem(path: Path, error: RefusedError) -> Problem:
    where = f"{path}: {error.where}" if error.where else str(path)
    return Problem(where, error.found, error.expected)


class _Meter:
    """Counts bytes read and written, and tells how many there are."""

    def __init__(self, progress: Progress, archives: list[Archive]) -> None:
        self.progress = progress
        self.note = ""
        self.done = 0
        members = [member.size for each in archives for member in each.members.values()]
        tensors = [tensor.size for each in archives for tensor in each.tensors.values()]
        self.total = sum(members) + sum(tensors)

    def __call__(self, count: int) -> None:
        self.done += count
        self.progress(self.done, self.total, self.note)
