"""What lies in a results folder: every record, sound or broken, and the run files that use it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro import digests, run_file
from repro.errors import BadInputError, CannotReadError
from repro.jobs import Job
from repro.plural import counted, listed
from repro.record import Record
from repro.run_file import RunFile
from repro.store import MODEL, BrokenRecordError, Store

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


def unread(store: Store) -> list[BadInputError]:
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
        f"in no count: {counted(len(found), 'record')} in {store.root.name} that no run file names "
        f"({listed(found)}); an earlier run's, or its run file is gone (`repro results list`)"
    )
    return (note,)


def entry(store: Store, key: str, known: Mapping[str, RunFile]) -> Entry:
    """One record; weights beside it are held to their digests too."""
    slots = [slot for run in known.values() for slot, each in run.jobs.items() if each == key]
    used_by = tuple(name for name, run in known.items() if key in run.jobs.values())
    record, broken = None, ""
    try:
        record = store.load(key)[0]
        broken = _damaged(store.folder(key) / MODEL, record.files)
    except (BrokenRecordError, CannotReadError, OSError) as error:
        broken = str(error)
    what = ", ".join(dict.fromkeys(slots)) or (_described(record.job) if record else "unknown")
    return Entry(key, what, record, broken, size_of(store.folder(key)), used_by)


def find(store: Store, prefix: str) -> Entry:
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


def _damaged(folder: Path, files: Mapping[str, str]) -> str:
    """Which weights are not what their record says; empty if none."""
    wrong: Sequence[str] = [
        name
        for name, sha in files.items()
        if not (folder / name).is_file() or digests.of_file(folder / name) != sha
    ]
    return f"its weights are damaged or gone: {', '.join(wrong)}" if wrong else ""


def _described(job: Job) -> str:
    """A job in the words of a slot."""
    said = [getattr(job, name, None) for name in ("checkpoint", "task", "family", "projection")]
    setting = getattr(job, "setting", None)
    said += [getattr(job, "dtype", None), getattr(setting, "id", None)]
    return ".".join(str(each) for each in said if each) or job.kind
