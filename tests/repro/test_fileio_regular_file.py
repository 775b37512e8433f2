"""Every path that a user or a file can name, leading to what is no file: never a wait, never a
crash. What waits is interrupted."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from repro import fileio, paths
from repro.cli.main import main

pytestmark = pytest.mark.timeout(60)

TABLE = paths.MANIFESTS / "table1.json"


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


STRANGE = {
    a_pipe: "is a pipe, not a file: save what it carries in one",
    a_socket: "is a socket, not a file",
    endless: "is a device, not a file",
    Path.mkdir: "is a folder",
}


@pytest.mark.parametrize("make", STRANGE)
def test_what_is_no_file_is_refused_by_what_it_is(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "x")
    with pytest.raises(OSError, match=STRANGE[make]):
        fileio.read_bytes(tmp_path / "x")


@pytest.mark.parametrize("make", [a_pipe, a_socket, endless])
@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "X"),
        ("verify", "X"),
        ("verify", "X", "--signature", "X"),
        ("report", "X", "--out", "OUT"),
        ("export", "X", "--format", "csv", "--out", "OUT"),
        ("audit", "--against", "X"),
        ("list", "--coverage", "--text", "X"),
        ("convert", "X"),
        ("convert", "X.json"),
        ("convert", "X", "--layout", "olmo", "--out", "OUT"),
        ("plan", TABLE, "--offline", "--data", "mmlu=X"),
        ("plan", TABLE, "--offline", "--substitute", "mamba-twin=X"),
    ],
    ids=lambda each: " ".join(map(str, each)),
)
def test_a_path_that_a_user_names(
    tmp_path: Path,
    make: Callable[[Path], None],
    arguments: tuple[object, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("X", "X.json"):
        make(tmp_path / name)
    given = [str(each).replace("X", str(tmp_path / "X")) for each in arguments]
    given = [each.replace("OUT", str(tmp_path / "out")) for each in given]
    assert main(given) == 2
    done = capsys.readouterr()
    assert str(tmp_path / "X") in done.err
    assert done.out == ""
    assert not (tmp_path / "out").exists()


def test_a_pipe_of_the_shell_is_refused_whether_or_not_somebody_writes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`<(cat manifest)` and `/dev/stdin` are read once; a manifest and a lock are named again."""
    reader, writer = os.pipe()
    try:
        for command in (["plan"], ["audit", "--against"], ["verify"]):
            assert main([*command, f"/dev/fd/{reader}"]) == 2
            assert "is a pipe, not a file: save what it carries" in capsys.readouterr().err
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("make", [a_pipe, a_socket, endless, Path.mkdir])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("config.json", 2),
        ("model.safetensors", 2),
        ("extra.safetensors", 0),  # nothing reads it
        ("model.safetensors.index.json", 0),  # the same, where there is a model.safetensors
        ("tokenizer.json", 3),
        ("tokenizer_config.json", 0),  # as if it were not there
    ],
)
def test_a_member_of_a_checkpoint(
    tmp_path: Path,
    make: Callable[[Path], None],
    name: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "twin"
    shutil.copytree(paths.ROOT / "twins" / "mamba-twin", folder)
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    given = ["--tier", "smoke", "--offline", "--substitute", f"mamba-twin={folder}"]
    assert main(["plan", str(TABLE), *given, "--out", str(tmp_path / "none")]) == code
    said = capsys.readouterr()
    assert (code == 0) or folder.name in said.err + said.out
