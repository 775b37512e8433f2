"""What lies in a results folder: every record, sound or broken, and the run files that use it."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro import fileio
from repro.errors import BadInputError, CannotReadError, save_errors
from repro.schema.jobs import Job
from repro.schema.kinds.imported import ImportedJob
from repro.store import run_file
from repro.store.record import Record
from repro.store.run_file import RunFile
from repro.store.store import MODEL, BrokenRecordError, Store
from repro.text import first_few, plural

SHORT = 12
"""Digits of a key that are shown; any unambiguous number of them is understood."""


@dataclass(frozen=True)
class Entry:
    """One record."""

    key: str
    what: str
    """Slots that it fills, or what its job says where no run file knows it."""
    record: Record | None
    """None where it cannot be trusted."""
    broken: str
    """Why it cannot be trusted; empty if it can."""
    size: int
    """Bytes on the disk."""
    used_by: tuple[str, ...]
    """Run files that refer to it, `<manifest>.<tier>`."""


def runs(store: Store) -> dict[str, RunFile]:
    """Every run file that can be read by its name, `<manifest>.<tier>`."""
    return {path.stem: run for path, run in run_file.read(store.root)[0].items()}


def unreadable_run_files(store: Store) -> list[BadInputError]:
    """Run files that cannot be read, each with what to do."""
    return run_file.read(store.root)[1]


def entries(store: Store) -> list[Entry]:
    """Every record of a folder, by key.

    Raises:
        BadInputError: if there is no such folder.
    """
    check_folder(store)
    known = runs(store)
    return [entry(store, key, known) for key in keys(store)]


def keys(store: Store) -> list[str]:
    """Keys of all records, sorted."""
    every = store.jobs.iterdir() if store.jobs.is_dir() else ()  # `glob` hides what it may not see
    names = {path.name for path in every if path.is_dir()}
    return sorted(name for name in names if not name.startswith("."))


def orphans(store: Store) -> tuple[str, ...]:
    """That records lie here which no run file names, in one sentence; empty if none do.

    Raises:
        BadInputError: if a run file is damaged.
    """
    named = {key for run in runs(store).values() for key in run.jobs.values()}
    found = [key[:SHORT] for key in keys(store) if key not in named]
    if not found:
        return ()
    note = (
        f"in no count: {plural(len(found), 'record')} in {store.root.name} that no run file names "
        f"({first_few(found)}); an earlier run's, or its run file is gone (`repro results list`)"
    )
    return (note,)


def entry(store: Store, key: str, known: Mapping[str, RunFile]) -> Entry:
    """One record; weights beside it are held to their digests too."""
    slots = [slot for run in known.values() for slot, each in run.jobs.items() if each == key]
    used_by = tuple(name for name, run in known.items() if key in run.jobs.values())
    record, broken = None, ""
    try:
        record = store.load(key)[0]
        broken = _damaged_weights(store.folder(key) / MODEL, record.files)
    except (BrokenRecordError, CannotReadError, OSError) as error:
        broken = str(error)
    what = ", ".join(dict.fromkeys(slots)) or (
        _add_bills_of_materials(record.job) if record else "unknown"
    )
    return Entry(key, what, record, broken, size_of(store.folder(key)), used_by)


def find_record(store: Store, prefix: str) -> Entry:
    """The record whose key begins so.

    Raises:
        BadInputError: if none does, or several do.
    """
    check_folder(store)
    found = [key for key in keys(store) if key.startswith(prefix)]
    if len(found) == 1:
        return entry(store, found[0], runs(store))
    several = ", ".join(key[: max(SHORT, len(prefix) + 2)] for key in found[:5])
    what = f"{len(found)} records begin so: {several}" if found else "no record begins so"
    message = f"{prefix}: {what} in {store.jobs}; expected the first digits of one key"
    raise BadInputError(message)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def check_folder(store: Store) -> None:
    """Refuse a folder that is not there: an empty one would hide a slip."""
    if not store.root.is_dir():
        message = f"found no folder {store.root}, expected what `repro run` wrote"
        raise BadInputError(message)


def _damaged_weights(folder: Path, files: Mapping[str, str]) -> str:
    """Which weights are not what their record says; empty if none."""
    wrong: Sequence[str] = [
        name
        for name, sha in files.items()
        if not (folder / name).is_file() or fileio.digest_of_file(folder / name) != sha
    ]
    return f"its weights are damaged or gone: {', '.join(wrong)}" if wrong else ""


def _add_bills_of_materials(job: Job | ImportedJob) -> str:
    """A job in the words of a slot."""
    said = [getattr(job, name, None) for name in ("checkpoint", "task", "family", "projection")]
    setting = getattr(job, "setting", None)
    said += [getattr(job, "dtype", None), getattr(setting, "id", None)]
    said += [f"imported, {job.by}"] if isinstance(job, ImportedJob) else []
    return ".".join(str(each) for each in said if each) or job.kind


# -----------------------------------------------------------------------------
# What a results folder holds for nobody: found first, removed only when asked to.
#
# Kept: what a run file refers to, imports, weights that such a record was made with, where a job
# that a run file waits for can be taken up again, and everything whose key somebody holds.
#
# Not covered: a run that has found a record and not yet written its run file; it says `not-run`,
# and the next run makes the record again.

_HOUR = 3600
"""A small file is written in less."""


@dataclass(frozen=True)
class Garbage:
    """Something that may go."""

    path: Path
    key: str
    """Whose lock has to be free; empty for a small file of no key."""
    why: str
    size: int
    """Bytes."""


def garbage(store: Store) -> list[Garbage]:
    """What may go now; nothing is changed but lock files that nobody holds.

    Raises:
        BadInputError: no such folder, or a damaged run file: it may refer to anything.
    """
    check_folder(store)
    if damaged := unreadable_run_files(store):
        told = "\n".join(map(str, damaged))
        message = f"nothing may go while a run file cannot be read, which may need it\n{told}"
        raise BadInputError(message)
    wanted = {key for run in runs(store).values() for key in run.jobs.values()}
    wanted |= _tunings_of(store, wanted)
    found = []
    for each in _candidates(store, wanted):
        with store.lock_now(each.key) as free:
            if free:
                found.append(each)
    return found + list(_small_files(store))


def remove_garbage(store: Store, garbage: list[Garbage]) -> int:
    """Remove it, but for what somebody holds by now.

    Returns:
        Bytes that were freed.
    """
    freed = 0
    for each in garbage:
        with save_errors(each.path):
            if not each.key:
                each.path.unlink(missing_ok=True)
                freed += each.size
                continue
            with store.lock_now(each.key) as free:
                if free and each.path.exists():
                    _remove(store, each)
                    freed += each.size
    return freed


def _remove(store: Store, each: Garbage) -> None:
    if each.path == store.folder(each.key):
        store.remove(each.key)
    else:
        shutil.rmtree(each.path)


def _candidates(store: Store, wanted: set[str]) -> Iterator[Garbage]:
    size = size_of
    for key in keys(store):
        if key not in wanted and not _is_import(store, key):
            path = store.folder(key)
            yield Garbage(path, key, "a record that no run file refers to", size(path))
    for key, path in store.leftovers():
        yield Garbage(path, key, "half written by a run that was killed", size(path))
    for path in sorted(store.work.glob("*")):
        if store.has(path.name):
            yield Garbage(path, path.name, "work of a job that is finished", size(path))
        elif path.name not in wanted:
            yield Garbage(path, path.name, "work of a job that no run file refers to", size(path))


def _is_import(store: Store, key: str) -> bool:
    """Whether somebody else measured it: no run would make it again."""
    try:
        return isinstance(store.load(key)[0].job, ImportedJob)
    except (BrokenRecordError, OSError):
        return False


def _small_files(store: Store) -> Iterator[Garbage]:
    """Run files and pins that a killed run was writing."""
    for folder in (store.root, store.root / "runs"):
        for path in sorted(folder.glob(".writing-*")):
            if path.is_file() and time.time() - path.stat().st_mtime > _HOUR:
                why = "half written by a run that was killed"
                yield Garbage(path, "", why, path.stat().st_size)


def _tunings_of(store: Store, wanted: set[str]) -> set[str]:
    """Keys of tunings whose weights some wanted record was made with."""
    read: set[str] = set()
    made: dict[str, set[str]] = {}
    for key in keys(store):
        try:
            record = store.load(key)[0]
        except (BrokenRecordError, OSError):
            continue
        made[key] = set(record.files.values())
        if key in wanted:
            read |= {sha for name, sha in record.inputs.items() if name.startswith(f"{MODEL}/")}
    return {key for key, files in made.items() if files & read}
