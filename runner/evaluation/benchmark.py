"""One checkpoint in one dtype under one setting, on one of lm-eval 0.4.2's tasks.

Glossary: Q questions asked, the first rows of the split in order; C choices of the
question that has most; shots, the number of solved examples before each question;
log-likelihood, nats, of a choice after the prompt; prediction, the choice of the largest
log-likelihood, the first one where several are equal; normalised prediction, the same
after dividing each log-likelihood by the characters of its choice (lm-eval's acc_norm).

WinoGrande is scored by partial evaluation: the two choices are two beginnings of the
sentence, and the log-likelihood is that of its end after each; `characters` counts the
beginning, as lm-eval does, which reports no acc_norm for it. A task of log-likelihood has one
request a question, of LAMBADA the last word, right where greedy decoding would give it.

What is claimed: tasks, prompts, examples, scoring and metrics are lm-eval's own, and the
log-likelihoods equal those of the stock program on the same machine and rows, exactly.

Reference: paper v2, Section 5.2 (shots 0, 1, 3, 5) and Appendix F (zero-shot).
Differs: the paper names neither batch size nor order, which are in the job's setting
here; HellaSwag's examples are as in `runner.evaluation.data`.

Not covered: the average improvement over shots, which `verify` computes from records.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro import fileio
from repro.errors import BadInputError, CannotRunError, Problem
from repro.schema.jobs import BenchmarkJob
from runner.evaluation import data, partial_answers, task_files, tasks
from runner.evaluation.language_model import MeasuredLM
from runner.evaluation.offline import import_lm_eval, quiet
from runner.evaluation.partial_answers import Questions
from runner.evaluation.screening import Answered
from runner.evaluation.tasks import LocalTask
from runner.measurement import Arrays, Inputs, Measurement, Progress, Values

import_lm_eval()  # the import below fails offline without it

from lm_eval.evaluator import evaluate as harness_evaluate  # noqa: E402

Sample = dict[str, Any]
"""What lm-eval logs of one question."""


def run(job: BenchmarkJob, inputs: Inputs, progress: Progress) -> Measurement:
    """Evaluate a checkpoint with one model load, all shots in turn.

    `inputs.data` is the data's file (`runner.evaluation.data`); progress counts choices x shots.

    Returns:
        Arrays for each shot count k, under "shots<k>/": log_likelihood (Q, C) float64,
        nats, the values that lm-eval compares, and NaN for choices that a question lacks;
        characters (Q, C) int64, 0 for those; prediction, prediction_normalised and gold
        (Q,) int64; tokens (Q,) int64, length of the longest input of a question before
        truncation. A task of log-likelihood has log_likelihood (Q, 1), tokens, and greedy
        (Q,) uint8, 1 where greedy decoding gives the word. With the engine prefix, lm-eval's
        log_likelihood and greedy of the first `job.checked` questions under
        "stock/shots<k>/" and "stock-other/shots<k>/". Values: the number of questions,
        digests of the rows asked and of those that examples come from, and `summary`.

    Raises:
        BadInputError: no checkpoint, weights missing from it, or data that cannot be used.
        CannotRunError: no data, or too little memory.
    """
    if inputs.data is None:
        message = f"no data was given for {job.task}: give the file that the catalog names"
        raise CannotRunError(message)
    with quiet(), tasks.without_bars(), tasks.templates_compiled_once():
        task = tasks.build(job.task, inputs.data)
        asked, drawn = task_files.task_file(job.task).splits
        if any(job.shots) and drawn not in task.dataset:
            problem = Problem(str(inputs.data), f"no split {drawn}", "rows for solved examples")
            message = f"{job.task} can be asked without solved examples alone"
            raise BadInputError(message, [problem])
        answers = tasks.answers_of(task, job.questions, inputs.data)
        characters = _characters(answers)
        sample = min(job.checked, len(characters))
        questions = Questions(
            count=len(characters),
            asked=lambda model, shots: _answers(model, task, job, characters, shots),
            sampled=lambda model, shots: _answers(model, task, job, characters[:sample], shots),
            sampled_shots=job.shots,
            units=int((characters > 0).sum()),
            requests=1,
        )
        measured = partial_answers.ask(job, inputs, progress, questions)
    rows: Values = {
        "questions": len(characters),
        "rows_sha256": data.rows_digest(task.dataset[asked].to_list()[: len(characters)]),
    }
    if drawn in task.dataset:
        rows["examples_sha256"] = data.rows_digest(task.dataset[drawn].to_list())
    return replace(measured, values=rows | measured.values)


def _characters(answers: Sequence[tasks.Answer]) -> NDArray[np.int64]:
    """Length of each choice as lm-eval's acc_norm takes it, (Q, C), 0 where there is none."""
    lengths = [[len(choice) for choice in each.choices] for each in answers]
    widest = max(map(len, lengths))
    return np.array([row + [0] * (widest - len(row)) for row in lengths], dtype=np.int64)


