"""Findings as a table for a spreadsheet: one row a finding, those of the page of `repro report`.

RFC 4180: commas, CRLF, quotes where needed. UTF-8 with the mark by which spreadsheets know it. A
cell that a spreadsheet would take for a formula and that is no number begins with an apostrophe.

Not covered: how a number is shown; a spreadsheet drops the last nought of 0.10, and one that writes
a decimal comma takes it for a date. `repro export` says so: quoted cells would be no numbers to
programs.
"""

import csv
import io
import re

from repro.report import rows
from repro.report.report_data import ReportData
from repro.report.rows import Row
from repro.text import visible_lines

NAME = "findings.csv"
COLUMNS = (
    *("manifest", "section", "place", "table", "row", "column", "claim", "kind", "statement"),
    *("quote", "reading", "standing", "conditions", "basis", "tier", "outcome", "result"),
    *("published", "measured", "measured of stand-ins", "stand-ins", "margin", "direction"),
    *("causes", "reason", "estimates", "would have caught", "working", "records"),
)
_MARK = "\ufeff"
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")  # wide ones count in some editions


def as_csv(data: ReportData) -> str:
    """Every finding, in the order of the page.

    Returns:
        The whole file, its mark included; written as UTF-8.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for row in rows.rows(data):
        table.writerow([without_formula(visible_lines(cell)) for cell in _cells(row)])
    return _MARK + text.getvalue()


def without_formula(text: str) -> str:
    """A cell that no spreadsheet computes.

    Example:
        >>> guarded("=1+1"), guarded("-0.3"), guarded("-0.3 points")
        ("'=1+1", '-0.3', "'-0.3 points")
    """
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def _cells(row: Row) -> list[str]:
    """One row, in the order of `COLUMNS`."""
    found = row.finding
    place = found.place
    return [
        *(row.manifest, row.section, place.section),
        *(place.table or "", place.row or "", place.column or ""),
        *(found.claim, found.kind, found.statement, found.quote, found.reading, found.standing),
        *("; ".join(found.conditions), found.basis, row.tier, found.outcome, found.result or ""),
        *(found.published, found.measured_here, found.measured if found.stand_ins else ""),
        *(", ".join(found.stand_ins), found.margin, found.points),
        *(" ".join(each.code for each in found.causes), found.reason),
        "; ".join(map(str, found.estimates)),
        *("; ".join(row.caught), "; ".join(row.working), " ".join(found.records)),
    ]
