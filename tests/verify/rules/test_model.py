"""Claims about models, decided from evaluations in which we choose which answers flip.

Every evaluation has 65 questions at 0 and 5 shots, so an answer is 100 / 65 = 1.538 points and
the floor of a spread 100 x 3 / 65 x sqrt(2 / 2) = 4.615. The reference answers the first 40
questions right; the candidate loses some of those and wins some of the others.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_up_records as records
import pytest
from made_up_records import codes, interval, numbers, pointing, said
from made_up_worlds import (
    BOTH,
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
from verify import decision_rule, paired
from verify.decidable import family, undecidable
from verify.evidence import Evidence
from verify.judge import adjust_over_table, judge
from verify.noise import Intervals
from verify.outcome import JudgedClaim, RuleDecision
from verify.rules import model as rules

POINT = 100 / 65


# -----------------------------------------------------------------------------
# Cells


def test_a_number_that_comes_out_again_is_reproduced(tmp_path: Path) -> None:
    """13 answers of 65 are 20 points."""
    found = verdict(
        tmp_path,
        wobbling({"mamba-1": 13, "phi-1": 13}),
        **table({"mamba-1": "20.0", "phi-1": "20.0"}),
    )
    finding = named(found, BOTH[0])
    assert (finding.outcome, finding.published, finding.margin) == ("reproduced", "20.0", "± 12")
    # Settings give 19.2, 20, 20.8, 19.2 and 20 points.
    assert finding.measured == "19.8 (5 settings: 19.2 to 20.8)"
    assert codes(finding) == ["within-margin"]
    assert said(finding, "flips") == {"lost": pytest.approx(25.8), "won": 0}
    assert said(finding, "mixed-precision-as") == {"arm": "weight-cast"}
    # Room 12 - 0.06 - 2.1318 x 4.615 / sqrt(5) = 7.54, over 4.615 sqrt(1.2) = 5.06: 1.49.
    assert said(finding, "power") == {
        "power": pytest.approx(0.86, abs=5e-3),
        "shift": pytest.approx(34, abs=0.5),
    }
    assert said(finding, "other-values-accepted") == {"accepted": 1, "others": 1}
    assert numbers(finding) == pytest.approx(
        {
            "measured": 19.846,
            "null divergence": 1.538,
            "least accuracy of a reference": 61.538,
            "greatest accuracy of a reference": 61.538,
            "share of the commonest answer": 26.154,
            "weight-cast, first setting": 19.231,
        },
        abs=1e-3,
    )
    # 2.7764 x 4.615 / sqrt(5) = 5.7307 to both sides.
    assert interval(finding, "measured") == pytest.approx((14.1155, 25.5768), abs=1e-3)
    assert len(finding.records) == 10


def test_a_number_that_no_draw_would_print_is_contradicted(tmp_path: Path) -> None:
    found = verdict(
        tmp_path,
        wobbling({"mamba-1": 13, "phi-1": 13}),
        **table({"mamba-1": "60.0", "phi-1": "20.0"}),
    )
    assert named(found, BOTH[0]).outcome == "contradicted"
    assert codes(named(found, BOTH[0])) == ["beyond-another-draw"]
    assert said(named(found, BOTH[0]), "beyond-another-draw")["p"] < 0.05
    assert named(found, BOTH[1]).outcome == "reproduced"


def test_flips_that_cancel_leave_no_divergence(tmp_path: Path) -> None:
    flips: Flips = lambda _, setting, shots: (6, 6)  # noqa: E731, ARG005
    claimed, evidence = world(tmp_path, flips, **table({"mamba-1": "20.0", "phi-1": "20.0"}))
    found = paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence)
    assert found.divergences == [0.0] * 5
    assert found.flips() == (12.0, 12.0)
    # d = 0 and v = 12 answers squared: the shift is -12 POINT^2 at both shots.
    assert found.shifts == pytest.approx([-12 * POINT**2] * 5)


def test_the_null_divergence_is_that_between_settings_of_one_dtype(tmp_path: Path) -> None:
    """float32 never moves; float16 of setting 3 loses 8 more at 5 shots: (0 + 8) / 2 answers."""
    flips: Flips = lambda _, setting, shots: (2 + 8 * (setting == 3 and shots == 5), 0)  # noqa: E731
    claimed, evidence = world(tmp_path, flips, **table({"mamba-1": "20.0", "phi-1": "20.0"}))
    found = paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence)
    assert found.null == pytest.approx(4 * POINT)
    assert found.divergences == pytest.approx([2 * POINT] * 3 + [6 * POINT] + [2 * POINT])
    assert found.at_the_floor  # 2.8 answers on average, 4 where nothing but the setting changed
    assert found.least_spread == pytest.approx(100 * 3 / 65)


def test_a_repeated_setting_is_no_further_draw(tmp_path: Path) -> None:
    """Settings whose log-likelihoods are equal to the last bit count once."""
    claimed = records.manifest(**table({"mamba-1": "20.0", "phi-1": "20.0"}))

    def same(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        alike = job.model_copy(update={"setting": job.setting.model_copy(update={"batch_size": 4})})
        if job.setting.batch_size != 64:
            arrays.update(records.answers(alike))
        fields["values"] = records.values_of(arrays)

    store, run = records.run(tmp_path, claimed, "full", same)
    evidence = Evidence(claimed, run, store, records.checkpoints(), {"mmlu": records.dataset()})
    found = paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence)
    assert (len(found.rows), found.repeated) == (2, 3)
    finding = named(judge(claimed, evidence, {}), BOTH[0])
    assert finding.outcome == "inconclusive"
    assert said(finding, "few-settings") == {"draws": 2, "needed": 5, "repeated": 3}


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
    assert next(iter(finding.causes)).values["rounding"] == pytest.approx(0.11)


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
    claim = sentence("count", published="count", of=BOTH, above=above)
    finding = judged_sentence(tmp_path, dict(zip(("mamba-1", "phi-1"), lost, strict=True)), claim)
    assert finding.outcome == expected


@pytest.mark.parametrize(
    ("lost", "expected", "direction"),
    [
        ((4, 30), "reproduced", "points-to-relation left ≤ right"),
        ((30, 4), "contradicted", "points-to-relation left > right"),
        ((13, 14), "inconclusive", "points-to-relation left ≤ right"),
        ((14, 13), "inconclusive", "points-to-relation left > right"),
        (
            (0, 30),
            "inconclusive",
            "points-to-relation left ≤ right",
        ),  # left loses one answer or none
    ],
)
def test_orderings(tmp_path: Path, lost: tuple[int, int], expected: str, direction: str) -> None:
    claim = sentence("ordering", left=BOTH[:1], right=BOTH[1:], relation="at-most")
    flips: Flips = lambda model, setting, shots: (  # noqa: E731
        max(0, lost[model == "phi-1"] + (setting % 3 - 1) * (shots > 0)),
        0,
    )
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, more=[claim])
    finding = named(verdict(tmp_path, flips, **data), "it")
    assert (finding.outcome, pointing(finding)) == (expected, direction)
    assert ("at-the-floor" in codes(finding)) == (lost[0] == 0)
    # What points away, is not contradicted, and is at no floor.
    assert ("not-reproduced-here" in codes(finding)) == (lost == (14, 13))


@pytest.mark.parametrize(("right", "expected"), [(27, "inconclusive"), (28, "reproduced")])
def test_an_ordering_needs_the_shift_to_agree(tmp_path: Path, right: int, expected: str) -> None:
    """Left loses 39 answers at one number of shots and none at the other: a divergence of 19.5,
    surely less than 27, and a shift of (39^2 - 39) / 2 = 741, which is 27^2 - 27 = 702 at most no
    more. With 28 on the right the shift is 756 there."""
    claim = sentence("ordering", left=BOTH[1:], right=BOTH[:1], relation="at-most")
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, more=[claim])

    def flips(model: str, setting: int, shots: int) -> tuple[int, int]:
        wobble = (setting % 3 - 1) * (shots > 0)
        if model == "mamba-1":
            return right + wobble, 0
        return (39 if shots else 0) + wobble, 0

    assert named(verdict(tmp_path, flips, **data), "it").outcome == expected


@pytest.mark.parametrize(
    ("right", "at_most", "beyond"),
    [(20, "reproduced", "reproduced"), (13, "reproduced", "inconclusive")],
)
def test_significantly_smaller_is_by_more_than_settings_differ(
    tmp_path: Path, right: int, at_most: str, beyond: str
) -> None:
    """The left loses 6 answers. On the right a setting differs from the next by up to 8 at 5 shots,
    4 on average or 6.15 points: the null. The mean difference reaches 8.10 and rounding 0.02: 13
    answers are 10.8 points more than 6, 20 are 21.5, which is more than 14.3."""
    claims = [
        {**sentence("ordering", left=BOTH[:1], right=BOTH[1:], relation=name), "id": name}
        for name in ("at-most", "smaller-beyond-null")
    ]
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, more=claims)

    def flips(model: str, setting: int, shots: int) -> tuple[int, int]:
        wobble = 4 * (setting % 3 - 1) * (shots > 0)
        return (6 if model == "mamba-1" else right + wobble), 0

    found = verdict(tmp_path, flips, **data)
    first, second = (named(found, each["id"]) for each in claims)
    assert (first.outcome, second.outcome) == (at_most, beyond)
    assert second.published == "left < right - null"
    assert numbers(second)["null divergence, right"] == pytest.approx(4 * POINT)
    assert codes(second)[-1] == ("smaller-beyond-null" if beyond == "reproduced" else "order-open")
    assert pointing(second) == "points-to-relation left < right - null"


@pytest.mark.parametrize(("gap", "expected"), [(-2.0, 1), (-1.0, 0), (0.0, -1), (2.0, -1)])
def test_what_is_surely_within_the_null_is_not_significant(gap: float, expected: int) -> None:
    """A null of 1: the mean is known to 0.25, another draw to 0.5, and rounding adds 0.125."""
    spans = Intervals(gap, (gap - 0.25, gap + 0.25), (gap - 0.5, gap + 0.5))
    sides: Any = [SimpleNamespace(null=each) for each in (1.0, 0.5)]
    for pair in (sides, sides[::-1]):
        assert rules.beyond_null(*pair, spans, 0.125, -1.0) == expected
    shift_disagrees = rules.beyond_null(*sides, spans, 0.125, 0.0)
    assert shift_disagrees == min(expected, 0)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ((13,), (2, 36), "reproduced"),  # 13 against 19, which spread over 34
        ((38,), (4, 4), "contradicted"),  # 38 against 4, which spread over nothing
        ((13,), (13, 13), "inconclusive"),
    ],
)
def test_on_par(tmp_path: Path, left: tuple[int], right: tuple[int, int], expected: str) -> None:
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
        ((0, 36, 4, 35), "inconclusive"),  # the first cell is at the floor
    ],
)
def test_measured_trends(tmp_path: Path, lost: tuple[int, ...], expected: str) -> None:
    first_is_nothing = lost[0] == 0
    found = series_world(tmp_path, (1, *lost[1:]) if first_is_nothing else lost, {"by": "steps"})
    assert found.outcome == expected


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


def number(outcome: str, p: float) -> JudgedClaim:
    why = (cause("not-finite"),)
    decided = RuleDecision(outcome, "1", "2", "± 0.5", why)  # type: ignore[arg-type]
    return JudgedClaim(decided, None, [], p)


def test_contradicted_is_adjusted_over_the_table() -> None:
    """0.03 x 2 is over 0.05, 0.001 x 3 is not; claims that are no numbers have no p-value."""
    judged = {
        "a": number("contradicted", 0.001),
        "b": number("contradicted", 0.03),
        "c": number("reproduced", 1.0),
        "count": JudgedClaim(
            RuleDecision("contradicted", "1", "2", "exact", (cause("agrees"),)), None, []
        ),
    }
    found = adjust_over_table(judged, 3)
    assert [found[name].decided.outcome for name in judged] == [
        "contradicted",
        "inconclusive",
        "reproduced",
        "contradicted",
    ]
    here = cause("not-reproduced-here")
    assert found["b"].decided.causes == (here, cause("not-finite"), cause("holm", tests=3, p=0.06))


def test_a_run_of_one_cell_is_adjusted_as_the_whole_table() -> None:
    cell = {"a": number("contradicted", 0.03)}
    assert adjust_over_table(cell, 1)["a"].decided.outcome == "contradicted"
    assert adjust_over_table(cell, 2)["a"].decided.outcome == "inconclusive"
    # More p-values than numbers that could be contradicted beforehand: each one counts.
    assert adjust_over_table(cell, 0)["a"].decided.outcome == "contradicted"


def test_the_family_is_every_number_that_could_be_contradicted() -> None:
    """A margin of 9 is under two floors of 4.615; the mean's floor is smaller by sqrt(2)."""
    mean = sentence("mean", published="mean", of=BOTH, margin={"value": "9", "origin": "x"})
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, margin="9", more=[mean])
    datasets = {"mmlu": records.dataset()}
    claimed = records.manifest(**data)
    assert set(undecidable(claimed, "full", datasets)) == set(BOTH)
    assert undecidable(claimed, "smoke", datasets) == {}
    assert family(claimed, datasets) == 1
    data["claims"][0]["margin"]["value"] = "9.3"
    assert family(records.manifest(**data), datasets) == 2
    jobs = records.manifest_data()["jobs"]
    del jobs[0]["tiers"]["full"]
    assert family(records.manifest(**data, jobs=jobs), datasets) == 0


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
