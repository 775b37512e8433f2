"""What evidence that cannot be trusted is said to be. Oracle: the sentences, written by hand."""

import math
import re
from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np
import pytest

from verify.evidence import Evidence, InvalidError, NotRunError
from verify.records import mmlu

SLOT = "mamba-1.float16.batch-4"
RECORD = "record [0-9a-f]{12}"


def evidence_of(root: Path, change: records.Change | None = None, **run: Any) -> Evidence:
    """A smoke run with `change` to each record, and `run` to its run file."""
    claimed = records.manifest()
    store, written = records.run(root, claimed, change=change)
    written = written.model_copy(update=run)
    datasets = {"mmlu": records.dataset()}
    return Evidence(claimed, written, store, records.checkpoints(), datasets)


def refusal(evidence: Evidence, slot: str = SLOT) -> str:
    with pytest.raises((InvalidError, NotRunError)) as first:
        evidence.get(slot)
    with pytest.raises(type(first.value)) as again:  # asked a second time, it says the same
        evidence.get(slot)
    assert again.value is first.value
    return str(first.value)


def without_gold(arrays: dict[str, Any], _: dict[str, Any]) -> None:
    del arrays["shots5/gold"]


def three_letters(arrays: dict[str, Any], _: dict[str, Any]) -> None:
    arrays["shots5/log_likelihood"] = arrays["shots5/log_likelihood"][:, :3]


def no_questions(arrays: dict[str, Any], _: dict[str, Any]) -> None:
    for name in arrays:
        arrays[name] = arrays[name][:0]


def two_overflows(arrays: dict[str, Any], _: dict[str, Any]) -> None:
    arrays["shots5/log_likelihood"][3] = np.nan
    arrays["shots5/log_likelihood"][9, 2] = -np.inf


def another_prediction(arrays: dict[str, Any], _: dict[str, Any]) -> None:
    arrays["shots5/prediction"][0] = (arrays["shots5/prediction"][0] + 1) % 4


def another_order(arrays: dict[str, Any], _: dict[str, Any]) -> None:
    arrays["question"][[0, 1]] = [1, 0]


def other_gold(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
    arrays["shots5/gold"][64] = (arrays["shots5/gold"][64] + 1) % 4
    fields["values"] = records.values_of(arrays)


def other_inputs(_: dict[str, Any], fields: dict[str, Any]) -> None:
    fields["inputs"] = {"twin/model.safetensors": "3" * 64}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (without_gold, " has no array 'shots5/gold'"),
        (three_letters, r": log-likelihoods of shape \(65, 3\), expected \(Q, 4\)"),
        (no_questions, r": log-likelihoods of shape \(0, 4\), expected \(Q, 4\)"),
        (
            two_overflows,
            ": 2 of 65 questions at 5 shots have a log-likelihood that is not a finite number",
        ),
        (another_prediction, ": predictions at 5 shots do not follow from its arrays"),
        (another_order, ": 40 questions of arithmetic, expected all 40 in order"),
        (other_gold, ": the gold answers of geometry are not the data set's"),
        (other_inputs, ": its key does not follow from its content"),
    ],
)
def test_a_record_that_does_not_hold_together(
    tmp_path: Path, change: records.Change, why: str
) -> None:
    assert re.fullmatch(RECORD + why, refusal(evidence_of(tmp_path, change)))


@pytest.mark.parametrize("said", [None, "many", 0.5])
def test_a_record_that_says_other_numbers(tmp_path: Path, said: Any) -> None:
    """A record may leave nothing out either."""

    def change(_: dict[str, Any], fields: dict[str, Any]) -> None:
        values = {**fields["values"], "shots0/ties": said}
        fields["values"] = {name: value for name, value in values.items() if value is not None}

    reason = refusal(evidence_of(tmp_path, change))
    assert re.fullmatch(f"{RECORD}: it says ties {said} at 0 shots, its arrays say 0", reason)


