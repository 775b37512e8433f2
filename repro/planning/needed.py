"""What a run reads: each checkpoint, data set and archive once, with its size and its licence.

Sizes and licences are the catalog's: of weights that were published, of data as it is fetched.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from repro import paths
from repro.environment.pins import Pin
from repro.inputs import locate, located
from repro.inputs.locate import InputLocator
from repro.inputs.located import Located, Missing
from repro.planning.plan import Plan, tuning_of
from repro.planning.planner import FetchSources
from repro.schema.catalog import BundledSource, Checkpoint, HubSource

UNKNOWN = "unknown"

State = Literal["here", "to fetch", "missing"]


@dataclass(frozen=True)
class NeededInput:
    """Something that a job, or a fact, is read from."""

    what: str
    """E.g. `checkpoint mamba-130m`."""
    state: State
    bytes: int | None
    """Its size, about; None if nobody knows."""
    licence: str
    """As the catalog has it, or `unknown`."""
    how: str
    """Where it is, or how to bring it."""


def inputs_of(plans: Iterable[Plan], locator: InputLocator) -> dict[str, Located | Missing]:
    """What every job of some plans reads, whether it is done or not, by name."""
    jobs = [job.slot.job for plan in plans for job in plan.jobs]
    every = [each for job in jobs if job for each in (job, tuning_of(job)) if each]
    found: dict[str, Located | Missing] = {}
    for each in (one for job in every for one in locator.for_job(job).values()):
        if not isinstance(found.get(each.name), Missing):  # one job may read no tokenizer
            found[each.name] = each
    return found


def needed_inputs(
    plans: Iterable[Plan],
    archives: Sequence[Pin],
    locator: InputLocator,
    fetch: FetchSources,
    failed: Mapping[str, str],
) -> list[NeededInput]:
    """Everything that some plans read.

    Args:
        plans: Of any number of manifests.
        archives: Of packages that a fact is read from, which are not here.
        locator: Where inputs are looked for.
        fetch: What can be fetched from here.
        failed: What could not be fetched, by name, and why.
    """
    needed = [_needed(each, locator, fetch, failed) for each in inputs_of(plans, locator).values()]
    for pin in archives:
        name = f"{pin.name} {pin.version}"
        how = failed.get(name, f"{name}, from the package index (not with --offline)")
        state: State = "to fetch" if fetch.index and name not in failed else "missing"
        needed.append(NeededInput(f"archive {name}", state, None, UNKNOWN, how))
    return needed


def _needed(
    found: Located | Missing,
    locator: InputLocator,
    fetch: FetchSources,
    failed: Mapping[str, str],
) -> NeededInput:
    name = found.name
    known = locator.checkpoints.get(name) or locator.datasets[name]
    if isinstance(known, Checkpoint):
        what, size, licence = f"checkpoint {name}", known.stored_bytes, UNKNOWN
        licence = "this bundle's" if isinstance(known.source, BundledSource) else UNKNOWN
    else:
        what, size, licence = f"data {name}", locate.size_of(known), known.licence
    if isinstance(found, Missing):
        why = failed.get(name)
        state: State = "to fetch" if fetch.can_fetch(found) and why is None else "missing"
        return NeededInput(
            what, state, size, licence, f"{why}; {found.remedy}" if why else found.remedy
        )
    if found.substituted and name not in {**locator.substitutes, **locator.data}:
        how = f"{found.path} is not what the catalog pins: delete it, and fetch it again"
        return NeededInput(what, "missing", size, licence, how)
    where = str(found.path or "the hub's own data set, which the run fetches")
    return NeededInput(what, "here", size, licence, where)


def short_of_space(wanted: Iterable[Missing], locator: InputLocator) -> list[str]:
    """Disks with less room than what is to come takes there, and what to do; a line each."""
    to_come: dict[tuple[Path, str], int] = {}
    for each in wanted:
        place, size = _place_and_size(each, locator)
        to_come[place] = to_come.get(place, 0) + size
    short = []
    for (folder, variable), size in to_come.items():
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        free = shutil.disk_usage(there).free
        if free < size:
            short.append(
                f"{size / 1e9:.1f} GB are to come, {free / 1e9:.1f} GB are free in {folder}: free "
                f"some space, or name a folder on a larger disk with {variable}"
            )
    return short


def _place_and_size(missing: Missing, locator: InputLocator) -> tuple[tuple[Path, str], int]:
    """The folder that an input goes to and what names it, and the bytes that are still to come."""
    if not missing.hub and missing.role == "data":
        return (paths.cache(), "REPRO_CACHE"), missing.download
    place = (locate.hub_cache(), "HF_HOME")
    if missing.role == "data":
        return place, missing.download
    known = locator.checkpoints[missing.name]
    assert isinstance(known.source, HubSource)  # noqa: S101  # a bundled one is not fetched
    both = 2 if located.is_pickled(known) else 1  # it is kept beside its safetensors
    begun = locate.begun_mark(known.source).parent / "blobs"
    here = sum(each.stat().st_size for each in begun.glob("*"))
    return place, max(0, both * missing.download - here)
