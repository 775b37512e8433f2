"""The paper's tables, cell by cell: what is printed beside what was measured.

For a page, and as LaTeX and CSV for a report. What is measured is of the paper's own models; what
stood in for them has lines of its own.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from repro.report.csv import without_formula
from repro.report.report_data import ReportData
from repro.report.rows import beginnings
from repro.report.view.cards import Card, subject
from repro.schema.causes import MEASURED
from repro.schema.finding import Finding
from repro.schema.kinds.tuning import Method
from repro.schema.manifest import Manifest
from repro.text import visible

_KINDS = ("cell", "planned")
"""Kinds of claim that are about one cell."""

_MARKS = re.compile("[✓✗]")
_YES = {"✓": "yes", "✗": "no"}
"""On a page these two are outcomes and nothing else."""

_METHODS: Mapping[Method, str] = {
    "full": "every weight",
    "lora-all": "LoRA on all linear layers",
    "lora-sll": "LoRA on the listed layers",
    "lora-w": "LoRA on W alone",
    "lora-not-w": "LoRA on all but W",
}


@dataclass(frozen=True)
class Cell:
    """One printed number."""

    printed: str
    card: Card | None
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

    def cells(self) -> Iterator[tuple[str, str, Cell]]:
        """Row, column and cell, line by line."""
        for heading, cells in self.lines:
            for column, cell in zip(self.columns, cells, strict=True):
                if cell is not None:
                    yield heading, column, cell

    @property
    def measured(self) -> int:
        """Cells of which the paper's own models were measured."""
        return sum(
            cell.card is not None and cell.card.finding.measured_here != "—"
            for _, _, cell in self.cells()
        )

    @property
    def stand_ins(self) -> tuple[Card, ...]:
        """Cells of which something else was measured."""
        cards = (cell.card for _, _, cell in self.cells())
        return tuple(card for card in cards if card and card.finding.stand_ins)


def tables(data: ReportData, cards: Mapping[tuple[str, str], Card]) -> dict[str, Table]:
    """Every table that a manifest is about, by name, once: by the one that prints most of it."""
    meaning = trained(data.manifests)
    found: dict[str, Table] = {}
    papers = beginnings(data.manifests)
    for manifest in data.manifests:
        if own := subject(manifest):
            name = f"{papers[manifest.id]}{own}"
            table = replace(_table(manifest, own, cards, meaning), name=name)
            if len(list(table.cells())) > len(list(found[name].cells()) if name in found else []):
                found[name] = table
    return dict(sorted(found.items(), key=lambda each: in_order(each[0])))


def in_order(name: str) -> tuple[str, int, str]:
    """What names are sorted by, so that the tenth comes behind the ninth."""
    found = re.match(r"(.*?)(\d*)$", name)
    assert found is not None  # noqa: S101  # it matches anything
    return found[1], int(found[2] or 0), name


def _table(
    manifest: Manifest,
    name: str,
    cards: Mapping[tuple[str, str], Card],
    meaning: Mapping[str, str],
) -> Table:
    mine: dict[str, Card] = {}
    for claim in manifest.claims:
        value, card = getattr(claim, "published", None), cards.get((manifest.id, claim.id))
        if claim.kind in _KINDS and value is not None and card is not None:
            mine[value] = card
    at: dict[tuple[str, str], Cell] = {}
    for published in manifest.published:
        place = published.place
        if place.table == name and place.row and place.column:
            at[place.row, place.column] = Cell(published.text, mine.get(published.id))
    columns = tuple(dict.fromkeys(column for _, column in at))
    own = {**meaning, **trained([manifest])}
    return Table(
        name,
        manifest.title,
        tuple(in_words(column) for column in columns),
        tuple(
            (
                in_words(heading, own),
                tuple(at.get((heading, column)) for column in columns),
            )
            for heading in dict.fromkeys(heading for heading, _ in at)
        ),
    )


