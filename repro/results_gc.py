"""What a results folder holds for nobody: found first, removed only when asked to.

Kept: what a run file refers to, weights that such a record was made with, where a job that a run
file waits for can be taken up again, and everything whose key somebody holds.

Not covered: a run that has found a record and not yet written its run file; it says `not-run`, and
the next run makes the record again.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repro import results_entries
from repro.errors import BadInputError, saving
from repro.store import MODEL, BrokenRecordError, Store

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


def found(store: Store) -> list[Garbage]:
    """What may go now; nothing is changed but lock files that nobody holds.

    Raises:
        BadInputError: no such folder, or a damaged run file: it may refer to anything.
    """
    results_entries.check_folder(store)
    if damaged := results_entries.unread(store):
        told = "\n".join(map(str, damaged))
        message = f"nothing may go while a run file cannot be read, which may need it\n{told}"
        raise BadInputError(message)
    wanted = {key for run in results_entries.runs(store).values() for key in run.jobs.values()}
    wanted |= _tunings_of(store, wanted)
    found = []
    for each in _candidates(store, wanted):
        with store.lock_now(each.key) as free:
            if free:
                found.append(each)
    return found + list(_small_files(store))


def remove(store: Store, garbage: list[Garbage]) -> int:
    """Remove it, but for what somebody holds by now.

    Returns:
        Bytes that were freed.
    """
    freed = 0
    for each in garbage:
        with saving(each.path):
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
    size = results_entries.size_of
    for key in results_entries.keys(store):
        if key not in wanted:
            path = store.folder(key)
            yield Garbage(path, key, "a record that no run file refers to", size(path))
    for key, path in store.leftovers():
        yield Garbage(path, key, "half written by a run that was killed", size(path))
    for path in sorted(store.work.glob("*")):
        if store.has(path.name):
            yield Garbage(path, path.name, "work of a job that is finished", size(path))
        elif path.name not in wanted:
            yield Garbage(path, path.name, "work of a job that no run file refers to", size(path))


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
    for key in results_entries.keys(store):
        try:
            record = store.load(key)[0]
        except (BrokenRecordError, OSError):
            continue
        made[key] = set(record.files.values())
        if key in wanted:
            read |= {sha for name, sha in record.inputs.items() if name.startswith(f"{MODEL}/")}
    return {key for key, files in made.items() if files & read}
