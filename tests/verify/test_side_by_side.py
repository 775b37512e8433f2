"""Two records side by side.

Oracles: counting by hand, question by question; McNemar's p as a sum of binomial coefficients in
exact fractions; its interval against the test itself.
"""

from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import made_up_records as made_up
import numpy as np
import pytest
from benchmark_jobs import job as benchmark_job
from hypothesis import given
from hypothesis import strategies as st

from repro.schema.groups import Slot
from repro.schema.jobs import EvaluateJob, Job
from repro.schema.slots import slots
from repro.store.store import Store
from verify import side_by_side
from verify.records.checked_record import CheckedRecord


@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_the_exact_binomial_and_its_interval_says_the_same(lost: int, won: int) -> None:
    questions = 100
    p, interval = side_by_side.mcnemar(lost, won, questions)
    flips = lost + won
    tail = Fraction(sum(comb(flips, k) for k in range(min(lost, won) + 1)), 2**flips)
    assert p == pytest.approx(float(min(Fraction(1), 2 * tail)), rel=1e-12)
    assert (interval is None) == (flips == 0)
    if interval:
        low, high = interval
        assert low <= 100 * (won - lost) / questions <= high
        assert -100 * flips / questions - 1e-9 <= low
        assert high <= 100 * flips / questions + 1e-9
        assert (low > 0 or high < 0) == (p < 0.05)


def loaded(tmp_path: Path, job: Job, arrays: dict[str, Any], **more: Any) -> CheckedRecord:
    store = Store(tmp_path)
    key = made_up.save_record(store, job, arrays, made_up.this_machine(), **more)
    record, read = store.load(key)
    return CheckedRecord(Slot("it", job, "", "twin", None, "one"), record, read)


def evaluations(tmp_path: Path) -> tuple[CheckedRecord, CheckedRecord]:
    """One model in two dtypes under one setting."""
    found = [
        slot.job
        for slot in slots(made_up.manifest(), "smoke", made_up.checkpoints(), "lm-eval")
        if isinstance(slot.job, EvaluateJob) and slot.job.setting.batch_size == 8
    ]
    single, half = (
        next(each for each in found if each.dtype == dtype) for dtype in ("float32", "float16")
    )
    return (
        loaded(tmp_path, single, made_up.answers(single)),
        loaded(tmp_path, half, made_up.answers(half)),
    )


def test_every_number_is_what_counting_gives(tmp_path: Path) -> None:
    one, other = evaluations(tmp_path)
    assert side_by_side.why_unlike(one, other) == ""
    rows = list(side_by_side.compare_answers(one, other))
    assert [row.shots for row in rows] == list(made_up.SHOTS)
    for row in rows:
        at = f"shots{row.shots}"
        before, after = (each.arrays[f"{at}/log_likelihood"].tolist() for each in (one, other))
        gold = one.arrays[f"{at}/gold"].tolist()
        lost, won, changed, beyond, moved = [], [], 0, 0, []
        for place, (a, b, right) in enumerate(zip(before, after, gold, strict=True)):
            first, second = a.index(max(a)), b.index(max(b))
            changed += first != second
            apart = [abs(x - y) for x, y in zip(a, b, strict=True)]
            moved += apart
            best = sorted(a)
            beyond += max(apart) > best[-1] - best[-2]
            if (first == right) != (second == right):
                (lost if first == right else won).append(place)
        names = [("arithmetic", k) for k in range(40)] + [("geometry", k) for k in range(25)]
        assert (row.lost, row.won, row.changed) == (len(lost), len(won), changed)
        assert lost
        assert won
        assert row.questions == 65
        assert row.difference == pytest.approx(100 * (len(won) - len(lost)) / 65)
        assert {flip.question for flip in row.flips} == {
            "/".join(map(str, names[place])) for place in (*lost, *won)
        }
        assert {flip.question for flip in row.flips if flip.right == "reference"} == {
            "/".join(map(str, names[place])) for place in lost
        }
        assert row.movement is not None
        assert row.movement.median == pytest.approx(np.median(moved))
        assert row.movement.percentile_99 == pytest.approx(np.quantile(moved, 0.99))
        assert row.movement.beyond_margin == pytest.approx(beyond / 65)
        assert row.movement.not_finite == 0
        by_subject = row.subjects["arithmetic"]
        assert by_subject[0] == 40
        assert by_subject[3] == sum(place < 40 for place in lost)
        distances = [flip.moved or 0.0 for flip in row.flips]
        assert distances == sorted(distances, reverse=True)
        flip = row.flips[0]
        first, second = flip.scores
        assert (flip.answers[0], flip.answers[1]) == (np.argmax(first), np.argmax(second))
        a, b = (each for each in flip.answers if each is not None)
        assert flip.moved == pytest.approx(
            (first[a] - first[b]) + (second[b] - second[a])  # type: ignore[operator]
        )
    kept = list(side_by_side.compare_answers(one, other, most=2))
    assert [row.flips for row in kept] == [row.flips[:2] for row in rows]


