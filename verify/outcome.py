"""What a rule says about one claim: an outcome, both sides and a reason."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from repro.schema.causes import Cause, Estimate, cause
from repro.schema.claim_base import Published
from repro.schema.finding import Outcome

if TYPE_CHECKING:  # printed claims are decided without numpy
    from verify.decision_rule import NumberTest
    from verify.records.checked_record import CheckedRecord

Number = Fraction | Decimal


@dataclass(frozen=True)
class RuleDecision:
    """The parts of a finding that a rule fills in."""

    outcome: Outcome
    published: str
    measured: str
    margin: str
    causes: tuple[Cause, ...]
    """Why, most telling first."""
    working: tuple[Cause, ...] = ()
    """Steps behind them, where the causes cannot hold all that is needed to follow it by hand."""
    estimates: tuple[Estimate, ...] = ()
    """Numbers behind them."""

    def because(self, *first: Cause, outcome: Outcome) -> "RuleDecision":
        """The same with another outcome, and what made it so before the other causes."""
        return replace(self, outcome=outcome, causes=(*first, *self.causes))


@dataclass(frozen=True)
class JudgedClaim:
    """What measurements say about a claim."""

    decided: RuleDecision
    direction: Cause | None
    """Where they point; shown where they do not decide."""
    loaded: "list[CheckedRecord]"
    """The records that it rests on."""
    test: "NumberTest | None" = None
    """Whether a printed number is contradicted, which the whole table decides; None where there is
    no such test."""


# -----------------------------------------------------------------------------
# What all rules on printed values share: the outcome, and how values are named.

OPEN = cause("printed-precision")

_SHOWN = 7
"""Numbers of a list that are shown before the rest is only counted."""

_NAMED = 3
"""The same for the steps that are causes too."""


def outcome_of_bounds(*, sure: bool, possible: bool) -> Outcome:
    """The outcome of what holds for sure, or at best possibly, inside the rounding intervals."""
    if not possible:
        return "contradicted"
    return "reproduced" if sure else "inconclusive"


def place_label(value: Published) -> str:
    """Row and column where a value stands, or its id where it stands in a sentence."""
    at = (value.place.row, value.place.column)
    return " ".join(word for word in at if word) or value.id


def pair_in_words(left: Published, right: Published) -> str:
    """Two values by what their places have in common, e.g. `130M WinoGrande 52.17 and 52.17`."""
    there = place_label(right).split()
    common = " ".join(word for word in place_label(left).split() if word in there)
    if common:
        return f"{common} {left.text} and {right.text}"
    return f"{place_label(left)} {left.text} and {place_label(right)} {right.text}"


def first_few_texts(texts: Sequence[str]) -> str:
    """All numbers, or the first few and how many there are."""
    shown = ", ".join(texts[:_SHOWN])
    return shown if len(texts) <= _SHOWN else f"{shown} … ({len(texts)} in all)"


def first_lines(steps: Sequence[Cause]) -> tuple[Cause, ...]:
    """The steps of a working that are causes too; the rest stand in the working alone."""
    if len(steps) <= _NAMED:
        return tuple(steps)
    return (*steps[:_NAMED], cause("and-more", total=len(steps)))


def rounded(label: str, value: Number, ends: tuple[Number, Number], unit: str = "") -> Estimate:
    """What printed digits come to, with all that their rounding leaves open."""
    low, high = map(float, ends)
    return Estimate(label=label, value=float(value), low=low, high=high, unit=unit)