@pytest.mark.parametrize(
    ("found", "said", "outcome"),
    [
        (0.0, 1e-12, "held"),
        (0.0, -1e-12, "held"),
        (0.0, 1.1e-12, "refused"),
        (0.0, -1.1e-12, "refused"),
        (1.0, 1 + 2e-12, "refused"),
        (1000.0, 1000 + 9e-10, "held"),
        (1000.0, 1000 + 2e-9, "refused"),
        (0.0, math.nan, "refused"),
    ],
)
def test_rounding_is_forgiven_and_no_answer(
    tmp_path: Path, found: float, said: float, outcome: str
) -> None:
    """1e-12 of what is found, and of 1 where that is less; an answer of 14042 makes 7e-5."""
    record = (
        evidence_of(tmp_path).get(SLOT).record.model_copy(update={"values": {"shots5/x": said}})
    )
    if outcome == "held":
        mmlu.check_summary(record, 5, {"x": found})
        return
    with pytest.raises(InvalidError, match="it says x"):
        mmlu.check_summary(record, 5, {"x": found})


@pytest.mark.parametrize("subject", [-1, 2, 7])
def test_a_question_of_no_subject(tmp_path: Path, subject: int) -> None:
    """One question more than the two subjects have."""

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        for name, array in arrays.items():
            arrays[name] = np.concatenate([array, array[-1:]])
        arrays["subject"][-1] = subject
        fields["values"] = records.values_of(arrays)

    reason = refusal(evidence_of(tmp_path, change))
    assert re.fullmatch(f"{RECORD}: questions of subjects that the job does not name", reason)


def longer(*names: str) -> records.Change:
    """Some arrays go on with what they began with, and the record says what comes of it."""

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        for name in names:
            arrays[name] = np.concatenate([arrays[name], arrays[name][:9]])
        fields["values"] = records.values_of(arrays)

    return change


@pytest.mark.parametrize(
    "names",
    [
        [f"shots0/{name}" for name in ("log_likelihood", "prediction", "gold")],
        [f"shots{k}/{name}" for k in (0, 5) for name in ("log_likelihood", "prediction", "gold")],
        ["subject"],
        ["question"],
        ["subject", "question"],
    ],
)
def test_questions_beside_those_of_the_subjects(tmp_path: Path, names: list[str]) -> None:
    """They would be part of an accuracy, and the data set has no answer to them."""
    reason = refusal(evidence_of(tmp_path, longer(*names)))
    why = f"{RECORD}: subjects, questions and gold answers that are not one each"
    assert re.fullmatch(why, reason)


def test_a_record_of_another_job(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path)
    jobs = evidence.run.jobs
    moved = evidence_of(tmp_path, jobs={**jobs, SLOT: jobs["mamba-1.float16.batch-8"]})
    why = f"{RECORD} is of another job than the manifest asks for"
    assert re.fullmatch(why, refusal(moved))


def test_a_setting_may_be_renamed(tmp_path: Path) -> None:
    """The label of a setting computes nothing: a record made under another one serves."""

    def change(_: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        setting = job.setting.model_copy(update={"id": f"other-{job.setting.id}"})
        fields["job"] = job.model_copy(update={"setting": setting})

    assert evidence_of(tmp_path, change).get(SLOT).slot.id == SLOT


def test_what_was_not_run_says_why(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path)
    assert refusal(evidence, "nowhere") == "tier smoke has no nowhere"
    twinless = "tier smoke has no twin of the family phi"
    assert refusal(evidence, "phi-1.float16.batch-4") == twinless
    jobs = {name: key for name, key in evidence.run.jobs.items() if name != SLOT}
    assert refusal(evidence_of(tmp_path, jobs=jobs)) == f"{SLOT} was left out of the run"
    said = evidence_of(tmp_path, jobs=jobs, missing={SLOT: "out of memory"})
    assert refusal(said) == "out of memory"
    gone = evidence_of(tmp_path, jobs={SLOT: "0" * 64})
    why = f"{SLOT} was planned and has no record (the run was cut short)"
    assert refusal(gone) == why


def test_a_broken_record_says_what_is_broken(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path)
    key = evidence.run.jobs[SLOT]
    path = evidence.store.folder(key) / "record.json"
    path.write_bytes(path.read_bytes()[:-9])
    assert refusal(evidence).startswith(f"record {key[:12]} is not a record: ")


def test_accuracies_are_those_of_the_arrays(tmp_path: Path) -> None:
    """Counted question by question."""
    loaded = evidence_of(tmp_path).get(SLOT)
    expected = [loaded.record.values[f"shots{shots}/accuracy"] for shots in records.SHOTS]
    assert loaded.accuracies() == pytest.approx(expected)
    assert loaded.shots() == records.SHOTS
