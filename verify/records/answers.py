"""Accuracies, flips, ties and divergences, recomputed from per-question arrays.

Shapes: Q questions, 4 letters. All accuracies are fractions of all questions (lm-eval
0.4.2 weighs MMLU's subjects by size, so its group accuracy is this micro-average);
divergences are in percentage points, as the paper prints them (v2, section 5).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from repro.schema import jobs
from repro.schema.catalog import Metric
from repro.schema.jobs import BenchmarkJob, EvaluateJob, ModelJob
from repro.schema.kinds.imported import UNKNOWN, ImportedJob
from repro.store.record import Record
from verify.errors import InvalidError
from verify.records.consistency import AS_LOADED, Difference, said_otherwise, weights

if TYPE_CHECKING:
    from repro.store.store import Arrays


Scores = NDArray[np.float64]
Letters = NDArray[np.int64]
Right = NDArray[np.bool_]


def predictions(log_likelihoods: Scores) -> Letters:
    """The letter of the highest log-likelihood, the first on a tie.

    Args:
        log_likelihoods: shape (Q, 4), float64, nats.

    Returns:
        shape (Q,), 0 to 3. Differs from no one: lm-eval's `acc` takes `np.argmax` too.
    """
    best: Letters = np.argmax(log_likelihoods, axis=1).astype(np.int64)
    return best


def ties(log_likelihoods: Scores) -> int:
    """Questions whose highest log-likelihood is reached by more than one letter, exactly."""
    return int((_tops(log_likelihoods).sum(axis=0) > 1).sum())


def _tops(log_likelihoods: Scores) -> NDArray[np.bool_]:
    """Which options reach the highest log-likelihood, shape (4, Q): by column, which is fast."""
    columns = np.ascontiguousarray(log_likelihoods.T)
    found: NDArray[np.bool_] = columns == columns.max(axis=0)
    return found


def shared_credit(log_likelihoods: Scores, gold: Letters) -> float:
    """Accuracy with a credit of 1/m among m options that tie at the top, 0 to 1.

    lm-eval takes the first of them, so that a tie is a vote for the first letter.
    """
    top = _tops(log_likelihoods)
    return float(np.mean(top[gold, np.arange(len(gold))] / top.sum(axis=0)))


def accuracy(predicted: Letters, gold: Letters) -> float:
    """Share of questions answered right, 0 to 1."""
    return float(np.mean(predicted == gold))


def letter_counts(predicted: Letters) -> tuple[int, ...]:
    """How often A, B, C and D were predicted."""
    return tuple(int(count) for count in np.bincount(predicted, minlength=4)[:4])


@dataclass(frozen=True)
class Flips:
    """Questions whose correctness differs between two runs."""

    lost: int
    """Right in the reference, wrong in the candidate."""
    won: int
    """Wrong in the reference, right in the candidate."""
    changed: int
    """A different letter, whether or not either is right."""


def flips(reference: Letters, candidate: Letters, gold: Letters) -> Flips:
    """Compare two runs question by question.

    Example:
        >>> flips(np.array([0, 1, 2]), np.array([1, 1, 3]), np.array([0, 1, 3]))
        Flips(lost=1, won=1, changed=2)
    """
    lost, won = lost_and_won(reference == gold, candidate == gold)
    return Flips(lost=lost, won=won, changed=int((reference != candidate).sum()))


def lost_and_won(before: Right, after: Right) -> tuple[int, int]:
    """Questions that were answered right before alone, and after alone."""
    return int((before & ~after).sum()), int((~before & after).sum())


def divergence(reference: Sequence[float], candidate: Sequence[float]) -> float:
    """Mean over shots of the absolute difference of two accuracies, in percentage points.

    Args:
        reference: Accuracy at each number of shots, fractions.
        candidate: The same for the other side.

    Reference:
        Paper v2, section 5. As printed; the paper does not say
        that the absolute value is taken before the mean, "absolute difference" is read so.

    Example:
        >>> divergence([0.25, 0.26], [0.26, 0.25])
        1.0
    """
    differences: NDArray[Any] = np.abs(np.asarray(reference) - np.asarray(candidate))
    return float(np.round(100.0 * differences.mean(), 10))


# -----------------------------------------------------------------------------
# Arrays of a record by name.


def array_of(record: Record, arrays: "Arrays", name: str) -> NDArray[Any]:
    """One array of a record.

    Raises:
        InvalidError: if the record lacks it, or it is a single number: no job writes one.
    """
    if name not in arrays or arrays[name].ndim == 0:
        message = f"record {record.key[:12]} has no array {name!r}"
        raise InvalidError(message)
    return arrays[name]


def predicted(arrays: "Arrays", shots: int) -> Letters:
    """Choices of the largest log-likelihood, shape (Q,); not of a task without choices.

    An import may have answers alone.
    """
    if f"shots{shots}/log_likelihood" not in arrays:
        picked: Letters = arrays[f"shots{shots}/prediction"]
        return picked
    return predictions(_compared(arrays, shots))


def answered_right(arrays: "Arrays", metric: Metric, shots: int) -> Right:
    """Which questions were answered right, shape (Q,)."""
    if f"shots{shots}/greedy" in arrays:
        greedy: Right = arrays[f"shots{shots}/greedy"] == 1
        return greedy
    gold = arrays[f"shots{shots}/gold"]
    if metric == "accuracy_norm":
        normalised: Right = predicted_by_length(arrays, shots) == gold
        return normalised
    plain: Right = predicted(arrays, shots) == gold
    return plain


def _compared(arrays: "Arrays", shots: int) -> Scores:
    """Log-likelihoods with the lowest possible one for choices that are not there."""
    scores: Scores = arrays[f"shots{shots}/log_likelihood"]
    characters = arrays.get(f"shots{shots}/characters")  # MMLU has four choices everywhere
    return scores if characters is None else np.where(characters > 0, scores, -np.inf)


def predicted_by_length(arrays: "Arrays", shots: int) -> Letters:
    """Normalised predictions, shape (Q,)."""
    characters = arrays[f"shots{shots}/characters"]
    return predictions(_compared(arrays, shots) / np.maximum(characters, 1))


# -----------------------------------------------------------------------------
# What all evaluations say of how they were made.

NUMBERS = "shots*/log_likelihood"
"""Pattern of the arrays that two evaluations differ in."""


def path(record: Record) -> Iterator[str]:
    """What a path says otherwise than its job, and no warning tells why."""
    job, taken_path = record.job, record.path
    assert isinstance(job, ModelJob)  # noqa: S101  # by its kind
    half = job.dtype != "float32"
    attention = job.setting.attention_half if half else job.setting.attention_float32
    live = job.tuned is not None and job.tuned.mamba_path == "live"
    chosen = {"attention": attention, "mamba_scan": "live" if live else job.setting.mamba_path}
    said = " ".join(record.warnings)
    size = str(job.setting.batch_size or taken_path.get("batch_size"))
    if (took := taken_path.get("batch_size", size)) != size and f"{took} at a time" not in said:
        yield f"batches of {took}, its job asks for {size}, and no warning says why"
    for name, wanted in chosen.items():
        taken = taken_path.get(name, wanted)
        if taken not in {wanted, *AS_LOADED} and f"this run took {taken}" not in said:
            yield f"{name} {taken}, its job asks for {wanted}, and no warning says why"
    loaded = "float32" if job.arm == "autocast" else job.dtype
    asked = {"arm": job.arm, "weights_dtype": loaded, "order": job.setting.order}
    yield from said_otherwise(record, asked)


def differences(one: Record, other: Record) -> Iterator[Difference]:
    """What two evaluations may differ in; two tuned models may be as they were.

    Of an import, what is unknown differs from nothing, its weights among it.
    """
    left, right = one.job, other.job
    assert isinstance(left, ModelJob | ImportedJob)  # noqa: S101
    assert isinstance(right, ModelJob | ImportedJob)  # noqa: S101
    if UNKNOWN not in (left.dtype, right.dtype):
        yield "dtypes", left.dtype, right.dtype
    yield "tasks", _asked(left), _asked(right)
    of_import = isinstance(left, ImportedJob) or isinstance(right, ImportedJob)
    if not (of_import or left.tuned or right.tuned):
        yield "checkpoints", weights(one), weights(other)


def _asked(job: ModelJob | ImportedJob) -> object:
    return (job.task, getattr(job, "questions", None), getattr(job, "subjects", ()))


# -----------------------------------------------------------------------------
# Whether another engine's answers may stand for lm-eval's: both answered one fixed sample.
#
# lm-eval answered it under two batch sizes. The other engine passes if it parts from lm-eval's
# first answers on no more questions than the second does; all numbers of shots count together.
# Where it does not pass, what it measured is shown and decides nothing.
#
# Not covered: questions outside the sample.


def check_engine_answers(record: Record, job: EvaluateJob | BenchmarkJob, arrays: "Arrays") -> None:
    """That lm-eval's answers to the sample are in the record.

    Raises:
        InvalidError: if they are not, or are of another shape than the engine's.
    """
    if job.engine != "lm-eval":
        count_engine_differences(record, job, arrays)


def count_engine_differences(
    record: Record, job: EvaluateJob | BenchmarkJob, arrays: "Arrays"
) -> tuple[int, int, int]:
    """How often lm-eval and the engine part, how often lm-eval and itself, and of how many.

    Raises:
        InvalidError: see `check_engine_answers`.
    """
    rows = _sample(job, arrays)
    if not len(rows):
        message = f"record {record.key[:12]} names no sample that lm-eval answered"
        raise InvalidError(message)
    first, second = jobs.batch_sizes(job.setting.batch_size or 1)
    apart = own = 0
    several = job.shots if isinstance(job, BenchmarkJob) else job.checked_shots
    for shots in several:
        whole, stock, other = (
            _scores(record, arrays, job, who, shots) for who in ("", f"{first}/", f"{second}/")
        )
        if not stock.shape == other.shape == whole[rows].shape:
            message = f"record {record.key[:12]} lacks lm-eval's answers to the sample"
            raise InvalidError(message)
        engine, stock, other = (
            _answers(arrays, job, rows, shots, each) for each in (whole[rows], stock, other)
        )
        apart += int((engine != stock).sum())
        own += int((stock != other).sum())
    return apart, own, len(rows) * len(several)


def _sample(job: EvaluateJob | BenchmarkJob, arrays: "Arrays") -> NDArray[np.intp]:
    """Rows of the record's arrays that the sample is."""
    if isinstance(job, BenchmarkJob):
        return np.arange(min(job.checked, len(arrays[f"shots{job.shots[0]}/log_likelihood"])))
    chosen = [index for index, name in enumerate(job.subjects) if name in job.checked]
    return np.flatnonzero(np.isin(arrays["subject"], chosen))


def _scores(
    record: Record, arrays: "Arrays", job: EvaluateJob | BenchmarkJob, who: str, shots: int
) -> NDArray[Any]:
    """What answers follow from: log-likelihoods, or whether one text is greedy decoding's."""
    what = "greedy" if _is_of_words(arrays, job) else "log_likelihood"
    return array_of(record, arrays, f"{who}shots{shots}/{what}")


def _is_of_words(arrays: "Arrays", job: EvaluateJob | BenchmarkJob) -> bool:
    """Whether a task has one text a question, and no choices (`verify.records.benchmark`)."""
    return isinstance(job, BenchmarkJob) and f"shots{job.shots[0]}/greedy" in arrays


def _answers(
    arrays: "Arrays",
    job: EvaluateJob | BenchmarkJob,
    rows: NDArray[np.intp],
    shots: int,
    scores: NDArray[Any],
) -> NDArray[Any]:
    """Answers to the sample as lm-eval picks them, (questions,)."""
    if _is_of_words(arrays, job):
        return scores
    if isinstance(job, BenchmarkJob):
        there = arrays[f"shots{shots}/characters"][rows] > 0
        scores = np.where(there, scores, -np.inf)
    picked: NDArray[Any] = scores.argmax(axis=1)
    return picked
