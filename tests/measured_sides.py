"""One side of a comparison, as measured."""

from dataclasses import dataclass

from verify import decision_rule
from verify.decision_rule import Sample


@dataclass
class Side:
    """The numbers that a rule asks of the cells of one side."""

    divergences: list[float]
    least_spread: float = 1e-9
    machine: float = 0.0
    null: float = 0.0
    spreads: list[float] | None = None
    """Largest less smallest cell, under each setting."""

    @property
    def rows(self) -> list[float]:
        return self.divergences

    @property
    def sample(self) -> Sample:
        return decision_rule.sample(self.divergences, self.least_spread, self.machine)

    @property
    def ranges(self) -> Sample:
        return decision_rule.sample(self.spreads or [0.0], self.least_spread, self.machine)

    @property
    def at_the_floor(self) -> bool:
        return not self.sample.mean > self.null
