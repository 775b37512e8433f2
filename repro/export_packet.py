"""A packet: how it is laid out, its list of digests, and how one is opened.

    PACKET/ro-crate-metadata.json              what everything is and what made it
    PACKET/report.html, findings.csv           for a reader, for a spreadsheet
    PACKET/results/runs/, results/jobs/        what `repro verify` reads; results-2/ and so on
                                               where several results folders were packed
    PACKET/manifests/                          claims, the user's own too
    PACKET/pinned-requirements.txt, …          the lock
    PACKET/sbom-1.cdx.json, …                  one for each environment that measured
    PACKET/SHA256SUMS                          every file above, as sha256sum writes it
    PACKET/SHA256SUMS.sig                      once its author has signed it

A packet is a folder, or the same in a zip file. Equal files give equal zip files: entries are
sorted and have no time of their own.
"""

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from repro import digests
from repro.errors import BadInputError

SUMS = "SHA256SUMS"
SIGNATURE = f"{SUMS}.sig"
MANIFESTS = "manifests"
_RESULTS = "results"
_MODE = 0o100644 << 16
"""A plain file that everyone may read, as a zip file says it."""


def place_of(number: int) -> str:
    """Where the results folder of a number, from 1, lies in a packet."""
    return _RESULTS if number == 1 else f"{_RESULTS}-{number}"


def is_packet(folder: Path) -> bool:
    """Whether `repro export` made this folder."""
    return (folder / SUMS).is_file()


def results_of(folder: Path) -> list[Path]:
    """The results folders of a packet; of any other folder itself."""
    if not is_packet(folder):
        return [folder]
    numbers = range(1, 1 + sum(1 for _ in folder.glob(f"{_RESULTS}*")))
    return [folder / place_of(number) for number in numbers]


def files_of(folder: Path) -> Iterator[str]:
    """Every entry but folders, relative, sorted; a link to a folder is an entry."""
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        yield from ((Path(root) / name).relative_to(folder).as_posix() for name in links + files)


def write_sums(folder: Path) -> None:
    """List every file of a packet with its digest."""
    names = sorted(set(files_of(folder)) - {SUMS, SIGNATURE})
    lines = [f"{digests.of_file(folder / name)}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def differences(folder: Path, sums: bytes) -> list[str]:
    """How a packet differs from a list of digests, one line for each file.

    Raises:
        BadInputError: if the list is not one.
    """
    listed = {}
    for number, line in enumerate(sums.decode(errors="replace").splitlines(), start=1):
        digest, separator, name = line.partition("  ")
        if not (separator and name and len(digest) == 64):  # noqa: PLR2004  # of SHA-256
            message = f"{SUMS}, line {number}: found {line[:80]!r}, expected a digest and a file"
            raise BadInputError(message)
        listed[name] = digest
    found = set(files_of(folder)) - {SUMS, SIGNATURE}
    return [
        *(f"{name} is missing" for name in sorted(listed.keys() - found)),
        *(f"{name} is not listed" for name in sorted(found - listed.keys())),
        *(
            f"{name} was changed"
            for name in sorted(found & listed.keys())
            if _digest(folder / name) != listed[name]
        ),
    ]


def _digest(path: Path) -> str:
    """Of a file; a link is never what was packed."""
    return "a link" if path.is_symlink() else digests.of_file(path)


def write_zip(folder: Path, out: Path) -> None:
    """Put a packet's folder into a zip file."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files_of(folder)):
            entry = zipfile.ZipInfo(name)  # 1980, the beginning of a zip file's time
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, _MODE
            entry.file_size = (folder / name).stat().st_size
            with (folder / name).open("rb") as source, archive.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The folder of a packet; of a zip file, unpacked for as long as it is needed.

    Raises:
        BadInputError: if the zip file is damaged, or larger unpacked than there is room for.
    """
    if path.is_dir() or not zipfile.is_zipfile(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="repro-packet-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                size, free = sum(each.file_size for each in archive.infolist()), _free(folder)
                if size > free:
                    message = f"{path}: {size} bytes unpacked, {free} are free in {folder}"
                    raise BadInputError(message)
                archive.extractall(folder)  # it keeps every name inside the folder
        except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError) as error:
            message = f"{path}: cannot be unpacked: {error}"
            raise BadInputError(message) from error
        yield Path(folder)


def _free(folder: str) -> int:
    return shutil.disk_usage(folder).free
