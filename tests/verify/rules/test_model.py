"""Claims about models, decided from evaluations in which we choose which answers flip.

Every evaluation has 65 questions at 0 and 5 shots, so an answer is 100 / 65 = 1.538 points and
the floor of a spread 100 x 3 / 65 x sqrt(2 / 2) = 4.615. The reference answers the first 40
questions right; the candidate loses some of those and wins some of the others. Seven settings
give what they are told to on average, and two changes lie between the two kernels: at most 6.296
at 95 %, half of which are u = 3.148 x (100 / 65 / 2)^2 = 1.863. So a mean has the variance
U = u + 4.615^2 / 7 = 4.906, and another draw on another machine V = 2 u + 4.615^2 x 8 / 7 = 28.07
beside it, whose root is 5.298; at 8.0 degrees of freedom Student's t is 1.860 at 0.95.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_up_records as records
import numpy as np
import pytest
from made_up_records import codes, interval, numbers, pointing, said
from made_up_worlds import (
    BOTH,
    WOBBLE,
    Flips,
    judged_sentence,
    named,
    sentence,
    series_world,
    table,
    verdict,
    wobbling,
    world,
)

from repro.schema.causes import cause
from repro.schema.finding import Finding
from verify import decision_rule, paired
from verify.decidable import family, undecidable
from verify.decision_rule import NumberTest, Sample, Variance
from verify.evidence import Evidence
from verify.judge import judge
from verify.noise import Intervals, intervals_of, widened
from verify.outcome import JudgedClaim, RuleDecision
from verify.rules import model as rules
from verify.whole_table import adjust_over_table

POINT = 100 / 65


# -----------------------------------------------------------------------------
# Cells


def test_a_number_that_comes_out_again_is_reproduced(tmp_path: Path) -> None:
    """13 answers of 65 are 20 points, of which 1.860 x 5.298 + 0.06 = 9.92 are open."""
    found = verdict(
        tmp_path,
        wobbling({"mamba-1": 13, "phi-1": 13}),
        **table({"mamba-1": "20.0", "phi-1": "20.0"}),
    )
    finding = named(found, BOTH[0])
    assert (finding.outcome, finding.published, finding.margin) == ("reproduced", "20.0", "± 12")
    assert finding.measured == "20.0 (7 settings: 19.2 to 20.8)"
    assert codes(finding) == ["within-margin"]
    assert said(finding, "within-margin") == {
        "off": pytest.approx(0.0, abs=1e-9),
        "error": pytest.approx(5.298, abs=1e-3),
        "draws": 7,
        "rounding": pytest.approx(0.06),
        "margin": "12",
    }
    assert said(finding, "flips") == {"lost": 26, "won": 0}
    assert said(finding, "mixed-precision-as") == {"arm": "weight-cast"}
    assert said(finding, "machine-from-kernels") == {
        "changes": 2,
        "limit": pytest.approx(6.296, abs=1e-3),
    }
    # Room 12 - 9.916 = 2.084, over 5.298: 0.393. A noncentral t of 3.81 exceeds 2.307, Student's
    # t at 0.975, nine times in ten: 0.06 + 3.81 x 5.298.
    assert said(finding, "power") == {
        "power": pytest.approx(0.306, abs=1e-3),
        "shift": pytest.approx(20.2, abs=0.5),
    }
    assert said(finding, "other-values-accepted") == {"accepted": 1, "others": 1}
    assert numbers(finding) == pytest.approx(
        {
            "measured": 20.0,
            # 13 coins and 14: together 11 answers or fewer in 95 of 100 tosses.
            "null divergence": 11 * POINT / 2,
            "least accuracy of a reference": 61.538,
            "greatest accuracy of a reference": 61.538,
            "share of the commonest answer": 26.154,
            "exact ties, all shots": 0.0,
            "divergence, ties sharing credit": 20.0,
            "weight-cast, first setting": 20.0,
        },
        abs=1e-3,
    )
    # t is 2.1244 at 0.975 and 15.6 degrees of freedom, times sqrt(4.906).
    assert interval(finding, "measured") == pytest.approx((15.295, 24.705), abs=1e-3)
    assert len(finding.records) == 14


@pytest.mark.parametrize(("margin", "outcome"), [("12", "inconclusive"), ("13", "reproduced")])
def test_one_kernel_says_nothing_of_another_machine(
    tmp_path: Path, margin: str, outcome: str
) -> None:
    """All 13 + 14 changes may come anew there: V = 2 x 27 x 0.5917 + 24.34 = 56.30, so that 1.694 x
    7.503 + 0.06 = 12.77 are open."""
    found = verdict(
        tmp_path,
        wobbling({"mamba-1": 13, "phi-1": 13}),
        kernels=1,
        **table({"mamba-1": "20.0", "phi-1": "20.0"}, margin),
    )
    finding = named(found, BOTH[0])
    assert finding.outcome == outcome
    why = "within-margin" if outcome == "reproduced" else "margin-within-noise"
    assert codes(finding) == [why]
    assert said(finding, "machine-from-changes") == {"changes": 27}


def test_a_number_that_no_draw_would_print_is_contradicted(tmp_path: Path) -> None:
    found = verdict(
        tmp_path,
        wobbling({"mamba-1": 13, "phi-1": 13}),
        **table({"mamba-1": "60.0", "phi-1": "20.0"}),
    )
    assert named(found, BOTH[0]).outcome == "contradicted"
    assert codes(named(found, BOTH[0])) == ["beyond-another-draw", "interval-crosses-margin"]
    assert said(named(found, BOTH[0]), "beyond-another-draw")["p"] < 5e-4
    assert named(found, BOTH[1]).outcome == "reproduced"


def test_flips_that_cancel_leave_no_divergence(tmp_path: Path) -> None:
    flips: Flips = lambda _, setting, shots: (6, 6)  # noqa: E731, ARG005
    claimed, evidence = world(tmp_path, flips, **table({"mamba-1": "20.0", "phi-1": "20.0"}))
    found = paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence)
    assert found.divergences == [0.0] * 7
    assert found.flips() == (12.0, 12.0)
    assert found.changes.tolist() == [[12, 12]]
    assert found.machine == pytest.approx(24 * (POINT / 2) ** 2)
    assert found.at_the_floor


@pytest.mark.parametrize(("lost", "null", "at_floor"), [(2, 4, True), (3, 6, True), (4, 6, False)])
def test_the_null_divergence_is_what_fair_coins_give(
    tmp_path: Path, *, lost: int, null: int, at_floor: bool
) -> None:
    """Two tosses and two are 4 apart in 1/4; three and three 6 apart in 1/16, which is more than
    0.05; four and four are 8 apart in 1/64, 6 in 1/8."""
    claimed, evidence = world(
        tmp_path, lambda *_: (lost, 0), **table({"mamba-1": "20.0", "phi-1": "20.0"})
    )
    found = paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence)
    assert found.null == pytest.approx(null * POINT / 2)
    assert found.divergences == pytest.approx([lost * POINT] * 7)
    assert found.at_the_floor == at_floor
    assert found.least_spread == pytest.approx(100 * 3 / 65)


def test_a_repeated_setting_is_no_further_draw(tmp_path: Path) -> None:
    """Settings whose log-likelihoods are equal to the last bit count once."""
    claimed = records.manifest(**table({"mamba-1": "20.0", "phi-1": "20.0"}))

    def same(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        alike = job.model_copy(update={"setting": job.setting.model_copy(update={"batch_size": 4})})
        if job.setting.batch_size != 256:
            arrays.update(records.answers(alike))
        fields["values"] = records.values_of(arrays)

    store, run = records.run(tmp_path, claimed, "full", same)
    evidence = Evidence(claimed, run, store, records.checkpoints(), {"mmlu": records.dataset()})
    found = paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence)
    assert (len(found.rows), found.repeated) == (2, 5)
    finding = named(judge(claimed, evidence, {}), BOTH[0])
    assert finding.outcome == "inconclusive"
    assert said(finding, "few-settings") == {"draws": 2, "needed": 7, "repeated": 5}


# -----------------------------------------------------------------------------
# Means, counts, orderings


@pytest.mark.parametrize(
    ("lost", "expected"),
    [((13, 13), "reproduced"), ((20, 6), "reproduced"), ((38, 38), "contradicted")],
)
def test_means(tmp_path: Path, lost: tuple[int, int], expected: str) -> None:
    """13 and 13, or 20 and 6 answers, are 20 points on average; 38 are 58."""
    claim = sentence("mean", published="mean", of=BOTH, margin={"value": "12", "origin": "made up"})
    finding = judged_sentence(tmp_path, dict(zip(("mamba-1", "phi-1"), lost, strict=True)), claim)
    assert finding.outcome == expected
    # h is half of 0.1, of the cells' own 0.1 and the 0.01 of the accuracies.
    code = "within-margin" if expected == "reproduced" else "interval-crosses-margin"
    assert said(finding, code)["rounding"] == pytest.approx(0.11)


@pytest.mark.parametrize(
    ("lost", "above", "expected"),
    [
        ((30, 4), "25", "reproduced"),  # 46 and 6 points: one above
        ((38, 38), "25", "contradicted"),  # both above
        ((4, 4), "40", "contradicted"),  # neither
        ((17, 4), "25", "inconclusive"),  # 26 points: above, not surely
        ((16, 4), "25", "inconclusive"),  # 24.6: not above, not surely
    ],
)
def test_counts(tmp_path: Path, lost: tuple[int, int], above: str, expected: str) -> None:
    """Two together reach 14.587 for another draw, and 0.01 of rounding."""
    claim = sentence("count", published="count", of=BOTH, above=above)
    finding = judged_sentence(tmp_path, dict(zip(("mamba-1", "phi-1"), lost, strict=True)), claim)
    assert finding.outcome == expected


@pytest.mark.parametrize(
    ("lost", "expected", "direction"),
    [
        ((4, 30), "reproduced", "points-to-relation left ≤ right"),
        ((30, 4), "contradicted", "points-to-relation left > right"),
        ((13, 14), "inconclusive", "points-to-relation left ≤ right"),
        ((13, 13), "inconclusive", "points-to-relation left ≤ right"),
        ((14, 13), "inconclusive", "points-to-relation left > right"),
        # Left loses one answer or none, and right more than coins would: that is enough.
        ((0, 30), "reproduced", "points-to-relation left ≤ right"),
        # 2 and 3 flips are 5 apart in 1/8 of all tosses, and 4 are lost.
        ((1, 2), "inconclusive", "points-to-relation left ≤ right"),
        ((2, 1), "inconclusive", "points-to-relation left > right"),
    ],
)
def test_orderings(tmp_path: Path, lost: tuple[int, int], expected: str, direction: str) -> None:
    claim = sentence("ordering", left=BOTH[:1], right=BOTH[1:], relation="at-most")
    flips: Flips = lambda model, setting, shots: (  # noqa: E731
        max(0, lost[model == "phi-1"] + WOBBLE[setting] * (shots > 0)),
        0,
    )
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, more=[claim])
    finding = named(verdict(tmp_path, flips, **data), "it")
    assert (finding.outcome, pointing(finding)) == (expected, direction)
    assert ("at-the-floor" in codes(finding)) == (max(lost) == 2)
    # What points away, is not contradicted, and is at no floor.
    assert ("not-reproduced-here" in codes(finding)) == (lost == (14, 13))


def halves(left: int, right: int) -> Flips:
    """So many half answers lost, the odd one at 5 shots, by mamba-1 and by phi-1."""

    def flips(model: str, setting: int, shots: int) -> tuple[int, int]:
        lost = left if model == "mamba-1" else right
        return lost // 2 + (lost % 2 + WOBBLE[setting]) * (shots > 0), 0

    return flips


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (11, "reproduced"),  # 9 halves less are 6.92 points
        (12, "inconclusive"),  # 6.15
        (20, "inconclusive"),
        (40, "inconclusive"),  # 20 halves more are 15.38 points
        (41, "contradicted"),  # 16.15
    ],
)
def test_an_ordering_allows_for_both_machines(tmp_path: Path, left: int, expected: str) -> None:
    """The variance of the difference is 2 x 4.906 for the means, 2 x 28.07 for another draw: 2.039
    x 3.132 = 6.387 points and 2.120 x 7.493 = 15.888, and 0.02 of rounding."""
    claim = sentence("ordering", left=BOTH[:1], right=BOTH[1:], relation="at-most")
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, more=[claim])
    assert named(verdict(tmp_path, halves(left, 20), **data), "it").outcome == expected


@pytest.mark.parametrize(
    ("left", "right", "at_most", "beyond"),
    [
        (6, 20, "reproduced", "reproduced"),  # 21.5 points less, surely 15.1: null 11.5
        (6, 13, "reproduced", "inconclusive"),  # 10.8, surely 4.4: null 8.5
        (13, 6, "inconclusive", "contradicted"),  # 10.8 more, in another draw 5.1 less
        (30, 6, "contradicted", "contradicted"),
    ],
)
def test_significantly_smaller_is_by_more_than_coins_give(
    tmp_path: Path, left: int, right: int, at_most: str, beyond: str
) -> None:
    """Either side reaches as in the test before; the larger null is that of the larger side."""
    claims = [
        {**sentence("ordering", left=BOTH[:1], right=BOTH[1:], relation=name), "id": name}
        for name in ("at-most", "smaller-beyond-null")
    ]
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, more=claims)
    found = verdict(tmp_path, wobbling({"mamba-1": left, "phi-1": right}), **data)
    first, second = (named(found, each["id"]) for each in claims)
    assert (first.outcome, second.outcome) == (at_most, beyond)
    assert second.published == "left < right - null"
    side = "right" if left < right else "left"
    nulls = {20: 15, 13: 11, 30: 17}  # answers of 20 and 21 tosses, of 13 and 14, of 30 and 31
    null = nulls[max(left, right)]
    assert numbers(second)[f"null divergence, {side}"] == pytest.approx(null * POINT / 2)
    code = {
        "reproduced": "smaller-beyond-null",
        "contradicted": "not-beyond-null",
        "inconclusive": "order-open",
    }
    assert codes(second)[-1] == code[beyond]
    less = "<" if left < right else "≥"
    assert pointing(second) == f"points-to-relation left {less} right - null"


@pytest.mark.parametrize(
    ("gap", "expected"),
    [(-2.0, 1), (-1.4375, 1), (-1.375, 0), (-1.0, 0), (-0.4375, 0), (-0.375, -1), (2.0, -1)],
)
def test_what_is_surely_within_the_null_is_not_significant(gap: float, expected: int) -> None:
    """A null of 1: the mean is known to 0.25, another draw to 0.5, and rounding adds 0.125."""
    spans = Intervals(gap, (gap - 0.25, gap + 0.25), (gap - 0.5, gap + 0.5))
    sides: Any = [SimpleNamespace(null=each) for each in (1.0, 0.5)]
    for pair in (sides, sides[::-1]):
        assert rules.beyond_null(*pair, spans, 0.125) == expected


NOBODY: Any = None
"""What a relation does not look at."""


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-9.0, -0.25, "reproduced"),
        (-9.0, -0.1875, "inconclusive"),
        (0.25, 9.0, "inconclusive"),
        (0.3125, 9.0, "contradicted"),
    ],
)
def test_ends_of_an_order(low: float, high: float, expected: str) -> None:
    """At most 0 by the mean, more than 0 in another draw; rounding adds 0.25."""
    spans = Intervals(0.0, (low, high), (low, high))
    outcome, _, seen = rules._at_most(NOBODY, NOBODY, spans, 0.25)
    assert (outcome, seen) == (expected, True)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-3.4375, 3.0, "reproduced"),
        (-3.5, 3.0, "inconclusive"),
        (-9.0, -4.4375, "inconclusive"),
        (4.5, 9.0, "contradicted"),
    ],
)
def test_ends_of_a_spread(low: float, high: float, expected: str) -> None:
    """A range of 4 that is known exactly, and rounding of 0.25 of it and of the difference."""
    right: Any = SimpleNamespace(ranges=Sample((4.0,) * 7, 0.0, 0.0))
    for value in (-4.0, -3.9375, 3.9375, 4.0):
        spans = Intervals(value, (low, high), (low, high))
        outcome, _, seen = rules._within_spread(NOBODY, right, spans, 0.25)
        assert (outcome, seen) == (expected, abs(value) < 4)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-2.2, 2.0, "reproduced"),
        (-2.3, 2.0, "inconclusive"),
        (7.2, 9.0, "inconclusive"),
        (7.3, 9.0, "contradicted"),
    ],
)
def test_a_spread_is_known_to_its_own_ends(low: float, high: float, expected: str) -> None:
    """A range of 4, of which the mean reaches 1.262 and another draw 2.783, and rounding of 0.5."""
    right: Any = SimpleNamespace(ranges=Sample((4.0,) * 7, 1.0, 0.25))
    spans = Intervals(0.0, (low, high), (low, high))
    assert rules._within_spread(NOBODY, right, spans, 0.25)[0] == expected


@pytest.mark.parametrize(("gap", "seen"), [(-1.0, False), (-1.0625, True)])
def test_as_much_less_as_coins_give_is_not_seen(gap: float, *, seen: bool) -> None:
    sides: Any = [SimpleNamespace(null=each) for each in (1.0, 0.5)]
    spans = Intervals(gap, (-9.0, 9.0), (-9.0, 9.0))
    for pair in (sides, sides[::-1]):
        found = rules._smaller_beyond_null(*pair, spans, 0.0)
        assert found == ("inconclusive", "order-open", seen)


def test_a_count_is_of_what_lies_above_its_limit() -> None:
    """Neither what another draw has just at the limit at least, nor what it has there at most."""
    side: Any = SimpleNamespace(sample=Sample((4.0,) * 7, 1.0, 0.25), at_the_floor=False)
    low, high = widened(intervals_of(side.sample, 2).draw, 0.125)
    limits = (math.nextafter(low, 0), low, math.nextafter(high, 0), high)
    found = [rules.count_above([side, side], limit, 0.125) for limit in limits]
    assert found == [(2, 2), (0, 2), (0, 2), (0, 0)]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ((13,), (2, 36), "reproduced"),  # 13 against 19, which spread over 34
        ((38,), (4, 4), "contradicted"),  # 38 against 4, which spread over nothing
        ((13,), (13, 13), "inconclusive"),
    ],
)
def test_on_par(tmp_path: Path, left: tuple[int], right: tuple[int, int], expected: str) -> None:
    """The difference reaches 2.04 sqrt(4.906 + 2.453) = 5.5 points and, in another draw, 13.7; the
    right side's range 6.7 and 17.3."""
    data = records.manifest_data()
    cell = data["claims"][0]
    claims = []
    for index, model in enumerate(("mamba-1", "mamba-2", "mamba-3")):
        name = f"T9.{model}.float16"
        data["published"].append(
            {**data["published"][0], "id": name} if index else data["published"][0]
        )
        claims.append(
            {
                **cell,
                "id": name,
                "published": name,
                "measure": {**cell["measure"], "checkpoint": model},
            }
        )
    data["published"] = list({each["id"]: each for each in data["published"]}.values())
    data["jobs"][0]["checkpoints"] = ["mamba-1", "mamba-2", "mamba-3"]
    names = [each["id"] for each in claims]
    claim = sentence("ordering", left=names[:1], right=names[1:], relation="within-spread")
    lost = dict(zip(("mamba-1", "mamba-2", "mamba-3"), left + right, strict=True))
    found = verdict(
        tmp_path,
        wobbling(lost),
        published=data["published"],
        jobs=data["jobs"],
        claims=[*claims, claim],
    )
    assert named(found, "it").outcome == expected


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ((3, 30, 4, 35), "reproduced"),  # both rise by 26 answers and more
        ((3, 36, 36, 3), "contradicted"),  # one rises, the other falls, by 33
        ((3, 36, 20, 21), "inconclusive"),  # the right side moves by one answer
        ((1, 36, 4, 35), "reproduced"),  # the first cell is at the floor, the next is not
        ((1, 2, 4, 35), "inconclusive"),  # both are
    ],
)
def test_measured_trends(tmp_path: Path, lost: tuple[int, ...], expected: str) -> None:
    assert series_world(tmp_path, lost, {"by": "steps"}).outcome == expected


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ((4, 36, 4, 36), "reproduced"),  # 6 and 55 points: below and above 30
        ((4, 36, 36, 4), "contradicted"),
        ((4, 36, 4, 20), "inconclusive"),  # 31 points
    ],
)
def test_measured_spikes(tmp_path: Path, lost: tuple[int, ...], expected: str) -> None:
    found = series_world(tmp_path, lost, {"by": "spikes", "above": "30"})
    assert found.outcome == expected


