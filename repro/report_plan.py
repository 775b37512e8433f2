"""Plans as tables: what is done, what will run, what is missing, what it costs."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from repro.expand import Slot
from repro.jobs import Tier
from repro.plan import Plan, PlannedJob
from repro.report import console

_ORDER: tuple[Tier, ...] = ("smoke", "subset", "full")


def name_of(job: PlannedJob) -> str:
    """A job for people: `mamba-twin.float16.batch-16`."""
    return slot_name(job.slot)


def slot_name(slot: Slot) -> str:
    """A slot's id, with the checkpoint that really runs."""
    job = slot.job
    if job is not None and job.kind == "evaluate" and slot.checkpoint != job.checkpoint:
        return f"{job.checkpoint}.{slot.dtype}.{slot.setting}"
    return slot.id


def show(plan: Plan, following: tuple[Plan, str] | None, *, brief: bool = False) -> None:
    """Print a plan.

    Args:
        plan: What to print.
        following: The next higher tier and its command, if there is one.
        brief: One paragraph and what is missing, as `repro run` shows before it starts.
    """
    out = console()
    out.print(_headline(plan))
    if not brief:
        out.print(_table(plan))
    for missing in plan.missing():
        out.print(Text.assemble("  missing ", (missing.what, "bold"), f": {missing.remedy}"))
    for reason in dict.fromkeys(job.reason for job in plan.jobs if _stuck(job) and job.key):
        out.print(Text.assemble("  cannot run here: ", reason))
    for reason in dict.fromkeys(job.slot.reason for job in plan.jobs if job.slot.job is None):
        out.print(Text(f"  not run: {reason}", style="dim"))
    if following:
        above, command = following
        out.print(Text(f"  next: {command}  ({cost_of(above)})", style="dim"))


def next_tier(plan: Plan, plans: Mapping[Tier, Plan]) -> tuple[Plan, str] | None:
    """The plan of the next higher tier, and the command that runs it."""
    higher = [tier for tier in _ORDER[_ORDER.index(plan.tier) + 1 :] if tier in plans]
    if not higher:
        return None
    command = f"repro run manifests/{plan.manifest.id}.json --tier {higher[0]}"
    return plans[higher[0]], command


def cost_of(plan: Plan) -> str:
    """Time, download and disk of what is not done yet."""
    seconds = plan.seconds()
    download = sum(missing.download for missing in plan.missing())
    gpu = any(job.cost and job.cost.on_gpu for job in plan.jobs)
    parts = [f"about {duration(seconds)}" + (" of GPU time" if gpu else "")]
    if download:
        parts.append(f"{download / 1e9:.1f} GB to fetch and keep")
    blocked = sum(_stuck(job) for job in plan.jobs)
    if blocked:
        parts.append(f"{blocked} jobs cannot run here")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds in the unit that people would use."""
    if seconds < 90:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    if seconds < 5400:  # noqa: PLR2004
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.0f} h"


def as_data(plan: Plan) -> dict[str, Any]:
    """A plan as plain data, for `--json`."""
    return {
        "manifest": plan.manifest.id,
        "tier": plan.tier,
        "estimated_seconds": round(plan.seconds(), 1),
        "jobs": [
            {
                "slot": job.slot.id,
                "runs": slot_name(job.slot),
                "state": job.state if job.slot.job else "not-run",
                "key": job.key,
                "reason": job.reason,
                "missing": [missing.what for missing in job.missing],
                "estimated_seconds": round(job.cost.seconds, 1) if job.cost else None,
                "estimated_memory_bytes": job.cost.memory if job.cost else None,
            }
            for job in plan.jobs
        ],
        "missing": [
            {"what": each.what, "remedy": each.remedy, "download_bytes": each.download}
            for each in plan.missing()
        ],
    }


def _stuck(job: PlannedJob) -> bool:
    return job.state == "blocked" and job.slot.job is not None


def _headline(plan: Plan) -> Text:
    runs = {job.key: job for job in plan.jobs if job.key}
    done = sum(job.state == "done" for job in runs.values())
    text = Text.assemble("\n", (plan.manifest.id, "bold"), f" at tier {plan.tier}: ")
    wanted = sum(job.slot.job is not None for job in plan.jobs)
    text.append(f"{wanted} results from {len(runs)} jobs" if runs else f"{wanted} jobs")
    text.append(f", {done} done" if done else "")
    text.append(f"; {cost_of(plan)}")
    return text


def _table(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading in ("job", "runs", "state", "time", "memory"):
        table.add_column(heading, no_wrap=True)
    for job in plan.jobs:
        cost = job.cost
        table.add_row(
            job.slot.id,
            slot_name(job.slot) if job.slot.job else "—",
            job.state if job.slot.job else "not run",
            duration(cost.seconds) if cost and job.state != "done" else "",
            f"{cost.memory / 2**30:.1f} GiB" if cost else "",
        )
    return table
