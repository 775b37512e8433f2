"""What a budget buys, as a table: what it decides, what it only leans, and what comes next."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from repro.planning.cost import hourly_price
from repro.planning.selection import Budget, Step
from repro.report.console import Table, Text, console
from repro.text import first_few, hours, plural

_NAMED = 4
"""Claims of a step that are named before the rest is only counted."""


def show(budget: Budget) -> None:
    """Print what a budget buys."""
    out = console()
    out.print()
    for each in _lines(budget):
        out.print(each)
    if budget.steps:
        out.print(_table(budget))


def _lines(budget: Budget) -> list[Text]:
    of = f"{budget.decided} of {plural(budget.claims, 'claim')}"
    head = Text.assemble(("budget", "bold"), f" {hours(budget.gpu_seconds)} of one H200: ")
    price = hourly_price()
    paid = f", {price.of(budget.spent)}" if price else ""
    head.append(f"decides {of} that a run can decide, for {hours(budget.spent)}{paid}")
    lines = []
    if budget.done:
        paid = f", {price.of(budget.to_run)}" if price else ""
        lines.append(
            f"done already: {hours(budget.done)} of it; to run: {hours(budget.to_run)}{paid}"
        )
    lines += [
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
        lines.append(
            f"next step: {hours(step.gpu_seconds)}, {hours(budget.beyond)} beyond the budget, "
            f"decides {plural(len(step.claims), 'claim')} more: {_named(step.claims)}"
        )
    return [head, *(Text(f"  {each}") for each in lines)]


def _table(budget: Budget) -> Table:
    """One row a step: what it decides, what it takes, and what was spent after it."""
    table = Table("decides", "jobs", "of", "on one H200", "so far", "claims an hour")
    spent = 0.0
    for step in budget.steps:
        spent += step.gpu_seconds
        price = step.gpu_seconds / 3600
        table.add_row(
            f"{len(step.claims)}: {_named(step.claims)}",
            f"{len(step.jobs):,}",
            first_few(step.models) if step.models else "—",
            hours(step.gpu_seconds),
            hours(spent),
            f"{len(step.claims) / price:,.1f}" if price else "—",
        )
    return table


def _named(claims: Sequence[str]) -> str:
    """The first few by name, and how many there are."""
    shown = ", ".join(claims[:_NAMED])
    return shown if len(claims) <= _NAMED else f"{shown} … ({len(claims)} in all)"


def as_data(budget: Budget) -> dict[str, Any]:
    """The same as plain data, for `--json`."""

    def step(one: Step) -> dict[str, Any]:
        return asdict(one) | {"jobs": len(one.jobs)}

    price = hourly_price()
    return {
        "budget": {
            "gpu_seconds": budget.gpu_seconds,
            "spent_gpu_seconds": round(budget.spent, 1),
            "spent_price": price.of(budget.spent) if price else None,
            "done_gpu_seconds": round(budget.done, 1),
            "to_run_price": price.of(budget.to_run) if price else None,
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
