"""Evaluations that differ by flipped answers, for trying a decision rule on.

An evaluation has Q questions at each of four numbers of shots. Nominally 27 % of them are
answered right. From there, at each number of shots,

    shift           moves the candidate by so many points, under every setting alike
    dtype_flips     answers of the candidate flip: the same ones under every setting
    setting_flips   answers of either arm flip, anew under each setting

A flip turns a right answer wrong or a wrong one right with equal chance. A rare setting
flips `rare_flips` times as many answers and moves the candidate by `rare_shift` points more.
Second flips of one answer are neglected: everything is drawn as two binomials, lost and won.

Shapes: evaluations are counts of right answers, (replicates, settings, 2 arms, 4 shots).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUESTIONS = 14_042
SHOTS = 4
RIGHT = round(0.27 * QUESTIONS)

Points = tuple[float, float, float, float]
"""One value a number of shots."""
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Process:
    """What gives a printed value, and ours; the module's docstring has the words."""

    shift: Points = (0.0, 0.0, 0.0, 0.0)
    dtype_flips: float = 0.0
    setting_flips: Points = (0.0, 0.0, 0.0, 0.0)
    rare: float = 0.0
    """Share of rare settings."""
    rare_flips: float = 1.0
    rare_shift: float = 0.0


def everywhere(value: float) -> Points:
    """The same at every number of shots."""
    return (value, value, value, value)


def steady(shift: float, setting_flips: float) -> Process:
    """A process that is the same at every number of shots."""
    return Process(shift=everywhere(shift), setting_flips=everywhere(setting_flips))


def evaluations(
    process: Process, replicates: int, settings: int, rng: np.random.Generator
) -> Counts:
    """Right answers of the reference (arm 0) and the candidate (arm 1) under some settings.

    The settings of one replicate share the dtype's flips: they run the same checkpoint.
    """
    rare = rng.random((replicates, settings, 1)) < process.rare
    expected = np.where(rare, process.rare_flips, 1.0) * np.array(process.setting_flips)
    right = RIGHT + _net(np.stack([expected, expected], axis=2), rng)
    right[:, :, 1] += _net(np.full((replicates, 1, SHOTS), process.dtype_flips), rng)
    right[:, :, 1] += answers(np.array(process.shift) + rare * process.rare_shift)
    return right


def answers(points: Floats) -> Counts:
    """Percentage points of accuracy in whole answers, by number of shots.

    What rounding leaves over goes to the next number of shots: the mean is kept to an eighth
    of an answer.

    Args:
        points: shape (..., 4).

    Example:
        >>> answers(np.array([0.045, 0.045, 0.045, 0.045]))
        array([6, 7, 6, 6])
    """
    running = np.rint(np.cumsum(points, axis=-1) * QUESTIONS / 100).astype(np.int64)
    found: Counts = np.diff(running, axis=-1, prepend=0)
    return found


def divergences(right: Counts) -> Floats:
    """Mean over shots of the absolute difference of two accuracies, percentage points.

    Args:
        right: evaluations, any leading shape.
    """
    found: Floats = np.abs(right[..., 0, :] - right[..., 1, :]).mean(axis=-1) * 100 / QUESTIONS
    return found


def printed(right: Counts) -> list[str]:
    """The divergence as a paper prints it from lm-eval's tables.

    lm-eval 0.4.2 prints accuracies as fractions with 4 decimals (`utils.make_table`); the
    mean of their differences is rounded to 2 decimals of a point, exact halves to even.

    Args:
        right: shape (replicates, 2, 4).
    """
    units = np.rint(right / QUESTIONS * 10_000).astype(np.int64)  # hundredths of a point
    hundredths = np.rint(np.abs(units[:, 0] - units[:, 1]).sum(axis=1) / SHOTS)
    return [f"{int(each) / 100:.2f}" for each in hundredths]


def moments(process: Process, draws: int, rng: np.random.Generator) -> tuple[float, float]:
    """Mean and standard deviation between settings of the divergence, by drawing.

    With flips of the dtype they would be of no one paper: each replicate has others.
    """
    if process.dtype_flips:
        message = f"moments of one paper: expected dtype_flips 0, found {process.dtype_flips}"
        raise ValueError(message)
    found = divergences(evaluations(process, draws, 1, rng))
    return float(found.mean()), float(found.std(ddof=1))


def _net(flips: Floats, rng: np.random.Generator) -> Counts:
    """Answers won minus answers lost, for an expected number of flips."""
    won = rng.binomial(QUESTIONS - RIGHT, flips / 2 / (QUESTIONS - RIGHT))
    lost = rng.binomial(RIGHT, flips / 2 / RIGHT)
    return np.asarray(won - lost, np.int64)
