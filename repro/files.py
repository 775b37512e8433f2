"""Files that are written whole or not at all, and are on the disk before they have their name.

After a power cut a rename may be on the disk and what it names may not: file, folder entry and the
entry of the new name are flushed, in that order.

A link is followed: what it leads to is replaced, and the link stays. What is no file, a device, a
pipe, our own output, is written to and never replaced. Who may read a new file or folder says the
umask of whoever runs this, as of any other program.
"""

import ctypes
import errno
import os
import secrets
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from repro.errors import BadInputError, saving

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Of Linux' `renameat2`."""


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all, and have it on the disk before it is named.

    Raises:
        CannotSaveError: there is no space, or no right to write.
        BadInputError: a file cannot be written there: a folder, a pipe that nobody reads.
    """
    with saving(path):
        write_bytes(path, escaped(text).encode())


def have_scratch(folder: Path) -> None:
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


def move(draft: Path, path: Path) -> None:
    """Give a finished file of the same file system its name, as `write_bytes` does."""
    stream = opened_stream(path)
    if stream is None:
        draft.replace(os.path.realpath(path))
        return
    with stream, draft.open("rb") as file:
        shutil.copyfileobj(file, stream)


def write_bytes(path: Path, content: bytes) -> None:
    """The same of bytes; a failure to write is the system's own error."""
    stream = opened_stream(path)
    if stream is not None:
        with stream:
            stream.write(content)
        return
    path = Path(os.path.realpath(path))
    make_folder(path.parent)
    draft = unused(path.parent, ".writing-")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def opened_stream(path: Path) -> BinaryIO | None:
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
        ours = (each for each in (1, 2) if _is(each, found))
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


def _is(handle: int, found: os.stat_result) -> bool:
    """Whether a file is what a handle of ours writes to."""
    try:
        return os.path.samestat(os.fstat(handle), found)
    except OSError:  # closed
        return False


def _no_file(path: Path, what: str) -> BadInputError:
    return BadInputError(f"{path}: found {what}, expected a file or a free name")


def unused(folder: Path, prefix: str) -> Path:
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
