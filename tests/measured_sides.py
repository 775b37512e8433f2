"""One side of a comparison, as measured."""

from dataclasses import dataclass, field


@dataclass
class Side:
    """The numbers that a rule asks of the cells of one side."""

    divergences: list[float]
    least_spread: float = 1e-9
    shifts: list[float] = field(default_factory=lambda: [0.0])
    ranges: list[float] = field(default_factory=list)
    cells: int = 1

    @property
    def rows(self) -> list[list[None]]:
        return [[None] * self.cells] * len(self.divergences)
