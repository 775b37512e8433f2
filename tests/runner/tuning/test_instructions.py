"""Instruction data out of files and out of the data wheel.

Oracles: the json library on the same real file; another copy of ARC-Easy; made-up rows that
were written here, in every form and container.
"""

import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from repro.errors import BadInputError
from runner.tuning import instructions
from runner.tuning.instructions import MalformedRow, Row, Rows

DATA = Path(__file__).parents[4] / "shared" / "data"


def real(name: str) -> Path:
    """A real data set that is not part of the bundle."""
    if not (DATA / name).is_file():
        pytest.skip(f"{name} is not here")
    return DATA / name


def written(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


# -----------------------------------------------------------------------------
# Real data


def test_alpaca_is_read_whole_with_its_empty_outputs() -> None:
    path = real("alpaca/alpaca_data.json.xz")
    stock = json.loads(lzma.decompress(path.read_bytes()))
    found = instructions.read(path, "alpaca")
    assert (len(stock), sum(row["output"] == "" for row in stock)) == (52002, 28)
    assert found == Rows(tuple(Row(**row) for row in stock), ())


def test_lima_keeps_its_earlier_turns() -> None:
    path = real("lima/lima.llamafactory.json.xz")
    stock = json.loads(lzma.decompress(path.read_bytes()))
    found = instructions.read(path, "lima")
    assert len(found.rows) == len(stock) == 1029
    assert found.malformed == ()
    assert [len(row.earlier) for row in found.rows] == [len(row["history"]) for row in stock]
    longest = max(found.rows, key=lambda row: len(row.earlier))
    original = max(stock, key=lambda row: len(row["history"]))
    assert [list(pair) for pair in longest.earlier] == original["history"]


def test_the_real_wheel_gives_arc_easy(data_wheel: Path) -> None:
    found = instructions.from_wheel(data_wheel)
    assert len(found.rows) == 2251
    assert found.malformed == ()
    with lzma.open(real("arc_easy/train.jsonl.xz"), "rt", encoding="utf-8") as lines:
        stock = [json.loads(line) for line in lines]
    for row, other in zip(found.rows, stock, strict=True):
        texts, labels = other["choices"]["text"], other["choices"]["label"]
        shown = [f"{label}. {text}" for label, text in zip(labels, texts, strict=True)]
        assert row.input == "\n".join([other["question"], *shown])
        assert row.output == shown[labels.index(other["answerKey"])]


# -----------------------------------------------------------------------------
# Containers

RECORDS = [
    {"instruction": "Add.", "input": "1, 2", "output": "3"},
    {"instruction": "Say\u2028ö.", "input": "", "output": "ö\nö"},
]
ROWS = (Row("Add.", "1, 2", "3"), Row("Say\u2028ö.", "", "ö\nö"))


def as_list(records: list[Any]) -> bytes:
    return json.dumps(records, indent=2).encode()


def as_lines(records: list[Any]) -> bytes:
    return "\n".join(json.dumps(each, ensure_ascii=False) for each in records).encode()


def as_parquet(records: list[Any]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(records), sink)
    return bytes(sink.getvalue().to_pybytes())


def as_arrow(records: list[Any], opened: Callable[..., Any] = pa.ipc.new_file) -> bytes:
    sink, table = pa.BufferOutputStream(), pa.Table.from_pylist(records)
    with opened(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def as_stream(records: list[Any]) -> bytes:
    return as_arrow(records, pa.ipc.new_stream)


CONTAINERS = [as_list, as_lines, as_parquet, as_arrow, as_stream]


@pytest.mark.parametrize("packed", [bytes, lzma.compress, gzip.compress])
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_holds_the_same_rows(
    container: Callable[[list[Any]], bytes], packed: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "rows"
    path.write_bytes(packed(container(RECORDS)))
    assert instructions.read(path, "alpaca") == Rows(ROWS, ())


@pytest.mark.parametrize("packed", [bytes, lzma.compress, gzip.compress])
@pytest.mark.parametrize("container", [as_list, as_parquet, as_arrow])
def test_half_a_file_is_refused(
    container: Callable[[list[Any]], bytes], packed: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    whole = packed(container(RECORDS * 20))
    path = tmp_path / "half"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInputError, match=r"half[^$]*found[^$]*expected: JSON"):
        instructions.read(path, "alpaca")


def test_a_file_with_a_column_of_text(tmp_path: Path) -> None:
    """As the hub's Alpaca has it; what is read is what the text was made from."""
    path = written(tmp_path / "rows.jsonl", *({**each, "text": "made"} for each in RECORDS))
    assert instructions.read(path, "alpaca").rows == ROWS


# -----------------------------------------------------------------------------
# Forms


def test_turns_of_lima(tmp_path: Path) -> None:
    first = {"conversations": ["q1", "a1"], "source": "stackexchange"}
    second = {"conversations": ["q1", "a1", "q2", "a2"], "source": "multi_turn"}
    prompts = [{"conversations": texts} for texts in (["q1"], ["q1", "a1", "q2"], [], ["q1", " "])]
    found = instructions.read(written(tmp_path / "rows", first, second, *prompts), "lima")
    assert found.rows == (Row("q1", "", "a1"), Row("q2", "", "a2", (("q1", "a1"),)))
    assert found.malformed == (
        MalformedRow(2, "conversations: 1 turns, expected user and assistant in turn"),
        MalformedRow(3, "conversations: 3 turns, expected user and assistant in turn"),
        MalformedRow(4, "conversations: 0 turns, expected user and assistant in turn"),
        MalformedRow(5, "conversations: 1: is empty"),
    )


def said(*messages: tuple[str, str]) -> dict[str, Any]:
    return {"conversations": [{"from": who, "value": what} for who, what in messages], "id": "x"}


def test_messages_of_openhermes(tmp_path: Path) -> None:
    plain = said(("human", "q1"), ("gpt", "a1"), ("human", "q2"), ("gpt", "a2"))
    system = said(("system", "Be brief."), ("human", "q"), ("gpt", "a"))
    wrong = [
        said(("gpt", "a"), ("human", "q")),
        said(("human", "q"), ("system", "s")),
        said(("system", "s"), ("gpt", "a")),
        said(("human", "q"), ("tool", "a")),
        said(("human", "q")),
    ]
    path = written(tmp_path / "rows", plain, system, *wrong)
    found = instructions.read(path, "openhermes-2.5")
    assert found.rows == (
        Row("q2", "", "a2", (("q1", "a1"),)),
        Row("Be brief.\n\nq", "", "a"),
    )
    assert [each.row for each in found.malformed] == [2, 3, 4, 5, 6]
    assert "turns of gpt, human, expected human and gpt in turn" in found.malformed[0].reason
    assert "conversations: 1: from: " in found.malformed[3].reason


@pytest.mark.parametrize("container", [as_parquet, as_stream])
def test_lists_of_objects_survive_arrow(
    container: Callable[[list[Any]], bytes], tmp_path: Path
) -> None:
    (tmp_path / "rows").write_bytes(container([said(("human", "q"), ("gpt", "a"))]))
    found = instructions.read(tmp_path / "rows", "openhermes-2.5")
    assert found == Rows((Row("q", "", "a"),), ())


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"input": "", "output": "a"}, "instruction: Field required"),
        ({"instruction": "", "output": "a"}, "instruction: is empty"),
        ({"instruction": "\n", "output": "a"}, "instruction: is empty"),
        ({"instruction": "q"}, "output: Field required"),
        ({"instruction": "q", "output": None}, "output: Input should be a valid string"),
        ({"instruction": 3, "output": "a"}, "instruction: Input should be a valid string"),
        ({"instruction": "q", "input": 0, "output": "a"}, "input: Input should be a valid string"),
        ({"instruction": "q", "output": "\ud83d"}, "surrogates not allowed"),
        ({"instruction": "q", "input": "\ud83d", "output": "a"}, "surrogates not allowed"),
        ({"instruction": "q", "output": "a", "history": [["u"]]}, "history: 0: List should have"),
        ({"instruction": "q", "output": "a", "history": "u"}, "history: Input should be"),
        ({"conversations": ["q", "a"]}, "instruction: Field required; output: Field required"),
        (["q", "a"], "list, not an object"),
        ("q", "str, not an object"),
        (None, "NoneType, not an object"),
    ],
)
def test_a_malformed_row_is_named_and_kept_out(record: object, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path / "rows", RECORDS[0], record, RECORDS[1])
    found = instructions.read(path, "alpaca")
    assert found.rows == ROWS
    assert [each.row for each in found.malformed] == [1]
    assert reason in found.malformed[0].reason


