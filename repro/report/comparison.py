"""Two records, runs or packets: what differs in how they were made, and in what they measured.

Only records that the verifier's checks of evidence accept are compared; what they measured is
found anew from their arrays (`verify.side_by_side`). Records of two runs belong together if they
fill the same slot; one record alone belongs to every record that was asked the same questions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.audit.compare import EVERY, Difference, compare_environments
from repro.errors import BadInputError, CannotReadError
from repro.schema import catalog
from repro.schema.base import Frozen
from repro.schema.kinds.imported import UNKNOWN, ImportedJob
from repro.store import contents, run_file
from repro.store.record import Record
from repro.store.run_file import RunFile, manifest_of
from repro.store.store import Store
from repro.text import first_few, plural
from verify import side_by_side
from verify.errors import InvalidError, NotRunError
from verify.evidence import Evidence, lone_record
from verify.records.checked_record import CheckedRecord
from verify.side_by_side import AnswersCompared, ArraysCompared

MODULE = "module "
"""How a difference of our own code begins."""


class ComparedRecord(Frozen):
    """One side of a pair."""

    key: str
    what: str
    """Model, dtype and setting, or what its job says."""
    started: str
    hardware: str
    imported: str | None
    """Who measured it, where somebody else did."""


class ComparedPair(Frozen):
    """Two records that belong together."""

    slot: str
    """`<manifest>.<tier>: <slot>`; of records alone, what they are."""
    records: tuple[ComparedRecord, ComparedRecord]
    differences: tuple[Difference, ...]
    """Settings, versions, inputs, code and paths; `touches` is null for what moves no number."""
    answers: tuple[AnswersCompared, ...]
    """Of what was asked questions: a row for each number of shots and metric."""
    p_adjusted: tuple[float, ...]
    """p of these rows by Holm's method, over all rows of the comparison."""
    arrays: ArraysCompared | None
    """Of every other kind of job."""
    values: dict[str, tuple[float | str | None, float | str | None]]
    """Of these, numbers for people that differ."""


class Comparison(Frozen):
    """Everything that two sides have in common, side by side."""

    sides: tuple[str, str]
    pairs: tuple[ComparedPair, ...]
    alone: tuple[int, int]
    """Records that nothing on the other side belongs to."""
    left_out: tuple[str, ...]
    """Records and runs that cannot be compared, and why."""


def compare(
    folders: tuple[Path, Path], shown: tuple[Path, Path], most: int | None = None
) -> Comparison:
    """Compare what lies in two places.

    Args:
        folders: Of each side a results folder, a packet, a folder of these, or a record's folder.
        shown: How messages name them.
        most: Flips that are kept of each row, the most telling; all by default.

    Raises:
        BadInputError: if nothing can be compared, with every reason.
    """
    left_out: list[str] = []
    one, other = (
        list(_found(folder, name, left_out)) for folder, name in zip(folders, shown, strict=True)
    )
    pairs: dict[tuple[str, str], ComparedPair] = {}
    for left, right in _belonging(one, other):
        unlike = _why_unlike(left.loaded, right.loaded)
        if unlike:
            left_out.append(f"{left.slot}: {unlike}")
            continue
        at = left.loaded.record.key, right.loaded.record.key
        pairs.setdefault(at, _pair(left, right, most))
    if not pairs:
        raise BadInputError("\n".join([_nothing(one, other, shown), *dict.fromkeys(left_out)]))
    keys = [{each.loaded.record.key for each in side} for side in (one, other)]
    alone = [len(keys[at] - {pair[at] for pair in pairs}) for at in (0, 1)]
    return Comparison(
        sides=(str(shown[0]), str(shown[1])),
        pairs=tuple(_with_adjusted(list(pairs.values()))),
        alone=(alone[0], alone[1]),
        left_out=tuple(dict.fromkeys(left_out)),
    )


def _nothing(one: Sequence["_Found"], other: Sequence["_Found"], shown: tuple[Path, Path]) -> str:
    said = [
        f"{name} has {plural(len(side), 'record')}"
        + (f" ({first_few([each.slot for each in side])})" if side else "")
        for name, side in zip(shown, (one, other), strict=True)
    ]
    return f"nothing to compare: {'; '.join(said)}; expected records of one slot, or two records"


def _with_adjusted(pairs: list[ComparedPair]) -> Iterator[ComparedPair]:
    adjusted = iter(side_by_side.adjusted([row for pair in pairs for row in pair.answers]))
    for pair in pairs:
        several = tuple(next(adjusted) for _ in pair.answers)
        yield pair.model_copy(update={"p_adjusted": several})


# -----------------------------------------------------------------------------
# What lies in a place


@dataclass(frozen=True)
class _Found:
    """One record that can be trusted, and where it stands."""

    slot: str
    loaded: CheckedRecord
    place: tuple[str, str, str] | None
    """Manifest, tier and slot; None where no run file names it."""


def _found(folder: Path, shown: Path, left_out: list[str]) -> Iterator[_Found]:
    """Every record of a place; why others cannot be compared is added to `left_out`."""
    if folder.parent.name == "runs" and folder.suffix == ".json":
        yield from _of_run(Store(folder.parent.parent), run_file.load(folder), left_out)
        return
    if folder.parent.name == "jobs":  # one record, by its key or the first digits of it
        store = Store(folder.parent.parent)
        yield from _alone(store, [contents.find_record(store, folder.name).key], left_out)
        return
    if not folder.is_dir():
        message = (
            f"found no folder {shown}, expected what `repro run`, `repro import` or `repro export` "
            "wrote, or in it jobs/KEY, one record, or runs/NAME.json, one run"
        )
        raise BadInputError(message)
    for each in run_file.folders_of([folder]):
        for results in run_file.results_of(each):
            runs, damaged = run_file.read(results)
            left_out += map(str, damaged)
            for run in runs.values():
                yield from _of_run(Store(results), run, left_out)
            if not runs:
                yield from _alone(Store(results), contents.keys(Store(results)), left_out)


