"""What a killed evaluation had answered already: parts of a job, kept until its record is there.

    <work>/<part>.safetensors    arrays, and everything else that a record says of the part
    <work>/<part>.json           size and SHA-256 of that file; written last: now the part counts

A part is one number of examples of one task: the least that lm-eval answers in one call. A part
that is not what its digest says is dropped and answered again, never believed. Taken up, a job's
record is the one that an uninterrupted run writes: arrays, values, paths and counts.

Not covered: a part that runs is lost with its process.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from repro import fileio, json_text
from repro.errors import saving
from repro.fileio import write_bytes
from runner.evaluation.language_model import MeasuredLM
from runner.evaluation.loading import in_memory
from runner.evaluation.prefix_model import PrefixLM

Arrays = dict[str, NDArray[Any]]
Values = dict[str, float | int | str]
Answered = tuple[Arrays, Values]
"""What a record holds of a part."""
Answer = Callable[[], Answered]
"""Asks a model."""

_FACTS = "facts"


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

        Args:
            name: Of the part; a file name.
            what: What is asked, for people.
            model: What answers; it goes on as after the part, however that came.
            answer: Asks it.

        Raises:
            CannotRunError: not even one question at a time fits the memory, or the disk is full.
        """
        kept = self._kept(name)
        if kept is None:
            (arrays, values), notes = in_memory(model, what, lambda: _anew(model, answer))
            facts = {"values": values, "notes": notes, **_state(model)}
            self._keep(name, arrays, facts)
        else:
            arrays, facts = kept
            model.batch_size_per_gpu = facts["batch_size"]
            model.logits_dtype = facts["logits_dtype"]
        for counter, count in facts["counts"].items():
            self.counts[counter] = self.counts.get(counter, 0) + count
        self.notes += facts["notes"]
        return arrays, facts["values"]

    def settle(self, model: MeasuredLM) -> None:
        """Let the model say what it would after answering all parts itself."""
        if isinstance(model, PrefixLM):
            model.counts = dict(self.counts)

    def _kept(self, name: str) -> tuple[Arrays, dict[str, Any]] | None:
        """Arrays and facts of a part, if they are what was written."""
        if self.work is None:
            return None
        try:
            said = json_text.load(self.work / f"{name}.json")
            with fileio.opened(self.work / f"{name}.safetensors") as stream:
                content = stream.read()
        except (OSError, ValueError):
            return None
        if said != _digest(content):
            return None
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return load(content), json.loads(header["__metadata__"][_FACTS])

    def _keep(self, name: str, arrays: Arrays, facts: dict[str, Any]) -> None:
        if self.work is None:
            return
        whole = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
        content = save(whole, metadata={_FACTS: json.dumps(facts)})
        with saving(self.work):
            write_bytes(self.work / f"{name}.safetensors", content)
            write_bytes(self.work / f"{name}.json", json.dumps(_digest(content)).encode())


def _anew(model: MeasuredLM, answer: Answer) -> Answered:
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


def non_finite(values: Values, shots: Iterable[int], asked: int) -> Iterator[str]:
    """The warning that some of the questions asked, over all shots, have no finite answer."""
    count = sum(int(values[f"shots{each}/non_finite"]) for each in shots)
    if count:
        yield f"{count} of {asked} questions have NaN or infinite log-likelihoods"
