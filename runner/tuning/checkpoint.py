"""Where a killed training run takes up again: its state on the disk, without a pickle.

    <work>/step-<n>/tensors.safetensors    every tensor of the state
    <work>/step-<n>/state.json             the rest of it, tensors by name
    <work>/step-<n>/trainer_state.json     transformers' own: steps done, so the place in the data
    <work>/step-<n>/digests.json           SHA-256 of the three

A state is any nest of dicts, lists, tuples, numbers, text and tensors: what `state_dict` returns.
A folder is on the disk before it appears, by one rename, and the one before goes only then, so that
a kill at any time leaves a whole one, or none if there was none. One that is not what its digests
say is removed, never believed: the training starts over, and ends as if there had been none.

Reference: transformers 4.40.0, `Trainer.train(resume_from_checkpoint=...)`.
Differs: Trainer's own checkpoints of optimizer, scheduler and generators are pickles, which
`torch.load` executes under these pins.
Not covered: several processes.
"""

import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError  # type: ignore[attr-defined]  # missing in its stub
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from repro import json_text
from repro.errors import CannotSaveError, save_errors
from repro.fileio import digest_of_file, sync, sync_tree

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


# -----------------------------------------------------------------------------
# On the disk


def write(work: Path, state: object, trainer: TrainerState) -> None:
    """Put a state in place of the one that is there.

    Raises:
        CannotSaveError: there is no space, or no right to write.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_packed(state, tensors))
    draft, folder = work / ".writing", work / f"step-{trainer.global_step:09}"
    with save_errors(work):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            save_file(tensors, draft / TENSORS)
        except SafetensorError as error:  # it hides a full disk in a message of its own
            message = f"could not save {work}: {error}; free some space or choose another --out"
            raise CannotSaveError(message) from error
        (draft / STATE).write_text(text)
        trainer.save_to_json(str(draft / TRAINER_STATE_NAME))
        (draft / DIGESTS).write_text(json.dumps(_digests(draft)))
        sync_tree(draft)
        draft.rename(folder)
        sync(work)
    for old in set(work.glob("step-*")) - {folder}:
        shutil.rmtree(old, ignore_errors=True)


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


def _packed(value: object, tensors: dict[str, Tensor]) -> object:
    """A state as JSON, its tensors put aside by number."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().contiguous()
        return {"tensor": name}
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
