"""Printed claims on numbers that are drawn, so that what is behind the printed digits is known.

Each draws exact numbers, prints them rounded, and claims what follows from the exact ones (true),
or something that is further off than any rounding explains (false).
"""

import random
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from planted.claims import Paper

FAIR = ("consistent", "inconclusive")
"""Of what is true: the digits show it, or leave it open."""
WRONG = ("contradicted",)

Number = Fraction


def as_printed(exact: Number, places: int) -> str:
    """Rounded, exact halves to even, as a paper prints it."""
    return f"{Decimal(round(exact * 10**places)).scaleb(-places):f}"


def plant(paper: Paper, seed: int) -> None:
    """Plant one true claim and one false of each kind."""
    rng = random.Random(seed)
    for each in (_ratio, _mean, _count, _ordering, _repeat, _monotone, _concordance, _grim, _wins):
        for true in (True, False):
            each(paper, rng, true=true)


def _drawn(rng: random.Random, low: int = 100, high: int = 900) -> Number:
    """A number between 1 and 9 of more digits than are ever printed."""
    return Fraction(rng.randrange(low * 10**6, high * 10**6), 10**8)


def _claim(paper: Paper, name: str, kind: str, *, true: bool, **said: Any) -> None:
    truth, fair = ("true", FAIR) if true else ("false", WRONG)
    paper.claim(f"drawn.{name}.{truth}", kind, truth, fair, **said)


FORMS: Mapping[str, Callable[..., Number]] = {
    "times": lambda a, b: a / b,
    "percent-of": lambda a, b: 100 * a / b,
    "percent-more": lambda a, b: 100 * (a / b - 1),
    "times-per-reduction": lambda a: 1 / (1 - a / 100),
}


def _ratio(paper: Paper, rng: random.Random, *, true: bool) -> None:
    """Of the exact numbers; or three times as much."""
    for form, value in FORMS.items():
        exact = [_drawn(rng, 500), _drawn(rng, 100, 300)][: value.__code__.co_argcount]
        follows = value(*exact) * (1 if true else 3)
        places = rng.choice((0, 1)) if form.startswith("percent") else 1
        of = [paper.value(as_printed(each, rng.choice((1, 2)))) for each in exact]
        text = as_printed(follows, places)
        said = {"of": of, "form": form, "relation": "equals", "published": paper.value(text)}
        _claim(paper, f"ratio.{form}", "ratio", true=true, **said)


def _mean(paper: Paper, rng: random.Random, *, true: bool) -> None:
    """Over all of them; or over one less than there are."""
    exact = [_drawn(rng) for _ in range(rng.randrange(3, 7))]
    mean = sum(exact) / (len(exact) if true else len(exact) - 1)
    of = [paper.value(as_printed(each, 2)) for each in exact]
    said = {"basis": "printed", "of": of, "published": paper.value(as_printed(mean, 1))}
    _claim(paper, "mean", "mean", true=true, **said)


def _count(paper: Paper, rng: random.Random, *, true: bool) -> None:
    """Above 5; or more than there are numbers."""
    exact = [_drawn(rng) for _ in range(6)]
    count = sum(each > 5 for each in exact) if true else 7
    of = [paper.value(as_printed(each, rng.choice((0, 1)))) for each in exact]
    said = {"basis": "printed", "of": of, "above": "5"}
    _claim(paper, "count", "count", true=true, published=paper.value(str(count), "cells"), **said)


def _ordering(paper: Paper, rng: random.Random, *, true: bool) -> None:
    """The side of the smaller mean first; or last, and two further off."""
    sides = sorted(([_drawn(rng) for _ in range(3)] for _ in range(2)), key=sum)
    if not true:
        sides = [[each + 2 for each in sides[1]], sides[0]]
    left, right = ([paper.value(as_printed(each, 1)) for each in side] for side in sides)
    said = {"basis": "printed", "relation": "at-most", "left": left, "right": right}
    _claim(paper, "ordering", "ordering", true=true, **said)


def _repeat(paper: Paper, rng: random.Random, *, true: bool) -> None:
    """One number twice, with two numbers of digits; or another, 1 more."""
    exact = _drawn(rng)
    other = exact if true else exact + 1
    both = {"left": [paper.value(as_printed(exact, 1))]}
    both["right"] = [paper.value(as_printed(other, 2))]
    _claim(paper, "repeat", "repeat", true=true, **both)


def _monotone(paper: Paper, rng: random.Random, *, true: bool) -> None:
    """In order; or with one that falls by 1."""
    exact = sorted(_drawn(rng) for _ in range(4))
    if not true:
        exact[2] = exact[1] - 1
    of = [paper.value(as_printed(each, rng.choice((0, 1, 2)) if true else 1)) for each in exact]
    _claim(paper, "monotone", "monotone", true=true, of=of, direction="rising")


def _concordance(paper: Paper, rng: random.Random, *, true: bool) -> None:
    """A series and its double; or a series and one that goes the other way at one step."""
    exact = [_drawn(rng) for _ in range(4)]
    exact[1] = exact[0] + 1
    other = [2 * each for each in exact]
    if not true:
        other[1] = other[0] - 1
    left, right = ([paper.value(as_printed(e, 1)) for e in side] for side in (exact, other))
    said = {"basis": "printed", "by": "steps", "above": None, "left": left, "right": right}
    _claim(paper, "concordance", "concordance", true=true, **said)


def _grim(paper: Paper, rng: random.Random, *, true: bool) -> None:
    """Right answers out of 1,267; or halfway between two such numbers."""
    right = Fraction(rng.randrange(300, 900) * 2 + (not true), 2)
    of = [paper.value(as_printed(100 * right / 1267, 2))]
    _claim(paper, "whole-questions", "whole-questions", true=true, of=of, questions=1267)


def _wins(paper: Paper, rng: random.Random, *, true: bool) -> None:
    """How often the left is higher; or that it always is, where it is once 1 lower."""
    pairs = [(_drawn(rng), _drawn(rng)) for _ in range(5)]
    if not true:
        pairs[0] = (pairs[0][0], pairs[0][0] + 1)
    count = sum(left > right for left, right in pairs) if true else 5
    said = [
        {
            "left": paper.value(as_printed(left, 1)),
            "right": paper.value(as_printed(right, 1)),
            "better": "higher",
        }
        for left, right in pairs
    ]
    numbers = {"published": paper.value(str(count), "comparisons")}
    numbers["out_of"] = paper.value("5", "comparisons")
    _claim(paper, "wins", "wins", true=true, comparisons=said, **numbers)
