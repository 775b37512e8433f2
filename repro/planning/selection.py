"""Which jobs are worth running: those that decide a claim, and the most claims within a budget.

In: plans, and what every claim rests on (the command line asks `verify`, which planning may not).
Out: the same plans with fewer jobs, and the steps of a budget. Everything hangs on manifests and
prices alone, never on a measured number nor on what is done already, so that a run that is taken
up again chooses what it chose. A claim is decided on all its settings or not at all: what is left
out ends as not run, and nothing that is run ends otherwise than with the whole list.
A run that stops when decided is the exception, whose looks are fixed before its first job.

Glossary: a step is a claim that is bought together with every claim that comes with it. Steps are
taken greedily, most claims an hour first, which need not be the most that a budget could decide.
`Budget.bound` is a bound on that: the linear program in which jobs and claims may be had in part,
sum of claims at most, with each claim at most what every job of it is, and hours within the budget.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Literal

from repro.planning.plan import JobGraph, Plan, graph_of, job_digest, made_before

NOTHING_DECIDED = "no claim that a run can decide rests on it; --all runs it"


@dataclass(frozen=True)
class ClaimNeeds:
    """What one claim of a manifest rests on, and what a run can make of it."""

    claim: str
    slots: frozenset[str]
    """All of the tier, whatever `--only` leaves."""
    prospect: Literal["decided", "contradicted", "nothing"]
    """Either way; at most contradicted; nothing but a direction."""
    counts: bool
    """Whether it is counted among the paper's claims: printed, and no reading of another."""


def what_decides(plan: Plan, needs: Iterable[ClaimNeeds]) -> Plan:
    """The plan without jobs that decide nothing; what is done already stays."""
    worth = frozenset[str]().union(*(e.slots for e in needs if e.prospect != "nothing"))
    return without(plan, plan.slots() - _with_made_before(plan, worth), NOTHING_DECIDED)


def _with_made_before(plan: Plan, slots: AbstractSet[str]) -> AbstractSet[str]:
    """Some slots, and those whose records their jobs read."""
    read = {
        job_digest(before)
        for each in plan.jobs
        if each.slot.id in slots and (before := made_before(each.slot.job))
    }
    return slots | {e.slot.id for e in plan.jobs if e.slot.job and job_digest(e.slot.job) in read}


def without(plan: Plan, slots: AbstractSet[str], reason: str) -> Plan:
    """The plan without the jobs of some slots; what is done already stays."""
    left = [each for each in plan.jobs if each.slot.id in slots and each.slot.job and not each.done]
    names = {each.slot.id for each in left}
    return replace(
        plan,
        jobs=tuple(each for each in plan.jobs if each.slot.id not in names),
        left_out=(*plan.left_out, *(replace(each, reason=reason) for each in left)),
    )


PART_OF_CLAIMS = "--only leaves out other jobs of every claim that rests on it"


def within(plan: Plan, needs: Iterable[ClaimNeeds], budget: "Budget", reason: str) -> Plan:
    """The plan with what a budget buys of it, to be run in that order.

    Args:
        plan: With what `--only` keeps.
        needs: Of all claims of its manifest.
        budget: What was bought.
        reason: Why a job is left out that would be bought with more.
    """
    slots = plan.slots()
    whole = (each.slots for each in needs if each.prospect != "nothing" and each.slots <= slots)
    cut = slots - _with_made_before(plan, frozenset[str]().union(*whole))
    ranks = {
        each.slot.id: rank
        for each in plan.jobs
        if (rank := budget.ranks.get(f"{plan.manifest.id}/{each.slot.id}"))
    }
    affordable = without(plan, cut - ranks.keys(), PART_OF_CLAIMS)
    return ranked(without(affordable, slots - cut - ranks.keys(), reason), ranks)


LATER = "at a later look: run if a claim that rests on it is open by then"
NO_LOOK = "no look can be taken: --only leaves out other jobs of a claim that rests on it"
STOPPED = "stopped: what rests on it was decided at a look, or cannot be decided any more"


BY_LOOKS = (LATER, NO_LOOK, STOPPED)
"""Why a look leaves out a job."""


def at_look(
    plan: Plan, wanted: AbstractSet[str], open_: AbstractSet[str], cut: AbstractSet[str]
) -> Plan:
    """The plan as far as a look goes.

    Args:
        plan: With the jobs of every look.
        wanted: Slots of this look and of those before it.
        open_: Slots that open claims rest on, at any look.
        cut: Slots of claims at which no look could be taken, as `--only` leaves out others of them.
    """
    wanted = _with_made_before(plan, wanted)
    later = without(plan, open_ - wanted, LATER)
    later = without(later, cut - wanted, NO_LOOK)
    return without(later, later.slots() - wanted, STOPPED)


