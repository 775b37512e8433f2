"""Manifests, records and the paper's sentences, listed as tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from textwrap import shorten
from typing import Any

from rich.filesize import decimal

from repro.coverage import REASONS, Compared, Coverage, Difference, UncheckedSentence
from repro.planning.needed import NeededInput, bytes_to_fetch
from repro.planning.plan import Plan
from repro.report.console import Table, Text, console
from repro.schema import paper
from repro.schema.jobs import Tier
from repro.schema.kinds.imported import ImportedJob
from repro.schema.manifest import Manifest
from repro.store.contents import SHORT, Entry, Garbage
from repro.text import duration, plural


@dataclass(frozen=True)
class RunProgress:
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
    imported: int = 0
    """Of the jobs, those that somebody else ran."""

    def __str__(self) -> str:
        text = f"{self.tier}: {self.done} of {plural(self.jobs, 'job')}"
        text += f", {self.imported} imported" if self.imported else ""
        text += f", {plural(self.missing, 'result')} missing" if self.missing else ""
        return text + (f"; {plural(self.no_twin, 'result')} without a twin" if self.no_twin else "")


Row = tuple[Manifest, RunProgress | None]


def show_manifests(rows: Sequence[Row]) -> None:
    """Print one row for each manifest, by paper, and what to do next."""
    out = console()
    for about in dict.fromkeys(manifest.paper.id for manifest, _ in rows):
        table = Table()
        table.add_column("manifest", style="bold")
        table.add_column("what")
        table.add_column("claims", justify="right")
        table.add_column("tiers")
        table.add_column("ran")
        mine = [each for each in rows if each[0].paper.id == about]
        for manifest, progress in mine:
            table.add_row(
                manifest.id,
                manifest.title,
                str(len(manifest.claims)),
                ", ".join(manifest.tiers()),
                str(progress) if progress else Text("not yet", style="dim"),
            )
        out.print(Text(f"Claims of {paper.names([mine[0][0].paper])}", style="bold"))
        out.print(table)
    next_steps = "repro plan NAME says what a run costs, repro run … runs it, "
    out.print(Text(f"{next_steps}repro verify judges what was run"))


def manifest_as_data(manifest: Manifest, progress: RunProgress | None) -> dict[str, Any]:
    """One row as plain data, for `--json`."""
    return {
        "manifest": manifest.id,
        "paper": manifest.paper.model_dump(),
        "title": manifest.title,
        "claims": len(manifest.claims),
        "tiers": list(manifest.tiers()),
        "ran": asdict(progress) if progress else None,
    }


# -----------------------------------------------------------------------------
# Records as a table, one record for a person, and what may go.


def show_records(entries: Sequence[Entry]) -> None:
    """Print one row for each record."""
    table = Table()
    table.add_column("key", no_wrap=True, style="bold")
    for heading in ("kind", "what"):
        table.add_column(heading)
    table.add_column("when", no_wrap=True)
    for heading in ("took", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("state", "used by"):
        table.add_column(heading)
    for each in entries:
        record = each.record
        table.add_row(
            each.key[:SHORT],
            record.job.kind if record else "—",
            each.what,
            record.started[:16].replace("T", " ") if record else "—",
            duration(record.seconds) if record else "—",
            decimal(each.size),
            Text(f"broken: {each.broken}", style="red") if each.broken else "sound",
            ", ".join(each.used_by) or "nothing",
        )
    out = console()
    out.print(table)
    broken = sum(bool(each.broken) for each in entries)
    total = decimal(sum(each.size for each in entries))
    orphans = sum(not each.used_by for each in entries)
    out.print(
        f"{plural(len(entries), 'record')}, {total}, {broken} broken, "
        f"{orphans} that no run file names"
    )


def show_record(entry: Entry) -> None:
    """Print everything that a record says."""
    out = console()
    out.print(Text(entry.key, style="bold"))
    out.print(Text(entry.what, style="bold"))
    out.print(f"used by {', '.join(entry.used_by) or 'no run file'}; {decimal(entry.size)}")
    if entry.broken:
        out.print(Text(f"broken: {entry.broken}", style="red"))
    record = entry.record
    if record is None:
        return
    machine, job = record.environment, record.job
    facts = {
        "started": record.started,
        "took": f"{record.seconds} s",
        "python": machine.python,
        "hardware": machine.hardware_class,
        **{name: version for name, version in machine.packages.items() if name in _PACKAGES},
    }
    if isinstance(job, ImportedJob):
        said = {"ran": job.by, "source": job.source, "unknown": ", ".join(job.unknown())}
        facts = {f"imported, {name}": each for name, each in said.items()} | facts
    files = {record.arrays.name: record.arrays.sha256, **record.files}
    for title, pairs in (
        ("environment", facts),
        ("path", record.path),
        ("values", record.values),
        ("inputs", record.inputs),
        ("files", files),
    ):
        out.print(_pairs(title, pairs))
    for warning in record.warnings:
        out.print(Text(f"warning: {warning}", style="yellow"))


def show_garbage(garbage: Sequence[Garbage], freed: int | None) -> None:
    """Print what may go, or went."""
    out = console()
    if not garbage:
        out.print("nothing to remove")
        return
    table = Table("what", "why")
    table.add_column("size", justify="right", no_wrap=True)
    for each in garbage:
        table.add_row(str(each.path), each.why, decimal(each.size))
    out.print(table)
    total = decimal(sum(each.size for each in garbage))
    done = f"removed {decimal(freed)}" if freed is not None else f"{total} can be freed: add --yes"
    out.print(done)


def record_as_data(entry: Entry) -> dict[str, Any]:
    """One record as plain data, for `--json`; what it says itself is under `record`."""
    return {
        "key": entry.key,
        "what": entry.what,
        "size": entry.size,
        "state": "broken" if entry.broken else "sound",
        "broken": entry.broken,
        "used_by": list(entry.used_by),
        "record": entry.record.model_dump(mode="json") if entry.record else None,
    }


def garbage_as_data(garbage: Sequence[Garbage], freed: int | None) -> dict[str, Any]:
    """What may go, or went, as plain data."""
    rows = [{"path": str(each.path), "why": each.why, "size": each.size} for each in garbage]
    return {"garbage": rows, "freed": freed}


_PACKAGES = (
    "torch",
    "transformers",
    "lm-eval",
    "peft",
    "trl",
    "mamba-ssm",
    "causal-conv1d",
    "numpy",
)
"""Packages that a person asks for first; `--json` has all."""


def _pairs(title: str, pairs: Any) -> Table:  # noqa: ANN401 - any mapping of plain values
    table = Table(box=None, title=title, title_justify="left", show_header=False)
    for name, value in pairs.items():
        table.add_row(Text(str(name), style="dim"), str(value))
    return table


# -----------------------------------------------------------------------------
# Which of the paper's sentences are checked, as tables.

_SHOWN, _START = 10, 60
"""Differences that are printed, and characters of a sentence; one other page makes hundreds."""


def show_coverage(coverage: Coverage) -> None:
    """Print the tally of each section, the reasons, and all that is loose."""
    out = console()
    out.print(_sections(coverage))
    out.print(_reasons(coverage))
    for loose in coverage.dangling:
        text = f"  {_place(loose)}: bound to {loose.claim}, which no manifest has"
        out.print(Text(text, style="red"))
    for loose in coverage.unbound:
        out.print(Text(f"  {_place(loose)}: neither bound nor set aside", style="red"))
    for name in coverage.unplaced:
        out.print(Text(f"  {name}: is printed, and no sentence is bound to it", style="red"))
    if coverage.complete:
        text = "every sentence is bound or set aside, every printed claim has one"
        out.print(Text(text, style="bold green"))


def _place(found: UncheckedSentence | Difference) -> str:
    return f"section {found.section}, sentence {found.order}"


def _sections(coverage: Coverage) -> Table:
    table = Table(show_footer=True)
    rows = coverage.sections
    table.add_column("section", "all", no_wrap=True, style="bold")
    for heading, field in (
        ("sentences", "sentences"),
        ("bound", "bound"),
        ("set aside", "aside"),
        ("unbound", "unbound"),
    ):
        total = sum(getattr(row, field) for row in rows)
        table.add_column(heading, str(total), justify="right")
    for row in rows:
        counts = (row.sentences, row.bound, row.aside, row.unbound)
        table.add_row(row.section, *map(str, counts))
    return table


def _reasons(coverage: Coverage) -> Table:
    table = Table()
    table.add_column("set aside as", no_wrap=True, style="bold")
    table.add_column("sentences", justify="right")
    table.add_column("why")
    for reason, count in coverage.reasons.items():
        table.add_row(reason, str(count), REASONS[reason])
    return table


def show_coverage_comparison(compared: Compared) -> None:
    """Print whether the sentences of a copy are the ledger's, or where they first part."""
    out = console()
    sentences = plural(compared.sentences, "sentence")
    for name in compared.misquoted:
        text = f"  {name}: its quote is not in the copy's sentence, or in none"
        out.print(Text(text, style="red"))
    if not compared.differences:
        out.print(Text(f"{sentences}, all as in the ledger", style="bold green"))
        return
    text = f"{sentences}, {plural(len(compared.differences), 'difference')} from the ledger"
    out.print(Text(text, style="bold red"))
    for each in compared.differences[:_SHOWN]:
        printed = shorten(each.printed, _START, placeholder=" …") if each.printed else ""
        copy = f"the copy prints {printed!r}" if printed else "the copy lacks a sentence"
        ledger = f"has another there ({each.ledger})" if each.ledger else "has none there"
        if not each.printed:
            ledger = f"has one ({each.ledger})"
        out.print(Text(f"  {_place(each)}: {copy}, the ledger {ledger}", style="red"))
    if len(compared.differences) > _SHOWN:
        out.print(Text(f"  and {len(compared.differences) - _SHOWN} more", style="dim"))


def coverage_as_data(coverage: Coverage, compared: Compared | None) -> dict[str, Any]:
    """The same as plain data, for `--json`; without a copy, `text` is null."""
    return coverage.model_dump() | {"text": compared and compared.model_dump()}


def show_needed(plans: Sequence[Plan], needed: Sequence[NeededInput]) -> None:
    """What a run of some plans reads: how large it is, under which licence, and whether it is here.

    What comes from where, or what to do, is for those that are not.
    """
    out = console()
    tiers = ", ".join(f"{plan.manifest.id} at tier {plan.tier}" for plan in plans)
    to_fetch = [each for each in needed if each.state == "to fetch"]
    size = f"{bytes_to_fetch(needed) / 1e9:.1f} GB"
    out.print()
    head = Text.assemble((tiers, "bold"), f": {plural(len(needed), 'input')}")
    out.print(head.append(f", {len(to_fetch)} to fetch, {size}" if to_fetch else ", none to fetch"))
    table = Table("needed", "size", "licence", "state", "from")
    for each in needed:
        shown = decimal(each.bytes) if each.bytes else "unknown"
        table.add_row(each.what, shown, each.licence, each.state, each.how)
    if needed:
        out.print(table)
