"""The records of a staged packet, as its description needs them.

Not covered: what things are called in RO-Crate (`repro.export_crate`).
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from repro import digests, run_file
from repro.environment import Environment
from repro.export_stage import FILES, Left
from repro.record import Record
from repro.run_file import RunFile
from repro.store import BrokenRecordError, Store


@dataclass(frozen=True)
class LeftOut:
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
    left_out: tuple[LeftOut, ...]

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


def read(packet: Path, left: Left) -> Contents:
    """Read the records of a staged packet."""
    records: list[Packed] = []
    damaged: list[str] = []
    times: list[str] = []
    for folder in sorted(path.parent for path in packet.glob("*/runs")):
        store = Store(folder)
        runs = {path: run_file.load(path) for path in run_file.paths(folder)}
        times += [run.started for run in runs.values()]
        for key, slots in _asked(runs).items():
            place = f"{folder.name}/jobs/{key}"
            try:
                record, _ = store.load(key)
            except FileNotFoundError:
                continue  # a run that was cut short
            except BrokenRecordError:
                damaged.append(place)
                continue
            records.append(Packed(place, record, slots, tuple(_weights(place, record, left))))
    times += [ended(each.record).isoformat() for each in records]
    date = max(times)[:10] if times else dt.datetime.now(dt.UTC).date().isoformat()
    return Contents(tuple(records), tuple(damaged), date)


def ended(record: Record) -> dt.datetime:
    """When a job was done: its beginning and the seconds that it took."""
    return dt.datetime.fromisoformat(record.started) + dt.timedelta(seconds=record.seconds)


def environments(contents: Contents) -> dict[str, tuple[str, list[Record]]]:
    """The different environments that measured, by digest of their software.

    Returns:
        Digest to the name of its bill of materials and the records made in it, in order of time.
    """
    found: dict[str, list[Record]] = {}
    for packed in sorted(contents.records, key=lambda each: (each.record.started, each.place)):
        found.setdefault(software_of(packed.record.environment), []).append(packed.record)
    return {
        digest: (f"sbom-{number}.cdx.json", made)
        for number, (digest, made) in enumerate(found.items(), start=1)
    }


def software_of(environment: Environment) -> str:
    """Digest of the Python and the packages that a record was made with."""
    return digests.of_data([environment.python, environment.packages])


def _asked(runs: Mapping[Path, RunFile]) -> dict[str, tuple[str, ...]]:
    """Every job key that some runs name, with the slots that it fills."""
    found: dict[str, list[str]] = {}
    for path, run in runs.items():
        for slot, key in run.jobs.items():
            found.setdefault(key, []).append(f"{path.stem}: {slot}")
    return {key: tuple(sorted(found[key])) for key in sorted(found)}


def _weights(place: str, record: Record, left: Left) -> Iterator[LeftOut]:
    for name, sha256 in sorted(record.files.items()):
        yield LeftOut(name, sha256, left.weights.get(f"{place}/{name}"))
