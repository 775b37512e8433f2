"""Training that is killed and taken up again.

Oracles: the same run without a kill, to the bit; the generators' own next draws; what was written.
"""

import json
import os
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_tuning
import torch
from transformers import TrainerState
from tuning_states import recipe

from runner.measurement import Measurement
from runner.tuning import checkpoint, trainer

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 20
"""Two epochs of ten."""

FILES = ("tensors.safetensors", "state.json", "trainer_state.json", "digests.json")
"""Of a state on the disk."""


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, undone afterwards."""
    monkeypatch.setattr(checkpoint.StateWriter, "is_due", lambda _: True)
    monkeypatch.setattr(trainer, "LOOK", 0.0)
    monkeypatch.setattr(trainer, "WATCHED", 3)


def contents(found: Measurement) -> dict[str, bytes]:
    assert found.model is not None
    return {path.name: path.read_bytes() for path in found.model.iterdir()}


class KilledError(Exception):
    pass


# -----------------------------------------------------------------------------
# Killed and taken up


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(
    ("method", "precision", "last"),
    [
        ("full", "float32", 13),  # steps whose state was written: amid the second epoch,
        ("full", "bfloat16", 7),  # amid the first,
        ("lora-sll", "float32", 10),  # between the two
        ("lora-all", "bfloat16", 13),
    ],
)
def test_a_run_taken_up_ends_as_if_never_killed(
    method: Any, precision: Any, last: int, tmp_path: Path
) -> None:
    twin = tiny_tuning.with_dropout(tmp_path / "twin")
    data = tiny_tuning.rows(tmp_path, STEPS)
    changes = {} if method == "full" else {"method": method}
    asked = recipe(precision=precision, **changes)
    expected = tiny_tuning.run(asked, data, tmp_path / "whole", twin)
    told: list[int] = []

    def progress(done: int, total: int, note: str = "") -> None:
        del total, note
        told.append(done)
        if len(told) > 2 and done == last + 1 and told.count(done) == 1:
            raise KilledError  # before the state of this step is written

    with pytest.raises(KilledError):
        tiny_tuning.run(asked, data, tmp_path / "work", twin, progress)
    assert [each.name for each in (tmp_path / "work").glob("step-*")] == [f"step-{last:09}"]
    told_before = len(told)
    found = tiny_tuning.run(asked, data, tmp_path / "work", twin, progress)

    assert told[told_before:] == [0, 0, *range(last + 1, STEPS + 1)]
    assert contents(found) == contents(expected)
    for name, array in expected.arrays.items():
        assert np.array_equal(found.arrays[name], array), name
    for values in (found.values, expected.values):
        assert float(values.pop("training_seconds")) > 0  # type: ignore[call-overload]
    assert found.values == expected.values
    assert found.values["steps"] == STEPS


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.filterwarnings("ignore")  # of a torch newer than the pin
@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("family", ["gpt-neox", "mamba"])
def test_the_scale_of_float16_is_taken_up_too(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a scale that starts too high and grows every other step, so that steps are skipped."""
    scaler = partial(torch.cuda.amp.GradScaler, init_scale=2.0**20, growth_interval=2)
    monkeypatch.setattr(torch.cuda.amp, "GradScaler", scaler)
    data = tiny_tuning.rows(tmp_path, STEPS)
    asked = recipe(method="lora-all", precision="float16", mamba_path="live")
    twin = tiny_tuning.TWINS[family]
    expected = tiny_tuning.run(asked, data, tmp_path / "whole", twin)

    def progress(done: int, total: int, note: str = "") -> None:
        del total, note
        if done == 14:
            raise KilledError

    with pytest.raises(KilledError):
        tiny_tuning.run(asked, data, tmp_path / "work", twin, progress)
    found = tiny_tuning.run(asked, data, tmp_path / "work", twin)
    assert int(found.values["skipped_steps"]) > 2
    assert found.values["skipped_steps"] == expected.values["skipped_steps"]
    assert np.array_equal(found.arrays["learning_rate"], expected.arrays["learning_rate"])
    np.testing.assert_allclose(found.arrays["loss"], expected.arrays["loss"], rtol=1e-3)
    bad = ~np.isfinite(found.arrays["gradient_norm"])
    assert bad.sum() == found.values["skipped_steps"] < STEPS - 5
    assert found.values["finite"] == 1


