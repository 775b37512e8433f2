"""Answers that somebody else's run gave: what is taken from any file of them, and a plain CSV.

A CSV has a line a question, with the columns of `COLUMNS` and, if known, `shots`,
`log_likelihood_0`, … and `characters_0`, …, one for each choice, empty where there is none.

Not covered: tasks whose answers are words, as CSV.
"""

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from repro import fileio
from repro.errors import Problem
from repro.schema.catalog import Benchmark, Dataset
from repro.text import first_few, known_names

COLUMNS = ("task", "question", "gold", "answer")
"""lm-eval's name of the task; row of its split, right choice and chosen one, each from 0."""
LARGEST = 1 << 30
"""Bytes of one file; the largest of MMLU at five shots has a tenth."""

Tasks = Mapping[str, Dataset | Benchmark]
"""The catalog's question sets."""

_SUBJECT = "mmlu_"


@dataclass(frozen=True)
class Question:
    """One question, answered."""

    row: int
    gold: int | None
    """Right choice, from 0; None where the answer is a word."""
    picked: int | None
    """Chosen one, where nothing else is known."""
    log_likelihoods: tuple[float, ...]
    """Nats, one a choice; empty where they are not known."""
    characters: tuple[int, ...]
    """Of each choice; empty where they are not known."""
    greedy: bool | None
    """Of a word: whether greedy decoding gives it."""
    prompts: Any = None
    """What was asked, as lm-eval logs it; digested and not kept."""


@dataclass(frozen=True)
class Answers:
    """A subject or a benchmark at one number of shots, in order of its rows."""

    task: str
    subject: str
    """Of MMLU; else empty."""
    shots: int
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Source:
    """One file of answers, and what is said of how they were made."""

    path: Path
    layout: str
    """What wrote it down."""
    answers: tuple[Answers, ...]
    said: Mapping[str, str] = field(default_factory=dict)
    """dtype, batch_size, seed, limit, as far as a results file says."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions, as far as it does."""
    results: Path | None = None
    """That file."""


class WrongFileError(Exception):
    """A file that cannot be imported, and why."""

    def __init__(self, where: object, found: str, expected: str) -> None:
        self.problem = Problem(str(where), found, expected)
        super().__init__(found)