def test_a_broken_line_is_a_row_and_a_blank_one_is_none(tmp_path: Path) -> None:
    good, other = (json.dumps(each) for each in RECORDS)
    (tmp_path / "rows").write_text(f"{good}\n\n{good[:9]}\n  \n{other}\n", encoding="utf-8")
    found = instructions.read(tmp_path / "rows", "alpaca")
    assert found.rows == ROWS
    assert [(each.row, each.reason[:8]) for each in found.malformed] == [(1, "not JSON")]


@pytest.mark.parametrize("as_list", [True, False])
def test_a_mark_line_ends_of_windows_and_blank_lines_change_nothing(
    tmp_path: Path, *, as_list: bool
) -> None:
    lines = [json.dumps(each) for each in RECORDS]
    text = json.dumps(RECORDS, indent=1) if as_list else "\n".join(lines)
    odd = "\ufeff" + text.replace("\n", "\r\n") + "\r\n\r\n"
    (tmp_path / "rows").write_text(odd, encoding="utf-8", newline="")
    assert instructions.read(tmp_path / "rows", "alpaca").rows == ROWS


def test_a_line_with_a_key_twice_is_a_malformed_row(tmp_path: Path) -> None:
    good, other = (json.dumps(each) for each in RECORDS)
    twice = '{"instruction": "a", "output": "b", "output": "c"}'
    (tmp_path / "rows").write_text(f"{good}\n{twice}\n{other}\n", encoding="utf-8")
    found = instructions.read(tmp_path / "rows", "alpaca")
    assert found.rows == ROWS
    assert [(each.row, "'output' twice" in each.reason) for each in found.malformed] == [(1, True)]


