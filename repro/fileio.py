"""Files that are written whole or not at all, and are on the disk before they have their name.

After a power cut a rename may be on the disk and what it names may not: file, folder entry and the
entry of the new name are flushed, in that order.

A link is followed: what it leads to is replaced, and the link stays. What is no file, a device, a
pipe, our own output, is written to and never replaced. Who may read a new file or folder says the
umask of whoever runs this, as of any other program.
"""

import ctypes
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from pydantic import BaseModel

from repro.errors import BadInputError, Problem, save_errors

if TYPE_CHECKING:  # numpy takes a quarter of the start-up that `repro list` is allowed
    import numpy as np
    from numpy.typing import NDArray


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Of Linux' `renameat2`."""


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all, and have it on the disk before it is named.

    Raises:
        CannotSaveError: there is no space, or no right to write.
        BadInputError: a file cannot be written there: a folder, a pipe that nobody reads.
    """
    with save_errors(path):
        write_bytes(path, escaped(text).encode())


def provide_temporary_folder(folder: Path) -> None:
    """Let temporary files go into a folder that is there, if this machine has no place for them.

    Libraries want such a place, even where they write nothing; processes of ours inherit it.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        os.environ["TMPDIR"] = os.path.abspath(folder)  # noqa: PTH100  # links stay as they are


def escaped(text: str) -> str:
    """Text with escapes for what is no character, as bytes in the name of a file may be."""
    return text.encode(errors="backslashreplace").decode()


def rename_draft(draft: Path, path: Path) -> None:
    """Give a finished file of the same file system its name, as `write_bytes` does."""
    stream = open_device(path)
    if stream is None:
        draft.replace(os.path.realpath(path))
        return
    with stream, draft.open("rb") as file:
        shutil.copyfileobj(file, stream)


