"""Verdicts as tables for a terminal. Only `repro/report*` imports rich."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule

from repro.report.console import INDENT, Table, Text, console, stacked_row
from repro.schema.causes import say
from repro.schema.finding import Finding, Outcome, Verdict, uncounted
from repro.text import plural

STYLES: Mapping[Outcome, str] = {
    "reproduced": "green",
    "consistent": "green",
    "proved": "green",
    "contradicted": "bold red",
    "inconclusive": "yellow",
    "not-run": "dim",
    "invalid": "bold magenta",
}

_HEAD = ("claim", "published", "measured", "margin", "outcome")
_WIDEST, _NARROWEST = 40, 12
"""Characters of a side before its text wraps, and below which the sides get a line of their own."""

_NAMED = 6
"""Claims that were not run that are named before the rest is only counted."""


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print each verdict and, for several, what they come to."""
    out = console()
    for verdict in verdicts:
        out.print(verdict_table(verdict))
    if len(verdicts) > 1:
        out.print(_overview(verdicts))
    if verdicts:
        out.print()
        out.print(_tally(verdicts))


def show_failures(failed: Mapping[str, str]) -> None:
    """Print what could not run, and why."""
    if failed:
        out = console()
        out.print()
        out.print(Text("Could not run", style="bold"))
        for name, why in failed.items():
            first, *others = why.split("\n")
            out.print(Text.assemble("  ", (name, "bold"), f": {first}"))
            for line in others:
                out.print(Text(line))


def verdict_table(verdict: Verdict) -> Group:
    """One manifest: claim | published | measured | margin | outcome, and why below each."""
    where = f"tier {verdict.tier}" if verdict.tier else "the paper against itself"
    title = Text.assemble((verdict.manifest, "bold"), f" · {verdict.title} · {where}")
    shown = [each for each in verdict.findings if _has_a_row(each)]
    rows = [_cells(finding) for finding in shown]
    head = tuple(Text(name, style="bold") for name in _HEAD)
    widths = _column_widths([max(map(len, column)) for column in zip(head, *rows, strict=True)])
    lines: list[RenderableType] = ["", title, ""]
    lines += [_line(head, widths)] * bool(widths) + [Rule(style="dim")]
    for row, finding in zip(rows, shown, strict=True):
        lines += [_line(row, widths)] if widths else _stacked(row)
        lines += [Padding(_why(finding), (0, 0, 0, INDENT))]
        if finding.stand_ins:
            of = f"of {', '.join(finding.stand_ins)}, not of the paper's: {finding.measured}"
            lines += [Padding(Text(of, style="dim"), (0, 0, 0, 2 * INDENT))]
        lines += [
            Padding(Text(say(each), style="dim"), (0, 0, 0, 2 * INDENT))
            for each in finding.working
            if each not in finding.causes
        ]
        if finding.estimates:
            said = Text("; ".join(map(str, finding.estimates)), style="dim")
            lines += [Padding(said, (0, 0, 0, 2 * INDENT))]
    lines += [_not_run(*each) for each in _waiting(verdict).items()]
    lines += [Text(f"  note: {note}", style="dim") for note in verdict.notes]
    return Group(*lines)


def _has_a_row(finding: Finding) -> bool:
    return finding.outcome != "not-run" or bool(finding.answers)


def _waiting(verdict: Verdict) -> dict[str, list[str]]:
    """What was not run, by what it waits for: nothing was measured that a row could show."""
    found: dict[str, list[str]] = {}
    for finding in verdict.findings:
        if not _has_a_row(finding):
            found.setdefault(say(finding.causes[0]), []).append(finding.claim)
    return found


def _not_run(why: str, claims: Sequence[str]) -> Padding:
    names = ", ".join(claims[:_NAMED])
    if len(claims) > _NAMED:
        names += f" … {claims[-1]}"
    text = Text.assemble((f"{len(claims)} not-run", STYLES["not-run"]), f" {why}: {names}")
    return Padding(text, (0, 0, 0, 2))


def _overview(verdicts: Sequence[Verdict]) -> Table:
    """One row a manifest, one column an outcome that some claim has."""
    table = Table()
    table.add_column("manifest", style="bold")
    table.add_column("tier")
    table.add_column("claims", justify="right")
    found = [each for each in STYLES if any(verdict.count(each) for verdict in verdicts)]
    for outcome in found:
        table.add_column(outcome, justify="right", style=STYLES[outcome])
    for verdict in verdicts:
        counts = [str(verdict.count(outcome) or "") for outcome in found]
        tier = verdict.tier or "paper"
        total = sum(finding.counts for finding in verdict.findings)
        table.add_row(verdict.manifest, tier, str(total), *counts)
    return table


def _cells(finding: Finding) -> tuple[Text, ...]:
    return (
        Text(finding.claim, style="bold"),
        Text(finding.published),
        Text(finding.measured_here),
        Text(finding.margin),
        Text(finding.outcome, style=STYLES[finding.outcome]),
    )


def _column_widths(widths: list[int]) -> list[int]:
    """Widths for one line of the terminal: the two sides give way, the outcome never does.

    Returns:
        Nothing where the sides have no room.
    """
    claim, *sides, margin, outcome = widths
    margin = min(margin, _WIDEST // 2)
    room = console().width - claim - margin - outcome - 2 * len(widths)
    if room // 2 < _NARROWEST:
        return []
    return [claim, *(min(each, _WIDEST, room // 2) for each in sides), margin, outcome]


def _stacked(cells: Sequence[Text]) -> list[RenderableType]:
    """A row without columns: the claim and its outcome, and below them the sides."""
    claim, *sides, outcome = cells
    named = zip(_HEAD[1:-1], sides, strict=True)
    return [*stacked_row(Text.assemble(claim, "  ", outcome), named)]


def _line(cells: Sequence[Text], widths: Sequence[int]) -> RenderableType:
    """One row; every row has the same column widths, so that they line up."""
    line = Table.grid(padding=(0, 2, 0, 0))
    for width in widths:
        line.add_column(width=width, overflow="fold")
    line.add_row(*cells)
    return line


def _why(finding: Finding) -> Text:
    text = Text(finding.statement)
    if finding.outcome == "contradicted":
        text.append(f"; printed: “{finding.quote}”")
    if finding.reading:
        text.append(f"; read as: {finding.reading}")
    text.append(f"; {finding.reason}", style="dim")
    if finding.points:
        text.append(f" → {finding.points}", style="italic")
    for answer in finding.answers:
        text.append(f"; {answer}", style="italic")
    return text


def _tally(verdicts: Sequence[Verdict]) -> Text:
    """How many claims ended how, over all manifests; then those that are none of the paper's."""
    findings = [finding for verdict in verdicts for finding in verdict.findings]
    total = sum(finding.counts for finding in findings)
    text = Text(f"{plural(total, 'claim')} of the paper: ")
    parts = []
    for outcome, style in STYLES.items():
        count = sum(verdict.count(outcome) for verdict in verdicts)
        if count:
            parts.append(Text(f"{count} {outcome}", style=style))
    text.append_text(Text(", ").join(parts))
    apart = Counter(uncounted(each) for each in findings if not each.counts)
    more = ", ".join(plural(count, name) for name, count in apart.items())
    return text.append(f"; and {more}, which are in no count" if more else "", style="dim")
