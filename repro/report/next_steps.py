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
from repro.report.view import Card
from repro.schema.catalog import HubSource
from repro.schema.jobs import Job
from repro.schema.manifest import Manifest
from repro.schema.slots import slots
from repro.text import plural


@dataclass(frozen=True)
class Bill:
    """What some jobs take."""

    jobs: int
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
        hours = f"about {self.gpu_hours:,.1f} h" if self.gpu_hours < 10 else (  # noqa: PLR2004
            f"about {self.gpu_hours:,.0f} h"
        )
        said = [f"{hours} on one H200" if self.gpu_hours >= 0.05 else "minutes"]  # noqa: PLR2004
        if self.checkpoints:
            weights = f"{self.gigabytes:,.0f} GB" if self.gigabytes >= 1 else "under 1 GB"
            said.append(f"{plural(self.checkpoints, 'checkpoint')} ({weights})")
        if self.money is not None:
            said.append(f"{self.money:,.2f} at the price set")
        return ", ".join(said)


@dataclass(frozen=True)
class Step:
    """One run, and the open claims that it would decide."""

    manifest: str
    model: str
    """The only one that it runs; empty for the whole manifest."""
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
    whole: Bill
    """All jobs of them, each once."""
    blockers: tuple[Blocker, ...]
    """Most claims first."""

    def in_words(self) -> str:
        """One sentence."""
        claims = len({card.anchor for step in self.steps for card in step.cards})
        beyond = sum(len(each.cards) for each in self.blockers)
        said = f"no run here decides {beyond} of them"
        if not claims:
            return f"{said}."
        return f"to run what {claims} of them wait for takes {self.whole.in_words()}; {said}."


def next_steps(data: ReportData, cards: Sequence[Card]) -> NextSteps:
    """What is open among the paper's claims, and what would decide it."""
    locator = InputLocator()
    steps: list[Step] = []
    blocked: dict[str, list[Card]] = defaultdict(list)
    every: list[Job] = []
    for manifest in data.manifests:
        mine = {card.finding.claim: card for card in cards if card.row.manifest == manifest.id}
        left = UndecidedClaims(
            manifest,
            {name: card.finding for name, card in mine.items()},
            data.undecidable.get(manifest.id, {}),
        )
        runs: list[Card] = []
        for name, need in left.by_claim().items():
            if need.runs:
                runs.append(mine[name])
            else:
                blocked[need.in_words()].append(mine[name])
        if runs:
            jobs = _jobs(manifest, locator)
            every += jobs
            steps += _steps(data, manifest, runs, jobs, locator)
    return NextSteps(
        steps=tuple(sorted(steps, key=lambda each: (-each.claims_an_hour, each.command))),
        whole=_bill(data, cost.distinct(every), locator),
        blockers=tuple(
            sorted(
                (Blocker(need, tuple(mine)) for need, mine in blocked.items()),
                key=lambda each: (-len(each.cards), each.need),
            )
        ),
    )


def _jobs(manifest: Manifest, locator: InputLocator) -> list[Job]:
    found = slots(manifest, manifest.tiers()[-1], locator.checkpoints)
    return cost.distinct(slot.job for slot in found)


def _steps(
    data: ReportData,
    manifest: Manifest,
    runs: Sequence[Card],
    jobs: Sequence[Job],
    locator: InputLocator,
) -> list[Step]:
    """One for each model that decides claims alone, and one for those that need several."""
    groups: dict[str, list[Card]] = defaultdict(list)
    of_model: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        of_model[job.checkpoint_name()].append(job)
    for card in runs:
        alone = len(card.models) == 1 and card.models[0] in of_model
        groups[card.models[0] if alone else ""].append(card)
    base = f"repro run manifests/{manifest.id}.json --tier {manifest.tiers()[-1]}"
    return [
        Step(
            manifest=manifest.id,
            model=model,
            command=f"{base} --only model={model}" if model else base,
            cards=tuple(mine if model else runs),
            bill=_bill(data, of_model[model] if model else jobs, locator),
        )
        for model, mine in groups.items()
    ]


def _bill(data: ReportData, jobs: Sequence[Job], locator: InputLocator) -> Bill:
    weights = locator.checkpoints
    fetched = {name for job in jobs if (name := job.checkpoint_name())}
    kept = [weights[name] for name in fetched if isinstance(weights[name].source, HubSource)]
    hours = cost.gpu_hours(jobs, locator)
    return Bill(
        jobs=len(jobs),
        gpu_hours=hours,
        gigabytes=sum(each.stored_bytes for each in kept) / 1e9,
        checkpoints=len(kept),
        gpu=any(job.why_gpu() for job in jobs),
        money=None if data.price is None else hours * data.price,
    )
