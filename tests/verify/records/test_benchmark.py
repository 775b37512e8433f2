"""Records of benchmarks and of tunings. Oracle: a record that was written honestly passes."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_tuning as tuned
import numpy as np
import pytest

from repro.schema.jobs import BenchmarkJob, EvaluateJob, TuningJob
from verify.errors import InvalidError, NotRunError
from verify.evidence import Evidence
from verify.judge import judge
from verify.records import answers, benchmark, tuning
from verify.rules import score

SCORE = {
    "kind": "score",
    "checkpoint": "mamba-1",
    "method": "lora-w",
    "precision": "bfloat16",
    "task": "piqa",
    "metric": "accuracy",
}
GROUP = tuned.group(("mamba-1",), ("lora-w.bfloat16",), ("mmlu", "piqa", tuned.WORDS))
RECORD = "record [0-9a-f]{12}"
TUNED, BEFORE = "mamba-1.lora-w.bfloat16.batch-4", "mamba-1.pretrained.batch-4"

Edit = Callable[[dict[str, Any], dict[str, Any]], None]


def evidence_of(
    root: Path, kind: type = object, edit: Edit | None = None, group: dict[str, Any] = GROUP
) -> Evidence:
    """A whole run in which every record of one kind of job was edited."""

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        if edit and isinstance(fields["job"], kind):
            edit(arrays, fields)

    claimed = tuned.manifest([group], [tuned.cell(SCORE, "9")], number="60.0")
    return tuned.run(root, claimed, lambda *_: 40, change=change)


def refusal(evidence: Evidence, slot: str) -> str:
    with pytest.raises(InvalidError) as caught:
        evidence.get(slot)
    return str(caught.value)


def put(name: str, at: Any, value: Any) -> Edit:
    """Set part of an array, where a record has it."""

    def edit(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        if name in arrays:
            arrays[name][at] = value

    return edit


def say(name: str, value: Any) -> Edit:
    def edit(_: dict[str, Any], fields: dict[str, Any]) -> None:
        fields["values"] = {**fields["values"], name: value}

    return edit


def drop(name: str) -> Edit:
    def edit(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        arrays.pop(name, None)

    return edit


# -----------------------------------------------------------------------------
# Benchmarks


def test_honest_records_pass_and_score_what_their_arrays_say(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path)
    piqa = evidence.get(f"{TUNED}.piqa.float32")
    assert score.score(piqa, "accuracy", 0) == pytest.approx(40.0)
    words = evidence.get(f"{BEFORE}.{tuned.WORDS}.float32")
    assert score.score(words, "accuracy", 0) == pytest.approx(40.0)
    # 40 words of -1 nat and 60 of -3 are -2.2 nats on average.
    assert score.score(words, "perplexity", 0) == pytest.approx(math.exp(2.2))


@pytest.mark.parametrize("task", ["piqa", "winogrande"])
def test_what_a_divergence_is_made_of_follows_from_log_likelihoods(
    tmp_path: Path, task: str
) -> None:
    """Oracle: predictions and gold answers as they were made up.

    PIQA's last question has three of four choices, and NaN is no prediction; it is right here.
    """
    group = tuned.group(("mamba-1",), ("lora-w.bfloat16",), ("piqa", "winogrande"))
    claimed = tuned.manifest([group], [tuned.cell(SCORE, "9")], number="60.0")
    loaded = tuned.run(tmp_path, claimed, lambda *_: 100).get(f"{TUNED}.{task}.float32")
    assert loaded.arrays["shots0/log_likelihood"].shape == (100, tuned.choices_of(task))
    assert loaded.shots() == (0, 1, 3, 5)
    for shots in loaded.shots():
        assert loaded.predicted(shots).tolist() == tuned.gold_of(task)
        assert loaded.gold(shots).tolist() == tuned.gold_of(task)
    assert loaded.accuracies() == [1.0] * 4


def test_a_longer_choice_may_win_once_its_length_is_taken_out(tmp_path: Path) -> None:
    """-1 over 2 characters is -0.5, -5 over 20 is -0.25: the normalised prediction moves."""

    def lengthen(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        if fields["job"].task == "piqa":
            for shots in fields["job"].shots:
                best = arrays[f"shots{shots}/prediction"]
                rows = np.arange(len(best))
                other = (best + 1) % 3
                arrays[f"shots{shots}/characters"][:, :3] = 60
                arrays[f"shots{shots}/characters"][rows, best] = 2
                arrays[f"shots{shots}/characters"][rows, other] = 20
                arrays[f"shots{shots}/characters"][:-1, 3] = 5
                arrays[f"shots{shots}/characters"][rows, best] = 2
                # What is left: -5 over 60 is the largest of all.
                arrays[f"shots{shots}/prediction_normalised"] = (best + 2) % 3
            fields["values"] = tuned.values_of("piqa", arrays)

    loaded = evidence_of(tmp_path, BenchmarkJob, lengthen).get(f"{TUNED}.piqa.float32")
    plain, normalised = (
        answers.answered_right(loaded.arrays, metric, 0) for metric in ("accuracy", "accuracy_norm")
    )
    assert plain.sum() == 40
    assert (
        normalised.tolist()
        == (loaded.arrays["shots0/prediction_normalised"] == loaded.arrays["shots0/gold"]).tolist()
    )
    assert not (plain & normalised).any()


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (say("shots0/accuracy", 0.41), ": it says accuracy 0.41 at 0 shots, its arrays say 0.4"),
        (say("shots0/accuracy_norm", 1.0), ": it says accuracy_norm 1.0 at 0 shots, .* say 0.4"),
        (say("shots0/ties", 1), r": it says ties 1 at 0 shots, its arrays say 0.0"),
        (say("shots0/non_finite", 3), ": it says non_finite 3 at 0 shots, its arrays say 0"),
        (drop("shots0/prediction"), " has no array 'shots0/prediction'"),
        (drop("shots0/characters"), " has no array 'shots0/characters'"),
        (put("shots0/prediction", 0, 2), ": predictions at 0 shots do not follow .*"),
        (put("shots0/prediction_normalised", 0, 2), ": predictions at 0 shots do not follow .*"),
        (put("shots0/gold", 99, 3), ": gold answers at 0 shots that are no choices"),
        (put("shots0/gold", 0, -1), ": gold answers at 0 shots that are no choices"),
        (put("shots0/characters", (0, 1), 0), ": log-likelihoods at 0 shots of choices .*"),
        (put("shots0/log_likelihood", (99, 3), -9.0), ": log-likelihoods at 0 shots of .*"),
        (
            put("shots0/log_likelihood", (3, 1), np.nan),
            ": 1 of 100 questions at 0 shots have a log-likelihood that is not a finite number",
        ),
    ],
)
def test_what_does_not_follow_is_refused(tmp_path: Path, edit: Edit, why: str) -> None:
    def of_piqa(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        if fields["job"].task == "piqa":
            edit(arrays, fields)

    evidence = evidence_of(tmp_path, BenchmarkJob, of_piqa)
    assert re.fullmatch(RECORD + why, refusal(evidence, f"{BEFORE}.piqa.float32"))


def test_ties_are_counted_and_the_first_choice_is_taken(tmp_path: Path) -> None:
    """Two choices alike, three alike, and in the last question two beside one that is not there."""

    def tie(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        if fields["job"].task == "piqa":
            scores = arrays["shots0/log_likelihood"]
            scores[0, :2] = scores[1, 1:4] = scores[99, 1:3] = -0.5
            for name in ("prediction", "prediction_normalised"):
                arrays[f"shots0/{name}"][[0, 1, 99]] = 0, 1, 1
            fields["values"] = tuned.values_of("piqa", arrays)

    found = evidence_of(tmp_path, BenchmarkJob, tie).get(f"{BEFORE}.piqa.float32")
    assert found.record.values["shots0/ties"] == 3
    assert found.predicted(0)[[0, 1, 99]].tolist() == [0, 1, 1]


def test_more_questions_asked_for_than_there_are_is_all(tmp_path: Path) -> None:
    """One fewer is part of them, and needs as many answers."""
    loaded = evidence_of(tmp_path).get(f"{BEFORE}.piqa.float32")
    job, known = loaded.record.job, tuned.datasets()["piqa"]
    assert isinstance(job, BenchmarkJob)
    for asked in (100, 101):
        more = job.model_copy(update={"questions": asked})
        benchmark.check(loaded.record, more, loaded.arrays, known)
        assert not benchmark.unchecked_gold(more, known)
    fewer = job.model_copy(update={"questions": 99})
    with pytest.raises(InvalidError, match=r"shape \(100, 4\) at 0 shots, expected \(99, C\)"):
        benchmark.check(loaded.record, fewer, loaded.arrays, known)
    assert benchmark.unchecked_gold(fewer, known).startswith("piqa: gold answers of the first 99")


def test_other_gold_answers_are_refused(tmp_path: Path) -> None:
    def other(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        if fields["job"].task == "piqa":
            arrays["shots0/gold"][50] = (arrays["shots0/gold"][50] + 2) % 3
            fields["values"] = tuned.values_of("piqa", arrays)

    found = refusal(evidence_of(tmp_path, BenchmarkJob, other), f"{BEFORE}.piqa.float32")
    assert re.fullmatch(f"{RECORD}: the gold answers of piqa are not the data set's", found)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (say("shots0/accuracy", 0.5), ": it says accuracy 0.5 at 0 shots, its arrays say 0.4"),
        (say("shots0/perplexity", 9.0), ": it says perplexity 9.0 at 0 shots, .* say 9.02.*"),
        (put("shots0/greedy", 7, 2), ": greedy answers that are not one 0 or 1 a question"),
        (drop("shots0/greedy"), " has no array 'shots0/greedy'"),
        (drop("shots0/log_likelihood"), " has no array 'shots0/log_likelihood'"),
    ],
)
def test_what_does_not_follow_of_words_is_refused(tmp_path: Path, edit: Edit, why: str) -> None:
    def of_words(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        if fields["job"].task == tuned.WORDS:
            edit(arrays, fields)

    evidence = evidence_of(tmp_path, BenchmarkJob, of_words)
    assert re.fullmatch(RECORD + why, refusal(evidence, f"{BEFORE}.{tuned.WORDS}.float32"))


def test_part_of_the_questions_is_counted_and_held_to_no_digest(tmp_path: Path) -> None:
    group = tuned.group(("mamba-1",), ("lora-w.bfloat16",), ("piqa",))
    group["tiers"]["full"]["questions"] = 30
    evidence = evidence_of(tmp_path / "a", group=group)
    loaded = evidence.get(f"{TUNED}.piqa.float32")
    assert len(loaded.arrays["shots0/gold"]) == 30
    notes = judge(evidence.manifest, evidence, {}).notes
    assert "piqa: gold answers of the first 30 questions, held to no digest" in notes

    def shorten(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        for name, array in arrays.items():
            arrays[name] = array[:29]
        fields["values"] = tuned.values_of("piqa", arrays)

    found = refusal(
        evidence_of(tmp_path / "b", BenchmarkJob, shorten, group), f"{TUNED}.piqa.float32"
    )
    assert found.endswith(r"log-likelihoods of shape (29, 4) at 0 shots, expected (30, C)")


# -----------------------------------------------------------------------------
# What a tuned model gave that is no number


def test_a_tuned_model_may_overflow_and_counts_as_lm_eval_counts_it(tmp_path: Path) -> None:
    """np.argmax takes the first NaN: where all are, the first choice, right if that is gold."""

    def overflow(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        if job.tuned and job.task in {"piqa", "mmlu"}:
            for shots in job.shots:
                for name in ("prediction", "prediction_normalised"):
                    if f"shots{shots}/{name}" in arrays:
                        arrays[f"shots{shots}/{name}"][1:] = 0
                arrays[f"shots{shots}/log_likelihood"][1:] = np.nan  # all would repeat a setting
            made = (
                tuned.values_of("piqa", arrays) if job.task == "piqa" else records.values_of(arrays)
            )
            fields["values"] = made

    evidence = evidence_of(tmp_path, (BenchmarkJob, EvaluateJob), overflow)  # type: ignore[arg-type]
    piqa = evidence.get(f"{TUNED}.piqa.float32")
    assert score.score(piqa, "accuracy", 0) == pytest.approx(1 + tuned.gold_of("piqa")[1:].count(0))
    assert benchmark.overflowed(piqa.arrays, 0).tolist() == [False] + 99 * [True]
    mmlu = evidence.get(f"{TUNED}.mmlu.float32")
    gold = [*records.gold_of("arithmetic"), *records.gold_of("geometry")]
    assert mmlu.accuracies()[0] == pytest.approx((1 + gold[1:].count(0)) / 65)
    finding = judge(evidence.manifest, evidence, {}).findings[0]
    assert (finding.outcome, finding.causes[0].code) == ("inconclusive", "open-factors")
    assert (
        "; 2772 of 2800 answers of tuned models have no finite log-likelihood and count as lm-eval "
        "counts them, for the first choice"
    ) in finding.reason


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_perplexity_that_is_no_number(value: float) -> None:
    found = benchmark.perplexity(np.array([-1.0, value]))
    assert not math.isfinite(found) or value > 0


def test_a_perplexity_beyond_what_a_number_holds() -> None:
    assert benchmark.perplexity(np.array([-1e4, -1e4])) == math.inf


# -----------------------------------------------------------------------------
# Tunings


def test_an_evaluation_brings_its_tuning(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path)
    found = evidence.get(f"{TUNED}.piqa.float32").tuning
    assert found
    assert found.slot.id == TUNED
    assert evidence.get(f"{BEFORE}.piqa.float32").tuning is None


@pytest.mark.parametrize("kind", ["other", "none", "more"])
def test_weights_of_another_tuning_are_refused(tmp_path: Path, kind: str) -> None:
    def swap(_: dict[str, Any], fields: dict[str, Any]) -> None:
        if isinstance(fields["job"], TuningJob):
            files = {"adapter_model.safetensors": "9" * 64}
            more = {**fields["files"], "config.json": "9" * 64}
            fields["files"] = {"other": files, "none": fields["files"], "more": more}[kind]

    def without(_: dict[str, Any], fields: dict[str, Any]) -> None:
        swap(_, fields)

    evidence = evidence_of(tmp_path, TuningJob, without)
    if kind == "none":  # nothing was swapped
        assert evidence.get(f"{TUNED}.piqa.float32").tuning
        return
    found = refusal(evidence, f"{TUNED}.piqa.float32")
    assert re.fullmatch(f"{RECORD} was not made with the weights of {TUNED}, {RECORD}", found)
    assert evidence.get(f"{BEFORE}.piqa.float32")


def test_an_evaluation_whose_tuning_was_left_out_is_not_run(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path)
    jobs = {name: key for name, key in evidence.run.jobs.items() if name != TUNED}
    run = evidence.run.model_copy(update={"jobs": jobs})
    kept = Evidence(
        evidence.manifest, run, evidence.store, records.checkpoints(), evidence.datasets
    )
    with pytest.raises(NotRunError, match="was left out of the run"):
        kept.get(f"{TUNED}.piqa.float32")


def no_weights(_: dict[str, Any], fields: dict[str, Any]) -> None:
    fields["files"] = {}


def one_step_less(arrays: dict[str, Any], _: dict[str, Any]) -> None:
    arrays["loss"] = arrays["loss"][1:]


def one_row_more(arrays: dict[str, Any], _: dict[str, Any]) -> None:
    arrays["row_order"] = np.arange(9)


def one_tensor_less(arrays: dict[str, Any], _: dict[str, Any]) -> None:
    arrays["moved"] = arrays["moved"][1:]


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (no_weights, ": it kept no weights"),
        (
            one_step_less,
            r": loss, .* of shape \(5,\), \(6,\); 2 epochs of 8 rows, 3 a step, are 6 steps",
        ),
        (one_tensor_less, ": gradient_arrived, moved are not one a trainable tensor"),
        (say("steps", 7), ": it says steps 7, its arrays say 6"),
        (say("non_finite_steps", 2), ": it says non_finite_steps 2, its arrays say 0"),
        (say("trainable_tensors", "[]"), ": gradient_arrived, moved are not one a .*"),
        (say("trainable_tensors", "a, b, c"), ": gradient_arrived, moved are not one a .*"),
        (one_row_more, ": 9 rows, the recipe takes 8 at most"),
        (put("row_order", 0, 9), ": rows that were not read once each in the first epoch"),
        (put("learning_rate", 0, 2e-4), ": learning rates that do not fall from 0.0001"),
        (put("learning_rate", 2, 1e-7), ": learning rates that do not fall from 0.0001"),
        (put("learning_rate", 5, np.nan), ": learning rates that do not fall from 0.0001"),
        (drop("gradient_norm"), " has no array 'gradient_norm'"),
    ],
)
def test_a_tuning_that_does_not_hold_together(tmp_path: Path, edit: Edit, why: str) -> None:
    evidence = evidence_of(tmp_path, TuningJob, edit)
    assert re.fullmatch(RECORD + why, refusal(evidence, TUNED))


def test_a_learning_rate_may_stay_where_it_is(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path, TuningJob, put("learning_rate", 1, 1e-4))
    assert evidence.get(TUNED).arrays["learning_rate"][:2].tolist() == [1e-4, 1e-4]


def test_what_did_not_learn_stands_beside_the_number(tmp_path: Path) -> None:
    """Both x_proj got no gradient; they differ in a number alone."""

    def kill(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        arrays["gradient_arrived"][1:] = 0
        fields["path"] = {"mamba_path": "kernels"}

    evidence = evidence_of(tmp_path, TuningJob, kill)
    finding = judge(evidence.manifest, evidence, {}).findings[0]
    assert records.said(finding, "no-gradient") == {
        "arm": "mamba-1.lora-w.bfloat16",
        "dead": 2,
        "trainable": 3,
        "path": "kernels",
        "names": "layers.*.x_proj.lora_A (2)",
    }
    tunings = {key for name, key in evidence.run.jobs.items() if name.count(".") == 3}
    assert len(tunings) == 7
    assert tunings <= set(finding.records)


def test_all_that_learned_is_one_line(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path)
    finding = judge(evidence.manifest, evidence, {}).findings[0]
    assert records.said(finding, "every-gradient") == {"tunings": 7}


def test_a_loss_that_became_no_number_is_told(tmp_path: Path) -> None:
    def diverge(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        seed = fields["job"].recipe.seed
        if seed != 42:
            arrays["loss"][seed - 41 :] = np.nan

    evidence = evidence_of(tmp_path, TuningJob, diverge)
    loaded = evidence.get("mamba-1.lora-w.bfloat16.batch-8")
    assert tuning.first_overflow(loaded.arrays) == 3
    finding = judge(evidence.manifest, evidence, {}).findings[0]
    lost = {"arm": "mamba-1.lora-w.bfloat16", "some": 4, "tunings": 7, "step": 3}
    assert records.said(finding, "loss-not-finite") == lost
