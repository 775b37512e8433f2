"""`repro plan`: what a run would do, before anything starts."""

import argparse
import datetime as dt
import os
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from repro.cli import options, verify
from repro.environment import machine as environment
from repro.environment.machine import Environment
from repro.errors import EXIT_DONE, EXIT_INCOMPLETE, BadInputError
from repro.inputs.locate import InputLocator, load_first_use_pins
from repro.planning import cost, plan, selection
from repro.planning.plan import Plan
from repro.planning.planner import FetchSources, Planner
from repro.planning.selection import Budget, ClaimNeeds
from repro.report import console_budget, console_looks, console_plan
from repro.schema import catalog, paper, validate
from repro.schema.claims import AmbiguousClaim
from repro.schema.evaluation import added_setting, looks
from repro.schema.evaluation.looks import Looks
from repro.schema.finding import Finding
from repro.schema.jobs import Tier
from repro.schema.manifest import Manifest
from repro.store import run_file
from repro.store.run_file import RunFile
from repro.store.store import Store

if TYPE_CHECKING:
    from verify.stopping import Asked


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro plan`."""
    options.add_manifests(parser)
    options.add_selection(parser)
    options.add_json(parser)
    parser.epilog = (
        "Exits 0 if every job is done or can be run here, 3 if some cannot. REPRO_GPU_HOUR=2.50\n"
        "in the environment tells GPU-hours in money too.\n"
        "\n"
        "example:\n"
        f"  repro plan {paper.start()} --budget 10h"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the plan of each manifest, and what several come to together."""
    prepared = prepare(arguments)
    plans, budget = prepared.plans()
    if arguments.json:
        together = console_plan.summary_as_data(plans)
        if budget:
            together |= console_budget.as_data(budget)
        together |= console_looks.as_data(plans, [prepared.looks_of(each) for each in plans])
        data = [console_plan.as_data(each, prepared.undecidable(each)) for each in plans]
        print(options.as_json([each | {"together": together} for each in data]))
    else:
        for each in plans:
            above, file = prepared.tier_above(each), prepared.files[each.manifest.id]
            following = (above, f"repro run {file} --tier {above.tier}") if above else None
            console_plan.show(each, following, prepared.undecidable(each))
        if len(plans) > 1:
            console_plan.show_summary(plans)
        if budget:
            console_budget.show(budget)
        console_looks.show(plans, [prepared.looks_of(each) for each in plans])
        console_plan.show_notes(prepared.price_rests_on(plans), prepared.settings_of_a_cpu(plans))
        for line in prepared.unread(plans):
            options.print_line(line)
    return EXIT_INCOMPLETE if any(each.stuck() for each in plans) else EXIT_DONE


# -----------------------------------------------------------------------------
# From parsed arguments to plans; shared by `plan`, `run` and `list`.


@dataclass(frozen=True)
class PreparedPlans:
    """What was asked for, and the planner that looked at what is there."""

    manifests: list[Manifest]
    files: Mapping[str, Path]
    """Manifest id to its file as it was given."""
    planner: Planner
    tier: Tier | None
    started: str
    """When the command was given: UTC, ISO 8601."""
    added: added_setting.Added
    """What `--set` says."""
    every: bool = False
    """`--all`: jobs that decide nothing too."""
    budget: str | None = None
    """Time on one H200, as `--budget` has it."""
    stop: bool = False
    """`--stop-when-decided`."""
    _needs: dict[tuple[str, Tier], list[ClaimNeeds]] = field(default_factory=dict)

    def plans(self) -> tuple[list[Plan], Budget | None]:
        """A plan for every manifest: within the budget if there is one, up to the first look."""
        plans = [self.plan_of(manifest) for manifest in self.manifests]
        asked = "--stop-when-decided" if self.stop else self.budget and f"--budget {self.budget}"
        if asked:
            _check_at_full(asked, plans)
        bought = None
        if self.budget:
            needs = {each.manifest.id: self.needs(each) for each in plans}
            priced = [self.planner.priced(each) for each in plans]
            done = {
                f"{p.manifest.id}/{each.slot.id}" for p in plans for each in p.jobs if each.done
            }
            bought = selection.spend(priced, needs, options.seconds_of(self.budget), done)
            why = f"beyond the budget of {self.budget} of one H200"
            plans = [selection.within(e, needs[e.manifest.id], bought, why) for e in plans]
        return [self.at_look(each, 1, each.slots()) for each in plans], bought

    def tiers_of(self, manifest: Manifest) -> dict[Tier, Plan]:
        """A plan for every tier that the manifest has, cheapest first."""
        return {tier: self._planned(manifest, tier) for tier in manifest.tiers()}

    def plan_of(self, manifest: Manifest) -> Plan:
        """The plan for the tier asked for, or for the default tier.

        A manifest without the tier asked for (the theorems are run at full or not at all)
        is planned at its default one.
        """
        asked = self.tier or (manifest.tiers()[-1] if self.budget or self.stop else None)
        if asked in manifest.tiers():
            return self._planned(manifest, asked)
        plans = self.tiers_of(manifest)
        return plans[plan.choose_tier(plans)]

    def looks_of(self, plan: Plan) -> Looks:
        """The looks of a run: those that it began with, else those of `--stop-when-decided`."""
        path = run_file.path_of(self.planner.store.root, plan.manifest.id, plan.tier)
        before = None if self.planner.fresh else run_file.earlier_run(path)
        if before and before.jobs:
            return before.looks
        return looks.planned(plan.manifest, plan.tier) if self.stop else ()

    def check_looks(self, plan: Plan, before: RunFile) -> None:
        """Refuse to stop otherwise than a run began to."""
        kept = before.jobs.keys() - plan.slots() - selection.to_come(plan)
        again = self.planner.fresh and not kept
        other = self.planner.fresh or self.every
        wanted = bool(self.stop and looks.planned(plan.manifest, plan.tier))
        if before.jobs and not again and (self.stop or other) and wanted != bool(before.looks):
            how = "to stop when decided" if before.looks else "with all settings of every claim"
            raise BadInputError(
                f"{plan.manifest.id} was run at tier {plan.tier} {how}, which is fixed before the "
                "first job of a run.\n    Go on with the options that it began with (without "
                f"{'--all' if before.looks else '--stop-when-decided'}), use another "
                "--out, or --fresh without --only to run every job again"
            )

    def at_look(
        self,
        plan: Plan,
        look: int,
        open_: AbstractSet[str],
        cut: AbstractSet[str] = frozenset(),
    ) -> Plan:
        """The plan up to a look, from 1, with what open claims want of it; whole without looks."""
        found = self.looks_of(plan)
        if not found:
            return plan
        ran = plan.slots() if look > 1 else set()
        whole = self.replan(plan, whole=True) if selection.to_come(plan) else plan
        wanted = {
            each.slot.id
            for each in whole.jobs
            if each.slot.id in ran
            or (each.slot.id in open_ and looks.of_slot(found, each.slot) < look)
        }
        return selection.at_look(whole, wanted, open_, cut)

    def after_look(self, plan: Plan, look: int, say: Callable[[str], None]) -> tuple[Plan, bool]:
        """The plan with what is wanted after a look, and whether anything is.

        What open claims rest on at the next; after the last, what guards the table if a number of
        it would be contradicted.
        """
        found = self.looks_of(plan)
        if not found or look > len(found):
            return plan, False
        run = (plan.manifest, plan.tier, self.planner.store)
        if look == len(found):
            guards = verify.guards_of_run(*run)
            if not guards <= self._within_reach(plan):  # over a part nothing is contradicted
                return plan, False
            following = self.at_look(plan, look + 1, guards)
            if more := following.slots() - plan.slots():
                say(console_looks.on_guard(following, more))
            return following, bool(more)
        asked = verify.look_at_run(*run, look)
        open_ = frozenset[str]().union(*(e.slots for e in asked.values() if e.state == "open"))
        following = self.at_look(plan, look + 1, open_, self._cut(plan, asked))
        say(console_looks.at_look(following, found, look, asked))
        return following, bool(open_)

    def _cut(self, plan: Plan, asked: "Mapping[str, Asked]") -> frozenset[str]:
        """Slots of claims that had no look, as `--only` leaves out others that they rest on."""
        kept = plan.slots() | {each.slot.id for each in plan.left_out}
        return frozenset[str]().union(
            *(
                each.slots
                for each in self.needs(plan)
                if each.prospect != "nothing"
                and not each.slots <= kept
                and each.claim in asked
                and isinstance(asked[each.claim].found, Finding)
            )
        )

    def _within_reach(self, plan: Plan) -> set[str]:
        """Slots that a run has or may have yet; not those that a budget or `--only` leaves out."""
        path = run_file.path_of(self.planner.store.root, plan.manifest.id, plan.tier)
        before = run_file.earlier_run(path)
        return plan.slots() | selection.to_come(plan) | (before.jobs.keys() if before else set())

    def tier_above(self, plan: Plan) -> Plan | None:
        """The plan of the next higher tier, if there is one."""
        tiers = plan.manifest.tiers()
        higher = tiers[tiers.index(plan.tier) + 1 :]
        return self._planned(plan.manifest, higher[0]) if higher else None

    def _planned(self, manifest: Manifest, tier: Tier) -> Plan:
        """A plan without jobs that decide nothing.

        Only tier full leaves them out: below, no job decides anything about the paper's models.
        """
        found = self.planner.plan(manifest, tier)
        if self.every or tier != "full":
            return found
        return selection.what_decides(found, self.needs(found))

    def needs(self, plan: Plan) -> list[ClaimNeeds]:
        """What each claim of a plan's manifest rests on, and what a run could make of it."""
        at = plan.manifest.id, plan.tier
        if at not in self._needs:  # a plan within a budget asks twice
            self._needs[at] = self._found_needs(plan)
        return self._needs[at]

    def _found_needs(self, plan: Plan) -> list[ClaimNeeds]:
        from verify.decidable import prospects  # `repro` meets `verify` only here
        from verify.rests_on import slots_of

        manifest = plan.manifest
        every = frozenset(each.id for each in self.planner.slots(manifest, plan.tier))
        hardware = self.planner.machine.hardware_class
        can = prospects(manifest, plan.tier, catalog.question_sets(), hardware)
        readings = {
            name
            for each in manifest.claims
            if isinstance(each, AmbiguousClaim)
            for name in each.readings
        }
        return [
            ClaimNeeds(
                claim.id,
                slots_of(manifest, claim, plan.tier, every),
                can[claim.id],
                claim.standing == "printed" and claim.id not in readings,
            )
            for claim in manifest.claims
        ]

    def undecidable(self, plan: Plan) -> dict[str, str]:
        """Claims that no run of a plan could decide, and why; by what was run so far, if it was."""
        from verify.decidable import undecidable  # `repro` meets `verify` only here
        from verify.evidence import Evidence

        manifest, store, datasets = plan.manifest, self.planner.store, catalog.question_sets()
        run = run_file.earlier_run(run_file.path_of(store.root, manifest.id, plan.tier))
        evidence = Evidence(manifest, run, store, catalog.checkpoints(), datasets) if run else None
        return undecidable(manifest, plan.tier, datasets, evidence)

    def settings_of_a_cpu(self, plans: Sequence[Plan]) -> str:
        """Why several settings may be one here; empty where that is not so."""
        return console_plan.settings_of_a_cpu(plans, self.planner.machine)

    def price_rests_on(self, plans: Sequence[Plan]) -> str:
        """What GPU time was estimated from where its own was not measured; may be empty."""
        costs = (each.cost for plan in plans for each in plan.jobs if each.cost)
        gpu = self.planner.machine.gpu
        found = cost.price_of_this_machine(costs, gpu.name if gpu else "")
        return f"priced by other measurements: {found}" if found else ""

    def unread(self, plans: Sequence[Plan]) -> list[str]:
        """Of every checkpoint that `--substitute` replaces and no job of some plans reads: why."""
        locator = self.planner.locator
        jobs = [(plan.tier, each.slot) for plan in plans for each in plan.jobs]
        asked = {job.checkpoint_name() for _, slot in jobs if (job := slot.job)}
        read = {name for each in asked for name in locator.names_read(each)}
        found = []
        for name in locator.substitutes.keys() - read:
            twins = {
                f"at tier {tier} {job.checkpoint_name()} stands in for it, and may be replaced"
                for tier, slot in jobs
                if slot.checkpoint == name and (job := slot.job)
            }
            found.append("; ".join([f"--substitute {name}: no job reads {name}", *sorted(twins)]))
        return sorted(found)

    def replan(self, plan: Plan, *, whole: bool = False) -> Plan:
        """The same plan after a fetch: the same tier and the same jobs, whatever came.

        Args:
            plan: What was planned before.
            whole: With the jobs that a look left to a later one, or for good.
        """
        found = self.planner.plan(plan.manifest, plan.tier)
        looked = selection.BY_LOOKS if whole else ()
        for reason in dict.fromkeys(each.reason for each in plan.left_out):
            if reason in looked:
                continue
            slots = {each.slot.id for each in plan.left_out if each.reason == reason}
            found = selection.without(found, slots, reason)
        every = (*plan.jobs, *plan.left_out)
        return selection.ranked(found, {each.slot.id: each.rank for each in every})


def _check_at_full(asked: str, plans: Sequence[Plan]) -> None:
    """Refuse to choose among jobs that decide nothing; `asked` is the option that would."""
    for each in (each for each in plans if each.tier != "full"):
        tiers = each.manifest.tiers()
        do = "expected --tier full, or no --tier"
        if "full" not in tiers:
            do = f"it has only {' and '.join(tiers)}: leave it out, or run it without {asked}"
        raise BadInputError(
            f"{asked}: found {each.manifest.id} at a tier below full, which decides nothing about "
            f"the paper's models; {do}"
        )


def prepare(
    arguments: argparse.Namespace, machine: Callable[[], Environment] | None = None
) -> PreparedPlans:
    """Read manifests, look at the machine and at what is there.

    What jobs will run on is what `machine` describes; this machine by default.
    """
    # One thread a job, whatever the number of cores: sums are then added in the same order
    # everywhere, and jobs run side by side instead. Whoever sets the variable decides.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    cost.hourly_price()  # what is none is refused now, not after a run that took hours
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    files = {path.stem: path for path in arguments.manifests}
    added = added_setting.read(arguments.set)
    loaded = validate.load_manifests(arguments.manifests)
    manifests = [added_setting.with_setting(each, added) for each in loaded]
    kinds = {group.kind for each in manifests for group in each.jobs}
    needs_hub = bool(kinds & {"evaluation", "tuning"})
    if arguments.stop_when_decided and arguments.all:
        raise BadInputError(
            "--stop-when-decided: found --all beside it, which runs what decides nothing, so that "
            "no look could stop it; leave one of the two out"
        )
    locator = InputLocator(
        substitutes=options.read_named_paths("--substitute", arguments.substitute),
        data=options.read_named_paths("--data", arguments.data),
        pins=load_first_use_pins(arguments.out),
        allow_remote_code=arguments.allow_remote_code,
    )
    planner = Planner(
        locator,
        Store(arguments.out),
        machine() if machine else environment.capture(),
        only=options.read_filter(arguments.only, manifests),
        fetch_sources=FetchSources(
            hub=needs_hub and options.hub_is_reachable(offline=arguments.offline),
            index=not arguments.offline,
        ),
        fresh=arguments.fresh,
        engine=arguments.engine,
    )
    return PreparedPlans(
        manifests,
        files,
        planner,
        arguments.tier,
        started,
        added,
        every=arguments.all,
        budget=arguments.budget,
        stop=arguments.stop_when_decided,
    )
