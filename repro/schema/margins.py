"""How far a measurement may lie from a printed number before a sentence of the paper would change.

A margin is half the distance to the nearest border: a value with which a sentence of the manifest
compares the number (a threshold, the other arm of a win, the neighbour in an ordering), or one
at which it would say nothing (no divergence, no improvement, no gain). A threshold, above which the
paper speaks of a spike, is one for every divergence. It is computed when a manifest is loaded,
from its claims as they stand, and never typed or measured. Checks of our own (`standing` beside)
draw no border. Numbers that a claim says are printed twice share theirs.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import TypeGuard

from repro.schema.claim_base import NO_MARGIN, Margin, Published
from repro.schema.claims import Claim
from repro.schema.measured_claims import (
    CellClaim,
    ConcordanceClaim,
    CountClaim,
    Divergence,
    MeanClaim,
    OrderingClaim,
    ThroughputGain,
    UnbuiltMeasure,
)
from repro.schema.page_claims import (
    MonotoneClaim,
    RatioClaim,
    RepeatClaim,
    SamplingClaim,
    WinsClaim,
)
from repro.schema.tuned_claims import (
    BarsClaim,
    ImprovementRatio,
    MeasuredDifference,
    TunedDivergence,
)

Border = tuple[Decimal, str]
"""A value, and what is there."""

_NOTHING: Mapping[type, tuple[tuple[str, str], ...]] = {
    Divergence: (("0", "no divergence"),),
    TunedDivergence: (("0", "no divergence"),),
    MeasuredDifference: (("0", "no difference"),),
    ImprovementRatio: (("0", "no improvement"), ("100", "no less and no more than the other")),
}
"""What is measured to the values at which a number would say nothing."""

_NO_GAIN = {"speed": "1", "memory": "0"}


class Margins:
    """Margins of the numbers of one manifest."""

    def __init__(self, published: Sequence[Published], claims: Sequence[Claim]) -> None:
        self.texts = {each.id: each.text for each in published}
        self.claims = claims
        self.cells = {each.id: each for each in claims if isinstance(each, CellClaim)}
        self.means = [each for each in claims if isinstance(each, MeanClaim)]
        self._of = self._borders()

    def of(self, claim: CellClaim | MeanClaim) -> Margin:
        """Half the way to the nearest border; none where nothing borders on a number."""
        text = self.texts.get(claim.published)
        borders = [*_of_nothing(claim), *self._of.get(claim.published, ())]
        if text is None or not borders:  # `validate_claims` tells names that are not defined
            return NO_MARGIN
        printed = Decimal(text)
        value, what = min(borders, key=lambda each: abs(each[0] - printed))
        half = abs(value - printed) / 2
        return Margin(value=f"{half:f}", origin=f"half the distance from {text} to {value}, {what}")

    def filled(self) -> tuple[Claim, ...]:
        """The claims with the margins that the file does not give."""
        return tuple(
            each.model_copy(update={"margin": self.of(each)})
            if takes_margin(each) and not (each.margin and "margin" in each.model_fields_set)
            else each
            for each in self.claims
        )

    def _borders(self) -> dict[str, list[Border]]:
        """By published value: what sentences compare it with."""
        found: dict[str, list[Border]] = {}
        same = list[tuple[str, str]]()
        for claim in self.claims:
            if claim.standing == "beside":
                continue
            for name, border in self._drawn_by(claim):
                found.setdefault(name, []).append(border)
            if isinstance(claim, RepeatClaim):
                same += zip(claim.left, claim.right, strict=False)
        for one, other in same:
            if self.texts.get(one) == self.texts.get(other):
                shared, joined = found.setdefault(one, []), found.setdefault(other, [])
                shared += [each for each in joined if each not in shared]
                found |= {name: shared for name, each in found.items() if each is joined}
        return found

    def _drawn_by(self, claim: Claim) -> Iterator[tuple[str, Border]]:
        """Published values, and the borders that one sentence draws for each."""
        if isinstance(claim, CountClaim | ConcordanceClaim) and claim.above is not None:
            spike = Decimal(claim.above), "a spike"
            for cell in self.cells.values():
                if isinstance(cell.measure, Divergence):
                    yield cell.published, spike
            return
        ties = isinstance(claim, WinsClaim | SamplingClaim)
        for one, other, what in self._compared(claim):
            texts = self.texts.get(one), self.texts.get(other)
            # A tie is a border only where a sentence says who wins.
            if texts[0] and texts[1] and (ties or Decimal(texts[0]) != Decimal(texts[1])):
                yield one, (Decimal(texts[1]), what)
                yield other, (Decimal(texts[0]), what)

    def _compared(  # noqa: C901, PLR0912  # one case a kind of claim
        self, claim: Claim
    ) -> Iterator[tuple[str, str, str]]:
        """Two published values that a sentence compares, and what they are to each other."""
        match claim:
            case ConcordanceClaim():
                for side in (claim.left, claim.right):
                    for one, other in pairwise(self._printed(side)):
                        yield one, other, "its neighbour in a trend"
            case OrderingClaim():
                left, right = (self._mean_of(side) for side in (claim.left, claim.right))
                yield left, right, "what it is compared with"
            case WinsClaim() | SamplingClaim():
                for pair in claim.comparisons:
                    yield pair.left, pair.right, "the other arm"
            case MonotoneClaim():
                for one, other in pairwise(claim.of):
                    yield one, other, "its neighbour in the ordering"
            case RatioClaim(form="plain"):
                yield claim.published, claim.of[0], "what it is held against"
            case RatioClaim(form="difference" | "percent-fewer"):
                yield claim.of[0], claim.of[1], "what it is compared with"
            case CellClaim(measure=MeasuredDifference() as measure):
                left, right = (self._of_measure(each) for each in measure.sides)
                yield left, right, "what it is compared with"
            case BarsClaim(relation="smaller" | "smaller-beyond-null"):
                for precision in claim.precisions:
                    first = self._mean_bar(claim.checkpoints, precision)
                    for names in claim.others:
                        other = self._mean_bar(names, precision)
                        yield first, other, "its neighbour in the ordering"

    def _of_measure(self, measure: object) -> str:
        """The published value of the cell that measures something; empty if none does."""
        found = (each.published for each in self.cells.values() if each.measure == measure)
        return next(found, "")

    def _printed(self, names: Sequence[str]) -> list[str]:
        """Published values of names that may be cells'."""
        return [self.cells[name].published if name in self.cells else name for name in names]

    def _mean_of(self, names: Sequence[str]) -> str:
        """The published mean of some values or cells, or the only one; empty if none is printed."""
        values = self._printed(names)
        if len(values) == 1:
            return values[0]
        means = (each.published for each in self.means if self._printed(each.of) == values)
        return next(means, "")

    def _mean_bar(self, checkpoints: Sequence[str], precision: str) -> str:
        return next(
            (
                each.published
                for each in self.cells.values()
                if isinstance(each.measure, TunedDivergence)
                and (set(each.measure.checkpoints), each.measure.precision)
                == (set(checkpoints), precision)
            ),
            "",
        )


def takes_margin(claim: Claim) -> TypeGuard[CellClaim | MeanClaim]:
    """Whether a claim is about a number that is measured."""
    return isinstance(claim, CellClaim) or (
        isinstance(claim, MeanClaim) and claim.basis == "measured"
    )


def _of_nothing(claim: CellClaim | MeanClaim) -> Iterator[Border]:
    """Where a number would say nothing."""
    measure = claim.measure if isinstance(claim, CellClaim) else None
    if isinstance(claim, MeanClaim):
        yield Decimal(0), "no divergence"
    elif isinstance(measure, ThroughputGain):
        yield Decimal(_NO_GAIN[measure.statistic]), "no gain"
    elif not isinstance(measure, UnbuiltMeasure):
        yield from ((Decimal(value), what) for value, what in _NOTHING.get(type(measure), ()))