def test_dropout_makes_random_numbers_matter(tmp_path: Path) -> None:
    """Without this the test above could not fail over generators."""
    twin = tiny_tuning.with_dropout(tmp_path / "twin")
    data = tiny_tuning.rows(tmp_path, 8)
    losses = [
        tiny_tuning.run(recipe(epochs=1), data, tmp_path / twin.name, twin).arrays["loss"]
        for twin in (twin, tiny_tuning.TWINS["gpt-neox"])
    ]
    assert not np.allclose(losses[0], losses[1], rtol=1e-3)


SCRIPT = """
import os, signal, sys, threading
from pathlib import Path
import torch, tiny_tuning, tuning_states as test
from runner.tuning import checkpoint

torch.set_num_threads(1)
test.state_at_every_step()
data, work, moment = map(Path, sys.argv[1:])
stock, calls, further = getattr(checkpoint, moment.name), [], threading.Event()

def kill(*given):
    calls.append(given)
    if len(calls) == 9:  # of the state of step 11: the first is that of step 3
        assert further.wait(100), "training waits for the disk"
        os.kill(os.getpid(), signal.SIGKILL)
    return stock(*given)

def progress(done, total, note=""):
    if done == 12:
        further.set()

setattr(checkpoint, moment.name, kill)
tiny_tuning.run(test.recipe(method="lora-all"), data, work, progress=progress)
"""


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("_digests", {".writing", "step-000000010"}),  # half written,
        ("sync", {"step-000000010", "step-000000011"}),  # named, the one before not yet gone
    ],
)
def test_sigkill_while_a_state_is_written_aside(
    moment: str, left: set[str], tmp_path: Path
) -> None:
    """The kill comes a step later, from the thread that writes."""
    data, asked = tiny_tuning.rows(tmp_path, STEPS), recipe(method="lora-all")
    root, work = Path(__file__).parents[3], tmp_path / "work"
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(data), str(work), moment],
        env=environment,
        check=False,
        capture_output=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert {each.name for each in work.iterdir()} == left
    found = tiny_tuning.run(asked, data, work)
    expected = tiny_tuning.run(asked, data, tmp_path / "whole")
    assert contents(found) == contents(expected)
    assert np.array_equal(found.arrays["loss"], expected.arrays["loss"])


@pytest.mark.usefixtures("often")
def test_no_pickle_is_written_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        message = "a pickle"
        raise AssertionError(message)

    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(torch, "save", refuse)
    data = tiny_tuning.rows(tmp_path, 8)
    asked = recipe(epochs=1, max_length=8)

    def progress(done: int, total: int, note: str = "") -> None:
        del note
        if done == total:
            raise KilledError

    with pytest.raises(KilledError):
        tiny_tuning.run(asked, data, tmp_path / "work", progress=progress)
    (folder,) = (tmp_path / "work").glob("step-*")
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert tiny_tuning.run(asked, data, tmp_path / "work").values["steps"] == 4


# -----------------------------------------------------------------------------
# States


def at(step: int) -> TrainerState:
    return TrainerState(global_step=step)


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    state = {
        "adam": {0: {"step": torch.tensor(3.0), "average": torch.rand(2, 3)}, 7: {}},
        "numbers": [0.1, -0.0, 1e-320, 2**70, True, None, "NaN"],
        "pairs": ((1, 2), [(3.5,), []]),
        "half": torch.rand(4).bfloat16(),
        "column": torch.rand(3, 2)[:, 1],
    }
    checkpoint.write(tmp_path, checkpoint.hold(state, at(5)))
    folder = checkpoint.latest(tmp_path)
    assert folder is not None
    found = checkpoint.read(folder)
    assert torch.equal(found["adam"][0].pop("average"), state["adam"][0].pop("average"))  # type: ignore[index]
    assert torch.equal(found["half"], state["half"])  # type: ignore[arg-type]
    assert torch.equal(found["column"], state["column"])  # type: ignore[arg-type]
    for name in ("adam", "numbers", "pairs"):
        assert repr(found[name]) == repr(state[name])
    assert json.loads((folder / "trainer_state.json").read_text())["global_step"] == 5