# -----------------------------------------------------------------------------
# Many cells


def number(outcome: str, p: float, deviation: float = 0.0) -> JudgedClaim:
    """A number with that p-value: the variance is 1, and known."""
    from scipy import special

    off = float(special.ndtri(1 - p / 2))
    decided = RuleDecision(outcome, "1", "2", "± 0.5", (WHY, HERE))  # type: ignore[arg-type]
    return JudgedClaim(decided, None, [], NumberTest(off, 0.0, Variance(1.0, math.inf), deviation))


WHY, HERE = cause("not-finite"), cause("not-reproduced-here")


def outcomes(found: Mapping[str, JudgedClaim]) -> list[str]:
    return [each.decided.outcome for each in found.values()]


def test_contradicted_is_adjusted_over_the_table() -> None:
    """Of four, 0.001 x 4 is under 0.05 and 0.03 x 2 is not; 0.06 is not by itself. What was
    reproduced stays so, and claims that are no numbers have no p-value."""
    count = RuleDecision("contradicted", "1", "2", "exact", (cause("agrees"),))
    judged = {
        "a": number("inconclusive", 0.001),
        "b": number("inconclusive", 0.03),
        "c": number("inconclusive", 0.06),
        "d": number("reproduced", 0.001),
        "count": JudgedClaim(count, None, []),
    }
    found = adjust_over_table(judged, 4)
    assert outcomes(found) == [
        "contradicted",
        "inconclusive",
        "inconclusive",
        "reproduced",
        "contradicted",
    ]
    first, second = (found[name].decided.causes for name in ("a", "b"))
    assert [each.code for each in first] == ["beyond-another-draw", WHY.code]
    assert first[0].values == {"tests": 4, "p": pytest.approx(0.004)}
    assert [each.code for each in second] == ["holm", WHY.code, HERE.code]
    assert second[0].values == {"tests": 4, "p": pytest.approx(0.06)}
    for name in ("c", "d", "count"):
        assert found[name] is judged[name]


