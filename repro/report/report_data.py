"""What the page is made from: verdicts, and what was seen in the records behind them.

Everything here is plain data. `repro.report.collect` fills it from verified records; nothing that
makes a page reads a record, so a page can be made from made-up data too.

Not covered: how a number is decided (`verify`), how it is drawn (`repro.report.figures`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from repro.coverage import Coverage, Entry
from repro.environment.machine import Drift
from repro.report.compared_view import Section
from repro.schema.finding import Verdict
from repro.schema.manifest import Manifest
from repro.store.record import Record


@dataclass(frozen=True)
class PaperShown:
    """What the page is about."""

    name: str
    """As it is called in a sentence."""
    title: str = ""
    """Empty where no more than its name is known."""
    authors: tuple[str, ...] = ()
    url: str = ""
    """Where a reader finds it; empty where nobody says."""

    def link(self, version: str) -> str:
        """Address of one version of it, where its address takes a version."""
        return f"{self.url}{version}" if "/abs/" in self.url else self.url


@dataclass(frozen=True)
class Run:
    """One run of one manifest, judged."""

    folder: str
    """Results folder, as it was given."""
    started: str
    """UTC, ISO 8601."""
    verdict: Verdict
    records: int
    """Jobs of it that have a record which can be trusted."""
    slots: int
    """Jobs that its tier has."""


@dataclass(frozen=True)
class RecordSeen:
    """One record, as a claim names it."""

    key: str
    folder: Path | None
    """Results folder that it lies in; None where that is gone by the time that one reads."""
    what: str
    """What ran: kind of job, model, precision."""
    setting: tuple[tuple[str, str], ...]
    """Everything else that it was told, by name; the setting's own label first."""
    hardware: str
    """Hardware class."""
    revision: str
    """Of the code that made it; empty in records from before it was written down."""
    drifted: int
    """Packages that were not at their pins."""

    @property
    def path(self) -> Path | None:
        """Its file."""
        return self.folder / "jobs" / self.key / "record.json" if self.folder else None

    @classmethod
    def of(cls, record: Record, folder: Path | None) -> Self:
        """What a page says of a record in a results folder."""
        job = record.job.model_dump(mode="json", exclude_none=True)
        setting = job.pop("setting", {})
        named = [job.pop("kind").replace("_", " "), job.pop("checkpoint", job.get("family", ""))]
        named += [job.get("method", ""), job.get("precision", job.get("dtype", ""))]
        revision = record.environment.revision
        return cls(
            key=record.key,
            folder=folder,
            what=" ".join(filter(None, named)),
            setting=tuple(_flat({"setting": setting.pop("id", ""), **setting, **job})),
            hardware=record.environment.hardware_class,
            revision=revision.of if revision else "",
            drifted=len(record.environment.drift),
        )


_LONGEST = 60
"""Characters of a list before it is only counted."""


