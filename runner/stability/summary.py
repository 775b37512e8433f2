"""What a roll-out leaves of every step, and the arrays of a record: per layer, at chosen times.

Array names, with L layers and K recorded times (`times`, counted from 0):

| name                         | shape, dtype   | what                                             |
|------------------------------|----------------|--------------------------------------------------|
| `<mode>/latent_ratio`        | (L,) float64   | largest |dx| / bound over time, channels, entries|
| `<mode>/latent_violations`   | (L,) int64     | (time, channel) cells with an entry above it     |
| `<mode>/latent_envelope`     | (L, K) float64 | max over channels and entries of |dx|            |
| `<mode>/latent_rises`        | (L,) int64     | steps in which that maximum grew beyond rounding |
| `<mode>/latent_remaining`    | (L,) float64   | the envelope at the last step over that at `at`  |
| `<mode>/output_...`          |                | the same five of |dy| (maximum over channels)    |
| `rounding/latent_envelope`   | (L, K) float64 | bound on what rounding adds to |dx|              |
| `rounding/output_envelope`   | (L, K) float64 | the same of |dy|                                 |
| `state_max`                  | (L,) float64   | max |x| of the unperturbed trajectory            |
| `lambda_max`, `lambda_bound` | (L,) float64   | see `exponents`; nats a step                     |
| `lambda_switches`            | (L,) int64     | how often the maximising dimension changes       |

A NaN deviation or bound counts as a violation.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runner.measurement import Arrays
from runner.stability.bounds import RATIO_SLACK
from runner.stability.perturbation import MODES

EVERY = frozenset(mode.name for mode in MODES if mode.every)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Deviations of M modes over T steps, L layers, D channels; only state entries are reduced."""

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


def recorded_times(steps: int, at: int, count: int) -> NDArray[np.int64]:
    """About `count` steps: the first two, then log-spaced from `at` to the last.

    Example:
        >>> recorded_times(100, 10, 6).tolist()
        [0, 1, 10, 12, 18, 38, 99]
    """
    offsets = np.geomspace(1, steps - at, count - 1).round().astype(np.int64) - 1
    times = np.concatenate([[0, min(1, steps - 1)], at + offsets])
    return np.asarray(np.unique(times), dtype=np.int64)


def exponents(step: Tensor, decay: Tensor) -> dict[str, Tensor]:
    """Finite-time Lyapunov exponents of a diagonal recurrence, nats a step.

    The Jacobians are diagonal, so the spectral norm of their product is its largest entry and
    no estimator is needed: `lambda_max` = max_j A_j · mean_T Δ_j. The dimension j that attains
    it may change with T (`lambda_switches` counts how often it does), so the paper may not take
    A[i,i] out of its limit; what holds is limsup ≤ max_j A_j · liminf mean_T Δ_j. `lambda_bound`
    is that with the least running mean over the second half of the steps.

    Args:
        step: Δ, shape (T, L, D), ≥ 0.
        decay: A, shape (L, D, N or 1).

    Reference:
        Paper v2, Appendix B, Lemma 1. Differs: the argmax is taken at every T; the limit is
        replaced by the value at the last step and, in the bound, by a least running mean.

    Example:
        >>> a = torch.tensor([[[-1.0, -2.0]]], dtype=torch.float64)
        >>> exponents(torch.full((8, 1, 1), 0.5, dtype=torch.float64), a)["lambda_max"].tolist()
        [-0.5]
    """
    slowest = decay.amax(-1)  # max_n A, (L, D)
    counted = torch.arange(1, step.shape[0] + 1, device=step.device, dtype=step.dtype)
    mean = step.cumsum(0) / counted[:, None, None]
    leader = (mean * slowest).argmax(-1)  # (T, L)
    return {
        "lambda_max": (mean[-1] * slowest).amax(-1),
        "lambda_bound": (mean[step.shape[0] // 2 :].amin(0) * slowest).amax(-1),
        "lambda_switches": (leader[1:] != leader[:-1]).sum(0),
    }


def summarise(blocks: Iterable[Trace], decay: Tensor, times: NDArray[np.int64]) -> Arrays:
    """The arrays of the module's table for one chunk of layers.

    Args:
        blocks: its traces, consecutive blocks of steps; each is reduced before the next is made.
        decay: A of the chunk, shape (L, D, N or 1).
        times: steps at which envelopes are kept.
    """
    reduced: dict[str, list[Tensor]] = {}
    for block in blocks:
        modes, at = block.modes, block.at
        for name, value in _reduce(block).items():
            reduced.setdefault(name, []).append(value)
    whole = {name: torch.cat(values) for name, values in reduced.items()}  # time first
    chosen = torch.from_numpy(times).to(decay.device)
    tensors = {"state_max": whole["state"].amax(0), **exponents(whole["step"], decay)}
    for what in ("latent", "output"):
        rounding = whole[f"{what}_rounding"]  # (T, L)
        tensors[f"rounding/{what}_envelope"] = rounding[chosen].T
        for row, mode in enumerate(modes):
            start = 0 if mode in EVERY else at
            curve = whole[f"{what}_envelope"][:, row]  # (T, L)
            grew = curve[start + 1 :] > curve[start:-1] + 2 * rounding[start + 1 :]
            tensors[f"{mode}/{what}_ratio"] = whole[f"{what}_ratio"][:, row].amax(0)
            tensors[f"{mode}/{what}_violations"] = whole[f"{what}_violations"][:, row].sum(0)
            tensors[f"{mode}/{what}_envelope"] = curve[chosen].T
            tensors[f"{mode}/{what}_rises"] = grew.sum(0)
            tensors[f"{mode}/{what}_remaining"] = curve[-1] / curve[at]
    return {name: value.contiguous().cpu().numpy() for name, value in tensors.items()}


def _reduce(block: Trace) -> dict[str, Tensor]:
    """A block over its channels: (T, M, L), or (T, L) where there is no mode; Δ as it is."""
    reduced = {"state": block.state[:, 0].amax(-1), "step": block.step}
    for what in ("latent", "output"):
        ratio = getattr(block, f"{what}_ratio")
        reduced[f"{what}_ratio"] = ratio.amax(-1)
        reduced[f"{what}_violations"] = (~(ratio <= 1 + RATIO_SLACK)).sum(-1)
        reduced[f"{what}_envelope"] = getattr(block, what).amax(-1)
        reduced[f"{what}_rounding"] = getattr(block, f"{what}_rounding")[:, 0].amax(-1)
    return reduced


def join(parts: list[Arrays]) -> Arrays:
    """Chunks of layers, in order, as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
