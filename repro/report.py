"""Verdicts as tables for a terminal. Only `repro/report*` imports rich."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from repro.finding import Finding, Outcome, Verdict
from repro.report_console import console

STYLES: Mapping[Outcome, str] = {
    "reproduced": "green",
    "contradicted": "bold red",
    "inconclusive": "yellow",
    "not-run": "dim",
    "invalid": "bold magenta",
}

_HEAD = ("claim", "published", "measured", "margin", "outcome")
_INDENT = 4
_WIDEST = 40
"""Characters of a column before its text wraps."""


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print each verdict and, for several, what they come to."""
    out = console()
    for verdict in verdicts:
        out.print(verdict_table(verdict))
    if verdicts:
        out.print(_tally(verdicts))


def show_failures(failed: Mapping[str, str]) -> None:
    """Print what could not run, and why."""
    if failed:
        out = console()
        out.print("\n[bold]Could not run[/bold]")
        for name, why in failed.items():
            out.print(Text.assemble("  ", (name, "bold"), f": {why}"))


def verdict_table(verdict: Verdict) -> Group:
    """One manifest: claim | published | measured | margin | outcome, and why below each."""
    where = f"tier {verdict.tier}" if verdict.tier else "the paper against itself"
    title = Text.assemble(("\n" + verdict.manifest, "bold"), f" · {verdict.title} · {where}\n")
    rows = [_cells(finding) for finding in verdict.findings]
    head = tuple(Text(name, style="bold") for name in _HEAD)
    widths = [max(len(each) for each in column) for column in zip(head, *rows, strict=True)]
    lines: list[RenderableType] = [title, _line(head, widths), Rule(style="dim")]
    for row, finding in zip(rows, verdict.findings, strict=True):
        lines += [_line(row, widths), Padding(_why(finding), (0, 0, 0, _INDENT))]
    lines += [Text(f"  note: {note}", style="dim") for note in verdict.notes]
    return Group(*lines)


def _cells(finding: Finding) -> tuple[Text, ...]:
    return (
        Text(finding.claim, style="bold"),
        Text(finding.published),
        Text(finding.measured),
        Text(finding.margin),
        Text(finding.outcome, style=STYLES[finding.outcome]),
    )


def _line(cells: Sequence[Text], widths: Sequence[int]) -> Table:
    """One row; every row has the same column widths, so that they line up."""
    line = Table.grid(padding=(0, 2, 0, 0))
    for width in widths:
        line.add_column(min_width=min(width, _WIDEST))
    line.add_row(*cells)
    return line


def _why(finding: Finding) -> Text:
    text = Text(finding.statement)
    text.append(f"; {finding.reason}", style="dim")
    if finding.direction:
        text.append(f" → {finding.direction}", style="italic")
    return text


def _tally(verdicts: Sequence[Verdict]) -> Text:
    """How many claims ended how, over all manifests."""
    total = sum(len(verdict.findings) for verdict in verdicts)
    text = Text(f"\n{total} claims: ")
    parts = []
    for outcome, style in STYLES.items():
        count = sum(verdict.count(outcome) for verdict in verdicts)
        if count:
            parts.append(Text(f"{count} {outcome}", style=style))
    text.append_text(Text(", ").join(parts))
    return text
