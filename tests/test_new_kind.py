"""The kind of job that docs/researcher.md adds: put into a copy of the tree, run, and taken out."""

import os
import re
import subprocess
import sys
from pathlib import Path

from repro import paths

TEXT = (paths.ROOT / "docs" / "researcher.md").read_text(encoding="utf-8")
ROOMS = ("repro", "runner", "verify", "catalog", "manifests", "twins")


def block(name: str) -> str:
    """The fenced block below the name of a file."""
    found = re.search(
        rf"^Save as `{re.escape(name)}`:\n\n```\w+\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE
    )
    assert found, name
    return found[1]


def files(root: Path) -> dict[Path, bytes]:
    """Every source below a folder."""
    return {path: path.read_bytes() for path in sorted(root.rglob("*.py"))}


def test_a_kind_of_job_is_added_run_judged_and_taken_out(tmp_path: Path) -> None:
    """Its result is held to the closed form: 1 - (1 - exp(-x)) / x is at most x / 2."""
    tree = tmp_path / "tree"
    listed = subprocess.run(
        ["git", "ls-files", "-z", *ROOMS, "*.txt", "pyproject.toml"],
        cwd=paths.ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes((paths.ROOT / name).read_bytes())
    before = files(tree)
    (tmp_path / "kind.diff").write_text(block("kind.diff"), encoding="utf-8")
    (tmp_path / "hold.json").write_text(block("mine/hold.json"), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(tree), "GIT_CEILING_DIRECTORIES": str(tmp_path)}

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tree, env=environment, check=False, capture_output=True, text=True
        )

    def repro(*arguments: str) -> subprocess.CompletedProcess[str]:
        return call(sys.executable, "-P", "-m", "repro.cli.main", *arguments)

    unknown = repro("run", "../hold.json", "--tier", "full", "--offline", "--out", "../held")
    assert unknown.returncode == 2
    assert '"discretisation"' in unknown.stderr

    assert call("git", "apply", "../kind.diff").returncode == 0
    done = repro("run", "../hold.json", "--tier", "full", "--offline", "--out", "../held")
    assert done.returncode == 0, done.stderr
    judged = repro("verify", "../held")
    assert judged.returncode == 3, judged.stderr
    assert "held by all 1,000" in " ".join(judged.stdout.split())

    assert call("git", "apply", "-R", "../kind.diff").returncode == 0
    assert files(tree) == before
