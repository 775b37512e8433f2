"""Evidence: the records that a manifest's slots point to, and whether they can be trusted.

In order: (1) the record is whole and is the one that was asked for; (2) its key follows
from its own content; (3) what can be recomputed from its arrays is recomputed and agrees, and
the gold answers are the data set's; (4) no other record of the run has the same numbers where it
cannot; (5) a tuned model is the one that the same run tuned; (6) a setting that was asked in part
was screened against a record of the same run, and rightly. Whatever fails makes the claim
`invalid`.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from repro import fileio, plugins
from repro.errors import CannotReadError
from repro.schema.catalog import Checkpoint
from repro.schema.groups import Slot
from repro.schema.jobs import Job, ModelJob
from repro.schema.kinds.imported import ImportedJob
from repro.schema.manifest import Manifest
from repro.schema.slots import slots
from repro.store import keys
from repro.store.record import Record
from repro.store.run_file import RunFile
from repro.store.store import FIRST, MODEL, BrokenRecordError, Store
from verify.errors import InvalidError, NotRunError
from verify.records import (
    benchmark,
    consistency,
    imported,
    mmlu,
    proof,
    screened,
    stability,
    throughput,
    tuning,
    weight_tying,
)
from verify.records.checked_record import CheckedRecord
from verify.records.consistency import Datasets, KindOfRecord

if TYPE_CHECKING:
    from repro.store.store import Arrays


class Evidence:
    """The records of one run of one manifest, checked as they are asked for."""

    def __init__(
        self,
        manifest: Manifest,
        run: RunFile,
        store: Store,
        checkpoints: Mapping[str, Checkpoint],
        datasets: Datasets,
    ) -> None:
        self.manifest, self.run, self.store = manifest, run, store
        self.checkpoints, self.datasets = checkpoints, datasets
        known = slots(manifest, run.tier, checkpoints, run.engine)
        self.slots = {slot.id: slot for slot in known}
        self._checked: dict[
            str, tuple[Record, Arrays] | InvalidError | NotRunError | FileNotFoundError
        ] = {}
        self._copied: dict[str, str] | None = None
        self._loaded: dict[str, CheckedRecord | InvalidError | NotRunError] = {}

    def get(self, slot_id: str) -> CheckedRecord:
        """The record of a slot.

        Raises:
            NotRunError: if there is none.
            InvalidError: if there is one that cannot be trusted.
        """
        if slot_id not in self._loaded:
            try:
                self._loaded[slot_id] = self._load(slot_id)
            except (InvalidError, NotRunError) as error:
                self._loaded[slot_id] = error
        found = self._loaded[slot_id]
        if isinstance(found, Exception):
            raise found
        return found

    def checked(self) -> Iterator[CheckedRecord]:
        """What passed every check; findings say what did not, and why."""
        for slot_id in self.slots:
            with suppress(InvalidError, NotRunError):
                yield self.get(slot_id)

    def _load(self, slot_id: str) -> CheckedRecord:
        slot = self.slots.get(slot_id)
        if slot is None:
            message = f"tier {self.run.tier} has no {slot_id}"
            raise NotRunError(message)
        if slot.job is None:
            raise NotRunError(slot.reason)
        key = self.run.jobs.get(slot_id)
        if key is None:
            why = f"{slot_id} was left out of the run"
            if reason := self.run.left_out.get(slot_id):
                why += f": {reason}"
            raise NotRunError(self.run.missing.get(slot_id, why))
        checked = self._check(key)
        if isinstance(checked, FileNotFoundError):
            message = f"{slot_id} was planned and has no record (the run was cut short)"
            raise NotRunError(message)
        if isinstance(checked, InvalidError | NotRunError):
            raise checked
        record, arrays = checked
        _check_identity(record, slot.job)
        if copied := self._copies().get(key):
            raise InvalidError(copied)
        tuning = self._tuning(slot, slot.job, record)
        first = self._first(slot, record, arrays)
        return CheckedRecord(slot, record, imported.arrays_of(record, arrays), tuning, first)

    def _first(self, slot: Slot, record: Record, arrays: "Arrays") -> CheckedRecord | None:
        """(6) the record of the first setting, of one that was asked in part."""
        job = record.job
        if not isinstance(job, ModelJob) or job.screen is None:
            return None
        assert isinstance(slot.job, ModelJob)  # noqa: S101  # the record is of its job
        wanted = slot.job.first()
        name = next(name for name, each in self.slots.items() if each.job == wanted)
        try:
            first = self.get(name)
        except NotRunError as error:
            message = f"{slot.id} was screened against {name}, whose record is not there: {error}"
            raise NotRunError(message) from error
        if first.imported:
            message = f"{slot.id} was screened against {name}, and an import has taken its place"
            raise NotRunError(message)
        if record.inputs.get(f"{FIRST}/{first.record.arrays.name}") != first.record.arrays.sha256:
            message = (
                f"record {record.key[:12]} was not screened against {name}, "
                f"record {first.record.key[:12]}"
            )
            raise InvalidError(message)
        screened.check(record, job, arrays, first.arrays)
        return first if any(screened.asked(arrays, k) is not None for k in job.shots) else None

    def _tuning(self, slot: Slot, job: Job, record: Record) -> CheckedRecord | None:
        """(5) the tuning whose weights an evaluation was made with."""
        if not isinstance(job, ModelJob) or job.tuned is None:
            return None
        tuning = self.get(slot.id.removesuffix(f".{job.task}.{job.dtype}"))
        prefix = f"{MODEL}/"
        read = {name: sha for name, sha in record.inputs.items() if name.startswith(prefix)}
        made = {f"{prefix}{name}": sha for name, sha in tuning.record.files.items()}
        if read != made or not made:
            message = (
                f"record {record.key[:12]} was not made with the weights of {tuning.slot.id}, "
                f"record {tuning.record.key[:12]}"
            )
            raise InvalidError(message)
        return tuning

    def _copies(self) -> dict[str, str]:
        """(4) records of the run with numbers that cannot be their own, found once."""
        if self._copied is None:
            every = {key: self._check(key) for key in dict.fromkeys(self.run.jobs.values())}
            whole = {key: each for key, each in every.items() if not isinstance(each, Exception)}
            self._copied = copied_numbers(whole)
        return self._copied

    def _check(
        self, key: str
    ) -> "tuple[Record, Arrays] | InvalidError | NotRunError | FileNotFoundError":
        """Everything about a record that does not depend on the slot; slots may share it."""
        if key not in self._checked:
            try:
                record, arrays = self.store.load(key)  # (1) whole
                _check_content(record, arrays, self.datasets)
                self._checked[key] = record, arrays
            except CannotReadError as error:
                self._checked[key] = NotRunError(str(error))
            except BrokenRecordError as error:
                self._checked[key] = InvalidError(str(error))
            except (FileNotFoundError, InvalidError) as error:
                self._checked[key] = error
        return self._checked[key]


def lone_record(store: Store, key: str, name: str, datasets: Datasets) -> CheckedRecord:
    """A record that stands for no slot, held to its own job: (1) to (3) of the above.

    Args:
        store: Where it lies.
        key: Of the record.
        name: What its slot is called.
        datasets: The catalog's question sets.

    Raises:
        InvalidError: if it cannot be trusted.
        CannotReadError: if this reader may not read it, or the disk fails.
    """
    try:
        record, arrays = store.load(key)
    except BrokenRecordError as error:
        raise InvalidError(str(error)) from error
    _check_content(record, arrays, datasets)
    _check_key(record)
    model, dtype = (getattr(record.job, field, None) for field in ("checkpoint", "dtype"))
    job = None if isinstance(record.job, ImportedJob) else record.job
    slot = Slot(name, job, "", model, dtype, None)
    return CheckedRecord(slot, record, imported.arrays_of(record, arrays))


KINDS: Mapping[str, KindOfRecord] = {
    **plugins.load("repro.record_kinds"),
    "evaluate": mmlu.KIND,
    "imported": imported.KIND,
    "benchmark": benchmark.KIND,
    "tuning": tuning.KIND,
    "throughput": throughput.KIND,
    "stability": stability.KIND,
    "weight_tying": weight_tying.KIND,
    "proof": proof.KIND,
}
"""How a record is checked, by the kind of its job; a file a kind in `verify.records`."""


def _check_content(record: Record, arrays: "Arrays", datasets: Datasets) -> None:
    """(3) what can be recomputed."""
    if record.job.kind not in KINDS:
        message = f"record {record.key[:12]}: no plug-in says how records of its kind are checked"
        raise InvalidError(message)
    kind = KINDS[record.job.kind]
    consistency.check(record, arrays, kind)
    kind.check(record, record.job, arrays, datasets)


def _check_identity(record: Record, asked: Job) -> None:
    """(1) the job that was asked for, and (2) a key that follows from the content."""
    _check_key(record)
    short, job = record.key[:12], record.job
    if isinstance(job, ModelJob) and job.screen is None and isinstance(asked, ModelJob):
        asked = asked.whole()  # what asked every question holds what a screen asks
    if isinstance(job, ImportedJob):
        why = job.why_not(asked) if isinstance(asked, ModelJob) else "no model is asked"
        if why:
            message = f"record {short}, an import, is not what the manifest asks for: {why}"
            raise InvalidError(message)
    elif _as_asked(job, asked) != _as_asked(asked, asked):
        message = f"record {short} is of another job than the manifest asks for"
        raise InvalidError(message)


def _check_key(record: Record) -> None:
    if record.key != keys.key_of(record):
        message = f"record {record.key[:12]}: its key does not follow from its content"
        raise InvalidError(message)


def _as_asked(job: Job, asked: Job) -> dict[str, object]:
    """A specification without what the manifest leaves to the machine, and without labels."""
    data = job.model_dump(mode="json")
    for setting in filter(None, (data.get("setting"), data.get("screen", {}).get("against"))):
        del setting["id"]
    if isinstance(asked, ModelJob) and asked.setting.batch_size is None:
        data["setting"].pop("batch_size", None)
    if isinstance(asked, ModelJob) and asked.screen and asked.screen.against.batch_size is None:
        data.get("screen", {}).get("against", {}).pop("batch_size", None)
    return data


# -----------------------------------------------------------------------------
# Records that have the same numbers, bit for bit, where two measurements cannot.
#
# Two dtypes, two checkpoints or two tasks never give the same log-likelihoods, nor do two jobs the
# same timings. Two settings of one dtype may (a batch size need not move a digit on one thread),
# and so may two tunings that trained nothing: those are no finding.
#
# Not covered: copies in which a single bit was changed, and copies from another run.

_TELLING = 4
"""Different values that numbers have to have before their equality says anything."""
_WHOLE = "arrays"
_ASKED = frozenset(("evaluate", "benchmark", "imported"))
"""Kinds that asked a model: an import of one may have its numbers."""


def copied_numbers(records: "Mapping[str, tuple[Record, Arrays]]") -> dict[str, str]:
    """What is wrong with each record that shares numbers which it cannot, by key.

    Args:
        records: Those of one run, which passed every other check.
    """
    alike: dict[tuple[str, str], list[Record]] = {}
    for record, arrays in records.values():
        for name, digest in _numbers(record, arrays):
            alike.setdefault((name, digest), []).append(record)
    wrong: dict[str, str] = {}
    for (name, _), several in alike.items():
        for one, other in combinations(several, 2):
            if apart := _differing_numbers(one, other):
                message = (
                    f"records {one.key[:12]} and {other.key[:12]} have the same {name}, bit for "
                    f"bit, and are of {apart}: at least one is a copy"
                )
                wrong.setdefault(one.key, message)
                wrong.setdefault(other.key, message)
    return wrong


def _numbers(record: Record, arrays: "Arrays") -> Iterator[tuple[str, str]]:
    """What two measurements would differ in: name and digest."""
    pattern = KINDS[record.job.kind].numbers
    if not pattern:
        yield _WHOLE, record.arrays.sha256
        return
    for name, array in arrays.items():
        values = array[np.isfinite(array)] if fnmatchcase(name, pattern) else ()
        if len(np.unique(values)) >= _TELLING:
            yield (
                name,
                fileio.digest_of_data([str(array.dtype), array.shape, array.tobytes().hex()]),
            )


def _differing_numbers(one: Record, other: Record) -> str:
    """In what two records differ that no two measurements agree in; empty if in nothing."""
    kinds = {each.job.kind for each in (one, other)}
    if len(kinds) > 1 and not ("imported" in kinds and kinds <= _ASKED):
        return "two kinds"
    found = KINDS[one.job.kind].differences(one, other)
    return next((f"two {what}" for what, mine, theirs in found if mine != theirs), "")
