"""Every tool and benchmark says what it is for, and what it cannot have, in a message.

All in this process, so that what many of them import is imported once. Oracle: exit codes.
"""

import importlib.util
import runpy
import sys
from pathlib import Path

import pytest

from repro import paths

MODULES = sorted(
    f"{path.parent.name}.{path.stem}"
    for folder in ("benchmarks", "tools")
    for path in (paths.ROOT / folder).glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")
)
ON_A_GPU = ("benchmarks.memory", "benchmarks.scan_starts")


def ended(name: str, *arguments: str) -> object:
    """What a command ends with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *arguments])
        patch.delitem(sys.modules, name, raising=False)
        with pytest.raises(SystemExit) as caught:
            runpy.run_module(name, run_name="__main__")
    return caught.value.code


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MODULES)
def test_help_is_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(name, "--help") == 0
    assert capsys.readouterr().out.startswith("usage: ")


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_A_GPU)
def test_without_a_gpu_it_is_said(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("here is a GPU")
    assert ended(name) == 3
    told = capsys.readouterr().err
    assert "found no GPU that torch can use; `repro doctor` says" in told


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("tools.describe_data", (), "WHEEL"),
        ("tools.describe_sentences", (), "COPY"),
        ("tools.describe_sentences", ("nowhere.txt",), "nowhere.txt: No such file"),
        ("tools.describe_theorems", ("jib",), "unrecognized arguments: jib"),
        ("tools.describe_verdicts", ("words",), "expected words FOLDER"),
        ("tools.describe_real_model", ("nowhere",), "nowhere/real-model.json: found 'No such"),
        ("tools.describe_rates", ("--keep", "nowhere"), "nowhere: found 'No such"),
        ("benchmarks.calibration", ("many",), "invalid int value: 'many'"),
        ("benchmarks.stopping", ("1",), "found 1 papers, expected 200 or more"),
        ("benchmarks.memory", ("mamba",), "found mamba, expected some of mamba-130m, "),
    ],
)
def test_what_is_missing_or_wrong_is_said(
    name: str,
    arguments: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ended(name, *arguments) == 2
    assert told in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("playwright") is not None, reason="it is installed")
def test_without_a_browser_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("benchmarks.page") == 3
    assert "No module named 'playwright'; `make test-browser`" in capsys.readouterr().err
