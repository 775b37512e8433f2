"""One writer a name, across processes and hosts: a lock that a dead owner cannot keep.

A lock is a file that its owner has open and locked (`flock`); the system lets go when the process
ends, however it ends. The owner takes the file away before it lets go, so that only the killed
leave one, empty-handed.

Not covered: a file system without locks is refused; one whose locks reach no other host (Lustre
mounted with `localflock`, NFS with `local_lock`) cannot be told from one whose locks do; a child
that a job forked and that outlives it keeps the lock.
"""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from repro import regular_file
from repro.errors import CannotSaveError, saving
from repro.files import make_folder

_POLL = 0.2
"""Seconds between two tries."""


@contextmanager
def held(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock, as soon as nobody else does.

    Args:
        path: The file that stands for it.
        waiting: Told, again and again, who holds it.

    Raises:
        CannotSaveError: the folder cannot be written, or its file system has no locks.
    """
    while (handle := _taken(path)) is None:
        waiting(_owner(path))
        time.sleep(_POLL)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


@contextmanager
def held_now(path: Path) -> Iterator[bool]:
    """Hold a lock if nobody else does; tells which."""
    handle = _taken(path)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            path.unlink(missing_ok=True)
            os.close(handle)


def _taken(path: Path) -> int | None:
    """The open file, locked; None while somebody else has it."""
    with saving(path):
        make_folder(path.parent)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # never inherited by a new program
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == path.stat().st_ino:
            with suppress(OSError):  # a full disk keeps nobody from holding it
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return handle
    except (BlockingIOError, FileNotFoundError):  # held, or given back a moment ago
        pass
    except OSError as error:
        os.close(handle)
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            raise
        message = (
            f"could not lock {path}: {error.strerror}; its file system has no locks, and two "
            "runs would write over each other: choose another --out"
        )
        raise CannotSaveError(message) from error
    os.close(handle)
    return None


def _owner(path: Path) -> str:
    """Who holds a lock, for people."""
    try:
        return regular_file.content(path).decode(errors="replace") or "another process"
    except OSError:
        return "another process"