def _flat(told: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Names and values in words; a long list is counted."""
    for name, value in told.items():
        label = f"{before}{name.replace('_', ' ')}"
        if value in ("", [], {}):
            continue
        if isinstance(value, Mapping) and not all(isinstance(e, str) for e in value.values()):
            yield from _flat(value, f"{label}, ")
        elif isinstance(value, Mapping | list):
            text = ", ".join(map(str, value))
            yield label, text if len(text) <= _LONGEST else f"{len(value)} of them"
        else:
            yield label, str(value)


@dataclass(frozen=True)
class PairFlips:
    """The most telling flips between two records, under the first setting of their models."""

    model: str
    sides: tuple[str, str]
    """Precision of each."""
    setting: str
    keys: tuple[str, str]
    """Of the records."""
    total: int
    """Flips of all numbers of shots, those that are not shown among them."""
    shown: Section
    """As `repro compare` prints them."""


@dataclass(frozen=True)
class Machine:
    """Records that were made in one environment."""

    hardware: str
    """Hardware class, as claims name it."""
    python: str
    platform: str
    records: int
    drift: tuple[Drift, ...]


def machines(records: Iterable[Record]) -> tuple[Machine, ...]:
    """Environments of some records, those that are the same taken together."""
    found: dict[tuple[object, ...], Machine] = {}
    for record in records:
        seen = record.environment
        at = (seen.hardware_class, seen.python, seen.platform, seen.drift)
        before = found[at].records if at in found else 0
        found[at] = Machine(seen.hardware_class, seen.python, seen.platform, before + 1, seen.drift)
    return tuple(sorted(found.values(), key=lambda each: (each.hardware, each.python)))


@dataclass(frozen=True)
class PrecisionSide:
    """One evaluation of a pair, over all its shots."""

    precision: str
    letters: tuple[int, ...]
    """How often each letter was predicted."""
    ties: int
    """Questions whose best letters are equally likely."""


@dataclass(frozen=True)
class PrecisionPair:
    """The same questions asked in two precisions."""

    model: str
    setting: str
    answers: int
    """Questions times numbers of shots."""
    lost: int
    """Right in the reference alone."""
    won: int
    """Right in the candidate alone."""
    changed: int
    """Other letters, right or not."""
    gold: tuple[int, ...]
    """How often each letter is right."""
    reference: PrecisionSide
    candidate: PrecisionSide


@dataclass(frozen=True)
class TuningSummary:
    """What one fine-tuning left untouched."""

    model: str
    method: str
    precision: str
    path: str
    """Code that really ran."""
    tensors: int
    """Trainable ones."""
    dead: int
    """Of them without any gradient."""
    dead_names: tuple[str, ...]
    """Names, those that differ in a number alone taken together."""
    runs: int = 1
    """Records that say the same, of several seeds and sizes."""


@dataclass(frozen=True)
class Timing:
    """One way of fine-tuning under one cap of memory, timed."""

    name: str
    """Model and arm."""
    cap: float
    """GiB."""
    speeds: tuple[float, ...]
    """Tokens a second of each timing; none where one row does not fit."""


@dataclass(frozen=True)
class Curve:
    """Deviations over time of many perturbed layers, for one way of perturbing them."""

    mode: str
    middle: tuple[float, ...]
    """Median over layers, one a time."""
    low: tuple[float, ...]
    """5 % quantile over layers."""
    high: tuple[float, ...]
    """95 % quantile over layers."""
    rates: tuple[float, float, float] | None
    """5 %, 50 % and 95 % quantile over layers of the fitted rate, a step; None where none fits."""
    falling: int
    """Layers whose rate is below 0 at 95 % confidence."""
    worst: float
    """Largest deviation over its bound; at most 1 where the bound holds."""
    control: bool
    """Layers built to break the bound; in the table, and not drawn."""


@dataclass(frozen=True)
class Envelope:
    """One record of perturbed roll-outs."""

    what: str
    layers: int
    """Whose curves it keeps."""
    of: int
    """Those that were rolled out."""
    times: tuple[float, ...]
    """Steps."""
    curves: tuple[Curve, ...]
    record: str
    """Job key."""


@dataclass(frozen=True)
class ReportData:
    """Everything that the page shows."""

    paper: PaperShown
    start: str
    """The manifest to begin with."""
    manifests: tuple[Manifest, ...]
    """Those of the runs, and the bundle's about the same paper."""
    page: tuple[Verdict, ...]
    """The paper against itself, one a manifest."""
    coverage: Coverage | None
    """None where the bundle has no ledger of sentences of this paper."""
    undecidable: Mapping[str, Mapping[str, str]]
    """Manifest to those of its claims that no full run could decide, and why."""
    runs: tuple[Run, ...] = ()
    machines: tuple[Machine, ...] = ()
    pairs: tuple[PrecisionPair, ...] = ()
    tunings: tuple[TuningSummary, ...] = ()
    timings: tuple[Timing, ...] = ()
    envelopes: tuple[Envelope, ...] = ()
    records: tuple[RecordSeen, ...] = ()
    """Those that passed every check."""
    flips: tuple[PairFlips, ...] = ()
    abstract: tuple[Entry, ...] = ()
    """Every sentence of the paper's abstract, with what checks it."""
    price: float | None = None
    """Of an hour of one H200; None where none is set."""
    unread: tuple[str, ...] = ()
    """Runs that could not be judged, and why: messages, of several lines each."""
