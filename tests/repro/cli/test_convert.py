"""`repro convert` as a user meets it: exit codes, messages, and no torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import made_up_archives as made_up
import pytest
import torch
from made_up_archives import state_dict
from safetensors import safe_open

from repro import paths


def repro(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, which says on the last line of stderr what it imported."""
    script = (
        "import sys; from repro.cli.main import main\n"
        f"try: code = main({list(arguments)!r})\nexcept SystemExit as end: code = end.code\n"
        "print({'torch', 'pickle5', 'transformers'} & set(sys.modules), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(paths.ROOT)},
    )


def test_the_command_converts_without_torch_and_says_what_it_did(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    torch.save({"one": shared, "two": shared}, tmp_path / "pytorch_model.bin")
    done = repro("convert", str(tmp_path / "pytorch_model.bin"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "set()"
    assert f"{tmp_path}/model.safetensors: 2 tensors\n" in done.stdout
    assert "one storage, written in full under each name: one, two" in done.stdout
    (found,) = json.loads(repro("convert", str(tmp_path / "pytorch_model.bin"), "--json").stdout)
    assert found["target_sha256"] in done.stdout
    assert found["source_sha256"] in done.stdout
    assert found["written"] is False
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_the_command_refuses_with_2_and_one_message(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    gadget = b"cposix\nsystem\n(" + made_up.text(f"touch {canary}") + b"tR"
    (tmp_path / "pytorch_model.bin").write_bytes(made_up.archive(state_dict(two=gadget)))
    done = repro("convert", str(tmp_path / "pytorch_model.bin"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "pytorch_model.bin: data.pkl at byte 12\n    found:    the global posix" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["pytorch_model.bin"]


@pytest.mark.parametrize("name", ["none.bin", ""])
def test_a_file_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    done = repro("convert", str(tmp_path / name))
    assert done.returncode == 2
    assert "there is no checkpoint file" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "here"], "the following arguments are required: FILE"),
        (["x.bin", "--layout", "olmo"], "--layout olmo: expected --out FOLDER with it"),
    ],
)
def test_options_that_do_not_go_together_are_told(arguments: list[str], words: str) -> None:
    done = repro("convert", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_help_imports_no_framework() -> None:
    done = repro("convert", "--help")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "set()"
    assert "Exits 0" in done.stdout
