"""Many JSON records in one file, read piece by piece. Oracle: the json library on the whole."""

import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from repro import json_text

PIECES = (1, 2, 3, 7, 1 << 20)

DOCUMENTS: list[list[Any]] = [
    [],
    [{}],
    [12, -0.5, 1e30, 120, None, True],
    ["a]b", 'quoted " , [', "\u2028\u00e9\U0001f600"],
    [{"a": [1, {"b": "},{"}]}, [[[]]], {"long": "x" * 40}],
]


def read(text: str) -> list[Any]:
    return list(json_text.records(io.StringIO(text, newline="\n")))


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_list_is_the_same_in_any_pieces(
    document: list[Any], indent: int | None, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_text, "_PIECE", piece)
    for ascii_only in (True, False):
        text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
        assert read(f"\n \t{text}\r\n \n") == document


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "row 0"),
        ('[{"a": 1}', "row 0: the end where , or ] is due"),
        ('[{"a": 1},', "row 1: Expecting value"),
        ('[{"a": 1}, {"a": 2} {"a": 3}]', "row 1: { where , or ] is due"),
        ("[1, 2.5.5]", r"row 1: \. where , or \] is due"),
        ('[{"a": 1}, {"a": nul}]', "row 1: Expecting value"),
        ('[{"a": 1}, ]', "row 1: Expecting value"),
        ('[{"a": 1}] []', r"row 1: \[ where the end is due"),
        ('[{"a": "', "row 0: Unterminated string"),
    ],
)
def test_a_broken_list_says_at_which_row(
    text: str, why: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_text, "_PIECE", piece)
    with pytest.raises(ValueError, match=f"a list that is not JSON at {why}"):
        read(text)


def test_a_list_that_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(ValueError, match="at row 1: nested too deep"):
        read("[0, " + "[" * 100_000)


@pytest.mark.parametrize("lines", [True, False])
def test_a_record_that_is_refused_stands_in_its_place(*, lines: bool) -> None:
    odd = ['{"a": 1, "a": 2}', '{"a": "\\ud83d"}', '{"a": 1}']
    found = read("\n\n".join(odd) if lines else f"[{', '.join(odd)}]")
    assert [type(each) for each in found[:2]] == [ValueError, UnicodeEncodeError] or lines
    assert "'a' twice" in str(found[0])
    assert "surrogates not allowed" in str(found[1])
    assert found[2] == {"a": 1}


@pytest.mark.parametrize("text", ['["{}"]', '"{}"', '[{"a": "{}}}]'])
def test_a_record_without_end_is_not_read_on(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "_PIECE", 10)
    monkeypatch.setattr(json_text, "LONGEST", 50)
    stream = io.StringIO(text.replace("{}", "x" * 1000), newline="\n")
    with pytest.raises(ValueError, match=r"Unterminated string|more than 50 characters"):
        list(json_text.records(stream))
    assert stream.tell() < 100


@pytest.mark.parametrize("form", ["list", "lines"])
def test_memory_does_not_grow_with_the_file(form: str, tmp_path: Path) -> None:
    row = json.dumps({"instruction": "Say so. " * 20, "input": "", "output": "so " * 200})
    path = tmp_path / "rows"
    with path.open("w") as out:
        out.write("[" * (form == "list") + row)
        out.writelines((",\n" if form == "list" else "\n") + row for _ in range(39_999))
        out.write("]" * (form == "list"))
    assert path.stat().st_size > 30e6
    tracemalloc.start()
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as stream:
            count = sum(isinstance(each, dict) for each in json_text.records(stream))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 40_000
    assert peak < 8e6  # three pieces of a mebibyte, and the records that are at hand
