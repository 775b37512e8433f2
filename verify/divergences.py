"""Divergences of some cells under every setting: their spread, their null, another machine's share.

Whatever they come from: `verify.paired` makes them of records, `benchmarks.machines` of draws. The
words and letters are those of `verify.paired`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from verify import decision_rule
from verify.decision_rule import Sample, coin_flips, mean, most_likely_changes
from verify.look import current

_HALF = 0.5
"""Of the changes between two machines or kernels, that one of them brings."""


@dataclass(frozen=True)
class Divergences:
    """What rules ask of some cells: D under each setting, and how far it may be off.

    Shapes: R settings, J cells, K numbers of shots.
    """

    net: NDArray[np.float64]
    """Answers gained less answers lost, (R, J, K)."""
    of_cells: NDArray[np.float64]
    """D of each cell, (R, J), percentage points."""
    changes: NDArray[np.int64]
    """c, the most under any setting: (J, K)."""
    apart: Sequence[int | None]
    """Changes between two kernels, all shots of a cell together; None where one kernel ran."""
    together: Sequence[Sequence[int]]
    """Cells that share an evaluation, in groups; each cell once."""
    questions: int
    least_spread: float
    """What the standard deviation of D is never taken below."""

    @property
    def values(self) -> list[float]:
        """D, one a setting."""
        return [mean(row) for row in self.of_cells.tolist()]

    @cached_property
    def sample(self) -> Sample:
        """D under each setting, with how far another setting and another machine may be off.

        Folding at 0 hides a part of the spread: s is never below that of the signed differences.
        """
        signed, least = self.net / self.questions * 100, self.least_spread
        if len(signed) > 1:
            cells = signed.var(axis=0, ddof=1).sum(axis=-1) / signed.shape[-1] ** 2
            least = max(least, math.sqrt(self._of_mean(cells)))
        found = decision_rule.sample(self.values, least, self.machine)
        return replace(found, least=self.least_spread)

    @cached_property
    def ranges(self) -> Sample:
        """Largest divergence of a cell minus the smallest: one cell moves it, not their mean."""
        values = (self.of_cells.max(axis=1) - self.of_cells.min(axis=1)).tolist()
        least = self.least_spread * self.of_cells.shape[1] ** 0.5
        return decision_rule.sample(values, least, 2 * float(self.machines.max()))

    @cached_property
    def null(self) -> float:
        """95 % quantile of D if gains and losses were tosses of a fair coin."""
        changes = tuple(sorted(self.changes.ravel().tolist()))
        return coin_flips(changes, self.questions, current().share(decision_rule.ERROR_RATE))

    @property
    def at_the_floor(self) -> bool:
        """Whether D, mean over settings, is what nothing at all can look like."""
        # One division of whole numbers, as the null is: means of rounded ones miss a tie.
        mean_of = 100 * np.abs(self.net).sum() / (self.net.size * self.questions)
        return not mean_of + self.sample.drift > self.null

    @property
    def machine(self) -> float:
        """The share u of one machine. Measured, half of the changes between two kernels.

        Else c, as if all were redrawn. The largest pair of settings is taken, and the upper limit
        of its count; settings that differ in batch or order alone say nothing of another machine.
        """
        return self._of_mean(self.machines)

    @cached_property
    def machines(self) -> NDArray[np.float64]:
        """The same of each cell."""
        counts = [
            count if apart is None else _HALF * most_likely_changes(apart)
            for apart, count in zip(self.apart, self.changes.sum(axis=1).tolist(), strict=True)
        ]
        return np.array(counts) * (100 / self.questions / self.changes.shape[1]) ** 2

    def _of_mean(self, variances: NDArray[np.float64]) -> float:
        """Variance of the mean over cells, each with its own.

        Cells that share an evaluation are taken to move together: their deviations add up.
        """
        total = sum(sum(math.sqrt(variances[at]) for at in group) ** 2 for group in self.together)
        return total / len(variances) ** 2
