"""Questions put to a model part by part, and what a killed evaluation had answered already.

    <work>/<part>.safetensors    arrays, and everything else that a record says of the part
    <work>/<part>.json           size and SHA-256 of that file; written last: now the part counts

A part is one number of examples of one task: the least that lm-eval answers in one call. A part
that is not what its digest says is dropped and answered again, never believed. Taken up, a job's
record is the one that an uninterrupted run writes: arrays, values, paths and counts.

Not covered: a part that runs is lost with its process.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save

from repro import fileio, json_text
from repro.errors import BadInputError, save_errors
from repro.fileio import write_bytes
from repro.schema import jobs
from repro.schema.jobs import BenchmarkJob, EvaluateJob
from runner.evaluation import screening
from runner.evaluation.language_model import AnswerHook, MeasuredLM
from runner.evaluation.loading import answer_in_batches, load
from runner.evaluation.offline import import_lm_eval
from runner.evaluation.prefix_model import PrefixLM
from runner.evaluation.screening import Answered
from runner.measurement import Arrays, Inputs, Measurement, Progress, Values

import_lm_eval()  # the import below fails offline without it

from lm_eval.models.utils import clear_torch_cache  # noqa: E402

Answer = Callable[[], Answered]
"""Asks a model."""

COMPARED = ("log_likelihood", "greedy")
"""Arrays of lm-eval's own answers that stand beside those of the engine prefix."""

_FACTS = "facts"


# -----------------------------------------------------------------------------
# All questions of a job


@dataclass(frozen=True)
class Questions:
    """What a job asks, whichever model answers."""

    count: int
    """Q."""
    asked: Callable[[MeasuredLM, int], Answered]
    """Asks all of them, behind so many examples; names begin with "shots<k>/"."""
    sampled: Callable[[MeasuredLM, int], Answered]
    """The same of those that lm-eval is asked beside the engine prefix."""
    sampled_shots: tuple[int, ...]
    units: int
    """What progress counts of them at one number of examples."""
    requests: int
    """Of lm-eval, to a unit."""


def ask(
    job: EvaluateJob | BenchmarkJob, inputs: Inputs, progress: Progress, questions: Questions
) -> Measurement:
    """Load the model and ask it all; what an earlier try kept is not asked again.

    Returns:
        Arrays and values as `questions` gives them, with "<shots>/non_finite" told of as a warning.
        The parameters of a checkpoint as it is are counted, "parameters" of the values.
        With the engine prefix, also the arrays `COMPARED` of lm-eval's own answers to the sample,
        under each of its two settings: "stock/shots<k>/" and "stock-other/shots<k>/".

    Raises:
        BadInputError: no checkpoint, or one that cannot be loaded.
        CannotRunError: not even one question at a time fits the memory, or the disk is full.
    """
    if inputs.checkpoint is None:
        message = f"no checkpoint was given for {job.checkpoint}"
        raise BadInputError(message)
    if (inputs.first is None) != (job.screen is None):  # it would be measured under a false name
        message = f"the first setting's answers of {job.checkpoint} and the job do not go together"
        raise BadInputError(message)
    first = screening.first_answers(inputs.first) if inputs.first else None
    progress(0, questions.units * len(job.shots), "loading the model")
    model = load(job, inputs.checkpoint, tuned=inputs.tuned, remote_code=inputs.remote_code)
    parameters = sum(each.numel() for each in model.model.parameters())  # tied ones once
    measured = _answered(job, model, PartialAnswers(inputs.work), progress, questions, first)
    if job.tuned is None:
        measured = replace(measured, values=measured.values | {"parameters": parameters})
    del model
    clear_torch_cache()
    return measured


