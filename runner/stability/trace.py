"""What a roll-out leaves behind: every step, reduced over the state entries of a channel."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor


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
