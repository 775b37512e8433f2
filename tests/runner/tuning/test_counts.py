"""What a record says of its rows: counted by hand, and again by verify from the arrays.

Oracles: the rows written here, told apart with the tokenizer alone; `verify`, which imports nothing
of `runner`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_tuning
from transformers import AutoTokenizer

from repro.schema.jobs import TuningJob
from repro.store.record import Record
from runner.measurement import Measurement
from runner.tuning import instructions
from verify.errors import InvalidError
from verify.records import tuning

pytestmark = pytest.mark.usefixtures("one_thread")


def said(*messages: tuple[str, str]) -> dict[str, Any]:
    return {"conversations": [{"from": who, "value": what} for who, what in messages], "id": None}


RECORDS: list[object] = [
    said(("human", "Add 1."), ("gpt", "2")),
    said(("human", "Add 2."), ("human", "Add 3."), ("gpt", "5")),
    said(("human", "Count on and on, as far as there are numbers. " * 9), ("gpt", "no")),
    said(("human", "Go."), ("gpt", "so " * 60)),
    said(("system", "Be brief."), ("human", "Add 4."), ("gpt", "")),
    said(("system", ""), ("human", "Add 5."), ("gpt", "9")),
    said(("human", "Add 6."), ("gpt", "7"), ("human", "And 1."), ("gpt", "8")),
]
"""In OpenHermes-2.5's form: a role twice, a prompt and an answer that do not fit, an empty turn."""


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(tiny_tuning.TWINS["gpt-neox"])


@pytest.fixture(scope="module")
def length(tokenizer: Any) -> int:
    """Tokens that hold the prompt and the answer of the first row."""
    return len(tokenizer(instructions.prompt("Add 1.", "") + "\n2")["input_ids"]) + 10


def run(loss: str, length: int, folder: Path) -> tuple[TuningJob, Measurement]:
    data = folder / "openhermes.json"
    data.write_text(json.dumps(RECORDS))
    asked = tiny_tuning.recipe(data="openhermes", loss=loss, max_length=length, batch_size=2)
    job = TuningJob(kind="tuning", checkpoint="gpt-neox-twin", recipe=asked)
    return job, tiny_tuning.run(asked, data, folder / "work")


@pytest.mark.parametrize("loss", ["all", "answer"])
def test_every_row_is_counted_once(loss: str, length: int, tokenizer: Any, tmp_path: Path) -> None:
    job, found = run(loss, length, tmp_path)
    values, left = found.values, [2] if loss == "answer" else []
    assert (values["malformed"], values["left_out"]) == (2, len(left))
    assert [each.partition(": ")[0] for each in json.loads(str(values["malformed_rows"]))] == [
        "row 1",
        "row 4",
    ]
    out = json.loads(str(values["left_out_rows"]))
    assert out == [f"row {row}: nothing to learn in its first {length} tokens" for row in left]
    assert values["rows"] == len(RECORDS) - 2 - len(left)

    texts = {
        row.place: instructions.render(row, append_eos=True, eos="<|endoftext|>").text
        for row in instructions.read(tmp_path / "openhermes.json", "openhermes").rows
        if row.place not in left
    }
    uncut = [len(tokenizer(text)["input_ids"]) for text in texts.values()]
    assert found.arrays["row_tokens"].tolist() == uncut
    assert values["cut_tokens"] == sum(max(each - length, 0) for each in uncut) > 0
    assert values["tokens"] == sum(min(each, length) for each in uncut)
    if loss == "all":
        assert found.arrays["row_learned"].tolist() == [min(each, length) - 1 for each in uncut]
    counted = dict(tuning.KIND.values(job, found.arrays))
    names = {"rows", "truncated", "tokens", "cut_tokens", "learned_tokens", "padded_tokens_epoch_0"}
    assert names <= counted.keys()
    assert {name: values[name] for name in counted} == pytest.approx(counted)
    assert values["truncated"] == sum(each > length for each in uncut)
    tuning.check(record(found), job, found.arrays)


def record(found: Measurement, **changes: Any) -> Record:
    values = {**found.values, **changes}
    return Record.model_construct(key="0" * 64, values=values, files={"model.safetensors": "0"})


def test_counts_that_do_not_follow_are_refused(length: int, tmp_path: Path) -> None:
    job, found = run("all", length, tmp_path)
    for changes, why in (
        ({"malformed": 3}, "it says malformed 3, and names 2"),
        ({"left_out_rows": '["row 0: lost"]'}, "it says left_out 0, and names 1"),
        ({"malformed_rows": "none"}, "it says malformed 2, and names 0"),
    ):
        with pytest.raises(InvalidError, match=why):
            tuning.check(record(found, **changes), job, found.arrays)
    learned = found.arrays["row_learned"]
    for array, why in (
        (learned - np.eye(len(learned), dtype=np.int32)[0], "other tokens are learned"),
        (learned[:-1], "not one a row"),
    ):
        arrays = {**found.arrays, "row_learned": array}
        with pytest.raises(InvalidError, match=why):
            tuning.check(record(found), job, arrays)
        tuning.KIND.values(job, arrays)