def test_a_run_of_one_cell_is_adjusted_as_the_whole_table() -> None:
    cell = {"a": number("inconclusive", 0.03)}
    assert outcomes(adjust_over_table(cell, 1)) == ["contradicted"]
    assert outcomes(adjust_over_table(cell, 2)) == ["inconclusive"]
    # More p-values than numbers that could be contradicted beforehand: each one counts.
    assert outcomes(adjust_over_table(cell, 0)) == ["contradicted"]


def test_a_setting_that_is_off_in_one_number_guards_all_of_the_table() -> None:
    """3.09 standard errors off, p = 0.002; less 1.1, 1.99 and 0.047; less 1.2, 1.89 and 0.059."""
    odd = {"odd": number("reproduced", 1.0, 1.1), "a": number("inconclusive", 0.002, 0.5)}
    assert outcomes(adjust_over_table(odd, 1)) == ["reproduced", "inconclusive"]
    alone = {"a": odd["a"], "odd": number("inconclusive", 1.0, 1.1)}
    assert outcomes(adjust_over_table({"a": alone["a"]}, 1)) == ["contradicted"]
    found = adjust_over_table(alone, 1)
    assert found["a"].decided.causes[0].code == "holm"
    wider = {"a": alone["a"], "odd": number("inconclusive", 1.0, 1.2)}
    assert adjust_over_table(wider, 1)["a"] is wider["a"]


