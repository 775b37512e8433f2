"""Files that somebody else may have made: opened only if they are files, read only to an end.

A results folder, or the name of a manifest in a run file, may lead to a pipe that nobody writes to
or to a device that never ends. Neither is opened as a file would be.

Not covered: a regular file that another process makes longer while it is read.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

LARGEST = 1 << 26
"""Bytes of a document; the largest that a run writes has some 100,000."""


def opened(path: Path) -> BufferedReader:
    """A regular file, for reading.

    Raises:
        OSError: it cannot be opened, or is something else, such as a pipe or a device.
    """
    try:
        # Without the flag the opening of a pipe waits for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, "a name with a zero byte", str(path)) from error
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        what = "is a folder" if stat.S_ISDIR(kind) else "is no file (a pipe or a device)"
        raise OSError(errno.EINVAL, what, str(path))
    return os.fdopen(handle, "rb")


def content(path: Path) -> bytes:
    """All of a document.

    Raises:
        OSError: the same, or it is larger than any document is.
    """
    found = bytearray()
    with opened(path) as stream:
        while len(found) <= LARGEST and (piece := stream.read(1 << 20)):  # no 64 MiB at once
            found += piece
    if len(found) > LARGEST:
        message = f"is larger than {LARGEST >> 20} MiB"
        raise OSError(errno.EFBIG, message, str(path))
    return bytes(found)
