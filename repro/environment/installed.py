"""Installed distributions, and whether their files are still those that were installed.

What is checked: every file that a distribution's RECORD lists with a digest, and entries
beside the distributions that no RECORD owns. What is not: compiled byte code (pip writes
it without a digest), and a RECORD that was rewritten together with its files.
"""

import base64
import csv
import hashlib
import importlib.metadata
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from repro import fileio
from repro.environment import pins

Progress = Callable[[int, int, str], None]
"""Called with bytes checked, bytes in all, and what is being checked."""

_COLUMNS = 3
"""Of a RECORD: path, digest, size."""
_WORKERS = 2
_BATCH = 32 << 20
"""Bytes handed to a worker at once: thousands of small files are not worth a task each."""
_COMPILED = (".so", ".a", ".dll", ".pyd", ".dylib")
_TRUSTED = ("sha256", "sha384", "sha512")
"""Algorithms that the RECORD specification allows."""
_IGNORED = frozenset({"__pycache__", "README.txt", "README"})
"""Entries that Python itself puts beside distributions."""


@dataclass(frozen=True)
class RecordedFile:
    """One line of a RECORD."""

    owner: int
    """Index of the distribution."""
    path: Path
    name: str
    """Path as recorded."""
    algorithm: str
    digest: str
    """URL-safe base64 without padding."""
    size: int


@dataclass(frozen=True)
class Distribution:
    """One installed distribution."""

    name: str
    """Normalised name."""
    version: str
    place: Path
    """Folder that it is installed in."""
    has_record: bool
    names: frozenset[str]
    """Every path that it owns, relative to `place`, and every top-level package it declares."""

    def top_levels(self) -> frozenset[str]:
        """Names that it puts directly into its folder, without a module's suffix."""
        return frozenset(name.partition("/")[0].partition(".")[0] for name in self.names)


def find_distributions(search: Sequence[str]) -> tuple[list[Distribution], list[RecordedFile]]:
    """Find all distributions on a search path, and all files whose digest is recorded.

    The path is as `sys.path` is; a folder that is listed twice is searched once.
    """
    folders = {str(Path(entry).resolve()): None for entry in search if Path(entry or ".").is_dir()}
    distributions: list[Distribution] = []
    files: list[RecordedFile] = []
    for found in importlib.metadata.distributions(path=list(folders)):
        place = Path(str(found.locate_file("")))
        # Read here: from Python 3.12 on, `found.files` leaves out the files that are gone.
        record = found.read_text("RECORD")
        # A build leaves *.egg-info in a source tree; it installs nothing.
        if record is None and (place / "pyproject.toml").is_file():
            continue
        declared = (found.read_text("top_level.txt") or "").split()
        names = frozenset([row[0] for row in _rows(record)] + declared)
        name = pins.normalise(found.metadata["Name"] or "unnamed")
        files += files_of(found, len(distributions))
        distributions.append(Distribution(name, found.version, place, record is not None, names))
    return distributions, files


def distribution(package: str) -> importlib.metadata.Distribution | None:
    """An installed package; None if it is not there."""
    try:
        return importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def files_of(found: importlib.metadata.Distribution, owner: int = 0) -> list[RecordedFile]:
    """Every file of a distribution whose digest its RECORD lists, but for byte code."""
    files = []
    for name, recorded, length in _rows(found.read_text("RECORD")):
        if recorded and not name.endswith(".pyc"):
            algorithm, _, digest = recorded.partition("=")
            size = int(length) if length.isdecimal() else 0
            path = Path(str(found.locate_file(name)))
            files.append(RecordedFile(owner, path, name, algorithm, digest, size))
    return files


def _rows(record: str | None) -> list[list[str]]:
    return [row for row in csv.reader((record or "").splitlines()) if len(row) == _COLUMNS]


def altered_files(files: Sequence[RecordedFile]) -> dict[str, str]:
    """Which files are gone or no longer what was installed.

    Text is digested; what is compiled is held to its size, which takes no reading of gigabytes.

    Returns:
        E.g. `numpy/core/_dtype.py: changed`, to the SHA-256 of what is there now; empty if nothing.
    """
    found = {}
    for file in files:
        if file.name.endswith(_COMPILED):
            there = file.path.stat().st_size if file.path.is_file() else -1
            problem = "" if there == file.size else "deleted" if there < 0 else "changed"
        else:
            problem = _alteration(file)
        if problem:
            now = fileio.digest_of_file(file.path) if file.path.is_file() else ""
            found[f"{file.name}: {problem}"] = now
    return found


