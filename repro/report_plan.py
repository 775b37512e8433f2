"""Plans as tables: what is done, what will run, what is missing, what it costs."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repro import catalog
from repro.claims import PlannedClaim
from repro.jobs import Tier
from repro.manifest import Manifest
from repro.model_claims import CellClaim, Unbuilt
from repro.plan import Plan
from repro.plural import counted
from repro.report_console import Table, Text, console
from repro.report_jobs import NAMED, duration, here, jobs_table, tunings

_ORDER: tuple[Tier, ...] = ("smoke", "subset", "full")
_WORTH_A_GPU = 600
"""GPU seconds above which they are worth a mention."""


def show(
    plan: Plan,
    following: tuple[Plan, str] | None,
    undecidable: Mapping[str, str],
    *,
    brief: bool = False,
) -> None:
    """Print a plan.

    Args:
        plan: What to print.
        following: The next higher tier and its command, if there is one.
        undecidable: Claims that no run of this plan could decide, and why.
        brief: The headline and what is missing, as `repro run` shows before it starts.
    """
    out = console()
    out.print()
    out.print(_headline(plan))
    if not brief and plan.jobs:
        out.print(jobs_table(plan))
    if plan.missing():
        out.print(_missing(plan))
    for file, sha in executed(plan).items():
        out.print(Text(f"  executes {file}, sha256 {sha}"))
    for reason in dict.fromkeys(job.reason for job in plan.jobs if job.stuck and job.key):
        out.print(Text(f"  cannot run here: {reason}"))
    for reason in dict.fromkeys(job.slot.reason for job in plan.jobs if job.slot.job is None):
        out.print(Text(f"  not run: {reason}", style="dim"))
    for line in (*_floating(plan), *_undecidable(undecidable, brief=brief)):
        out.print(line)
    for needs, count in unbuilt(plan.manifest).items():
        waiting = f"{counted(count, 'claim')} {'waits' if count == 1 else 'wait'}"
        out.print(Text(f"  {waiting} for {needs}, for which there is no job", style="dim"))
    if following:
        above, command = following
        out.print(Text(f"  next: {command}  ({cost_of(above)})", style="dim"))


def _floating(plan: Plan) -> list[Text]:
    """How many of the paper's checkpoints nothing pins yet; twins stand in for them at smoke."""
    names = {job.slot.checkpoint for job in plan.jobs if isinstance(job.slot.job, NAMED)}
    count = len(names & set(catalog.floating(catalog.checkpoints())))
    if not count or plan.tier == "smoke":
        return []
    text = f"{count} checkpoints at floating revisions: the first use pins them"
    if count == 1:
        text = "1 checkpoint at a floating revision: the first use pins it"
    return [Text(f"  {text}")]


def _undecidable(found: Mapping[str, str], *, brief: bool) -> list[Text]:
    """How many numbers no run could decide, and each with its reason."""
    if not found:
        return []
    numbers = counted(len(found), "number")
    lines = [Text(f"  {numbers} cannot be decided, whatever is measured")]
    if not brief:
        lines += [Text(f"    {name}: {why}", style="dim") for name, why in found.items()]
    return lines


def executed(plan: Plan) -> dict[str, str]:
    """Code of checkpoints that a run of this plan would execute: SHA-256 by `<name>/<file>`."""
    waiting = [job for job in plan.jobs if not job.done]
    located = [each for job in waiting for each in job.inputs.values()]
    return {file: sha for each in located for file, sha in each.executes.items()}


def unbuilt(manifest: Manifest) -> dict[str, int]:
    """Job types that are not built yet, with the number of claims that wait for each."""
    needs = Counter[str]()
    for claim in manifest.claims:
        if isinstance(claim, PlannedClaim):
            needs[claim.needs] += 1
        elif isinstance(claim, CellClaim) and isinstance(claim.measure, Unbuilt):
            needs[claim.measure.needs] += 1
    return dict(needs)


def next_tier(plan: Plan, plans: Mapping[Tier, Plan], file: Path) -> tuple[Plan, str] | None:
    """The plan of the next higher tier, and the command that runs it."""
    higher = [tier for tier in _ORDER[_ORDER.index(plan.tier) + 1 :] if tier in plans]
    if not higher:
        return None
    command = f"repro run {file} --tier {higher[0]}"
    return plans[higher[0]], command


def cost_of(plan: Plan) -> str:
    """Time, GPU time, download and disk of what is not done yet."""
    if not plan.seconds():
        return "nothing left to run"
    parts = [here(plan.seconds())]
    if plan.gpu_seconds() > _WORTH_A_GPU:
        parts.append(f"{duration(plan.gpu_seconds())} on one H200")
    download = sum(missing.download for missing in plan.missing())
    if download:
        parts.append(f"{download / 1e9:.1f} GB to fetch and keep on disk")
    return ", ".join(parts)


def as_data(plan: Plan, undecidable: Mapping[str, str]) -> dict[str, Any]:
    """A plan as plain data, for `--json`."""
    return {
        "manifest": plan.manifest.id,
        "tier": plan.tier,
        "estimated_seconds": round(plan.seconds(), 1),
        "jobs": [
            {
                "slot": job.slot.id,
                "runs": job.slot.name,
                "state": job.state if job.slot.job else "not-run",
                "key": job.key,
                "reason": job.reason,
                "missing": [missing.what for missing in job.missing],
                "estimated_seconds": round(job.cost.seconds, 1) if job.cost else None,
                "estimated_memory_bytes": job.cost.memory if job.cost else None,
            }
            for job in plan.jobs
        ],
        "executes": executed(plan),
        "undecidable": dict(undecidable),
        "not_built": unbuilt(plan.manifest),
        "missing": [
            {"what": each.what, "remedy": each.remedy, "download_bytes": each.download}
            for each in plan.missing()
        ],
    }


def _headline(plan: Plan) -> Text:
    if not plan.jobs:
        return Text.assemble((plan.manifest.id, "bold"), ": nothing to run")
    distinct = plan.distinct()
    done = sum(job.done for job in distinct)
    stuck = sum(job.stuck for job in distinct)
    text = Text.assemble((plan.manifest.id, "bold"), f" at tier {plan.tier}: ")
    text.append(counted(len(distinct), "job"))
    text.append(tunings(distinct))
    text.append(f", {done} done" if done else "")
    text.append(f", {stuck} cannot run here" if stuck else "", style="bold")
    return text.append(f"; {cost_of(plan)}")


def _missing(plan: Plan) -> Table:
    table = Table()
    table.add_column("missing", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("how to bring it")
    for missing in plan.missing():
        size = f"{missing.download / 1e9:.1f} GB" if missing.download else "—"
        table.add_row(missing.what, size, missing.remedy)
    return table
