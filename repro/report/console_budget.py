"""What a budget buys, as a table: what it decides, what it only leans, and what comes next."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from repro.planning.cost import hourly_price
from repro.planning.plan import Plan, graph_of
from repro.planning.selection import Budget, Step
from repro.report.console import Table, Text, console
from repro.text import first_few, hours, plural

_NAMED = 4
"""Claims of a step that are named before the rest is only counted."""


def show(budget: Budget, plans: Sequence[Plan]) -> None:
    """Print what a budget buys.

    Args:
        budget: What was bought.
        plans: With the jobs that were left out, which tell what jobs are called.
    """
    out = console()
    out.print()
    for each in _lines(budget):
        out.print(each)
    if budget.steps:
        out.print(_table(budget, plans))


def _lines(budget: Budget) -> list[Text]:
    of = f"{budget.decided} of {plural(budget.claims, 'claim')}"
    head = Text.assemble(("budget", "bold"), f" {hours(budget.gpu_seconds)} of one H200: ")
    price = hourly_price()
    paid = f", {price.of(budget.spent)}" if price else ""
    head.append(f"decides {of} that a run can decide, for {hours(budget.spent)}{paid}")
    lines = [
        f"all {budget.claims} take {hours(budget.whole)}",
        f"greedy, most claims an hour first; no choice within it decides more than {budget.bound}",
    ]
    if budget.leans:
        lines.append(
            f"only leans: {plural(len(budget.leans), 'claim')}, measured and not to be reproduced: "
            f"{_named(budget.leans)}"
        )
    if budget.following:
        step = budget.following
        more = hours(step.gpu_seconds - max(0.0, budget.gpu_seconds - budget.spent))
        lines.append(
            f"next step: {hours(step.gpu_seconds)}, {more} beyond the budget, decides "
            f"{plural(len(step.claims), 'claim')} more: {_named(step.claims)}"
        )
    return [head, *(Text(f"  {each}") for each in lines)]


def _table(budget: Budget, plans: Sequence[Plan]) -> Table:
    """One row a step: what it decides, what it takes, and what was spent after it."""
    table = Table("decides", "jobs", "of", "on one H200", "so far", "claims an hour")
    nodes = graph_of(_whole(plan) for plan in plans).nodes
    spent = 0.0
    for step in budget.steps:
        spent += step.gpu_seconds
        models = dict.fromkeys(
            nodes[name].planned.slot.checkpoint or nodes[name].planned.slot.id for name in step.jobs
        )
        price = step.gpu_seconds / 3600
        table.add_row(
            f"{len(step.claims)}: {_named(step.claims)}",
            f"{len(step.jobs):,}",
            first_few(list(models)) if models else "—",
            hours(step.gpu_seconds),
            hours(spent),
            f"{len(step.claims) / price:,.1f}" if price else "—",
        )
    return table


def _whole(plan: Plan) -> Plan:
    return Plan(plan.manifest, plan.tier, (*plan.jobs, *plan.left_out))


def _named(claims: Sequence[str]) -> str:
    """The first few by name, and how many there are."""
    shown = ", ".join(claims[:_NAMED])
    return shown if len(claims) <= _NAMED else f"{shown} … ({len(claims)} in all)"


def as_data(budget: Budget) -> dict[str, Any]:
    """The same as plain data, for `--json`."""

    def step(one: Step) -> dict[str, Any]:
        return asdict(one) | {"jobs": len(one.jobs)}

    return {
        "budget": {
            "gpu_seconds": budget.gpu_seconds,
            "spent_gpu_seconds": round(budget.spent, 1),
            "decides": budget.decided,
            "of": budget.claims,
            "bound": budget.bound,
            "whole_gpu_seconds": round(budget.whole, 1),
            "steps": [step(each) for each in budget.steps],
            "others": [step(each) for each in budget.others],
            "leans": budget.leans,
            "next": step(budget.following) if budget.following else None,
        }
    }
