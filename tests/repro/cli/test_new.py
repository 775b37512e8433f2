"""`repro new`: a bundle that every command takes as it is, or a refusal that writes nothing."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import repro_here

from repro import paths
from repro.schema import claims

NEW = ("--id", "2501.01234", "--title", "Ours & “theirs”", "--author", "A. Author")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    done = repro_here("new", "my paper", *NEW, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cd 'my paper'" in done.stdout
    return tmp_path / "my paper"


def test_its_examples_hold_and_are_of_many_kinds(made: Path) -> None:
    """Oracle: arithmetic by hand, in the statements of the template."""
    done = repro_here("verify", "--paper", "--json", cwd=made)
    assert done.returncode == 0, done.stdout + done.stderr
    (verdict,) = json.loads(done.stdout)
    words = {each["claim"]: each["outcome"] for each in verdict["findings"]}
    assert {name for name, word in words.items() if word == "inconclusive"} == {"whole", "sampling"}
    assert set(words.values()) == {"consistent", "inconclusive"}
    first = json.loads((made / "manifests" / "first.json").read_bytes())
    assert all(each["statement"].startswith(f"{each['kind']}: ") for each in first["claims"])
    printed = {
        each.model_fields["kind"].annotation.__args__[0] for each in claims.PageClaim.__args__
    }
    kinds = {each["kind"] for each in first["claims"]}
    assert printed - {"baseline"} <= kinds
    assert len(kinds) > 12


def test_list_and_plan_take_it(made: Path) -> None:
    done = repro_here("list", "--json", cwd=made)
    assert [each["claims"] for each in json.loads(done.stdout)] == [16]
    for tier in ("smoke", "full"):
        done = repro_here("plan", "first", "--tier", tier, "--offline", "--json", cwd=made)
        assert done.returncode in (0, 3), done.stderr  # 3: the data may not be in the cache
        assert json.loads(done.stdout)[0]["jobs"]


def test_everything_that_is_wrong_is_told_and_nothing_written(tmp_path: Path) -> None:
    done = repro_here("new", "mine", "--title", "Ours", cwd=tmp_path)
    assert done.returncode == 2
    assert "--id" in done.stderr
    assert "--author" in done.stderr
    wrong = ("--id", "a b", "--author", "", "--title", "", "--url", "x", "--paper-version", "v 1")
    done = repro_here("new", "mine", *wrong[:4], "--title", "t", *wrong[6:], cwd=tmp_path)
    assert done.returncode == 2
    for field in ("id", "authors[0]", "url", "versions[0]"):
        assert f"mine/paper.json: $.{field}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_left_alone(made: Path) -> None:
    before = (made / paths.PAPER).read_bytes()
    done = repro_here("new", made.name, *NEW, cwd=made.parent)
    assert done.returncode == 2
    assert "found files in it" in done.stderr
    assert (made / paths.PAPER).read_bytes() == before
    (made.parent / "empty").mkdir()
    assert repro_here("new", "empty", *NEW, cwd=made.parent).returncode == 0


def test_on_a_terminal_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"tiny-card\nTiny\nA. Author; B. Author\n")
    done = subprocess.run(
        [sys.executable, "-m", "repro.cli.main", "new", "mine"],
        cwd=tmp_path,
        stdin=theirs,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(paths.ROOT)},
    )
    os.close(ours)
    assert "arXiv id" in done.stdout
    about = json.loads((tmp_path / "mine" / paths.PAPER).read_bytes())
    assert (about["id"], about["title"]) == ("tiny-card", "Tiny")
    assert about["authors"] == ["A. Author", "B. Author"]