@pytest.mark.parametrize(("name", "good"), [("alpaca", False), ("lima", True), ("mine", True)])
def test_the_name_says_what_form_to_expect(name: str, *, good: bool, tmp_path: Path) -> None:
    path = written(tmp_path / "rows", {"conversations": ["q", "a"]}, {"conversations": ["q", "b"]})
    if good:
        assert len(instructions.read(path, name).rows) == 2
        return
    expected = rf"rows[^$]*2 rows[^$]*conversations[^$]*expected: {name}: instruction, input"
    with pytest.raises(BadInputError, match=expected):
        instructions.read(path, name)


@pytest.mark.parametrize("content", ["", "[]", "no JSON", '{"question": "q"}', "\x00"])
def test_a_file_that_is_none_of_these(content: str, tmp_path: Path) -> None:
    (tmp_path / "rows").write_text(content, encoding="utf-8")
    with pytest.raises(BadInputError, match=r"rows[^$]*found[^$]*expected: mine: instruction"):
        instructions.read(tmp_path / "rows", "mine")


def test_a_file_without_one_good_row(tmp_path: Path) -> None:
    path = written(tmp_path / "rows", {"instruction": "", "output": "a"})
    with pytest.raises(BadInputError, match=r"row 0: instruction: is empty[^$]*at least one"):
        instructions.read(path, "alpaca")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "rows").write_bytes(content)
    with pytest.raises(BadInputError, match=r"rows[^$]*found[^$]*expected: JSON"):
        instructions.read(tmp_path / "rows", "alpaca")


# -----------------------------------------------------------------------------
# A made-up wheel


def write_wheel(path: Path, docs: list[Any]) -> Path:
    """As in the real one: a request a choice, and the split twice."""
    lines = [json.dumps({"doc": doc, "idx": idx}) for doc in docs * 2 for idx in range(4)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(instructions.MEMBER, gzip.compress("\n".join(lines).encode()))
    return path


def test_each_question_of_a_wheel_is_taken_once(tmp_path: Path) -> None:
    docs = [
        {"id": "a", "query": "Question: 1+1?\nAnswer:", "choices": ["1", "2"], "gold": 1},
        {"id": "b", "query": "Question: 1+1?\nAnswer:", "choices": ["1", "2"], "gold": 1},
        {"id": "c", "query": "Question: 1+2?\nAnswer:", "choices": ["1", "2"], "gold": 2},
        {"id": "d", "query": "Question: 1+2?\nAnswer:", "choices": ["1", ""], "gold": 0},
        "e",
        {"id": "f", "query": "Question: 1+2?\nAnswer:", "choices": ["1", "3"], "gold": "1"},
    ]
    row = Row(instructions.INSTRUCTION, "1+1?\nA. 1\nB. 2", "B. 2")
    found = instructions.from_wheel(write_wheel(tmp_path / "tiny.whl", docs))
    assert found == Rows(
        (row, row),
        (
            MalformedRow(2, "gold: 2, expected one of 2 choices"),
            MalformedRow(3, "choices: 1: is empty"),
            MalformedRow(4, "str, not an object"),
            MalformedRow(5, "gold: Input should be a valid integer"),
        ),
    )


def test_a_wheel_that_is_none(tiny_wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.whl").write_bytes(b"not a zip file")
    for wheel in (tiny_wheel, tmp_path / "broken.whl", tmp_path / "absent.whl"):
        with pytest.raises(BadInputError, match=r"\.whl[^$]*found[^$]*the data wheel"):
            instructions.from_wheel(wheel)
