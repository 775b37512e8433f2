"""Files that somebody else may have made: opened only if they are files, read only to an end.

A results folder, or the name of a manifest in a run file, may lead to a pipe that nobody writes to
or to a device that never ends. Neither is opened as a file would be. A pipe is refused even where a
user names it (`/dev/stdin`, a shell's `<(…)`): what is read here is digested, named in a run file
and opened again by that name.

Not covered: a regular file that another process makes longer while it is read.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

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


def opened(path: Path) -> BufferedReader:
    """A regular file, for reading.

    Raises:
        OSError: it cannot be opened, or is something else, such as a pipe or a device.
    """
    try:
        _refuse(os.stat(path).st_mode, path)  # noqa: PTH116  # opening some devices does something
        # Without the flag the opening of a pipe waits for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, "a name with a zero byte", str(path)) from error
    try:
        _refuse(os.fstat(handle).st_mode, path)
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def _refuse(mode: int, path: Path) -> None:
    """Everything but a regular file."""
    if not stat.S_ISREG(mode):
        what = next(
            (words for of_kind, words in _KINDS if of_kind(mode)), "is a device, not a file"
        )
        raise OSError(errno.EINVAL, what, str(path))


def content(path: Path, largest: int = LARGEST) -> bytes:
    """All of a document.

    Raises:
        OSError: the same, or it is larger than any document is.
    """
    found = bytearray()
    with opened(path) as stream:
        while len(found) <= largest and (piece := stream.read(1 << 20)):  # no 64 MiB at once
            found += piece
    if len(found) > largest:
        message = f"is larger than {largest >> 20} MiB"
        raise OSError(errno.EFBIG, message, str(path))
    return bytes(found)


def text(path: Path) -> str:
    """All of a document in UTF-8, without the mark that some editors begin one with.

    Raises:
        OSError: the same.
        UnicodeDecodeError: it is no UTF-8.
    """
    return content(path).decode("utf-8-sig")
