"""A table of models whose evaluations are drawn, as its paper prints it and as our runs leave it.

A claim is true of the authors' process, wherever that is drawn anew: the printed number is one
draw of it on a machine of theirs. A false one is printed half a point off. A model that neither
leans nor gains otherwise than it loses diverges by coin tosses alone, whatever is printed of it.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from planted.claims import Paper, Truth
from planted.entries import SUBJECT
from planted.flips import (
    LEANS,
    QUESTIONS,
    REFERENCE,
    SHOTS,
    SPIKE,
    Answers,
    Cell,
    Turned,
    World,
    draw_cell,
    right_answers,
)

from repro.schema.slots import evaluation_slot

WORLDS = (
    World("independent", redrawn=1.0),
    World("correlated", alike=0.5),
    World("ties", tied=True, gained=0.4),
    World("unequal", gained=0.35),
    World("rare settings", rare=0.1),
)

SETTINGS: tuple[dict[str, Any], ...] = tuple(
    {
        "id": f"{kernel}-{size}-{order}",
        "batch_size": size,
        "order": f"length-{order}",
        "attention_float32": kernel,
        "attention_half": kernel,
        "mamba_path": {"eager": "slow", "sdpa": "kernels"}[kernel],
    }
    for kernel, size, order in (
        ("eager", 4, "descending"),
        ("eager", 16, "descending"),
        ("eager", 64, "descending"),
        ("eager", 16, "ascending"),
        ("sdpa", 4, "descending"),
        ("sdpa", 16, "descending"),
        ("sdpa", 64, "descending"),
    )
)
"""Seven over two kernels, of attention as of scan."""

# -----------------------------------------------------------------------------
# Tables, and what their paper says of them

FAIR: Mapping[str, tuple[str, ...]] = {
    "true": ("reproduced", "inconclusive"),
    "false": ("contradicted", "inconclusive"),
    "open": ("inconclusive",),
}
"""By what is true of a claim."""


@dataclass(frozen=True)
class Table:
    """One drawn paper."""

    world: World
    cells: Mapping[str, Cell]
    """By `<checkpoint>.<dtype>`."""
    paper: Paper


def draw(world: World, seed: int) -> Table:
    """Draw everything of one paper."""
    rng, paper, cells = np.random.default_rng([14_042, seed]), Paper(), dict[str, Cell]()
    kernels = [str(each["attention_half"]) for each in SETTINGS]
    for at, checkpoint in enumerate(world.checkpoints):
        for dtype in world.changes:
            name = f"{checkpoint}.{dtype}"
            cells[name] = draw_cell(world, dtype, world.lean(at), kernels, rng)
            _cell(paper, world, at, name, cells[name].theirs)
    if world.models >= len(LEANS):
        _sentences(paper, world, {name: each.theirs for name, each in cells.items()})
    return Table(world, cells, paper)


def _cell(paper: Paper, world: World, at: int, name: str, theirs: float) -> None:
    """The printed number of one cell: as it was drawn, shifted, or of nothing but coin tosses."""
    truth: Truth = "true"
    if at in world.false:
        truth = "false"
        theirs = _shifted(theirs, world.shift)
    elif not world.lean(at) and world.gained == 0.5:
        truth = "open"
    checkpoint, _, dtype = name.rpartition(".")
    measure = {"kind": "divergence", "checkpoint": checkpoint, "dtype": dtype}
    measure |= {"reference": "float32", "input_rounding": "0.01"}
    said = _printed(paper, theirs)
    paper.claim(name, "cell", truth, FAIR[truth], measure=measure, **said)


def _shifted(value: float, shift: float) -> float:
    """Off by so much, which is more than its margin then is."""
    return value - shift if value > 1 else value + shift


def _printed(paper: Paper, value: float) -> dict[str, Any]:
    """A number of two decimals, and its margin.

    Half the distance to 0, no divergence, or to 1, a spike: sentences that the paper has.
    """
    text = f"{value:.2f}"
    nearest = min(abs(Decimal(text)), abs(Decimal(text) - 1))
    margin = {"value": f"{nearest / 2:f}", "origin": "half the distance to 0 or to 1"}
    return {"published": paper.value(text, "percentage points"), "margin": margin}


def _sentences(paper: Paper, world: World, theirs: Mapping[str, float]) -> None:
    """Means, counts, orders and trends of the cells that are printed as drawn."""

    def leaning(lean: float) -> list[str]:
        places = [at for at in range(world.models) if world.lean(at) == lean]
        return [f"{world.checkpoints[at]}.{dtype}" for at in places for dtype in world.changes]

    def claim(name: str, kind: str, truth: Truth, **said: Any) -> None:
        paper.claim(f"{name}.{truth}", kind, truth, FAIR[truth], basis="measured", **said)

    some, spikes, nothing = leaning(0.3), leaning(SPIKE), leaning(0.0)
    mean = float(np.mean([theirs[each] for each in some]))
    claim("mean", "mean", "true", of=some, **_printed(paper, mean))
    claim("mean", "mean", "false", of=some, **_printed(paper, _shifted(mean, world.shift)))
    above = sum(theirs[each] > 1 for each in some + spikes)
    several = {"of": some + spikes, "above": "1"}
    for truth, count in (("true", above), ("false", above + 2)):
        claim("count", "count", truth, published=paper.value(str(count), "cells"), **several)
    for relation in ("at-most", "smaller-beyond-null"):
        order = {"relation": relation}
        claim(relation, "ordering", "true", left=some, right=spikes, **order)
        claim(relation, "ordering", "false", left=spikes, right=some, **order)
    up, too = ([some[at], spikes[at]] for at in (0, -1))
    claim("trend", "concordance", "true", by="steps", left=up, right=too)
    claim("trend", "concordance", "false", by="steps", left=up, right=too[::-1])
    one, near, far = nothing[0], some[0], spikes[0]  # in one dtype
    spread = {"relation": "within-spread"}
    claim("spread", "ordering", "true", left=[near], right=[one, far], **spread)
    claim("spread", "ordering", "false", left=[far], right=[one, near], **spread)
    if world.gained == 0.5:  # the order of what is nothing
        alike = [each for each in nothing if each.endswith(list(world.changes)[-1])]
        claim("at-most", "ordering", "open", relation="at-most", left=alike[:1], right=alike[1:])


# -----------------------------------------------------------------------------
# The manifest's jobs, and arrays as a run would leave them.

GOLD = (np.arange(QUESTIONS) * 7 // 2 % 4).astype(np.int8)
_EVERY = np.arange(4, dtype=np.int8)[:, None]
_LATER = (GOLD + 1) % 4
_FIRST = np.where(REFERENCE & (GOLD > 0), np.int8(0), _LATER)
"""Wrong letters: the next one, or A where it ties with the right one."""


def parts(world: World) -> dict[str, Any]:
    """Settings and job group of the manifest."""
    tier = {
        "subjects": [SUBJECT],
        "rule": "all",
        "settings": [each["id"] for each in SETTINGS],
        "other_arms": [],
        "stand_ins": {},
        "only_stand_ins": False,
    }
    group = {
        "kind": "evaluation",
        "id": "table",
        "checkpoints": list(world.checkpoints),
        "dtypes": ["float32", *world.changes],
        "task": "mmlu",
        "shots": list(SHOTS),
        "tiers": {"full": tier},
    }
    return {"settings": list(SETTINGS), "jobs": [group]}


class LazyArrays(Mapping[str, NDArray[Any]]):
    """Arrays of an evaluation, each made when it is asked for."""

    def __init__(self, turned: Turned | None, setting: int, *, tied: bool) -> None:
        self.setting, self.tied = setting, tied and turned is not None
        self._turned = turned
        self._made: dict[str, NDArray[Any]] = {}
        self._letters: dict[int, NDArray[np.int8]] = {}
        self._found_right: dict[int, Answers] = {}

    @cached_property
    def right(self) -> Sequence[Answers]:
        """Whether questions are right, by place in SHOTS."""
        return right_answers(self._turned) if self._turned else [REFERENCE] * len(SHOTS)

    def letters(self, shots: int) -> NDArray[np.int8]:
        """Letters at a number of shots."""
        if shots not in self._letters:
            right, wrong = self.right[SHOTS.index(shots)], _FIRST if self.tied else _LATER
            self._letters[shots] = np.where(right, GOLD, wrong)
        return self._letters[shots]

    def found_right(self, shots: int) -> Answers:
        """Which letters are right, those that a tie hides not."""
        if shots not in self._found_right:
            self._found_right[shots] = self.letters(shots) == GOLD
        return self._found_right[shots]

    def _scores(self, shots: int) -> NDArray[np.float64]:
        """The best letter has -1, the others less; of a tie the right one has -1 too."""
        letters = self.letters(shots)
        best = letters == _EVERY
        if self.tied:
            best |= (REFERENCE & ~self.right[SHOTS.index(shots)] & (letters < GOLD)) & (
                GOLD == _EVERY
            )
        # By columns, of which a maximum is a hundred times faster than of rows of four.
        return np.where(best, -1.0, -5.0 - self.setting).T

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._made:
            if name not in _NAMES:
                raise KeyError(name)
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> NDArray[Any]:
        if "/" not in name:
            return np.zeros(QUESTIONS, np.int64) if name == "subject" else np.arange(QUESTIONS)
        shots, _, what = name.partition("/")
        at = int(shots.removeprefix("shots"))
        if what == "log_likelihood":
            return self._scores(at)
        return (GOLD if what == "gold" else self.letters(at)).astype(np.int64)

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


_NAMES = (
    *("subject", "question"),
    *(f"shots{shots}/{n}" for shots in SHOTS for n in ("log_likelihood", "prediction", "gold")),
)


@functools.cache
def _reference(setting: int) -> LazyArrays:
    """In float32, of every model."""
    return LazyArrays(None, setting, tied=False)


def arrays_of(table: Table) -> dict[str, LazyArrays]:
    """Arrays of every evaluation by its slot."""
    found = {}
    for at, setting in enumerate(SETTINGS):
        for checkpoint in table.world.checkpoints:
            slot = evaluation_slot(checkpoint, "float32", setting["id"])
            found[slot] = _reference(at)
        for name, cell in table.cells.items():
            slot = evaluation_slot(*name.rsplit(".", 1), setting["id"])
            found[slot] = LazyArrays(cell.ours[at], at, tied=table.world.tied)
    return found
