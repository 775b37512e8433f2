"""The list of manifests as a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from repro.jobs import Tier
from repro.manifest import Manifest
from repro.plural import counted
from repro.report_console import console


@dataclass(frozen=True)
class Standing:
    """How far a manifest was run."""

    tier: Tier
    done: int
    """Jobs that have a record."""
    jobs: int
    """Jobs that were planned, one for each key."""
    missing: int
    """Slots that could not be planned: no weights, no twin."""

    def __str__(self) -> str:
        text = f"{self.tier}: {self.done} of {counted(self.jobs, 'job')}"
        return text + (f", {counted(self.missing, 'result')} missing" if self.missing else "")


Row = tuple[Manifest, Standing | None]


def show(rows: Sequence[Row]) -> None:
    """Print one row for each manifest, and what to do next."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("manifest", no_wrap=True, style="bold")
    table.add_column("what")
    table.add_column("claims", justify="right")
    table.add_column("tiers", no_wrap=True)
    table.add_column("ran")
    for manifest, standing in rows:
        table.add_row(
            manifest.id,
            manifest.title,
            str(len(manifest.claims)),
            ", ".join(manifest.tiers()),
            str(standing) if standing else Text("not yet", style="dim"),
        )
    out = console()
    out.print(table)
    next_steps = "repro plan manifests/NAME.json says what a run costs, repro run … runs it, "
    out.print(Text(f"{next_steps}repro verify judges what was run"))


def as_data(manifest: Manifest, standing: Standing | None) -> dict[str, Any]:
    """One row as plain data, for `--json`."""
    return {
        "manifest": manifest.id,
        "title": manifest.title,
        "claims": len(manifest.claims),
        "tiers": list(manifest.tiers()),
        "ran": asdict(standing) if standing else None,
    }
