"""Two records side by side: the same questions asked twice, answer by answer, or the same arrays.

The first record is the reference, the second the candidate. Per question and metric, a flip is an
answer whose correctness differs: lost, right in the reference alone; won, right in the candidate
alone. McNemar's exact test asks whether won and lost are tosses of a fair coin. Its interval is
Clopper and Pearson's for the share of won among the flips, put as a difference of accuracies: of
all intervals it is the one that leaves out 0 just where the test says p < 0.05. What it takes as
given is which questions flip; what it draws anew is which way each does.

Scores are what a metric compares: log-likelihoods, nats, or these over the characters of a choice.

Reference: McNemar, Psychometrika 12 (1947); Clopper and Pearson, Biometrika 26 (1934).
Not covered: flips of one question at several numbers of shots, which are not independent: each
number of shots has a test of its own.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from repro.schema.base import Frozen
from repro.schema.catalog import Metric
from repro.text import first_few, plural
from verify.decision_rule import holm
from verify.records import answers
from verify.records.answers import Right, Scores
from verify.records.checked_record import CheckedRecord

Side = TypeVar("Side")
"""What one of the two records has."""

_ROWS = ("test_sha256", "rows_sha256")
"""Digests of the questions themselves, where a record has one."""


class Flip(Frozen):
    """One question that one side answers right and the other wrong."""

    question: str
    """Subject or task, and row of its test split, from 0: no text."""
    gold: int | None
    """Right choice, from 0; null where the answer is a word."""
    answers: tuple[int | None, int | None]
    """Choice of the reference and of the candidate."""
    right: Literal["reference", "candidate"]
    scores: tuple[tuple[float | None, ...], tuple[float | None, ...]]
    """Of every choice, on either side; null where no finite number; empty where there are none."""
    moved: float | None
    """How far the two answers moved past each other, or the one word moved: what the flips are
    sorted by. Small: a near tie fell the other way. Large: another answer."""


class Movement(Frozen):
    """How far scores of two evaluations are apart, over all choices of all questions."""

    median: float
    percentile_99: float
    beyond_margin: float | None
    """Share of questions in which a choice moved by more than lies between the reference's best
    two; null where there is one choice."""
    not_finite: int
    """Scores that are left out."""


class AnswersCompared(Frozen):
    """All questions of a task at one number of shots, by one metric."""

    task: str
    shots: int
    metric: Metric
    questions: int
    accuracies: tuple[float, float]
    """Of reference and candidate, fractions."""
    lost: int
    won: int
    changed: int | None
    """Other answers, right or not; null where answers are words."""
    difference: float
    """Accuracy of the candidate minus that of the reference, percentage points."""
    interval: tuple[float, float] | None
    """Of the difference, 95 %; null where nothing flipped."""
    p: float
    """Exact, two-sided."""
    subjects: dict[str, tuple[int, int, int, int, int]]
    """Of MMLU: questions, right in the reference, right in the candidate, lost, won."""
    movement: Movement | None
    """Null where a side has no log-likelihoods."""
    flips: tuple[Flip, ...]
    """The most telling first."""


class ArraysCompared(Frozen):
    """Arrays of two records of another kind of job."""

    equal: int
    """Arrays that are the same, bit for bit."""
    apart: dict[str, float]
    """Arrays of one shape that are not: largest difference over largest value."""
    unlike: tuple[str, ...]
    """Arrays that one side lacks, or has in another shape."""


def mcnemar(lost: int, won: int, questions: int) -> tuple[float, tuple[float, float] | None]:
    """p, and the interval of the difference of accuracies in percentage points (see above).

    Example:
        >>> mcnemar(0, 6, 100)[0]
        0.03125
    """
    flips = lost + won
    if not flips:
        return 1.0, None
    # `scipy.stats` has both, and wants a folder for temporary files: an auditor may have none.
    from scipy.special import bdtr, betaincinv

    p = min(1.0, 2 * float(bdtr(min(won, lost), flips, 0.5)))
    share = (
        float(betaincinv(won, lost + 1, 0.025)) if won else 0.0,
        float(betaincinv(won + 1, lost, 0.975)) if lost else 1.0,
    )
    low, high = (100 * flips * (2 * end - 1) / questions for end in share)
    return p, (low, high)


def adjusted(rows: list[AnswersCompared]) -> list[float]:
    """The p of several rows, by Holm's method: of many tests a few are below 0.05 by chance."""
    return holm([row.p for row in rows])


def compare_answers(
    reference: CheckedRecord, candidate: CheckedRecord, most: int | None = None
) -> Iterator[AnswersCompared]:
    """Every number of shots that both sides have, by every metric of the task.

    Args:
        reference: Asked the questions.
        candidate: Asked the same ones; `why_unlike` is empty.
        most: Flips that are kept, the most telling; all by default.
    """
    for shots in common_shots(reference, candidate):
        for metric in _metrics(reference, candidate, shots):
            yield _compare(reference, candidate, shots, metric, most)


