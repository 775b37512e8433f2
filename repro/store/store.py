"""The results folder: records by job key, and one `run.json` for each manifest and tier.

    results/jobs/<key>/record.json, arrays.safetensors    written once, whole
    results/jobs/<key>/model/                             weights, where the job tuned a model
    results/work/<key>/                                   where a long job can be taken up again
    results/locks/<key>                                   who works on a key (`repro.store.store`)
    results/runs/<manifest>.<tier>.json                   what was asked, before the first job
    results/pins.json                                     what a first fetch resolved
    results/triton/                                       kernels that Triton compiled on a GPU

A record's folder is on the disk before it appears, by one rename: whatever ends a run, there is a
whole record or none, and an older one until the newer one has its place. Who writes a key, or
clears up after its writer, holds the key's lock.

Not covered: a disk that loses what it said it had written; `repro.store.store` says which file
systems keep two writers apart.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro import fileio, json_text
from repro.errors import CannotReadError, CannotSaveError, cannot_read, save_errors
from repro.fileio import exchange, make_folder, sync, sync_tree, unused_path, write_bytes

if TYPE_CHECKING:  # numpy takes a quarter of the start-up that `repro list` is allowed
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from repro.store.record import ArrayFile, Record

    Arrays = Mapping[str, NDArray[Any]]


MODEL = "model"
"""Folder of a record that holds the weights that its job made."""

FIRST = "first"
"""In the names of a record's inputs: the record that it was screened against."""

UNNAMED = "inputs_without_digest"
"""In a record's path: what it read that no digest names, so that it is never reused."""

_WRITING, _OLD, _GONE = ".writing-", ".old-", ".gone-"
"""Before a key: being written; put aside for a newer one; being removed."""


class BrokenRecordError(Exception):
    """A record cannot be trusted: what is wrong with it, in one sentence."""


def _tell_unreadable(key: str, error: OSError) -> None:
    """Tell a record that this reader cannot have from one that is wrong."""
    if error.errno not in fileio.WRONG_KIND:
        raise CannotReadError(cannot_read(f"record {key[:12]}", error)) from error


