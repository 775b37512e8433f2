"""Benchmarks out of the data wheel and out of LAMBADA's file.

Oracles: other copies of the data sets, row by row, where they lie beside the checkout;
published sizes; digests taken when the rows were compared with those copies; lm-eval's
own process_docs and answers; made-up rows.
"""

import gzip
import hashlib
import lzma
import zipfile
from functools import cache
from pathlib import Path

import made_up_benchmarks as made_up
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_copies import COPIES, copied

from repro import fileio
from repro.errors import BadInputError
from runner.evaluation import data, task_files, tasks
from runner.evaluation.offline import quiet

REAL = {
    ("hellaswag", "validation"): (10042, "d3466b5b20187a85"),
    ("hellaswag", "train"): (39905, "6d7894b2a6c60d14"),
    ("piqa", "validation"): (1838, "9a7f72f9637da4ee"),
    ("piqa", "train"): (16113, "591838cd0ccb255d"),
    ("winogrande", "validation"): (1267, "3bfb40e0ccb0bb17"),
    ("winogrande", "train"): (40398, "3e76d39f1d06f82e"),
    ("arc_easy", "test"): (2376, "807a5f324a94ecb8"),
    ("arc_easy", "train"): (2251, "469261fb12387872"),
    ("arc_challenge", "test"): (1172, "23205c9900c3781a"),
    ("arc_challenge", "train"): (1119, "9adf3266051bf080"),
}
"""Published rows of every split that is read from the wheel; how the digest of ours begins."""

read = cache(data.read)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return made_up.write_wheel(tmp_path / "made_up.whl")


# -----------------------------------------------------------------------------
# The real data


@pytest.mark.parametrize(("task", "split"), REAL)
def test_the_real_rows_are_those_that_were_checked(task: str, split: str, data_wheel: Path) -> None:
    rows = read(task, split, data_wheel)
    assert (len(rows), data.rows_digest(rows)[:16]) == REAL[task, split]


@pytest.mark.parametrize(("task", "split"), sorted(REAL.keys() - {("hellaswag", "train")}))
def test_the_real_rows_equal_another_copy(task: str, split: str, data_wheel: Path) -> None:
    assert read(task, split, data_wheel) == copied(task, split)


