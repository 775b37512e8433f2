"""lm-eval's tasks as data; the oracle is lm-eval's own loader, and rows that are made up."""

import json
from pathlib import Path

import made_up_benchmarks as made_up
import pytest

from repro import fileio
from repro.errors import BadInputError
from repro.schema import catalog
from runner.evaluation import task_files, tasks
from runner.evaluation.describe_task import describe
from runner.evaluation.task_files import task_file


def test_how_many_tasks_can_be_asked() -> None:
    """The numbers of the module's docstring."""
    every = [
        task_files.TaskFile(name, path, task_files._read(path))
        for name, path in task_files._index().items()
    ]
    sound = [each.output for each in every if not list(each.problems())]
    assert len(every) == 1957
    assert (sound.count("multiple_choice"), sound.count("loglikelihood")) == (1003, 20)


@pytest.mark.parametrize("name", ["sst2", "arc_easy", "lambada_openai", "mmlu_anatomy"])
def test_a_file_reads_as_lm_eval_reads_it(name: str) -> None:
    from lm_eval.utils import load_yaml_config

    found = task_file(name)
    assert dict(found.says) == load_yaml_config(str(found.path), mode="simple")


@pytest.mark.parametrize("name", sorted(catalog.benchmarks()))
def test_the_catalog_says_what_the_files_say(name: str) -> None:
    known = catalog.benchmarks()[name]
    assert (known.output, known.metrics) == (task_file(name).output, task_file(name).metrics)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gsm8k", "output_type generate_until"),
        ("truthfulqa_mc2", r"Python: process_results \(utils\.process_results_mc2\)"),
        ("cola", r"the metrics \['mcc'\]"),
        ("arc_eazy", "one of arc_easy"),
    ],
)
def test_others_are_refused_by_name(name: str, told: str) -> None:
    with pytest.raises(BadInputError, match=told):
        task_file(name)


def test_an_entry_of_a_task_without_python(tmp_path: Path) -> None:
    wheel = made_up.write_wheel(tmp_path / "rows.zip")
    found = describe("openbookqa", wheel)
    gold = [0, 2, 4, 0, 0, 0, 0]
    assert (found["questions"], found["choices"]) == (7, 4)
    assert (found["output"], found["metrics"]) == ("multiple_choice", ["accuracy", "accuracy_norm"])
    assert found["gold_sha256"] == fileio.digest_of_data(gold)
    assert found["shot_characters"] > 0
    rows = tmp_path / "test.jsonl"
    rows.write_text("\n".join(map(json.dumps, made_up.splits("openbookqa")["test"])))
    assert describe("openbookqa", rows) == found | {"shot_characters": 0}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"answerKey": "Z"}, "row 1"),
        (
            {"choices": {"text": ["a", ""], "label": ["A", "B"]}, "answerKey": "A"},
            "none of them em",
        ),
    ],
)
def test_rows_that_are_no_questions(tmp_path: Path, change: made_up.Row, told: str) -> None:
    rows = made_up.splits("openbookqa")["test"]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, [rows[0], rows[1] | change])))
    task = tasks.build("openbookqa", file)
    with pytest.raises(BadInputError, match=told):
        tasks.answers_of(task, None, file)