class Store:
    """Records under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs = root / "jobs"
        self.work = root / "work"
        self.locks = root / "locks"
        self.kernels = root / "triton"

    def folder(self, key: str) -> Path:
        """Where the record of a key lies, or would."""
        folder, aside = self.jobs / key, self.jobs / f"{_OLD}{key}"
        # Put aside by a writer that was killed before the newer one had its place.
        return aside if aside.exists() and not folder.exists() else folder

    @contextmanager
    def lock(self, key: str, waiting: Callable[[str], None] = lambda _: None) -> Iterator[None]:
        """Be the one writer of a key, as soon as nobody else is.

        Args:
            key: Of the record.
            waiting: Told, again and again, who is.

        Raises:
            CannotSaveError: the folder cannot be written, or its file system has no locks.
        """
        while (handle := _try_lock(self.locks / key)) is None:
            waiting(_owner(self.locks / key))
            time.sleep(_POLL)
        with _held(self.locks / key, handle):
            yield

    @contextmanager
    def lock_now(self, key: str) -> Iterator[bool]:
        """The same if nobody is; tells whether."""
        handle = _try_lock(self.locks / key)
        with nullcontext() if handle is None else _held(self.locks / key, handle):
            yield handle is not None

    def reusable(self, key: str) -> "Record | None":
        """The record of a key, if it is there, whole and undamaged, and may be reused."""
        try:
            record, _ = self.load(key)
        except (BrokenRecordError, CannotReadError, OSError):
            return None
        return None if UNNAMED in record.path else record

    def records(self) -> "Iterator[Record]":
        """Every record that can be read; its arrays are not looked at."""
        from repro.store.record import Record

        for path in sorted(self.jobs.glob("*/record.json")):
            with suppress(OSError, ValueError):
                yield json_text.load_model(path, Record.model_validate_json)

    def has(self, key: str) -> bool:
        """Whether it is."""
        return self.reusable(key) is not None

    def load(self, key: str) -> "tuple[Record, Arrays]":
        """A record and its arrays, held to their digests.

        Raises:
            FileNotFoundError: if there is no record of this key.
            CannotReadError: if this reader may not read it, or the disk fails.
            BrokenRecordError: if it is not what was written.
        """
        from repro.store.record import Record  # `repro list` opens none

        folder = self.folder(key)
        try:
            record = json_text.load_model(folder / "record.json", Record.model_validate_json)
        except ValueError as error:
            message = f"record {key[:12]} is not a record: {json_text.explain_error(error)}"
            if (version := json_text.other_version(error)) is not None:
                message = (
                    f"record {key[:12]} is of version {version}, which this tool does not read"
                )
            raise BrokenRecordError(message) from error
        except FileNotFoundError:
            raise
        except OSError as error:
            _tell_unreadable(key, error)
            message = f"record {key[:12]} cannot be read: {error.strerror}"
            raise BrokenRecordError(message) from error
        if record.digest != record.digest_of_content():
            message = f"record {key[:12]} was edited: its digest does not match its content"
            raise BrokenRecordError(message)
        if record.key != key:
            message = f"record {key[:12]} says that it is {record.key[:12]}"
            raise BrokenRecordError(message)
        return record, self._load_arrays(folder / record.arrays.name, record)

    def _load_arrays(self, path: Path, record: "Record") -> "Arrays":
        from safetensors import SafetensorError  # type: ignore[attr-defined]
        from safetensors.numpy import load_file

        try:
            found = fileio.digest_of_file(path)
            if found != record.arrays.sha256:
                message = (
                    f"the arrays of record {record.key[:12]} have digest {found[:12]}, "
                    f"the record says {record.arrays.sha256[:12]}"
                )
                raise BrokenRecordError(message)
            if (size := path.stat().st_size) != record.arrays.size:
                message = (
                    f"the arrays of record {record.key[:12]} have {size} bytes, the record says "
                    f"{record.arrays.size}"
                )
                raise BrokenRecordError(message)
            return load_file(path)
        # The library has no message for a dtype that numpy lacks, or a shape without end.
        except (OSError, SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, OSError):
                _tell_unreadable(record.key, error)
            message = f"the arrays of record {record.key[:12]} cannot be read: {error}"
            raise BrokenRecordError(message) from error

    def save(
        self,
        arrays: "Arrays",
        make_record: "Callable[[ArrayFile], Record]",
        model: Path | None = None,
    ) -> "Record":
        """Write a record and its arrays; they appear together or not at all.

        Whoever may not be alone with the key holds its lock.

        Args:
            arrays: Arrays by name; saved contiguous, in their own dtype.
            make_record: Builds the record once the digest of the arrays is known.
            model: Folder with the weights that the job made; it is moved.

        Raises:
            CannotRunError: if the disk is full or the folder cannot be written.
        """
        import numpy as np
        from safetensors.numpy import save

        from repro.store.record import ArrayFile

        # Bytes first: safetensors' own writer hides a full disk in a message of its own.
        content = save({name: np.ascontiguousarray(each) for name, each in arrays.items()})
        sha = hashlib.sha256(content).hexdigest()
        file = ArrayFile(name="arrays.safetensors", sha256=sha, size=len(content))
        record = make_record(file)
        with save_errors(self.jobs):
            make_folder(self.jobs)
            draft = unused_path(self.jobs, f"{_WRITING}{record.key}-")
            draft.mkdir()
            try:
                write_bytes(draft / file.name, content)
                write_bytes(
                    draft / "record.json", record.model_dump_json(indent=1).encode() + b"\n"
                )
                if model:
                    shutil.move(model, draft / MODEL)
                    sync_tree(draft / MODEL)
                    sync(draft)
                self._publish(draft, record.key)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        return record

    def _publish(self, draft: Path, key: str) -> None:
        """Give a whole record its name; an older one is there until the name is the newer's."""
        folder, aside = self.jobs / key, self.jobs / f"{_OLD}{key}"
        if folder.exists() and not exchange(draft, folder):
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)  # `folder` finds it there, should this be the last step
            sync(self.jobs)
        if not folder.exists():
            draft.rename(folder)
        sync(self.jobs)
        shutil.rmtree(aside, ignore_errors=True)

    def remove(self, key: str) -> None:
        """Remove a record; its name goes first, so that no half of it is ever found."""
        with save_errors(self.jobs):
            gone = unused_path(self.jobs, f"{_GONE}{key}-")
            gone.mkdir()
            self.folder(key).rename(gone / "record")
            sync(self.jobs)
            shutil.rmtree(gone)

    def leftovers(self) -> "Iterator[tuple[str, Path]]":
        """Folders that are no records, by key; those of a live writer are among them.

        What was put aside and is still the only record of its key is none of them.
        """
        for path in sorted(self.jobs.glob(".*-*")):
            key = path.name.split("-")[1]
            if path.name.startswith((_WRITING, _OLD, _GONE)) and path != self.folder(key):
                yield key, path

    def sweep(self) -> None:
        """Remove what killed runs were writing; what a live one holds stays."""
        for key, path in list(self.leftovers()):
            with self.lock_now(key) as alone:
                if alone and path != self.folder(key):
                    shutil.rmtree(path, ignore_errors=True)


