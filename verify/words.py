"""What all rules on printed values share: the outcome, and how values are named."""

from collections.abc import Sequence

from repro.schema.claim_base import Published
from repro.schema.finding import Outcome

OPEN = "the printed precision does not decide it"

_SHOWN = 7
"""Numbers of a list that are shown before the rest is only counted."""

_NAMED = 3
"""The same for the lines that a reason names."""


def judged(*, sure: bool, possible: bool) -> Outcome:
    """The outcome of what holds for sure, or at best possibly, inside the rounding intervals."""
    if not possible:
        return "contradicted"
    return "reproduced" if sure else "inconclusive"


def label(value: Published) -> str:
    """Row and column where a value stands, or its id where it stands in a sentence."""
    at = (value.place.row, value.place.column)
    return " ".join(word for word in at if word) or value.id


def pair(left: Published, right: Published) -> str:
    """Two values by what their places have in common, e.g. `130M WinoGrande 52.17 and 52.17`."""
    there = label(right).split()
    common = " ".join(word for word in label(left).split() if word in there)
    if common:
        return f"{common} {left.text} and {right.text}"
    return f"{label(left)} {left.text} and {label(right)} {right.text}"


def listed(texts: Sequence[str]) -> str:
    """All numbers, or the first few and how many there are."""
    return _cut(texts, ", ", _SHOWN)


def first(lines: Sequence[str]) -> str:
    """The lines of working that a reason names; the rest stand in the working."""
    return _cut(lines, "; ", _NAMED)


def _cut(words: Sequence[str], separator: str, most: int) -> str:
    shown = separator.join(words[:most])
    return shown if len(words) <= most else f"{shown} … ({len(words)} in all)"
