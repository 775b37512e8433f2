"""Evidence: the records that a manifest's slots point to, and whether they can be trusted.

In order: (1) the record is whole and is the one that was asked for; (2) its key follows
from its own content; (3) what can be recomputed from its arrays is recomputed and agrees, and
the gold answers are the data set's; (4) no other record of the run has the same numbers where it
cannot; (5) a tuned model is the one that the same run tuned. Whatever fails makes the claim
`invalid`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from repro import keys
from repro.catalog import Benchmark, Checkpoint, Dataset
from repro.errors import CannotReadError
from repro.expand import slots
from repro.jobs import BenchmarkJob, EvaluateJob, Job, ModelJob, ThroughputJob, TuningJob
from repro.manifest import Manifest
from repro.record import Record
from repro.run_file import RunFile
from repro.slot import Slot
from repro.store import MODEL, BrokenRecordError, Store
from verify import (
    answers,
    benchmark_records,
    copies,
    mmlu_records,
    recorded,
    throughput_records,
    tuning_records,
)
from verify.benchmark_records import Metric, Right
from verify.errors import InvalidError, NotRunError

if TYPE_CHECKING:
    from repro.store import Arrays


@dataclass(frozen=True)
class Loaded:
    """A record that passed every check, with its arrays."""

    slot: Slot
    record: Record
    arrays: "Arrays"
    tuning: "Loaded | None" = None
    """Of an evaluation of a tuned model: the record of its tuning."""
    _right: dict[tuple[Metric, int], Right] = field(default_factory=dict, compare=False, repr=False)

    def accuracies(self) -> list[float]:
        """Accuracy at each number of shots, as a fraction, from the arrays."""
        return [answers.accuracy(self.predicted(each), self.gold(each)) for each in self.shots()]

    def shots(self) -> tuple[int, ...]:
        """Numbers of shots of an evaluation; none for another kind of job."""
        return self.record.job.shots if isinstance(self.record.job, ModelJob) else ()

    def predicted(self, shots: int) -> answers.Letters:
        """Predicted letters or choices at a number of shots, from the log-likelihoods."""
        if isinstance(self.record.job, BenchmarkJob):
            return benchmark_records.predicted(self.arrays, shots)
        return answers.predictions(self.arrays[f"shots{shots}/log_likelihood"])

    def gold(self, shots: int) -> answers.Letters:
        """Right letters or choices at a number of shots; LAMBADA has none."""
        gold: answers.Letters = self.arrays[f"shots{shots}/gold"]
        return gold

    def right(self, metric: Metric, shots: int) -> Right:
        """Which questions of a benchmark were answered right; found once, claims ask often."""
        at = (metric, shots)
        if at not in self._right:
            self._right[at] = benchmark_records.right(self.arrays, metric, shots)
        return self._right[at]


class Evidence:
    """The records of one run of one manifest, checked as they are asked for."""

    def __init__(
        self,
        manifest: Manifest,
        run: RunFile,
        store: Store,
        checkpoints: Mapping[str, Checkpoint],
        datasets: Mapping[str, Dataset | Benchmark],
    ) -> None:
        self.manifest, self.run, self.store = manifest, run, store
        self.checkpoints, self.datasets = checkpoints, datasets
        known = slots(manifest, run.tier, checkpoints, run.engine)
        self.slots = {slot.id: slot for slot in known}
        self._checked: dict[
            str, tuple[Record, Arrays] | InvalidError | NotRunError | FileNotFoundError
        ] = {}
        self._copied: dict[str, str] | None = None
        self._loaded: dict[str, Loaded | InvalidError | NotRunError] = {}

    def get(self, slot_id: str) -> Loaded:
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

    def _load(self, slot_id: str) -> Loaded:
        slot = self.slots.get(slot_id)
        if slot is None:
            message = f"tier {self.run.tier} has no {slot_id}"
            raise NotRunError(message)
        if slot.job is None:
            raise NotRunError(slot.reason)
        key = self.run.jobs.get(slot_id)
        if key is None:
            raise NotRunError(self.run.missing.get(slot_id, f"{slot_id} was left out of the run"))
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
        return Loaded(slot, record, arrays, self._tuning(slot, slot.job, record))

    def _tuning(self, slot: Slot, job: Job, record: Record) -> Loaded | None:
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
            self._copied = copies.found(whole)
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


def _check_content(
    record: Record, arrays: "Arrays", datasets: Mapping[str, Dataset | Benchmark]
) -> None:
    """(3) what can be recomputed."""
    job = record.job
    recorded.check(record, arrays)
    if isinstance(job, EvaluateJob):
        dataset = datasets[job.task]
        assert isinstance(dataset, Dataset)  # noqa: S101  # the catalog names each task once
        mmlu_records.check(record, job, arrays, dataset)
    elif isinstance(job, BenchmarkJob):
        benchmark = datasets[job.task]
        assert isinstance(benchmark, Benchmark)  # noqa: S101  # the same
        benchmark_records.check(record, job, arrays, benchmark)
    elif isinstance(job, TuningJob):
        tuning_records.check(record, job, arrays)
    elif isinstance(job, ThroughputJob):
        throughput_records.check(record, job, arrays)


def _check_identity(record: Record, asked: Job) -> None:
    """(1) the job that was asked for, and (2) a key that follows from the content."""
    short = record.key[:12]
    if _as_asked(record.job, asked) != _as_asked(asked, asked):
        message = f"record {short} is of another job than the manifest asks for"
        raise InvalidError(message)
    libraries = keys.libraries_of(record.job.kind, record.environment.packages)
    machine = record.environment.key_parts()
    if record.key != keys.of_job(record.job, record.inputs, record.code, libraries, machine):
        message = f"record {short}: its key does not follow from its content"
        raise InvalidError(message)


def _as_asked(job: Job, asked: Job) -> dict[str, object]:
    """A specification without what the manifest leaves to the machine, and without labels."""
    data = job.model_dump(mode="json")
    if "setting" in data:
        del data["setting"]["id"]
        if isinstance(asked, ModelJob) and asked.setting.batch_size is None:
            del data["setting"]["batch_size"]
    return data
