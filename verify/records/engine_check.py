"""Whether another engine's answers may stand for lm-eval's: both answered one fixed sample.

lm-eval answered it under two batch sizes. The other engine passes if it parts from lm-eval's first
answers on no more questions than the second does; all numbers of shots count together. Where it
does not pass, what it measured is shown and decides nothing.

Not covered: questions outside the sample.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from repro.schema import engines
from repro.schema.jobs import BenchmarkJob, EvaluateJob
from repro.store.record import Record
from verify.errors import InvalidError
from verify.records.answers import array_of

if TYPE_CHECKING:
    from repro.store.store import Arrays


def check(record: Record, job: EvaluateJob | BenchmarkJob, arrays: "Arrays") -> None:
    """That lm-eval's answers to the sample are in the record.

    Raises:
        InvalidError: if they are not, or are of another shape than the engine's.
    """
    if job.engine != "lm-eval":
        counted(record, job, arrays)


def counted(
    record: Record, job: EvaluateJob | BenchmarkJob, arrays: "Arrays"
) -> tuple[int, int, int]:
    """How often lm-eval and the engine part, how often lm-eval and itself, and of how many.

    Raises:
        InvalidError: see `check`.
    """
    rows = _sample(job, arrays)
    if not len(rows):
        message = f"record {record.key[:12]} names no sample that lm-eval answered"
        raise InvalidError(message)
    first, second = engines.batch_sizes(job.setting.batch_size or 1)
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
    """What answers follow from: log-likelihoods, or of LAMBADA whether a word is greedy's."""
    what = "greedy" if job.task == "lambada_openai" else "log_likelihood"
    return array_of(record, arrays, f"{who}shots{shots}/{what}")


def _answers(
    arrays: "Arrays",
    job: EvaluateJob | BenchmarkJob,
    rows: NDArray[np.intp],
    shots: int,
    scores: NDArray[Any],
) -> NDArray[Any]:
    """Answers to the sample as lm-eval picks them, (questions,)."""
    if job.task == "lambada_openai":
        return scores
    if isinstance(job, BenchmarkJob):
        there = arrays[f"shots{shots}/characters"][rows] > 0
        scores = np.where(there, scores, -np.inf)
    picked: NDArray[Any] = scores.argmax(axis=1)
    return picked
