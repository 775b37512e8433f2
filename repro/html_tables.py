"""The paper's tables, cell by cell: what is printed beside what was measured."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from repro.html_claims import Row
from repro.html_data import Seen
from repro.manifest import Manifest

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


def tables(seen: Seen, rows: Sequence[Row]) -> tuple[Table, ...]:
    """Every table that a manifest of its own has, in order: Table 3 is manifest table3."""
    found = []
    for manifest in seen.manifests:
        if number := re.fullmatch(r"table(\d+)", manifest.id):
            name = f"Table {number[1]}"
            mine = [row for row in rows if row.manifest == manifest.id]
            found.append((int(number[1]), _table(manifest, name, mine)))
    return tuple(table for _, table in sorted(found, key=lambda each: each[0]) if table.lines)


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