def test_the_family_is_every_distinct_number() -> None:
    """Not moved by another machine, V is 4.615^2 x 8 / 7 and 1.943 x 4.934 + 0.06 = 9.65 points are
    open; of the mean 1.943 x 3.489 + 0.11 = 6.89. Margins do not make the family smaller."""
    mean = sentence("mean", published="mean", of=BOTH, margin={"value": "9", "origin": "x"})
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, margin="9.6", more=[mean])
    datasets = {"mmlu": records.dataset()}
    claimed = records.manifest(**data)
    assert set(undecidable(claimed, "full", datasets)) == set(BOTH)
    assert undecidable(claimed, "smoke", datasets) == {}
    assert family(claimed) == 3
    assert family(records.manifest(**data, numbers_elsewhere=2)) == 5
    data["claims"][0]["margin"]["value"] = "9.7"
    assert set(undecidable(records.manifest(**data), "full", datasets)) == {BOTH[1]}
    jobs = records.manifest_data()["jobs"]
    del jobs[0]["tiers"]["full"]
    assert family(records.manifest(**data, jobs=jobs)) == 0


def test_a_table_says_what_its_cells_come_to(tmp_path: Path) -> None:
    found = verdict(
        tmp_path,
        wobbling({"mamba-1": 13, "phi-1": 13}),
        **table({"mamba-1": "20.0", "phi-1": "60.0"}),
    )
    assert found.notes[0] == "1 of 2 cells reproduced; the table is only if every cell is"
    assert found.notes[1].startswith("up to 0.1 of 2 cells would be reproduced falsely")


