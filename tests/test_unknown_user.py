"""A user whom the machine does not know: no home, nothing to write to but one folder.

What is in the image's place here is a read-only root in a namespace of its own; the image itself
is asked the same in tests/container.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from repro import paths

Repro = Callable[..., subprocess.CompletedProcess[str]]

SHUT = """
set -e
mount --bind "$OUT" "$OUT"
mount --bind "$ROOT" "$ROOT"
mount -o remount,bind,ro "$ROOT"
mount -o remount,bind,ro /
exec unshare --user --map-user=12345 --map-group=12345 env --ignore-environment LANG=C \
    PATH=/usr/bin:/bin sh -c 'umask 077; cd "$0"; exec "$@"' "$ROOT" "$@"
"""


@pytest.fixture
def repro(tmp_path: Path) -> Repro:
    """The command line as that user; its own folder is `tmp_path`."""

    def inside(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", SHUT, "sh", *command],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin", "OUT": str(tmp_path), "ROOT": str(paths.ROOT)},
        )

    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    done = inside("sh", "-c", f"id -u; echo x > {tmp_path}/x; touch {paths.ROOT}/x /tmp/x")
    if not done.stdout:
        pytest.skip(f"no namespaces here: {done.stderr.strip()}")
    assert done.stdout == "12345\n"
    assert done.stderr.count("Read-only file system") == 2
    assert (tmp_path / "x").is_file()
    return lambda *words: inside(sys.executable, "-m", "repro.cli.main", *words)


def test_verify_report_and_export(repro: Repro, tmp_path: Path) -> None:
    done = repro("verify", "evidence/cpu")
    assert (done.returncode, done.stderr) == (3, "")
    assert "of the paper: " in done.stdout
    done = repro("report", "evidence/cpu", "--out", str(tmp_path / "page"))
    assert done.returncode == 3, done.stderr
    assert [each.name for each in (tmp_path / "page").iterdir()] == ["report.html"]
    table = tmp_path / "findings.csv"
    assert repro("export", "evidence/cpu", "--format", "csv", "--out", str(table)).returncode == 0
    assert table.is_file()


def test_a_run_of_one_job(repro: Repro, tmp_path: Path, data_wheel: Path) -> None:
    out = tmp_path / "out"
    only = "model=mamba-130m,dtype=float32,setting=batch-16"
    done = repro(
        *["run", "manifests/table1.json", "--tier", "smoke", "--offline", "--engine", "prefix"],
        *["--only", only, "--data", f"mmlu={data_wheel}", "--out", str(out)],
    )
    assert done.returncode == 0, done.stderr
    assert len(list(out.glob("jobs/*/record.json"))) == 1
    assert repro("verify", str(out)).returncode == 1  # what follows from the page alone


def test_what_cannot_be_had_says_how_it_can(repro: Repro, tmp_path: Path) -> None:
    done = repro("run", "manifests/table1.json", "--tier", "smoke", "--out", "results")
    assert done.returncode == 3
    assert "could not save results" in done.stderr
    assert "choose a folder that can be written with --out" in done.stderr
    done = repro("run", "manifests/table1.json", "--tier", "smoke", "--out", str(tmp_path / "o"))
    assert done.returncode == 3
    words = " ".join(done.stdout.split())
    assert "mmlu: could not save /.cache/lyapunov-repro: " in words
    assert "choose a folder that can be written with REPRO_CACHE" in words
