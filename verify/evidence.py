"""Evidence: the records that a manifest's slots point to, and whether they can be trusted.

In order: (1) the record is whole and is the one that was asked for; (2) its key follows
from its own content; (3) what can be recomputed from its arrays is recomputed and agrees;
(4) the gold answers are the data set's. Whatever fails makes the claim `invalid`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repro import digests, keys
from repro.catalog import Checkpoint, Dataset
from repro.expand import Slot, slots
from repro.jobs import EvaluateJob, Job
from repro.manifest import Manifest
from repro.record import Record
from repro.run_file import RunFile
from repro.store import BrokenRecordError, Store
from verify import answers

if TYPE_CHECKING:
    from repro.store import Arrays


_LETTERS = 4
_ROUNDING = 1e-12
"""Two ways of dividing the same integers may differ by this much, an answer makes 7e-5."""


class InvalidError(Exception):
    """The evidence for a claim cannot be trusted: why, in one sentence."""


class NotRunError(Exception):
    """There is no evidence for a claim: why, in one sentence."""


@dataclass(frozen=True)
class Loaded:
    """A record that passed every check, with its arrays."""

    slot: Slot
    record: Record
    arrays: "Arrays"

    def accuracies(self) -> list[float]:
        """Accuracy at each number of shots, as a fraction, from the arrays."""
        return [
            answers.accuracy(self.predicted(shots), self.arrays[f"shots{shots}/gold"])
            for shots in self.shots()
        ]

    def shots(self) -> tuple[int, ...]:
        """Numbers of shots of an evaluation; none for another kind of job."""
        return self.record.job.shots if isinstance(self.record.job, EvaluateJob) else ()

    def predicted(self, shots: int) -> answers.Letters:
        """Predicted letters at a number of shots, from the log-likelihoods."""
        return answers.predictions(self.arrays[f"shots{shots}/log_likelihood"])


class Evidence:
    """The records of one run of one manifest, checked as they are asked for."""

    def __init__(
        self,
        manifest: Manifest,
        run: RunFile,
        store: Store,
        checkpoints: Mapping[str, Checkpoint],
        datasets: Mapping[str, Dataset],
    ) -> None:
        self.manifest, self.run, self.store, self.datasets = manifest, run, store, datasets
        self.slots = {slot.id: slot for slot in slots(manifest, run.tier, checkpoints)}
        self._checked: dict[str, tuple[Record, Arrays]] = {}
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
        if key not in self._checked:
            self._checked[key] = self._check(key, slot_id)
        record, arrays = self._checked[key]
        _check_identity(record, slot.job)
        return Loaded(slot, record, arrays)

    def _check(self, key: str, slot_id: str) -> "tuple[Record, Arrays]":
        """Everything about a record that does not depend on the slot; slots may share it."""
        try:
            record, arrays = self.store.load(key)  # (1) whole
        except FileNotFoundError as error:
            message = f"{slot_id} was planned and has no record (the run was cut short)"
            raise NotRunError(message) from error
        except BrokenRecordError as error:
            raise InvalidError(str(error)) from error
        if isinstance(record.job, EvaluateJob):
            _check_answers(record, record.job, arrays)
            _check_gold(record, record.job, arrays, self.datasets[record.job.task])
        return record, arrays


def _check_identity(record: Record, asked: Job) -> None:
    """(1) the job that was asked for, and (2) a key that follows from the content."""
    short = record.key[:12]
    if _without_label(record.job) != _without_label(asked):
        message = f"record {short} is of another job than the manifest asks for"
        raise InvalidError(message)
    libraries = keys.libraries_of(record.job.kind, record.environment.packages)
    machine = record.environment.key_parts()
    if record.key != keys.of_job(record.job, record.inputs, record.code, libraries, machine):
        message = f"record {short}: its key does not follow from its content"
        raise InvalidError(message)


def _without_label(job: Job) -> dict[str, object]:
    data = job.model_dump(mode="json")
    if "setting" in data:
        del data["setting"]["id"]
    return data


def _check_answers(record: Record, job: EvaluateJob, arrays: "Arrays") -> None:
    """(3) shapes, finite log-likelihoods, predictions, accuracies."""
    short = record.key[:12]
    for shots in job.shots:
        try:
            scores = arrays[f"shots{shots}/log_likelihood"]
            stored = arrays[f"shots{shots}/prediction"]
            gold = arrays[f"shots{shots}/gold"]
        except KeyError as error:
            message = f"record {short} has no array {error}"
            raise InvalidError(message) from error
        if scores.shape != (len(gold), _LETTERS) or not len(gold):
            message = f"record {short}: log-likelihoods of shape {scores.shape}, expected (Q, 4)"
            raise InvalidError(message)
        bad = int((~np.isfinite(scores)).any(axis=1).sum())
        if bad:
            message = (
                f"record {short}: {bad} of {len(scores)} questions at {shots} shots have a "
                "log-likelihood that is not a finite number"
            )
            raise InvalidError(message)
        predicted = answers.predictions(scores)
        if not np.array_equal(predicted, stored):
            message = f"record {short}: predictions at {shots} shots do not follow from its arrays"
            raise InvalidError(message)
        for name, found in _summary(scores, predicted, gold).items():
            said = record.values.get(f"shots{shots}/{name}")
            if not isinstance(said, float | int) or abs(said - found) > _ROUNDING:
                message = (
                    f"record {short}: it says {name} {said} at {shots} shots, "
                    f"its arrays say {found}"
                )
                raise InvalidError(message)


def _summary(
    scores: answers.Scores, predicted: answers.Letters, gold: answers.Letters
) -> dict[str, float]:
    """What a record says of its own arrays, computed from them."""
    letters = answers.letter_counts(predicted)
    return {
        "accuracy": answers.accuracy(predicted, gold),
        "ties": answers.ties(scores),
        **{f"predicted_{name}": count for name, count in zip("ABCD", letters, strict=True)},
    }


def _check_gold(record: Record, job: EvaluateJob, arrays: "Arrays", dataset: Dataset) -> None:
    """(4) every question of every subject once, with the data set's own answers."""
    short = record.key[:12]
    subjects, questions = arrays["subject"], arrays["question"]
    for index, name in enumerate(job.subjects):
        known = dataset.subjects[name]
        rows = np.flatnonzero(subjects == index)
        if not np.array_equal(questions[rows], np.arange(known.questions)):
            message = (
                f"record {short}: {len(rows)} questions of {name}, "
                f"expected all {known.questions} in order"
            )
            raise InvalidError(message)
        for shots in job.shots:
            gold = [int(each) for each in arrays[f"shots{shots}/gold"][rows]]
            if digests.of_data(gold) != known.gold_sha256:
                message = f"record {short}: the gold answers of {name} are not the data set's"
                raise InvalidError(message)
    if not ((subjects >= 0) & (subjects < len(job.subjects))).all():
        message = f"record {short}: questions of subjects that the job does not name"
        raise InvalidError(message)