def altered_package_files(package: str) -> dict[str, str]:
    """The files of an installed package that a run has to know of, as `altered_files` tells them.

    Not covered, and told by `repro audit`: compiled code of the same size, and files that were
    added.
    """
    found = distribution(package)
    files = files_of(found) if found else []
    return altered_files([each for each in files if each.name.endswith((".py", *_COMPILED))])


def altered_by_distribution(
    distributions: Sequence[Distribution],
    files: Sequence[RecordedFile],
    progress: Progress | None = None,
) -> dict[int, list[str]]:
    """Files that are gone or no longer what was installed.

    Returns:
        Index of the distribution to lines such as `numpy/core/_dtype.py: changed`.
    """
    total, done = sum(file.size for file in files), 0
    found: dict[int, list[str]] = {}
    with ThreadPoolExecutor(_WORKERS) as pool:
        batches = list(_batches(files))
        for batch, problems in zip(batches, pool.map(_check_batch, batches), strict=True):
            for owner, problem in problems:
                found.setdefault(owner, []).append(problem)
            done += sum(file.size for file in batch)
            if progress is not None:
                progress(done, total, distributions[batch[-1].owner].name)
    return found


def _batches(files: Iterable[RecordedFile]) -> Iterator[list[RecordedFile]]:
    batch: list[RecordedFile] = []
    size = 0
    for file in files:
        batch.append(file)
        size += file.size
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _check_batch(files: Sequence[RecordedFile]) -> list[tuple[int, str]]:
    checked = ((file, _alteration(file)) for file in files)
    return [(file.owner, f"{file.name}: {problem}") for file, problem in checked if problem]


def _alteration(file: RecordedFile) -> str:
    if file.algorithm not in _TRUSTED:
        return f"recorded with {file.algorithm}, which proves nothing"
    try:
        with fileio.open_regular_file(file.path) as stream:
            digest = hashlib.file_digest(stream, file.algorithm).digest()
    except FileNotFoundError:
        return "deleted"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    seen = base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")
    return "" if seen == file.digest.rstrip("=") else "changed"


def unrecorded_files(
    distributions: Sequence[Distribution],
) -> tuple[list[Path], dict[int, list[str]]]:
    """Files beside and inside the distributions that no RECORD lists.

    Byte code is left out where Python takes it only together with a source, which is listed.

    Returns:
        Entries that belong to none of them, such as a stray `.pth` file; and by index of the
        distribution, files in its folders, such as `numpy/extra.py: in no RECORD`.
    """
    listed: dict[Path, dict[str, int]] = {}
    for index, each in enumerate(distributions):
        listed.setdefault(each.place, {}).update(dict.fromkeys(each.names, index))
    # Without a RECORD nobody can say what a distribution owns.
    for each in distributions:
        if not each.has_record:
            listed.pop(each.place, None)
    stray: list[Path] = []
    inside: dict[int, list[str]] = {}
    for place, names in sorted(listed.items()):
        folders = {parent: at for name, at in names.items() for parent in _parents(name)}
        for top in sorted(place.iterdir()):
            if top.name in names or top.name in folders or top.name in _IGNORED:
                continue
            if not _is_empty(top):
                stray.append(top)
        for name in _files_below(place, folders):
            byte_code = name.endswith(".pyc") and "/__pycache__/" in name
            if name not in names and not byte_code:
                at = next(folders[parent] for parent in _parents(name) if parent in folders)
                inside.setdefault(at, []).append(f"{name}: in no RECORD")
    return stray, inside


def _parents(name: str) -> list[str]:
    """Folders of a path, the nearest first."""
    found = []
    while "/" in name:
        name = name.rpartition("/")[0]
        found.append(name)
    return found


def _files_below(place: Path, folders: Iterable[str]) -> Iterator[str]:
    """Files in the top-level folders that somebody owns; paths relative to the place."""
    root = str(place)
    for top in sorted({name.partition("/")[0] for name in folders} - {"..", *_IGNORED}):
        for folder, _, files in os.walk(os.path.join(root, top)):  # noqa: PTH118  # 50,000 files
            below = folder[len(root) + 1 :]
            yield from (f"{below}/{name}" for name in files)


def _is_empty(entry: Path) -> bool:
    """Whether a folder has nothing but byte code: what an uninstallation leaves behind."""
    if not entry.is_dir():
        return False
    return all(path.suffix == ".pyc" for path in entry.rglob("*") if not path.is_dir())