def write_bytes(path: Path, content: bytes) -> None:
    """The same of bytes; a failure to write is the system's own error."""
    stream = open_device(path)
    if stream is not None:
        with stream:
            stream.write(content)
        return
    path = Path(os.path.realpath(path))
    make_folder(path.parent)
    draft = unused_path(path.parent, ".writing-")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def open_device(path: Path) -> BinaryIO | None:
    """Where a name leads to no file that could be replaced: that, open for writing.

    Returns:
        A device, a pipe, or a file that is our own output; None for a file or a free name.

    Raises:
        BadInputError: for whatever cannot be written to as a file is.
    """
    try:
        found = os.stat(path)  # noqa: PTH116  # /dev/stdout leads to a pipe that has no path
    except (FileNotFoundError, ValueError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _no_file(path, "a link to itself") from error
        raise
    sys.stdout.flush()  # what was printed before stands before
    if stat.S_ISREG(found.st_mode):
        ours = (each for each in (1, 2) if _is_same_file(each, found))
        return next((os.fdopen(os.dup(each), "wb") for each in ours), None)
    if stat.S_ISDIR(found.st_mode):
        raise _no_file(path, "a folder")
    if not (stat.S_ISCHR(found.st_mode) or stat.S_ISFIFO(found.st_mode)):
        raise _no_file(path, "a socket or a disk")
    try:
        # Without the flag the opening of a pipe waits for a reader.
        handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise _no_file(path, "a pipe that nobody reads") from error
        raise
    os.set_blocking(handle, True)
    return os.fdopen(handle, "wb")


def _is_same_file(handle: int, found: os.stat_result) -> bool:
    """Whether a file is what a handle of ours writes to."""
    try:
        return os.path.samestat(os.fstat(handle), found)
    except OSError:  # closed
        return False


def _no_file(path: Path, what: str) -> BadInputError:
    return BadInputError(f"{path}: found {what}, expected a file or a free name")


def unused_path(folder: Path, prefix: str) -> Path:
    """A name in a folder that nobody has; `tempfile` would keep others from reading what it makes.

    What is made under it has to be made as new (`open("x")`, `mkdir`).
    """
    return folder / f"{prefix}{secrets.token_hex(8)}"


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, and have their entries on the disk."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def sync(path: Path) -> None:
    """Have a file's content, or a folder's entries, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems cannot flush a folder, and then have no order to keep either.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Have everything in a folder on the disk, its own entries last."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            sync_tree(path)
        else:
            sync(path)
    sync(folder)


def exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step.

    Returns:
        False, with nothing done, where the file system cannot (NFS, or no Linux).

    Raises:
        OSError: it could and failed.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    done = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if done == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV, errno.ENOTTY):
        return False
    raise OSError(number, os.strerror(number), str(one))


# -----------------------------------------------------------------------------
# Files that somebody else may have made: opened only if they are files, read only to an end.
#
# A results folder, or the name of a manifest in a run file, may lead to a pipe that nobody writes
# to or to a device that never ends. Neither is opened as a file would be. A pipe is refused even
# where a user names it (`/dev/stdin`, a shell's `<(…)`): what is read here is digested, named in a
# run file and opened again by that name.
#
# Not covered: a regular file that another process makes longer while it is read.

LARGEST = 1 << 26
"""Bytes of a document; the largest that a run writes has some 100,000."""

WRONG_KIND = frozenset(
    {errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENOENT}
)
"""Of errors below: what lies there is wrong. Any other is of this reader or disk: no right, EIO."""

_KINDS = (
    (stat.S_ISDIR, "is a folder"),
    (stat.S_ISFIFO, "is a pipe, not a file: save what it carries in one"),
    (stat.S_ISSOCK, "is a socket, not a file"),
)


def open_regular_file(path: Path) -> BufferedReader:
    """A regular file, for reading.

    Raises:
        OSError: it cannot be opened, or is something else, such as a pipe or a device.
    """
    try:
        _refuse_irregular(os.stat(path).st_mode, path)  # noqa: PTH116  # opening some devices does something
        # Without the flag the opening of a pipe waits for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, "a name with a zero byte", str(path)) from error
    try:
        _refuse_irregular(os.fstat(handle).st_mode, path)
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def _refuse_irregular(mode: int, path: Path) -> None:
    """Everything but a regular file."""
    if not stat.S_ISREG(mode):
        what = next(
            (words for of_kind, words in _KINDS if of_kind(mode)), "is a device, not a file"
        )
        raise OSError(errno.EINVAL, what, str(path))


def read_bytes(path: Path) -> bytes:
    """All of a document.

    Raises:
        OSError: the same, or it is larger than any document is.
    """
    found = bytearray()
    with open_regular_file(path) as stream:
        while len(found) <= LARGEST and (piece := stream.read(1 << 20)):  # no 64 MiB at once
            found += piece
    if len(found) > LARGEST:
        raise OSError(errno.EFBIG, f"is larger than {LARGEST >> 20} MiB", str(path))
    return bytes(found)


def read_text(path: Path) -> str:
    """All of a document in UTF-8, without the mark that some editors begin one with.

    Raises:
        OSError: the same.
        UnicodeDecodeError: it is no UTF-8.
    """
    return read_bytes(path).decode("utf-8-sig")


# -----------------------------------------------------------------------------
# Digests: of files, and of data as canonical JSON.


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, lower-case hexadecimal."""
    with open_regular_file(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical(data: object) -> bytes:
    """The one JSON form of some data: sorted keys, no spaces, UTF-8, no NaN."""
    if isinstance(data, BaseModel):
        data = data.model_dump(mode="json")
    text = json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def digest_of_data(data: object) -> str:
    """SHA-256 of the canonical JSON of `data`."""
    return hashlib.sha256(canonical(data)).hexdigest()


def digests_of_rows(matrix: "NDArray[Any]") -> "NDArray[np.uint8]":
    """SHA-256 of each row of a matrix of integers, as little-endian int64; shape (rows, 32)."""
    import numpy as np

    rows = np.ascontiguousarray(matrix, dtype="<i8")
    found = [np.frombuffer(hashlib.sha256(row.tobytes()).digest(), np.uint8) for row in rows]
    return np.array(found, dtype=np.uint8).reshape(len(rows), 32)


# -----------------------------------------------------------------------------
# Large files that appear together under their names, whole, or not at all.


@dataclass(frozen=True)
class DraftFile:
    """A file that will have this content, or has it already."""

    path: Path
    size: int
    """Bytes."""
    sha256: str
    written: bool
    """False where `path` has it already."""


class Drafts:
    """Files of one folder under temporary names; those not published go when the block ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._temporary: list[Path] = []
        self._whole: dict[Path, Path] = {}
        """Those that are written to their end, each with its name."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._temporary:
            path.unlink(missing_ok=True)

    def write(self, name: str, content: Iterable[bytes | memoryview]) -> DraftFile:
        """Write a file under a temporary name, or compare it with the one that has its name.

        Raises:
            BadInputError: if there is a file of that name with another content.
            OSError: if it cannot be written.
        """
        path = self.folder / name
        if os.path.lexists(path):
            return _compare(path, content)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = unused_path(self.folder, ".writing-")
        self._temporary.append(temporary)
        digest, size = hashlib.sha256(), 0
        with temporary.open("xb") as stream:
            for chunk in content:
                digest.update(chunk)
                size += stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        self._whole[temporary] = path
        return DraftFile(path, size, digest.hexdigest(), written=True)

    def publish(self) -> None:
        """Give every file its name."""
        for temporary, path in self._whole.items():
            temporary.replace(path)


def _compare(path: Path, content: Iterable[bytes | memoryview]) -> DraftFile:
    """Tell the same file, made before, from one that must not be overwritten."""
    digest, size = hashlib.sha256(), 0
    for chunk in content:
        digest.update(chunk)
        size += len(chunk)
    expected = digest.hexdigest()
    found = digest_of_file(path)
    if found != expected:
        message = "a file of that name is there, with another content; nothing was written"
        remedy = f"none, or sha256 {expected}; move it away, or choose another folder with --out"
        raise BadInputError(message, [Problem(str(path), f"sha256 {found}", remedy)])
    return DraftFile(path, size, expected, written=False)
