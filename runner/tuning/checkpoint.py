"""Where a killed training run takes up again: its state on the disk, without a pickle.

    <work>/step-<n>/tensors.safetensors    every tensor of the state
    <work>/step-<n>/state.json             the rest of it, tensors by name
    <work>/step-<n>/trainer_state.json     transformers' own: steps done, so the place in the data
    <work>/step-<n>/digests.json           SHA-256 of the three

A state is any nest of dicts, lists, tuples, numbers, text and tensors: what `state_dict` returns.
A folder is on the disk before it appears, by one rename, and the one before goes only then, so that
a kill at any time leaves a whole one, or none if there was none. One that is not what its digests
say is removed, never believed: the training starts over, and ends as if there had been none.

Training waits for a copy of the state in the host's memory, not for the disk: a thread writes it
while steps go on. One state is under way at most, so one copy is held: 12 bytes a trained number.

Reference: transformers 4.40.0, `Trainer.train(resume_from_checkpoint=...)`.
Differs: Trainer's own checkpoints of optimizer, scheduler and generators are pickles, which
`torch.load` executes under these pins.
Not covered: several processes; a host with less memory to spare than a state takes.
"""

import json
import random
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from repro import json_text
from repro.errors import save_errors
from repro.fileio import digest_of_file, sync, sync_tree
from repro.weights.checkpoint_files import new_header

TENSORS, STATE, DIGESTS = "tensors.safetensors", "state.json", "digests.json"

EVERY = 60.0
"""Seconds from one state written to the next, at least."""

SHARE = 20.0
"""Writing takes at most one part in so many of the time."""


class CheckpointPace:
    """When it is time to write a state again."""

    def __init__(self) -> None:
        self._last, self._took = time.monotonic(), 0.0

    def is_due(self) -> bool:
        """Whether enough time has passed since the last one."""
        return time.monotonic() - self._last >= max(EVERY, SHARE * self._took)

    def note_write(self, seconds: float) -> None:
        """One was written just now, and took so long."""
        self._last, self._took = time.monotonic(), seconds


class StateWriter:
    """Writes states beside the training; used as a context, which it leaves with all written."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._pace = CheckpointPace()
        self._aside = ThreadPoolExecutor(1, "state")
        self._under_way: Future[float] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._aside.shutdown()

    def is_due(self) -> bool:
        """Whether it is time for a state and none is under way.

        Raises:
            CannotSaveError: of the last one, if it has failed meanwhile.
        """
        if self._under_way and self._under_way.done():
            self.finish()
        return not self._under_way and self._pace.is_due()

    def write(self, state: object, trainer: TrainerState) -> None:
        """Copy a state and have it written; only for one still under way is the disk waited for.

        Raises:
            CannotSaveError: of the one before.
        """
        self.finish()  # first, so that there are never two copies
        start = time.monotonic()
        held = hold(state, trainer)

        def write_held() -> float:
            write(self._work, held)
            return time.monotonic() - start

        self._under_way = self._aside.submit(write_held)

    def finish(self) -> None:
        """Wait for the state that is under way, if there is one.

        Raises:
            CannotSaveError: there is no space, or no right to write.
        """
        if self._under_way:
            done, self._under_way = self._under_way, None
            self._pace.note_write(done.result())


# -----------------------------------------------------------------------------
# On the disk


@dataclass(frozen=True)
class HeldState:
    """A state in memory of its own, which goes on with no training."""

    values: object
    """JSON, tensors by their place in the list."""
    tensors: list[Tensor]
    """On the CPU, contiguous."""
    trainer: TrainerState


def hold(state: object, trainer: TrainerState) -> HeldState:
    """A copy of a state in the host's memory."""
    tensors: list[Tensor] = []
    return HeldState(_packed(state, tensors), tensors, deepcopy(trainer))


def write(work: Path, held: HeldState) -> None:
    """Put a state in place of the one that is there.

    Raises:
        CannotSaveError: there is no space, or no right to write.
    """
    draft, folder = work / ".writing", work / f"step-{held.trainer.global_step:09}"
    with save_errors(work):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        _write_tensors(draft / TENSORS, held.tensors)
        (draft / STATE).write_text(json.dumps(held.values))
        held.trainer.save_to_json(str(draft / TRAINER_STATE_NAME))
        (draft / DIGESTS).write_text(json.dumps(_digests(draft)))
        sync_tree(draft)
        draft.rename(folder)
        sync(work)
    for old in set(work.glob("step-*")) - {folder}:
        shutil.rmtree(old, ignore_errors=True)


_DTYPES = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""What safetensors calls them; a state has weights, moments, counts and generators."""


def _write_tensors(path: Path, tensors: list[Tensor]) -> None:
    """As `save_file`, which copies all and stops every other thread until it is done.

    The widest numbers come first, so that each tensor lies at a multiple of its own width.
    """
    order = sorted(range(len(tensors)), key=lambda number: -tensors[number].element_size())
    placed = [(str(number), tensors[number]) for number in order]
    with path.open("wb") as file:
        sizes = ((name, _DTYPES[t.dtype], tuple(t.shape), t.nbytes) for name, t in placed)
        file.write(new_header(sizes))
        for _, tensor in placed:
            file.write(tensor.reshape(-1).view(torch.uint8).numpy().data)


def latest(work: Path, tell: Callable[[str], None] = lambda _: None) -> Path | None:
    """The state that an earlier try left, if it is what was written; `tell` hears if it is not."""
    folder = max(work.glob("step-*"), default=None)
    if folder is None or _is_whole(folder):
        return folder
    tell(f"{folder.name} of the killed run is damaged: from the start")
    shutil.rmtree(folder, ignore_errors=True)
    return None


def read(folder: Path) -> Any:  # noqa: ANN401 - whatever was written
    """The state in a folder that `latest` found, tensors on the CPU."""
    return _unpacked(json.loads((folder / STATE).read_text()), load_file(folder / TENSORS))


def _digests(folder: Path) -> dict[str, str]:
    return {name: digest_of_file(folder / name) for name in (TENSORS, STATE, TRAINER_STATE_NAME)}


def _is_whole(folder: Path) -> bool:
    try:
        return bool(json_text.load(folder / DIGESTS) == _digests(folder))
    except (OSError, ValueError):
        return False


def _packed(value: object, tensors: list[Tensor]) -> object:
    """A state as JSON, its tensors copied into a list."""
    if isinstance(value, Tensor):
        tensors.append(torch.empty_like(value, device="cpu", memory_format=torch.contiguous_format))
        tensors[-1].copy_(value.detach())
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(value, dict):  # keys may be numbers, which JSON has not
        return {"dict": [[key, _packed(each, tensors)] for key, each in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_packed(each, tensors) for each in value]}
    if isinstance(value, list):
        return [_packed(each, tensors) for each in value]
    return value


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_unpacked(each, tensors) for each in value]
    match value:
        case {"tensor": name}:
            return tensors[name]
        case {"dict": pairs}:
            return {key: _unpacked(each, tensors) for key, each in pairs}
        case {"tuple": items}:
            return tuple(_unpacked(each, tensors) for each in items)
    return value


# -----------------------------------------------------------------------------
# Generators


def generators() -> dict[str, Any]:
    """States of the random number generators of Python, NumPy, torch and the GPU."""
    kind, keys, *others = np.random.get_state()  # noqa: NPY002 - the one that libraries draw from
    return {
        "python": random.getstate(),
        "numpy": (kind, np.asarray(keys).tolist(), *others),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def set_generators(state: dict[str, Any]) -> None:
    """Put the generators where `generators` found them."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002 - the same
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])
