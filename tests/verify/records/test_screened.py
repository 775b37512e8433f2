"""What the verifier believes of settings that were asked in part.

Oracle: a screen written anew here, question by question, which leaves an honest record; and what a
forger would rather have.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np
import pytest

from repro.schema.causes import say
from repro.schema.evaluation import looks
from repro.schema.finding import Finding
from repro.schema.jobs import EvaluateJob
from repro.schema.kinds import screen as screens
from repro.schema.kinds.screen import Screen
from repro.schema.slots import slots
from repro.store import run_file
from repro.store.run_file import RunFile
from repro.store.store import Store
from verify.errors import NotRunError
from verify.evidence import Evidence
from verify.judge import judge
from verify.records import screened

CELL = "T9.mamba-1.float16"
SECOND = "mamba-1.float32.batch-8"
"""The slot that is tampered with."""
SAMPLE = 10
SHOTS = records.SHOTS


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 65 questions; a thousand would be all of them."""
    monkeypatch.setattr(screens, "SAMPLE", SAMPLE)


Tamper = Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], None]
"""Takes the arrays of the first setting, those of the screened one, and its inputs."""


def honest(job: EvaluateJob, first: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of a setting that moves every log-likelihood by less than 1e-5."""
    assert job.screen
    noise = np.random.default_rng(job.setting.batch_size or 1)
    arrays = {name: each.copy() for name, each in first.items()}
    said: dict[str, Any] = {}
    for shots in job.shots:
        before, after = (
            first[f"shots{shots}/log_likelihood"],
            arrays[f"shots{shots}/log_likelihood"],
        )
        own = records.in_dtype(before + noise.uniform(-1e-5, 1e-5, before.shape), "float32")
        order = np.sort(before, axis=1)
        asked, moved = set(job.screen.sampled(len(before), shots)), 0.0
        while True:
            moved = max(
                float(abs(own[row] - before[row]).max())
                for row in asked
                if own[row].argmax() == before[row].argmax()
            )
            gaps = order[:, -1] - order[:, -2]
            more = {row for row, gap in enumerate(gaps) if gap <= job.screen.times * moved}
            if more <= asked:
                break
            asked |= more
        rows = sorted(asked)
        after[rows] = own[rows]
        told = np.zeros(len(before), np.uint8)
        told[rows] = 1
        arrays[f"shots{shots}/asked"] = told
        arrays[f"shots{shots}/prediction"] = after.argmax(axis=1)
        said |= {f"shots{shots}/asked": len(rows), f"shots{shots}/moved": moved}
    return arrays, said


def sampled(shots: int) -> set[int]:
    """Of the record that is tampered with."""
    every = slots(records.manifest(), "full", records.checkpoints())
    (job,) = (each.job for each in every if each.id == SECOND)
    assert isinstance(job, EvaluateJob)
    assert job.screen
    return set(job.screen.sampled(65, shots))


def near_ties(first: dict[str, Any]) -> None:
    """Two questions that are in doubt, at each number of shots, not of the sample if need be."""
    for shots in SHOTS:
        scores = first[f"shots{shots}/log_likelihood"]
        for row in (3, 40):
            best = scores[row].argmax()
            scores[row, (best + 1) % 4] = scores[row, best] - 1e-6
        scores[:] = records.in_dtype(scores, "float32")
        first[f"shots{shots}/prediction"] = scores.argmax(axis=1)


def run(
    root: Path,
    tamper: Tamper | None = None,
    answers: Callable[[EvaluateJob], dict[str, Any]] = records.answers,
) -> tuple[Evidence, RunFile]:
    """A whole run at tier full whose float32 is screened; one record of it is tampered with."""
    store, machine, claimed = Store(root), records.this_machine(), records.manifest()
    jobs, firsts = dict[str, str](), dict[str, tuple[dict[str, Any], str]]()
    for slot in slots(claimed, "full", records.checkpoints()):
        job = slot.job
        assert isinstance(job, EvaluateJob)
        arrays = answers(job)
        if job.screen is None:
            if job.dtype == "float32":
                near_ties(arrays)
            jobs[slot.id] = records.save_record(store, job, arrays, machine)
            if job.dtype == "float32":
                digest = store.load(jobs[slot.id])[0].arrays.sha256
                firsts[job.checkpoint] = arrays, digest
            continue
        first, digest = firsts[job.checkpoint]
        arrays, said = honest(job, first)
        inputs = {"twin/model.safetensors": "1" * 64, "first/arrays.safetensors": digest}
        if tamper and slot.id == SECOND:
            tamper(first, arrays, inputs)
            for shots in job.shots:
                asked, name = arrays[f"shots{shots}/asked"] == 1, f"shots{shots}/log_likelihood"
                arrays[name] = records.in_dtype(arrays[name], "float32")
                kept = arrays[name].argmax(axis=1) == first[name].argmax(axis=1)
                change = abs(arrays[name] - first[name]).max(axis=1)[asked & kept]
                said[f"shots{shots}/asked"] = int(asked.sum())
                said[f"shots{shots}/moved"] = float(change.max(initial=0.0))
                arrays[f"shots{shots}/prediction"] = arrays[name].argmax(axis=1)
        values = records.values_of(arrays) | said
        jobs[slot.id] = records.save_record(
            store, job, arrays, machine, inputs=inputs, values=values, screened=True
        )
    written = RunFile(
        schema_version=2,
        manifest=claimed.id,
        file="table9.json",
        tier="full",
        started="2026-01-01T00:00:00+00:00",
        substitutions={},
        jobs=jobs,
        missing={},
        committed=records.commitments_of(claimed),
    )
    run_file.save(root, written)
    datasets = {"mmlu": records.dataset()}
    return Evidence(claimed, written, store, records.checkpoints(), datasets), written


def finding(evidence: Evidence) -> Finding:
    verdict = judge(evidence.manifest, evidence, {})
    return next(each for each in verdict.findings if each.claim == CELL)


def test_an_honest_screen_is_believed_and_said(tmp_path: Path) -> None:
    evidence, written = run(tmp_path)
    found = finding(evidence)
    assert found.outcome == "inconclusive"
    (said,) = (each for each in found.working if each.code == "screened")
    asked = [
        int(evidence.get(f"mamba-1.float32.batch-{size}").record.values[f"shots{shots}/asked"])
        for size in records.BATCHES[1:]
        for shots in SHOTS
    ]
    assert said.values["anew"] == sum(asked)
    assert said.values["questions"] == 6 * 65 * len(SHOTS)
    assert min(asked) >= SAMPLE
    assert "screened: 6 float32 evaluations asked" in say(said)
    assert set(written.jobs) == set(evidence.slots)


def test_what_a_greedy_task_says_of_its_screen_need_not_be_a_number(tmp_path: Path) -> None:
    """Nothing holds it to arrays, which have no gap."""
    evidence, _ = run(tmp_path)
    loaded = evidence.get(f"mamba-1.float32.batch-{records.BATCHES[1]}")
    odd = {f"shots{shots}/{name}": "odd" for shots in SHOTS for name in ("asked", "moved")}
    values = {**loaded.record.values, **odd}
    record = loaded.record.model_copy(update={"values": values})
    said = screened.in_words([replace(loaded, record=record)])
    assert said
    assert (said.values["anew"], said.values["moved"]) == (0, 0)


def test_a_screened_setting_is_no_draw_beside_the_first(tmp_path: Path) -> None:
    """Alone it repeats the first, whatever near ties fell otherwise; with half precision not."""
    evidence, _ = run(tmp_path)
    first, second = (evidence.get(f"mamba-1.float32.batch-{n}") for n in (4, 8))
    assert second.record.arrays.sha256 != first.record.arrays.sha256
    for of_answers in (False, True):
        assert second.digest(of_answers=of_answers) == first.digest(of_answers=of_answers)
    assert "(7 settings:" in finding(evidence).measured


def test_a_look_counts_a_screened_setting_once_with_the_first(tmp_path: Path) -> None:
    """As many draws as half precision has: two of three settings, of which one repeats another."""

    def repeated(job: EvaluateJob) -> dict[str, Any]:
        again = job.dtype != "float32" and job.setting.batch_size == 8
        first = job.setting.model_copy(update={"batch_size": 4})
        return records.answers(job.model_copy(update={"setting": first}) if again else job)

    for answers, draws in ((records.answers, 3), (repeated, 2)):
        evidence, written = run(tmp_path / str(draws), answers=answers)
        planned = looks.planned(evidence.manifest, "full")
        assert {"batch-4", "batch-8"} <= set(planned[0])
        evidence.run = written.model_copy(update={"looks": planned})
        first, second, third = (
            evidence.get(f"mamba-1.float32.{name}").record.arrays.sha256 for name in planned[0]
        )
        assert len({first, second, third}) == 3
        found = finding(evidence)
        assert any(
            each.code == "given-up-at-look" and each.values["look"] == 1 for each in found.causes
        )
        assert f"({draws} settings" in found.measured
        assert ("2 of the 3 settings needed (1 more repeat" in found.reason) == (draws == 2), (
            found.reason
        )


def test_a_whole_evaluation_in_its_place_is_a_draw(tmp_path: Path) -> None:
    store, written = records.run(tmp_path, records.manifest(), tier="full")
    datasets = {"mmlu": records.dataset()}
    evidence = Evidence(records.manifest(), written, store, records.checkpoints(), datasets)
    found = evidence.get(SECOND)
    assert found.first is None
    assert found.digest(of_answers=False) == found.record.arrays.sha256


def drop_a_near_one(first: dict[str, Any], arrays: dict[str, Any], _: dict[str, Any]) -> None:
    _forget(first, arrays, 0, 3)


def drop_one_of_the_sample(
    first: dict[str, Any], arrays: dict[str, Any], _: dict[str, Any]
) -> None:
    rows = np.flatnonzero(arrays["shots5/asked"])
    _forget(first, arrays, 5, next(row for row in rows if row not in (3, 40)))


def _forget(first: dict[str, Any], arrays: dict[str, Any], shots: int, row: int) -> None:
    arrays[f"shots{shots}/asked"][row] = 0
    name = f"shots{shots}/log_likelihood"
    arrays[name][row] = first[name][row]


def another_sample(first: dict[str, Any], arrays: dict[str, Any], _: dict[str, Any]) -> None:
    """As many, but others: what was asked is not what chance chose."""
    asked = arrays["shots0/asked"]
    inside = [row for row in np.flatnonzero(asked) if row not in (3, 40)]
    outside = np.flatnonzero(asked == 0)[: len(inside)]
    for row in inside:
        _forget(first, arrays, 0, row)
    asked[outside] = 1


def one_more(_: dict[str, Any], arrays: dict[str, Any], __: dict[str, Any]) -> None:
    asked = arrays["shots0/asked"]
    asked[np.flatnonzero(asked == 0)[0]] = 1


def a_far_flip(_: dict[str, Any], arrays: dict[str, Any], __: dict[str, Any]) -> None:
    """One of the sample answers otherwise over a gap, and the rest was not asked."""
    rows = [row for row in np.flatnonzero(arrays["shots0/asked"]) if row not in (3, 40)]
    scores = arrays["shots0/log_likelihood"][rows[0]]
    scores[scores.argmin()] = scores.max() + 1


def answer_what_was_not_asked(
    _: dict[str, Any], arrays: dict[str, Any], __: dict[str, Any]
) -> None:
    row = np.flatnonzero(arrays["shots5/asked"] == 0)[0]
    arrays["shots5/log_likelihood"][row] += 1e-3


def say_nothing(_: dict[str, Any], arrays: dict[str, Any], __: dict[str, Any]) -> None:
    arrays["shots0/asked"][:] = 2


def move_further(first: dict[str, Any], arrays: dict[str, Any], _: dict[str, Any]) -> None:
    """A change in the sample that makes more near than were asked."""
    rows = [row for row in np.flatnonzero(arrays["shots0/asked"]) if row not in (3, 40)]
    arrays["shots0/log_likelihood"][rows[0]] -= 1.0
    del first


def another_first(_: dict[str, Any], __: dict[str, Any], inputs: dict[str, Any]) -> None:
    inputs["first/arrays.safetensors"] = "2" * 64


@pytest.mark.parametrize(
    ("tamper", "why"),
    [
        (drop_a_near_one, "1 questions closer than 8 times"),
        (drop_one_of_the_sample, "not all of the random sample was asked"),
        (another_sample, "not all of the random sample was asked"),
        (one_more, "neither of the random sample nor near"),
        (a_far_flip, "changed their answers over a gap"),
        (answer_what_was_not_asked, "the log_likelihood of what was not asked is not the first"),
        (say_nothing, "does not say 0 or 1 of each question"),
        (move_further, "questions closer than 8 times 1 were not asked"),
        (another_first, "was not screened against mamba-1.float32.batch-4"),
    ],
)
def test_what_does_not_follow_is_refused(tamper: Tamper, why: str, tmp_path: Path) -> None:
    evidence, _ = run(tmp_path, tamper)
    found = finding(evidence)
    assert found.outcome == "invalid"
    assert why in found.reason


def test_a_setting_that_moves_nothing_is_no_copy(tmp_path: Path) -> None:
    """One thread adds in one order: another batch size need not move a bit."""

    def same(first: dict[str, Any], arrays: dict[str, Any], _: dict[str, Any]) -> None:
        for shots in SHOTS:
            arrays[f"shots{shots}/log_likelihood"] = first[f"shots{shots}/log_likelihood"].copy()
            told = arrays[f"shots{shots}/asked"]
            told[sorted({3, 40} - sampled(shots))] = 0

    evidence, _ = run(tmp_path, same)
    assert finding(evidence).outcome == "inconclusive"


def test_a_flip_over_a_gap_is_believed_where_all_were_asked(tmp_path: Path) -> None:
    def whole(first: dict[str, Any], arrays: dict[str, Any], inputs: dict[str, Any]) -> None:
        a_far_flip(first, arrays, inputs)
        arrays["shots0/asked"][:] = 1

    evidence, _ = run(tmp_path, whole)
    assert finding(evidence).outcome == "inconclusive"


def test_a_first_setting_without_a_record_leaves_nothing_run(tmp_path: Path) -> None:
    evidence, written = run(tmp_path)
    jobs = {name: key for name, key in written.jobs.items() if name != "mamba-1.float32.batch-4"}
    evidence = Evidence(
        evidence.manifest,
        written.model_copy(update={"jobs": jobs}),
        evidence.store,
        evidence.checkpoints,
        evidence.datasets,
    )
    found = finding(evidence)
    assert found.outcome == "not-run"
    with pytest.raises(
        NotRunError, match=r"against mamba-1\.float32\.batch-4, whose record is not"
    ):
        evidence.get(SECOND)


def test_a_far_flip_is_in_the_sample_as_often_as_is_said() -> None:
    """Of 14,042 questions 42 answer otherwise, 0.3 %: a sample has one 95 times in 100."""
    job_screen = Screen.model_construct(sample=1000)
    flipped = set(np.random.default_rng(1).choice(14_042, 42, replace=False).tolist())
    tries = 100
    caught = 0
    for seed in range(tries):
        drawn = job_screen.model_copy(update={"seed": seed}).sampled(14_042, 5)
        assert len(drawn) == len(set(drawn)) == 1000
        caught += bool(flipped & set(drawn))
    expected = 1 - np.prod([(13_042 - n) / (14_042 - n) for n in range(42)])
    assert expected == pytest.approx(0.955, abs=0.003)
    assert abs(caught / tries - expected) < 4 * np.sqrt(expected * (1 - expected) / tries)


def test_samples_are_of_their_own_and_small_ones_are_everything() -> None:
    one = Screen.model_construct(sample=100, seed=1)
    other = one.model_copy(update={"seed": 2})
    assert one.sampled(1000, 0) == one.sampled(1000, 0)
    assert len({one.sampled(1000, 0), one.sampled(1000, 5), other.sampled(1000, 0)}) == 3
    assert one.sampled(199, 0) == tuple(range(199))
    hits = np.zeros(300)
    for seed in range(400):
        hits[list(one.model_copy(update={"seed": seed}).sampled(300, 0))] += 1
    # Every place is as likely as another.
    assert abs(hits - 400 / 3).max() < 5 * np.sqrt(400 * 2 / 9)
