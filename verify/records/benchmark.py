"""What can be recomputed of a record of one of lm-eval's benchmarks, and its scores.

Shapes: Q questions, C choices of the question that has most; a choice that a question lacks has
no characters, and NaN for its log-likelihood. A prediction is the choice of the largest
log-likelihood, a normalised one that of the largest log-likelihood over characters, the first
where several are equal. A task of log-likelihood, as LAMBADA, has one a question, nats, and is
right where greedy decoding gives the text; its perplexity is exp of minus the mean log-likelihood.

What is no finite number is treated as in `verify.records.mmlu`.

Reference: lm-eval 0.4.2, `acc`, `acc_norm` and `perplexity`.
Not covered: log-likelihoods, lengths of choices and greedy words, which need the model and the
data; the gold answers of a part of the questions, as the catalog's digest is of all of them, and
those of a task of log-likelihood, which are words.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from repro import fileio
from repro.schema.catalog import Benchmark
from repro.schema.jobs import BenchmarkJob
from repro.schema.kinds.imported import ImportedJob
from repro.store.record import Record
from verify.errors import InvalidError
from verify.records import answers, rounding
from verify.records.answers import Right, array_of, predicted_by_length
from verify.records.consistency import Datasets, KindOfRecord
from verify.records.mmlu import check_overflow, check_summary

if TYPE_CHECKING:
    from repro.store.store import Arrays


def check(record: Record, job: BenchmarkJob, arrays: "Arrays", known: Benchmark) -> None:
    """Hold a record to its own arrays, and its gold answers to the data set.

    Raises:
        InvalidError: at the first thing that does not follow.
    """
    for shots in job.shots:
        check_summary(record, shots, recomputed(record, job, arrays, known, shots))
    rounding.check_dtype(record, job, {e: arrays[f"shots{e}/log_likelihood"] for e in job.shots})
    answers.check_engine_answers(record, job, arrays)


def recomputed(
    record: Record,
    job: BenchmarkJob | ImportedJob,
    arrays: "Arrays",
    known: Benchmark,
    shots: int,
) -> dict[str, float]:
    """Shapes, finite log-likelihoods, predictions; what a record has to say of its arrays."""
    questions = min(job.questions or known.questions, known.questions)
    scores = array_of(record, arrays, f"shots{shots}/log_likelihood")
    if scores.ndim != 2 or len(scores) != questions:  # noqa: PLR2004  # questions, choices
        message = (
            f"record {record.key[:12]}: log-likelihoods of shape {scores.shape} at {shots} "
            f"shots, expected ({questions}, C)"
        )
        raise InvalidError(message)
    if known.output == "loglikelihood":
        found = _check_words(record, arrays, shots)
    else:
        found = _check_choices(record, known, arrays, shots)
        check_gold(record, job, arrays, known, shots)
    bad = int(overflowed(arrays, shots).sum())
    if bad and job.tuned is None:
        raise InvalidError(check_overflow(record, bad, questions, shots))
    return {**found, "non_finite": bad}


def _check_words(record: Record, arrays: "Arrays", shots: int) -> dict[str, float]:
    """A task of log-likelihood: what its values have to be."""
    scores = arrays[f"shots{shots}/log_likelihood"]
    greedy = array_of(record, arrays, f"shots{shots}/greedy")
    if scores.shape[1] != 1 or greedy.shape != (len(scores),) or not np.isin(greedy, (0, 1)).all():
        message = f"record {record.key[:12]}: greedy answers that are not one 0 or 1 a question"
        raise InvalidError(message)
    found = {"accuracy": float(greedy.mean())}
    if np.isfinite(scores).all() and math.isfinite(whole := perplexity(scores[:, 0])):
        found["perplexity"] = whole
    return found


def _check_choices(
    record: Record, known: Benchmark, arrays: "Arrays", shots: int
) -> dict[str, float]:
    """Multiple choice: what its values have to be."""
    short = record.key[:12]
    if f"shots{shots}/greedy" in arrays:
        message = f"record {short}: greedy answers at {shots} shots to a question with choices"
        raise InvalidError(message)
    names = ("log_likelihood", "characters", "prediction", "prediction_normalised", "gold")
    scores, characters, plain, normalised, gold = (
        array_of(record, arrays, f"shots{shots}/{name}") for name in names
    )
    there = characters > 0
    ragged = characters.shape != scores.shape or (there[:, 1:] > there[:, :-1]).any()
    if ragged or not there[:, 0].all() or not np.isnan(scores[~there]).all():
        message = f"record {short}: log-likelihoods at {shots} shots of choices that are not there"
        raise InvalidError(message)
    if gold.shape != (len(scores),) or not ((gold >= 0) & (gold < there.sum(axis=1))).all():
        message = f"record {short}: gold answers at {shots} shots that are no choices"
        raise InvalidError(message)
    compared = np.where(there, scores, -np.inf)
    found = (answers.predictions(compared), predicted_by_length(arrays, shots))
    if not (np.array_equal(found[0], plain) and np.array_equal(found[1], normalised)):
        message = f"record {short}: predictions at {shots} shots do not follow from its arrays"
        raise InvalidError(message)
    best = there & (compared == compared.max(axis=1, keepdims=True))
    summary = {
        "accuracy": answers.accuracy(plain, gold),
        "ties": float((best.sum(axis=1) > 1).sum()),
    }
    if "accuracy_norm" in known.metrics:
        summary["accuracy_norm"] = answers.accuracy(normalised, gold)
    return summary


def check_gold(
    record: Record, job: BenchmarkJob | ImportedJob, arrays: "Arrays", known: Benchmark, shots: int
) -> None:
    """The data set's own answers, where all were asked."""
    gold = [int(each) for each in arrays[f"shots{shots}/gold"]]
    if len(gold) == known.questions and fileio.digest_of_data(gold) != known.gold_sha256:
        message = f"record {record.key[:12]}: the gold answers of {job.task} are not the data set's"
        raise InvalidError(message)


def unchecked_gold(job: BenchmarkJob | ImportedJob, known: Benchmark) -> str:
    """What of a record's gold answers is taken on trust; empty if nothing is."""
    if known.output == "loglikelihood":
        return f"the words of {job.task} are not held to a digest"
    if job.questions and job.questions < known.questions:
        return f"{job.task}: gold answers of the first {job.questions} questions, held to no digest"
    return ""


# -----------------------------------------------------------------------------
# Scores


def perplexity(log_likelihoods: answers.Scores) -> float:
    """Of words, nats: exp of minus the mean, which may be NaN or infinite."""
    try:
        return math.exp(-math.fsum(log_likelihoods) / len(log_likelihoods))
    except (OverflowError, ValueError):  # a sum of opposite infinities is the latter
        return math.inf


def overflowed(arrays: "Arrays", shots: int) -> Right:
    """Which questions have a log-likelihood that is not a finite number, shape (Q,)."""
    scores = arrays[f"shots{shots}/log_likelihood"]
    there = arrays.get(f"shots{shots}/characters", np.ones_like(scores)) > 0
    found: Right = (there & ~np.isfinite(scores)).any(axis=1)
    return found


def _check(record: Record, job: BenchmarkJob, arrays: "Arrays", datasets: Datasets) -> None:
    known = datasets[job.task]
    assert isinstance(known, Benchmark)  # noqa: S101  # the catalog names each task once
    check(record, job, arrays, known)


KIND = KindOfRecord(
    numbers=answers.NUMBERS, differences=answers.differences, check=_check, path=answers.path
)