def to_come(plan: Plan) -> set[str]:
    """Slots that a look has left to a later one, or for good."""
    return {each.slot.id for each in plan.left_out if each.reason in BY_LOOKS}


def ranked(plan: Plan, ranks: Mapping[str, int]) -> Plan:
    """The plan with the rank of each slot, of those that a look left out too."""
    jobs, left_out = (
        tuple(replace(each, rank=ranks.get(each.slot.id, 0)) for each in some)
        for some in (plan.jobs, plan.left_out)
    )
    return replace(plan, jobs=jobs, left_out=left_out)


# -----------------------------------------------------------------------------
# A budget


@dataclass(frozen=True)
class Step:
    """One purchase: claims, and the jobs that they take and that nothing before it took."""

    claims: tuple[str, ...]
    """`<manifest>/<claim>`."""
    jobs: tuple[str, ...]
    """Nodes of the graph."""
    models: tuple[str, ...]
    """Checkpoints that these read; of a job that reads none its slot."""
    gpu_seconds: float
    """On one H200, whether they are done or not."""


@dataclass(frozen=True)
class Budget:
    """What a budget buys, in order."""

    gpu_seconds: float
    """The budget: seconds on one H200."""
    steps: tuple[Step, ...]
    """Steps that decide claims of the paper either way, which come before all others."""
    others: tuple[Step, ...]
    """What the rest of it buys: claims that come out contradicted or not at all, then what is
    counted nowhere (readings, steps, our own checks)."""
    leans: tuple[str, ...]
    """Counted claims that rest on what is bought and cannot come out either way: shown with their
    direction, and contradicted at most."""
    following: Step | None
    """The next of `steps`, with what it takes beside them, which is more than they leave; that went
    to `others`. None if there is none."""
    bound: int
    """No choice of jobs within the budget decides more claims."""
    claims: int
    """Claims that the whole list decides."""
    whole: float
    """Seconds of that list on one H200."""
    ranks: Mapping[str, int]
    """`<manifest>/<slot>` of everything that is run, to the number of its step, from 1."""
    done: float
    """Seconds on one H200 of what is bought and done already."""

    @property
    def decided(self) -> int:
        """How many claims it decides."""
        return sum(len(each.claims) for each in self.steps)

    @property
    def spent(self) -> float:
        """Seconds on one H200 of all that is bought, whether it is done or not."""
        return sum(each.gpu_seconds for each in (*self.steps, *self.others))

    @property
    def beyond(self) -> float:
        """Seconds on one H200 that the budget is short of the next step; 0 if there is none.

        What `others` take is no part of it: a larger budget pays the step before them.
        """
        steps = sum(each.gpu_seconds for each in self.steps)
        return steps + self.following.gpu_seconds - self.gpu_seconds if self.following else 0.0

    @property
    def to_run(self) -> float:
        """Seconds on one H200 of what is bought and not done yet."""
        return max(0.0, self.spent - self.done)  # two sums, not rounded alike


