"""The command line on streams that are closed, full, not read or in another encoding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import repro_here

from repro import paths

REPRO = f"{sys.executable} -m repro.cli.main"


def shell(command: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """A command line as a shell runs it; `repro` in it is this tree's."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("repro ", f"{REPRO} ")],
        cwd=paths.ROOT,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(paths.ROOT), **environ},
    )


PRINTING = ["list", "verify --paper --json", "run --help", "--version"]
"""Little output and much, ours and argparse's."""


@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("command", PRINTING)
def test_a_full_standard_output_is_named(command: str, buffered: str) -> None:
    done = shell(f"repro {command} > /dev/full", PYTHONUNBUFFERED=buffered)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"standard output: cannot be written (No space left on device)" in done.stderr


@pytest.mark.parametrize("command", ["verify --paper", "list"])
def test_a_closed_standard_output_is_named_before_anything_is_done(command: str) -> None:
    done = shell(f"repro {command} >&-")
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"standard output: found it closed, expected a terminal, a file or a pipe" in done.stderr


@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("command", ["verify --paper --json", "run --help"])
def test_an_output_that_nobody_reads_ends_quietly(command: str, buffered: str) -> None:
    done = shell(f"repro {command} | true", PYTHONUNBUFFERED=buffered)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("to", ["&-", "/dev/full"])
@pytest.mark.parametrize(
    ("command", "code"), [("list", 0), ("plan nowhere.json", 2), ("plan --no-such-option", 2)]
)
def test_what_cannot_be_said_on_standard_error_changes_no_exit_code(
    command: str, code: int, to: str
) -> None:
    done = shell(f"repro {command} 2>{to}")
    assert done.returncode == code
    assert (done.stdout == b"") == (code == 2)


def test_no_file_becomes_a_stream_that_was_closed(tmp_path: Path) -> None:
    """A file that is opened gets the lowest number that is free: a closed stream's."""
    script = (
        "import os, sys, repro.cli.main, repro.cli.main\n"
        "try: repro.cli.main.make_streams_safe()\n"
        "except repro.cli.main.ReproError: pass\n"
        f"sys.exit(os.open({str(tmp_path / 'record')!r}, os.O_CREAT | os.O_WRONLY))"
    )
    done = shell(f"{sys.executable} -c '{script.replace(chr(39), chr(34))}' <&- >&- 2>&-")
    assert done.returncode > 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8:strict"])
def test_every_encoding_takes_everything(encoding: str) -> None:
    for command in ("run --help", "list", "verify evidence/cpu --markdown"):
        done = shell(f"repro {command}", PYTHONIOENCODING=encoding)
        assert done.returncode in (0, 3)
        assert b"Traceback" not in done.stderr
        assert b"bug" not in done.stderr
    done = shell("repro verify --paper --json", PYTHONIOENCODING=encoding)
    assert json.loads(done.stdout) == json.loads(repro_here("verify", "--paper", "--json").stdout)


def test_a_locale_without_utf_8_is_as_good() -> None:
    environ = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = shell("repro verify --paper", **environ)
    assert done.returncode == 1
    assert b"claims of the paper: " in done.stdout
