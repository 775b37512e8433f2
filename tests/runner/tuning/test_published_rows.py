"""Alpaca, OpenHermes and LIMA in the very forms in which they are published, to the text learned.

Rows are made up; the columns and their order are those of the published files. Oracles: texts
written out by hand; the same rows in another container.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_tuning
from transformers import AutoTokenizer

from repro.errors import BadInputError
from runner.tuning import examples, instructions
from runner.tuning.instructions import Row

END = "<|endoftext|>"
OPENING = (
    "Below is an instruction that describes a task. Write a response that appropriately "
    "completes the request."
)
WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request."
)


def texts(path: Path, name: str) -> list[str]:
    rows = instructions.read(path, name).rows
    return [instructions.render(row, append_eos=True, eos=END).text for row in rows]


def told(path: Path, name: str) -> list[str]:
    return [str(each) for each in instructions.read(path, name).malformed]


# -----------------------------------------------------------------------------
# Alpaca: a JSON list by its authors, parquet with the rendered text on the hub

ALPACA = [
    {"instruction": "Name a colour.", "input": "", "output": "Red."},
    {"instruction": "Add the numbers.", "input": "1, 2", "output": "3"},
    {"instruction": "Say nothing.", "input": "", "output": ""},
]
ALPACA_TEXTS = [
    f"{OPENING}\n\n### Instruction:\nName a colour.\n\n### Response:\nRed.",
    f"{WITH_INPUT}\n\n### Instruction:\nAdd the numbers.\n\n### Input:\n1, 2\n\n### Response:\n3",
    f"{OPENING}\n\n### Instruction:\nSay nothing.\n\n### Response:\n",
]


def test_alpaca_is_the_same_as_json_and_as_parquet(tmp_path: Path) -> None:
    authors, hub = tmp_path / "alpaca_data.json", tmp_path / "train-00000-of-00001.parquet"
    authors.write_text(json.dumps(ALPACA, indent=4))
    rendered = [
        {"instruction": row["instruction"], "input": row["input"], "output": row["output"]}
        | {"text": text}
        for row, text in zip(ALPACA, ALPACA_TEXTS, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rendered), hub, row_group_size=2)
    for path in (authors, hub):
        assert texts(path, "alpaca") == [text + END for text in ALPACA_TEXTS]
        assert told(path, "alpaca") == []


# -----------------------------------------------------------------------------
# OpenHermes: columns, and the conversations that the paper's reference links to


def published(*messages: tuple[str, str | None], **columns: Any) -> dict[str, Any]:
    """A row of openhermes2_5.json, whose other columns are mostly null."""
    row = dict.fromkeys(("custom_instruction", "topic", "model_name", "model"))
    row |= {"skip_prompt_formatting": False, "category": "general"}
    row |= {"conversations": [{"from": who, "value": what} for who, what in messages]}
    nothing = ("views", "language", "id", "title", "idx", "hash", "avatarUrl", "system_prompt")
    return row | dict.fromkeys(nothing) | {"source": "airoboros2.2"} | columns


GOOD = [
    published(("human", "What is 1 + 1?"), ("gpt", "2")),
    published(("system", "You are brief."), ("human", "What is 1 + 2?\n"), ("gpt", "3\n")),
    published(("system", ""), ("human", "Why?"), ("gpt", "So.")),
    published(("human", "Hi."), ("gpt", "Hello."), ("human", "And?"), ("gpt", "Bye.")),
    published(("system", "Obey."), ("human", "Hi."), ("gpt", "Ho."), ("human", "A"), ("gpt", "B")),
]
GOOD_TEXTS = [
    f"{OPENING}\n\n### Instruction:\nWhat is 1 + 1?\n\n### Response:\n2{END}",
    f"{OPENING}\n\n### Instruction:\nYou are brief.\n\nWhat is 1 + 2?\n\n\n### Response:\n3\n{END}",
    f"{OPENING}\n\n### Instruction:\nWhy?\n\n### Response:\nSo.{END}",
    (
        f"{OPENING}\n\n### Instruction:\nHi.\n\n### Response:\nHello.{END}"
        f"\n\n### Instruction:\nAnd?\n\n### Response:\nBye.{END}"
    ),
    (
        f"{OPENING}\n\n### Instruction:\nObey.\n\nHi.\n\n### Response:\nHo.{END}"
        f"\n\n### Instruction:\nA\n\n### Response:\nB{END}"
    ),
]
BAD: list[tuple[dict[str, Any], str]] = [
    (published(("human", "a"), ("human", "b"), ("gpt", "c")), "turns of human, human, gpt"),
    (published(("human", "a"), ("gpt", "b"), ("gpt", "c")), "turns of human, gpt, gpt"),
    (published(("gpt", "a"), ("human", "b"), ("gpt", "c")), "turns of gpt, human, gpt"),
    (published(("human", "a"), ("gpt", "b"), ("human", "c")), "turns of human, gpt, human"),
    (published(("human", "a"), ("system", "b"), ("gpt", "c")), "turns of human, system, gpt"),
    (published(("system", "a"), ("system", "b"), ("human", "c"), ("gpt", "d")), "turns of system,"),
    (published(("system", "a")), "turns of system, expected human and gpt in turn"),
    (published(), "turns of nobody"),
    (published(("human", "a"), ("gpt", "")), "conversations: 1: is empty"),
    (published(("human", " \n"), ("gpt", "b")), "conversations: 0: is empty"),
    (published(("system", "a"), ("human", "b"), ("gpt", "")), "conversations: 2: is empty"),
    (published(("human", "a"), ("gpt", None)), "conversations: 1: value: Input should be"),
    (published(("human", "a"), ("tool", "b")), "conversations: 1: from: Input should be"),
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(json.dumps(rows, indent=2 if path.suffix == ".json" else None))
    return path


@pytest.mark.parametrize("name", ["openhermes", "openhermes-2.5"])
@pytest.mark.parametrize("file", ["openhermes2_5.json", "minified", "train.parquet"])
def test_conversations_of_openhermes(name: str, file: str, tmp_path: Path) -> None:
    """Good rows between bad ones: each bad one is named with its place, and no other is lost."""
    rows, places = list[dict[str, Any]](), list[int]()
    for number, (bad, _) in enumerate(BAD):
        rows += GOOD[number : number + 1]
        places.append(len(rows))
        rows.append(bad)
    path = write(tmp_path / file, rows)
    assert texts(path, name) == GOOD_TEXTS
    found = told(path, name)
    assert len(found) == len(BAD)
    for line, place, (_, reason) in zip(found, places, BAD, strict=True):
        assert line.startswith(f"row {place}: ")
        assert reason in line


def test_columns_of_openhermes(tmp_path: Path) -> None:
    """teknium/openhermes, whose 242,831 rows the paper counts: `output` comes first there."""
    rows = [
        {"output": "Red.", "instruction": "Name a colour.", "input": ""},
        {"output": "3", "instruction": "Add the numbers.", "input": "1, 2"},
    ]
    path = write(tmp_path / "openhermes.json", rows)
    assert texts(path, "openhermes") == [text + END for text in ALPACA_TEXTS[:2]]


def test_a_broken_file_says_at_which_row_and_gives_none(tmp_path: Path) -> None:
    path = write(tmp_path / "openhermes.json", GOOD * 300)
    whole = path.read_text()
    for text in (whole[:-40], whole.replace('"topic": null', '"topic": nul', 1450)):
        path.write_text(text)
        with pytest.raises(
            BadInputError, match=r"openhermes\.json[^$]*not JSON at row \d+[^$]*whole"
        ):
            list(instructions.stream(path, "openhermes"))


# -----------------------------------------------------------------------------
# LIMA: JSON lines, an exchange or several in a list of texts


def test_lima_single_and_multi_turn(tmp_path: Path) -> None:
    lines: list[object] = [
        {"conversations": ["Why?\n", "Because.\n\nSo."], "source": "stackexchange"},
        {"conversations": ["A?", "B.", "C?", "D.", "E?", "F."], "source": "multi_turn"},
        {"conversations": ["Only asked, as in the test split."], "source": "test"},
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert texts(path, "lima") == [
        f"{OPENING}\n\n### Instruction:\nWhy?\n\n\n### Response:\nBecause.\n\nSo.{END}",
        (
            f"{OPENING}\n\n### Instruction:\nA?\n\n### Response:\nB.{END}"
            f"\n\n### Instruction:\nC?\n\n### Response:\nD.{END}"
            f"\n\n### Instruction:\nE?\n\n### Response:\nF.{END}"
        ),
    ]
    assert told(path, "lima") == [
        "row 2: conversations: 1 turns, expected user and assistant in turn"
    ]


# -----------------------------------------------------------------------------
# What is learned of them


def test_every_answer_is_learned_and_no_prompt(tmp_path: Path) -> None:
    """With loss `answer`; the answers, ends included, decoded from the tokens that are learned."""
    path = write(tmp_path / "openhermes.json", GOOD)
    tokenizer = AutoTokenizer.from_pretrained(tiny_tuning.TWINS["mamba"])
    rows = instructions.read(path, "openhermes").rows
    found = examples.tokenise(rows, tokenizer, 512, append_eos=True, loss="answer").examples
    learned = [tokenizer.decode(each.ids[each.labels >= 0]) for each in found]
    said = [["2"], ["3\n"], ["So."], ["Hello.", "Bye."], ["Ho.", "B"]]
    assert learned == ["".join(answer + END for answer in answers) for answers in said]


def test_places_are_those_of_the_file(tmp_path: Path) -> None:
    """A row that is left out after malformed ones is named by its own place."""
    path = write(tmp_path / "openhermes.json", [BAD[0][0], GOOD[0], BAD[1][0], GOOD[3]])
    read = instructions.read(path, "openhermes").rows
    assert [row.place for row in read] == [1, 3]
    tokenizer = AutoTokenizer.from_pretrained(tiny_tuning.TWINS["mamba"])
    long = Row("Count. " * 200, "", "no", place=7)
    found = examples.tokenise([*read, long], tokenizer, 200, append_eos=True, loss="answer")
    assert [str(each) for each in found.left_out] == [
        "row 7: nothing to learn in its first 200 tokens"
    ]
