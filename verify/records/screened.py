"""Evaluations under a screen, held to the record that they were screened against.

What was asked anew, and what has to have been, is recomputed from the arrays of both records by
the definitions of `repro.schema.kinds.screen`, and not by the code that asked. Both passed their
own checks before, so that all log-likelihoods are numbers.

Not covered: whether what it says it was told was told; no record shows that.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from repro.schema.causes import Cause, cause
from repro.schema.jobs import BenchmarkJob, EvaluateJob, ModelJob
from repro.schema.kinds.screen import Screen
from repro.store.record import Record
from verify.errors import InvalidError
from verify.records import answers
from verify.records.checked_record import CheckedRecord
from verify.records.mmlu import check_summary

if TYPE_CHECKING:
    from repro.store.store import Arrays

Rows = NDArray[np.bool_]
"""Of questions, (Q,)."""


def asked(arrays: "Arrays", shots: int) -> Rows | None:
    """Which questions a setting answered itself; None where that is all of them."""
    found = arrays.get(f"shots{shots}/asked")
    if found is None or found.all():
        return None
    told: Rows = found == 1
    return told


def in_words(loaded: Iterable[CheckedRecord]) -> Cause | None:
    """How much of some evaluations was asked, and by what; None where that is all."""
    questions = anew = 0
    moved, several = 0.0, dict[str, Screen]()
    for each in loaded:
        job, record = each.record.job, each.record
        if each.first and isinstance(job, ModelJob) and job.screen and record.key not in several:
            several[record.key] = job.screen
            for shots in job.shots:
                questions += len(each.arrays[f"shots{shots}/log_likelihood"])
                # Where a likelihood has no gap, nothing holds them to the arrays.
                told = (record.values.get(f"shots{shots}/{n}", 0) for n in ("asked", "moved"))
                count, far = (one if isinstance(one, int | float) else 0 for one in told)
                anew += int(count)
                moved = max(moved, float(far))
    if not several:
        return None
    times = min(each.times for each in several.values())
    said = {"evaluations": len(several), "anew": anew, "questions": questions}
    return cause("screened", **said, times=times, moved=moved)


def check(
    record: Record, job: EvaluateJob | BenchmarkJob, arrays: "Arrays", first: "Arrays"
) -> None:
    """That what was not asked need not have been, and is as the first setting answered it.

    Args:
        record: Of a job with a screen.
        job: The same.
        arrays: Its own.
        first: Those of the record that it was screened against.

    Raises:
        InvalidError: at the first thing that does not follow.
    """
    screen = job.screen
    assert screen is not None  # noqa: S101  # the caller looked
    for shots in job.shots:
        if f"shots{shots}/greedy" in arrays:
            continue  # has no gap, and is asked whole
        anew = _told(record, arrays, first, shots)
        wrong = next(_not_as_the_first(arrays, first, shots, anew), "")
        if wrong := wrong or _not_by_the_screen(record, screen, arrays, first, shots, anew):
            raise InvalidError(_at(record, shots, wrong))


def _at(record: Record, shots: int, wrong: str) -> str:
    return f"record {record.key[:12]}: at {shots} shots {wrong}"


def _told(record: Record, arrays: "Arrays", first: "Arrays", shots: int) -> Rows:
    """What a record says it asked."""
    told, scores = arrays.get(f"shots{shots}/asked"), arrays[f"shots{shots}/log_likelihood"]
    if told is None or told.shape != scores.shape[:1] or not np.isin(told, (0, 1)).all():
        wrong = "it does not say 0 or 1 of each question, whether it was asked"
        raise InvalidError(_at(record, shots, wrong))
    before = first.get(f"shots{shots}/log_likelihood")
    if before is None or before.shape != scores.shape:
        wrong = "it has other questions than the record that it was screened against"
        raise InvalidError(_at(record, shots, wrong))
    anew: Rows = told == 1
    check_summary(record, shots, {"asked": int(anew.sum())})
    return anew


def _not_as_the_first(arrays: "Arrays", first: "Arrays", shots: int, anew: Rows) -> Iterator[str]:
    """Arrays that two settings share, and those of what was not asked."""
    for name in ("characters", "gold", "log_likelihood", "tokens"):
        here, there = (each.get(f"shots{shots}/{name}") for each in (arrays, first))
        rows = slice(None) if name in ("characters", "gold") else ~anew
        if here is not None and not (
            there is not None
            and np.array_equal(here[rows], there[rows], equal_nan=here.dtype.kind == "f")
        ):
            yield f"the {name} of what was not asked is not the first setting's"


def _not_by_the_screen(  # two records and what one says
    record: Record,
    screen: Screen,
    arrays: "Arrays",
    first: "Arrays",
    shots: int,
    anew: Rows,
) -> str:
    """Why other questions should have been asked; empty if none."""
    kept = _answered_alike(first, arrays, shots)
    moved = float(_changes(first, arrays, shots)[anew & kept].max(initial=0.0))
    check_summary(record, shots, {"moved": moved})
    if anew.all():
        return ""
    gap, near = gaps(first, shots), screen.times * moved
    sampled = np.zeros_like(anew)
    sampled[list(screen.sampled(len(anew), shots))] = True
    beyond = int((anew & ~kept & (gap > near / 2 * (1 + _ROUNDING))).sum())
    not_asked = int((~anew & (gap <= near * (1 - _ROUNDING))).sum())
    too_many = int((anew & ~sampled & (gap > near * (1 + _ROUNDING))).sum())
    if not anew[sampled].all():
        return "not all of the random sample was asked"
    if beyond:
        return (
            f"{beyond} of the questions that were asked changed their answers over a gap that "
            f"changes of {moved:.2g} do not explain, and not all were asked"
        )
    if not_asked:
        return f"{not_asked} questions closer than {screen.times} times {moved:.2g} were not asked"
    if too_many:
        return f"{too_many} were asked that are neither of the random sample nor near, and not all"
    return ""


_ROUNDING = 1e-9
"""Of a gap over lengths, which may be divided in another order."""


def _there(arrays: "Arrays", shots: int) -> Rows:
    """Which options there are, (Q, C)."""
    characters = arrays.get(f"shots{shots}/characters")
    found: Rows = np.ones(arrays[f"shots{shots}/log_likelihood"].shape, dtype=bool)
    return found if characters is None else characters > 0


def _answered_alike(one: "Arrays", other: "Arrays", shots: int) -> Rows:
    """Questions with the same prediction, and the same normalised one where there is any."""
    alike: Rows = answers.predicted(one, shots) == answers.predicted(other, shots)
    if f"shots{shots}/characters" in one:
        ways = (answers.predicted_by_length(each, shots) for each in (one, other))
        alike &= np.equal(*ways)
    return alike


def _changes(first: "Arrays", arrays: "Arrays", shots: int) -> NDArray[np.float64]:
    """Largest change of a log-likelihood of each question, nats."""
    name = f"shots{shots}/log_likelihood"
    apart = np.where(_there(first, shots), np.abs(arrays[name] - first[name]), 0.0)
    largest: NDArray[np.float64] = apart.max(axis=1)
    return largest


def gaps(first: "Arrays", shots: int) -> NDArray[np.float64]:
    """What lies between a question's best two options, nats, (Q,): the least over both metrics."""
    scores, there = first[f"shots{shots}/log_likelihood"], _there(first, shots)
    scores = np.where(there, scores, -np.inf)
    found = _gaps(scores, answers.predicted(first, shots), np.ones(scores.shape))
    if (characters := first.get(f"shots{shots}/characters")) is not None:
        lengths = np.maximum(characters, 1).astype(np.float64)
        best = answers.predicted_by_length(first, shots)
        found = np.minimum(found, _gaps(scores, best, lengths))
    return found


def _gaps(
    scores: NDArray[np.float64], best: NDArray[np.int64], lengths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """From each best option to the nearest other one, by scores over lengths."""
    found = np.full(len(scores), np.inf)
    rows = np.arange(len(scores))
    for option in range(scores.shape[1]):
        per = (1 / lengths[rows, best] + 1 / lengths[:, option]) / 2
        apart = scores[rows, best] / lengths[rows, best] - scores[:, option] / lengths[:, option]
        found = np.where(best == option, found, np.minimum(found, apart / per))
    return found
