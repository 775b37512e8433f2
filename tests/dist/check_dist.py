"""Wheel and sdist as anybody installs them: `make dist`, outside the normal suite.

Each goes into a fresh environment of every Python that is found and allowed, with what it declares,
newest versions, from the package index. Oracle: the checkout's verdicts on the committed evidence.
`tests/test_wheel.py` does the same off the network, with the pinned versions.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from repro import paths

pytestmark = pytest.mark.timeout(1200)

PYTHONS = [
    name
    for name in ("python3.11", "python3.12")
    if shutil.which(name) and not subprocess.run([name, "-c", ""], check=False).returncode
]
MADE = sorted(Path(os.environ["DIST"]).iterdir())
LIMIT = 60
"""Seconds that a verdict may take on a slow machine."""


def call(*command: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    environ = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )


def judged(text: str) -> list[Any]:
    """Verdicts, but for where a line of pinned code was read: there, or in the packet's index.

    To ten digits: another numpy adds in another order.
    """
    found: list[Any] = json.loads(text, parse_float=lambda each: float(f"{float(each):.10g}"))
    for finding in (each for verdict in found for each in verdict["findings"]):
        del finding["working"]
    return found


@pytest.fixture(scope="session")
def packet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packet") / "packet.zip"
    words = ("export", "evidence", "--format", "ro-crate", "--out", out)
    done = call(sys.executable, "-m", "repro", *words, cwd=paths.ROOT)
    assert done.returncode == 0, done.stderr
    return out


def test_there_is_a_wheel_and_an_sdist() -> None:
    assert [path.suffix for path in MADE] == [".whl", ".gz"]


@pytest.mark.parametrize("made", MADE, ids=lambda path: path.suffix)
@pytest.mark.parametrize("python", PYTHONS)
def test_it_judges_our_packet_alike(
    made: Path, python: str, packet: Path, tmp_path: Path
) -> None:
    venv, empty = tmp_path / "venv", tmp_path / "empty"
    empty.mkdir()
    assert call(python, "-m", "venv", venv, cwd=empty).returncode == 0
    done = call(venv / "bin" / "pip", "install", "--quiet", made, cwd=empty)
    assert done.returncode == 0, done.stderr
    assert call(venv / "bin" / "pip", "check", cwd=empty).returncode == 0
    here = call(sys.executable, "-m", "repro", "verify", "evidence", "--json", cwd=paths.ROOT)
    clock = time.monotonic()
    done = call(venv / "bin" / "repro", "verify", packet, "--json", cwd=empty)
    assert time.monotonic() - clock < LIMIT
    assert done.returncode == here.returncode, done.stderr
    assert judged(done.stdout) == judged(here.stdout)
    done = call(venv / "bin" / "repro", "report", packet, "--out", "page", cwd=empty)
    assert done.returncode == here.returncode, done.stderr
    page = (empty / "page" / "report.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<details class="card[^>]* data-outcome="', page)) > 400
