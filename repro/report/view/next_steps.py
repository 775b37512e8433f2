"""What open claims take, and which to run first: what a run would decide, and its price.

GPU time is the planner's estimate for one H200 at the highest tier of a manifest, with nothing
cached: a page says the same wherever it is made.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from repro.inputs.locate import InputLocator
from repro.planning import cost
from repro.planning.cost import UndecidedClaims
from repro.report.report_data import ReportData
from repro.report.view.cards import Card
from repro.schema.catalog import HubSource
from repro.schema.jobs import DEFAULT_ENGINE, Job
from repro.schema.manifest import Manifest
from repro.schema.slots import slots
from repro.text import money, plural

_MANY = 10
"""Hours from which on a tenth of one says nothing."""


@dataclass(frozen=True)
class Bill:
    """What some jobs take."""

    gpu_hours: float
    gigabytes: float
    """Weights to fetch and keep."""
    checkpoints: int
    gpu: bool
    """Whether it runs on a GPU alone."""
    money: float | None
    """At the price that is set; None where none is."""

    def in_words(self) -> str:
        """Hours, weights and money."""
        hours = f"{self.gpu_hours:,.{0 if self.gpu_hours >= _MANY else 1}f}"
        said = ["minutes" if hours == "0.0" else f"about {hours} h on one H200"]
        if self.checkpoints:
            weights = f"{self.gigabytes:,.0f} GB" if self.gigabytes >= 1 else "under 1 GB"
            said.append(f"{plural(self.checkpoints, 'checkpoint')} ({weights})")
        if self.money is not None:
            said.append(f"{money(self.money)} at the price set")
        return ", ".join(said)


@dataclass(frozen=True)
class Step:
    """One run, and the open claims that it would decide."""

    command: str
    cards: tuple[Card, ...]
    bill: Bill

    @property
    def claims_an_hour(self) -> float:
        """Of those that count; what takes next to nothing is no cheaper than a minute."""
        return len(self.cards) / max(self.bill.gpu_hours, 1 / 60)


@dataclass(frozen=True)
class Blocker:
    """Open claims that no run decides, with what would."""

    need: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class NextSteps:
    """Everything that is open."""

    steps: tuple[Step, ...]
    """Most claims an hour first."""
    directions: tuple[Step, ...]
    """Runs of claims that they cannot decide, and show where they point; cheapest first."""
    whole: Bill
    """All jobs of `steps`, each once."""
    blockers: tuple[Blocker, ...]
    """Most claims first."""

    def by_claim(self) -> dict[str, str]:
        """What deciding each open claim takes, by its address: of several runs the best."""
        found = {card.anchor: each.need for each in self.blockers for card in each.cards}
        for step in self.directions:
            for card in step.cards:
                found[card.anchor] += f"; a run that shows where it points: {step.bill.in_words()}"
        for step in reversed(self.steps):
            found |= {card.anchor: step.bill.in_words() for card in step.cards}
        return found

    def in_words(self) -> str:
        """One sentence."""
        claims = len({card.anchor for step in self.steps for card in step.cards})
        beyond = sum(len(each.cards) for each in self.blockers)
        said = f"no run here decides {beyond} of them"
        if not claims:
            return f"{said}."
        return f"to run what {claims} of them wait for takes {self.whole.in_words()}; {said}."


_Alone = tuple[str, list[Card], list[Job]]
"""A manifest, those of its claims that one model decides, and the jobs of that model."""


def next_steps(data: ReportData, cards: Sequence[Card]) -> NextSteps:
    """What is open among the paper's claims, and what would decide it."""
    hours = _Hours()
    blocked: dict[str, list[Card]] = defaultdict(list)
    whole, directions, every = list[Step](), list[Step](), list[Job]()
    alone: dict[tuple[str, str], list[_Alone]] = defaultdict(list)
    for manifest in data.manifests:
        mine = {card.finding.claim: card for card in cards if card.row.manifest == manifest.id}
        findings = {name: card.finding for name, card in mine.items()}
        left = UndecidedClaims(manifest, findings, data.undecidable.get(manifest.id, {}))
        needs = left.by_claim()
        for name, need in needs.items():
            if not need.runs:
                blocked[need.in_words()].append(mine[name])
        runs = [mine[name] for name, need in needs.items() if need.runs]
        points = [mine[name] for name, need in needs.items() if need.directs and mine[name].waits]
        jobs = _jobs(manifest, hours.locator) if runs or points else []
        tier = manifest.tiers()[-1]
        if points and jobs:
            command = _command([manifest.id], tier)
            directions.append(Step(command, tuple(points), _bill(data, jobs, hours)))
        if not runs:
            continue
        every += jobs
        for model, (some, own) in _alone(runs, jobs).items():
            alone[tier, model].append((manifest.id, some, own))
        if any(len(card.models) != 1 for card in runs):
            command = _command([manifest.id], tier)
            whole.append(Step(command, tuple(runs), _bill(data, jobs, hours)))
    whole += [_alone_step(data, name, found, hours) for name, found in alone.items()]
    return NextSteps(
        steps=tuple(sorted(whole, key=lambda each: (-each.claims_an_hour, each.command))),
        directions=tuple(sorted(directions, key=lambda each: (each.bill.gpu_hours, each.command))),
        whole=_bill(data, cost.distinct(every), hours),
        blockers=tuple(
            sorted(
                (Blocker(need, tuple(some)) for need, some in blocked.items()),
                key=lambda each: (-len(each.cards), each.need),
            )
        ),
    )


