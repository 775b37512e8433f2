"""Plans as tables: what is done, what will run, what is missing, what it costs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from repro.environment import image
from repro.environment.machine import Environment
from repro.planning import plan as job_graph
from repro.planning.cost import hourly_price
from repro.planning.plan import Plan, PlannedJob
from repro.report.console import Table, Text, console
from repro.schema import catalog
from repro.schema.claims import PlannedClaim
from repro.schema.jobs import ModelJob, Recipe, Tier, TuningJob
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim, UnbuiltMeasure
from repro.schema.validate import MIN_SETTINGS
from repro.text import duration, duration_here, hours, plural, rough_duration

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
    for file, sha in executed_code(plan).items():
        out.print(Text(f"  executes {file}, sha256 {sha}"))
    for name, words in tokenizers(plan).items():
        out.print(Text(f"  tokenizer of {name}: {words}"))
    for reason in dict.fromkeys(job.reason for job in plan.jobs if job.stuck and job.key):
        out.print(Text(f"  cannot run here: {reason}"))
    for reason in dict.fromkeys(job.slot.reason for job in plan.jobs if job.slot.job is None):
        out.print(Text(f"  not run: {reason}", style="dim"))
    for line in (*_floating(plan), *_left_out(plan), *_undecidable(undecidable, brief=brief)):
        out.print(line)
    for needs, count in unbuilt_job_types(plan.manifest).items():
        waiting = f"{plural(count, 'claim')} {'waits' if count == 1 else 'wait'}"
        out.print(Text(f"  {waiting} for {needs}, for which there is no job", style="dim"))
    if following:
        above, command = following
        out.print(Text(f"  next: {command}  ({cost_of(above)})", style="dim"))


def show_notes(*notes: str) -> None:
    """Print what holds of all plans, a paragraph each, where there is something to say."""
    for each in filter(None, notes):
        console().print(Text(each))


def settings_of_a_cpu(plans: Iterable[Plan], machine: Environment) -> str:
    """Why several settings may be one on a machine without a GPU; empty where none is asked for."""
    several = {
        job.slot.setting
        for plan in plans
        for job in (*plan.jobs, *plan.left_out)
        if plan.tier == "full" and isinstance(job.slot.job, ModelJob)
    }
    if machine.gpu is not None or len(several) < 2:  # noqa: PLR2004
        return ""
    return (
        f"on this CPU, {len(several)} settings may be one: a single thread adds in one order "
        "whatever the batch size and the order of the questions, and one kernel runs whatever a "
        "setting names. Settings whose answers are the same to the last bit count once, and a "
        f"claim takes {MIN_SETTINGS} that differ, over two kernels: here it is measured and stays "
        "inconclusive with its direction, on a GPU it can be decided"
    )


def _floating(plan: Plan) -> list[Text]:
    """How many of the paper's checkpoints nothing pins yet; twins stand in for them at smoke."""
    jobs = [job for job in plan.jobs if isinstance(job.slot.job, NAMED)]
    names = {job.slot.checkpoint for job in jobs}
    names -= {job.slot.checkpoint for job in jobs if _is_replaced(job)}
    count = len(names & set(catalog.unpinned_checkpoints(catalog.checkpoints())))
    if not count or plan.tier == "smoke":
        return []
    text = f"{count} checkpoints at floating revisions: the first use pins them"
    if count == 1:
        text = "1 checkpoint at a floating revision: the first use pins it"
    return [Text(f"  {text}")]


def _left_out(plan: Plan) -> list[Text]:
    """How many jobs are not run though they could be, what they would take, and why."""
    lines = []
    for reason in dict.fromkeys(each.reason for each in plan.left_out):
        jobs = replace(plan, jobs=tuple(each for each in plan.left_out if each.reason == reason))
        count = plural(len(jobs.distinct()), "job")
        lines.append(
            Text(f"  left out: {count}, {hours(jobs.gpu_seconds())} on one H200: {reason}")
        )
    return lines


def _is_replaced(job: PlannedJob) -> bool:
    """Whether another checkpoint is read, here or still to be brought, than the job names."""
    here = job.inputs.get("checkpoint")
    to_come = [each.name for each in job.missing if each.role == "checkpoint"]
    return here.substituted if here else to_come not in ([], [job.slot.checkpoint])


def _undecidable(found: Mapping[str, str], *, brief: bool) -> list[Text]:
    """How many claims no run could reproduce, and each with its reason."""
    if not found:
        return []
    claims = plural(len(found), "claim")
    lines = [Text(f"  {claims} cannot be reproduced, whatever is measured")]
    if not brief:
        lines += [Text(f"    {name}: {why}", style="dim") for name, why in found.items()]
    return lines


def executed_code(plan: Plan) -> dict[str, str]:
    """Code of checkpoints that a run of this plan would execute: SHA-256 by `<name>/<file>`."""
    waiting = [job for job in plan.jobs if not job.done]
    located = [each for job in waiting for each in job.inputs.values()]
    return {file: sha for each in located for file, sha in each.executes.items()}


