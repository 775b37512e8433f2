"""What the page is made from: verdicts, and what was seen in the records behind them.

Everything here is plain data. `repro.cli.report` fills it from verified records; nothing that
makes a page reads a record, so a page can be made from made-up data too.

Not covered: how a number is decided (`verify`), how it is drawn (`repro.report.figures`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from repro.coverage import Coverage
from repro.environment.machine import Drift
from repro.schema.finding import Verdict
from repro.schema.jobs import Tier
from repro.schema.manifest import Manifest


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
class Machine:
    """Records that were made in one environment."""

    hardware: str
    """Hardware class, as claims name it."""
    python: str
    platform: str
    records: int
    drift: tuple[Drift, ...]


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

    paper: str
    """What the claims are of, as it is called in a sentence."""
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
    unread: tuple[str, ...] = ()
    """Runs that could not be judged, and why: messages, of several lines each."""

    def tiers(self) -> tuple[Tier, ...]:
        """Tiers of the runs, each once."""
        found = [run.verdict.tier for run in self.runs if run.verdict.tier]
        return tuple(dict.fromkeys(found))