def trained(manifests: Iterable[Manifest]) -> dict[str, str]:
    """What was trained in a row, by its heading, where a claim on one of its cells says so."""
    found: dict[str, str] = {}
    for manifest in manifests:
        rows = {each.id: each.place.row for each in manifest.published}
        for claim in manifest.claims:
            method = getattr(getattr(claim, "measure", None), "method", None)
            if method and (row := rows.get(getattr(claim, "published", "") or "")):
                found.setdefault(row, _METHODS[method])
    return found


def in_words(text: str, meaning: Mapping[str, str] | None = None) -> str:
    """A text without tick and cross, which are outcomes here and nothing else.

    Args:
        text: As printed.
        meaning: What was trained in the rows of some headings, as `trained` finds it.

    Example:
        >>> in_words("130M ✓ 9.1"), in_words("130M ✗ 9.1", {"130M ✗": "LoRA on all but W"})
        ('130M (yes) 9.1', '130M (LoRA on all but W) 9.1')
    """
    if not _MARKS.search(text):
        return text
    for heading, trained_so in (meaning or {}).items():
        if _MARKS.search(heading) and heading in text:
            text = text.replace(heading, _MARKS.sub(f"({trained_so})", heading))
    return _MARKS.sub(lambda found: f"({_YES[found[0]]})", text)


# -----------------------------------------------------------------------------
# For a report: printed | measured | interval | outcome

CSV, LATEX = "tables.csv", "tables.tex"
COLUMNS = ("table", "row", "column", "printed", "measured", "interval", "margin", "outcome")


def interval(one: Finding) -> str:
    """Ends of the interval of what was measured; empty where there is none."""
    if one.stand_ins:
        return ""
    ends = [e for e in one.estimates if e.label.startswith(MEASURED) and e.low is not None]
    return "; ".join(f"{e.low:.4g} to {e.high:.4g}" for e in ends)


def lines(every: Mapping[str, Table]) -> Iterator[tuple[str, ...]]:
    """One line a printed number, as `COLUMNS` has it."""
    for table in every.values():
        for row, column, cell in table.cells():
            one = cell.card.finding if cell.card else None
            said = (
                (_number(one.measured_here), interval(one), one.margin, _word(one))
                if one
                else (("", "", "", "no claim of its own"))
            )
            yield (table.name, row, column, cell.printed, *said)


def _number(measured: str) -> str:
    """What was measured without how often: the interval says how far it spreads."""
    return "" if measured == "—" else measured.partition(" (")[0]


def _word(one: Finding) -> str:
    return one.outcome.replace("-", " ")


def as_csv(every: Mapping[str, Table]) -> str:
    """The tables for a spreadsheet, RFC 4180."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for line in lines(every):
        writer.writerow([without_formula(visible(cell)) for cell in line])
    return text.getvalue()


_TEX = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "μ": r"$\mu$",
    "—": "---",
    "–": "--",
    "’": "'",
}


def in_latex(text: str) -> str:
    r"""Text as LaTeX takes it.

    Example:
        >>> print(in_latex("50 % ± 1_a"))
        50 \% $\pm$ 1\_a
    """
    return "".join(_TEX.get(each, each) for each in visible(text))


def as_latex(every: Mapping[str, Table], about: str) -> str:
    """The tables for a report; needs the packages booktabs and longtable.

    Args:
        every: By name.
        about: What the paper is called.
    """
    made = [r"% \usepackage{booktabs,longtable}"]
    rows = list(lines(every))
    for table in every.values():
        mine = [row[1:] for row in rows if row[0] == table.name]
        title = f"{table.name} of {about}: {table.title}. Printed beside measured."
        head = " & ".join(COLUMNS[1:]) + r" \\"
        made += [
            r"\begin{longtable}{llrrlll}",
            rf"\caption{{{in_latex(title)}}}\\",
            *(r"\toprule", head, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot"),
            *(" & ".join(map(in_latex, row)) + r" \\" for row in mine),
            r"\end{longtable}",
        ]
    return "\n".join(made) + "\n"
