"""Job keys: same numbers, same key; anything that can change a number, another key."""

from pathlib import Path

import made_up_records as records
import pytest

from repro import keys
from repro.expand import slots
from repro.jobs import EvaluateJob


def job() -> EvaluateJob:
    first = next(iter(slots(records.manifest(), "full", records.checkpoints()))).job
    assert isinstance(first, EvaluateJob)
    return first


BASE = {
    "inputs": {"w": "1"},
    "code": {"runner/evaluate.py": "2"},
    "libraries": {"torch": "2.2.1"},
    "machine": {"hardware": "cpu"},
}


def test_the_label_of_a_setting_changes_no_key() -> None:
    renamed = job().model_copy(update={"setting": job().setting.model_copy(update={"id": "other"})})
    assert keys.of_job(job(), **BASE) == keys.of_job(renamed, **BASE)


@pytest.mark.parametrize("part", sorted(BASE))
def test_every_part_changes_the_key(part: str) -> None:
    name = next(iter(BASE[part]))
    other = {**BASE, part: {name: "else"}}
    assert keys.of_job(job(), **BASE) != keys.of_job(job(), **other)


def test_every_field_of_a_job_changes_the_key() -> None:
    changes = {
        "checkpoint": "phi-1",
        "dtype": "bfloat16",
        "arm": "autocast",
        "subjects": ("arithmetic",),
        "shots": (0,),
        "setting": job().setting.model_copy(update={"batch_size": 9}),
    }
    made = {
        keys.of_job(job().model_copy(update={name: to}), **BASE) for name, to in changes.items()
    }
    assert len(made | {keys.of_job(job(), **BASE)}) == len(changes) + 1


def test_code_is_followed_through_imports() -> None:
    found = keys.code_of("evaluate")
    assert {"runner/evaluate.py", "runner/mmlu_tasks.py", "runner/mmlu_data.py"} <= set(found)
    assert "runner/stability.py" not in found
    assert "runner/rollout.py" in keys.code_of("stability")


def test_a_change_of_a_module_changes_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evaluate.py").write_text("from runner import helper\nimport runner.other\n")
    (tmp_path / "helper.py").write_text("from runner.deep import thing\n")
    (tmp_path / "deep.py").write_text("thing = 1\n")
    (tmp_path / "other.py").write_text("")
    (tmp_path / "unrelated.py").write_text("")
    monkeypatch.setattr(keys, "_runner_folder", lambda: tmp_path)
    before = keys.code_of("evaluate")
    assert set(before) == {f"runner/{name}.py" for name in ("evaluate", "helper", "deep", "other")}
    (tmp_path / "deep.py").write_text("thing = 2\n")
    assert keys.code_of("evaluate") != before


def test_libraries_that_are_not_installed_are_left_out() -> None:
    assert keys.libraries_of("stability", {"torch": "1", "rich": "2"}) == {"torch": "1"}
