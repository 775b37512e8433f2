"""Packets of small results, made by `repro export`."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from repro import paths
from repro.cli.main import main

EVIDENCE = paths.ROOT / "evidence"


WEIGHTS = b"a few bytes in the place of an adapter"


def export(*arguments: str | Path) -> int:
    return main(["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def packet(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packet of it."""
    out = tmp_path_factory.mktemp("some") / "deep/packet"
    assert export(results, "--format", "ro-crate", "--out", out) == 0
    return out


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CODE2 of the evidence: four tunings, weights beside one of them, and a stray record."""
    folder = tmp_path_factory.mktemp("some") / "results"
    source = next(path for path in sorted(EVIDENCE.glob("**/theorem3.full.json")) if tunings(path))
    (folder / "runs").mkdir(parents=True)
    shutil.copy(source, folder / "runs")
    for key in tunings(source):
        shutil.copytree(source.parent.parent / "jobs" / key, folder / "jobs" / key)
    first = folder / "jobs" / tunings(source)[0]
    (first / "model").mkdir(exist_ok=True)
    (first / "model/adapter_model.safetensors").write_bytes(WEIGHTS)
    shutil.copytree(first, folder / "jobs" / ("ab" * 32))
    (folder / "work").mkdir()
    (folder / "work/state").write_text("unfinished")
    return folder


def tunings(run: Path) -> list[str]:
    """Keys of a run's tunings."""
    found = []
    for key in sorted(set(json.loads(run.read_bytes())["jobs"].values())):
        record = run.parent.parent / "jobs" / key / "record.json"
        if record.is_file() and json.loads(record.read_bytes())["job"]["kind"] == "tuning":
            found.append(key)
    return found


def verdicts(capsys: pytest.CaptureFixture[str], *folders: str | Path) -> list[dict[str, Any]]:
    capsys.readouterr()
    main(["verify", *map(str, folders), "--json"])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found