def test_the_floor_of_a_group_is_smaller_than_that_of_a_cell(tmp_path: Path) -> None:
    claimed, evidence = world(
        tmp_path, wobbling({"mamba-1": 13, "phi-1": 13}), **table({"mamba-1": "20.0", "phi-1": "2"})
    )
    cells = [claimed.cell(name) for name in BOTH]
    assert paired.pair_cells(claimed, cells, evidence).least_spread == decision_rule.floor(65, 4)
    assert paired.pair_cells(claimed, cells[:1], evidence).least_spread == decision_rule.floor(
        65, 2
    )


# -----------------------------------------------------------------------------
# Where a divergence comes from


def head_world(tmp_path: Path, wide: int) -> Finding:
    """float16 answers 6 of 65 wrongly, 4 of them in ties with the first choice; of those a head in
    float32 loses so many."""
    data = table({"mamba-1": "20.0", "phi-1": "20.0"})
    data["jobs"] = records.manifest_data()["jobs"]
    data["jobs"][0]["tiers"]["full"]["other_arms"] = ["float32-head"]
    claimed = records.manifest(**data)

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        for shots in job.shots:
            gold = arrays[f"shots{shots}/gold"]
            scores = np.full((65, 4), -5.0 - job.setting.batch_size / 1024)
            scores[np.arange(65), gold] = -1.0
            rows = np.flatnonzero(gold != 0)[:6]
            if job.dtype == "float16":
                lost = rows if job.arm == "weight-cast" else rows[:wide]
                scores[lost, 0] = -1.0
                scores[rows[4:], gold[rows[4:]]] = -2.0  # two are no ties
                scores[rows[4:], 0] = -1.0
            arrays[f"shots{shots}/log_likelihood"] = scores
            arrays[f"shots{shots}/prediction"] = scores.argmax(axis=1)
        fields["values"] = records.values_of(arrays)

    store, run = records.run(tmp_path, claimed, "full", change)
    datasets = {"mmlu": records.dataset()}
    evidence = Evidence(claimed, run, store, records.checkpoints(), datasets)
    return named(judge(claimed, evidence, {}), BOTH[0])


