"""A language model under a further setting that is asked only what it could answer otherwise.

lm-eval makes all requests, as its samplers draw from every question before; those of a question
that is not asked get the first setting's answers back. What is asked is as in
`repro.schema.kinds.screen`, one number of shots at a time.

Not covered: whether the outcome is to be believed, which `verify.records.screened` recomputes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from repro.schema.kinds.screen import Screen
from runner.evaluation.language_model import MeasuredLM
from runner.measurement import Arrays, Values

Answered = tuple[Arrays, Values]
Rows = NDArray[np.bool_]
"""Of questions, (Q,)."""


def first_answers(folder: Path) -> Arrays:
    """The arrays of the record that a job is screened against."""
    return load_file(folder / "arrays.safetensors")


def ask(
    screen: Screen,
    first: Arrays,
    model: MeasuredLM,
    shots: int,
    asked: Callable[[MeasuredLM, int], Answered],
) -> Answered:
    """Ask a model behind so many examples, under a screen.

    Args:
        screen: What is asked.
        first: Arrays of the first setting's record.
        model: Under this setting.
        shots: Examples before each question.
        asked: Asks all questions of the job, in the order of the arrays.

    Returns:
        As of a whole evaluation, and "shots<k>/asked" (Q,) uint8, 1 where this setting answered.
        Values: "shots<k>/asked", questions; "shots<k>/moved", d in nats. A task of one
        log-likelihood a question is asked whole, and has neither.
    """
    known = {name: first.get(f"shots{shots}/{name}") for name in ("characters", "greedy")}
    if known["greedy"] is not None:
        return asked(model, shots)
    screened = _ScreenedLM(screen, shots, model, _Options(first, shots, known["characters"]))
    arrays, values = asked(cast("MeasuredLM", screened), shots)
    arrays = arrays | {f"shots{shots}/asked": screened.asked.astype(np.uint8)}
    values = values | {f"shots{shots}/asked": int(screened.asked.sum())}
    if np.isfinite(screened.moved):
        values[f"shots{shots}/moved"] = screened.moved
    return arrays, values


class _Options:
    """Every question's options, under the first setting and as far as they were asked anew."""

    def __init__(self, first: Arrays, shots: int, characters: NDArray[np.int64] | None) -> None:
        self.first = first[f"shots{shots}/log_likelihood"]
        self.lengths = first[f"shots{shots}/tokens"]
        self.there = np.ones(self.first.shape, bool) if characters is None else characters > 0
        self._weights = [np.ones(self.first.shape)]
        if characters is not None:
            self._weights.append(1 / np.maximum(characters, 1))
        self.gap = np.min([self._gap(each) for each in self._weights], axis=0)
        """Nats, (Q,); NaN where a log-likelihood is no number, which no gap is wide enough for."""
        self.now = self.first.copy()

    def _gap(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """What lies between the best option and any other, (Q,), nats; inf of a single one."""
        compared = np.where(self.there, self.first, -np.inf) * weights
        rows, best = np.arange(len(compared)), compared.argmax(axis=1)
        with np.errstate(invalid="ignore"):
            apart = compared[rows, best][:, None] - compared
        apart /= (weights[rows, best][:, None] + weights) / 2
        apart[rows, best] = np.inf
        least: NDArray[np.float64] = apart.min(axis=1)
        return least

    def kept(self) -> Rows:
        """Whether each question is answered as before."""
        before, after = (np.where(self.there, each, -np.inf) for each in (self.first, self.now))
        same = [(before * w).argmax(axis=1) == (after * w).argmax(axis=1) for w in self._weights]
        alike: Rows = np.logical_and.reduce(same)
        return alike

    def changes(self) -> NDArray[np.float64]:
        """Largest change of a log-likelihood of each question, nats; inf where one is no number."""
        with np.errstate(invalid="ignore"):
            change = np.abs(np.where(self.there, self.now - self.first, 0.0))
        largest: NDArray[np.float64] = np.nan_to_num(change, nan=np.inf).max(axis=1)
        return largest


class _ScreenedLM:
    """The model as lm-eval sees it: one that answers everything."""

    def __init__(self, screen: Screen, shots: int, model: MeasuredLM, options: _Options) -> None:
        self._screen, self._shots, self._model, self._options = screen, shots, model, options
        self.asked: Rows = np.zeros(len(options.first), dtype=bool)
        self.moved = 0.0
        """d."""
        self.input_lengths: list[int] = []
        """As of the model; of what is not asked, that of its question's longest input."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the model has
        return getattr(self._model, name)

    def loglikelihood(self, requests: list[Any], **_: object) -> list[tuple[float, bool]]:
        """Answers to all requests, one an option, of every question in turn."""
        options = self._options
        places = np.argwhere(options.there)
        if len(places) != len(requests):
            message = "the first setting's record has other questions than are asked"
            raise RuntimeError(message)
        self.input_lengths = options.lengths[places[:, 0]].tolist()
        greedy = [False] * len(requests)
        new = np.zeros_like(self.asked)
        new[list(self._screen.sampled(len(new), self._shots))] = True
        while new.any():
            chosen = np.flatnonzero(new[places[:, 0]])
            found = self._model.loglikelihood([requests[each] for each in chosen])
            for place, (value, is_greedy), length in zip(
                chosen, found, self._model.input_lengths, strict=True
            ):
                options.now[tuple(places[place])] = value
                greedy[place], self.input_lengths[place] = is_greedy, length
            self.asked |= new
            new = self._needed() & ~self.asked
        return list(zip(options.now[options.there].tolist(), greedy, strict=True))

    def _needed(self) -> Rows:
        """All that has to be asked, by what is known now."""
        options, times = self._options, self._screen.times
        kept = options.kept()
        self.moved = float(options.changes()[self.asked & kept].max(initial=0.0))
        if (options.gap[self.asked & ~kept] > times * self.moved / 2).any():
            return np.ones_like(self.asked)
        near: Rows = ~(options.gap > times * self.moved)
        return near