def tokenizers(plan: Plan) -> dict[str, str]:
    """Whether tokenizers here are the gated ones that they are meant to be, by checkpoint."""
    located = [each for job in plan.jobs for each in job.inputs.values()]
    return {each.name: each.tokenizer for each in located if each.tokenizer}


def unbuilt_job_types(manifest: Manifest) -> dict[str, int]:
    """Job types that are not built yet, with the number of claims that wait for each."""
    needs = Counter[str]()
    for claim in manifest.claims:
        if isinstance(claim, PlannedClaim):
            needs[claim.needs] += 1
        elif isinstance(claim, CellClaim) and isinstance(claim.measure, UnbuiltMeasure):
            needs[claim.measure.needs] += 1
    return dict(needs)


def show_next(
    above: Mapping[Path, Plan], machine: Environment, *, hub: bool, offline: bool
) -> None:
    """Print how to go on: what to fetch and what to run, and what of that this machine lacks.

    Args:
        above: The plan of the next higher tier by the manifest's file.
        machine: This one.
        hub: Whether the model hub answers here.
        offline: Whether it was not to be asked.
    """
    out = console()
    for tier in _ORDER:
        plans = {file: plan for file, plan in above.items() if plan.tier == tier}
        if not plans:
            continue
        named = f"{' '.join(map(str, plans))} --tier {tier}"
        costs = [cost_of(plan) for plan in plans.values()]
        told = costs[0] if len(costs) == 1 else f"{len(costs)} manifests; repro plan adds them up"
        out.print()
        out.print(Text.assemble(("next", "bold"), f": tier {tier} ({told})"))
        if any(plan.missing() for plan in plans.values()):
            away = "" if hub else "   where the model hub answers"
            away += ": here it does not" if away and not offline else ""
            out.print(Text(f"  {image.command()} fetch {named}{away}"), soft_wrap=True)
        far = sum(plan.seconds() for plan in plans.values()) > _A_DAY
        away = "   on an NVIDIA GPU: here is none" if far and not machine.gpu else ""
        out.print(Text(f"  {image.command(gpus=far)} run {named}{away}"), soft_wrap=True)
    if above:
        out.print(Text(f"  {image.command()} doctor   what this machine lacks for that"))


def cost_of(plan: Plan) -> str:
    """Time, GPU time, download and disk of what is not done yet."""
    if not plan.seconds():
        return "nothing left to run"
    parts = [duration_here(plan.seconds())]
    if plan.gpu_seconds() > _WORTH_A_GPU:
        parts.append(f"{duration(plan.gpu_seconds())} on one H200")
        if price := hourly_price():
            parts.append(price.of(plan.gpu_seconds()))
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
                "screened": isinstance(job.slot.job, ModelJob) and bool(job.slot.job.screen),
                "missing": [missing.what for missing in job.missing],
                "estimated_seconds": round(job.cost.seconds, 1) if job.cost else None,
                "estimated_memory_bytes": job.cost.memory if job.cost else None,
            }
            for job in plan.jobs
        ],
        "left_out": {each.slot.id: each.reason for each in plan.left_out},
        "executes": executed_code(plan),
        "tokenizers": tokenizers(plan),
        "undecidable": dict(undecidable),
        "not_built": unbuilt_job_types(plan.manifest),
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
    text.append(plural(len(distinct), "job"))
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


# -----------------------------------------------------------------------------
# What several plans come to together: distinct jobs, what sharing saves, the longest chain.


def show_summary(plans: Sequence[Plan]) -> None:
    """Print the summary of several plans."""
    out = console()
    out.print()
    for line in summary_lines(plans):
        out.print(line)


def summary_lines(plans: Sequence[Plan]) -> list[Text]:
    """The summary of several plans, a line each."""
    found = summary_as_data(plans)
    head = Text.assemble(("together", "bold"), f": {plural(found['jobs'], 'job')}")
    head.append(f", {found['done']:,} done" if found["done"] else "")
    head.append(f", {found['stuck']:,} cannot run here" if found["stuck"] else "", style="bold")
    head.append(f"; they fill {plural(found['slots'], 'slot')}")
    hours = {
        each: f"{found[f'{each}_gpu_seconds'] / 3600:,.1f}" for each in ("shared", "estimated")
    }
    time = duration_here(found["estimated_seconds"])
    fetched, disk = (f"{found[f'{each}_bytes'] / 1e9:.1f}" for each in ("download", "disk"))
    price = hourly_price()
    paid = f", {price.of(found['estimated_gpu_seconds'])}" if price else ""
    told = [
        head,
        f"sharing saves {plural(found['shared_jobs'], 'job')}, {hours['shared']} GPU-hours",
        f"to run one by one: {time}, {hours['estimated']} GPU-hours (H200){paid}",
        f"to fetch {fetched} GB; disk with tuned models and records {disk} GB",
    ]
    if found["critical_path"]:
        chain = ", then ".join(found["critical_path"])
        told.append(f"longest chain: {duration_here(found['critical_path_seconds'])}, {chain}")
    if found["missing"]:
        told.append(f"missing: {', '.join(found['missing'])}")
    return [each if isinstance(each, Text) else Text(f"  {each}") for each in told]


