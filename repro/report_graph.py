"""What several plans come to together: distinct jobs, what sharing saves, the longest chain."""

from collections.abc import Sequence
from typing import Any

from repro import job_graph
from repro.plan import Plan
from repro.plural import counted
from repro.report_console import Text, console
from repro.report_jobs import here


def show(plans: Sequence[Plan]) -> None:
    """Print the summary of several plans."""
    out = console()
    out.print()
    for line in lines(plans):
        out.print(line)


def lines(plans: Sequence[Plan]) -> list[Text]:
    """The summary of several plans, a line each."""
    found = as_data(plans)
    head = Text.assemble(("together", "bold"), f": {counted(found['jobs'], 'job')}")
    head.append(f", {found['done']:,} done" if found["done"] else "")
    head.append(f", {found['stuck']:,} cannot run here" if found["stuck"] else "", style="bold")
    head.append(f"; they fill {counted(found['slots'], 'slot')}")
    hours = {
        each: f"{found[f'{each}_gpu_seconds'] / 3600:,.1f}" for each in ("shared", "estimated")
    }
    time = here(found["estimated_seconds"])
    fetched, disk = (f"{found[f'{each}_bytes'] / 1e9:.1f}" for each in ("download", "disk"))
    told = [
        head,
        f"sharing saves {counted(found['shared_jobs'], 'job')}, {hours['shared']} GPU-hours",
        f"to run one by one: {time}, {hours['estimated']} GPU-hours (H200)",
        f"to fetch {fetched} GB; disk with tuned models and records {disk} GB",
    ]
    if found["critical_path"]:
        chain = ", then ".join(found["critical_path"])
        told.append(f"longest chain: {here(found['critical_path_seconds'])}, {chain}")
    if found["missing"]:
        told.append(f"missing: {', '.join(found['missing'])}")
    return [each if isinstance(each, Text) else Text(f"  {each}") for each in told]


def as_data(plans: Sequence[Plan]) -> dict[str, Any]:
    """The same as plain data, for `--json`."""
    graph = job_graph.of(plans)
    planned = [node.planned for node in graph.nodes.values()]
    jobs, gpu_seconds = graph.saved()
    seconds, chain = graph.critical_path()
    return {
        "jobs": len(planned),
        "done": sum(each.done for each in planned),
        "stuck": sum(each.stuck for each in planned),
        "slots": graph.slots(),
        "shared_jobs": jobs,
        "shared_gpu_seconds": round(gpu_seconds, 1),
        "estimated_seconds": round(sum(each.seconds for each in graph.nodes.values()), 1),
        "estimated_gpu_seconds": round(sum(each.gpu_seconds for each in graph.nodes.values()), 1),
        "critical_path_seconds": round(seconds, 1),
        "critical_path": list(chain),
        "download_bytes": graph.download(),
        "disk_bytes": graph.download() + graph.made(),
        "missing": sorted({each.what for plan in plans for each in plan.missing()}),
    }