def test_hellaswags_examples_have_no_double_full_stops(data_wheel: Path) -> None:
    """What the wheel did to them, seen on the validation split that it has in both forms.

    Every string equals that of lm-eval's process_docs after ".. " became ". ", save for
    eight, which kept some.
    """
    from lm_eval.tasks.hellaswag.utils import preprocess

    name = data.REQUESTS.format(task="hellaswag", split="val")
    with zipfile.ZipFile(data_wheel) as archive, archive.open(name) as packed:
        docs = list(data._docs(gzip.GzipFile(fileobj=packed)))
    rows = read("hellaswag", "validation", data_wheel)
    assert [doc["gold"] for doc in docs] == [data.gold("hellaswag", row) for row in rows]
    changed = unexplained = 0
    for row, doc in zip(rows, docs, strict=True):
        made = [f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"]
        for text, given in zip(made + row["endings"], [doc["query"], *doc["choices"]], strict=True):
            changed += preprocess(text) != given
            unexplained += preprocess(text).replace(".. ", ". ") != given
    assert (changed, unexplained) == (4923, 8)


def test_lambada_is_the_file_of_its_authors() -> None:
    """Its digest and size are those that the hub gives for lambada_test.jsonl."""
    file = COPIES / "lambada_openai" / "test.jsonl.xz"
    rows = copied("lambada_openai", "test")
    content = lzma.decompress(file.read_bytes())
    assert (len(content), hashlib.sha256(content).hexdigest()) == (
        1819752,
        "4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226",
    )
    assert data.read("lambada_openai", "test", file) == rows
    assert len(rows) == 5153
    assert any("\n" in row["text"] for row in rows)


def test_gold_answers_are_lm_evals(data_wheel: Path) -> None:
    with quiet(), tasks.templates_compiled_once():
        task = tasks.build("arc_challenge", data_wheel)
        theirs = [task.doc_to_target(doc) for doc in task.eval_docs]
    rows = copied("arc_challenge", "test")
    assert theirs == [data.gold("arc_challenge", row) for row in rows]


# -----------------------------------------------------------------------------
# Made-up data


@pytest.mark.parametrize("task", sorted(made_up.MAKERS.keys() - {"lambada_openai"}))
def test_rows_come_as_written(task: str, wheel: Path) -> None:
    for split, rows in made_up.splits(task).items():
        expected = rows
        if (task, split) == ("hellaswag", "train"):
            expected = [made_up.as_doc(task, row) | {"label": row["label"]} for row in rows]
        assert data.read(task, split, wheel) == expected
        assert data.dataset(task, wheel)[split].to_list() == expected


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.xz", ".parquet"])
def test_lambada_comes_in_four_kinds_of_file(suffix: str, tmp_path: Path) -> None:
    rows = made_up.splits("lambada_openai")["test"]
    file = tmp_path / f"lambada{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    else:
        content = made_up.write_lambada(tmp_path / "plain").read_bytes()
        pack = {".jsonl.gz": gzip.compress, ".jsonl.xz": lzma.compress}.get(suffix, bytes)
        file.write_bytes(pack(content))
    assert data.read("lambada_openai", "test", file) == rows


def test_a_mark_line_ends_of_windows_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    rows = made_up.splits("lambada_openai")["test"]
    content = made_up.write_lambada(tmp_path / "plain").read_bytes()
    file = tmp_path / "lambada.jsonl"
    for odd in (content + b"\n", b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n\r\n") + b" \n"):
        file.write_bytes(odd)
        assert data.read("lambada_openai", "test", file) == rows


@pytest.mark.parametrize("task", sorted(made_up.MAKERS.keys() - {"openbookqa"}))
def test_gold_is_the_answer_that_was_written(task: str) -> None:
    rows = made_up.splits(task)[task_files.task_file(task).splits[0]]
    written = {
        "hellaswag": [0, 3, 2, 1, 0, 3, 2],
        "piqa": [0, 0, 1, 0, 0, 1, 0],
        "winogrande": [0, 0, 1, 0, 0, 1, 0],
        "lambada_openai": ["barn", "hill", "harbour", "town", "river", "barn", "hill"],
    }
    arc = [0, 2, 4, 0, 0, 0, 0]
    assert [data.gold(task, row) for row in rows] == written.get(task, arc)


def test_the_digest_sees_rows_and_their_order() -> None:
    rows = [made_up.piqa(number) for number in range(3)]
    digest = data.rows_digest(rows)
    assert digest == fileio.digest_of_data(rows)
    assert digest != data.rows_digest(rows[::-1])
    assert digest != data.rows_digest([*rows[:2], rows[2] | {"sol1": "run"}])


# -----------------------------------------------------------------------------
# What can be wrong


@pytest.mark.parametrize("content", [None, b"not a zip file"])
def test_a_wheel_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    wheel = tmp_path / "broken.whl"
    if content is not None:
        wheel.write_bytes(content)
    with pytest.raises(BadInputError, match=r"broken\.whl: train of piqa"):
        data.read("piqa", "train", wheel)


def test_a_wheel_without_the_split(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bare.whl", "w"):
        pass
    with pytest.raises(BadInputError, match="no split test of allenai/ai2_arc"):
        data.read("arc_easy", "test", tmp_path / "bare.whl")


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("x.jsonl", b'{"text": "two words"}\n{"text": "one"}\n', "row 1"),
        ("x.jsonl", b'{"text": "two words"}\n[1]\n', "row 1"),
        ("x.jsonl", b'{"text": null}\n', "row 0"),
        ("x.jsonl", b"not JSON\n", "row 0"),
        ("x.jsonl", b'{"text": "two words", "text": "or three"}\n', "the key 'text' twice"),
        ("x.jsonl", b'{"text": "two \\ud800"}\n', "surrogates not allowed"),
        ("x.jsonl", b"[" * 100_000, "nested too deep"),
        ("x.jsonl", b"", "no row"),
        ("x.xz", b"not xz", "cannot read the data of lambada_openai"),
        ("x.gz", b"not gzip", "cannot read the data of lambada_openai"),
        ("x.parquet", b"not parquet", "cannot read the data of lambada_openai"),
    ],
)
def test_a_lambada_file_that_is_none(name: str, content: bytes, found: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(BadInputError, match=found):
        data.read("lambada_openai", "test", file)


@pytest.mark.parametrize(
    ("task", "change"),
    [
        ("hellaswag", {"label": "4"}),
        ("piqa", {"label": -1}),
        ("winogrande", {"answer": "3"}),
        ("winogrande", {"sentence": "no gap"}),
        ("arc_easy", {"answerKey": "F"}),
    ],
)
def test_a_row_that_is_no_question(task: str, change: dict[str, object]) -> None:
    with pytest.raises((ValueError, IndexError)):
        data.gold(task, made_up.MAKERS[task](0) | change)
