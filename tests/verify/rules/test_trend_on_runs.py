"""Trends of two measured series. Oracle: sums by hand, with the world of `test_verify_model_rules`.

65 questions, five settings that lose 0.1 answers less on average than they are told to, and a floor
of 4.6154 points. One place of two series is two intervals decided together, at 3.4954 of Student's
t with 4 degrees of freedom: the difference of two cells reaches 10.2031 points to both sides,
another draw of it 24.9926. Two places are four intervals, at 4.3147: the mean of a cell reaches
8.9057 points, another draw of it 21.8145.
"""

from pathlib import Path
from typing import Any, cast

import pytest
from made_up_worlds import series_world
from measured_sides import Side

from repro.schema.causes import cause
from repro.schema.finding import Finding
from repro.schema.measured_claims import ConcordanceClaim
from verify.rules import trend


def agreeing(found: Finding) -> dict[str, object]:
    """How many places were compared and what came of them."""
    (counts,) = (each.values for each in found.causes if each.code == "places-agree")
    return dict(counts)


def means(found: Finding) -> list[float]:
    return [round(each.value, 2) for each in found.estimates]


def test_a_trend_whole(tmp_path: Path) -> None:
    found = series_world(tmp_path, (3, 30, 4, 35), {"by": "steps"})
    assert (found.outcome, found.basis, found.margin) == ("reproduced", "measured", "steps")
    assert (found.published, found.measured) == ("6.00, 53.69", "4.46, 46.00")
    assert agreeing(found) == {"places": "steps", "same": 1, "differ": 0, "open": 0, "total": 1}
    assert found.direction == cause("agreement", same=1, total=1)
    assert means(found) == [4.46, 46.0, 6.0, 53.69]
    labels = [f"T9.{model}.float16" for model in ("mamba-1", "mamba-2", "mamba-3", "phi-1")]
    assert [each.label for each in found.estimates] == labels
    # A single interval: 2.7764 sqrt(1 / 5) of the floor of 4.6154.
    assert {round((each.high or 0) - each.value, 2) for each in found.estimates} == {5.73}
    assert len(found.records) == 40  # four cells, two dtypes, five settings


def test_opposite_trends_whole(tmp_path: Path) -> None:
    """No sentence is quoted that would be contradicted."""
    found = series_world(tmp_path, (3, 36, 36, 3), {"by": "ranks", "quote": None})
    codes = [each.code for each in found.causes]
    assert (found.outcome, codes) == ("inconclusive", ["not-quoted", "places-agree"])
    assert agreeing(found) == {"places": "pairs", "same": 0, "differ": 1, "open": 0, "total": 1}
    assert found.direction == cause("agreement", same=0, total=1)
    assert (found.published, found.measured) == ("55.23, 4.46", "4.46, 55.23")
    quoted = {"by": "ranks", "quote": "both follow the same trend"}
    found = series_world(tmp_path / "quoted", (3, 36, 36, 3), quoted)
    assert (found.outcome, found.quote) == ("contradicted", quoted["quote"])


def test_spikes_whole(tmp_path: Path) -> None:
    """55.2 is above 30 even in another draw, 6.0 below it; 30.6 may be either, and is above."""
    found = series_world(tmp_path, (4, 36, 4, 20), {"by": "spikes", "above": "30"})
    assert (found.outcome, found.listed_under) == ("inconclusive", None)
    assert agreeing(found) == {"places": "places", "same": 1, "differ": 0, "open": 1, "total": 2}
    assert (found.published, found.measured) == ("6.00, 30.62", "6.00, 55.23")
    assert found.direction == cause("agreement", same=1, total=2)


@pytest.mark.parametrize(
    ("lost", "claim", "listed"),
    [
        ((4, 36, 4, 19), {"by": "spikes", "above": "30"}, "not-reproduced-here"),  # 29.1
        ((20, 21, 21, 20), {"by": "steps"}, "not-reproduced-here"),
        ((20, 21, 20, 21), {"by": "steps"}, None),
        ((0, 21, 21, 20), {"by": "steps"}, "at-the-floor"),
    ],
)
def test_what_is_open_is_listed_by_what_its_means_say(
    tmp_path: Path, lost: tuple[int, ...], claim: dict[str, str], listed: str | None
) -> None:
    found = series_world(tmp_path, lost, claim, wobble=1 if lost[0] else 0)
    assert (found.outcome, found.listed_under) == ("inconclusive", listed)


def test_all_places_share_the_error_rate(tmp_path: Path) -> None:
    """36.8 points twice: above 30 by 2.7764 (31.0), not by 4.3147, for four intervals (27.9)."""
    found = series_world(tmp_path, (4, 24, 4, 24), {"by": "spikes", "above": "30"})
    assert (agreeing(found)["same"], agreeing(found)["open"]) == (1, 1)


# -----------------------------------------------------------------------------
# One place of one series


