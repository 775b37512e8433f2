"""Samples that the real lm-eval logs of a bundled twin on made-up questions, and their catalog.

`LATER` is what lm-eval 0.4.13 wrote of the same questions; of its results file the configurations
and all but the first line of what it says of the machine were left out.
"""

import functools
import json
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import made_up_benchmarks as benchmarks
import made_up_mmlu as mmlu

from repro import fileio, paths
from repro.schema import catalog
from repro.schema.catalog import Benchmark, Dataset
from runner.evaluation import data

TWIN = paths.ROOT / "twins" / "gpt-neox-twin"
LATER = paths.ROOT / "tests" / "lm_eval_0.4.13"
TASKS = ("arc_easy", "lambada_openai", "winogrande")
SUBJECTS = ("anatomy", "astronomy")

_SPLITS = {
    "arc_easy": ("test", "train"),
    "lambada_openai": ("test", "test"),
    "winogrande": ("validation", "train"),
}
"""The split that a task asks, and the one that its examples come from."""
_QUESTIONS = 7

_HUB = {
    ("winogrande", "winogrande_xl"): "winogrande",
    ("allenai/ai2_arc", "ARC-Easy"): "arc_easy",
    ("EleutherAI/lambada_openai", "default"): "lambada_openai",
}


def question_sets() -> dict[str, Dataset | Benchmark]:
    """The real catalog's question sets, as if the made-up questions were all of some of them."""
    known = dict(catalog.question_sets())
    whole = known["mmlu"]
    assert isinstance(whole, Dataset)
    subjects = dict(whole.subjects)
    for name in SUBJECTS:
        gold = [row["answer"] for row in mmlu.made_up_splits(name)["test"]]
        change = {"questions": len(gold), "gold_sha256": fileio.digest_of_data(gold)}
        subjects[name] = whole.subjects[name].model_copy(update=change)
    known["mmlu"] = whole.model_copy(update={"subjects": subjects})
    for task in TASKS:
        rows = _rows(task)[_SPLITS[task][0]]
        gold = [data.gold(task, row) for row in rows]
        change = {"questions": len(rows), "gold_sha256": fileio.digest_of_data(gold)}
        known[task] = known[task].model_copy(update=change)
    return known


def _rows(task: str) -> dict[str, list[dict[str, Any]]]:
    """Rows as the hub has them, by split: 7 that are asked, 20 for examples."""
    make, (asked, drawn) = benchmarks.MAKERS[task], _SPLITS[task]
    examples = {drawn: [make(number) for number in range(50, 70)]}
    return examples | {asked: [make(number) for number in range(_QUESTIONS)]}


def write_data(folder: Path, task: str) -> Path:
    """The same for a run of ours."""
    path = folder / f"{task}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for split, rows in _rows(task).items():
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            archive.writestr(f"{task}/{split}.jsonl", lines)
    return path


@contextmanager
def _made_up_hub() -> Iterator[None]:
    import datasets

    def load_dataset(path: str, name: str | None = None, **_: object) -> Any:
        if (path, name) in _HUB:
            rows = _rows(_HUB[path, name])
            made = {split: datasets.Dataset.from_list(each) for split, each in rows.items()}
            return datasets.DatasetDict(made)
        assert name is not None
        every = mmlu.made_up_splits(name).items()
        return datasets.DatasetDict({split: mmlu.as_dataset(rows) for split, rows in every})

    with mock.patch.object(datasets, "load_dataset", load_dataset):
        yield


def run_lm_eval(out: Path, shots: int) -> Path:
    """The command line of lm-eval 0.4.2 with `--log_samples`, once a task, a folder each.

    It pads the requests of all tasks of a run together, and so the last bits hang on them.
    """
    for name in (*TASKS, "mmlu"):
        _run(out / name, shots, name)
    return out


@functools.cache
def _tasks(verbosity: str) -> Any:
    """lm-eval's index of its tasks, which takes seconds to build."""
    from lm_eval.tasks import TaskManager

    return TaskManager(verbosity)


def _run(out: Path, shots: int, task: str) -> None:
    from runner.evaluation.offline import import_lm_eval

    import_lm_eval()
    import lm_eval.__main__
    import lm_eval.evaluator
    from lm_eval.__main__ import cli_evaluate, setup_parser

    names = [f"mmlu_{name}" for name in SUBJECTS] if task == "mmlu" else [task]

    arguments = setup_parser().parse_args(
        [
            *("--model", "hf", "--model_args", f"pretrained={TWIN},dtype=float32"),
            *("--tasks", ",".join(names)),
            *("--num_fewshot", str(shots), "--batch_size", "4", "--device", "cpu"),
            *("--log_samples", "--output_path", str(out), "--verbosity", "ERROR"),
        ]
    )
    with (
        _made_up_hub(),
        mock.patch.object(lm_eval.evaluator, "get_git_commit_hash", return_value=None),
        mock.patch.object(lm_eval.evaluator, "add_env_info", _env_info),
        mock.patch.object(
            lm_eval.__main__, "TaskManager", lambda verbosity, **_: _tasks(verbosity)
        ),
        mock.patch.dict(os.environ),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        cli_evaluate(arguments)


def _env_info(storage: dict[str, Any]) -> None:
    """What lm-eval says of versions; the whole of it takes many seconds to find out."""
    import torch
    import transformers

    storage["pretty_env_info"] = f"PyTorch version: {torch.__version__}\n"
    storage["transformers_version"] = transformers.__version__
