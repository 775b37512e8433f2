"""Trends of printed values: rising, falling, and the same in two series."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import combinations, pairwise
from typing import Literal

from repro.claim_base import Published
from repro.model_claims import ConcordanceClaim
from repro.plural import counted
from repro.printed import Interval, interval
from verify.decided import Decided
from verify.page_words import OPEN, first, judged, label, listed, pair

Signs = frozenset[int]
"""What is possible inside the rounding intervals: 1 up or above, 0 level, -1 down."""

_STEPS = {1: "rises", 0: "stays", -1: "falls"}
_SPIKES = {1: "above", 0: "not above"}
_UNITS = {"steps": "step", "ranks": "pair", "spikes": "place"}


def monotone(values: Sequence[Published], direction: Literal["rising", "falling"]) -> Decided:
    """Each value above the one before, or below it.

    Any later value is compared with any earlier one: where steps look possible one by one,
    two values further apart may still rule out the whole.
    """
    wanted = 1 if direction == "rising" else -1
    never = [
        f"{_step(*both)}: never {direction}"
        for both in combinations(values, 2)
        if wanted not in _signs(*both)
    ]
    steps, unsure = [], []
    for both in pairwise(values):
        steps.append(f"{_step(*both)}: {_words(_signs(*both), _STEPS)}")
        if _signs(*both) != {wanted}:
            unsure.append(steps[-1])
    outcome = judged(sure=not unsure, possible=not never)
    if never:
        reason = first(never)
    elif unsure:
        reason = f"{first(unsure)}; {OPEN}"
    else:
        reason = f"{counted(len(steps), 'step')}, each {direction}"
    measured = listed([value.text for value in values])
    return Decided(outcome, direction, measured, "order", reason, (*steps, *never))


def concordance(
    left: Sequence[Published], right: Sequence[Published], claim: ConcordanceClaim
) -> Decided:
    """Both series do the same at every step, pair or place.

    Places are judged one by one; what only several of them together could rule out is left
    open.
    """
    same, differ, unsure, working = 0, [], 0, []
    for where, one, other, names in _compared(left, right, claim):
        line = f"{where}: {_words(one, names)} and {_words(other, names)}"
        working.append(line)
        if not one & other:
            differ.append(line)
        elif len(one | other) == 1:
            same += 1
        else:
            unsure += 1
    total = counted(len(working), _UNITS[claim.by])
    outcome = judged(sure=not unsure, possible=not differ)
    reason = f"of {total}: {same} the same, {len(differ)} not, {unsure} open"
    if differ:
        reason = f"{reason}; {first(differ)}"
    elif unsure:
        reason = f"{reason}; {OPEN}"
    published, measured = (listed([value.text for value in side]) for side in (left, right))
    margin = claim.by if claim.above is None else f"> {claim.above}"
    return Decided(outcome, published, measured, margin, reason, tuple(working))


def _compared(
    left: Sequence[Published], right: Sequence[Published], claim: ConcordanceClaim
) -> Iterator[tuple[str, Signs, Signs, dict[int, str]]]:
    """Where, what the left series can do there, what the right one can, and its words."""
    both = list(zip(left, right, strict=True))
    if claim.above is not None:
        for one, other in both:
            at = pair(one, other)
            yield at, _above(one, claim.above), _above(other, claim.above), _SPIKES
        return
    steps = pairwise(both) if claim.by == "steps" else combinations(both, 2)
    for (one, other), (one_next, other_next) in steps:
        where = f"{_step(one, one_next)} and {_step(other, other_next)}"
        yield where, _signs(one, one_next), _signs(other, other_next), _STEPS


def _signs(one: Published, then: Published) -> Signs:
    return interval(then.text).signs(interval(one.text))


def _above(value: Published, limit: str) -> Signs:
    """1 if a value can lie above the limit, 0 if it can lie at the limit or below."""
    at = Decimal(limit)
    return frozenset(max(sign, 0) for sign in interval(value.text).signs(Interval(at, at)))


def _step(one: Published, then: Published) -> str:
    return f"{label(one)} {one.text} to {label(then)} {then.text}"


def _words(signs: Signs, names: dict[int, str]) -> str:
    return " or ".join(word for sign, word in names.items() if sign in signs)