def spend(
    plans: Sequence[Plan],
    needs: Mapping[str, Sequence[ClaimNeeds]],
    gpu_seconds: float,
    done: AbstractSet[str] = frozenset(),
) -> Budget:
    """Buy claims, most an hour first.

    Args:
        plans: All manifests together, as if nothing had been run (`Planner.priced`): what they
            share is paid once.
        needs: By manifest, what its claims rest on.
        gpu_seconds: The budget on one H200, whatever this machine is.
        done: `<manifest>/<slot>` of what is done already, which is told and moves no choice.
    """
    graph = graph_of(plans)
    node_of = {slot: name for name, node in graph.nodes.items() for slot in node.needed_by}
    prices = {name: node.gpu_seconds for name, node in graph.nodes.items()}
    rests_on = dict[str, frozenset[str]]()
    ranks = dict[str, tuple[bool, str]]()
    for plan in plans:
        for each in needs[plan.manifest.id]:
            slots = {f"{plan.manifest.id}/{slot}" for slot in each.slots}
            if slots and slots <= node_of.keys():
                name = f"{plan.manifest.id}/{each.claim}"
                rests_on[name] = _with_what_is_before(graph, {node_of[slot] for slot in slots})
                ranks[name] = each.counts, each.prospect
    bought, left = set[str](), gpu_seconds

    def buy(*wanted: tuple[bool, str]) -> tuple[list[Step], Step | None]:
        """Claims of some ranks as long as one can be paid, and the first that cannot."""
        nonlocal left
        steps = list[Step]()
        open_ = {name: nodes for name, nodes in rests_on.items() if ranks[name] in wanted}
        while step := _best(open_, bought, graph, left):
            steps.append(step)
            bought.update(step.jobs)
            left -= step.gpu_seconds
            open_ = {name: nodes for name, nodes in open_.items() if name not in step.claims}
        return steps, _best(open_, bought, graph, math.inf)

    steps, following = buy((True, "decided"))
    others = [*buy((True, "contradicted"))[0], *buy((False, "decided"), (False, "contradicted"))[0]]
    ranked = {name: at for at, step in enumerate((*steps, *others), 1) for name in step.jobs}
    wanted = [nodes for name, nodes in rests_on.items() if ranks[name] == (True, "decided")]
    return Budget(
        gpu_seconds=gpu_seconds,
        steps=tuple(steps),
        others=tuple(others),
        leans=tuple(
            name
            for name, nodes in rests_on.items()
            if nodes <= bought and ranks[name] in {(True, "contradicted"), (True, "nothing")}
        ),
        following=following,
        bound=most_decided(wanted, prices, gpu_seconds),
        claims=len(wanted),
        whole=sum(prices[name] for name in sorted(frozenset[str]().union(*wanted))),
        ranks={slot: ranked[name] for slot, name in node_of.items() if name in bought},
        done=sum(
            prices[name] for name in sorted({node_of[s] for s in done & node_of.keys()} & bought)
        ),
    )


def _with_what_is_before(graph: JobGraph, nodes: set[str]) -> frozenset[str]:
    """Jobs, and those that each has to wait for."""
    return frozenset(nodes | {after for name in nodes if (after := graph.nodes[name].after)})


def _best(
    open_: Mapping[str, frozenset[str]], bought: AbstractSet[str], graph: JobGraph, left: float
) -> Step | None:
    """The step that decides most claims an hour, of those within what is left."""
    best, rank = None, (0.0, 0.0)
    for nodes in dict.fromkeys(open_.values()):
        new = sorted(nodes - bought)
        price = sum(graph.nodes[name].gpu_seconds for name in new)
        if price > left:
            continue
        claims = tuple(name for name, each in open_.items() if each <= bought | nodes)
        worth = (len(claims) / price if price else math.inf, -price)
        if best is None or worth > rank:
            slots = [graph.nodes[name].planned.slot for name in new]
            models = tuple(dict.fromkeys(each.checkpoint or each.id for each in slots))
            best, rank = Step(claims, tuple(new), models, price), worth
    return best


def most_decided(
    claims: Sequence[frozenset[str]], prices: Mapping[str, float], budget: float
) -> int:
    """A bound on how many claims any choice of jobs within a budget decides.

    Args:
        claims: The jobs that each rests on.
        prices: Of jobs.
        budget: In the unit of the prices.
    """
    import numpy as np  # with scipy half a second that only a budget needs
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    # Jobs that the same claims rest on are had together: one variable for each such set of claims.
    resting: dict[str, list[int]] = {}
    for number, names in enumerate(claims):
        for name in names:
            resting.setdefault(name, []).append(number)
    groups: dict[tuple[int, ...], float] = {}
    for name, numbers in sorted(resting.items()):
        groups[tuple(numbers)] = groups.get(tuple(numbers), 0.0) + prices[name]
    if not claims or sum(groups.values()) <= budget:
        return len(claims)
    pairs = [(claim, len(claims) + at) for at, group in enumerate(groups) for claim in group]
    rows = np.repeat(np.arange(len(pairs)), 2)
    signs = np.tile([1.0, -1.0], len(pairs))
    shape = (len(pairs) + 1, len(claims) + len(groups))
    columns = np.array(pairs).ravel()
    costs = np.array(list(groups.values()))
    at = np.arange(len(claims), shape[1])
    entries = np.concatenate([signs, costs / budget if budget else costs])
    places = np.concatenate([rows, np.full(len(groups), len(pairs))]), np.concatenate([columns, at])
    found = linprog(
        np.concatenate([-np.ones(len(claims)), np.zeros(len(groups))]),
        A_ub=coo_array((entries, places), shape).tocsr(),
        b_ub=np.append(np.zeros(len(pairs)), 1.0 if budget else 0.0),
        bounds=(0, 1),
        method="highs",
    )
    rounding = 1e-6  # of the solver
    return int(np.floor(-found.fun + rounding))
