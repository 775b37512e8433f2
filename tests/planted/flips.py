"""Answers that turn right or wrong in half precision, drawn question by question.

Q questions at K = 4 numbers of shots. A model answers the same questions right in float32 wherever
it runs. In half precision `changes` of its answers turn right or wrong at each number of shots:

    own             `redrawn` of them, anew for each machine; a second kernel is a second machine
    shared          the others, which every machine has; among them a lean, answers lost for good
    of a setting    a few beside them, anew for each evaluation

The authors evaluate once, on a machine of their own, and print what lm-eval's four digits give. We
evaluate under seven settings over two kernels.

Shapes: answers of one evaluation are (Q,) at each number of shots; bool, whether they are right.
Counts are binomial, and which questions turn is as good as any other choice: the first free ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

QUESTIONS = 14_042
RIGHT = 3_791
"""Answered right in float32: 27 %."""
SHOTS = (0, 1, 3, 5)
POINT = 100 / QUESTIONS
"""Percentage points that one answer is."""
OF_A_SETTING = 5
"""Changes that each evaluation has for itself."""
RARELY = 0.5
"""Points that a rare evaluation loses more."""
SPIKE = 1.45
LEANS = (0.0, 0.3, SPIKE, 0.15)
"""Points that a model loses for good, by its place in the table."""

Answers = NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """How answers change, and how far off the false numbers of a paper are."""

    name: str
    changes: Mapping[str, int] = field(
        default_factory=lambda: MappingProxyType({"float16": 80, "bfloat16": 631})
    )
    """By dtype, at each number of shots; the lean is among them where there are enough."""
    redrawn: float = 0.5
    """Share of the changes that another machine, or kernel, has not."""
    gained: float = 0.5
    """Share of the changes that turn an answer right."""
    alike: float = 0.0
    """Share of the changes that are of the same questions at every number of shots."""
    tied: bool = False
    """Whether answers are lost to exact ties, of which the first letter is taken."""
    rare: float = 0.0
    """Share of evaluations, the authors' too, that lose RARELY more."""
    leans: tuple[float, ...] = LEANS
    models: int = 5
    shift: float = 0.5
    """Points that false numbers are off."""
    false: frozenset[int] = frozenset({3})
    """Places of models whose printed numbers are shifted."""

    @cached_property
    def checkpoints(self) -> tuple[str, ...]:
        """Half of them attend, half of them scan."""
        names = [f"{family}-{n}" for family in ("pythia", "mamba") for n in range(self.models)]
        return tuple(names[self.models // 2 :][: self.models])

    def lean(self, at: int) -> float:
        """Points that the model at a place loses for good."""
        return self.leans[at % len(self.leans)]


Turned = list[list[tuple[slice, slice]]]
"""At each number of shots, pieces of the questions that were lost and of those that were won."""


class _Free:
    """Questions that have not turned yet, handed out once each."""

    def __init__(self, lost: int, won: int) -> None:
        self.lost, self.won = lost, won
        self.ends = lost + RIGHT // 2, won + (QUESTIONS - RIGHT) // 2

    def take(self, lost: int, won: int) -> tuple[slice, slice]:
        """So many that were right, and so many that were wrong."""
        found = slice(self.lost, self.lost + lost), slice(self.won, self.won + won)
        self.lost, self.won = found[0].stop, found[1].stop
        assert self.lost <= self.ends[0]
        assert self.won <= self.ends[1]
        return found


class _Pools:
    """One half of the questions for what is the same at every number of shots, one for the rest."""

    def __init__(self) -> None:
        self.alike = _Free(RIGHT // 2, (RIGHT + QUESTIONS) // 2)
        self.apart = [_Free(0, RIGHT) for _ in SHOTS]


@dataclass(frozen=True)
class Cell:
    """One model in one dtype: ours under each setting, and the authors' once."""

    ours: tuple[Turned, ...]
    theirs: float
    """Divergence as lm-eval's digits give it, before it is rounded to be printed."""


def draw_cell(
    world: World, dtype: str, lean: float, kernels: list[str], rng: np.random.Generator
) -> Cell:
    """Evaluations of one model in one dtype; `kernels` is that of each of our settings."""
    free = _Pools()
    lost, changes = round(lean / POINT), world.changes[dtype]
    own = round(changes * world.redrawn)
    shared = _draw(world, free, max(changes - own - lost, 0), rng, lost)
    machines = {name: _draw(world, free, own, rng) for name in (*sorted(set(kernels)), "theirs")}

    def evaluated(machine: str) -> Turned:
        more = round(RARELY / POINT) if rng.random() < world.rare else 0
        beside = _draw(world, free, OF_A_SETTING, rng, more)
        parts = zip(shared, machines[machine], beside, strict=True)
        return [[piece for pieces in part for piece in pieces] for part in parts]

    theirs = [int(each.sum()) for each in right_answers(evaluated("theirs"))]
    return Cell(tuple(map(evaluated, kernels)), _as_lm_eval_has_it(theirs))


def _draw(
    world: World, free: _Pools, number: int, rng: np.random.Generator, lost: int = 0
) -> Turned:
    """So many changes at each number of shots, and answers more that are lost."""
    alike = round(number * world.alike)
    won = int(rng.binomial(alike, world.gained))
    found: Turned = []
    everywhere = free.alike.take(alike - won, won)
    for pool in free.apart:
        won = int(rng.binomial(number - alike, world.gained))
        found.append([everywhere, pool.take(number - alike - won + lost, won)])
    return found


REFERENCE: Answers = np.arange(QUESTIONS) < RIGHT
"""Answers in float32."""


def right_answers(turned: Turned) -> list[Answers]:
    """Which questions are right at each number of shots."""
    found = []
    for pieces in turned:
        right = REFERENCE.copy()
        for lost, won in pieces:
            right[lost], right[won] = False, True
        found.append(right)
    return found


def _as_lm_eval_has_it(right: list[int]) -> float:
    """Mean over shots of the difference of two accuracies of four decimals, in points."""
    digits = [abs(round(each / QUESTIONS, 4) - round(RIGHT / QUESTIONS, 4)) for each in right]
    return 100 * sum(digits) / len(digits)