def test_what_was_asked_otherwise_is_named(tmp_path: Path) -> None:
    one, _ = evaluations(tmp_path)
    job = one.record.job
    assert isinstance(job, EvaluateJob)

    def changed(**changes: Any) -> CheckedRecord:
        asked = job.model_copy(update=changes)
        return loaded(tmp_path, asked, made_up.answers(asked))

    said = side_by_side.why_unlike(one, changed(subjects=("arithmetic",)))
    assert said == "other subjects: in the first alone geometry, in the second alone none"
    said = side_by_side.why_unlike(one, changed(shots=(3,)))
    assert said == "no number of shots in common: 0, 5 and 3"
    assert side_by_side.common_shots(one, changed(shots=(5, 1))) == [5]
    arrays = made_up.answers(job)
    arrays["shots5/gold"] = arrays["shots5/gold"].copy()
    arrays["shots5/gold"][[2, 41]] += 1
    said = side_by_side.why_unlike(one, loaded(tmp_path, job, arrays))
    assert said == "other gold answers: of 2 questions (arithmetic/2, geometry/1)"
    rows = {**made_up.values_of(made_up.answers(job)), "test_sha256": "a" * 64}
    others = [
        loaded(tmp_path, job, made_up.answers(job), values={**rows, "test_sha256": sha * 64})
        for sha in "ab"
    ]
    said = side_by_side.why_unlike(*others)
    assert said == "other questions: the rows of the data set have two digests"


def words(tmp_path: Path, greedy: list[int], scores: list[float]) -> CheckedRecord:
    arrays = {
        "shots0/log_likelihood": np.array(scores)[:, None],
        "shots0/greedy": np.array(greedy, dtype=np.uint8),
    }
    job = benchmark_job("lambada_openai", shots=(0,))
    return loaded(tmp_path, job, arrays, values={"shots0/accuracy": float(np.mean(greedy))})


def test_words_have_no_choices_and_no_margin(tmp_path: Path) -> None:
    one = words(tmp_path, [1, 0, 1, 0], [-1.0, -9.0, -2.0, -8.0])
    other = words(tmp_path, [1, 1, 0, 0], [-1.0, -1.0, -4.0, float("nan")])
    assert side_by_side.why_unlike(one, other) == ""
    (row,) = side_by_side.compare_answers(one, other)
    assert (row.lost, row.won, row.changed) == (1, 1, None)
    assert [flip.question for flip in row.flips] == ["lambada_openai/1", "lambada_openai/2"]
    assert [flip.moved for flip in row.flips] == [8.0, 2.0]
    assert row.flips[0].gold is None
    assert row.movement is not None
    assert row.movement.beyond_margin is None
    assert row.movement.not_finite == 1


def choices(tmp_path: Path, scores: list[list[float]], normalised: list[int]) -> CheckedRecord:
    """Three questions of two or three choices of 2, 8 and 4 characters; the first is right."""
    log_likelihood = np.array(scores)
    arrays = {
        "shots0/log_likelihood": log_likelihood,
        "shots0/characters": np.where(np.isnan(log_likelihood), 0, [2, 8, 4]),
        "shots0/prediction": np.nanargmax(log_likelihood, axis=1),
        "shots0/prediction_normalised": np.array(normalised),
        "shots0/gold": np.zeros(3, dtype=np.int64),
    }
    values = {"shots0/accuracy": 0.0, "shots0/accuracy_norm": 0.0}
    job = benchmark_job("arc_easy", shots=(0,))
    return loaded(tmp_path, job, arrays, values=values)


def test_by_length_another_answer_flips(tmp_path: Path) -> None:
    nan = float("nan")
    one = choices(tmp_path, [[-2, -3, -4], [-5, -6, nan], [-1, -2, -9]], [1, 1, 1])
    other = choices(tmp_path, [[-2, -3, -4], [-5, -30, nan], [-3, -2, -9]], [1, 0, 1])
    plain, by_length = side_by_side.compare_answers(one, other)
    assert (plain.metric, by_length.metric) == ("accuracy", "accuracy_norm")
    assert [(f.question, f.answers, f.right) for f in plain.flips] == [
        ("arc_easy/2", (0, 1), "reference")
    ]
    assert [(f.question, f.answers, f.right) for f in by_length.flips] == [
        ("arc_easy/1", (1, 0), "candidate")
    ]
    assert by_length.flips[0].scores == ((-2.5, -0.75, None), (-2.5, -3.75, None))
    assert by_length.flips[0].moved == pytest.approx(3.0)


def test_arrays_of_any_record_bit_for_bit(tmp_path: Path) -> None:
    job = benchmark_job("arc_easy")
    one = loaded(
        tmp_path, job, {"a": np.array([1.0, np.nan]), "b": np.array([2, 4]), "c": np.ones(2)}
    )
    other = loaded(
        tmp_path, job, {"a": np.array([1.0, np.nan]), "b": np.array([2, 5]), "c": np.ones(3)}
    )
    found = side_by_side.compare_arrays(one, other)
    assert (found.equal, found.apart, found.unlike) == (1, {"b": 0.2}, ("c",))