def test_ties_and_the_output_layer_stand_beside_a_cell(tmp_path: Path) -> None:
    """4 of 6 lost answers tie at both numbers of shots: half of each is left to share. A head in
    float32 loses 1 of the ties, so that the model's own takes 3 more, of 65; its interval reaches
    1.96 sqrt(6) of 130 answers."""
    found = head_world(tmp_path, wide=1)
    shown = numbers(found)
    assert shown["exact ties, all shots"] == 8
    assert shown["divergence, ties sharing credit"] == pytest.approx(4 * POINT)
    head = "accuracy by its own output layer less by one in float32, first setting"
    assert shown[head] == pytest.approx(-3 * POINT)
    units = {each.label: each.unit for each in found.estimates}
    points = "percentage points"
    assert {units[name] for name in (head, "divergence, ties sharing credit")} == {points}
    assert units["exact ties, all shots"] == "answers"
    assert {unit for name, unit in units.items() if "first setting" in name} == {points}
    reach = 1.959964 * 6**0.5 * POINT / 2
    assert interval(found, head) == pytest.approx((-3 * POINT - reach, -3 * POINT + reach))


def test_a_head_that_changes_nothing_has_no_interval(tmp_path: Path) -> None:
    found = head_world(tmp_path, wide=4)
    head = "accuracy by its own output layer less by one in float32, first setting"
    assert interval(found, head) == (0, 0)