def _answered(
    job: EvaluateJob | BenchmarkJob,
    model: MeasuredLM,
    parts: "PartialAnswers",
    progress: Progress,
    questions: Questions,
    first: Arrays | None,
) -> Measurement:
    total, arrays, values = questions.units * len(job.shots), Arrays(), Values()
    for number, shots in enumerate(job.shots):

        def answer(shots: int = shots, done: int = number * questions.units) -> Answered:
            note = f"{shots}-shot"
            model.set_cache_hook(AnswerHook(progress, done, total, note, questions.requests))
            if job.screen and first is not None:
                return screening.ask(job.screen, first, model, shots, questions.asked)
            return questions.asked(model, shots)

        found, said = parts.part(f"shots{shots}", f"{shots}-shot questions", model, answer)
        arrays |= found
        values |= said
    if isinstance(model, PrefixLM):
        progress(total, total, "the sample, by lm-eval")
        arrays |= _by_lm_eval(model, questions, parts)
        model.counts = dict(parts.counts)  # as after answering all parts itself
    warnings = [*model.warnings(), *parts.notes]
    if bad := sum(int(values[f"shots{each}/non_finite"]) for each in job.shots):
        asked = questions.count * len(job.shots)
        warnings.append(f"{bad} of {asked} questions have NaN or infinite log-likelihoods")
    return Measurement(values=values, arrays=arrays, path=model.path(), warnings=tuple(warnings))


def _by_lm_eval(model: PrefixLM, questions: Questions, parts: "PartialAnswers") -> Arrays:
    found: Arrays = {}
    for setting, size in jobs.batch_sizes(model.batch_size).items():
        with model.as_stock(size):
            for shots in questions.sampled_shots:

                def answer(shots: int = shots, setting: str = setting) -> Answered:
                    arrays, _ = questions.sampled(model, shots)
                    kept = [f"shots{shots}/{name}" for name in COMPARED]
                    return {
                        f"{setting}/{name}": arrays[name] for name in kept if name in arrays
                    }, {}

                what = f"the sample at {shots} shots, by lm-eval"
                found |= parts.part(f"{setting}-shots{shots}", what, model, answer)[0]
    return found


# -----------------------------------------------------------------------------
# One part


@dataclass
class PartialAnswers:
    """The parts of one job: taken up, or answered and kept."""

    work: Path | None
    """The job's own folder; None keeps nothing."""
    counts: dict[str, int] = field(default_factory=dict)
    """What the model counted, over all parts."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the parts has to know."""

    def part(self, name: str, what: str, model: MeasuredLM, answer: Answer) -> Answered:
        """One part: what an earlier try kept of it, or else what the model answers now.

        `what` is asked, for people; the model goes on as after the part, however that came.

        Raises:
            CannotRunError: not even one question at a time fits the memory, or the disk is full.
        """
        kept = self._load_part(name)
        if kept is None:
            (arrays, values), notes = answer_in_batches(
                model, what, lambda: _answer_from_start(model, answer)
            )
            facts = {"values": values, "notes": notes, **_state(model)}
            self._save_part(name, arrays, facts)
        else:
            arrays, facts = kept
            model.batch_size_per_gpu = facts["batch_size"]
            model.logits_dtype = facts["logits_dtype"]
        for counter, count in facts["counts"].items():
            self.counts[counter] = self.counts.get(counter, 0) + count
        self.notes += facts["notes"]
        return arrays, facts["values"]

    def _load_part(self, name: str) -> tuple[Arrays, dict[str, Any]] | None:
        """Arrays and facts of a part, if they are what was written."""
        if self.work is None:
            return None
        try:
            said = json_text.load(self.work / f"{name}.json")
            with fileio.open_regular_file(self.work / f"{name}.safetensors") as stream:
                content = stream.read()
        except (OSError, ValueError):
            return None
        if said != _digest(content):
            return None
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return load_arrays(content), json.loads(header["__metadata__"][_FACTS])

    def _save_part(self, name: str, arrays: Arrays, facts: dict[str, Any]) -> None:
        if self.work is None:
            return
        whole = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
        content = save(whole, metadata={_FACTS: json.dumps(facts)})
        with save_errors(self.work):
            write_bytes(self.work / f"{name}.safetensors", content)
            write_bytes(self.work / f"{name}.json", json.dumps(_digest(content)).encode())


def _answer_from_start(model: MeasuredLM, answer: Answer) -> Answered:
    """Ask, counting from nothing."""
    if isinstance(model, PrefixLM):
        model.counts = dict.fromkeys(model.counts, 0)
    return answer()


def _state(model: MeasuredLM) -> dict[str, Any]:
    """What a model that has answered differs in from one that has not."""
    return {
        "counts": dict(model.counts) if isinstance(model, PrefixLM) else {},
        "batch_size": model.batch_size,
        "logits_dtype": model.logits_dtype,
    }


def _digest(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
