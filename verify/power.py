"""How well a decision could have been made: what it would have told, and which shift it notices."""

import math


def within(room: float, error: float) -> float:
    """Chance that an identical process, normal with this standard error, leaves room."""
    from scipy.special import ndtr

    return max(0.0, 2 * float(ndtr(room / error)) - 1)


def noticed(rounding: float, error: float, freedom: float, rate: float) -> float:
    """The shift that exceeds Student's quantile at an error rate nine times in ten, as a length."""
    from scipy.special import nctdtrinc, stdtrit

    freedom = min(freedom, 1e5)  # above it nothing moves, and it is slow
    shift = float(nctdtrinc(freedom, 1 - 0.9, stdtrit(freedom, 1 - rate / 2)))
    return rounding + shift * error


GIVEN_UP = 0.05
"""Chance, on one side, that a mean moves further than is reckoned with where a claim is given up
for what settings that are still to come could make of it."""


def drift(spread: float, seen: int, whole: int) -> float:
    """How far settings that are still to come may move a mean.

    The mean of all W settings less that of the first R has the variance s^2 (1/R - 1/W).

    Args:
        spread: s, between settings.
        seen: R, at least 2.
        whole: W, above R.
    """
    from scipy.special import stdtrit

    return float(stdtrit(seen - 1, 1 - GIVEN_UP)) * spread * math.sqrt(1 / seen - 1 / whole)
