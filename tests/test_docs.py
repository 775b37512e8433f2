"""The walks of the documents, literally: each command runs in a copy and prints what they say.

How they are written is in `written_walks`.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from bundle_copies import copy_checkout
from written_walks import Block, Command, blocks_of, commands_of

from repro import paths

pytestmark = pytest.mark.timeout(300)

NOT_RUN = {
    "researcher": ["fourteen evaluations, a minute or two"],
    "reviewer": [
        "installs 2.5 GB, one to a few minutes",
        "8 minutes on two cores",
        "fetches 93 MB; 20 minutes of one core",
    ],
    "auditor": [
        "three more audits, 8 s each",
        "needs a container engine; 5 minutes and 30 GB of disk meanwhile",
    ],
    "verdicts": [],
    "new-paper": [],
    "compare": ["needs what lm-eval wrote of all of MMLU"],
}
"""Document to the reasons of its blocks that are not run here; the longest walk first."""

NEEDED = ("repro", "runner", "verify", "catalog", "manifests", "twins", "evidence", "examples")
"""Folders that the commands read or change."""


def said(text: str, folder: Path, wheel: Path) -> tuple[int, str]:
    """Exit code of a command, and all that it printed, as one line."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(folder),  # the copy, not the installed checkout
        "REPRO_CACHE": str(wheel.parent),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, " ".join(done.stdout.split())


def follow(command: Command, where: str, folder: Path, wheel: Path) -> None:
    """Run a command and hold it to what the document says of it."""
    code, output = said(command.text, folder, wheel)
    assert code == command.code, f"{where}: {command.text}\nexit {code}: {output[-2000:]}"
    at = 0
    for piece in (" ".join(each.split()) for line in command.printed for each in line.split("…")):
        place = output.find(piece, at)
        assert place >= 0, f"{where}: {command.text}\ndoes not print {piece!r} here: {output[at:]}"
        at = place + len(piece)


def write(block: Block, folder: Path) -> None:
    """Save or merge a block, as the paragraph before it says."""
    text = "\n".join(block.lines) + "\n"
    if save := re.search(r"Save as `([^`]+)`:$", block.before):
        (folder / save[1]).write_text(text, encoding="utf-8")
    elif add := re.search(r"Add to `([^`]+)`, under `([^`]+)`:$", block.before):
        path = folder / add[1]
        data = json.loads(path.read_text("utf-8"))
        data[add[2]] |= json.loads(text)
        path.write_text(json.dumps(data), encoding="utf-8")
    else:
        message = f"line {block.line}: a block of kind {block.kind!r} that says not where it goes"
        raise AssertionError(message)


def walk(document: str, folder: Path, wheel: Path) -> None:
    """Go through a document from its first block to its last."""
    copy_checkout(folder, NEEDED, ("pinned-*.txt", "requirements-*.txt", "paper.json"))
    for block in blocks_of(paths.ROOT / "docs" / f"{document}.md"):
        where = f"{document}.md, line {block.line}"
        if block.kind != "console":
            write(block, folder)
        elif not block.skipped:
            for command in commands_of(block):
                follow(command, where, folder, wheel)


@pytest.fixture(scope="module")
def walks(
    tmp_path_factory: pytest.TempPathFactory, data_wheel: Path
) -> Iterator[Mapping[str, Future[None]]]:
    """Every walk, two at a time: most of each is one process on one core."""
    with ThreadPoolExecutor(2) as pool:
        yield {
            each: pool.submit(walk, each, tmp_path_factory.mktemp(each), data_wheel)
            for each in NOT_RUN
        }


@pytest.mark.parametrize("document", NOT_RUN)
def test_a_walk_goes_as_the_document_says(document: str, walks: Mapping[str, Future[None]]) -> None:
    walks[document].result()


@pytest.mark.parametrize("document", NOT_RUN)
def test_what_is_not_run_is_known(document: str) -> None:
    assert [
        each.skipped for each in blocks_of(paths.ROOT / "docs" / f"{document}.md") if each.skipped
    ] == NOT_RUN[document]


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (Command("echo one two; echo three", ["one …", "three"]), ""),
        (Command("echo one two", ["two", "one"]), "does not print 'one'"),
        (Command("echo one >&2; exit 3", ["one"], 3), ""),
        (Command("exit 3"), "exit 3"),
    ],
)
def test_a_command_that_does_otherwise_is_noticed(
    command: Command, complaint: str, tmp_path: Path
) -> None:
    if not complaint:
        follow(command, "here", tmp_path, tmp_path)
        return
    with pytest.raises(AssertionError, match=complaint):
        follow(command, "here", tmp_path, tmp_path)
