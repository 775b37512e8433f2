"""From parsed arguments to plans; shared by `plan`, `run` and `list`."""

import argparse
import datetime as dt
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from repro import catalog, environment, plan
from repro.commands import options
from repro.environment import Environment
from repro.inputs import Shelf, load_pins
from repro.jobs import Tier
from repro.manifest import Manifest
from repro.plan import Plan
from repro.planner import Planner, Reach
from repro.store import Store


@dataclass(frozen=True)
class Planning:
    """What was asked for, and the planner that looked at what is there."""

    manifests: list[Manifest]
    files: Mapping[str, Path]
    """Manifest id to its file as it was given."""
    planner: Planner
    tier: Tier | None
    started: str
    """When the command was given: UTC, ISO 8601."""

    def tiers_of(self, manifest: Manifest) -> dict[Tier, Plan]:
        """A plan for every tier that the manifest has, cheapest first."""
        return {tier: self.planner.plan(manifest, tier) for tier in manifest.tiers()}

    def chosen(self, manifest: Manifest) -> Plan:
        """The plan for the tier asked for, or for the default tier.

        A manifest without the tier asked for (the theorems are run at full or not at all)
        is planned at its default one.
        """
        if self.tier in manifest.tiers():
            return self.planner.plan(manifest, self.tier)
        plans = self.tiers_of(manifest)
        return plans[plan.choose_tier(plans)]

    def undecidable(self, plan: Plan) -> dict[str, str]:
        """Claims that no run of a plan could decide, and why."""
        from verify.decidable import undecidable  # `repro` meets `verify` only here

        return undecidable(plan.manifest, plan.tier, catalog.asked())

    def again(self, plan: Plan) -> Plan:
        """The same plan after a fetch: the same tier, whatever came."""
        return self.planner.plan(plan.manifest, plan.tier)


def prepare(
    arguments: argparse.Namespace, machine: Callable[[], Environment] | None = None
) -> Planning:
    """Read manifests, look at the machine and at what is there.

    Args:
        arguments: Parsed.
        machine: Describes what jobs will run on.
    """
    # One thread a job, whatever the number of cores: sums are then added in the same order
    # everywhere, and jobs run side by side instead. Whoever sets the variable decides.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    files = {path.stem: path for path in arguments.manifests}
    manifests = options.load_manifests(arguments.manifests)
    kinds = {group.kind for each in manifests for group in each.jobs}
    needs_hub = bool(kinds & {"evaluation", "tuning"})
    shelf = Shelf(
        substitutes=options.pairs("--substitute", arguments.substitute),
        data=options.pairs("--data", arguments.data),
        pins=load_pins(arguments.out),
        allow_remote_code=arguments.allow_remote_code,
    )
    planner = Planner(
        shelf,
        Store(arguments.out),
        machine() if machine else environment.capture(),
        only=options.read_filter(arguments.only, manifests),
        reach=Reach(
            hub=needs_hub and options.hub_is_reachable(offline=arguments.offline),
            index=not arguments.offline,
        ),
        fresh=arguments.fresh,
        engine=arguments.engine,
    )
    return Planning(manifests, files, planner, arguments.tier, started)
