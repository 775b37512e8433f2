"""Job keys: same numbers, same key; anything that can change a number, another key."""

import json
import subprocess
import sys
from pathlib import Path

import made_up_records as records
import pytest
from bundle_copies import copy_checkout

from repro import paths
from repro.schema.jobs import KINDS, EvaluateJob
from repro.schema.slots import slots
from repro.store import keys


def job() -> EvaluateJob:
    first = next(iter(slots(records.manifest(), "full", records.checkpoints()))).job
    assert isinstance(first, EvaluateJob)
    return first


BASE = {
    "inputs": {"w": "1"},
    "code": {"runner/evaluation/evaluate.py": "2"},
    "libraries": {"torch": "2.2.1"},
    "machine": {"hardware": "cpu"},
}


def test_the_label_of_a_setting_changes_no_key() -> None:
    renamed = job().model_copy(update={"setting": job().setting.model_copy(update={"id": "other"})})
    assert keys.job_key(job(), **BASE) == keys.job_key(renamed, **BASE)


@pytest.mark.parametrize("part", sorted(BASE))
def test_every_part_changes_the_key(part: str) -> None:
    name = next(iter(BASE[part]))
    other = {**BASE, part: {name: "else"}}
    assert keys.job_key(job(), **BASE) != keys.job_key(job(), **other)


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
        keys.job_key(job().model_copy(update={name: to}), **BASE) for name, to in changes.items()
    }
    assert len(made | {keys.job_key(job(), **BASE)}) == len(changes) + 1


# -----------------------------------------------------------------------------
# Code


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of our packages, to be changed."""
    folder = tmp_path_factory.mktemp("tree")
    copy_checkout(folder, ("repro", "runner", "verify"))
    return folder


def modules(folder: Path) -> dict[str, Path]:
    """Module name to its file."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def codes(folder: Path | None = None) -> dict[str, dict[str, str]]:
    return {kind: keys.code_of(kind, folder) for kind in KINDS}


def test_a_byte_of_any_module_that_is_reached_changes_the_code(tree: Path) -> None:
    before = codes(tree)
    assert before == codes()
    for name in sorted({name for code in before.values() for name in code}):
        content = (tree / name).read_bytes()
        (tree / name).write_bytes(content + b"\n")
        changed = {kind for kind, code in codes(tree).items() if code != before[kind]}
        assert changed == {kind for kind, code in before.items() if name in code}, name
        (tree / name).write_bytes(content)


def test_a_byte_of_any_other_module_does_not(tree: Path) -> None:
    before = codes(tree)
    reached = {name for code in before.values() for name in code}
    others = [path for path in modules(tree).values() if str(path.relative_to(tree)) not in reached]
    assert {path.parts[-2] for path in others} >= {"rules", "cli"}
    for path in others:
        path.write_bytes(path.read_bytes() + b"\n")
    assert codes(tree) == before


def imported_with(*names: str) -> set[str]:
    """Files of ours that Python imports with some modules, in a process of its own."""
    program = "import importlib, json, sys; [importlib.import_module(n) for n in sys.argv[1:]]; "
    program += "print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-W", "ignore", "-c", program, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    every = modules(paths.ROOT)
    found = [every[name] for name in json.loads(done.stdout) if name in every]
    return {path.relative_to(paths.ROOT).as_posix() for path in found}


def test_what_python_imports_is_in_the_code_or_changes_no_number() -> None:
    """Oracle: `sys.modules`, which knows no parsing."""
    found = imported_with(*(each.ENTRY for each in KINDS.values()))
    assert {
        "runner/tuning/finetune.py",
        "runner/evaluation/evaluate.py",
        "repro/schema/families.py",
    } <= found
    parsed = {name for code in codes().values() for name in code}
    assert found - parsed <= imported_with(*keys.NO_NUMBERS)


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_and_beginnings_are_part_of_what_asks_a_model(kind: str) -> None:
    loads = kind not in ("weight_tying", "proof")
    assert ("repro/schema/families.py" in keys.code_of(kind)) == loads


def test_what_changes_no_number_is_there_and_has_a_reason() -> None:
    assert set(keys.NO_NUMBERS) <= set(modules(paths.ROOT))
    assert all(keys.NO_NUMBERS.values())
    reached = {name for kind in KINDS for name in keys.code_of(kind)}
    assert not reached & {f"{name.replace('.', '/')}.py" for name in keys.NO_NUMBERS}


@pytest.mark.parametrize(
    "line",
    [
        "from runner import helper",
        "from runner.helper import thing",
        "import runner.helper",
        "import runner.helper as other",
        "from .. import helper",
        "from ..helper import thing",
        "def late():\n    from runner.helper import thing",
        "from repro import helper",
        "from runner.room import helper",
        "from runner.room.helper import thing",
        "from ..room import helper",
        "from ..room.inner import thing",
    ],
)
def test_every_way_of_importing_is_followed(line: str, tmp_path: Path) -> None:
    files = ["repro/helper.py", "runner/helper.py", "runner/room/helper.py"]
    for name in [*files, "repro/__init__.py", "runner/__init__.py", "runner/unrelated.py"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("thing = 1\n")
    (tmp_path / "runner/room/__init__.py").write_text("")
    (tmp_path / "runner/room/inner.py").write_text("from ..room.helper import thing\n")
    (tmp_path / "runner/evaluation").mkdir()
    (tmp_path / "runner/evaluation/__init__.py").write_text("")
    (tmp_path / "runner/evaluation/evaluate.py").write_text(f"{line}\n")
    found = set(keys.code_of("evaluate", tmp_path))
    assert {"runner/evaluation/evaluate.py", "runner/__init__.py"} < found
    assert found & set(files)
    assert "runner/unrelated.py" not in found
    assert ("runner/room/__init__.py" in found) == ("room" in line)


def test_libraries_that_are_not_installed_are_left_out() -> None:
    assert keys.libraries_of("stability", {"torch": "1", "rich": "2"}) == {"torch": "1"}


def test_what_is_not_followed_is_short_and_known() -> None:
    """Each of these can change no number: whoever adds one shows it here, and says why there."""
    assert set(keys.NO_NUMBERS) == {"repro.errors", "repro.schema.jobs"}
    assert all(keys.NO_NUMBERS.values())
