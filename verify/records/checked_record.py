"""A record that passed every check, with its arrays and the slot that it fills."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from repro import fileio
from repro.schema.catalog import Metric
from repro.schema.groups import Slot
from repro.schema.jobs import ModelJob
from repro.schema.kinds.imported import ImportedJob
from repro.store.record import Record
from verify.records import answers
from verify.records.answers import Right

if TYPE_CHECKING:
    from repro.store.store import Arrays


@dataclass(frozen=True)
class CheckedRecord:
    """A record that passed every check, with its arrays."""

    slot: Slot
    record: Record
    arrays: "Arrays"
    tuning: "CheckedRecord | None" = None
    """Of an evaluation of a tuned model: the record of its tuning."""
    first: "CheckedRecord | None" = None
    """Of one that was asked in part: the record that has its other answers."""
    _right: dict[tuple[Metric, int], Right] = field(default_factory=dict, compare=False, repr=False)

    def accuracies(self) -> list[float]:
        """Accuracy at each number of shots, as a fraction, from the arrays."""
        return [float(np.mean(self.right("accuracy", each))) for each in self.shots()]

    def shots(self) -> tuple[int, ...]:
        """Numbers of shots of an evaluation; none for another kind of job."""
        job = self.record.job
        return job.shots if isinstance(job, ModelJob | ImportedJob) else ()

    @property
    def imported(self) -> ImportedJob | None:
        """What is said of answers that somebody else measured; None of our own record."""
        return self.record.job if isinstance(self.record.job, ImportedJob) else None

    @property
    def answers_alone(self) -> bool:
        """Whether it has no log-likelihoods, as an import may."""
        return not any(name.endswith("/log_likelihood") for name in self.arrays)

    def digest(self, *, of_answers: bool) -> str:
        """Of all arrays, or of log-likelihoods, or answers where it has no others.

        Of a screened one that of its first: it is no draw beside that.
        """
        if self.first:
            return self.first.digest(of_answers=of_answers)
        if not of_answers:
            return self.record.arrays.sha256
        what = "prediction" if self.answers_alone else "log_likelihood"
        several = (self.arrays[f"shots{shots}/{what}"] for shots in self.shots())
        return fileio.digest_of_data([[str(each.dtype), each.tobytes().hex()] for each in several])

    def predicted(self, shots: int) -> answers.Letters:
        """Predicted letters or choices at a number of shots, from the log-likelihoods."""
        return answers.predicted(self.arrays, shots)

    def gold(self, shots: int) -> answers.Letters:
        """Right letters or choices at a number of shots; LAMBADA has none."""
        gold: answers.Letters = self.arrays[f"shots{shots}/gold"]
        return gold

    def right(self, metric: Metric, shots: int) -> Right:
        """Which questions were answered right; found once, claims ask often."""
        at = (metric, shots)
        if at not in self._right:
            self._right[at] = answers.answered_right(self.arrays, metric, shots)
        return self._right[at]
