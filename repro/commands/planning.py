"""From parsed arguments to plans; shared by `plan`, `run` and `list`."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from repro import environment, plan
from repro.commands import options
from repro.environment import Environment
from repro.inputs import Shelf, load_pins
from repro.jobs import Tier
from repro.manifest import Manifest
from repro.plan import Filter, Plan, Reach
from repro.store import Store


@dataclass(frozen=True)
class Planning:
    """Everything that a plan is made from; `plans` makes it again after a fetch."""

    manifests: list[Manifest]
    files: Mapping[str, Path]
    """Manifest id to its file as it was given."""
    shelf: Shelf
    store: Store
    machine: Environment
    only: Filter
    reach: Reach
    fresh: bool
    tier: Tier | None

    def tiers_of(self, manifest: Manifest) -> dict[Tier, Plan]:
        """A plan for every tier that the manifest has, cheapest first."""
        return {tier: self._plan(manifest, tier) for tier in manifest.tiers()}

    def chosen(self, manifest: Manifest) -> Plan:
        """The plan for the tier asked for, or for the default tier.

        A manifest without the tier asked for (the theorems are run at full or not at all)
        is planned at its default one.
        """
        if self.tier in manifest.tiers():
            return self._plan(manifest, self.tier)
        plans = self.tiers_of(manifest)
        return plans[plan.choose_tier(plans)]

    def again(self, plan: Plan) -> Plan:
        """The same plan after a fetch: the same tier, whatever came."""
        return self._plan(plan.manifest, plan.tier)

    def _plan(self, manifest: Manifest, tier: Tier) -> Plan:
        return plan.make(
            manifest,
            tier,
            self.shelf,
            self.store,
            self.machine,
            only=self.only,
            reach=self.reach,
            fresh=self.fresh,
        )


def prepare(arguments: argparse.Namespace) -> Planning:
    """Read manifests, look at the machine and at what is there."""
    # One thread a job, whatever the number of cores: sums are then added in the same order
    # everywhere, and jobs run side by side instead. Whoever sets the variable decides.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    files = {path.stem: path for path in arguments.manifests}
    manifests = options.load_manifests(arguments.manifests)
    needs_hub = any(group.kind == "evaluation" for each in manifests for group in each.jobs)
    return Planning(
        manifests=manifests,
        files=files,
        shelf=Shelf(
            substitutes=options.pairs("--substitute", arguments.substitute),
            data=options.pairs("--data", arguments.data),
            pins=load_pins(arguments.out),
            allow_remote_code=arguments.allow_remote_code,
        ),
        store=Store(arguments.out),
        machine=environment.capture(),
        only=options.read_filter(arguments.only, manifests),
        reach=Reach(
            hub=needs_hub and options.hub_is_reachable(offline=arguments.offline),
            index=not arguments.offline,
        ),
        fresh=arguments.fresh,
        tier=arguments.tier,
    )
