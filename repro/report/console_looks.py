"""A run that stops when decided: what it costs, what a look decides, and what it has saved."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from repro.planning import selection
from repro.planning.plan import JobGraph, Plan, graph_of
from repro.report.console import Text, console
from repro.schema.evaluation.looks import Looks
from repro.text import hours, plural

if TYPE_CHECKING:
    from verify.stopping import Asked

_NAMED = 4
"""Claims that are named before the rest is only counted."""


def show(plans: Sequence[Plan], every: Sequence[Looks]) -> None:
    """Print the looks of each plan, the price of the next one and the most that all can cost."""
    out = console()
    for plan, looks in zip(plans, every, strict=True):
        if looks:
            out.print()
            out.print(Text.assemble(("stops when decided", "bold"), f": {_said(plan, looks)}"))
    if any(every):
        first, most = graph_of(plans), graph_of(_whole(plan) for plan in plans)
        out.print(
            Text(
                f"  up to the first look {_price(first)}; all looks at most {_price(most)}, less "
                "what the looks decide"
            )
        )


def _said(plan: Plan, looks: Looks) -> str:
    ends = list(accumulate(map(len, looks)))
    after = f"{', '.join(map(str, ends[:-1]))} and {ends[-1]}"
    order = ", ".join(name for added in looks for name in added)
    return f"{plan.manifest.id} is looked at after {after} settings: {order}"


def _price(graph: JobGraph) -> str:
    return f"{plural(len(graph.nodes), 'job')}, {hours(_gpu_seconds(graph))} on one H200"


def _gpu_seconds(graph: JobGraph) -> float:
    return sum(each.gpu_seconds for each in graph.nodes.values())


def _whole(plan: Plan) -> Plan:
    """With the jobs that come with later looks."""
    return replace(plan, jobs=(*plan.jobs, *_left(plan, selection.BY_LOOKS)))


def _left(plan: Plan, reasons: Iterable[str]) -> list[Any]:
    return [each for each in plan.left_out if each.reason in reasons]


def as_data(plans: Sequence[Plan], every: Sequence[Looks]) -> dict[str, Any]:
    """The same as plain data, for `--json`; nothing where no plan has looks."""
    if not any(every):
        return {}
    named = {plan.manifest.id: looks for plan, looks in zip(plans, every, strict=True) if looks}
    most = graph_of(_whole(plan) for plan in plans)
    return {
        "looks": named,
        "first_look_gpu_seconds": round(_gpu_seconds(graph_of(plans)), 1),
        "most_gpu_seconds": round(_gpu_seconds(most), 1),
    }


def at_look(plan: Plan, looks: Looks, look: int, asked: Mapping[str, "Asked"]) -> str:
    """How many claims are decided by a look, given up and open, and what is saved; a line.

    Args:
        plan: Up to the next look.
        looks: Of its run.
        look: From 1.
        asked: What each claim came to.
    """
    told = []
    for state in ("decided", "given up", "open"):
        names = [name for name, each in asked.items() if each.state == state]
        told.append(f"{len(names)} {state}{f' ({_some(names)})' if names else ''}")
    taken = sum(map(len, looks[:look]))
    total = sum(map(len, looks))
    head = f"{plan.manifest.id}, look {look} of {len(looks)}, after {taken} of {total} settings"
    return f"{head}: {'; '.join((*told, *_saved([plan])))}"


def on_guard(plan: Plan, more: AbstractSet[str]) -> str:
    """That settings are run which a look had spared; a line."""
    graph = graph_of([replace(plan, jobs=tuple(e for e in plan.jobs if e.slot.id in more))])
    return (
        f"{plan.manifest.id}: a number would be contradicted, which takes the whole table with all "
        f"settings: {_price(graph)} more"
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} …"


def _saved(plans: Iterable[Plan]) -> list[str]:
    """Jobs that are not run since a look, and what they would have taken; nothing where none is."""
    stopped = (replace(each, jobs=tuple(_left(each, [selection.STOPPED]))) for each in plans)
    graph = graph_of(stopped)
    return [f"saved so far: {_price(graph)}"] if graph.nodes else []


def show_saved(plans: Sequence[Plan]) -> None:
    """Print what was not run, at the end."""
    for line in _saved(plans):
        console().print()
        console().print(Text(f"stopped when decided; {line.replace(' so far', '')}"))
