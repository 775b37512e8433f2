"""What matches the schema of a tuning group and still makes no sense."""

from collections import Counter
from collections.abc import Iterator

from repro import catalog
from repro.families import FAMILIES
from repro.job_groups import GroupRecipe, TuningGroup, TuningTier
from repro.plural import counted

Wrong = tuple[str, str, str]
"""Path, what was found there, what was expected."""


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
        if name not in GroupRecipe.model_fields:
            known = ", ".join(GroupRecipe.model_fields)
            yield "left_open", f"{name!r}", f"a field of the recipe: {known}"
    yield from _undefined_methods(group)
    for tier, spec in group.tiers.items():
        for field, found, expected in _tier_problems(group, spec):
            yield f"tiers.{tier}.{field}", found, expected
        settings = len(set(spec.settings))
        if tier == "full" and settings < least:
            yield "tiers.full.settings", counted(settings, "setting"), f"at least {least}"


def _undefined_methods(group: TuningGroup) -> Iterator[Wrong]:
    """Methods whose layers a family of the group does not name."""
    known = catalog.checkpoints()
    methods = dict.fromkeys(arm.method for arm in group.arms)
    for index, row in enumerate(group.checkpoints):
        if row.checkpoint not in known:
            continue  # `repro.catalog_names` says so
        family = known[row.checkpoint].family
        layouts = FAMILIES[family].layouts.values()
        lacking = set() if any(each.lora_w for each in layouts) else {"lora-w", "lora-not-w"}
        lacking |= set() if any(each.lora_sll for each in layouts) else {"lora-sll"}
        for method in methods:
            if method in lacking:
                found = f"{row.checkpoint}, a {family} model, with an arm {method}"
                yield f"checkpoints[{index}]", found, "a family whose layers for it are named"


def _tier_problems(group: TuningGroup, spec: TuningTier) -> Iterator[Wrong]:
    """What is wrong with what one tier runs."""
    if len(spec.seeds) != len(spec.settings):
        seeds, settings = counted(len(spec.seeds), "seed"), counted(len(spec.settings), "setting")
        yield "seeds", f"{seeds} for {settings}", "one for each"
    first = group.arms[0]
    if first.precision not in spec.precisions:
        found = f"{', '.join(spec.precisions)} without {first.precision}"
        yield "precisions", found, f"that of the reference, {first.id}, among them"
    asked = [each.task for each in group.questions]
    for task in spec.tasks:
        if task not in asked:
            yield "tasks", f"{task!r}, which the group does not ask", f"of {', '.join(asked)}"
    if ("mmlu" in spec.tasks) != bool(spec.subjects):
        found = counted(len(spec.subjects), "subject")
        yield "subjects", found, "some with the task mmlu, none without"
