"""Paths that a user may give and no file can have, at every option of every command."""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import repro

from repro import paths
from repro.cli.main import COMMANDS, _parser, main

LONG = "n" * 300


def commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command and every action of one, with its parser."""
    for command in COMMANDS:
        found = _parser([command])._subparsers
        assert found is not None
        parser = found._group_actions[0].choices[command]  # type: ignore[index,call-overload]
        nested = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
        if not nested:
            yield command, parser
        for each in nested:
            yield from ((f"{command} {name}", one) for name, one in each.choices.items())


def test_no_path_is_taken_without_a_look_at_it() -> None:
    """An argument that is a plain `Path`, or NAME=PATH as plain text, would be one."""
    kinds = {paths.path_argument, paths.folder_argument, paths.new_path_argument, paths.NamedPath}
    kinds |= {paths.manifest_argument}
    seen = 0
    for command, parser in commands():
        for action in parser._actions:
            where = f"{command} {action.option_strings or action.dest}"
            assert action.type is not Path, where
            names = str(action.metavar).partition("=")[2] in ("DIR", "FILE", "PATH")
            if names or action.metavar in ("FILE", "DIR", "FOLDER", "MANIFEST", "RESULTS", "PATH"):
                assert action.type in kinds, where
                seen += 1
    assert seen > 25


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere/x")
    (tmp_path / "folder").mkdir()
    return tmp_path


WRITING = [
    ["run", "manifests/table2.json", "--offline", "--out"],
    ["plan", "manifests/table2.json", "--offline", "--out"],
    ["report", "evidence/cpu", "--out"],
    ["results", "gc", "--out"],
    ["list", "--out"],
    ["convert", "pytorch_model.bin", "--out"],
    ["container", "run", "manifests/table2.json", "--out"],
]


@pytest.mark.parametrize("command", WRITING, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("file", "found a file at"),
        ("file/below/it", "found a file at"),
        ("dangling", "found a link that leads nowhere at"),
        ("loop", "Too many levels of symbolic links"),
        ("loop/x", "Too many levels of symbolic links"),
        (LONG, "File name too long"),
        (f"{LONG}/x", "File name too long"),
        ("folder/" * 800 + "x", "File name too long"),
        ("", "found an empty name"),
    ],
    ids=["file", "below", "dangling", "loop", "in-loop", "long", "in-long", "deep", "empty"],
)
def test_no_folder_can_be_made_there(
    command: list[str], name: str, found: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, str(place / name) if name else ""])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "error: argument --out: " in said
    assert found in said
    assert "expected" in said
    assert sorted(each.name for each in place.iterdir()) == ["dangling", "file", "folder", "loop"]


READING = [
    ["verify"],
    ["verify", "evidence/cpu", "--signature"],
    ["report", "--out", "page"],
    ["export", "--format", "csv", "--out"],
    ["audit", "--against"],
    ["list", "--coverage", "--text"],
    ["convert"],
    ["plan"],
    ["plan", "manifests/table1.json", "--data", "mmlu="],
    ["plan", "manifests/table1.json", "--substitute", "mamba-twin="],
    ["container", "audit", "--against"],
]


@pytest.mark.parametrize("command", READING, ids=" ".join)
@pytest.mark.parametrize("name", ["loop", LONG, f"{LONG}/x"], ids=["loop", "long", "in-long"])
def test_no_file_can_be_there(
    command: list[str], name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *first, last = command
    given = (
        [*first, f"{last}{place / name}"] if last.endswith("=") else [*command, str(place / name)]
    )
    with pytest.raises(SystemExit) as ended:
        main(given)
    assert ended.value.code == 2
    assert "expected a name that can be looked at" in capsys.readouterr().err


def test_a_name_that_may_become_a_file_is_taken(place: Path) -> None:
    for name in ("folder", "new", "new/er", "folder/new", "a\nb", "na\udcffme", "with space"):
        assert paths.folder_argument(str(place / name)) == place / name
        assert paths.new_path_argument(str(place / name)) == place / name
        assert paths.NamedPath(f"a={place / name}") == f"a={place / name}"
    assert paths.new_path_argument(str(place / "file")) == place / "file"
    assert paths.folder_argument("results") == Path("results")
    assert paths.NamedPath("no separator") == "no separator"


def test_a_folder_that_this_user_may_not_enter(place: Path) -> None:
    """As root nothing is forbidden: what the system says is said for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "stat", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "No")))
        with pytest.raises(argparse.ArgumentTypeError, match="found 'No', expected a name"):
            paths.path_argument(str(place))


# -----------------------------------------------------------------------------
# Names that are no text


def test_a_name_that_is_not_utf_8_is_as_good_as_any(tmp_path: Path) -> None:
    """As the working folder, of results, of what is written and of a packet."""
    here = os.fsencode(tmp_path) + b"/na\xffme"
    Path(os.fsdecode(here)).mkdir()
    text = (paths.MANIFESTS / "table2.json").read_text(encoding="utf-8")
    own = Path(os.fsdecode(here)) / "mine.json"
    own.write_text(text.replace('"id": "table2"', '"id": "mine"'), encoding="utf-8")
    for code, command in (
        (3, ["run", "mine.json", "--offline", "--out", here + b"/out"]),
        (3, ["verify", here + b"/out"]),
        (3, ["report", here + b"/out", "--out", b"pa\xffge"]),
        (0, ["export", here + b"/out", "--format", "csv", "--out", b"ta\xffble.csv"]),
        (0, ["export", "out", "--format", "ro-crate", "--out", b"pa\xffcket"]),
        (3, ["verify", b"pa\xffcket"]),
        (0, ["results", "list", "--out", here + b"/out"]),
        (0, ["plan", here + b"/mine.json", "--offline", "--json"]),
    ):
        done = repro(*command, cwd=here)
        assert done.returncode == code, done.stderr
    done = repro("run", here + b"/mine.json", "--offline", "--out", "o", cwd=os.fsencode(tmp_path))
    assert done.returncode == 2
    assert "found a name that is not UTF-8, which a run file cannot hold; rename" in done.stderr
    assert not (tmp_path / "o").exists()


def test_a_folder_that_was_removed_meanwhile(tmp_path: Path) -> None:
    command = f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone"
    for words, code in (("list", 0), ("verify", 2), ("run manifests/nowhere.json", 2)):
        done = subprocess.run(
            ["sh", "-c", f"{command} && {sys.executable} -m repro.cli.main {words}"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(paths.ROOT)},
        )
        assert done.returncode == code, done.stderr
