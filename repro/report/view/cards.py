"""What a page says, before it has a form: one tree of plain data.

The page, the tables of LaTeX and CSV and the figures are made of it, and of nothing else. It is
ordered as the paper is: abstract, sections, and in each section its theorems, figures and tables,
with every claim that is about them.

Not covered: the sentences that it opens with (`opening`), what open claims take
(`next_steps`).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repro.report import rows as claim_rows
from repro.report.report_data import PairFlips, RecordSeen, ReportData
from repro.report.rows import Row
from repro.schema.causes import MEASURED, Estimate
from repro.schema.claims import Claim
from repro.schema.finding import Finding, Outcome
from repro.schema.manifest import Manifest

# -----------------------------------------------------------------------------
# The tree


@dataclass(frozen=True)
class Scale:
    """A published number and what was measured of it on one axis; places are percent of it."""

    low: str
    """What stands at its left end."""
    high: str
    unit: str
    margin: tuple[float, float]
    published: float
    points: tuple[tuple[float, float, float], ...]
    """Mean and ends of its interval, one for each measurement."""
    null: float | None
    """What coin flips alone would give; nothing looks like this."""
    said: str
    """All of it in words."""


@dataclass(frozen=True)
class RecordGroup:
    """Records of a claim that one machine and one revision made."""

    hardware: str
    revision: str
    drifted: int
    """Packages that were not at their pins, at most."""
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """One claim: what is said of it, and why."""

    anchor: str
    """Address on the page: the claim's name."""
    row: Row
    """The run that says most."""
    paper: str
    """What names of its paper's parts begin with, where the page has several papers."""
    others: tuple[Row, ...]
    """What other runs say."""
    about: str
    """Heading of the part of the paper that it is about."""
    version: str
    """Of the paper."""
    link: str
    """Address of that version; empty where nobody says."""
    models: tuple[str, ...]
    dtypes: tuple[str, ...]
    scale: Scale | None
    margin_origin: str
    """Which sentence would change beyond the margin."""
    settings: tuple[tuple[str, str], ...]
    """What all of its records were told alike."""
    varied: tuple[str, ...]
    """What differs among them."""
    records: tuple[RecordGroup, ...]
    flips: tuple[PairFlips, ...]
    """Pairs of its records whose answers differ."""
    command: str
    """Makes it again; empty where nothing does."""

    @property
    def finding(self) -> Finding:
        """What was decided."""
        return self.row.finding

    @property
    def own(self) -> bool:
        """Whether it is a step or a check of our own, which is no verdict on the paper."""
        return self.finding.standing != "printed"

    @property
    def waits(self) -> bool:
        """Whether nothing at all was found out yet."""
        return self.finding.outcome == "not-run"


@dataclass(frozen=True)
class Part:
    """One section, theorem, figure or table of the paper, with what is about it."""

    name: str
    anchor: str
    title: str
    """Of the manifest that it has of its own; empty without."""
    cards: tuple[Card, ...]
    counts: dict[Outcome, int]
    """Of the paper's own claims."""


def cards(data: ReportData, rows: Sequence[Row]) -> dict[tuple[str, str], Card]:
    """A card for each claim of each manifest, in the order of `rows`."""
    best = claim_rows.strongest_findings(rows)
    every: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        every[row.manifest, row.finding.claim].append(row)
    manifests = {each.id: each for each in data.manifests}
    records = {each.key: each for each in data.records}
    subjects = {each.id: subject(each) for each in data.manifests}
    papers = claim_rows.beginnings(data.manifests)
    used: set[str] = set()
    found = {}
    for row in best:
        at = row.manifest, row.finding.claim
        name = row.finding.claim if row.finding.claim not in used else row.anchor
        used.add(name)
        others = tuple(each for each in every[at] if each is not row)
        paper = papers[row.manifest]
        part = f"{paper}{about(row, subjects)}"
        found[at] = _card(
            data,
            manifests[row.manifest],
            row,
            others,
            records,
            anchor=name,
            paper=paper,
            part=part,
        )
    return found


