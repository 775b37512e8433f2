"""Trials of the decision rule where the truth is known, and how often it was right.

A case is one printed number and the process behind it and ours (`benchmarks.flip_process`).
Each replicate is decided by `verify.decision_rule` as it stands.
"""

import math
import zlib
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from benchmarks import flip_process
from benchmarks.flip_process import QUESTIONS, SHOTS, Counts, Floats, Points, Process
from verify.decision_rule import ERROR_RATE, decide, floor, holm
from verify.decision_rule import UNDECIDABLE as CODES

SEED = 240_600_209
ROUNDING = Decimal("0.01")
"""Of four differences of two accuracies with 4 decimals: 2 x 0.005 points at most."""

H = 0.005 + float(ROUNDING)
"""Half a unit of a number printed with 2 decimals, and ROUNDING; points."""

FLOOR = floor(QUESTIONS, SHOTS)
UNDECIDABLE = "not decidable"

Outcomes = NDArray[np.str_]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """One published number and how ours come about."""

    name: str
    process: Process
    settings: int = 5
    margin: str = ""
    """Empty: half the distance of the printed value to 0 or 1, as in manifests/table1.json."""
    extra: Points = (0.0, 0.0, 0.0, 0.0)
    """Points by which our candidate is off the paper's, by number of shots."""
    published: str = ""
    """Empty: printed from one more draw."""


def half_distance(published: str) -> str:
    """The margin of manifests/table1.json.

    Example:
        >>> half_distance("0.66"), half_distance("0.31")
        ('0.17', '0.155')
    """
    return str(min(abs(Decimal(published)), abs(Decimal(published) - 1)) / 2)


def draw(case: Case, count: int) -> tuple[Counts, list[str]]:
    """Our evaluations, and what the paper printed, for `count` replicates."""
    rng = np.random.default_rng([SEED, zlib.crc32(repr(case).encode())])
    right = flip_process.evaluations(case.process, count, case.settings + 1, rng)
    texts = [case.published] * count if case.published else flip_process.printed(right[:, -1])
    ours = right[:, :-1]
    ours[:, :, 1] += flip_process.answers(np.array(case.extra))
    return ours, texts


def decided(case: Case, count: int) -> tuple[Outcomes, Floats]:
    """Outcome, or UNDECIDABLE, and p-value of `contradicted` of each replicate."""
    right, texts = draw(case, count)
    outcomes, p_values = [], []
    for run, text in zip(flip_process.divergences(right).tolist(), texts, strict=True):
        margin = case.margin or half_distance(text)
        found = decide(run, text, margin, least_spread=FLOOR, input_rounding=ROUNDING)
        undecidable = found.why.code in CODES
        outcomes.append(UNDECIDABLE if undecidable else found.outcome)
        p_values.append(found.p_contradicted)
    return np.array(outcomes), np.array(p_values)


def standing(outcomes: Outcomes, p_values: Floats) -> Flags:
    """Which `contradicted` of one table stand after Holm's adjustment, as `verify.judge` has it."""
    kept: Flags = (np.array(holm(p_values.tolist())) < ERROR_RATE) & (outcomes == "contradicted")
    return kept


def moments(process: Process, count: int) -> tuple[float, float]:
    """Mean and s of the divergence, from 20 draws a replicate."""
    return flip_process.moments(process, 20 * count, np.random.default_rng(SEED))


@dataclass(frozen=True)
class Share:
    """How often something happened, with Wilson's 95 % interval."""

    hits: int
    of: int

    @classmethod
    def among(cls, happened: Flags) -> "Share":
        """Of booleans."""
        return cls(int(happened.sum()), happened.size)

    def interval(self) -> tuple[float, float]:
        """Reference: Wilson 1927."""
        z, n, share = 1.96, self.of, self.hits / self.of
        middle = (share + z * z / 2 / n) / (1 + z * z / n)
        reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / 4 / n / n)
        return middle - reach, middle + reach

    def against(self, goal: float, *, at_most: bool) -> str:
        """The share and whether it meets a goal."""
        low, high = self.interval()
        if low <= goal <= high:
            return f"{self}, at the bound"
        return f"{self}, {'holds' if (high < goal) == at_most else '**missed**'}"

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{self.hits / self.of:.4f} ± {(high - low) / 2:.4f}"
