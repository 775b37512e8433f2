"""Installed distributions, and whether their files are still those that were installed.

What is checked: every file that a distribution's RECORD lists with a digest, and entries
beside the distributions that no RECORD owns. What is not: compiled byte code (pip writes
it without a digest), and a RECORD that was rewritten together with its files.
"""

import base64
import csv
import hashlib
import importlib.metadata
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from repro import pins, regular_file

Progress = Callable[[int, int, str], None]
"""Called with bytes checked, bytes in all, and what is being checked."""

_COLUMNS = 3
"""Of a RECORD: path, digest, size."""
_WORKERS = 2
_BATCH = 32 << 20
"""Bytes handed to a worker at once: thousands of small files are not worth a task each."""
_TRUSTED = ("sha256", "sha384", "sha512")
"""Algorithms that the RECORD specification allows."""
_IGNORED = frozenset({"__pycache__", "README.txt", "README"})
"""Entries that Python itself puts beside distributions."""


@dataclass(frozen=True)
class File:
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


def find(search: Sequence[str]) -> tuple[list[Distribution], list[File]]:
    """Find all distributions on a search path, and all files whose digest is recorded.

    Args:
        search: Folders, as in `sys.path`. One that is listed twice is searched once.
    """
    folders = {str(Path(entry).resolve()): None for entry in search if Path(entry or ".").is_dir()}
    distributions: list[Distribution] = []
    files: list[File] = []
    for found in importlib.metadata.distributions(path=list(folders)):
        place = Path(str(found.locate_file("")))
        # Read here: from Python 3.12 on, `found.files` leaves out the files that are gone.
        record = found.read_text("RECORD")
        # A build leaves *.egg-info in a source tree; it installs nothing.
        if record is None and (place / "pyproject.toml").is_file():
            continue
        rows = [row for row in csv.reader((record or "").splitlines()) if len(row) == _COLUMNS]
        declared = (found.read_text("top_level.txt") or "").split()
        owner = len(distributions)
        distributions.append(
            Distribution(
                name=pins.normalise(found.metadata["Name"] or "unnamed"),
                version=found.version,
                place=place,
                has_record=record is not None,
                names=frozenset([row[0] for row in rows] + declared),
            )
        )
        for name, digest, size in rows:
            if digest and not name.endswith(".pyc"):
                algorithm, _, value = digest.partition("=")
                bytes_ = int(size) if size.isdecimal() else 0
                files.append(File(owner, place / name, name, algorithm, value, bytes_))
    return distributions, files


def changed(
    distributions: Sequence[Distribution], files: Sequence[File], progress: Progress | None = None
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


def _batches(files: Iterable[File]) -> Iterator[list[File]]:
    batch: list[File] = []
    size = 0
    for file in files:
        batch.append(file)
        size += file.size
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _check_batch(files: Sequence[File]) -> list[tuple[int, str]]:
    checked = ((file, _problem(file)) for file in files)
    return [(file.owner, f"{file.name}: {problem}") for file, problem in checked if problem]


def _problem(file: File) -> str:
    if file.algorithm not in _TRUSTED:
        return f"recorded with {file.algorithm}, which proves nothing"
    try:
        with regular_file.opened(file.path) as stream:
            digest = hashlib.file_digest(stream, file.algorithm).digest()
    except FileNotFoundError:
        return "deleted"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    seen = base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")
    return "" if seen == file.digest.rstrip("=") else "changed"


def unowned(distributions: Sequence[Distribution]) -> list[Path]:
    """Entries beside the distributions that none of them owns, such as a stray `.pth` file."""
    owned: dict[Path, set[str]] = {}
    for each in distributions:
        # Without a RECORD nobody can say what a distribution owns.
        owned.setdefault(each.place, set()).update(name.partition("/")[0] for name in each.names)
    incomplete = {each.place for each in distributions if not each.has_record}
    return [
        entry
        for place in sorted(owned.keys() - incomplete)
        for entry in sorted(place.iterdir())
        if entry.name not in owned[place] | _IGNORED and not _is_empty(entry)
    ]


def _is_empty(entry: Path) -> bool:
    """Whether a folder has nothing but byte code: what an uninstallation leaves behind."""
    if not entry.is_dir():
        return False
    return all(path.suffix == ".pyc" for path in entry.rglob("*") if not path.is_dir())
