"""Records as a table, one record for a person, and what may go."""

from collections.abc import Sequence
from typing import Any

from repro.plural import counted
from repro.report_console import Table, Text, console
from repro.report_jobs import duration
from repro.results_entries import SHORT, Entry
from repro.results_gc import Garbage

_UNIT = 1000


def show_list(entries: Sequence[Entry]) -> None:
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
            in_bytes(each.size),
            Text(f"broken: {each.broken}", style="red") if each.broken else "sound",
            ", ".join(each.used_by) or "nothing",
        )
    out = console()
    out.print(table)
    broken = sum(bool(each.broken) for each in entries)
    total = in_bytes(sum(each.size for each in entries))
    orphans = sum(not each.used_by for each in entries)
    out.print(
        f"{counted(len(entries), 'record')}, {total}, {broken} broken, "
        f"{orphans} that no run file names"
    )


def show_one(entry: Entry) -> None:
    """Print everything that a record says."""
    out = console()
    out.print(Text(entry.key, style="bold"))
    out.print(Text(entry.what, style="bold"))
    out.print(f"used by {', '.join(entry.used_by) or 'no run file'}; {in_bytes(entry.size)}")
    if entry.broken:
        out.print(Text(f"broken: {entry.broken}", style="red"))
    record = entry.record
    if record is None:
        return
    machine = record.environment
    facts = {
        "started": record.started,
        "took": f"{record.seconds} s",
        "python": machine.python,
        "hardware": machine.hardware_class,
        **{name: version for name, version in machine.packages.items() if name in _SHOWN},
    }
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
        table.add_row(str(each.path), each.why, in_bytes(each.size))
    out.print(table)
    total = in_bytes(sum(each.size for each in garbage))
    done = f"removed {in_bytes(freed)}" if freed is not None else f"{total} can be freed: add --yes"
    out.print(done)


def as_data(entry: Entry) -> dict[str, Any]:
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


def in_bytes(count: int) -> str:
    """Bytes in the unit that people would use."""
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= _UNIT and len(units) > 1:
        size /= _UNIT
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"


_SHOWN = ("torch", "transformers", "lm-eval", "peft", "trl", "mamba-ssm", "causal-conv1d", "numpy")
"""Packages that a person asks for first; `--json` has all."""


def _pairs(title: str, pairs: Any) -> Table:  # noqa: ANN401 - any mapping of plain values
    table = Table(box=None, title=title, title_justify="left", show_header=False)
    for name, value in pairs.items():
        table.add_row(Text(str(name), style="dim"), str(value))
    return table