def _jobs(manifest: Manifest, locator: InputLocator) -> list[Job]:
    found = slots(manifest, manifest.tiers()[-1], locator.checkpoints, DEFAULT_ENGINE)
    return cost.distinct(slot.job for slot in found)


def _alone(runs: Sequence[Card], jobs: Sequence[Job]) -> dict[str, tuple[list[Card], list[Job]]]:
    """Models that decide claims by themselves, with these and the jobs of each."""
    found: dict[str, tuple[list[Card], list[Job]]] = {}
    for card in runs:
        if len(card.models) == 1:
            own = [job for job in jobs if job.checkpoint_name() == card.models[0]]
            found.setdefault(card.models[0], ([], own))[0].append(card)
    return found


def _alone_step(
    data: ReportData, name: tuple[str, str], found: Sequence[_Alone], hours: "_Hours"
) -> Step:
    """One model in all manifests that it decides claims of; what they share is run once."""
    command = _command([manifest for manifest, _, _ in found], *name)
    cards = tuple(card for _, some, _ in found for card in some)
    jobs = cost.distinct(job for _, _, own in found for job in own)
    return Step(command, cards, _bill(data, jobs, hours))


def _command(manifests: Sequence[str], tier: str, model: str = "") -> str:
    files = " ".join(f"manifests/{name}.json" for name in manifests)
    only = f" --only model={model}" if model else ""
    return f"repro run {files} --tier {tier}{only}"


class _Hours:
    """Hours of jobs on one H200. Each is estimated once, several bills have it."""

    def __init__(self) -> None:
        self.locator = InputLocator()
        self._known: dict[int, tuple[Job, float]] = {}  # with the job, or its id is another's

    def of(self, jobs: Sequence[Job]) -> float:
        return sum(self._seconds(job) for job in jobs) / 3600

    def _seconds(self, job: Job) -> float:
        if id(job) not in self._known:
            read = self.locator.checkpoint_of(job), self.locator.data_of(job)
            self._known[id(job)] = job, job.estimate(*read).gpu_seconds
        return self._known[id(job)][1]


def _bill(data: ReportData, jobs: Sequence[Job], hours: _Hours) -> Bill:
    weights = hours.locator.checkpoints
    fetched = {name for job in jobs if (name := job.checkpoint_name())}
    kept = [weights[name] for name in fetched if isinstance(weights[name].source, HubSource)]
    spent = hours.of(jobs)
    return Bill(
        gpu_hours=spent,
        gigabytes=sum(each.stored_bytes for each in kept) / 1e9,
        checkpoints=len(kept),
        gpu=any(job.why_gpu() for job in jobs),
        money=None if data.price is None else spent * data.price,
    )
