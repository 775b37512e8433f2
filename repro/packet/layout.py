"""What goes into a packet: copied first, then read as its description needs it.

Not covered: what things are called in RO-Crate (`repro.packet.crate`).
"""

import contextlib
import datetime as dt
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from repro import fileio, paths
from repro.audit import sbom
from repro.audit.audit import Audit, Row
from repro.environment import pins
from repro.environment.machine import Environment
from repro.errors import BadInputError, CannotReadError, cannot_read
from repro.schema import catalog, manifest, paper, validate
from repro.schema.kinds.imported import ImportedJob
from repro.schema.manifest import Manifest
from repro.store import run_file
from repro.store.record import Record
from repro.store.run_file import MANIFESTS, RunFile, place_of
from repro.store.store import MODEL, BrokenRecordError, Store

if TYPE_CHECKING:
    from repro.schema.base import Frozen

# -----------------------------------------------------------------------------
# The copy, made first, so that one state of the results is judged and described.
#
# Copied are run files, the records that they name with their arrays, `pins.json`, the manifests and
# the lock; `paper.json` and the bundle's manifests about the same paper; of the catalog what these
# name, and what else it knows of that paper. So a packet is judged without the bundle. Left out are
# weights that a job made, records that no run names, states of unfinished jobs.
#
# Not covered: a run that writes at the same time. What it replaces in between is packed as it is
# then, and a record of which half is new is found to be damaged.

FILES = ("record.json", "arrays.safetensors")
"""Of a record, what is packed."""


@dataclass
class NotPacked:
    """What was not copied."""

    weights: dict[str, int]
    """Bytes of each file of weights, by where it would have been in the packet."""
    unnamed: int
    """Records that no run names."""
    unread: list[BadInputError] = field(default_factory=list)
    """Run files that are damaged, or cannot be read."""


def stage(folders: Sequence[Path], packet: Path) -> NotPacked:
    """Copy what some results folders hold into a new folder.

    Raises:
        BadInputError: if a manifest of one's own is gone, two have one name, or a file went away
            meanwhile.
        CannotReadError: if a file may not be read.
    """
    left = NotPacked({}, 0)
    try:
        for path in (pins.LOCK, pins.KERNELS):
            _copy(path, packet / path.name)
        for number, folder in enumerate(folders, start=1):
            _stage(folder, packet, place_of(number), left)
        _stage_bundle(packet)
    except FileNotFoundError as error:
        message = f"{error.filename} went away while it was packed; try again when no run is on"
        raise BadInputError(message) from error
    except PermissionError as error:  # the folder that is written to was made just now
        raise CannotReadError(cannot_read(error.filename, error)) from error
    return left


def _stage(folder: Path, packet: Path, place: str, left: NotPacked) -> None:
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


def _stage_bundle(packet: Path) -> None:
    """What the bundle at hand knows of the papers that the packed runs are about."""
    bundle, own = paths.bundle(), list[Manifest]()
    for path in sorted((packet / MANIFESTS).glob("*.json")):
        with contextlib.suppress(BadInputError):  # judging says what is wrong with it
            own.append(validate.load_manifest(path))
    packed = validate.about_the_same(own)
    for each in packed:
        _copy(bundle.manifests / f"{each.id}.json", packet / MANIFESTS / f"{each.id}.json")
    if packed:
        for path in (bundle.paper, *sorted(bundle.catalog.glob("*.json"))):
            if path.is_file() and path.name not in (*catalog.FILES, manifest.PATH.name):
                _copy(path, packet / path.relative_to(bundle.root))
    named: set[str] = set()
    for pattern in ("manifests/*.json", "*/runs/*.json", "*/jobs/*/record.json"):
        for path in packet.glob(pattern):
            named |= set(_STRING.findall(path.read_bytes().decode(errors="replace")))
    for name, content in {**catalog.entries(named), **schemas()}.items():
        (packet / name).parent.mkdir(exist_ok=True)
        (packet / name).write_text(content, encoding="utf-8")


_STRING = re.compile(r'"([^"\\]+)"')
"""Whatever a file names, as JSON writes it: checkpoints and data sets are among them."""


def schemas() -> dict[str, str]:
    """The schema of each kind of file that a packet holds, by its place there."""
    models: dict[str, type[Frozen]] = {
        "paper": paper.Paper,
        "manifest": manifest.Manifest,
        "run": RunFile,
        "record": Record,
        **catalog.SCHEMAS,
    }
    return {
        f"schemas/{name}.schema.json": json.dumps(model.model_json_schema(), indent=1) + "\n"
        for name, model in models.items()
    }


def _manifest_of(run: RunFile) -> Path:
    """The manifest of a run: the bundle's, else the user's own file."""
    bundled = paths.bundle().manifests / f"{run.manifest}.json"
    path = bundled if bundled.is_file() else Path(run.file)
    if not path.is_file():
        message = f"{path}: found no such file, expected the manifest of the run of {run.manifest}"
        raise BadInputError(message)
    return path


def _copy(source: Path, target: Path) -> None:
    """Copy a file; another one of the same name is an error."""
    if target.exists():
        if fileio.digest_of_file(source) != fileio.digest_of_file(target):
            message = f"{source} differs from another {target.name} that is packed; export it apart"
            raise BadInputError(message)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


