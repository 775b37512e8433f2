"""Codes of causes: each is used, and a cause says every value that it has. Oracle: the sources."""

import ast
import string
from collections.abc import Iterator

import pytest

from repro import paths
from repro.schema.causes import LISTS, NOTICES, SENTENCES, STAND_INS, cause

ROOMS = ("repro", "verify")


def trees() -> list[ast.Module]:
    """Every module that may name a code, but for the one that defines them."""
    files = [file for room in ROOMS for file in sorted((paths.ROOT / room).rglob("*.py"))]
    return [ast.parse(file.read_text()) for file in files if file.name != "causes.py"]


def literals() -> set[str]:
    nodes = (node for tree in trees() for node in ast.walk(tree))
    return {each.value for each in nodes if isinstance(each, ast.Constant) and each.value in KNOWN}


KNOWN = frozenset(SENTENCES)


def named(code: str) -> set[str]:
    """Values that the sentence of a code says."""
    return {name for _, name, _, _ in string.Formatter().parse(SENTENCES[code]) if name}


def calls() -> Iterator[tuple[str, set[str]]]:
    """Code and names of values of every cause whose code and values stand in the source."""
    for tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "cause":
                continue
            code, names = node.args[0], [each.arg for each in node.keywords]
            if isinstance(code, ast.Constant) and None not in names:
                yield str(code.value), {str(name) for name in names}


def test_every_code_is_used() -> None:
    assert KNOWN - literals() == set()
    assert {*LISTS, *NOTICES, *STAND_INS} <= KNOWN


def test_every_value_is_said() -> None:
    found = list(calls())
    assert len(found) > len(KNOWN) / 2
    assert [(code, names) for code, names in found if names != named(code)] == []


def test_a_cause_without_its_value_is_refused() -> None:
    with pytest.raises(KeyError):
        cause("held")
    with pytest.raises(KeyError):
        cause("no-such-code")
