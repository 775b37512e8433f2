"""What of the paper's printed numbers is checked, as tables."""

from collections.abc import Sequence
from typing import Any

from repro.coverage import Coverage, Difference
from repro.plural import counted
from repro.report_console import Table, Text, console

_SHOWN = 10
"""Differences that are printed; one changed table makes hundreds."""


def show(coverage: Coverage) -> None:
    """Print the tally of each section, the reasons, and every number that is loose."""
    out = console()
    out.print(_sections(coverage))
    out.print(_reasons(coverage))
    for loose in coverage.dangling:
        where = f"section {loose.section}, number {loose.order}"
        out.print(Text(f"  {where}: bound to {loose.claim}, which no manifest has", style="red"))
    for loose in coverage.unbound:
        where = f"section {loose.section}, number {loose.order}"
        out.print(Text(f"  {where}: neither bound nor set aside", style="red"))
    if coverage.complete:
        out.print(Text("every printed number is bound or set aside", style="bold green"))


def _sections(coverage: Coverage) -> Table:
    table = Table(show_footer=True)
    rows = coverage.sections
    table.add_column("section", "all", no_wrap=True, style="bold")
    for heading, field in (
        ("numbers", "numerals"),
        ("bound", "bound"),
        ("set aside", "aside"),
        ("unbound", "unbound"),
    ):
        total = sum(getattr(row, field) for row in rows)
        table.add_column(heading, str(total), justify="right")
    for row in rows:
        counts = (row.numerals, row.bound, row.aside, row.unbound)
        table.add_row(row.section, *map(str, counts))
    return table


def _reasons(coverage: Coverage) -> Table:
    table = Table()
    table.add_column("set aside as", no_wrap=True, style="bold")
    table.add_column("numbers", justify="right")
    table.add_column("why")
    for reason in coverage.reasons:
        table.add_row(reason.reason, str(reason.numerals), reason.sentence)
    return table


def show_comparison(count: int, differences: Sequence[Difference]) -> None:
    """Print whether the `count` numerals of a copy are the ledger's, or where they first part."""
    out = console()
    numerals = counted(count, "numeral")
    if not differences:
        out.print(Text(f"{numerals}, all as in the ledger", style="bold green"))
        return
    text = f"{numerals}, {counted(len(differences), 'difference')} from the ledger"
    out.print(Text(text, style="bold red"))
    for each in differences[:_SHOWN]:
        copy = f"the copy prints {each.printed}" if each.printed else "the copy lacks a number"
        ledger = f"has another there ({each.ledger})" if each.ledger else "has none there"
        if not each.printed:
            ledger = f"has one ({each.ledger})"
        where = f"section {each.section}, number {each.order}"
        out.print(Text(f"  {where}: {copy}, the ledger {ledger}", style="red"))
    if len(differences) > _SHOWN:
        out.print(Text(f"  and {len(differences) - _SHOWN} more", style="dim"))


def as_data(
    coverage: Coverage, count: int | None, differences: Sequence[Difference]
) -> dict[str, Any]:
    """The same as plain data, for `--json`; without a copy, `text` is null."""
    text = {"numerals": count, "differences": [each.model_dump() for each in differences]}
    return coverage.model_dump() | {"text": None if count is None else text}