def _of_run(store: Store, run: RunFile, left_out: list[str]) -> Iterator[_Found]:
    try:
        claimed = manifest_of(run)
    except BadInputError as error:
        left_out.append(str(error))
        return
    evidence = Evidence(claimed, run, store, catalog.checkpoints(), catalog.question_sets())
    for slot in evidence.slots:
        name = f"{run.manifest}.{run.tier}: {slot}"
        try:
            yield _Found(name, evidence.get(slot), (run.manifest, run.tier, slot))
        except InvalidError as error:
            left_out.append(f"{name}: {error}")
        except NotRunError:  # most slots of most runs
            continue


def _alone(store: Store, keys: Sequence[str], left_out: list[str]) -> Iterator[_Found]:
    known = contents.runs(store)
    for key in keys:
        name = contents.entry(store, key, known).what
        try:
            yield _Found(name, lone_record(store, key, name, catalog.question_sets()), None)
        except (InvalidError, CannotReadError) as error:
            left_out.append(f"{name}: {error}")


# -----------------------------------------------------------------------------
# What belongs together


def _belonging(one: Sequence[_Found], other: Sequence[_Found]) -> Iterator[tuple[_Found, _Found]]:
    if len(one) == len(other) == 1:
        yield one[0], other[0]
        return
    places = {each.place: each for each in other if each.place}
    found = [(each, places[each.place]) for each in one if each.place in places]
    yield from found
    if found:
        return
    lone = len(one) == 1 or len(other) == 1
    for left in one:
        for right in other:
            same = _model(left.loaded.record) == _model(right.loaded.record)
            asked = bool(left.loaded.shots())
            if asked and (lone or same) and not _why_unlike(left.loaded, right.loaded):
                yield left, right


def _model(record: Record) -> tuple[str, str]:
    return getattr(record.job, "checkpoint", None) or "", getattr(record.job, "dtype", "")


def _why_unlike(one: CheckedRecord, other: CheckedRecord) -> str:
    jobs = one.record.job, other.record.job
    if one.shots() and other.shots():
        return side_by_side.why_unlike(one, other)
    kinds = [job.kind for job in jobs]
    return "" if kinds[0] == kinds[1] else f"two kinds of job: {kinds[0]} and {kinds[1]}"


# -----------------------------------------------------------------------------
# One pair


def _pair(left: _Found, right: _Found, most: int | None) -> ComparedPair:
    one, other = left.loaded, right.loaded
    asked = bool(one.shots())
    return ComparedPair(
        slot=left.slot if left.slot == right.slot else f"{left.slot} | {right.slot}",
        records=(_side(one.record, left.slot), _side(other.record, right.slot)),
        differences=tuple(differences(one.record, other.record)),
        answers=tuple(side_by_side.compare_answers(one, other, most)) if asked else (),
        p_adjusted=(),
        arrays=None if asked else side_by_side.compare_arrays(one, other),
        values={} if asked else dict(_values(one.record, other.record)),
    )


def _side(record: Record, slot: str) -> ComparedRecord:
    return ComparedRecord(
        key=record.key,
        what=slot,
        started=record.started,
        hardware=record.environment.hardware_class,
        imported=record.job.by if isinstance(record.job, ImportedJob) else None,
    )


def _values(
    one: Record, other: Record
) -> Iterator[tuple[str, tuple[float | str | None, float | str | None]]]:
    for name in sorted(one.values.keys() | other.values.keys()):
        sides = one.values.get(name), other.values.get(name)
        if sides[0] != sides[1]:
            yield name, sides


def differences(one: Record, other: Record) -> Iterator[Difference]:
    """How two records differ in how they were made: job, machine, versions, inputs, code, path."""
    jobs = [dict(_flat(each.job.specification())) for each in (one, other)]
    imported = [isinstance(each.job, ImportedJob) for each in (one, other)]
    if any(imported) and not all(imported):  # a job of ours has fields that no import has
        both = (jobs[0].keys() & jobs[1].keys()) - {"kind"}
        jobs = [{name: job[name] for name in job if name in both} for job in jobs]
    yield from _apart("", jobs[0], jobs[1])
    used = {name for each in (one, other) for name in each.job.LIBRARIES}
    for each in compare_environments(one.environment, other.environment):
        sides = {
            name: UNKNOWN if unsaid and getattr(each, name) is None else getattr(each, name)
            for name, unsaid in zip(("here", "there"), imported, strict=True)
        }
        idle = each.touches not in (EVERY, *used)
        yield each.model_copy(update=sides | ({"touches": None} if idle else {}))
    if any(imported):  # its files are others, and nothing else is known
        return
    yield from _apart("file ", _short(one.inputs), _short(other.inputs))
    yield from _apart(MODULE, _short(one.code), _short(other.code))
    yield from _apart("path taken, ", one.path, other.path)


def _apart(label: str, one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[Difference]:
    for name in {**one, **other}:
        here, there = one.get(name) or None, other.get(name) or None  # nothing, said or not
        if here != there:
            what = f"{label}{name}"
            yield Difference(what=what, here=here, there=there, touches=EVERY, claims={})


def _short(digests: Mapping[str, str]) -> dict[str, str]:
    return {name: sha[: contents.SHORT] for name, sha in digests.items()}


def _flat(data: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Fields of a job, those inside others by their whole name."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            several = isinstance(value, list)
            yield f"{before}{name}", ", ".join(map(str, value)) if several else str(value)
