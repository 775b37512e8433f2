"""No document names a command, an option or a choice that `repro` does not have.

What is held against the parsers is every `repro …` in code, in a line of a block or between
backticks, of README and docs, and every option that stands between backticks alone.
"""

import argparse
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from repro import paths
from repro.cli import main

DOCUMENTS = [paths.ROOT / "README.md", *sorted((paths.ROOT / "docs").glob("*.md"))]

FOREIGN = {"--gpus", "--tmpfs", "--network=none", "--read-only", "--exclusive", "--help"}
FOREIGN |= {"--net", "--network", "--nv", "--bind", "--from", "--signal"}
"""Options of Docker, Apptainer, Slurm and uvx, and of every command."""

_COMMAND = re.compile(r"(?<!from )(?<![\w./-])(?:\.venv/bin/)?repro (?=[a-z])((?:[^|>;]|\b\|\b)*)")


def code_of(text: str) -> Iterator[str]:
    """Lines of code blocks, and what stands between backticks, each with line ends closed up."""
    prose = []
    for number, part in enumerate(re.split(r"^```.*$", text, flags=re.MULTILINE)):
        if number % 2:
            yield from re.sub(r"\\\n\s*", "", part).splitlines()
        else:
            prose.append(part)
    yield from (each.replace("\n", " ") for each in re.findall(r"`([^`]+)`", "\n".join(prose)))


def commands_in(text: str) -> Iterator[list[str]]:
    """The arguments of every `repro …` that is code."""
    for code in code_of(text):
        for found in _COMMAND.finditer(code):
            yield re.sub(r"[…'\"]", " ", found[1].split(" #")[0]).split()


@cache
def parser_of(*given: str) -> argparse.ArgumentParser | None:
    """The parser of a command, or of its action; None if there is none."""
    parser: argparse.ArgumentParser | None = main._parser(given)
    for name in given:
        chosen = next(
            (each for each in _actions(parser) if isinstance(each.choices, Mapping)), None
        )
        if chosen is None:
            return parser  # `given` goes on with arguments
        assert isinstance(chosen.choices, Mapping)
        parser = chosen.choices.get(name)
    return parser


def _actions(parser: argparse.ArgumentParser | None) -> list[argparse.Action]:
    return parser._actions if parser else []


def wrong_in(arguments: list[str]) -> Iterator[str]:
    """What of a command line no parser knows; it may be incomplete."""
    names = tuple(each for each in arguments[:2] if re.fullmatch(r"[a-z]+", each))
    parser = parser_of(*names)
    if parser is None:
        yield " ".join(names)
        return
    every = (*_actions(parser), *_actions(parser_of()))  # those of all commands stand anywhere
    known = {option: each for each in every for option in each.option_strings}
    for place, text in enumerate(arguments):
        option, _, value = text.partition("=")
        if not text.startswith("--") or option in FOREIGN:
            continue
        if option not in known:
            yield text
            continue
        value = value or "".join(arguments[place + 1 : place + 2])
        choices = known[option].choices
        if choices and value:
            yield from (each for each in value.split("|") if each not in choices)


@cache
def every_option() -> frozenset[str]:
    """Options of any command."""
    parsers = [parser_of(), *(parser_of(name) for name in main.COMMANDS)]
    parsers += [parser_of("container", action) for action in ("build", "run", "audit")]
    return frozenset(
        option for parser in parsers for each in _actions(parser) for option in each.option_strings
    )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_command_is_one_that_repro_knows(path: Path) -> None:
    found = list(commands_in(path.read_text("utf-8")))
    assert [(each, wrong) for each in found for wrong in wrong_in(each)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_option_named_alone_is_one_of_some_command(path: Path) -> None:
    codes = code_of(path.read_text("utf-8"))
    alone = [each.split() for each in codes if each.startswith("--") and not each.startswith("---")]
    named = {word.partition("=")[0] for words in alone for word in words if word.startswith("--")}
    assert named - every_option() - {each.partition("=")[0] for each in FOREIGN} == set()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`repro verify --papers`", ["--papers"]),
        ("`repro\nvrify results`", ["vrify results"]),
        ("```\nrepro plan manifests/table1.json --tier medium\n```", ["medium"]),
        ("```\nrepro container build \\\n  --targets cpu\n```", ["--targets"]),
        ("`repro run manifests/NAME.json --tier smoke|subset|fulll`", ["fulll"]),
        ("`repro report results evidence --out page`, and reproduce", []),
    ],
)
def test_an_invented_option_is_noticed(text: str, wrong: list[str]) -> None:
    assert [each for found in commands_in(text) for each in wrong_in(found)] == wrong


def test_the_documents_have_commands_to_hold() -> None:
    found = [len(list(commands_in(path.read_text("utf-8")))) for path in DOCUMENTS]
    assert sum(found) >= 80
    assert found[0] >= 12, "README's own"
