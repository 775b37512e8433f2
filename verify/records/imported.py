"""What can be recomputed of answers that somebody else measured and that were imported.

They are held to what an evaluation of ours is held to: shapes, predictions, accuracies, the data
set's own gold answers. Where answers came without log-likelihoods, predictions are taken as they
are. What an import says of a machine, code or path would be made up, and is refused.

Not covered: everything that it leaves unknown; whether its log-likelihoods are those of its dtype.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from repro.schema.catalog import Benchmark, Dataset
from repro.schema.kinds.imported import UNKNOWN, ImportedJob
from repro.store.record import Record
from verify.errors import InvalidError, NotRunError
from verify.records import answers, benchmark, mmlu
from verify.records.answers import array_of
from verify.records.consistency import Datasets, KindOfRecord
from verify.records.mmlu import check_summary

if TYPE_CHECKING:
    from repro.store.store import Arrays


def recomputed(
    record: Record, job: ImportedJob, arrays: "Arrays", datasets: Datasets
) -> dict[int, dict[str, float]]:
    """What a record has to say of its arrays, by number of shots.

    Raises:
        InvalidError: at the first thing that does not follow, or is not the data set's.
    """
    known = datasets.get(job.task)
    if known is None:
        message = f"record {record.key[:12]}: no data set {job.task} in the catalog"
        raise InvalidError(message)
    found = {shots: _of_shots(record, job, arrays, known, shots) for shots in job.shots}
    if isinstance(known, Dataset):
        mmlu.check_gold(record, job, arrays, known)
    return found


def _of_shots(
    record: Record, job: ImportedJob, arrays: "Arrays", known: Dataset | Benchmark, shots: int
) -> dict[str, float]:
    alone = f"shots{shots}/log_likelihood" not in arrays
    if isinstance(known, Dataset):
        if alone:
            return _answers_alone(record, arrays, shots, 4)
        return mmlu.recomputed(record, job, arrays, shots)
    if alone:
        found = _answers_alone(record, arrays, shots, known.choices)
        benchmark.check_gold(record, job, arrays, known, shots)
        return found
    return benchmark.recomputed(record, job, arrays, known, shots)


def _answers_alone(record: Record, arrays: "Arrays", shots: int, choices: int) -> dict[str, float]:
    names = ("prediction", "gold")
    picked, gold = (array_of(record, arrays, f"shots{shots}/{name}") for name in names)
    if picked.shape != gold.shape or not len(gold):
        message = f"record {record.key[:12]}: {len(picked)} answers, {len(gold)} gold answers"
        raise InvalidError(message)
    if not ((picked >= 0) & (picked < choices)).all():
        message = f"record {record.key[:12]}: answers at {shots} shots that are no choices"
        raise InvalidError(message)
    return {"accuracy": answers.accuracy(picked, gold)}


def arrays_of(record: Record, arrays: "Arrays") -> "Arrays":
    """Arrays of a record; of an import, what rests on others than it has was not run."""
    return _ArraysOfImport(arrays) if isinstance(record.job, ImportedJob) else arrays


class _ArraysOfImport(dict[str, Any]):
    def __missing__(self, name: str) -> NoReturn:
        message = f"imported answers have no {name.partition('/')[2] or name}, which this takes"
        raise NotRunError(message)


def _check(record: Record, job: ImportedJob, arrays: "Arrays", datasets: Datasets) -> None:
    for shots, found in recomputed(record, job, arrays, datasets).items():
        check_summary(record, shots, found)


def _path(record: Record) -> Iterator[str]:
    """What an import says and cannot know."""
    if record.path or record.code or record.files or record.environment.hardware_class != UNKNOWN:
        yield "it is an import and says on which machine, by which code or path it was made"


KIND = KindOfRecord(
    numbers=answers.NUMBERS, differences=answers.differences, check=_check, path=_path
)