def common_shots(reference: CheckedRecord, candidate: CheckedRecord) -> list[int]:
    """Numbers of shots at which both sides were asked."""
    return [each for each in reference.shots() if each in candidate.shots()]


def why_unlike(reference: CheckedRecord, candidate: CheckedRecord) -> str:
    """Why answers cannot be compared, in a few words; empty if they can."""
    one, other = reference.record.job, candidate.record.job
    tasks = [getattr(job, "task", job.kind) for job in (one, other)]
    if tasks[0] != tasks[1]:
        return f"other questions: {tasks[0]} and {tasks[1]}"
    subjects = [getattr(job, "subjects", ()) for job in (one, other)]
    if subjects[0] != subjects[1]:
        alone = [sorted(set(subjects[at]) - set(subjects[1 - at])) for at in (0, 1)]
        said = [f"{first_few(names) or 'none'}" for names in alone]
        return f"other subjects: in the first alone {said[0]}, in the second alone {said[1]}"
    shots = common_shots(reference, candidate)
    if not shots:
        found = [", ".join(map(str, each.shots())) for each in (reference, candidate)]
        return f"no number of shots in common: {found[0]} and {found[1]}"
    return _unlike_rows(reference, candidate, shots)


def _unlike_rows(reference: CheckedRecord, candidate: CheckedRecord, shots: list[int]) -> str:
    counts = [len(each.right("accuracy", shots[0])) for each in (reference, candidate)]
    order = [
        [each.arrays.get(name) for name in ("subject", "question")]
        for each in (reference, candidate)
    ]
    if counts[0] != counts[1]:
        return f"other questions: {counts[0]:,} and {counts[1]:,} of them"
    if not all(np.array_equal(one, other) for one, other in zip(*order, strict=True)):
        return "the questions stand in another order"
    for name in _ROWS:
        digests = {each.record.values.get(name) for each in (reference, candidate)} - {None}
        if len(digests) > 1:
            return "other questions: the rows of the data set have two digests"
    for each in shots:
        if f"shots{each}/greedy" in reference.arrays:
            continue
        apart = np.flatnonzero(reference.gold(each) != candidate.gold(each))
        if len(apart):
            names = first_few([_name(reference, row) for row in apart])
            return f"other gold answers: of {plural(len(apart), 'question')} ({names})"
        shapes = {_choices(each_side, each) for each_side in (reference, candidate)} - {None}
        if len(shapes) > 1:
            return "other questions: they have other numbers of choices"
    return ""


def compare_arrays(reference: CheckedRecord, candidate: CheckedRecord) -> ArraysCompared:
    """Arrays of two records by name, whatever they hold."""
    one, other = reference.arrays, candidate.arrays
    both = sorted(one.keys() & other.keys())
    alike = [name for name in both if one[name].shape == other[name].shape]
    equal = [name for name in alike if np.array_equal(one[name], other[name], equal_nan=True)]
    apart = {name: _apart(one[name], other[name]) for name in alike if name not in equal}
    unlike = sorted((one.keys() | other.keys()) - set(alike))
    return ArraysCompared(equal=len(equal), apart=apart, unlike=tuple(unlike))