# -----------------------------------------------------------------------------
# Kernels that Triton compiles at their first use on a GPU: Mamba-2's take minutes.
#
# Triton looks for what it compiled in the folder that TRITON_CACHE_DIR names, under a digest of
# everything that a kernel depends on. A folder of its own in there has each kernel, and a file
# `__grp__…` once the kernel is whole. Records, keys and packets know nothing of it.
#
# Reference: triton 2.2.0 and 3.6.0, `runtime/cache.py`. Not covered: nodes of a cluster, which keep
# what they compile.

_CACHE = "TRITON_CACHE_DIR"
_LOOK = 1.0
"""Seconds between two looks at the folder."""
_QUIET = 20
"""Seconds without a new kernel after which none is being compiled."""


@contextmanager
def kept_kernels(store: Store, told: Callable[[int, str], None] | None) -> Iterator[None]:
    """Have processes that start meanwhile keep kernels with the results; whoever set it, decides.

    `told`, if anybody, is told how many were compiled since, and where they are kept; 0 when that
    is over. What the folder holds already is not compiled, and nothing is said of it.
    """
    before = os.environ.get(_CACHE)
    if not (before or "").strip():  # as Triton takes an empty one
        os.environ[_CACHE] = os.path.abspath(store.kernels)  # noqa: PTH100  # links stay as they are
    folder = Path(os.environ[_CACHE].strip())
    try:
        with _watched(folder, told) if told else nullcontext():
            yield
    finally:
        os.environ.pop(_CACHE, None)
        os.environ.update({} if before is None else {_CACHE: before})


@contextmanager
def _watched(folder: Path, told: Callable[[int, str], None]) -> Iterator[None]:
    first, over = _compiled(folder), threading.Event()

    def watch() -> None:
        last, changed = first, time.monotonic()
        ending = False
        while not ending:
            ending = over.wait(_LOOK)
            found, now = _compiled(folder), time.monotonic()
            if found > last:
                told(found - first, str(folder))
                last, changed = found, now
            elif last > first and now - changed > _QUIET:
                told(0, str(folder))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _compiled(folder: Path) -> int:
    """How many whole kernels lie there, those with float32 products in a folder of their own."""
    try:
        return sum(1 for _ in folder.rglob("__grp__*"))
    except OSError:  # somebody clears it up meanwhile
        return 0


# -----------------------------------------------------------------------------
# One writer a name, across processes and hosts: a lock that a dead owner cannot keep.
#
# A lock is a file that its owner has open and locked (`flock`); the system lets go when the process
# ends, however it ends. The owner takes the file away before it lets go, so that only the killed
# leave one, empty-handed.
#
# Not covered: a file system without locks is refused; one whose locks reach no other host (Lustre
# mounted with `localflock`, NFS with `local_lock`) cannot be told from one whose locks do; a child
# that a job forked and that outlives it keeps the lock.

_POLL = 0.2
"""Seconds between two tries."""


@contextmanager
def _held(path: Path, handle: int) -> Iterator[None]:
    """Let go in the end, the file first."""
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _try_lock(path: Path) -> int | None:
    """The open file, locked; None while somebody else has it."""
    with save_errors(path):
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
        return fileio.read_bytes(path).decode(errors="replace") or "another process"
    except OSError:
        return "another process"