def text_of(path: Path) -> str:
    """All of a file, which may be larger than a document.

    Raises:
        WrongFileError: it cannot be read, or is no text.
    """
    try:
        with fileio.open_regular_file(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            content = stream.read() if size <= LARGEST else b""
    except OSError as error:
        raise WrongFileError(path, f"{error.strerror}", "a file that can be read") from error
    if size > LARGEST:
        most = f"at most {LARGEST >> 20} MiB: one file a task, as lm-eval writes it"
        raise WrongFileError(path, f"{size >> 20} MiB", most)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WrongFileError(path, f"no UTF-8 at byte {error.start}", "a text file") from error


def task_of(name: str, tasks: Tasks) -> tuple[str, str] | None:
    """Question set and subject of one of lm-eval's names."""
    if name.startswith(_SUBJECT):
        known = tasks.get("mmlu")
        subject = name.removeprefix(_SUBJECT)
        if isinstance(known, Dataset) and subject in known.subjects:
            return "mmlu", subject
    return (name, "") if isinstance(tasks.get(name), Benchmark) else None


def has_words(task: str, tasks: Tasks) -> bool:
    """Whether answers are words, as LAMBADA's, and no choices."""
    known = tasks[task]
    return isinstance(known, Benchmark) and known.output == "loglikelihood"


def names_of(tasks: Tasks) -> list[str]:
    """Everything that `task_of` knows."""
    subjects = (each.subjects for each in tasks.values() if isinstance(each, Dataset))
    named = [f"{_SUBJECT}{name}" for each in subjects for name in each]
    return named + [name for name, each in tasks.items() if isinstance(each, Benchmark)]


def in_order(path: Path, questions: Iterable[Question]) -> tuple[Question, ...]:
    """Every row once, from the first on.

    Raises:
        WrongFileError: one is there twice, or absent.
    """
    found = sorted(questions, key=lambda each: each.row)
    times = Counter(each.row for each in found)
    twice = [str(row) for row, count in times.items() if count > 1]
    if twice:
        raise WrongFileError(
            path, f"question {first_few(twice)} more than once", "each question once"
        )
    absent = [str(row) for row in range(len(found)) if row not in times]
    if absent:
        what = f"{len(found)} questions, and none is {first_few(absent)}"
        raise WrongFileError(path, what, "all questions, or the first so many")
    if len({bool(each.log_likelihoods) for each in found}) > 1:
        raise WrongFileError(path, "log-likelihoods of some questions", "those of all, or of none")
    return tuple(found)


def best_choice(scores: Sequence[float]) -> int:
    """The first largest; `np.argmax`, as lm-eval, takes NaN for the largest."""
    return int(np.argmax(scores))


def arrays_of(asked: Sequence[Question]) -> dict[str, Any]:
    """Arrays of some questions at one number of shots, as a record of ours has them.

    Returns:
        log_likelihood (Q, C) float64, nats; characters (Q, C), prediction, prediction_normalised,
        gold (Q,) int64; greedy (Q,) uint8: those that are known.
    """
    found: dict[str, Any] = {}
    if asked[0].log_likelihoods:
        scores = _padded([each.log_likelihoods for each in asked], np.nan)
        found["log_likelihood"] = scores
    if asked[0].greedy is not None:
        return found | {"greedy": np.array([each.greedy for each in asked], dtype=np.uint8)}
    found["gold"] = np.array([each.gold for each in asked], dtype=np.int64)
    if not asked[0].log_likelihoods:
        return found | {"prediction": np.array([each.picked for each in asked], dtype=np.int64)}
    lengths = [each.characters for each in asked]
    compared = scores
    if all(lengths):
        characters = _padded(lengths, 0).astype(np.int64)
        compared = np.where(characters > 0, scores, -np.inf)
        by_length = compared / np.maximum(characters, 1)
        found["characters"] = characters
        found["prediction_normalised"] = by_length.argmax(axis=1).astype(np.int64)
    return found | {"prediction": compared.argmax(axis=1).astype(np.int64)}


def _padded(rows: Sequence[Sequence[float]], nothing: float) -> Any:  # noqa: ANN401  # an array
    widest = max(map(len, rows))
    return np.array([[*row, *[nothing] * (widest - len(row))] for row in rows], dtype=np.float64)


# -----------------------------------------------------------------------------
# A plain CSV


def csv_source(path: Path, text: str, tasks: Tasks, shots: int | None) -> Source:
    """The answers of a CSV.

    Raises:
        WrongFileError: at its first line that cannot be used.
    """
    try:
        reader = csv.DictReader(io.StringIO(text), strict=True)
        rows, named = list(reader), reader.fieldnames or []
    except csv.Error as error:
        raise WrongFileError(
            path, f"no CSV: {error}", f"the columns {', '.join(COLUMNS)}"
        ) from error
    if twice := [name for name, times in Counter(named).items() if times > 1]:
        raise WrongFileError(path, f"column {first_few(twice)} twice", "each column once")
    heads = list(rows[0]) if rows else []
    if absent := [name for name in COLUMNS if name not in heads]:
        raise WrongFileError(path, f"no column {first_few(absent)}", f"{', '.join(COLUMNS)}")
    parts: dict[tuple[str, str, int], list[Question]] = {}
    for number, row in enumerate(rows, start=2):
        where = f"{path}: line {number}"
        if None in row or None in row.values():
            raise WrongFileError(
                where, "another number of cells", f"{len(heads)}, as the first line"
            )
        asked = _whole(row["shots"], where, "shots") if row.get("shots") else shots
        if asked is None:
            raise WrongFileError(
                where, "no number of solved examples", "a column shots, or --shots N"
            )
        task = task_of(row["task"], tasks)
        if task is None or has_words(task[0], tasks):
            expected = known_names(row["task"], names_of(tasks))
            raise WrongFileError(where, f"a task {row['task']!r}", expected)
        parts.setdefault((*task, asked), []).append(_csv_question(row, where))
    answers = (Answers(*part, in_order(path, questions)) for part, questions in parts.items())
    return Source(path, "CSV", tuple(answers))


def _csv_question(row: Mapping[str, str], where: str) -> Question:
    number, gold, picked = (_whole(row[name], where, name) for name in COLUMNS[1:])
    scores = _cells(row, where, "log_likelihood_", float)
    lengths = _cells(row, where, "characters_", int)
    if lengths and len(lengths) != len(scores):
        raise WrongFileError(where, "characters of other choices", "one for each log-likelihood")
    if scores and picked != best_choice(scores):
        found = f"answer {picked}, the largest log-likelihood is that of {best_choice(scores)}"
        raise WrongFileError(where, found, "the first choice of the largest log-likelihood")
    if scores and gold >= len(scores):
        raise WrongFileError(where, f"gold {gold}", f"one of {len(scores)} choices, from 0")
    return Question(number, gold, picked, scores, lengths, None)


def _cells(
    row: Mapping[str, str], where: str, begins: str, read: Callable[[str], Any]
) -> tuple[Any, ...]:
    """Cells of `begins0`, `begins1`, … up to the first that is empty or absent."""
    found: list[Any] = []
    while cell := row.get(f"{begins}{len(found)}"):
        try:
            found.append(read(cell))
        except ValueError as error:
            raise WrongFileError(where, f"{begins}{len(found)} {cell!r}", "a number") from error
    return tuple(found)


def _whole(text: str, where: str, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise WrongFileError(where, f"{name} {text!r}", "a whole number from 0 on")
    return int(text)