def _card(  # what it is made of
    data: ReportData,
    manifest: Manifest,
    row: Row,
    others: tuple[Row, ...],
    records: Mapping[str, RecordSeen],
    *,
    anchor: str,
    paper: str,
    part: str,
) -> Card:
    one = row.finding
    claims = {each.id: each for each in manifest.claims}
    claim = claims.get(one.claim)
    models, dtypes = _subjects(claim, claims) if claim else ((), ())
    seen = [records[key] for key in one.records if key in records]
    told = Counter(pair for each in seen for pair in each.setting)
    varied = dict.fromkeys(name for (name, _), count in told.items() if count < len(seen))
    keys = set(one.records)
    return Card(
        anchor=anchor,
        row=row,
        paper=paper,
        others=others,
        about=part,
        version=manifest.paper.version,
        link=data.paper.link(manifest.paper.version),
        models=models,
        dtypes=dtypes,
        scale=scale(one),
        margin_origin=getattr(getattr(claim, "margin", None), "origin", ""),
        settings=tuple(pair for pair, count in told.items() if count == len(seen)),
        varied=tuple(varied),
        records=_grouped(seen),
        flips=tuple(each for each in data.flips if set(each.keys) <= keys),
        command=_command(manifest, one, models),
    )


def _grouped(seen: Sequence[RecordSeen]) -> tuple[RecordGroup, ...]:
    groups: dict[tuple[str, str], list[RecordSeen]] = defaultdict(list)
    for each in seen:
        groups[each.hardware, each.revision].append(each)
    return tuple(
        RecordGroup(*at, max(each.drifted for each in mine), tuple(each.key for each in mine))
        for at, mine in groups.items()
    )


def _command(manifest: Manifest, one: Finding, models: tuple[str, ...]) -> str:
    """What makes a finding again, where the bundle lies; empty where no job does."""
    if one.basis in ("page", "code"):
        return "repro verify --paper"
    if not manifest.jobs:
        return ""
    tier = manifest.tiers()[-1]
    # What was measured and decides nothing is left out of a full run unless all is asked for.
    undecided = one.records and one.outcome == "inconclusive" and tier == "full"
    more = " --all" if undecided else ""
    alone = f" --only model={models[0]}" if len(models) == 1 else ""
    return f"repro run manifests/{manifest.id}.json --tier {tier}{more}{alone}"


# -----------------------------------------------------------------------------
# What a claim is about

_MODELS, _DTYPES = ("checkpoint", "checkpoints"), ("dtype", "dtypes", "precision")


def _subjects(claim: Claim, claims: Mapping[str, Claim]) -> tuple[tuple[str, ...], ...]:
    """Models and precisions that a claim names, or that claims do which it is made of."""
    found: dict[str, list[str]] = {"models": [], "dtypes": []}
    seen: set[str] = set()

    def look(value: Any, name: str = "") -> None:  # noqa: ANN401  # any JSON
        if isinstance(value, Mapping):
            for inner, each in value.items():
                look(each, inner)
        elif isinstance(value, list | tuple):
            for each in value:
                look(each, name)
        elif isinstance(value, str) and name in _MODELS:
            found["models"].append(value)
        elif isinstance(value, str) and name in _DTYPES:
            found["dtypes"].append(value)
        elif isinstance(value, str) and value in claims and value not in seen:
            seen.add(value)
            look(claims[value].model_dump(mode="json"))

    look(claim.model_dump(mode="json"))
    return tuple(tuple(dict.fromkeys(each)) for each in found.values())


_KINDS = "Definition|Equation|Lemma|Proposition|Theorem|Corollary|Algorithm|Figure|Table"
_NAMED = re.compile(rf"\b({_KINDS}) (\d+)\b")
_OWN = re.compile(rf"({_KINDS.lower()})_?(\d+)")


def about(row: Row, subjects: Mapping[str, str]) -> str:
    """Heading of what a claim is about: a table, figure or theorem, else a section.

    That is the table it has a place in; else what its manifest is about; else the first that its
    place names; else its section.

    Args:
        row: The claim.
        subjects: What each manifest is about, where that is one thing (`subject`).
    """
    place = row.finding.place
    if place.table:
        return place.table
    named = subjects.get(row.manifest, "") or _first_named(place.section)
    return named or claim_rows.section_of(row.finding)


