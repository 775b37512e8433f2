"""The decision on one measured number: the seam between statistics and outcomes.

The rule of the design needs at least five settings, a floored spread, a margin and a
prediction interval. It is not built yet, so nothing measured is called `reproduced` or
`contradicted` here: the numbers are shown, and the outcome is `inconclusive`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from repro.finding import Outcome

NOT_DECIDED = "shown, not decided: the decision rule is not built yet"


@dataclass(frozen=True)
class Decision:
    """An outcome and its reason."""

    outcome: Outcome
    reason: str
    direction: str


def decide(measured: Sequence[float], published: str, margin: str) -> Decision:
    """Decide one printed number from its measurements, one for each setting.

    Args:
        measured: The statistic under each setting, in the unit of the printed value.
        published: The printed string.
        margin: How far the mean may lie from it before a sentence would change.
    """
    return Decision("inconclusive", NOT_DECIDED, direction(measured, published, margin))


def direction(measured: Sequence[float], published: str, margin: str) -> str:
    """Where the mean of some measurements lies, in words."""
    mean = Decimal(repr(sum(measured) / len(measured)))
    distance = mean - Decimal(published)
    if abs(distance) <= Decimal(margin):
        return "within the margin"
    return "above the printed value" if distance > 0 else "below the printed value"
