"""Evaluations on two machines, theirs and ours, drawn so that the truth is known.

An evaluation asks N questions at four numbers of shots, once in FP32 and once in low precision.
Low precision changes the correctness of c answers at each number of shots; each is gained or lost
with equal chance, so that the net is that of c tosses of a fair coin. A share of them is drawn anew
on every machine, the rest is the same everywhere; a second kernel of ours is as far off as a
second machine. Beside them

    shift      moves the low precision by so many points everywhere: what is true of the model
    settings   answers flip anew under each setting of ours and of theirs
    rare       one setting in ten of ours is so many points off
    unseen     FP32 flips so many answers anew under each setting, and a screen sees none of them:
               all settings of ours have those of the first

Shapes: n replicates, R settings, J cells, K = 4 numbers of shots; signed differences in points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verify import decision_rule
from verify.divergences import Divergences

QUESTIONS, SHOTS, SETTINGS = 14_042, 4, 7
POINT = 100 / QUESTIONS
"""One answer, in points."""
H = 0.015
"""Half a unit of a number printed with 2 decimals, and rounding of two accuracies; points."""
ORDER = (0, SETTINGS - 1, 1, 2, 3, 4, 5)
"""Settings as a run takes them that stops when decided: a second kernel comes second."""
RARE = 0.1
"""Of settings that are off, where some are."""
FLOOR = decision_rule.floor(QUESTIONS, SHOTS)
RIGHT = round(0.27 * QUESTIONS)

Points = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """How machines and settings differ."""

    changes: int
    """c, at each number of shots."""
    redrawn: float = 1.0
    """Share of them that another machine draws anew."""
    settings: int = 5
    """Answers that flip anew under each setting."""
    kernels: bool = False
    """Whether two settings of ours take a second kernel."""
    rare: float = 0.0
    """Points that one setting in ten is off."""
    seen: int = SETTINGS
    """Settings that the rule is shown; those of `ORDER` that come first."""
    unseen: int = 0
    """Answers that FP32 flips anew under each setting where a screen does not look."""

    def shown(self) -> list[int]:
        """Their places, in the order that they are drawn in."""
        return sorted(ORDER[: self.seen])


@dataclass(frozen=True)
class Drawn:
    """Some cells of one paper on both machines."""

    ours: Divergences
    theirs: Points
    """(J, K), signed differences."""

    def printed(self) -> list[str]:
        """Each cell's divergence as a paper prints it."""
        return [as_printed(each) for each in self.theirs]


def draw(
    world: World,
    shifts: Points,
    rng: np.random.Generator,
    moved: float = 0.0,
) -> Drawn:
    """One paper.

    Args:
        world: How machines and settings differ.
        shifts: (J,), points that low precision moves each cell by.
        rng: Where chance comes from.
        moved: Points that theirs are moved by beyond what is true of the model.
    """
    shape = (len(shifts), SHOTS)
    own = round(world.changes * world.redrawn)
    both = shifts[:, None] + _coins(world.changes - own, shape, rng)
    ours = np.repeat((both + _coins(own, shape, rng))[None], SETTINGS, axis=0)
    apart: list[int | None] = [None] * len(shifts)
    if world.kernels:
        ours[-2:] = both + _coins(own, shape, rng)
        apart = [2 * own * SHOTS + 2 * world.settings * SHOTS] * len(shifts)
    ours = ours + _coins(world.settings, (SETTINGS, *shape), rng)
    if world.rare:
        ours = ours + world.rare * (rng.random((SETTINGS, 1, 1)) < RARE)
    theirs = both + moved + _coins(own, shape, rng) + _coins(world.settings, shape, rng)
    if world.unseen:
        ours = ours + _coins(world.unseen, shape, rng)
        theirs = theirs + _coins(world.unseen, shape, rng)
    ours = ours[world.shown()]
    return Drawn(as_measured(ours, np.full(shape, world.changes), apart), theirs)


def as_measured(signed: Points, changes: Counts, apart: Sequence[int | None]) -> Divergences:
    """Cells as rules see them, that share no evaluation.

    Args:
        signed: (R, J, K), points.
        changes: c, (J, K).
        apart: Changes between two kernels, of each cell; None where one kernel ran.
    """
    cells = signed.shape[1]
    return Divergences(
        net=signed / POINT,
        of_cells=np.abs(signed).mean(axis=-1),
        changes=changes,
        apart=apart,
        together=[[at] for at in range(cells)],
        questions=QUESTIONS,
        least_spread=FLOOR / cells**0.5,
    )


def as_printed(signed: Points) -> str:
    """The divergence as a paper prints it from lm-eval's tables.

    lm-eval 0.4.2 prints accuracies as fractions with 4 decimals (`utils.make_table`); the mean of
    their differences is rounded to 2 decimals of a point, exact halves to even.

    Args:
        signed: (K,), points.
    """
    right = RIGHT + np.rint(signed / POINT)
    units = np.rint(right / QUESTIONS * 10_000) - np.rint(RIGHT / QUESTIONS * 10_000)
    return f"{np.rint(np.abs(units).mean()) / 100:.2f}"


def _coins(count: int, shape: tuple[int, ...], rng: np.random.Generator) -> Points:
    """Net of so many tosses, in points."""
    return np.asarray(POINT * (2.0 * rng.binomial(count, 0.5, shape) - count))
