"""The list of manifests as a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from repro.jobs import Tier
from repro.manifest import Manifest
from repro.plural import counted
from repro.report_console import Table, Text, console


@dataclass(frozen=True)
class Standing:
    """How far a manifest was run."""

    tier: Tier
    done: int
    """Jobs that have a record."""
    jobs: int
    """Jobs that were planned, one for each key."""
    missing: int
    """Slots whose job could not run: no weights, no data, no space."""
    no_twin: int
    """Slots that have no job at this tier: nothing stands in for their checkpoint."""

    def __str__(self) -> str:
        text = f"{self.tier}: {self.done} of {counted(self.jobs, 'job')}"
        text += f", {counted(self.missing, 'result')} missing" if self.missing else ""
        return text + (
            f"; {counted(self.no_twin, 'result')} without a twin" if self.no_twin else ""
        )


Row = tuple[Manifest, Standing | None]


def show(rows: Sequence[Row]) -> None:
    """Print one row for each manifest, and what to do next."""
    table = Table()
    table.add_column("manifest", style="bold")
    table.add_column("what")
    table.add_column("claims", justify="right")
    table.add_column("tiers")
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
