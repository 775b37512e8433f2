"""Claims about training speed at the borders of their rules, on gains that we choose.

Oracle: sums by hand. Equal timings have no spread, so an interval is one point and ends on a limit
exactly. Student's t at 1 degree of freedom is 12.71 at 0.975, 25.45 at 0.9875, 38.19 at 0.99167.
"""

import pytest

from verify.rules import throughput
from verify.rules.throughput import Gains


def number(printed: str, margin: str, *draws: float, numbers: int = 1) -> tuple[str, str]:
    return throughput._number(Gains(list(draws), ()), printed, margin, numbers)


@pytest.mark.parametrize(
    ("gain", "outcome"),
    [
        (2.5, "reproduced"),  # half a unit below is 2, the end of 3 ± 1
        (3.5, "reproduced"),
        (2.4375, "inconclusive"),
        (3.5625, "inconclusive"),
        (1.5, "inconclusive"),  # half a unit above is 2
        (4.5, "inconclusive"),
        (1.4375, "contradicted"),
        (4.5625, "contradicted"),
    ],
)
def test_a_gain_at_the_end_of_its_margin_is_within_it(gain: float, outcome: str) -> None:
    assert number("3", "1", gain, gain)[0] == outcome


def test_a_margin_of_half_a_unit_decides_nothing() -> None:
    """Neither what is printed nor what is far from it."""
    why = "not decidable: the margin 0.5 is within rounding"
    assert number("3", "0.5", 3.0, 3.0) == number("3", "0.5", 9.0, 9.0) == ("inconclusive", why)
    assert number("3", "0.5625", 3.0, 3.0)[0] == "reproduced"


def test_two_timings_are_enough_and_one_is_not() -> None:
    assert number("3", "1", 3.0, 3.0)[0] == "reproduced"
    one = ("inconclusive", "1 timing to compare, 2 needed")
    assert number("3", "1", 3.0) == one


def test_the_error_rate_is_shared_out_over_the_printed_numbers() -> None:
    """The mean's error is 0.25: it reaches 3.18 alone, 6.36 among two."""
    assert number("3", "4", 2.75, 3.25)[0] == "reproduced"
    outcome, reason = number("3", "4", 2.75, 3.25, numbers=2)
    assert outcome == "inconclusive"
    # Another timing: 25.45 x 0.25 x sqrt(3) = 11.02, and half a unit, from 3.
    assert (
        reason == "another timing is between -8.521 and 14.52, rounding included, which crosses ± 4"
    )


# -----------------------------------------------------------------------------
# Sizes


def sizes(*steps: float, spread: float = 0.25) -> list[Gains]:
    """Sizes of two timings each; each step has the mean given and an error of `spread`."""
    draws, found = (0.0, 0.0), [Gains([0.0, 0.0], ())]
    for step in steps:
        draws = (draws[0] + step - spread, draws[1] + step + spread)
        found.append(Gains(list(draws), ()))
    return found


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        ((3.5,), "reproduced"),  # beyond 3.18
        ((3.0,), "inconclusive"),
        ((7.0, 7.0), "reproduced"),  # beyond 6.36
        ((6.0, 6.0), "inconclusive"),
        ((10.0, 10.0, 10.0), "reproduced"),  # beyond 9.55
        ((9.0, 9.0, 9.0), "inconclusive"),
        ((7.0, -10.0), "inconclusive"),  # another timing is within 11.02
        ((7.0, -12.0), "contradicted"),
    ],
)
def test_steps_share_the_error_rate_out(steps: tuple[float, ...], outcome: str) -> None:
    found, reason = throughput._rises(sizes(*steps))
    assert found == outcome
    assert reason.startswith(f"steps of {', '.join(f'{step:+.3g}' for step in steps)}")


def test_a_size_with_one_timing_cannot_be_compared() -> None:
    found = [Gains([0.0], ()), Gains([9.0], ())]
    assert throughput._rises(found) == ("inconclusive", "a size has nothing to compare")
