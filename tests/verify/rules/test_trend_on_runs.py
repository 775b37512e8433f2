"""Trends of two measured series. Oracle: sums by hand, with the world of `test_model`.

65 questions, seven settings that lose what they are told to on average, U = 4.906 and V = 28.07 of
a cell. One place of two series is two intervals decided together, at 0.9875 of Student's t: the
difference of two cells reaches 7.376 points to both sides, another draw of it 18.534. Two places
are four intervals, at 0.99375: the mean of a cell reaches 6.251 points, another draw of it 16.999.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from made_up_worlds import series_world

from repro.schema.causes import cause
from repro.schema.finding import Finding
from repro.schema.measured_claims import ConcordanceClaim
from verify.decision_rule import Sample
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
    assert (found.published, found.measured) == ("6.15, 53.85", "4.62, 46.15")
    assert agreeing(found) == {"places": "steps", "same": 1, "differ": 0, "open": 0, "total": 1}
    assert found.direction == cause("agreement", same=1, total=1)
    assert means(found) == [4.62, 46.15, 6.15, 53.85]
    labels = [f"T9.{model}.float16" for model in ("mamba-1", "mamba-2", "mamba-3", "phi-1")]
    assert [each.label for each in found.estimates] == labels
    assert {each.unit for each in found.estimates} == {"points"}
    # A single interval: 2.1244 sqrt(4.906).
    assert {round((each.high or 0) - each.value, 2) for each in found.estimates} == {4.71}
    assert len(found.records) == 56  # four cells, two dtypes, seven settings


def test_opposite_trends_whole(tmp_path: Path) -> None:
    """No sentence is quoted that would be contradicted."""
    found = series_world(tmp_path, (3, 36, 36, 3), {"by": "ranks", "quote": None})
    codes = [each.code for each in found.causes]
    assert (found.outcome, codes) == ("inconclusive", ["not-quoted", "places-agree"])
    assert agreeing(found) == {"places": "pairs", "same": 0, "differ": 1, "open": 0, "total": 1}
    assert found.direction == cause("agreement", same=0, total=1)
    assert (found.published, found.measured) == ("55.38, 4.62", "4.62, 55.38")
    quoted = {"by": "ranks", "quote": "both follow the same trend"}
    found = series_world(tmp_path / "quoted", (3, 36, 36, 3), quoted)
    assert (found.outcome, found.quote) == ("contradicted", quoted["quote"])


def test_spikes_whole(tmp_path: Path) -> None:
    """55.4 is above 30 even in another draw, 6.2 below it; 30.8 may be either, and is above."""
    found = series_world(tmp_path, (4, 36, 4, 20), {"by": "spikes", "above": "30"})
    assert (found.outcome, found.listed_under) == ("inconclusive", None)
    assert agreeing(found) == {"places": "places", "same": 1, "differ": 0, "open": 1, "total": 2}
    assert (found.published, found.measured) == ("6.15, 30.77", "6.15, 55.38")
    assert found.direction == cause("agreement", same=1, total=2)


@pytest.mark.parametrize(
    ("lost", "claim", "listed"),
    [
        ((4, 36, 4, 19), {"by": "spikes", "above": "30"}, "not-reproduced-here"),  # 29.2
        ((20, 21, 21, 20), {"by": "steps"}, "not-reproduced-here"),
        ((20, 21, 20, 21), {"by": "steps"}, None),
        ((0, 21, 21, 20), {"by": "steps"}, "not-reproduced-here"),
        # Two tosses and two are 4 apart in 1/4: the larger of both may be nothing.
        ((0, 2, 21, 20), {"by": "steps"}, "at-the-floor"),
    ],
)
def test_what_is_open_is_listed_by_what_its_means_say(
    tmp_path: Path, lost: tuple[int, ...], claim: dict[str, str], listed: str | None
) -> None:
    found = series_world(tmp_path, lost, claim, wobble=1 if lost[0] else 0)
    assert (found.outcome, found.listed_under) == ("inconclusive", listed)


def test_all_places_share_the_error_rate(tmp_path: Path) -> None:
    """35.4 points twice: above 30 by themselves (30.7), not among four intervals (29.1)."""
    found = series_world(tmp_path, (4, 23, 4, 23), {"by": "spikes", "above": "30"})
    assert (agreeing(found)["same"], agreeing(found)["open"]) == (1, 1)


@pytest.mark.parametrize(
    ("fall", "expected"), [(0, "inconclusive"), (1, "contradicted"), (24, "contradicted")]
)
def test_one_opposite_step_is_enough(tmp_path: Path, fall: int, expected: str) -> None:
    """Left rises by 46 points. Right falls by 12 answers, 18.46 points, and another draw could rise
    by 0.09 with rounding; one more is 20.00."""
    found = series_world(tmp_path, (3, 33, 15 + fall, 3), {"by": "steps"})
    assert found.outcome == expected


def test_a_trend_takes_as_many_settings_as_a_number(tmp_path: Path) -> None:
    """Rising by 41 and 48 points under six of them."""
    found = series_world(tmp_path, (3, 30, 4, 35), {"by": "steps"}, settings=6)
    assert (found.outcome, found.listed_under) == ("inconclusive", None)
    assert found.causes[0] == cause("few-settings", draws=6, needed=7, repeated=0)
    assert agreeing(found)["same"] == 1


# -----------------------------------------------------------------------------
# One place of one series


def claim(by: str, above: str | None = None) -> ConcordanceClaim:
    fields = {"id": "it", "statement": "", "place": {"section": "5"}, "depends_on": ()}
    sides = {"basis": "measured", "left": ("a", "b", "c"), "right": ("d", "e", "f")}
    return ConcordanceClaim.model_validate(
        {"kind": "concordance", "by": by, "above": above, **fields, **sides}
    )


@dataclass
class Cell:
    """A cell with that divergence under seven settings, a floor of 1 and u = 1/4.

    U is 1/4 + 1/7 = 0.3929, of 45.4 degrees of freedom, and V 1/2 + 8/7 = 1.643, of 12.4.
    """

    divergence: float
    at_the_floor: bool = False

    @property
    def sample(self) -> Sample:
        return Sample((self.divergence,) * 7, 1.0, 0.25)


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
        # 1.9865 sqrt(2 x 0.3929) = 1.7608 for the mean, 2.0604 sqrt(2 x 1.643) = 3.7348 for a draw.
        (1.7, 0.0, [-1, 0, 1], [-1, 0, 1]),
        (1.8, 0.0, [1], [-1, 0, 1]),
        (3.8, 0.0, [1], [1]),
        (-1.8, 0.0, [-1], [-1, 0, 1]),
        (-3.8, 0.0, [-1], [-1]),
        (1.8, 0.015, [1], [-1, 0, 1]),  # both sides may have been rounded: 1.7908
        (1.8, 0.025, [-1, 0, 1], [-1, 0, 1]),  # 1.8108
        (3.8, 0.03, [1], [1]),  # 3.7948
        (3.8, 0.04, [1], [-1, 0, 1]),  # 3.8148
    ],
)
def test_ways_of_a_step(step: float, h: float, by_mean: list[int], by_draw: list[int]) -> None:
    cells = [Cell(20.0), Cell(9.0), Cell(20.0 + step)]
    assert signs(claim("ranks"), cells, (0, 2), h) == [by_mean, by_draw]


def test_places_decided_together_need_longer_steps() -> None:
    """A step reaches 2.0203 in place of 1.7608, another draw of a cell 3.1868 of 2.7828."""
    cells = [Cell(20.0), Cell(21.9)]
    assert signs(claim("steps"), cells, (0, 1), tests=1)[0] == [1]
    assert signs(claim("steps"), cells, (0, 1), tests=2)[0] == [-1, 0, 1]
    assert signs(claim("spikes", "19"), cells, (1,), tests=1)[0] == [1]
    assert signs(claim("spikes", "19"), cells, (1,), tests=2)[0] == [0, 1]


def test_a_step_from_nothing_is_one_and_a_step_to_nothing_is_none() -> None:
    """Coins may have made the larger of two, whichever comes first."""
    for cells in ([Cell(0.0), Cell(20.0)], [Cell(20.0), Cell(0.0)]):
        way = [[1], [1]] if cells[1].divergence else [[-1], [-1]]
        small, large = sorted(cells, key=lambda each: each.divergence)
        assert signs(claim("steps"), cells, (0, 1)) == way
        small.at_the_floor = True
        assert signs(claim("steps"), cells, (0, 1)) == way
        large.at_the_floor = True
        assert signs(claim("steps"), cells, (0, 1)) == [[-1, 0, 1], [-1, 0, 1]]


@pytest.mark.parametrize(
    ("value", "h", "by_draw"),
    [
        # 2.1711 sqrt(1.643) = 2.7828 for another draw, which alone says what lies above.
        (31.3, 0.0, [0, 1]),
        (32.7, 0.0, [0, 1]),
        (32.8, 0.0, [1]),
        (28.7, 0.0, [0, 1]),
        (27.3, 0.0, [0, 1]),
        (27.2, 0.0, [0]),
        (32.8, 0.01, [1]),  # 2.7928
        (32.8, 0.02, [0, 1]),  # 2.8028
        (27.2, 0.01, [0]),
        (27.2, 0.02, [0, 1]),
    ],
)
def test_sides_of_a_threshold(value: float, h: float, by_draw: list[int]) -> None:
    cells = [Cell(0.0), Cell(value)]
    assert signs(claim("spikes", "30"), cells, (1,), h) == [by_draw, by_draw]


def test_ends_of_intervals() -> None:
    """A threshold is exclusive; a step of nothing is none."""
    assert trend._span_above((30.0, 31.0), 30.0, 0.0) == {0, 1}
    assert trend._span_above((29.0, 30.0), 30.0, 0.0) == {0}
    assert trend._direction((0.0, 1.0), 0.0) == {-1, 0, 1}
    assert trend._direction((-1.0, 0.0), 0.0) == {-1, 0, 1}


def test_ways_of_means() -> None:
    """A value at the threshold is not above it, and as much is neither more nor less."""
    means = [20.0, 20.0, 20.5]
    spikes, steps = claim("spikes", "20"), claim("steps")
    assert [trend._way_of(spikes, means, (at,)) for at in range(3)] == [0, 0, 1]
    assert [trend._way_of(steps, means, at) for at in ((0, 1), (1, 2), (2, 1))] == [0, 1, -1]
