"""The bundle's own code against its revision. Oracle: git itself, on a repository made here."""

import subprocess
from pathlib import Path

import pytest

from repro.audit import audit as audits
from repro.environment import revision
from repro.environment.revision import Revision


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in revision.FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.py").write_text("1\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    monkeypatch.setattr(revision, "CODE", tmp_path)
    return tmp_path


def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    (checkout / "docs" / "page.md").write_text("2\n")  # computes nothing
    commit = git(checkout, "rev-parse", "HEAD")
    assert revision.own() == Revision(of=f"commit {commit}", changed=())


def test_changed_added_and_deleted_code_is_named(checkout: Path) -> None:
    (checkout / "runner" / "one.py").write_text("2\n")
    git(checkout, "update-index", "--assume-unchanged", "runner/one.py")
    (checkout / "verify" / "one.py").unlink()
    (checkout / "repro" / "two.py").write_text("2\n")
    (checkout / "repro" / "__pycache__").mkdir()
    (checkout / "repro" / "__pycache__" / "two.cpython-311.pyc").write_text("2\n")
    assert revision.own().changed == ("repro/two.py", "runner/one.py", "verify/one.py")


def test_an_audit_finds_edited_code_of_the_bundle(checkout: Path) -> None:
    (checkout / "runner" / "one.py").write_text("2\n")
    found = audits.audit(search=[str(checkout / "docs")])
    (line,) = [each for each in found.problems if each.startswith("runner/")]
    assert line == f"runner/one.py is not as {revision.own().of} has it"
    assert found.drifted
    assert found.environment.revision == revision.own()


def test_a_copy_without_a_revision_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revision, "CODE", tmp_path)
    assert revision.own() == Revision(of="unknown", changed=())
