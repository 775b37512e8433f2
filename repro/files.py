"""Files that are written whole or not at all, and are on the disk before they have their name.

After a power cut a rename may be on the disk and what it names may not: file, folder entry and the
entry of the new name are flushed, in that order.
"""

import ctypes
import errno
import os
import tempfile
from pathlib import Path

from repro.errors import saving

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Of Linux' `renameat2`."""


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all, and have it on the disk before it is named."""
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


def write_bytes(path: Path, content: bytes) -> None:
    """The same of bytes; a failure to write is the system's own error."""
    make_folder(path.parent)
    handle, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
        sync(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)


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
