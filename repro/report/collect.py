"""What a page shows of runs: each judged as `repro verify` does it, and what its records hold.

Only records that pass every check of the verifier are looked at.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from repro import coverage, paths
from repro.environment import pins
from repro.errors import BadInputError
from repro.report import compared_view
from repro.report.report_data import (
    Curve,
    Envelope,
    PairFlips,
    PaperShown,
    PrecisionPair,
    PrecisionSide,
    RecordSeen,
    ReportData,
    Run,
    Timing,
    TuningSummary,
    machines,
)
from repro.schema import catalog, paper, validate
from repro.schema.jobs import EvaluateJob, StabilityJob, ThroughputJob, TuningJob
from repro.schema.manifest import Manifest
from repro.store import contents, run_file
from repro.store.run_file import RunFile, manifest_of
from repro.store.store import Store
from verify import side_by_side
from verify.decidable import undecidable
from verify.evidence import Evidence
from verify.judge import judge
from verify.paper import paper_against_itself
from verify.records import answers, throughput, tuning
from verify.records.checked_record import CheckedRecord
from verify.rules import layer

if TYPE_CHECKING:
    from repro.store.record import Record


def gather(folders: Sequence[Path], shown: Mapping[Path, str] | None = None) -> ReportData:
    """Judge every run in some results folders and look into its records.

    Args:
        folders: What is judged, by the bundle at hand.
        shown: What a folder is called on the page, where that is not its path.

    Raises:
        BadInputError: if the bundle cannot be used.
    """
    claimed: dict[str, Manifest] = {}
    runs: list[Run] = []
    records: dict[str, Record] = {}
    arrays = RecordCollector()
    checkpoints, asked, pinned = catalog.checkpoints(), catalog.question_sets(), pins.versions()
    unread: list[BadInputError] = []
    seen: dict[str, RecordSeen] = {}
    for folder, run in _runs(folders, unread):
        try:
            found = manifest_of(run)
            _check_one_paper(claimed.get(run.manifest, found), found, folder)
        except BadInputError as error:
            unread.append(error)
            continue
        claimed[run.manifest] = found
        evidence = Evidence(claimed[run.manifest], run, Store(folder), checkpoints, asked)
        verdict = judge(claimed[run.manifest], evidence, pinned)
        verdict = verdict.with_notes(contents.orphans(evidence.store))
        loaded = list(evidence.checked())
        records |= {each.record.key: each.record for each in loaded}
        name = (shown or {}).get(folder, str(folder))
        place = folder if name == str(folder) else None  # a packet is unpacked for a while
        seen |= {each.record.key: RecordSeen.of(each.record, place) for each in loaded}
        arrays.add_records(loaded)
        runs.append(Run(name, run.started, verdict, len(loaded), len(evidence.slots)))
    claimed = {each.id: each for each in validate.about_the_same(claimed.values())} | claimed
    every = tuple(claimed[name] for name in sorted(claimed))
    ledger = _ledger(every)
    return ReportData(
        paper=_paper(every),
        start=paper.start(),
        manifests=every,
        page=tuple(paper_against_itself(each) for each in every),
        coverage=coverage.tally(ledger, every) if ledger else None,
        abstract=ledger.sections.get("abstract", ()) if ledger else (),
        undecidable={each.id: undecidable(each, each.tiers()[-1], asked) for each in every},
        runs=tuple(runs),
        machines=machines(records.values()),
        pairs=arrays.pairs(),
        tunings=arrays.tunings(),
        timings=arrays.timings(),
        envelopes=arrays.envelopes(),
        flips=arrays.flips(),
        records=tuple(seen.values()),
        unread=tuple(dict.fromkeys(map(str, unread))),
    )


def _paper(manifests: Sequence[Manifest]) -> PaperShown:
    """The bundle's paper; of another one what its manifests call it."""
    own = paper.load()
    if own is None or any(own.id != each.paper.id for each in manifests):
        return PaperShown(paper.names(each.paper for each in manifests))
    return PaperShown(own.name, own.title, own.authors, own.url or "")


def _check_one_paper(one: Manifest, other: Manifest, folder: Path) -> None:
    """Refuse two manifests of one name about different papers: rows go by the name."""
    if one.paper.id != other.paper.id:
        found = f"{folder}: the manifest {other.id} of {other.paper.name}"
        message = f"{found} beside one of {one.paper.name} of that name; show them apart"
        raise BadInputError(message)


def _ledger(manifests: Sequence[Manifest]) -> coverage.Ledger | None:
    """The sentences of the paper that some manifests are about, where they are known.

    A ledger of another paper than theirs says nothing here.
    """
    if not (paths.bundle().catalog / coverage.LEDGER).is_file():
        return None
    ledger = coverage.load()
    return ledger if ledger.paper.id in {each.paper.id for each in manifests} else None


def _runs(folders: Sequence[Path], unread: list[BadInputError]) -> Iterator[tuple[Path, RunFile]]:
    for folder in folders:
        runs, damaged = run_file.read(folder)
        unread += damaged
        yield from ((folder, run) for run in runs.values())


