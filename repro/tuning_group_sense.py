"""What matches the schema of a tuning group and still makes no sense."""

from collections import Counter
from collections.abc import Iterator

from repro import catalog
from repro.families import FAMILIES
from repro.job_groups import RecipeBase, TuningGroup, TuningTier

Wrong = tuple[str, str, str]
"""Path, what was found there, what was expected."""

_WITH_W = ("mamba", "mamba2")
"""Families that have the projection W."""


def group_problems(group: TuningGroup, least: int) -> Iterator[Wrong]:
    """What is wrong with one group; paths inside it.

    Args:
        group: The group.
        least: Settings that tier full needs.
    """
    for arm, times in Counter(arm.id for arm in group.arms).items():
        if times > 1:
            yield "arms", f"the arm {arm} {times} times", "each arm once"
    for name in group.left_open:
        if name not in RecipeBase.model_fields:
            known = ", ".join(RecipeBase.model_fields)
            yield "left_open", f"{name!r}", f"a field of the recipe: {known}"
    yield from _undefined_methods(group)
    for tier, spec in group.tiers.items():
        for field, found, expected in _tier_problems(group, spec):
            yield f"tiers.{tier}.{field}", found, expected
        if tier == "full" and len(set(spec.settings)) < least:
            yield "tiers.full.settings", f"{len(set(spec.settings))} settings", f"at least {least}"


def _undefined_methods(group: TuningGroup) -> Iterator[Wrong]:
    """Methods whose layers a family of the group does not name."""
    known = catalog.checkpoints()
    methods = dict.fromkeys(arm.method for arm in group.arms)
    for index, row in enumerate(group.checkpoints):
        if row.checkpoint not in known:
            continue  # found when the manifest is expanded, with the catalog it is meant for
        family = known[row.checkpoint].family
        lacking = {"lora-w", "lora-not-w"} if family not in _WITH_W else set()
        lacking |= set() if FAMILIES[family].lora_sll else {"lora-sll"}
        for method in methods:
            if method in lacking:
                found = f"{row.checkpoint}, a {family} model, with an arm {method}"
                yield f"checkpoints[{index}]", found, "a family whose layers for it are named"


def _tier_problems(group: TuningGroup, spec: TuningTier) -> Iterator[Wrong]:
    """What is wrong with what one tier runs."""
    if len(spec.seeds) != len(spec.settings):
        yield "seeds", f"{len(spec.seeds)} seeds for {len(spec.settings)} settings", "one for each"
    first = group.arms[0]
    if first.precision not in spec.precisions:
        found = f"{', '.join(spec.precisions)} without {first.precision}"
        yield "precisions", found, f"that of the reference, {first.id}, among them"
    asked = [each.task for each in group.questions]
    for task in spec.tasks:
        if task not in asked:
            yield "tasks", f"{task!r}, which the group does not ask", f"of {', '.join(asked)}"
    if ("mmlu" in spec.tasks) != bool(spec.subjects):
        yield "subjects", f"{len(spec.subjects)} subjects", "some with the task mmlu, none without"
    known = catalog.datasets()["mmlu"].subjects
    for name in spec.subjects:
        if name not in known:
            yield "subjects", f"{name!r}, which is not defined", f"one of MMLU's {len(known)}"
