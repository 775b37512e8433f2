"""A record that passed every check, with its arrays and the slot that it fills."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from repro.schema.catalog import Metric
from repro.schema.groups import Slot
from repro.schema.jobs import ModelJob
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
    _right: dict[tuple[Metric, int], Right] = field(default_factory=dict, compare=False, repr=False)

    def accuracies(self) -> list[float]:
        """Accuracy at each number of shots, as a fraction, from the arrays."""
        return [float(np.mean(self.right("accuracy", each))) for each in self.shots()]

    def shots(self) -> tuple[int, ...]:
        """Numbers of shots of an evaluation; none for another kind of job."""
        return self.record.job.shots if isinstance(self.record.job, ModelJob) else ()

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
