"""States that a thread writes while training goes on.

Oracles: the system's own refusals; safetensors' reader; values at the moment of the copy.
"""

import errno
import json
import os
import threading
from pathlib import Path

import pytest
import tiny_tuning
import torch
from safetensors.torch import load_file
from transformers import TrainerState
from tuning_states import recipe

from repro.errors import CannotSaveError
from runner.tuning import checkpoint, trainer

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 20


def at(step: int) -> TrainerState:
    return TrainerState(global_step=step)


@pytest.mark.parametrize("number", [1, 17])
def test_a_state_that_cannot_be_written_ends_the_run(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of the states, at the next step; the last, when nothing is left to do."""
    calls: list[Path] = []

    def full(folder: Path) -> None:
        calls.append(folder)
        if len(calls) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    told: list[int] = []
    monkeypatch.setattr(checkpoint, "sync_tree", full)
    monkeypatch.setattr(checkpoint.StateWriter, "is_due", lambda _: True)
    monkeypatch.setattr(trainer, "LOOK", 0.0)
    monkeypatch.setattr(trainer, "WATCHED", 3)
    with pytest.raises(CannotSaveError, match="No space left on device; free some space"):
        tiny_tuning.run(
            recipe(method="lora-all"),
            tiny_tuning.rows(tmp_path, STEPS),
            tmp_path / "work",
            progress=lambda done, *_: told.append(done),
        )
    assert told[-1] == min(3 + number, STEPS)  # the first state is that of step 3


def test_a_state_is_written_while_what_it_was_copied_of_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at a time; the second waits for the disk before it takes memory."""
    go, sync_tree, held = threading.Event(), checkpoint.sync_tree, list[object]()
    hold = checkpoint.hold

    def slow(folder: Path) -> None:
        assert go.wait(60)
        sync_tree(folder)

    def watched(state: object, trainer: TrainerState) -> checkpoint.HeldState:
        held.append(state)
        return hold(state, trainer)

    monkeypatch.setattr(checkpoint, "sync_tree", slow)
    monkeypatch.setattr(checkpoint, "hold", watched)
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 0.0)
    weight, trainer_state, log = torch.zeros(3), at(1), [0.5]
    with checkpoint.StateWriter(tmp_path) as states:
        assert states.is_due()
        states.write({"weight": weight, "log": log}, trainer_state)
        weight += 1
        log.append(0.25)
        trainer_state.global_step += 1
        assert not states.is_due()
        assert not list(tmp_path.glob("step-*"))
        second = threading.Thread(target=states.write, args=({"weight": weight}, trainer_state))
        second.start()
        second.join(0.2)
        assert len(held) == 1
        monkeypatch.setattr(checkpoint, "_write_tensors", _refuse)  # of the second alone
        go.set()
        second.join()
        assert checkpoint.read(tmp_path / "step-000000001")["weight"].tolist() == [0, 0, 0]
        assert checkpoint.read(tmp_path / "step-000000001")["log"] == [0.5]
        assert len(held) == 2
        with pytest.raises(CannotSaveError):
            states.finish()
        assert states.is_due()


def _refuse(*_: object) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_a_state_is_a_file_that_the_library_reads(tmp_path: Path) -> None:
    """Bytes first and of an odd number: what follows still lies where its type may lie."""
    state = [torch.arange(3, dtype=torch.uint8), torch.rand(2), torch.rand(2).double()]
    state += [torch.tensor(7), torch.rand(3).half(), torch.empty(0), torch.tensor([True])]
    checkpoint.write(tmp_path, checkpoint.hold(state, at(1)))
    folder = tmp_path / "step-000000001"
    stored = load_file(folder / "tensors.safetensors")
    assert [torch.equal(stored[str(n)], each) for n, each in enumerate(state)] == [True] * 7
    assert [each.dtype for each in checkpoint.read(folder)] == [each.dtype for each in state]
    with (folder / "tensors.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    assert all(
        header[str(n)]["data_offsets"][0] % each.element_size() == 0 for n, each in enumerate(state)
    )
