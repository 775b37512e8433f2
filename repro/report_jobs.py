"""The jobs of a plan as a table: one row for each model and what is done with it."""

from collections import Counter
from collections.abc import Sequence

from repro.jobs import ModelJob, Recipe, TuningJob
from repro.plan import Plan, PlannedJob
from repro.plural import counted
from repro.report_console import Table

NAMED = ModelJob | TuningJob
"""Jobs whose checkpoint may be a twin."""

_A_MINUTE_AND_A_HALF = 90
_A_MONTH, _BEYOND = 30 * 24 * 3600, "over a month"


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
            estimate(sum(cost.seconds for cost in costs)),
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
        f" ({counted(len(tuned), 'fine-tuning')}, {reference} of them FP32 Full under its seeds; "
        f"{counted(len(evaluations), 'evaluation')}, {before} of them before any tuning)"
    )


def duration(seconds: float) -> str:
    """Seconds in the unit that people would use."""
    if seconds < _A_MINUTE_AND_A_HALF:
        return f"{seconds:.0f} s"
    if seconds < 60 * _A_MINUTE_AND_A_HALF:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.0f} h"


def estimate(seconds: float) -> str:
    """What is worth saying of a time on this machine: nobody waits for more than a month."""
    return duration(seconds) if seconds <= _A_MONTH else _BEYOND


def here(seconds: float) -> str:
    """The same in words, for a line."""
    time = estimate(seconds)
    return f"beyond this machine ({time})" if time == _BEYOND else f"about {time} here"


def _is_reference(recipe: Recipe) -> bool:
    return recipe.method == "full" and recipe.precision == "float32"


def _row_of(job: PlannedJob) -> tuple[str, str]:
    """What is run, and in which dtype."""
    asked = job.slot.job
    if isinstance(asked, TuningJob):
        return f"{asked.checkpoint}: tune {_arm(asked.recipe)}", asked.recipe.precision
    if isinstance(asked, ModelJob):
        tuned = f" after {_arm(asked.tuned)} {asked.tuned.precision}" if asked.tuned else ""
        return f"{asked.checkpoint}{tuned}: {asked.task}", asked.dtype
    return job.slot.id, "—"


def _arm(recipe: Recipe) -> str:
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