def test_infinite_losses_come_back(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, checkpoint.hold([float("nan"), float("-inf")], at(1)))
    folder = checkpoint.latest(tmp_path)
    assert folder is not None
    assert repr(checkpoint.read(folder)) == "[nan, -inf]"


def test_a_new_state_replaces_the_one_before(tmp_path: Path) -> None:
    for step in (9, 10, 1_000_000):
        checkpoint.write(tmp_path, checkpoint.hold({"step": step}, at(step)))
        folder = checkpoint.latest(tmp_path)
        assert folder is not None
        assert checkpoint.read(folder) == {"step": step}
        assert list(tmp_path.iterdir()) == [folder]


def test_what_a_kill_left_half_written_is_no_state(tmp_path: Path) -> None:
    (tmp_path / ".writing").mkdir()
    (tmp_path / ".writing" / "state.json").write_text("{")
    assert checkpoint.latest(tmp_path) is None
    assert checkpoint.latest(tmp_path / "nothing") is None
    checkpoint.write(tmp_path, checkpoint.hold(1, at(1)))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]


@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
@pytest.mark.parametrize("broken", FILES)
def test_a_damaged_state_is_never_believed(broken: str, how: str, tmp_path: Path) -> None:
    checkpoint.write(tmp_path, checkpoint.hold({"a": torch.rand(3)}, at(2)))
    path, told = tmp_path / "step-000000002" / broken, list[str]()
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes(content[:-3] if how == "cut" else flipped)
    assert checkpoint.latest(tmp_path, told.append) is None
    assert told == ["step-000000002 of the killed run is damaged: from the start"]
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("often")
def test_a_run_whose_state_was_damaged_starts_over(tmp_path: Path) -> None:
    """Oracle: the same run without a kill, to the bit."""
    twin, data = tiny_tuning.with_dropout(tmp_path / "twin"), tiny_tuning.rows(tmp_path, STEPS)
    expected = tiny_tuning.run(recipe(), data, tmp_path / "whole", twin)
    said: list[tuple[int, str]] = []

    def progress(done: int, total: int, note: str = "") -> None:
        del total
        if done == 9 and not any("damaged" in each for _, each in said):
            raise KilledError
        said.append((done, note))

    with pytest.raises(KilledError):
        tiny_tuning.run(recipe(), data, tmp_path / "work", twin, progress)
    (state,) = (tmp_path / "work").glob("step-*/tensors.safetensors")
    content = bytearray(state.read_bytes())
    content[-1] ^= 1  # of a weight or a moment: nothing else would notice
    state.write_bytes(content)
    found = tiny_tuning.run(recipe(), data, tmp_path / "work", twin, progress)
    assert [done for done, note in said if "damaged" in note] == [0]
    assert contents(found) == contents(expected)


def test_generators_go_on_as_they_would_have(tmp_path: Path) -> None:
    def draws() -> list[Any]:
        return [random.random(), np.random.rand(), np.random.randn(), torch.rand(5).tolist()]  # noqa: NPY002

    draws()
    checkpoint.write(tmp_path, checkpoint.hold(checkpoint.generators(), at(1)))
    expected = [draws(), draws()]
    folder = checkpoint.latest(tmp_path)
    assert folder is not None
    checkpoint.set_generators(checkpoint.read(folder))
    assert [draws(), draws()] == expected


def test_writing_takes_a_small_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now)
    pace = checkpoint.CheckpointPace()
    due = []
    for seconds, took in ((59, None), (61, None), (62, 1.0), (121, None), (122, 30.0), (721, None)):
        now = 100.0 + seconds
        if took is not None:
            pace.note_write(took)
        due.append(pace.is_due())
    assert due == [False, True, False, False, False, False]
    now = 100.0 + 122 + 600
    assert pace.is_due()