def subject(manifest: Manifest) -> str:
    """What a manifest is named after, else the table that most of its claims stand in; or nothing.

    Example: a manifest `tableN` is after Table N, and so is any whose claims are about its cells.
    """
    if found := _OWN.fullmatch(manifest.id):
        return f"{found[1].capitalize()} {found[2]}"
    tables = Counter(each.place.table for each in manifest.claims if each.place.table)
    return next((str(name) for name, _ in tables.most_common(1)), "")


def _first_named(section: str) -> str:
    found = _NAMED.search(section)
    return f"{found[1]} {found[2]}" if found else ""


def parts(data: ReportData, every: Iterable[Card]) -> tuple[Part, ...]:
    """What the paper consists of, in its order, each with the claims that are about it."""
    mine: dict[str, list[Card]] = defaultdict(list)
    for card in every:
        mine[card.about].append(card)
    papers = claim_rows.beginnings(data.manifests)
    titles = {f"{papers[each.id]}{subject(each)}": each.title for each in data.manifests}
    order = list(dict.fromkeys(found[0].paper for found in mine.values()))
    named = sorted(
        mine, key=lambda name: (order.index(mine[name][0].paper), *_order(name, mine[name]))
    )
    return tuple(
        Part(
            name=name,
            anchor="in-" + re.sub(r"[^\w.]+", "-", name.lower()),
            title=titles.get(name, ""),
            cards=_readings_last(mine[name]),
            counts=claim_rows.counts(card.row for card in mine[name]),
        )
        for name in named
    )


def _readings_last(mine: Sequence[Card]) -> tuple[Card, ...]:
    """Each sentence with its readings behind it, whatever order they were found in."""
    names = {card.finding.claim for card in mine}
    readings: dict[str, list[Card]] = defaultdict(list)
    for card in mine:
        if card.finding.reading_of in names:
            readings[card.finding.reading_of or ""].append(card)
    first = (card for card in mine if card.finding.reading_of not in names)
    return tuple(each for card in first for each in (card, *readings[card.finding.claim]))


def _order(name: str, mine: Sequence[Card]) -> tuple[object, ...]:
    """By the section that most of its claims stand in; the section itself before its parts."""
    name = name.removeprefix(mine[0].paper)
    sections = Counter(claim_rows.section_of(card.finding) for card in mine)
    body = {each: count for each, count in sections.items() if each != "Abstract"}
    section = max(body, key=lambda each: body[each]) if body else next(iter(sections))
    found = _NAMED.fullmatch(name)
    kind = _KINDS.split("|").index(found[1]) + 1 if found else 0
    return (
        claim_rows.section_order(section if found else name),
        kind,
        int(found[2]) if found else 0,
        name,
    )


# -----------------------------------------------------------------------------
# The axis of a card

_ROOM = 0.08
"""Of an axis, left free at either end."""


def scale(one: Finding) -> Scale | None:
    """The numbers of a finding on an axis; None where one side has none."""
    printed, margin = number(one.published), number(one.margin.strip("± "))
    seen = [e for e in one.estimates if e.label == MEASURED or e.label.startswith(f"{MEASURED} ")]
    if printed is None or not seen or one.stand_ins:
        return None
    null = next((e.value for e in one.estimates if e.label.startswith("null")), None)
    reach = margin or 0.0
    every = [printed - reach, printed + reach, *(x for e in seen for x in ends(e))]
    every += [null] if null is not None else []
    low, high = min(every), max(every)
    room = (high - low or abs(high) or 1.0) * _ROOM
    low, high = low - room, high + room

    def at(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    points = tuple((at(e.value), at(ends(e)[0]), at(ends(e)[1])) for e in seen)
    said = [f"published {one.published} {one.margin}", *map(str, seen)]
    said += [f"coin flips alone {null:.3g}"] if null is not None else []
    unit = seen[0].unit
    band = at(printed - reach), at(printed + reach)
    axis = f"{low:.3g}", f"{high:.3g}"
    where = None if null is None else at(null)
    return Scale(*axis, unit, band, at(printed), points, where, "; ".join(said))


def ends(of: Estimate) -> tuple[float, float]:
    """Of its interval; the value itself without one."""
    return (
        of.value if of.low is None else of.low,
        of.value if of.high is None else of.high,
    )


def number(text: str) -> float | None:
    """A text as a number; None where it is none."""
    try:
        return float(text)
    except ValueError:
        return None
