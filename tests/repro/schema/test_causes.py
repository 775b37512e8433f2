"""Codes of causes and their sentences. Oracle: the calls in the code, read and not run."""

import ast
import string
from collections.abc import Iterator

import pytest

from repro import paths
from repro.schema.causes import LISTS, NOTICES, SENTENCES, STAND_INS, cause, say, say_all

TEXT = "\n".join(
    path.read_text(encoding="utf-8")
    for package in ("repro", "verify")
    for path in sorted((paths.ROOT / package).glob("**/*.py"))
    if path.name != "causes.py"
)


def fields(code: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(SENTENCES[code]) if name}


def calls() -> Iterator[tuple[str, set[str]]]:
    """Codes that stand in a call, and the values given by name; none where some come as a dict."""
    for node in ast.walk(ast.parse(TEXT)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "cause":
            code, *_ = node.args
            given = {word.arg for word in node.keywords if word.arg}
            if isinstance(code, ast.Constant):
                yield str(code.value), given if all(w.arg for w in node.keywords) else set()


def test_every_code_is_used_and_every_code_that_is_used_has_a_sentence() -> None:
    assert [code for code in SENTENCES if f'"{code}"' not in TEXT] == []
    assert [code for code, _ in calls() if code not in SENTENCES] == []
    assert LISTS.keys() | STAND_INS.keys() | NOTICES <= SENTENCES.keys()


def test_every_value_that_is_given_is_said() -> None:
    assert [(code, given) for code, given in calls() if not given <= fields(code)] == []


def test_a_cause_that_cannot_be_said_is_not_made() -> None:
    with pytest.raises(KeyError):
        cause("no such code")
    with pytest.raises(KeyError):
        cause("drift", package="torch")


def test_causes_in_words() -> None:
    """The one text that holds how they are joined and formatted."""
    causes = (cause("holm", tests=3, p=0.0612), cause("tier", tier="smoke"))
    assert say_all(causes) == "not beyond chance over 3 numbers: p = 0.061 (Holm); tier smoke"
    assert say(causes[1]) == "tier smoke"
    assert len({causes[0], cause("holm", tests=3, p=0.0612), causes[1]}) == 2