def _answers(
    model: MeasuredLM,
    task: LocalTask,
    job: BenchmarkJob,
    characters: NDArray[np.int64],
    shots: int,
) -> Answered:
    """Run the first questions with `shots` examples through lm-eval, as if the task were new."""
    task.set_config("num_fewshot", shots)
    tasks.restart_sampler(task, job.seed)
    results = harness_evaluate(
        model, {job.task: task}, limit=len(characters), bootstrap_iters=0, verbosity="ERROR"
    )
    samples: list[Sample] = results["samples"][job.task]
    scored = scores_of(task, samples, characters, model.input_lengths)
    found = summary(scored, samples, model.max_length)
    return (
        {f"shots{shots}/{name}": array for name, array in scored.items()},
        {f"shots{shots}/{name}": value for name, value in found.items()},
    )


# -----------------------------------------------------------------------------
# What lm-eval logged of some questions, as arrays and as summary numbers.
#
# Every array is held to the metrics that lm-eval computed itself, question by question.
#
# Reference: lm-eval 0.4.2, `ConfigurableTask.process_results`.
# Not covered: tasks with several right answers; metrics other than acc, acc_norm and perplexity.


def scores_of(
    task: LocalTask,
    samples: list[Sample],
    characters: NDArray[np.int64],
    input_lengths: list[int],
) -> Arrays:
    """The arrays of one shot count, held to what lm-eval made of each question."""
    there = characters > 0
    log_likelihood = np.full(there.shape, np.nan)
    pairs = [pair for sample in samples for pair in sample["filtered_resps"]]
    log_likelihood[there] = [value for value, _ in pairs]
    lengths = np.zeros(there.shape, dtype=np.int64)
    lengths[there] = input_lengths
    arrays: Arrays = {"log_likelihood": log_likelihood, "tokens": lengths.max(axis=1)}
    if task.config.doc_to_choice is None:
        greedy = np.array([right for _, right in pairs], dtype=np.uint8)
        check_scores(samples, {"acc": greedy, "perplexity": log_likelihood[:, 0]})
        return arrays | {"greedy": greedy}
    compared = np.where(there, log_likelihood, -np.inf)
    prediction = compared.argmax(axis=1).astype(np.int64)  # np.argmax, as lm-eval's acc
    normalised = (compared / np.where(there, characters, 1)).argmax(axis=1).astype(np.int64)
    right = [tasks.answer_to(task, sample["doc"]).right for sample in samples]
    gold = np.array(right, dtype=np.int64)
    check_scores(samples, {"acc": prediction == gold, "acc_norm": normalised == gold})
    return arrays | {
        "characters": characters,
        "prediction": prediction,
        "prediction_normalised": normalised,
        "gold": gold,
    }


def check_scores(samples: list[Sample], expected: Arrays) -> None:
    """Stop where lm-eval scored a question otherwise; it has no acc_norm for WinoGrande."""
    for metric, ours in expected.items():
        theirs = [sample[metric] for sample in samples if metric in sample]
        if theirs and not np.array_equal(ours.astype(np.float64), theirs, equal_nan=True):
            message = f"lm-eval's {metric} of some questions is not what their answers give"
            raise RuntimeError(message)


def summary(arrays: Arrays, samples: list[Sample], limit: int) -> Values:
    """Numbers for people about one shot count; all but the digest stand in the arrays, too.

    Returns:
        accuracy, right answers over all questions (fraction in [0, 1], lm-eval's `acc`);
        accuracy_norm, the same of normalised predictions, where lm-eval has `acc_norm`;
        perplexity of a task of log-likelihood, exp of minus the mean, where that is finite;
        ties, questions whose maximum is shared exactly; truncated, questions with an input
        that lost tokens on the left; non_finite, questions with a NaN or an infinity;
        prompts_sha256, digest of every string that was scored, examples included.
    """
    log_likelihood = arrays["log_likelihood"]
    there = arrays.get("characters", np.ones_like(log_likelihood)) > 0
    values: Values = {
        "truncated": int((arrays["tokens"] > limit).sum()),
        "non_finite": int((there & ~np.isfinite(log_likelihood)).any(axis=1).sum()),
        "prompts_sha256": fileio.digest_of_data([sample["arguments"] for sample in samples]),
    }
    questions = len(log_likelihood)
    if "greedy" in arrays:
        values["accuracy"] = int(arrays["greedy"].sum()) / questions
        with suppress(OverflowError):
            if not values["non_finite"]:
                values["perplexity"] = math.exp(-(sum(log_likelihood[:, 0].tolist()) / questions))
        return values
    compared = np.where(there, log_likelihood, -np.inf)
    best = there & (compared == compared.max(axis=1, keepdims=True))
    values["ties"] = int((best.sum(axis=1) > 1).sum())
    values["accuracy"] = int((arrays["prediction"] == arrays["gold"]).sum()) / questions
    if "acc_norm" in samples[0]:
        right = arrays["prediction_normalised"] == arrays["gold"]
        values["accuracy_norm"] = int(right.sum()) / questions
    return values
