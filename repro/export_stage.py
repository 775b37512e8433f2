"""What goes into a packet, copied first, so that one state of the results is judged and described.

Copied are run files, the records that they name with their arrays, `pins.json`, manifests and the
lock. Left out are weights that a job made, records that no run names, states of unfinished jobs.

Not covered: a run that writes at the same time. What it replaces in between is packed as it is
then, and a record of which half is new is found to be damaged.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from repro import bundle, digests, pins, run_file
from repro.errors import BadInputError, CannotReadError, cannot_read
from repro.export_packet import MANIFESTS, place_of
from repro.run_file import RunFile
from repro.store import MODEL, Store

FILES = ("record.json", "arrays.safetensors")
"""Of a record, what is packed."""


@dataclass
class Left:
    """What was not copied."""

    weights: dict[str, int]
    """Bytes of each file of weights, by where it would have been in the packet."""
    unnamed: int
    """Records that no run names."""
    unread: list[BadInputError] = field(default_factory=list)
    """Run files that are damaged, or cannot be read."""


def stage(folders: Sequence[Path], packet: Path) -> Left:
    """Copy what some results folders hold into a new folder.

    Raises:
        BadInputError: if a manifest of one's own is gone, two have one name, or a file went away
            meanwhile.
        CannotReadError: if a file may not be read.
    """
    left = Left({}, 0)
    try:
        for path in sorted(bundle.MANIFESTS.glob("*.json")):
            _copy(path, packet / MANIFESTS / path.name)
        for path in (pins.LOCK, pins.KERNELS):
            _copy(path, packet / path.name)
        for number, folder in enumerate(folders, start=1):
            _stage(folder, packet, place_of(number), left)
    except FileNotFoundError as error:
        message = f"{error.filename} went away while it was packed; try again when no run is on"
        raise BadInputError(message) from error
    except PermissionError as error:  # the folder that is written to was made just now
        raise CannotReadError(cannot_read(error.filename, error)) from error
    return left


def _stage(folder: Path, packet: Path, place: str, left: Left) -> None:
    """One results folder."""
    store, named = Store(folder), set[str]()
    runs, damaged = run_file.read(folder)
    left.unread += damaged
    for path, run in runs.items():
        named |= set(run.jobs.values())
        _copy(path, packet / place / "runs" / path.name)
        _copy(_manifest_of(run), packet / MANIFESTS / f"{run.manifest}.json")
    if (folder / "pins.json").is_file():
        _copy(folder / "pins.json", packet / place / "pins.json")
    for key in sorted(named):
        source, target = store.folder(key), packet / place / "jobs" / key
        for name in FILES:
            if (source / name).is_file():
                _copy(source / name, target / name)
        for path in (source / MODEL).rglob("*"):
            inside = path.relative_to(source / MODEL).as_posix()
            left.weights[f"{place}/jobs/{key}/{inside}"] = path.stat().st_size
    left.unnamed += sum(path.name not in named for path in store.jobs.glob("[0-9a-f]*"))


def _manifest_of(run: RunFile) -> Path:
    """The manifest of a run: the bundle's, else the user's own file."""
    bundled = bundle.MANIFESTS / f"{run.manifest}.json"
    path = bundled if bundled.is_file() else Path(run.file)
    if not path.is_file():
        message = f"{path}: found no such file, expected the manifest of the run of {run.manifest}"
        raise BadInputError(message)
    return path


def _copy(source: Path, target: Path) -> None:
    """Copy a file; another one of the same name is an error."""
    if target.exists():
        if digests.of_file(source) != digests.of_file(target):
            message = f"{source} differs from another {target.name} that is packed; export it apart"
            raise BadInputError(message)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
