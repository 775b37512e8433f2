"""What lm-eval 0.4.2 logged of a benchmark's questions, as arrays and as summary numbers.

Words and shapes are those of `runner.evaluation.benchmark`. Every array is held to the metrics that
lm-eval computed itself, question by question.

Reference: lm-eval 0.4.2, `ConfigurableTask.process_results`.

Not covered: tasks with several right answers, and metrics other than acc, acc_norm and
perplexity.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro import fileio
from runner.evaluation.tasks import LocalTask

Arrays = dict[str, NDArray[Any]]
Values = dict[str, float | int | str]
Sample = dict[str, Any]
"""What lm-eval logs of one question."""


def scored(
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
        hold(samples, {"acc": greedy, "perplexity": log_likelihood[:, 0]})
        return arrays | {"greedy": greedy}
    compared = np.where(there, log_likelihood, -np.inf)
    prediction = compared.argmax(axis=1).astype(np.int64)  # np.argmax, as lm-eval's acc
    normalised = (compared / np.where(there, characters, 1)).argmax(axis=1).astype(np.int64)
    answers = [
        task.doc_to_text(sample["doc"]) if task.multiple_input else sample["target"]
        for sample in samples
    ]
    gold = np.array(answers, dtype=np.int64)
    hold(samples, {"acc": prediction == gold, "acc_norm": normalised == gold})
    return arrays | {
        "characters": characters,
        "prediction": prediction,
        "prediction_normalised": normalised,
        "gold": gold,
    }


def hold(samples: list[Sample], expected: Arrays) -> None:
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
        perplexity of LAMBADA, exp of minus the mean log-likelihood, where that is finite;
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
