"""The settings of a manifest one after another, and where is looked whether more are needed.

In: a manifest. Out: the order of its settings (`in_order`), what each look adds (`planned`), and
the manifest as far as a look goes (`up_to`). Everything follows from the manifest, so that nobody
chooses looks by what was measured.
"""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, pairwise
from typing import Any

from repro.schema.base import Slug
from repro.schema.groups import (
    EvaluationGroup,
    EvaluationTier,
    Group,
    Slot,
    TuningGroup,
    TuningTier,
)
from repro.schema.jobs import Setting, Tier
from repro.schema.manifest import Manifest

Looks = tuple[tuple[Slug, ...], ...]
"""The settings that each look adds, in the order in which they are run."""

AFTER = (3, 5)
"""Settings after which is looked; then once more, after all of them."""

KERNELS = ("attention_float32", "attention_half", "mamba_path")
"""Fields of a setting that name a kernel."""


def planned(manifest: Manifest, tier: Tier) -> Looks:
    """The looks of a run at a tier; none where there are too few settings for two.

    Every second kernel comes before the first look: how far another machine may be off is read
    from two kernels, and is the same however many settings follow.
    """
    order = in_order(manifest, tier)
    first = max(AFTER[0], _covering(order))
    ends = sorted({end for end in (first, AFTER[1]) if first <= end < len(order)} | {len(order)})
    names = [each.id for each in order]
    return tuple(tuple(names[slice(*each)]) for each in pairwise([0, *ends])) if ends[1:] else ()


def in_order(manifest: Manifest, tier: Tier) -> list[Setting]:
    """The settings of a tier as they are run: the manifest's order, but for second kernels.

    What is screened is so against the setting that comes first here (`repro.schema.slots`), so that
    no look wants answers of a later one.
    """
    named = _named(manifest, tier)
    return _kernels_first([each for each in manifest.settings if each.id in named])


def _named(manifest: Manifest, tier: Tier) -> set[str]:
    """Settings that some group runs at a tier."""
    groups = (each for each in manifest.jobs if isinstance(each, EvaluationGroup | TuningGroup))
    return {name for each in groups if tier in each.tiers for name in each.tiers[tier].settings}


def _kernels_first(settings: Sequence[Setting]) -> list[Setting]:
    """The first setting, then as few as have another kernel of every sort, then the others."""
    order, rest = list(settings[:1]), list(settings[1:])
    while open_ := _one_kernel_yet(order, rest):
        best = max(rest, key=lambda each: len(_other_kernels(order[0], each) & open_))
        order.append(best)
        rest.remove(best)
    return order + rest


def _one_kernel_yet(order: Sequence[Setting], rest: Iterable[Setting]) -> set[str]:
    """Sorts of kernels that settings to come change, and none so far."""
    to_come = set(chain.from_iterable(_other_kernels(order[0], each) for each in rest))
    return to_come.difference(*(_other_kernels(order[0], each) for each in order))


def _other_kernels(first: Setting, other: Setting) -> set[str]:
    return {name for name in KERNELS if getattr(first, name) != getattr(other, name)}


def _covering(order: Sequence[Setting]) -> int:
    """How many settings it takes until no later one changes a kernel for the first time."""
    return next(
        (end for end in range(1, len(order)) if not _one_kernel_yet(order[:end], order[end:])),
        len(order),
    )


def of_slot(looks: Looks, slot: Slot) -> int:
    """The look, from 0, that a slot is run for; what has no setting is run for the first."""
    return next((at for at, added in enumerate(looks) if slot.setting in added), 0)


def up_to(manifest: Manifest, tier: Tier, settings: AbstractSet[str]) -> Manifest:
    """The manifest as if a tier had no other settings than these."""
    jobs = tuple(_with(group, tier, settings) for group in manifest.jobs)
    return manifest.model_copy(update={"jobs": jobs})


def _with(group: Group, tier: Tier, settings: AbstractSet[str]) -> Group:
    if not (isinstance(group, EvaluationGroup | TuningGroup) and tier in group.tiers):
        return group
    tiers: dict[Tier, Any] = dict(group.tiers)
    spec = tiers.pop(tier)
    kept = [at for at, name in enumerate(spec.settings) if name in settings]
    if kept:  # a group without a setting is not run
        update = dict(_kept(spec, kept))
        tiers[tier] = spec.model_copy(update=update)
    return group.model_copy(update={"tiers": tiers})


def _kept(
    spec: EvaluationTier | TuningTier, kept: Sequence[int]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Settings of a tier, and the seed of a tuning under each."""
    for name in ("settings", "seeds"):
        if values := getattr(spec, name, None):
            yield name, tuple(values[at] for at in kept)