def summary_as_data(plans: Sequence[Plan]) -> dict[str, Any]:
    """The same as plain data, for `--json`."""
    graph = job_graph.graph_of(plans)
    planned = [node.planned for node in graph.nodes.values()]
    jobs, gpu_seconds = graph.saved()
    seconds, chain = graph.critical_path()
    price = hourly_price()
    spent = sum(each.gpu_seconds for each in graph.nodes.values())
    return {
        "jobs": len(planned),
        "done": sum(each.done for each in planned),
        "stuck": sum(each.stuck for each in planned),
        "slots": graph.slots(),
        "shared_jobs": jobs,
        "shared_gpu_seconds": round(gpu_seconds, 1),
        "estimated_seconds": round(sum(each.seconds for each in graph.nodes.values()), 1),
        "estimated_gpu_seconds": round(spent, 1),
        "estimated_price": price.of(spent) if price else None,
        "critical_path_seconds": round(seconds, 1),
        "critical_path": list(chain),
        "download_bytes": graph.download(),
        "disk_bytes": graph.download() + graph.made(),
        "missing": sorted({each.what for plan in plans for each in plan.missing()}),
    }


# -----------------------------------------------------------------------------
# The jobs of a plan as a table: one row for each model and what is done with it.

NAMED = ModelJob | TuningJob
"""Jobs whose checkpoint may be a twin."""

_A_DAY = 24 * 3600


def jobs_table(plan: Plan) -> Table:
    """One row for each checkpoint, tuning, task and dtype: settings differ little in cost."""
    table = Table("runs", "dtype", "jobs", "state", "time here", "on one H200", "memory", "for")
    groups: dict[tuple[str, str], list[PlannedJob]] = {}
    for job in plan.distinct():
        groups.setdefault(_row_of(job), []).append(job)
    for (runs, dtype), jobs in groups.items():
        costs = [job.cost for job in jobs if job.cost]
        states = Counter(job.state for job in jobs)
        table.add_row(
            runs,
            dtype,
            str(len(jobs)),
            ", ".join(f"{count} {state}" for state, count in states.items()),
            rough_duration(sum(cost.seconds for cost in costs)),
            duration(sum(cost.gpu_seconds for cost in costs)),
            f"{max(cost.memory for cost in costs) / 2**30:.1f} GiB",
            _stands_for(plan, jobs[0]),
        )
    return table


def tunings(jobs: Sequence[PlannedJob]) -> str:
    """How many of some jobs tune a model and how many ask one, for the headline; may be empty."""
    asked = [job.slot.job for job in jobs]
    tuned = [job for job in asked if isinstance(job, TuningJob)]
    if not tuned:
        return ""
    evaluations = [job for job in asked if isinstance(job, ModelJob)]
    before = sum(job.tuned is None for job in evaluations)
    reference = sum(_is_reference(job.recipe) for job in tuned)
    return (
        f" ({plural(len(tuned), 'fine-tuning')}, {reference} of them FP32 Full under its seeds; "
        f"{plural(len(evaluations), 'evaluation')}, {before} of them before any tuning)"
    )


def _is_reference(recipe: Recipe) -> bool:
    return recipe.method == "full" and recipe.precision == "float32"


def _row_of(job: PlannedJob) -> tuple[str, str]:
    """What is run, and in which dtype."""
    asked = job.slot.job
    if isinstance(asked, TuningJob):
        return f"{asked.checkpoint}: tune {_method_and_path(asked.recipe)}", asked.recipe.precision
    if isinstance(asked, ModelJob):
        tuned = (
            f" after {_method_and_path(asked.tuned)} {asked.tuned.precision}" if asked.tuned else ""
        )
        dtype = f"{asked.dtype}, screened" if asked.screen else asked.dtype
        return f"{asked.checkpoint}{tuned}: {asked.task}", dtype
    return job.slot.id, "—"


def _method_and_path(recipe: Recipe) -> str:
    path = "" if recipe.mamba_path == "kernels" else f" ({recipe.mamba_path})"
    return f"{recipe.method}{path}"


def _stands_for(plan: Plan, row: PlannedJob) -> str:
    """The paper's checkpoints that a twin stands in for."""
    runs = getattr(row.slot.job, "checkpoint", None)
    names = dict.fromkeys(
        job.slot.checkpoint
        for job in plan.jobs
        if isinstance(job.slot.job, NAMED)
        and job.slot.job.checkpoint == runs != job.slot.checkpoint
    )
    return ", ".join(name for name in names if name)
