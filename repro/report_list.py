"""The list of manifests as a table."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from repro.finding import Verdict
from repro.manifest import Manifest
from repro.report import STYLES
from repro.report_console import console

Row = tuple[Manifest, Verdict | None]


def show(rows: Sequence[Row]) -> None:
    """Print one row for each manifest, and what to do next."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("manifest", no_wrap=True, style="bold")
    table.add_column("what")
    table.add_column("claims", justify="right")
    table.add_column("tiers", no_wrap=True)
    table.add_column("stands at")
    for manifest, verdict in rows:
        table.add_row(
            manifest.id,
            manifest.title,
            str(len(manifest.claims)),
            ", ".join(manifest.tiers()),
            _standing(verdict),
        )
    out = console()
    out.print(table)
    out.print(Text("repro run manifests/NAME.json runs one; repro plan … says first what it costs"))


def as_data(manifest: Manifest, verdict: Verdict | None) -> dict[str, Any]:
    """One row as plain data, for `--json`."""
    return {
        "manifest": manifest.id,
        "title": manifest.title,
        "claims": len(manifest.claims),
        "tiers": list(manifest.tiers()),
        "ran_at": verdict.tier if verdict else None,
        "outcomes": {outcome: verdict.count(outcome) for outcome in STYLES} if verdict else None,
    }


def _standing(verdict: Verdict | None) -> Text:
    if verdict is None:
        return Text("not run", style="dim")
    parts = [
        Text(f"{verdict.count(outcome)} {outcome}", style=style)
        for outcome, style in STYLES.items()
        if verdict.count(outcome)
    ]
    return Text.assemble(f"{verdict.tier}: ", Text(", ").join(parts))