# -----------------------------------------------------------------------------
# The records of a staged packet, as its description needs them.


@dataclass(frozen=True)
class UnpackedWeights:
    """A file of weights that a job made and that is not packed."""

    name: str
    sha256: str
    size: int | None
    """Bytes; None where the file itself was not there either."""


@dataclass(frozen=True)
class Packed:
    """One whole record."""

    place: str
    """Its folder in the packet."""
    record: Record
    asked: tuple[str, ...]
    """Which runs asked for it, and as what."""
    left_out: tuple[UnpackedWeights, ...]

    def files(self) -> list[str]:
        """What of it is packed."""
        return [f"{self.place}/{name}" for name in FILES]


@dataclass(frozen=True)
class Contents:
    """Every record that is packed."""

    records: tuple[Packed, ...]
    damaged: tuple[str, ...]
    """Folders of records that cannot be trusted; they are packed, and a verdict says so."""
    date: str
    """Day of the newest record or run; today where there is none."""


def read(packet: Path, left: NotPacked) -> Contents:
    """Read the records of a staged packet."""
    records: list[Packed] = []
    damaged: list[str] = []
    times: list[str] = []
    for folder in sorted(path.parent for path in packet.glob("*/runs")):
        store = Store(folder)
        runs = {path: run_file.load(path) for path in run_file.paths(folder)}
        times += [run.started for run in runs.values()]
        for key, slots in _slots_by_key(runs).items():
            place = f"{folder.name}/jobs/{key}"
            try:
                record, _ = store.load(key)
            except FileNotFoundError:
                continue  # a run that was cut short
            except BrokenRecordError:
                damaged.append(place)
                continue
            left_out = tuple(
                UnpackedWeights(name, sha256, left.weights.get(f"{place}/{name}"))
                for name, sha256 in sorted(record.files.items())
            )
            records.append(Packed(place, record, slots, left_out))
    times += [end_time(each.record).isoformat() for each in records]
    date = max(times)[:10] if times else dt.datetime.now(dt.UTC).date().isoformat()
    return Contents(tuple(records), tuple(damaged), date)


def end_time(record: Record) -> dt.datetime:
    """When a job was done: its beginning and the seconds that it took."""
    return dt.datetime.fromisoformat(record.started) + dt.timedelta(seconds=record.seconds)


def environments(contents: Contents) -> dict[str, tuple[str, list[Record]]]:
    """The different environments that measured, by digest of their software.

    That of an import is unknown, and has no bill of materials.

    Returns:
        Digest to the name of its bill of materials and the records made in it, in order of time.
    """
    found: dict[str, list[Record]] = {}
    for packed in sorted(contents.records, key=lambda each: (each.record.started, each.place)):
        if not isinstance(packed.record.job, ImportedJob):
            found.setdefault(software_of(packed.record.environment), []).append(packed.record)
    return {
        digest: (f"sbom-{number}.cdx.json", made)
        for number, (digest, made) in enumerate(found.items(), start=1)
    }


def software_of(environment: Environment) -> str:
    """Digest of the Python and the packages that a record was made with."""
    return fileio.digest_of_data([environment.python, environment.packages])


def _slots_by_key(runs: Mapping[Path, RunFile]) -> dict[str, tuple[str, ...]]:
    """Every job key that some runs name, with the slots that it fills."""
    found: dict[str, list[str]] = {}
    for path, run in runs.items():
        for slot, key in run.jobs.items():
            found.setdefault(key, []).append(f"{path.stem}: {slot}")
    return {key: tuple(sorted(found[key])) for key in sorted(found)}


# -----------------------------------------------------------------------------
# Bills of materials of the environments that measured, from what their records say.
#
# One for each different set of Python and packages, by `repro.audit.sbom`. It is dated by the
# newest record made there, so that equal records give equal bytes.
#
# Not covered: packages of the operating system and CUDA kernels, which no record lists; in the
# image that measured, `repro audit --format cyclonedx` does.


def boms(contents: Contents) -> dict[str, bytes]:
    """Name in the packet to a bill of materials (CycloneDX 1.6, JSON)."""
    return {name: _bom(made).encode() for name, made in environments(contents).values()}


def _bom(made: Sequence[Record]) -> str:
    environment = made[0].environment
    audit = Audit(rows=_rows(environment), problems=(), environment=environment, floating=())
    found = json.loads(sbom.cyclonedx(audit))
    newest = max(end_time(record) for record in made)
    found["metadata"]["timestamp"] = newest.isoformat(timespec="seconds")
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _rows(environment: Environment) -> tuple[Row, ...]:
    """The packages of an environment as an audit shows them; nobody looked into their files."""
    pinned, paper = pins.versions(), pins.paper()
    drifted = {each.package: each.pinned for each in environment.drift}
    return tuple(
        Row(
            package=name,
            paper=paper[name].printed if name in paper else None,
            pinned=drifted.get(name, pinned.get(name)),
            installed=version,
            state="wrong version" if name in drifted else "as pinned",
            detail="",
            files=(),
        )
        for name, version in sorted(environment.packages.items())
    )