def _apart(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """Largest difference over the largest value; 1 where one alone is no finite number."""
    left, right = one.astype(np.float64), other.astype(np.float64)
    finite = np.isfinite(left) & np.isfinite(right)
    if (finite != (np.isfinite(left) | np.isfinite(right))).any() or not finite.any():
        return 1.0
    largest = np.maximum(np.abs(left[finite]), np.abs(right[finite])).max()
    return float(np.abs(left[finite] - right[finite]).max() / largest) if largest else 0.0


# -----------------------------------------------------------------------------
# One number of shots, one metric


def _metrics(reference: CheckedRecord, candidate: CheckedRecord, shots: int) -> tuple[Metric, ...]:
    """What lm-eval scores a task by, as far as it is right or wrong and both sides have it."""
    name = f"shots{shots}/accuracy_norm"
    both = all(name in each.record.values for each in (reference, candidate))
    return ("accuracy", "accuracy_norm") if both else ("accuracy",)


def _compare(
    reference: CheckedRecord,
    candidate: CheckedRecord,
    shots: int,
    metric: Metric,
    most: int | None,
) -> AnswersCompared:
    before, after = (each.right(metric, shots) for each in (reference, candidate))
    picked = [_picked(each, metric, shots) for each in (reference, candidate)]
    lost, won = answers.lost_and_won(before, after)
    p, interval = mcnemar(lost, won, len(before))
    scores = [_scores(each, metric, shots) for each in (reference, candidate)]
    one, other = picked
    changed = None if one is None or other is None else int(np.count_nonzero(one != other))
    return AnswersCompared(
        task=reference.record.job.task,  # type: ignore[union-attr]  # both were asked questions
        shots=shots,
        metric=metric,
        questions=len(before),
        accuracies=(float(before.mean()), float(after.mean())),
        lost=lost,
        won=won,
        changed=changed,
        difference=100 * (won - lost) / len(before),
        interval=interval,
        p=p,
        subjects=_by_subject(reference, before, after),
        movement=_movement(scores[0], scores[1]),
        flips=_flips(reference, shots, (before, after), picked, scores)[:most],
    )


def _by_subject(
    loaded: CheckedRecord, before: Right, after: Right
) -> dict[str, tuple[int, int, int, int, int]]:
    subjects = getattr(loaded.record.job, "subjects", ())
    found = {}
    for index, name in enumerate(subjects):
        one, other = (each[loaded.arrays["subject"] == index] for each in (before, after))
        lost, won = answers.lost_and_won(one, other)
        found[name] = len(one), int(one.sum()), int(other.sum()), lost, won
    return found


def _scores(loaded: CheckedRecord, metric: Metric, shots: int) -> Scores | None:
    """What the metric compares, (Q, C), NaN where there is no choice; None where not known."""
    found = loaded.arrays.get(f"shots{shots}/log_likelihood")
    if found is None or metric != "accuracy_norm":
        return found
    normalised: Scores = found / np.maximum(loaded.arrays[f"shots{shots}/characters"], 1)
    return normalised


def _picked(loaded: CheckedRecord, metric: Metric, shots: int) -> answers.Letters | None:
    """Choices of the metric; None where answers are words."""
    if f"shots{shots}/greedy" in loaded.arrays:
        return None
    if metric == "accuracy_norm":
        return answers.predicted_by_length(loaded.arrays, shots)
    return loaded.predicted(shots)


def _movement(one: Scores | None, other: Scores | None) -> Movement | None:
    if one is None or other is None:
        return None
    change = np.abs(other - one)
    finite = np.isfinite(change)
    if not finite.any():
        return None
    margins = _margins(one)
    most = np.where(finite, change, 0.0).max(axis=1)
    there = ~(np.isnan(one) & np.isnan(other))
    return Movement(
        median=float(np.median(change[finite])),
        percentile_99=float(np.quantile(change[finite], 0.99)),
        beyond_margin=None if margins is None else float((most > margins).mean()),
        not_finite=int((there & ~finite).sum()),
    )


def _margins(scores: Scores) -> Scores | None:
    """Best less second best of each question, (Q,); None where there is one choice."""
    if scores.shape[1] < 2:  # noqa: PLR2004
        return None
    best = np.sort(np.nan_to_num(scores, nan=-np.inf, posinf=np.inf, neginf=-np.inf), axis=1)
    with np.errstate(invalid="ignore"):
        found: Scores = np.nan_to_num(best[:, -1] - best[:, -2], nan=0.0)
    return found


def _flips(
    loaded: CheckedRecord,
    shots: int,
    right: tuple[Right, Right],
    picked: list[answers.Letters | None],
    scores: list[Scores | None],
) -> tuple[Flip, ...]:
    rows = np.flatnonzero(right[0] != right[1])
    moved = _moved(rows, picked, scores)
    order = np.argsort(-np.nan_to_num(moved, nan=-1.0), kind="stable")
    gold = None if picked[0] is None else loaded.gold(shots)
    return tuple(
        Flip(
            question=_name(loaded, int(rows[at])),
            gold=None if gold is None else int(gold[rows[at]]),
            answers=_both(None if each is None else int(each[rows[at]]) for each in picked),
            right="reference" if right[0][rows[at]] else "candidate",
            scores=_both(() if each is None else _plain(each[rows[at]]) for each in scores),
            moved=float(moved[at]) if np.isfinite(moved[at]) else None,
        )
        for at in order
    )


def _moved(
    rows: NDArray[np.intp], picked: list[answers.Letters | None], scores: list[Scores | None]
) -> Scores:
    """See `Flip.moved`; NaN where it is not known."""
    (one, other), (first, second) = scores, picked
    if one is None or other is None:
        return np.full(len(rows), np.nan)
    with np.errstate(invalid="ignore"):
        change = other[rows] - one[rows]
        if first is None or second is None:
            word: Scores = np.abs(change[:, 0])
            return word
        at = np.arange(len(rows))
        found: Scores = change[at, second[rows]] - change[at, first[rows]]
    return found


def _both(values: Iterable[Side]) -> tuple[Side, Side]:
    one, other = values
    return one, other


def _plain(row: Scores) -> tuple[float | None, ...]:
    return tuple(float(each) if np.isfinite(each) else None for each in row)


def _name(loaded: CheckedRecord, row: int) -> str:
    """A question without its text: subject or task, and row of the test split."""
    subjects = getattr(loaded.record.job, "subjects", ())
    if not subjects:
        return f"{loaded.record.job.task}/{row}"  # type: ignore[union-attr]  # of a benchmark
    place = int(loaded.arrays["subject"][row])
    return f"{subjects[place]}/{int(loaded.arrays['question'][row])}"


def _choices(loaded: CheckedRecord, shots: int) -> tuple[int, ...] | None:
    found = loaded.arrays.get(f"shots{shots}/log_likelihood")
    return None if found is None else tuple(found.shape)
