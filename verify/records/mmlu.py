"""What can be recomputed of a record of MMLU: predictions, accuracies, ties, gold answers.

A log-likelihood that is not a finite number makes a record of an untuned model invalid. That of a
tuned model is a result of its training: it counts as lm-eval counts it, `np.argmax` taking the
first NaN, and the finding says how many there are.

Reference: lm-eval 0.4.2, `acc` of multiple choice.
Not covered: log-likelihoods and prompts themselves, which need the model.
"""

from typing import TYPE_CHECKING

import numpy as np

from repro import fileio
from repro.schema.catalog import Dataset
from repro.schema.jobs import EvaluateJob
from repro.schema.kinds.imported import ImportedJob
from repro.store.record import Record
from verify.errors import InvalidError
from verify.records import answers, rounding
from verify.records.answers import array_of
from verify.records.consistency import Datasets, KindOfRecord

if TYPE_CHECKING:
    from repro.store.store import Arrays

_LETTERS = 4
ROUNDING = 1e-12
"""Two ways of dividing the same integers may differ by this much, an answer makes 7e-5."""


def check(record: Record, job: EvaluateJob, arrays: "Arrays", dataset: Dataset) -> None:
    """Hold a record to its own arrays, and its gold answers to the data set.

    Raises:
        InvalidError: at the first thing that does not follow.
    """
    for shots in job.shots:
        check_summary(record, shots, recomputed(record, job, arrays, shots))
        _check_beside(record, arrays, shots)
    rounding.check_dtype(record, job, {e: arrays[f"shots{e}/log_likelihood"] for e in job.shots})
    check_gold(record, job, arrays, dataset)
    answers.check_engine_answers(record, job, arrays)


def recomputed(
    record: Record, job: EvaluateJob | ImportedJob, arrays: "Arrays", shots: int
) -> dict[str, float]:
    """Shapes, finite log-likelihoods, predictions; what a record has to say of its arrays."""
    short = record.key[:12]
    names = ("log_likelihood", "prediction", "gold")
    scores, stored, gold = (array_of(record, arrays, f"shots{shots}/{name}") for name in names)
    if scores.shape != (len(gold), _LETTERS) or not len(gold):
        message = f"record {short}: log-likelihoods of shape {scores.shape}, expected (Q, 4)"
        raise InvalidError(message)
    bad = _overflowed(scores)
    if bad and job.tuned is None:
        raise InvalidError(check_overflow(record, bad, len(scores), shots))
    predicted = answers.predictions(scores)
    if not np.array_equal(predicted, stored):
        message = f"record {short}: predictions at {shots} shots do not follow from its arrays"
        raise InvalidError(message)
    return _summary(scores, predicted, gold)


def _overflowed(scores: answers.Scores) -> int:
    return int((~np.isfinite(scores)).any(axis=1).sum())


def _check_beside(record: Record, arrays: "Arrays", shots: int) -> None:
    """What a record need not say of its arrays."""
    scores = arrays[f"shots{shots}/log_likelihood"]
    beside: dict[str, float] = {"non_finite": _overflowed(scores)}
    beside |= _lengths(record, arrays.get(f"shots{shots}/tokens"))
    told = {name: each for name, each in beside.items() if f"shots{shots}/{name}" in record.values}
    check_summary(record, shots, told)
    if record.values.get("questions", len(scores)) != len(scores):
        said = record.values["questions"]
        message = f"record {record.key[:12]}: it says {said} questions, has {len(scores)}"
        raise InvalidError(message)


def check_overflow(record: Record, bad: int, questions: int, shots: int) -> str:
    """That an untuned model gave something else than numbers."""
    return (
        f"record {record.key[:12]}: {bad} of {questions} questions at {shots} shots have a "
        "log-likelihood that is not a finite number"
    )


def check_summary(record: Record, shots: int, summary: dict[str, float]) -> None:
    """Hold what a record says of its arrays to what they say.

    Raises:
        InvalidError: if a value is absent or another.
    """
    for name, found in summary.items():
        said = record.values.get(f"shots{shots}/{name}")
        # Where it is not a count, `found` may be large: a perplexity.
        if not isinstance(said, float | int) or not abs(said - found) <= ROUNDING * max(1, found):
            message = (
                f"record {record.key[:12]}: it says {name} {said} at {shots} shots, "
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


def _lengths(record: Record, tokens: answers.Letters | None) -> dict[str, float]:
    """What it says of the lengths of its inputs, from these and from the model's limit."""
    limit = record.path.get("max_length", "")
    if tokens is None or not limit.isdecimal():
        return {}
    read = np.minimum(tokens, int(limit))
    return {"truncated": int((tokens > int(limit)).sum()), "tokens": int(read.sum())}


def check_gold(
    record: Record, job: EvaluateJob | ImportedJob, arrays: "Arrays", dataset: Dataset
) -> None:
    """Every question of every subject once, with the data set's own answers."""
    short = record.key[:12]
    subjects, questions = (array_of(record, arrays, name) for name in ("subject", "question"))
    golds = [arrays[f"shots{shots}/gold"] for shots in job.shots]
    if len({array.shape for array in (subjects, questions, *golds)}) > 1 or subjects.ndim != 1:
        message = f"record {short}: subjects, questions and gold answers that are not one each"
        raise InvalidError(message)
    for index, name in enumerate(job.subjects):
        known = dataset.subjects.get(name)
        if known is None:
            message = f"record {short}: the data set has no subject {name}"
            raise InvalidError(message)
        rows = np.flatnonzero(subjects == index)
        if not np.array_equal(questions[rows], np.arange(known.questions)):
            message = (
                f"record {short}: {len(rows)} questions of {name}, "
                f"expected all {known.questions} in order"
            )
            raise InvalidError(message)
        for gold in golds:
            if fileio.digest_of_data([int(each) for each in gold[rows]]) != known.gold_sha256:
                message = f"record {short}: the gold answers of {name} are not the data set's"
                raise InvalidError(message)
    if not ((subjects >= 0) & (subjects < len(job.subjects))).all():
        message = f"record {short}: questions of subjects that the job does not name"
        raise InvalidError(message)


def _check(record: Record, job: EvaluateJob, arrays: "Arrays", datasets: Datasets) -> None:
    dataset = datasets[job.task]
    assert isinstance(dataset, Dataset)  # noqa: S101  # the catalog names each task once
    check(record, job, arrays, dataset)


KIND = KindOfRecord(
    numbers=answers.NUMBERS, differences=answers.differences, check=_check, path=answers.path
)
