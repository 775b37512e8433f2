"""An audit as tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group

from repro.audit.audit import Audit, Row
from repro.audit.compare import EVERY, Difference
from repro.report.console import Table, Text, console
from repro.text import plural


def show(audit: Audit) -> None:
    """Print every package that the paper names or that drifted, and count the rest."""
    out = console()
    out.print(_machine(audit))
    shown = [row for row in audit.rows if row.paper or row.drifted or row.detail]
    out.print(_table(shown))
    if audit.image is not None:
        out.print(_image(audit))
    quiet = [row for row in audit.rows if row not in shown]
    out.print(Text(f"  and {len(quiet)} more: {_states(quiet)}", style="dim"))
    for problem in audit.problems:
        out.print(Text(f"  drift: {problem}", style="red"))
    if audit.floating:
        where = "floating revisions" if len(audit.floating) > 1 else "a floating revision"
        checkpoints = plural(len(audit.floating), "checkpoint")
        out.print(Text(f"  {checkpoints} at {where}; the first fetch pins each"))
    drifted = [row.package for row in audit.rows if row.drifted]
    if audit.drifted:
        differences = plural(len(drifted) + len(audit.problems), "difference")
        out.print()
        out.print(Text(f"drift: {differences} from the pins", style="bold red"))
    else:
        out.print()
        out.print(Text("as pinned", style="bold green"))


def show_differences(differences: Sequence[Difference]) -> None:
    """Print how two environments differ, and how many claims each difference can touch."""
    out = console()
    table = Table("what", "here", "there", "can touch")
    for each in differences:
        table.add_row(each.what, each.here or "—", each.there or "—", _touched(each))
    if differences:
        out.print(table)
    count = plural(len(differences), "difference")
    out.print(Text(count, style="bold red" if differences else ""))


@dataclass(frozen=True)
class Check:
    """Something that a run needs of a machine, looked at."""

    name: str
    found: str
    needed: str
    do: str
    """What to do about it; empty if nothing."""
    stops_smoke: bool = False
    """No run can work before that is done, not even at tier smoke."""


def show_checks(checks: Sequence[Check]) -> None:
    """Print what was looked at, and what to do."""
    out = console()
    table = Table("", "found", "needed", "what to do")
    for each in checks:
        style = "bold red" if each.stops_smoke else "yellow" if each.do else "green"
        table.add_row(Text(each.name, style=style), each.found, each.needed, each.do or "—")
    out.print(table)
    stopped = [each.name for each in checks if each.stops_smoke]
    if stopped:
        out.print(Text(f"a run at tier smoke cannot work: {', '.join(stopped)}", style="bold red"))
    else:
        out.print(Text("a run at tier smoke can work", style="bold green"))


def _touched(difference: Difference) -> str:
    counts = ", ".join(f"{len(ids)} of {name}" for name, ids in difference.claims.items())
    if not counts:
        return "no claim"
    return f"all that is measured: {counts}" if difference.touches == EVERY else counts


def _image(audit: Audit) -> Text:
    """What lies under the packages, in one line."""
    image = audit.image
    assert image is not None  # noqa: S101  # asked before
    failed = "failed" in image.probe
    paths = "failed" if failed else f"{plural(len(image.probe), 'path')} of a forward pass"
    parts = (
        plural(len(image.os_packages), "OS package"),
        plural(len(image.wheels), "wheel"),
        plural(len(image.kernels), "kernel"),
        paths,
    )
    return Text(f"  image: target {image.target}, commit {image.revision}, {', '.join(parts)}")


def _table(rows: list[Row]) -> Table:
    table = Table()
    for heading in ("package", "paper", "bundle", "installed", "state"):
        table.add_column(heading, no_wrap=True)
    table.add_column("detail")
    for row in rows:
        style = "red" if row.drifted else "dim" if "missing" in row.state else ""
        detail = row.detail
        if row.files:
            more = f" and {len(row.files) - 3} more" if len(row.files) > 3 else ""  # noqa: PLR2004
            detail = f"{detail} {', '.join(row.files[:3])}{more}".strip()
        table.add_row(
            row.package,
            row.paper or "—",
            row.pinned or "—",
            row.installed or "—",
            Text(row.state, style=style),
            detail,
        )
    return table


def _states(rows: list[Row]) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + 1
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "none"


def _machine(audit: Audit) -> Group:
    here = audit.environment
    gpu = here.gpu
    flags = ", ".join(f"{name}={value}" for name, value in here.flags.items()) or "none"
    lines = [
        f"Python {here.python} ({here.implementation}) on {here.platform}",
        f"CPU {here.cpu.model}, {here.cpu.level}, {here.ram / 2**30:.0f} GiB",
        f"GPU {gpu.name}, driver {gpu.driver}, CUDA {here.cuda}, {gpu.memory / 2**30:.0f} GiB"
        if gpu
        else "no GPU",
        f"code {here.revision.of}" if here.revision else "code of no known revision",
        f"flags {flags} (TF32 is off and algorithms are the libraries' choice unless one is set)",
    ]
    return Group(*map(Text, lines))
