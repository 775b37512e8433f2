"""The paper's tables, cell by cell: what is printed beside what was measured."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from repro.inputs.locate import InputLocator
from repro.planning import cost
from repro.report.report_data import ReportData
from repro.report.rows import Row
from repro.schema.catalog import HubSource
from repro.schema.causes import say
from repro.schema.jobs import DEFAULT_ENGINE
from repro.schema.manifest import Manifest
from repro.schema.slots import slots

_RANK = ("cell", "planned")
"""Kinds of claim that are about one cell, the telling one first."""


@dataclass(frozen=True)
class Cell:
    """One printed number."""

    printed: str
    row: Row | None
    """What was found about it; None where it has no claim of its own."""


@dataclass(frozen=True)
class Table:
    """One table of the paper."""

    name: str
    title: str
    """Of the manifest."""
    columns: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    """Heading and cells of each row; None where nothing is printed."""
    about: tuple[Row, ...]
    """Claims about whole rows and columns."""


def tables(data: ReportData, rows: Sequence[Row]) -> tuple[Table, ...]:
    """Every table that a manifest prints cells of, in order, once: by the one that prints most."""
    most: dict[tuple[str, str], tuple[int, Manifest]] = {}
    for manifest in data.manifests:
        name, cells = table_of(manifest)
        at = manifest.paper.id, name
        if cells > most.get(at, (0, manifest))[0]:
            most[at] = cells, manifest
    ordered = sorted(most.items(), key=lambda each: (each[0][0], in_order(each[0][1])))
    several = len({about for about, _ in most}) > 1
    return tuple(
        replace(found, name=f"{manifest.paper.name}, {name}") if several else found
        for (_, name), (_, manifest) in ordered
        for found in [_table(manifest, name, [row for row in rows if row.manifest == manifest.id])]
    )


def table_of(manifest: Manifest) -> tuple[str, int]:
    """The table that most of a manifest's printed values stand in, and how many; `""` and 0."""
    places = (value.place for value in manifest.published)
    names = (each.table for each in places if each.table and each.row and each.column)
    return next(iter(Counter(names).most_common(1)), ("", 0))


def in_order(name: str) -> tuple[str, int, str]:
    """What names are sorted by, so that a tenth comes behind a ninth."""
    found = re.match(r"(\D*)(\d*)", name)
    assert found is not None  # noqa: S101  # it matches anything
    return found[1], int(found[2] or 0), name


def _table(manifest: Manifest, name: str, rows: Sequence[Row]) -> Table:
    claims = {
        claim.id: getattr(claim, "published", None)
        for claim in manifest.claims
        if claim.kind in _RANK
    }
    best: dict[str, Row] = {}
    for row in rows:  # lower tiers come first: the highest one stays
        if (value := claims.get(row.finding.claim)) is not None:
            best[value] = row
    at: dict[tuple[str, str], Cell] = {}
    for value in manifest.published:
        place = value.place
        if place.table == name and place.row and place.column:
            at[place.row, place.column] = Cell(value.text, best.get(value.id))
    columns = tuple(dict.fromkeys(column for _, column in at))
    headings = dict.fromkeys(heading for heading, _ in at)
    return Table(
        name,
        manifest.title,
        columns,
        tuple((line, tuple(at.get((line, column)) for column in columns)) for line in headings),
        tuple(
            row
            for row in rows
            if row.finding.place.table == name and row.finding.claim not in claims
        ),
    )


# -----------------------------------------------------------------------------
# What nobody ran yet, and what running it would take.
#
# GPU time is the planner's estimate for one H200 at the highest tier of a manifest, with nothing
# cached: a page says the same wherever it is made.


@dataclass(frozen=True)
class OpenClaims:
    """The claims of one manifest that are not decided by measurement yet."""

    manifest: str
    title: str
    open: tuple[Row, ...]
    """Not run, or run below the highest tier."""
    reasons: tuple[tuple[str, int], ...]
    """Why not run, with the number of claims."""
    command: str
    jobs: int
    gpu_hours: float
    gigabytes: float
    """Weights to fetch and keep."""
    gpu: bool
    """Whether it runs on a GPU alone."""
    undecidable: tuple[tuple[str, str], ...]
    """Claims that it could not decide either, and why."""


def open_claims(data: ReportData, rows: Sequence[Row]) -> tuple[OpenClaims, ...]:
    """What is open in each manifest; those with nothing open are left out."""
    locator = InputLocator()
    return tuple(
        _waiting(data, manifest, mine, locator)
        for manifest in data.manifests
        if (
            mine := [row for row in rows if row.manifest == manifest.id and _is_open(row, manifest)]
        )
    )


def _is_open(row: Row, manifest: Manifest) -> bool:
    below = row.finding.basis == "measured" and row.tier != manifest.tiers()[-1]
    return row.finding.outcome == "not-run" or below


def _waiting(
    data: ReportData, manifest: Manifest, mine: Sequence[Row], locator: InputLocator
) -> OpenClaims:
    tier, weights = manifest.tiers()[-1], locator.checkpoints
    jobs = cost.distinct(slot.job for slot in slots(manifest, tier, weights, DEFAULT_ENGINE))
    reasons = Counter(
        say(row.finding.causes[0]) for row in mine if row.finding.outcome == "not-run"
    )
    fetched = {name for job in jobs if (name := job.checkpoint_name())}
    return OpenClaims(
        manifest=manifest.id,
        title=manifest.title,
        open=tuple(mine),
        reasons=tuple(sorted(reasons.items(), key=lambda each: (-each[1], each[0]))),
        command=f"repro run manifests/{manifest.id}.json --tier {tier}" if jobs else "",
        jobs=len(jobs),
        gpu_hours=cost.gpu_hours(jobs, locator),
        gigabytes=sum(
            weights[name].stored_bytes
            for name in fetched
            if isinstance(weights[name].source, HubSource)
        )
        / 1e9,
        gpu=any(job.why_gpu() for job in jobs),
        undecidable=tuple(data.undecidable.get(manifest.id, {}).items()),
    )
