"""What a sentence about improvements says, as a formula over conditions.

A condition is a statistic, that is to be positive. A truth is a pair: whether something surely
holds and whether it possibly does, so that formulas can be followed with what is not known.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from verify.improvement import Model, Series
from verify.spreads import Span

Truth = tuple[bool, bool]
Formula = Callable[[Sequence[Truth]], Truth]
Shots = Sequence[int]

SLIGHT = 2
"""Standard errors of the sampling of questions."""


@dataclass(frozen=True)
class Sentence:
    """Statistics that are to be positive, and what is said of them together."""

    conditions: list[Series]
    formula: Formula


Relation = Callable[[Sequence[Model], Sequence[Model], Shots], Sentence]


def truth(span: Span) -> Truth:
    """Whether what lies in an interval is positive."""
    low, high = span
    return low > 0, high > 0


# -----------------------------------------------------------------------------
# Formulas


def negated(one: Truth) -> Truth:
    """Not."""
    return not one[1], not one[0]


def every(each: Sequence[Truth]) -> Truth:
    """All of them."""
    return all(sure for sure, _ in each), all(possible for _, possible in each)


def none(each: Sequence[Truth]) -> Truth:
    """Not one of them."""
    return every([negated(one) for one in each])


def at_least(number: int) -> Formula:
    """So many of them."""
    return lambda each: (
        sum(sure for sure, _ in each) >= number,
        sum(possible for _, possible in each) >= number,
    )


def in_groups(size: int, inner: Formula, outer: Formula) -> Formula:
    """`outer` of what `inner` says of each group of so many conditions."""
    return lambda each: outer([inner(each[at : at + size]) for at in range(0, len(each), size)])


def _three_in_four(count: int) -> Formula:
    return at_least(math.ceil(3 * count / 4))


# -----------------------------------------------------------------------------
# Sentences: of some models, others, shot counts


def _aipss(models: Sequence[Model], shots: Shots) -> list[Series]:
    return [model.improvement(shots, "relative") for model in models]


def _throughout(models: Sequence[Model], shots: Shots) -> list[Series]:
    """Improvement at each shot count by itself, model by model."""
    return [model.improvement([k], "relative") for model in models for k in shots]


def _steps(models: Sequence[Model], shots: Shots) -> list[Series]:
    """What the mean score gains from each shot count to the next, model by model."""
    return [
        model.score(after) - model.score(before)
        for model in models
        for before, after in pairwise((0, *shots))
    ]


def _none_positive(of: Sequence[Model], _: Sequence[Model], shots: Shots) -> Sentence:
    beyond = []
    for model in of:
        found, error = model.improvement(shots, "relative"), model.sampling(shots, "relative")
        pairs = zip(found.values, error.values, strict=True)
        beyond.append(Series(tuple(value - SLIGHT * e for value, e in pairs), found.floor))
    return Sentence(beyond, none)


def _most_positive(of: Sequence[Model], _: Sequence[Model], shots: Shots) -> Sentence:
    return Sentence(_aipss(of, shots), at_least(len(of) // 2 + 1))


def _all_positive(of: Sequence[Model], _: Sequence[Model], shots: Shots) -> Sentence:
    return Sentence(_aipss(of, shots), every)


def _most_throughout(of: Sequence[Model], _: Sequence[Model], shots: Shots) -> Sentence:
    formula = in_groups(len(shots), every, _three_in_four(len(of)))
    return Sentence(_throughout(of, shots), formula)


def _all_throughout(of: Sequence[Model], _: Sequence[Model], shots: Shots) -> Sentence:
    return Sentence(_throughout(of, shots), every)


def _rising(of: Sequence[Model], _: Sequence[Model], shots: Shots) -> Sentence:
    return Sentence(_steps(of, shots), every)


def _not_rising(of: Sequence[Model], _: Sequence[Model], shots: Shots) -> Sentence:
    formula = in_groups(len(shots), lambda steps: negated(every(steps)), every)
    return Sentence(_steps(of, shots), formula)


def _above_partner(of: Sequence[Model], others: Sequence[Model], shots: Shots) -> Sentence:
    pairs = zip(_aipss(of, shots), _aipss(others, shots), strict=True)
    return Sentence([one - partner for one, partner in pairs], _three_in_four(len(of)))


def _below_all(of: Sequence[Model], others: Sequence[Model], shots: Shots) -> Sentence:
    pairs = product(_aipss(of, shots), _aipss(others, shots))
    return Sentence([other - one for one, other in pairs], every)


def _highest(of: Sequence[Model], others: Sequence[Model], shots: Shots) -> Sentence:
    return _below_all(others, of, shots)


def _apart(sign: int) -> Relation:
    """The one is first, by more than lies between the next two."""

    def sentence(of: Sequence[Model], others: Sequence[Model], shots: Shots) -> Sentence:
        one, rest = _aipss(of, shots)[0], _aipss(others, shots)
        gaps = []
        for at, value in enumerate(one.values):
            second, third = sorted((sign * each.values[at] for each in rest), reverse=True)[:2]
            gaps.append((sign * value - second) - (second - third))
        # The second counts twice; which of the others it is may change with the setting.
        floor = max(each.floor for each in rest)
        return Sentence([Series(tuple(gaps), math.hypot(one.floor, 2 * floor, floor))], every)

    return sentence


def _not_monotone(of: Sequence[Model], _: Sequence[Model], shots: Shots) -> Sentence:
    ups = [after - before for before, after in pairwise(_aipss(of, shots))]
    downs = [before - after for before, after in pairwise(_aipss(of, shots))]
    neither = in_groups(len(ups), lambda steps: negated(every(steps)), every)
    return Sentence(ups + downs, neither)


RELATIONS: Mapping[str, Relation] = {
    "none-positive": _none_positive,
    "most-positive": _most_positive,
    "all-positive": _all_positive,
    "most-positive-throughout": _most_throughout,
    "all-positive-throughout": _all_throughout,
    "rising": _rising,
    "not-rising": _not_rising,
    "above-partner": _above_partner,
    "below-all": _below_all,
    "highest": _highest,
    "apart-highest": _apart(1),
    "apart-lowest": _apart(-1),
    "not-monotone": _not_monotone,
}
"""By the name that a claim gives."""