# -----------------------------------------------------------------------------
# What a page shows of arrays: flips and letters, adapters without a gradient, envelopes.
#
# Everything is recomputed by the verifier's own functions; summaries stored in records are not
# read.

_SINGLE = "float32"
_QUANTILES = (0.05, 0.5, 0.95)
_ENVELOPE, _RATIO = "/latent_envelope", "/latent_ratio"
_CONTROL = "control/positive-decay/"
_NOT_MODES = ("control/", "sweep/", "rounding", "precision/")
_LETTERS = 4
_PEFT = ("base_model.model.", ".default.weight")


class RecordCollector:
    """What was seen so far; a record that several runs share is looked at once."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], PrecisionPair] = {}
        self._flips: dict[tuple[str, str], PairFlips] = {}
        self._by_kind: dict[str, dict[str, Any]] = defaultdict(dict)

    def add_records(self, loaded: Sequence[CheckedRecord]) -> None:
        """Add what the records of one run hold."""
        for each in loaded:
            job, key = each.record.job, each.record.key
            found, summary = self._by_kind[job.kind], SUMMARIES.get(job.kind)
            if summary and key not in found:
                found[key] = summary(each, job)
        for reference, candidate in _precision_pairs(loaded):
            at = (reference.record.key, candidate.record.key)
            if at not in self._pairs:
                self._pairs[at] = pair = _pair(reference, candidate)
                if (name := (pair.model, pair.candidate.precision)) not in self._flips:
                    self._flips[name] = _flips(reference, candidate, pair)

    def pairs(self) -> tuple[PrecisionPair, ...]:
        """Every pair of precisions, by model."""
        found = self._pairs.values()
        return tuple(
            sorted(found, key=lambda each: (each.model, each.candidate.precision, each.setting))
        )

    def flips(self) -> tuple[PairFlips, ...]:
        """The most telling flips of each model and pair of precisions, under one setting."""
        return tuple(self._flips[name] for name in sorted(self._flips))

    def tunings(self) -> tuple[TuningSummary, ...]:
        """Fine-tunings; those that differ in seed alone are one."""
        counted: dict[TuningSummary, int] = defaultdict(int)
        for each in self._by_kind["tuning"].values():
            counted[each] += 1
        found = [replace(each, runs=count) for each, count in counted.items()]
        return tuple(sorted(found, key=lambda each: (each.model, each.method, each.precision)))

    def timings(self) -> tuple[Timing, ...]:
        """Fine-tunings that were timed, by cap, then as the manifest lists them."""
        return tuple(sorted(self._by_kind["throughput"].values(), key=lambda each: each.cap))

    def envelopes(self) -> tuple[Envelope, ...]:
        """Perturbed roll-outs, by name."""
        return tuple(
            sorted(self._by_kind["stability"].values(), key=lambda each: (each.what, each.record))
        )


# -----------------------------------------------------------------------------
# Precision pairs


def _precision_pairs(
    loaded: Sequence[CheckedRecord],
) -> Iterator[tuple[CheckedRecord, CheckedRecord]]:
    """Evaluations that differ in precision alone, of inference or of tuning; float32 first."""
    alike: dict[str, dict[str, CheckedRecord]] = defaultdict(dict)
    for each in loaded:
        job = each.record.job
        if isinstance(job, EvaluateJob):
            alike[_but_precision(job)][_precision(job)] = each
    for group in alike.values():
        first = next((name for name in group if name.count(_SINGLE) == name.count("float")), "")
        for name, each in group.items():
            if first and name != first:
                yield group[first], each


def _but_precision(job: EvaluateJob) -> str:
    tuned = job.tuned and job.tuned.model_copy(update={"precision": _SINGLE})
    update = {"dtype": _SINGLE, "tuned": tuned, "screen": None}
    return job.model_copy(update=update).model_dump_json()


def _precision(job: EvaluateJob) -> str:
    if job.tuned is None:
        return job.dtype
    asked = "" if job.dtype == _SINGLE else f", asked in {job.dtype}"
    return f"{job.tuned.precision} tuning{asked}"


def _pair(reference: CheckedRecord, candidate: CheckedRecord) -> PrecisionPair:
    shots = reference.shots()
    gold = [reference.arrays[f"shots{k}/gold"] for k in shots]
    flips = [
        answers.flips(reference.predicted(k), candidate.predicted(k), right)
        for k, right in zip(shots, gold, strict=True)
    ]
    job = candidate.record.job
    assert isinstance(job, EvaluateJob)  # noqa: S101  # the caller chose them
    tuned = f", {job.tuned.method} seed {job.tuned.seed}" if job.tuned else ""
    arm = "" if job.arm == "weight-cast" else f", {job.arm}"
    return PrecisionPair(
        model=f"{job.checkpoint}{tuned}",
        setting=f"{job.setting.id}{arm}",
        answers=sum(len(each) for each in gold),
        lost=sum(each.lost for each in flips),
        won=sum(each.won for each in flips),
        changed=sum(each.changed for each in flips),
        gold=_letters(gold),
        reference=_side(reference),
        candidate=_side(candidate),
    )


_TOLD = 20
"""Flips of a pair that a page shows."""


def _flips(reference: CheckedRecord, candidate: CheckedRecord, pair: PrecisionPair) -> PairFlips:
    compared = list(side_by_side.compare_answers(reference, candidate, _TOLD))
    return PairFlips(
        model=pair.model,
        sides=(pair.reference.precision, pair.candidate.precision),
        setting=pair.setting,
        keys=(reference.record.key, candidate.record.key),
        total=sum(each.lost + each.won for each in compared),
        shown=compared_view.flip_section([(pair.setting, each) for each in compared], _TOLD),
    )


def _side(loaded: CheckedRecord) -> PrecisionSide:
    job = loaded.record.job
    assert isinstance(job, EvaluateJob)  # noqa: S101  # the same
    shots = loaded.shots()
    return PrecisionSide(
        _precision(job),
        _letters([loaded.predicted(k) for k in shots]),
        sum(answers.ties(loaded.arrays[f"shots{k}/log_likelihood"]) for k in shots),
    )


def _letters(every: Sequence[NDArray[np.int64]]) -> tuple[int, ...]:
    counts = [answers.letter_counts(each) for each in every]
    return tuple(sum(count[place] for count in counts) for place in range(_LETTERS))


# -----------------------------------------------------------------------------
# Fine-tuning and roll-outs


def _tuned(loaded: CheckedRecord, job: TuningJob) -> TuningSummary:
    dead = tuning.without_gradient(loaded.record, loaded.arrays)
    return TuningSummary(
        job.checkpoint,
        job.recipe.method,
        job.recipe.precision,
        loaded.record.path.get("mamba_path", "plain"),
        len(tuning.names_of(loaded.record)),
        len(dead),
        _layer_names(dead),
    )


def _layer_names(dead: frozenset[str]) -> tuple[str, ...]:
    """Names of tensors without what peft puts around each."""
    bare = {name.removeprefix(_PEFT[0]).removesuffix(_PEFT[1]) for name in dead}
    return tuple(tuning.grouped_names(frozenset(bare)).split(", ")) if bare else ()


def _timing(loaded: CheckedRecord, job: ThroughputJob) -> Timing:
    rank = f" r = {job.rank}" if job.rank else ""
    return Timing(
        f"{job.checkpoint} {job.method}.{job.precision}{rank}",
        job.memory_cap,
        tuple(throughput.speeds_of(loaded.arrays)),
    )


def _envelope(loaded: CheckedRecord, job: StabilityJob) -> Envelope:
    arrays = loaded.arrays
    every = [name.removesuffix(_ENVELOPE) for name in sorted(arrays) if name.endswith(_ENVELOPE)]
    modes = [name for name in every if not name.startswith(_NOT_MODES)]
    controls = [
        name for name in every if name.removeprefix(_CONTROL) in modes and name not in modes
    ]
    layers = "random layers" if job.checkpoint is None else f"layers of {job.checkpoint}"
    found = arrays["times"]
    return Envelope(
        what=f"{job.family}, {layers}",
        layers=len(arrays[f"{modes[0]}{_ENVELOPE}"]) if modes else 0,
        of=len(arrays[f"{modes[0]}{_RATIO}"]) if modes else 0,
        times=tuple(float(each) for each in found),
        curves=tuple(_curve(loaded, mode) for mode in (*modes, *controls)),
        record=loaded.record.key,
    )


def _curve(loaded: CheckedRecord, mode: str) -> Curve:
    """Quantiles over layers, and the verifier's own fit of each layer."""
    arrays = loaded.arrays
    found = arrays[f"{mode}{_ENVELOPE}"].astype(np.float64)
    low, middle, high = np.quantile(found, _QUANTILES, axis=0)
    floor = arrays.get("rounding/latent_envelope")
    floors = floor.astype(np.float64) if floor is not None and floor.shape == found.shape else 0.0
    rates = layer.fit_rates(found, arrays["times"].astype(np.float64), floors)
    fitted = np.isfinite(rates.value)
    ends = np.quantile(rates.value[fitted], _QUANTILES) if fitted.any() else None
    return Curve(
        mode=mode.replace(_CONTROL, "control, "),
        middle=tuple(map(float, middle)),
        low=tuple(map(float, low)),
        high=tuple(map(float, high)),
        rates=(float(ends[0]), float(ends[1]), float(ends[2])) if ends is not None else None,
        falling=int((rates.value < 0).sum()),
        worst=float(np.max(arrays.get(f"{mode}{_RATIO}", np.array([np.nan])))),
        control=mode.startswith(_CONTROL),
    )


# -----------------------------------------------------------------------------
# What the page shows of one record, by kind of job.

SUMMARIES: Mapping[str, Callable[[CheckedRecord, Any], Any] | None] = {
    "evaluate": None,  # in pairs of precisions
    "benchmark": None,  # in findings alone
    "imported": None,  # the same
    "tuning": _tuned,
    "throughput": _timing,
    "stability": _envelope,
    "weight_tying": None,  # exact: a finding says all
    "proof": None,  # the same
}
"""Every kind of job but those of plug-ins, whose findings say all."""
