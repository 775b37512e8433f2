"""Numbers of a finding as points. Oracle: estimates chosen here; what `verify` says of draws."""

import made_up_report as made
import pytest

from repro.report.numbers import MeasuredPoint, bars_of, line_of
from repro.schema.causes import BARS, Estimate
from repro.schema.claim_base import Place, Published
from verify import shown
from verify.decision_rule import decide, sample

PRINTED = Published(id="it", text="0.20", unit="percentage points", place=Place(section="5"))


@pytest.mark.parametrize(
    ("values", "point"),
    [
        # U = 0.0025 + 0.0707^2 / 2 = 0.005 of 4 degrees of freedom, where t is 2.776: 0.196 to
        # both sides.
        (
            [0.2, 0.3],
            MeasuredPoint(
                "", 0.25, pytest.approx(0.0537, abs=1e-4), pytest.approx(0.4463, abs=1e-4)
            ),
        ),
        ([-0.2], MeasuredPoint("", -0.2, -0.2, -0.2)),
    ],
)
def test_what_the_verifier_says_of_settings_is_drawn(
    values: list[float], point: MeasuredPoint
) -> None:
    measured = sample(values, 0.01, 0.0025)
    decision = decide(measured, "0.20", "0.1", least_spread=0.01)
    judged = shown.decided_number(decision, measured, PRINTED, "0.1", (), [], (), tier="full")
    numbers = judged.decided.estimates
    assert numbers[0].unit == "percentage points"
    line = line_of(made.finding(published="0.20", margin="± 0.1", estimates=numbers))
    assert line is not None
    assert (line.printed, line.margin, line.points) == (0.2, 0.1, (point,))


def test_several_views_are_several_points_with_their_intervals() -> None:
    numbers = (
        Estimate(label="measured at 22 GiB, allocated", value=52.2, low=52.15, high=52.25),
        Estimate(label="measured at 24 GiB, reserved", value=36.6),
        Estimate(label="null divergence", value=0.1),
    )
    line = line_of(made.finding(published="62.7", margin="± 1.4", estimates=numbers))
    assert line is not None
    assert line.points == (
        MeasuredPoint("22 GiB, allocated", 52.2, 52.15, 52.25),
        MeasuredPoint("24 GiB, reserved", 36.6, 36.6, 36.6),
    )


@pytest.mark.parametrize("published", ["sentence", "≥ 1.74", "38, 38", ""])
def test_what_is_no_number_is_not_plotted(published: str) -> None:
    assert line_of(made.finding(published=published)) is None


def test_what_was_not_measured_has_no_points() -> None:
    line = line_of(made.finding(measured="—", margin="—"))
    assert line is not None
    assert (line.points, line.margin) == ((), 0.0)


def test_bars_come_from_the_estimates_of_claims_about_many_models() -> None:
    numbers = (
        Estimate(label="improvement of mamba-130m pretrained", value=12.5, low=12.0, high=13.0),
        Estimate(label="improvement of mamba-370m pretrained", value=-1.25),
        Estimate(label="at 1 shots, mamba-370m pretrained", value=3.0),
        Estimate(label="divergence of mamba-790m full.bfloat16", value=0.123),
        Estimate(label="null divergence, mamba-790m full.bfloat16", value=0.1),
        Estimate(label="mean divergence of mamba-790m lora-all.bfloat16", value=0.1),
    )
    found = bars_of(made.finding(kind="improvement", estimates=numbers))
    assert list(found) == list(BARS.values())
    improvement, divergence = found.values()
    assert improvement == [
        MeasuredPoint("mamba-130m pretrained", 12.5, 12.0, 13.0),
        MeasuredPoint("mamba-370m pretrained", -1.25, -1.25, -1.25),
    ]
    assert divergence == [MeasuredPoint("mamba-790m full.bfloat16", 0.123, 0.123, 0.123)]
    assert bars_of(made.finding(kind="fact", estimates=numbers)) == {}