def claim(by: str, above: str | None = None) -> ConcordanceClaim:
    fields = {"id": "it", "statement": "", "place": {"section": "5"}, "depends_on": ()}
    sides = {"basis": "measured", "left": ("a", "b", "c"), "right": ("d", "e", "f")}
    return ConcordanceClaim.model_validate(
        {"kind": "concordance", "by": by, "above": above, **fields, **sides}
    )


class Cell(Side):
    """A cell with that divergence under five settings, and a floor of 1."""

    at_the_floor = False

    def __init__(self, divergence: float) -> None:
        super().__init__([divergence] * 5, 1.0)


def signs(
    asked: ConcordanceClaim,
    cells: list[Cell],
    place: tuple[int, ...],
    h: float = 0.0,
    tests: int = 1,
) -> list[list[int]]:
    """By the mean and by another draw, for one interval of so many decided together."""
    side = cast("Any", cells)
    return [sorted(each) for each in trend._measured_signs(asked, side, place, h, tests)]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("spikes", [(0,), (1,), (2,)]),
        ("steps", [(0, 1), (1, 2)]),
        ("ranks", [(0, 1), (0, 2), (1, 2)]),
    ],
)
def test_places(by: str, expected: list[tuple[int, ...]]) -> None:
    assert trend._places(claim(by), 3) == expected


@pytest.mark.parametrize(
    ("step", "h", "by_mean", "by_draw"),
    [
        # 2.7764 sqrt(2 / 5) = 1.7559 for the mean, 2.7764 sqrt(2.4) = 4.3012 for a draw.
        (1.7, 0.0, [-1, 0, 1], [-1, 0, 1]),
        (1.8, 0.0, [1], [-1, 0, 1]),
        (4.4, 0.0, [1], [1]),
        (-1.8, 0.0, [-1], [-1, 0, 1]),
        (-4.4, 0.0, [-1], [-1]),
        (1.8, 0.02, [1], [-1, 0, 1]),  # both sides may have been rounded: 1.7959
        (1.8, 0.03, [-1, 0, 1], [-1, 0, 1]),  # 1.8159
        (4.4, 0.04, [1], [1]),  # 4.3812
        (4.4, 0.06, [1], [-1, 0, 1]),  # 4.4212
    ],
)
def test_ways_of_a_step(step: float, h: float, by_mean: list[int], by_draw: list[int]) -> None:
    cells = [Cell(20.0), Cell(9.0), Cell(20.0 + step)]
    assert signs(claim("ranks"), cells, (0, 2), h) == [by_mean, by_draw]


def test_places_decided_together_need_longer_steps() -> None:
    """3.4954 in place of 2.7764: a mean reaches 2.2107 in place of 1.7559, or 1.5632 of 1.2416."""
    cells = [Cell(20.0), Cell(22.0)]
    assert signs(claim("steps"), cells, (0, 1), tests=1)[0] == [1]
    assert signs(claim("steps"), cells, (0, 1), tests=2)[0] == [-1, 0, 1]
    assert signs(claim("spikes", "20.5"), cells, (1,), tests=1)[0] == [1]
    assert signs(claim("spikes", "20.5"), cells, (1,), tests=2)[0] == [0, 1]


def test_what_is_at_the_floor_may_go_any_way() -> None:
    cells = [Cell(0.0), Cell(20.0)]
    assert signs(claim("steps"), cells, (0, 1)) == [[1], [1]]
    for cell in cells:
        cell.at_the_floor = True
        assert signs(claim("steps"), cells, (0, 1)) == [[-1, 0, 1], [-1, 0, 1]]
        cell.at_the_floor = False


@pytest.mark.parametrize(
    ("value", "h", "by_mean", "by_draw"),
    [
        # 2.7764 / sqrt(5) = 1.2416 for the mean, 2.7764 sqrt(1.2) = 3.0414 for a draw.
        (31.2, 0.0, [0, 1], [0, 1]),
        (31.3, 0.0, [1], [0, 1]),
        (33.1, 0.0, [1], [1]),
        (28.8, 0.0, [0, 1], [0, 1]),
        (28.7, 0.0, [0], [0, 1]),
        (26.9, 0.0, [0], [0]),
        (31.3, 0.05, [1], [0, 1]),  # 1.2916
        (31.3, 0.06, [0, 1], [0, 1]),  # 1.3016
        (26.9, 0.06, [0], [0, 1]),  # 3.1014
    ],
)
def test_sides_of_a_threshold(
    value: float, h: float, by_mean: list[int], by_draw: list[int]
) -> None:
    cells = [Cell(0.0), Cell(value)]
    assert signs(claim("spikes", "30"), cells, (1,), h) == [by_mean, by_draw]


def test_ends_of_intervals() -> None:
    """A threshold is exclusive; a step of nothing is none."""
    assert trend._span_above((30.0, 31.0), 30.0, 0.0) == {0, 1}
    assert trend._span_above((29.0, 30.0), 30.0, 0.0) == {0}
    assert trend._direction((0.0, 1.0), 0.0) == {-1, 0, 1}
    assert trend._direction((-1.0, 0.0), 0.0) == {-1, 0, 1}
