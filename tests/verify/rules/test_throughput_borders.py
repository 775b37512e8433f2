"""Claims about training speed at the borders of their rules, on gains that we choose.

Oracle: sums by hand. Equal timings have no spread, so an interval is one point and ends on a limit
exactly. Student's t at 1 degree of freedom is 12.71 at 0.975, 25.45 at 0.9875, 38.19 at 0.99167.
"""

import pytest

from repro.schema.causes import Cause, cause
from verify.rules import throughput
from verify.rules.throughput import Gains, GainView

VIEW = GainView(22.0, None)


def number(printed: str, margin: str, *draws: float, numbers: int = 1) -> tuple[str, Cause]:
    return throughput._number(Gains(list(draws), ()), VIEW, printed, margin, numbers)


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
    why = cause("view-within-rounding", view="22 GiB", margin="0.5")
    assert number("3", "0.5", 3.0, 3.0) == number("3", "0.5", 9.0, 9.0) == ("inconclusive", why)
    assert number("3", "0.5625", 3.0, 3.0)[0] == "reproduced"


def test_two_timings_are_enough_and_one_is_not() -> None:
    assert number("3", "1", 3.0, 3.0)[0] == "reproduced"
    one = ("inconclusive", cause("view-too-few", view="22 GiB", draws=1, needed=2))
    assert number("3", "1", 3.0) == one


def test_the_error_rate_is_shared_out_over_the_printed_numbers() -> None:
    """The mean's error is 0.25: it reaches 3.18 alone, 6.36 among two."""
    assert number("3", "4", 2.75, 3.25)[0] == "reproduced"
    crossing = ("inconclusive", cause("view-crosses", view="22 GiB", margin="4"))
    assert number("3", "4", 2.75, 3.25, numbers=2) == crossing
    # Another timing: 25.45 x 0.25 x sqrt(3) = 11.02, and half a unit and the margin, from 3.
    for printed, outcome in (("18", "inconclusive"), ("19", "contradicted")):
        assert number(printed, "4", 2.75, 3.25, numbers=2)[0] == outcome


@pytest.mark.parametrize(
    ("gain", "outcome"),
    [
        (2.5, "reproduced"),
        (2.4375, "inconclusive"),
        (1.5, "inconclusive"),
        (1.4375, "contradicted"),
    ],
)
def test_a_number_of_memory_has_no_spread(gain: float, outcome: str) -> None:
    """One is enough, and it is only rounding that leaves something open."""
    assert throughput._number(Gains([gain], (), exact=True), VIEW, "3", "1", 9)[0] == outcome
    none = throughput._number(Gains([], (), exact=True), VIEW, "3", "1", 9)
    assert none == ("inconclusive", cause("view-too-few", view="22 GiB", draws=0, needed=1))


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
    codes = {"reproduced": "rise", "contradicted": "fall", "inconclusive": "open"}
    assert throughput._rises(sizes(*steps)) == (outcome, f"sizes-{codes[outcome]}")


@pytest.mark.parametrize(
    ("second", "outcome"), [(2.0, "reproduced"), (1.0, "inconclusive"), (0.5, "contradicted")]
)
def test_memory_rises_or_falls_by_itself(second: float, outcome: str) -> None:
    found = [Gains([each], (), exact=True) for each in (0.0, 1.0, second)]
    assert throughput._rises(found)[0] == outcome


def test_a_size_with_one_timing_cannot_be_compared() -> None:
    found = [Gains([0.0], ()), Gains([9.0], ())]
    assert throughput._rises(found) == ("inconclusive", "size-missing")
