"""What jobs cost, before anything starts: each kind's own estimate, here and on one H200."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from repro import fileio
from repro.environment.machine import Environment
from repro.errors import BadInputError
from repro.inputs.locate import InputLocator
from repro.schema import slots as job_slots
from repro.schema.claims import AmbiguousClaim, claimed_by
from repro.schema.finding import Finding
from repro.schema.jobs import DEFAULT_ENGINE, Job, ModelJob, TuningJob
from repro.schema.kinds import rates as speeds
from repro.schema.kinds.imported import ImportedJob
from repro.schema.manifest import Manifest
from repro.schema.tuned_claims import leaves_open
from repro.schema.tuned_slots import OfTunedModels
from repro.store.record import Record
from repro.text import in_markdown, money, visible


@dataclass(frozen=True)
class Cost:
    """An estimate."""

    seconds: float
    """Wall time on this machine."""
    gpu_seconds: float
    """Wall time on one H200, whatever this machine is."""
    memory: int
    """Peak bytes of the device that runs it."""
    stand_ins: frozenset[speeds.StandIn] = frozenset()
    """What the seconds are extrapolated from."""


Rates = Mapping[tuple[object, ...], float]
"""What jobs took here over what was estimated, by what makes two of them of one speed."""


def estimate_cost(job: Job, locator: InputLocator, machine: Environment) -> Cost:
    """Estimate one job on this machine; a card that nothing is known of counts as an H200."""
    found = job.estimate(locator.checkpoint_of(job), locator.data_of(job))
    here = found.cpu_seconds
    if machine.gpu:
        times = speeds.slower(machine.gpu.name, found.products) or 1.0
        here = found.gpu_seconds + (times - 1) * found.on_card
    return Cost(here, found.gpu_seconds, found.memory, found.stand_ins)


def price_of_this_machine(costs: Iterable[Cost], gpu: str) -> str:
    """What seconds rest on where that is not what was measured: another card, another model.

    Args:
        costs: Of the jobs.
        gpu: The card's name; empty without.
    """
    told = []
    if gpu and not speeds.is_h200(gpu):
        factors = [speeds.slower(gpu, dtype) for dtype in ("float32", "bfloat16")]
        told = [f"{gpu}: nothing is known of it, priced as an H200"]
        if None not in factors:
            single, half = (f"{factor:.1f}" for factor in factors)
            told = [f"{gpu}: {single} times an H200's seconds in float32, {half} in half precision"]
            told[0] += ", the larger ratio of memory bandwidth and of peak"
    stand_ins = frozenset[speeds.StandIn]().union(*(each.stand_ins for each in costs))
    return "; ".join(filter(None, [*told, speeds.in_words(stand_ins)]))


def as_measured(found: Cost, job: Job, rates: Rates) -> Cost:
    """An estimate, held to what records of this machine took for the same model and dtype.

    Time on one H200 stays, on an H200 too: a budget is spent by it, and what it chooses must not
    hang on which records are there already.
    """
    return replace(found, seconds=rates.get(_alike(job), 1.0) * found.seconds)


def rates_of(records: Iterable[Record], locator: InputLocator, machine: Environment) -> Rates:
    """Seconds that jobs took over what they were estimated to take, by what they have alike.

    Args:
        records: Any; those of other hardware count for nothing, nor do imported ones.
        locator: Of checkpoints and data.
        machine: This one.
    """
    took: dict[tuple[object, ...], tuple[float, float]] = {}
    for each in records:
        job = each.job
        if (
            not isinstance(job, ImportedJob)
            and each.environment.hardware_class == machine.hardware_class
        ):
            measured, estimated = took.get(_alike(job), (0.0, 0.0))
            foreseen = estimate_cost(job, locator, machine).seconds
            took[_alike(job)] = measured + each.seconds, estimated + foreseen
    return {
        alike: measured / estimated for alike, (measured, estimated) in took.items() if measured
    }


def _alike(job: Job) -> tuple[object, ...]:
    """What makes two jobs of one speed, but for how much they read."""
    recipe = job.recipe if isinstance(job, TuningJob) else None
    asked = (job.task, job.dtype, job.engine) if isinstance(job, ModelJob) else ()
    path = job.setting.mamba_path if isinstance(job, ModelJob) else ""
    tuned = (recipe.method, recipe.precision, recipe.mamba_path) if recipe else ()
    return (job.kind, job.checkpoint_name(), asked, path, tuned)


@dataclass(frozen=True)
class HourlyPrice:
    """What an hour of the GPU costs."""

    amount: float
    currency: str
    """As it was given; may be empty."""

    def of(self, gpu_seconds: float) -> str:
        """The price of some time, e.g. "115 EUR"."""
        return f"{money(self.amount * gpu_seconds / 3600)} {self.currency}".rstrip()


def hourly_price() -> HourlyPrice | None:
    """`$REPRO_GPU_HOUR`, e.g. 3, or 2.50 EUR; None where nothing is said.

    Raises:
        BadInputError: it is no price.
    """
    said = os.environ.get("REPRO_GPU_HOUR", "").strip()
    if not said:
        return None
    amount, _, currency = said.partition(" ")
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", amount):
        raise BadInputError(
            f"REPRO_GPU_HOUR: found {said!r}, expected a price such as 3 or 2.50 EUR"
        )
    return HourlyPrice(float(amount), visible(currency.strip()))


def distinct(jobs: Iterable[Job | None]) -> list[Job]:
    """Jobs without those that are there already: slots that ask for the same one share it."""
    return list({fileio.digest_of_data(job): job for job in jobs if job is not None}.values())


def gpu_hours(jobs: Iterable[Job], locator: InputLocator) -> float:
    """Hours of distinct jobs on one H200, one after another, with nothing cached."""
    found = (job.estimate(locator.checkpoint_of(job), locator.data_of(job)) for job in jobs)
    return sum(each.gpu_seconds for each in found) / 3600


# -----------------------------------------------------------------------------
# What the undecided claims of a manifest take, in a line: weights, the paper's GPU, other words.
#
# Source: the causes that `verify` gives; GPU time is that above. Not covered: how to bring it
# (`repro plan` says that).

_CAUSES = {
    "no-job": ("no job for it", "needs"),
    "other-hardware": ("the paper's GPU", "hardware"),
    "drift": ("the pinned version", "package"),
    "given-up-at-look": ("more settings than its manifest has", ""),
    "held": ("held: samples prove no theorem", ""),
    "proved-in-part": ("a proof of the rest", ""),
    "source-not-held": ("a copy of the other paper", ""),
    "open-words": ("a clearer sentence", ""),
    "fails-by-one-reading": ("a clearer sentence", ""),
}
"""Code of a cause to what would decide the claim, and the value that is its detail; the first of
these counts."""


_NOISE = "the margin is within what two machines leave open"
_OPEN = "the paper leaves open what was fixed here"


@dataclass(frozen=True)
class Need:
    """What would decide a claim."""

    what: str
    detail: str = ""
    runs: bool = False
    """Whether it is a run of its manifest."""
    directs: bool = False
    """Whether such a run shows where it points, and decides nothing."""

    def in_words(self) -> str:
        """Both in a few words."""
        return f"{self.what}: {self.detail}" if self.detail else self.what


@dataclass(frozen=True)
class UndecidedClaims:
    """The claims of one manifest, as they stand."""

    manifest: Manifest
    findings: Mapping[str, Finding]
    """Every one of them by claim."""
    undecidable: Mapping[str, str]
    """Those that no run could decide, and why."""

    def needs(self) -> str:
        """How many claims take what, e.g. "25: weights (12 checkpoints, 56 h on one H200)"."""
        details: dict[str, list[str]] = {}
        for need in self.by_claim().values():
            details.setdefault(need.what, []).append(need.detail)
        ordered = sorted(details.items(), key=lambda each: -len(each[1]))
        return "; ".join(f"{len(each)}: {what}{_bracket(each)}" for what, each in ordered)

    def by_claim(self) -> dict[str, Need]:
        """What would decide each undecided claim that counts."""
        return {
            name: self._need(one)
            for name, one in self.findings.items()
            if one.counts and one.outcome in ("inconclusive", "not-run")
        }

    def _need(self, one: Finding) -> Need:
        if one.claim in self.undecidable:
            why = _OPEN if one.claim in self._tuned else _NOISE
            return Need(f"beyond any run: {why}", directs=True)
        if one.outcome == "not-run" and (reading := self._open_reading(one)):
            return self._need(reading)
        causes = {each.code: each for each in one.causes}
        for code, (what, detail) in _CAUSES.items():
            if found := causes.get(code):
                return Need(what, str(found.values[detail]) if detail else "")
        if one.outcome == "not-run":
            return Need("Coq", runs=True) if one.basis == "proof" else self._run
        return Need("more digits in print" if one.basis in ("page", "code") else "more settings")

    @cached_property
    def _tuned(self) -> set[str]:
        """Claims on what a recipe tuned, or on what benchmarks were asked."""
        return {
            each.id
            for each in self.manifest.claims
            if isinstance(claimed_by(each), OfTunedModels) and leaves_open(claimed_by(each))
        }

    def _open_reading(self, one: Finding) -> Finding | None:
        """The first reading of a sentence that was not run."""
        claims = (each for each in self.manifest.claims if each.id == one.claim)
        names = [
            name for each in claims if isinstance(each, AmbiguousClaim) for name in each.readings
        ]
        return next(
            (self.findings[name] for name in names if self.findings[name].outcome == "not-run"),
            None,
        )

    @cached_property
    def _run(self) -> Need:
        """A whole run: checkpoints that are not bundled, and GPU time at the highest tier."""
        names = {name for group in self.manifest.jobs for name in job_slots.checkpoints_of(group)}
        if not names:
            return Need("`make reproduce`", runs=True)
        locator = InputLocator()
        slots = job_slots.slots(
            self.manifest, self.manifest.tiers()[-1], locator.checkpoints, DEFAULT_ENGINE
        )
        hours = gpu_hours(distinct(each.job for each in slots), locator)
        return Need("weights", f"{len(names)} checkpoints, {hours:.0f} h on one H200", runs=True)


def _bracket(details: Iterable[str]) -> str:
    named = list(dict.fromkeys(map(in_markdown, filter(None, details))))
    return f" ({', '.join(named)})" if named else ""
