"""MMLU out of the data wheel, and as lm-eval's tasks.

Oracles: the datasets library's own reader on the unpacked folder; MMLU's published
sizes and answer counts; made-up rows that were written here.
"""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import made_up_mmlu
import numpy as np
import pytest

from repro.errors import BadInputError, CannotRunError
from runner.evaluation import data
from runner.evaluation import tasks as harness_tasks
from runner.evaluation.offline import quiet


def rows_of(
    wheel: Path, subjects: Iterable[str], split: Literal["dev", "test"]
) -> Iterator[dict[str, Any]]:
    """Rows of some subjects, one subject after the other."""
    for subject in subjects:
        yield from data.read_mmlu(wheel, subject, split).to_pylist()


# -----------------------------------------------------------------------------
# The real wheel


def test_the_real_wheel_holds_all_of_mmlu(data_wheel: Path) -> None:
    """57 subjects, 14,042 questions; answers A to D counted over hails/mmlu_no_train."""
    subjects = made_up_mmlu.subjects_of(data_wheel)
    assert len(subjects) == 57
    gold = [row["answer"] for row in rows_of(data_wheel, subjects, "test")]
    assert np.bincount(gold).tolist() == [3222, 3462, 3582, 3776]


def test_the_real_rows_are_those_that_were_checked(data_wheel: Path) -> None:
    """Digests of all rows, taken when they were compared with another copy of the data set."""
    subjects = made_up_mmlu.subjects_of(data_wheel)
    assert data.mmlu_digest(rows_of(data_wheel, subjects, "test")) == (
        "d00f2555ca792f48eb1296aaf5a084fcdfd92e6b542ffaef9624fa11cfb02853"
    )
    assert data.mmlu_digest(rows_of(data_wheel, subjects, "dev")) == (
        "febfb61a7ba709df6f9b1567ad5c3dedf59c4513842023da975292d58a6cfeb0"
    )


def test_reading_equals_the_datasets_library(data_wheel: Path, tmp_path: Path) -> None:
    import datasets

    folder = f"{data.MMLU_FOLDER}/virology/test/"
    with zipfile.ZipFile(data_wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(folder)]
        archive.extractall(tmp_path, names)
    stock = datasets.load_from_disk(str(tmp_path / folder))
    ours = data.mmlu_dataset(data_wheel, "virology")["test"]
    assert ours.features == stock.features
    assert list(ours) == list(stock)


def test_every_subject_of_lm_eval_is_in_the_wheel(data_wheel: Path) -> None:
    with quiet():
        tasks = harness_tasks.build_mmlu(made_up_mmlu.subjects_of(data_wheel), data_wheel)
    assert len(tasks) == len(list(harness_tasks.MMLU_TASKS.glob("mmlu_*.yaml")))
    assert {len(task.fewshot_docs()) for task in tasks.values()} == {data.MMLU_EXAMPLES}
    for subject, task in tasks.items():
        assert subject.replace("_", " ") in task.config.description


# -----------------------------------------------------------------------------
# A made-up wheel


def test_rows_come_as_written(tiny_wheel: Path) -> None:
    for subject in made_up_mmlu.SUBJECTS:
        for split, rows in made_up_mmlu.made_up_splits(subject).items():
            read = data.read_mmlu(tiny_wheel, subject, split)  # type: ignore[arg-type]
            assert read.to_pylist() == rows


def test_digest_sees_question_choices_answer_and_order() -> None:
    rows = made_up_mmlu.made_up_rows("anatomy", 3)
    digest = data.mmlu_digest(rows)
    assert digest == data.mmlu_digest({**row, "subject": "x"} for row in rows)
    changed = [
        [{**rows[0], "question": "?"}, *rows[1:]],
        [{**rows[0], "choices": rows[0]["choices"][::-1]}, *rows[1:]],
        [{**rows[0], "answer": (rows[0]["answer"] + 1) % 4}, *rows[1:]],
        rows[::-1],
    ]
    assert digest not in [data.mmlu_digest(each) for each in changed]


def test_the_prompt_is_mmlus(tiny_wheel: Path) -> None:
    """Written out by hand from lm-eval's YAML: description, one example, question.

    The YAML's description ends in two newlines; Jinja, as lm-eval 0.4.2 sets it up, drops
    the last one of any template.
    """
    with quiet(), harness_tasks.templates_compiled_once():
        task = harness_tasks.build_mmlu(["anatomy"], tiny_wheel)["anatomy"]
        prompt = task.fewshot_context(task.eval_docs[0], 1)
    splits = made_up_mmlu.made_up_splits("anatomy")
    example, row = splits["dev"][0], splits["test"][0]

    def shown(asked: dict[str, object]) -> str:
        letters = zip("ABCD", asked["choices"], strict=True)  # type: ignore[call-overload]
        choices = "\n".join(f"{letter}. {choice}" for letter, choice in letters)
        return f"{str(asked['question']).strip()}\n{choices}\nAnswer:"

    assert prompt == (
        "The following are multiple choice questions (with answers) about anatomy.\n"
        f"{shown(example)} {'ABCD'[example['answer']]}\n\n{shown(row)}"
    )


# -----------------------------------------------------------------------------
# What can be wrong


def test_an_unknown_subject_is_named_with_what_there_is(tiny_wheel: Path) -> None:
    with pytest.raises(BadInputError, match=r"alchemy[^$]*abstract_algebra"):
        harness_tasks.build_mmlu(["anatomy", "alchemy"], tiny_wheel)


def test_a_subject_missing_from_the_wheel(tiny_wheel: Path) -> None:
    with pytest.raises(BadInputError, match="virology"):
        data.read_mmlu(tiny_wheel, "virology", "test")


@pytest.mark.parametrize("content", [None, b"not a zip file"])
def test_a_wheel_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    wheel = tmp_path / "broken.whl"
    if content is not None:
        wheel.write_bytes(content)
    with pytest.raises(BadInputError, match=r"broken\.whl"):
        data.read_mmlu(wheel, "anatomy", "test")


def test_rows_that_are_no_arrow_stream(tmp_path: Path) -> None:
    wheel = tmp_path / "odd.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        name = f"{data.MMLU_FOLDER}/anatomy/test/data-00000-of-00001.arrow"
        archive.writestr(name, b"no stream")
    with pytest.raises(BadInputError, match=r"odd\.whl"):
        data.read_mmlu(wheel, "anatomy", "test")


@pytest.mark.parametrize("change", [{"choices": ["1", "2", "3"]}, {"answer": -1}])
def test_a_row_that_is_no_question(change: dict[str, object], tmp_path: Path) -> None:
    rows = made_up_mmlu.made_up_rows("anatomy", 2)
    rows[1] = {**rows[1], **change}
    wheel = made_up_mmlu.write_wheel(tmp_path / "odd.whl", {"anatomy": {"test": rows}})
    with pytest.raises(BadInputError, match="row 1"):
        data.read_mmlu(wheel, "anatomy", "test")


@pytest.mark.usefixtures("no_network")
def test_the_hub_offline_is_a_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    with quiet(), pytest.raises(CannotRunError, match="give the data wheel"):
        harness_tasks.build_mmlu(["anatomy"], None)
