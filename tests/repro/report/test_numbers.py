"""Numbers of a finding as points. Oracle: what `verify` writes of numbers chosen here."""

import made_up_report as made
import pytest

from repro.report.numbers import Point, bars_of, line_of
from verify import shown


@pytest.mark.parametrize(
    ("values", "point"),
    [([0.2, 0.3], Point("", 0.25, 0.2, 0.3)), ([-0.2], Point("", -0.2, -0.2, -0.2))],
)
def test_what_the_verifier_writes_of_settings_is_read_back(
    values: list[float], point: Point
) -> None:
    measured = shown.over_settings(values, "0.20")
    line = line_of(made.finding(measured=measured, published="0.20", margin="± 0.1"))
    assert line is not None
    assert (line.printed, line.margin, line.points) == (0.2, 0.1, (point,))


def test_several_views_are_several_points_with_their_intervals() -> None:
    one = made.finding(
        published="62.7",
        measured="52.2 at 22 GiB, allocated; 36.6 at 24 GiB, reserved",
        margin="± 1.4",
        working=(
            "22 GiB, allocated: another timing is between 52.15 and 52.25, rounding included",
            "24 GiB, reserved: 0 timings to compare, 2 needed",
        ),
    )
    line = line_of(one)
    assert line is not None
    assert line.points == (
        Point("22 GiB, allocated", 52.2, 52.15, 52.25),
        Point("24 GiB, reserved", 36.6, 36.6, 36.6),
    )


@pytest.mark.parametrize("published", ["sentence", "≥ 1.74", "38, 38", ""])
def test_what_is_no_number_is_not_plotted(published: str) -> None:
    assert line_of(made.finding(published=published)) is None


def test_what_was_not_measured_has_no_points() -> None:
    line = line_of(made.finding(measured="—", margin="—"))
    assert line is not None
    assert (line.points, line.margin) == ((), 0.0)


def test_bars_come_from_the_working_of_claims_about_many_models() -> None:
    lines = (
        "mamba-130m pretrained: +12.50 % (settings +12.00 to +13.00; sampling of questions ± 1.10)",
        "mamba-370m pretrained: -1.25 % (settings -1.25; sampling of questions ± 0.20)",
        "mamba-790m full.bfloat16: 0.123; at the floor",
        "some other line",
    )
    found = bars_of(made.finding(kind="improvement", working=lines))
    improvement, divergence = found.values()
    assert improvement == [
        Point("mamba-130m pretrained", 12.5, 12.0, 13.0),
        Point("mamba-370m pretrained", -1.25, -1.25, -1.25),
    ]
    assert divergence == [Point("mamba-790m full.bfloat16", 0.123, 0.123, 0.123)]
    assert bars_of(made.finding(kind="fact", working=lines)) == {}
