"""Claims about the improvement with shots.

Benchmarks have 100 questions and the first ones are right, so AIPSS follows from counts. The
statistics of relations and of ratios are stand-ins: seven numbers that we choose, with a floor of
1. Student's t at 6 degrees of freedom is 1.943 at 0.95, 2.447 at 0.975.

What the rules say stands under `by_rule`: what is judged is open, whatever they say.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import made_up_tuning as tuned
import numpy as np
import pytest
from made_up_records import codes, interval, numbers, pointing, said
from tuned_worlds import LEFT_OPEN, by_rule, it

from repro.report.numbers import bars_of
from repro.schema.causes import BARS, cause, say
from repro.schema.finding import Finding
from repro.schema.tuned_slots import TunedModel
from verify import decision_rule
from verify.decidable import family, undecidable
from verify.evidence import Evidence
from verify.judge import judge
from verify.rules import improvement, improvement_values
from verify.rules.improvement import (
    RELATIONS,
    all_of,
    at_least,
    decide_sentence,
    in_groups,
    is_positive,
    negated,
    none_of,
)
from verify.rules.improvement_values import Series, decide_ratio, mean_of, ratios

MODELS = ("mamba-1", "mamba-2")
ARM = "lora-all.bfloat16"


def gaining(gains: dict[str, float], start: int = 40) -> tuned.Right:
    """From 40 right answers of 100 so many are gained with each shot, by checkpoint and arm."""

    def right(checkpoint: str, arm: str, setting: int, task: str, shots: int) -> int:
        del setting, task
        return round(start + shots * gains[f"{checkpoint} {arm}"])

    return right


def world(root: Path, claims: list[dict[str, Any]], right: tuned.Right, **texts: str) -> Evidence:
    group = tuned.group(MODELS, (ARM,), tuned.TASKS)
    return tuned.run(root, tuned.manifest([group], claims, **texts), right)


# -----------------------------------------------------------------------------
# AIPSS


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Tuned models gain 8 and 4 answers a shot, untuned ones 2 and 4, all from 40."""
    claims = [
        {**ratio(average=average), "id": text, "published": text}
        for average, text in (
            ("mean-first", "200"),
            ("mean-first", "500"),
            ("mean-first", "285"),
            ("ratio-first", "250"),
        )
    ]
    claims += [{**ratio("points"), "id": "points", "published": "200"}]
    gains = {f"{name} {ARM}": gain for name, gain in zip(MODELS, (8.0, 4.0), strict=True)}
    gains |= {f"{name} pretrained": gain for name, gain in zip(MODELS, (2.0, 4.0), strict=True)}
    texts = {text: text for text in ("200", "500", "285", "250")}
    return world(tmp_path_factory.mktemp("usual"), claims, gaining(gains), **texts)


@pytest.fixture(scope="module")
def findings(usual: Evidence) -> dict[str, Finding]:
    return by_rule(usual)


def untuned(evidence: Evidence) -> improvement_values.MeasuredModel:
    named = [TunedModel("mamba-1", "pretrained")]
    return improvement_values.models(evidence.manifest, evidence, named).models[0]


def test_aipss_by_hand(usual: Evidence) -> None:
    """42, 46 and 50 of 100 after 40: gains of 2, 6 and 10 points, 6 on average, 15 % of 40."""
    model = untuned(usual)
    assert (len(model.rows), model.name) == (7, "mamba-1 pretrained")
    assert model.improvement((1, 3, 5), "points").values == pytest.approx([6.0] * 7)
    assert model.improvement((1, 3, 5), "relative").values == pytest.approx([15.0] * 7)
    assert model.improvement((5,), "relative").values == pytest.approx([25.0] * 7)
    assert model.score(0).values == pytest.approx([40.0] * 7)
    assert model.score(3).values == pytest.approx([46.0] * 7)


def test_floors_by_hand(usual: Evidence) -> None:
    """An evaluation three answers off is 3 points off. Points: of five tasks each has three
    evaluations of weight 1/15 and one of weight 1/5: 3 sqrt(5 (3/225 + 1/25)). Relative: each
    weight over 0.4, that without shots times s_k / s_0."""
    model = untuned(usual)
    points = 3 * math.sqrt(5 * (3 / 225 + 1 / 25))
    assert model.improvement((1, 3, 5), "points").floor == pytest.approx(points)
    ratios = 42 / 40 + 46 / 40 + 50 / 40
    relative = 3 / 0.4 * math.sqrt(5 * (3 + ratios**2) / 225)
    assert model.improvement((1, 3, 5), "relative").floor == pytest.approx(relative)
    assert model.score(3).floor == pytest.approx(3 / math.sqrt(5))


def test_sampling_error_by_hand(usual: Evidence) -> None:
    """Points at 5 shots alone: ten questions of 100 are won, none lost, in each of five tasks."""
    error = 100 * math.sqrt(0.1 * 0.9 / 100) / math.sqrt(5)
    assert untuned(usual).sampling((5,), "points").values == pytest.approx([error] * 7)


def test_sampling_error_over_several_shots_by_hand(usual: Evidence) -> None:
    """Points: of 100 questions 2 are won at three shot counts, 4 at two and 4 at one, each 100 / 15
    points in one of five tasks. Relative, 50 of 100 after 40: 40 questions lose 50 (1 - 1.25), ten
    gain 50, so that their mean is 0."""
    points = 100 / 15 * math.sqrt((2 * 9 + 4 * 4 + 4) / 100 - 0.18**2) / 10 * math.sqrt(5)
    found = untuned(usual).sampling((1, 3, 5), "points")
    assert (found.values, found.floor) == (pytest.approx([points] * 7), 0.0)
    relative = math.sqrt((40 * 12.5**2 + 10 * 50**2) / 100) / 10 * math.sqrt(5)
    assert untuned(usual).sampling((5,), "relative").values == pytest.approx([relative] * 7)


def test_the_floor_is_the_largest_of_any_setting(usual: Evidence) -> None:
    """Of two settings in which scores rise by much and by little."""
    named = [TunedModel("mamba-1", arm) for arm in (ARM, "pretrained")]
    much, little = improvement_values.models(usual.manifest, usual, named).models
    both = improvement_values.MeasuredModel("both", (little.rows[0], much.rows[0]))
    floors = [each.improvement((1, 3, 5), "relative").floor for each in (little, both, much)]
    assert floors[0] < floors[1] == floors[2]


def test_what_another_machine_adds_by_hand(usual: Evidence) -> None:
    """Two kernels that agree leave 3.00 changes of the largest term: a question right with all
    three counts of shots adds 100 / (5 x 3 x 0.4) x 3 / 100 = 0.5 %, one right at 5 shots alone a
    third of it; in points 0.2; of a score 100 / 5 / 100 = 0.2."""
    model, upper = untuned(usual), decision_rule.most_likely_changes(0)
    assert upper == pytest.approx(3.0, abs=5e-3)
    assert model.improvement((1, 3, 5), "relative").machine == pytest.approx(upper * 0.5**2 / 2)
    assert model.improvement((1, 3, 5), "points").machine == pytest.approx(upper * 0.2**2 / 2)
    assert model.improvement((5,), "points").machine == pytest.approx(upper * 0.2**2 / 2)
    assert model.score(3).machine == pytest.approx(upper * 0.2**2 / 2)
    assert model.sampling((5,), "points").machine == 0.0


def test_what_another_kernel_changes_by_hand(tmp_path: Path) -> None:
    """Under the other kernel two of 100 questions of each benchmark are right more at 5 shots: ten
    changes of 0.2 points, of which 16.96 are the upper limit. No other pair of settings counts."""

    def right(_: str, __: str, setting: int, ___: str, shots: int) -> int:
        other = tuned.SETTINGS[setting] in tuned.OTHER_KERNEL
        return 40 + 2 * other * (shots == 5) + 9 * (setting == 5) * (shots == 1)

    evidence = world(tmp_path, [ratio()], right, number="100")
    model = untuned(evidence)
    upper = decision_rule.most_likely_changes(10)
    assert upper == pytest.approx(16.96, abs=5e-3)
    assert model.improvement((5,), "points").machine == pytest.approx(upper * 0.2**2 / 2)
    assert model.score(5).machine == pytest.approx(upper * 0.2**2 / 2)
    alone = improvement_values.MeasuredModel("one kernel", model.rows[:5])
    assert alone.improvement((5,), "points").machine == math.inf
    assert alone.score(5).machine == math.inf


def test_differences_have_the_floors_and_the_machines_of_both_sides() -> None:
    """3 and 4 of independent evaluations make 5; so do variances, of twice it 4 times as much."""
    left, right = Series((5.0, 1.0), 3.0, 1.0), Series((2.0, 2.0), 4.0, 2.0)
    assert left - right == Series((3.0, -1.0), 5.0, 3.0)
    assert left.less(2, right) == Series((1.0, -3.0), math.hypot(3, 8), 9.0)
    # Nothing of what is not known is nothing.
    unknown = Series((2.0, 2.0), 4.0, math.inf)
    assert left.less(0.0, unknown) == Series((5.0, 1.0), 3.0, 1.0)
    assert (left - unknown).machine == math.inf
    assert left.sample.machine == 1.0
    assert left.sample.spread == 3.0


# -----------------------------------------------------------------------------
# Ratios


def ratio(unit: str = "relative", average: str = "mean-first", margin: str = "100") -> Any:
    sides = {
        side: [{"checkpoint": name, "arm": arm} for name in MODELS]
        for side, arm in (("left", ARM), ("right", "pretrained"))
    }
    measure = {"kind": "improvement-ratio", **sides, "unit": unit, "average": average}
    return tuned.cell(measure, margin)


def rest(gains: dict[str, float]) -> dict[str, float]:
    """Every other model gains 4 answers a shot."""
    names = [f"{name} {arm}" for name in MODELS for arm in (ARM, "pretrained")]
    return {name: gains.get(name, 4.0) for name in names}


def found_of(evidence: Evidence, name: str) -> Finding:
    return by_rule(evidence)[name]


@pytest.mark.parametrize(
    ("printed", "outcome"),
    [("200", "reproduced"), ("500", "contradicted"), ("285", "inconclusive")],
)
def test_a_printed_ratio(findings: dict[str, Finding], printed: str, outcome: str) -> None:
    """60 % and 30 % over 15 % and 30 %.

    Floors by the formula above: 5.70 and 4.77, 4.32 and 4.77; their means have 3.72 and 3.22. Less
    2.995 times the right side the left one is -22.4, and another draw within 21.6 on one side. Less
    4.995 times it is -67.4 and the error 17.7; less 2.845 times it -19.0."""
    found = findings[printed]
    assert (found.outcome, found.published, found.margin) == (outcome, printed, "± 100")
    assert found.measured == "200 (7 settings: 200 to 200)"
    # 48, 64 and 80 of 100 after 40: of 3 - 4.8, 3, 2 and 1 the mean is 0 and the square 2.816.
    error = 100 / (15 * 0.4) * math.sqrt(2.816) / 10 * math.sqrt(5)
    one = "mamba-1 lora-all.bfloat16"
    expected = {
        f"improvement of {one}": 60,
        f"standard error over questions, {one}": error,
        f"at 1 shots, {one}": 20,
        f"at 3 shots, {one}": 60,
        f"at 5 shots, {one}": 100,
        f"in points, {one}": 24,
        f"by acc alone, {one}": 60,
    }
    every = numbers(found)
    assert {name: each for name, each in every.items() if one in name} == pytest.approx(expected)
    assert every["ratio by acc of all five benchmarks"] == pytest.approx(200)
    others = {"200": 0, "285": 1, "500": 1}[printed]
    assert said(found, "other-values-accepted") == {"accepted": others, "others": 2}
    assert interval(found, "measured") == (None, None)  # a ratio may have none


def test_means_of_ratios_and_ratios_of_means(findings: dict[str, Finding]) -> None:
    """(60 / 15 + 30 / 30) / 2 is 250 %, 90 / 45 is 200 %."""
    assert findings["250"].measured.startswith("250 (7 settings")
    assert findings["points"].measured.startswith("200 (7 settings")
    assert (findings["250"].outcome, codes(findings["250"])) == ("inconclusive", ["mean-of-ratios"])
    assert findings["250"].direction == cause("mean-within-margin")


def test_judged_ratios_are_open_and_point(usual: Evidence) -> None:
    found = {each.claim: each for each in judge(usual.manifest, usual, {}).findings}
    assert {each.outcome for each in found.values()} == {"inconclusive"}
    assert {codes(each)[0] for each in found.values()} == {"open-factors"}
    assert said(found["200"], "open-factors") == LEFT_OPEN
    assert pointing(found["200"]) == "points-to reproduced"
    assert pointing(found["500"]) == "mean-below-printed"


def test_points_and_percent_differ_where_models_start_apart(tmp_path: Path) -> None:
    """Both gain 4 a shot; the tuned ones start from 40, the others from 20."""

    def right(_: str, arm: str, setting: int, task: str, shots: int) -> int:
        del setting, task
        return (40 if arm == ARM else 20) + 4 * shots

    claims = [{**ratio(unit), "id": unit} for unit in ("points", "relative")]
    evidence = world(tmp_path, claims, right, number="100")
    assert found_of(evidence, "points").measured.startswith("100 ")
    assert found_of(evidence, "relative").measured.startswith("50 ")


def test_ratios_and_means_by_hand() -> None:
    """30 over 15 and 10 over -20 are 200 and -50 %; means of floors 3 and 6, of variances 1, 2."""
    left = [Series((30.0, 30.0), 3.0, 1.0), Series((10.0, 10.0), 6.0, 2.0)]
    right = [Series((15.0, 15.0), 4.0, 1.0), Series((-20.0, -20.0), 8.0, 1.0)]
    assert ratios(left, right) == [75.0, 75.0]
    assert mean_of(left) == Series((20.0, 20.0), math.hypot(3, 6) / 2, 3 / 4)
    three = mean_of([*left, Series((2.0, 5.0), 6.0, 6.0)])
    assert three == Series((14.0, 15.0), 3.0, 1.0)
    nothing = Series((15.0, 0.0), 4.0, 1.0)
    assert [math.isnan(each) for each in ratios(left[:1], [nothing])] == [False, True]


def over(
    left: float, right: float = 15.0, published: str = "200", margin: str = "100", **more: float
) -> Any:
    """What is decided of one series over another, with floors of 1 and no share of a machine."""
    machine = more.get("machine", 0.0)
    sides = [Series((each,) * 7, 1.0, machine) for each in (left, right)]
    return decide_ratio(([sides[0]], [sides[1]]), ratios(sides[:1], sides[1:]), published, margin)


@pytest.mark.parametrize(
    ("left", "outcome", "contradicted"),
    [
        # Less 2.005 times 15: 2.447 sqrt(1 + 2.005^2) sqrt(8 / 7) = 5.86 beyond 30.08 is 35.94.
        (38.4, "inconclusive", True),
        (35.90, "reproduced", False),
        (35.97, "reproduced", True),
        # Less 2.995 times 15, 44.93: 1.943 sqrt(1 + 2.995^2) sqrt(8 / 7) = 6.56 below is 38.37.
        (38.3, "reproduced", True),
        # Less 1.005 times 15, 15.08: 2.95 above is 18.02.
        (18.1, "reproduced", True),
        (17.9, "inconclusive", True),
        # Less 1.995 times 15, 29.93: 5.84 below is 24.09.
        (24.05, "reproduced", True),
        (24.15, "reproduced", False),
        (30.0, "reproduced", False),
    ],
)
def test_a_ratio_is_decided_without_dividing(
    left: float, outcome: str, *, contradicted: bool
) -> None:
    found = over(left)
    assert (found.outcome, found.reason) == (
        outcome,
        say(cause("ratio-within" if outcome == "reproduced" else "ratio-open", margin="100")),
    )
    assert (found.test.p_value() < 0.05) == contradicted


def test_within_rounding_a_ratio_is_not_off() -> None:
    """199.5 to 200.5 % of 15 are 29.925 to 30.075."""
    assert [over(each).test.off for each in (29.93, 30.0, 30.07)] == [0.0] * 3
    assert over(30.08).test.off == pytest.approx(0.005)
    assert over(29.92).test.off == pytest.approx(-0.005)
    assert over(30.0).test.deviation == 0.0
    assert over(30.0).test.p_value() == 1.0


def test_a_setting_that_is_off_guards_its_own_ratio() -> None:
    """One of seven lies 7 above: 36 of mean 31 are median 30; the ratio's distance to it counts."""
    left, right = Series((30.0,) * 6 + (37.0,), 1.0, 0.0), Series((15.0,) * 7, 1.0, 0.0)
    test = decide_ratio(([left], [right]), ratios([left], [right]), "200", "100").test
    assert test is not None
    assert test.rounding == pytest.approx(7.0)
    assert test.off == pytest.approx(31 - 30.075)


def test_another_machine_widens_a_ratio() -> None:
    """Variances of 1 each make V at 2.995 twice 1 + 2.995^2 more: 22.1 to 22.9 left of 44.9."""
    assert over(38.3, machine=1.0).outcome == "inconclusive"
    found = over(30.0, machine=math.inf)
    assert (found.outcome, found.why.code, found.test) == (
        "inconclusive",
        "divisor-without-ends",
        None,
    )
    assert found.direction == cause("mean-within-margin")


@pytest.mark.parametrize(("margin", "code"), [("0.5", "ratio-open"), ("100", "ratio-within")])
def test_a_margin_within_rounding_reproduces_no_ratio(margin: str, code: str) -> None:
    """Without any spread a ratio at its printed value lies at both ends of an empty margin."""
    sides = [Series((each,) * 7, 0.0, 0.0) for each in (30.0, 15.0)]
    found = decide_ratio(([sides[0]], [sides[1]]), [200.0] * 7, "200", margin)
    assert found.why.code == code


@pytest.mark.parametrize(
    ("divisor", "code"),
    [
        (2.62, "ratio-open"),  # another draw of seven with a floor of 1 lies within 2.616
        (2.61, "divided-by-zero"),
        (-15.0, "divided-by-zero"),
    ],
)
def test_what_is_divided_by_is_surely_above_nothing(divisor: float, code: str) -> None:
    found = over(90.0, divisor)
    assert found.why.code == code
    assert (found.test is None) == (code == "divided-by-zero")
    if found.test is None:
        low, high = found.why.values["low"], found.why.values["high"]
        assert (low, high) == pytest.approx((divisor - 2.6159, divisor + 2.6159), abs=1e-3)
        assert (found.outcome, found.power, found.noticed) == ("inconclusive", 0.0, math.inf)


def test_nothing_at_all_divides_nothing() -> None:
    """Without any spread, too."""
    sides = [Series((each,) * 7, 0.0, 0.0) for each in (9.0, 0.0)]
    found = decide_ratio(([sides[0]], [sides[1]]), ratios(sides[:1], sides[1:]), "200", "100")
    assert found.why == cause("divided-by-zero", low=0.0, high=0.0)
    assert found.direction is None


def test_one_setting_is_no_ratio_and_two_are() -> None:
    for count, code in ((1, "too-few-draws"), (2, "ratio-within")):
        sides = [Series((each,) * count, 1e-6, 0.0) for each in (30.0, 15.0)]
        found = decide_ratio(([sides[0]], [sides[1]]), ratios(sides[:1], sides[1:]), "200", "100")
        assert found.why.code == code
        assert found.direction == cause("mean-within-margin")


def test_means_of_ratios_decide_nothing() -> None:
    sides = [[Series((each,) * 7, 1e-6, 0.0)] * 2 for each in (30.0, 15.0)]
    found = decide_ratio((sides[0], sides[1]), [200.0] * 7, "200", "100")
    assert (found.outcome, found.why, found.test) == ("inconclusive", cause("mean-of-ratios"), None)


def test_a_ratio_over_nothing_is_inconclusive(tmp_path: Path) -> None:
    """Two models that gain an answer at 5 shots are no divisor; where one of them gains 12 a shot,
    their mean is."""
    claims = [ratio()]
    little = dict.fromkeys(("mamba-1 pretrained", "mamba-2 pretrained"), 0.2)
    found = found_of(world(tmp_path / "0", claims, gaining(rest(little)), number="9000"), "it")
    assert found.outcome == "inconclusive"
    assert "divided-by-zero" in codes(found)
    more = {**little, "mamba-2 pretrained": 12.0}
    found = found_of(world(tmp_path / "1", claims, gaining(rest(more)), number="9000"), "it")
    assert found.outcome == "contradicted"


def test_no_right_answer_without_examples_is_no_ratio(tmp_path: Path) -> None:
    found = found_of(world(tmp_path, [ratio()], lambda *a: 9 * a[-1], number="100"), "it")
    assert found.outcome == "inconclusive"
    assert codes(found) == ["divisor-without-ends"]


def test_no_run_could_decide_ratios_and_sentences() -> None:
    """What the paper leaves open is not varied. So none is of the family."""
    claims = [ratio(), {**sentence("rising"), "id": "rising"}]
    group = tuned.group(MODELS, (ARM,), tuned.TASKS)
    claimed = tuned.manifest([group], claims, number="200")
    assert set(undecidable(claimed, "full", tuned.datasets())) == {"it", "rising"}
    assert family(claimed) == 0


# -----------------------------------------------------------------------------
# Formulas

SURE, OPEN, NOT = (True, True), (False, True), (False, False)


def test_what_may_be_nothing_is_not_surely_positive() -> None:
    assert is_positive((0.25, 0.5)) == SURE
    assert is_positive((0.0, 0.25)) == OPEN
    assert is_positive((-0.5, 0.0)) == NOT


def test_formulas_of_what_is_not_known() -> None:
    assert negated(OPEN) == OPEN
    assert negated(SURE) == NOT
    assert all_of([SURE, OPEN]) == OPEN
    assert all_of([OPEN, NOT]) == NOT
    assert none_of([NOT, NOT]) == SURE
    assert none_of([NOT, SURE]) == NOT
    assert at_least(2)([SURE, OPEN, NOT]) == OPEN
    assert at_least(1)([SURE, OPEN, NOT]) == SURE
    assert at_least(3)([SURE, OPEN, NOT]) == NOT
    groups = in_groups(2, all_of, at_least(1))
    assert groups([SURE, NOT, SURE, SURE]) == SURE
    assert groups([SURE, NOT, OPEN, SURE]) == OPEN


# -----------------------------------------------------------------------------
# Relations

LARGE = 30.0
"""Far beyond the intervals of a statistic with a floor of 1, however many share them."""


@dataclass(frozen=True)
class Stand:
    """A model whose numbers are given: AIPSS at each shot count, and scores."""

    gains: tuple[float, float, float]
    scores: tuple[float, float, float, float] = (0, 0, 0, 0)
    error: float = 0.0
    floor: float = 1.0
    machine: float = 0.0

    def improvement(self, shots: Sequence[int], unit: str) -> Series:
        assert unit == "relative"
        chosen = [self.gains[(1, 3, 5).index(k)] for k in shots]
        return Series((sum(chosen) / len(chosen),) * 7, self.floor, self.machine)

    def sampling(self, shots: Sequence[int], unit: str) -> Series:
        assert (tuple(shots), unit) == ((1, 3, 5), "relative")
        return Series((self.error,) * 7, 0.0, 0.0)

    def score(self, shots: int) -> Series:
        return _series(self.scores[(0, 1, 3, 5).index(shots)])


def _series(value: float) -> Series:
    return Series((value,) * 7, 1.0, 0.0)


def flat(value: float) -> Stand:
    return Stand((value,) * 3)


UP, DOWN, LEVEL = flat(LARGE), flat(-LARGE), flat(0.0)
RISING = Stand((0, 0, 0), (0, 30, 60, 90))
FALLING = Stand((0, 0, 0), (0, 30, 0, 30))
STUCK = Stand((0, 0, 0), (0, 30, 30, 60))


@pytest.mark.parametrize(
    ("relation", "of", "others", "expected"),
    [
        ("none-positive", [DOWN, DOWN], [], "reproduced"),
        ("none-positive", [DOWN, UP], [], "contradicted"),
        ("none-positive", [DOWN, LEVEL], [], "inconclusive"),
        ("none-positive", [Stand((LARGE,) * 3, error=LARGE)], [], "reproduced"),  # slight
        ("none-positive", [Stand((LARGE,) * 3, error=5.0)], [], "contradicted"),
        ("most-positive", [UP, UP, DOWN], [], "reproduced"),
        ("most-positive", [UP, UP, DOWN, DOWN], [], "contradicted"),  # half is not most
        ("most-positive", [UP, LEVEL, DOWN], [], "inconclusive"),
        ("all-positive", [UP, UP], [], "reproduced"),
        ("all-positive", [UP, DOWN], [], "contradicted"),
        ("all-positive", [UP, LEVEL], [], "inconclusive"),
        ("most-positive-throughout", [UP, UP, UP, DOWN], [], "reproduced"),
        ("most-positive-throughout", [UP, UP, DOWN, DOWN], [], "contradicted"),
        ("most-positive-throughout", [UP, UP, UP, DOWN, DOWN], [], "reproduced"),  # 3 of 5
        ("most-positive-throughout", [UP, UP, DOWN, DOWN, DOWN], [], "contradicted"),
        ("above-partner", [UP, UP, UP, DOWN, DOWN], [LEVEL] * 5, "reproduced"),
        ("most-positive", [UP, UP, UP, DOWN, DOWN], [], "reproduced"),
        ("most-positive-throughout", [UP, UP, UP, UP, DOWN], [], "reproduced"),
        ("most-positive-throughout", [UP, UP, LEVEL, DOWN], [], "inconclusive"),
        (  # three in four at every count, but no three throughout
            "most-positive-throughout",
            [UP, UP, Stand((LARGE, LARGE, -LARGE)), Stand((-LARGE, -LARGE, LARGE))],
            [],
            "contradicted",
        ),
        ("rising", [RISING, RISING], [], "reproduced"),
        ("rising", [RISING, FALLING], [], "contradicted"),
        ("rising", [RISING, STUCK], [], "inconclusive"),
        ("not-rising", [FALLING], [], "reproduced"),
        ("not-rising", [RISING], [], "contradicted"),
        ("not-rising", [STUCK], [], "inconclusive"),
        ("not-rising", [FALLING, RISING], [], "contradicted"),
        ("above-partner", [UP, UP, UP, DOWN], [LEVEL] * 4, "reproduced"),
        ("above-partner", [UP, UP, DOWN, DOWN], [LEVEL] * 4, "contradicted"),
        ("above-partner", [UP, UP, LEVEL, DOWN], [LEVEL] * 4, "inconclusive"),
        ("below-all", [DOWN, LEVEL], [UP, UP], "reproduced"),
        ("below-all", [DOWN, UP], [UP, LEVEL], "contradicted"),
        ("below-all", [DOWN, UP], [UP, UP], "inconclusive"),
        ("highest", [UP], [DOWN, LEVEL], "reproduced"),
        ("highest", [LEVEL], [DOWN, UP], "contradicted"),
        ("highest", [UP], [DOWN, UP], "inconclusive"),
        ("apart-highest", [UP], [LEVEL, LEVEL, DOWN], "reproduced"),
        ("apart-highest", [UP], [LEVEL, flat(-2 * LARGE)], "contradicted"),  # 30 against 60
        ("apart-highest", [UP], [LEVEL, DOWN], "inconclusive"),  # 30 against 30
        ("apart-highest", [LEVEL], [UP, UP], "contradicted"),
        ("apart-lowest", [DOWN], [LEVEL, LEVEL, UP], "reproduced"),
        ("apart-lowest", [DOWN], [LEVEL, flat(2 * LARGE)], "contradicted"),
        ("apart-lowest", [DOWN], [LEVEL, UP], "inconclusive"),
        ("not-monotone", [LEVEL, UP, LEVEL], [], "reproduced"),
        ("not-monotone", [DOWN, LEVEL, UP], [], "contradicted"),
        ("not-monotone", [UP, LEVEL, DOWN], [], "contradicted"),
        ("not-monotone", [DOWN, LEVEL, LEVEL], [], "inconclusive"),
    ],
)
def test_relations(relation: str, of: list[Any], others: list[Any], expected: str) -> None:
    sentence = RELATIONS[relation](of, others, (1, 3, 5))
    outcome, why, seen = decide_sentence(sentence)
    assert outcome == expected
    assert (why.code, why.values["total"]) == ("counted-conditions", len(sentence.conditions))
    if outcome != "inconclusive":
        assert seen == (outcome == "reproduced")


@pytest.mark.parametrize(("relation", "sign"), [("apart-highest", 1), ("apart-lowest", -1)])
def test_how_far_the_first_is_apart(relation: str, sign: int) -> None:
    """Gaps of 30 and 10: 20. Of floors 3 and, of the others, 2 at most, which counts twice for the
    second and once for the third: the root of 9, 16 and 4. So machines: 7 and five times 2."""
    one = Stand((sign * 40.0,) * 3, floor=3.0, machine=7.0)
    others = [
        Stand((sign * gain,) * 3, floor=floor, machine=floor)
        for gain, floor in ((0, 1), (10, 2), (-90, 1))
    ]
    sentence = RELATIONS[relation]([one], others, (1, 3, 5))  # type: ignore[list-item, arg-type]
    [gap] = sentence.conditions
    assert gap.values == (20.0,) * 7
    assert gap.floor == pytest.approx(math.sqrt(29))
    assert gap.machine == 17.0


def test_one_model_has_no_range() -> None:
    assert improvement._range([1.5]) == "+1.50"
    assert improvement._range([1.5, -2.0]) == "-2.00 to +1.50"


def test_every_relation_of_the_schema_has_a_rule() -> None:
    from repro.schema.tuned_claims import ImprovementClaim

    named = ImprovementClaim.model_fields["relation"].annotation
    assert set(RELATIONS) == set(named.__args__)  # type: ignore[union-attr]


def test_the_error_rate_is_shared_out() -> None:
    """t at 0.975 and 6 degrees of freedom is 2.447, so 1.0 is surely above 0 alone: its interval
    reaches 0.925. Among 4 (t 3.521 at 0.99375: 1.331) it is not."""
    alone = [flat(1.0)]
    assert decide_sentence(RELATIONS["all-positive"](alone, [], (1, 3, 5)))[0] == "reproduced"  # type: ignore[arg-type]
    four = [*alone, UP, UP, UP]
    assert decide_sentence(RELATIONS["all-positive"](four, [], (1, 3, 5)))[0] == "inconclusive"  # type: ignore[arg-type]


@pytest.mark.parametrize("relation", ["all-positive", "most-positive", "none-positive"])
def test_sentences_carry_the_machine(relation: str) -> None:
    """30 with a variance of 100 that another machine adds is beyond 2 x 10; with 400 it is not. By
    two of them together, of two: an error of 14 and 28."""
    for machine, sure in ((100.0, True), (400.0, False), (math.inf, False)):
        models = [Stand((LARGE,) * 3, machine=machine)]
        outcome = decide_sentence(RELATIONS[relation](models, [], (1, 3, 5)))[0]  # type: ignore[arg-type]
        drawn = machine < 200  # 30 is beyond 2 x 14.2 as well
        expected = "contradicted" if relation == "none-positive" else "reproduced"
        assert outcome == (expected if sure and drawn else "inconclusive")


def test_reasons_count_what_holds_and_what_does_not() -> None:
    """Three surely hold, one surely does not, for another draw too; two are open."""
    models = [UP, UP, UP, DOWN, LEVEL, LEVEL]
    assert decide_sentence(RELATIONS["all-positive"](models, [], (1, 3, 5))) == (  # type: ignore[arg-type]
        "contradicted",
        cause("counted-conditions", total=6, sure=3, never=1, never_drawn=1),
        False,
    )


def test_what_is_no_number_is_open() -> None:
    for relation in ("all-positive", "none-positive"):
        found = decide_sentence(RELATIONS[relation]([flat(math.nan)], [], (1, 3, 5)))  # type: ignore[list-item]
        assert found[0] == "inconclusive"


# -----------------------------------------------------------------------------
# Sentences, from records


def sentence(relation: str, arm: str = ARM, **fields: Any) -> dict[str, Any]:
    of = [{"checkpoint": name, "arm": arm} for name in MODELS]
    given = {"published": None, "of": of, "relation": relation, "others": [], "shots": [1, 3, 5]}
    return tuned.claim("improvement", **{**given, **fields})


def test_sentences_from_records(tmp_path: Path) -> None:
    """Tuned models gain 12 answers a shot, untuned ones lose 8."""
    claims = [
        {**sentence(relation, arm), "id": f"{relation}.{arm}"}
        for relation in ("all-positive", "none-positive", "rising", "not-rising")
        for arm in (ARM, "pretrained")
    ]
    gains = {
        f"{name} {arm}": 12.0 if arm == ARM else -8.0
        for name in MODELS
        for arm in (ARM, "pretrained")
    }
    evidence = world(tmp_path, claims, gaining(gains))
    found = by_rule(evidence)
    for relation in ("all-positive", "rising"):
        assert found[f"{relation}.{ARM}"].outcome == "reproduced"
        assert found[f"{relation}.pretrained"].outcome == "contradicted"
    for relation in ("none-positive", "not-rising"):
        assert found[f"{relation}.{ARM}"].outcome == "contradicted"
        assert found[f"{relation}.pretrained"].outcome == "reproduced"
    one = found[f"all-positive.{ARM}"]
    assert (one.published, one.measured) == ("all-positive", "AIPSS +90.00 to +90.00 %")
    assert one.margin == "order"
    assert pointing(one) == "points-to-relation all-positive"
    assert pointing(found["all-positive.pretrained"]) == "points-away-from all-positive"
    assert said(one, "every-gradient") == {"tunings": 14}
    assert said(found[f"none-positive.{ARM}"], "slight") == {"errors": 2}
    drawn = {each.label: each.value for each in bars_of(one)[BARS["improvement of "]]}
    assert drawn == pytest.approx({f"{name} {ARM}": 90 for name in MODELS})
    # 2 models, 5 tasks, 7 settings.
    assert len(one.records) == len(found["all-positive.pretrained"].records) == 2 * 5 * 7
    judged = {each.claim: each for each in judge(evidence.manifest, evidence, {}).findings}
    # And the 14 tunings; what is untuned rests on none.
    assert len(judged[one.claim].records) == 2 * 5 * 7 + 14
    assert len(judged["all-positive.pretrained"].records) == 2 * 5 * 7
    for name, each in judged.items():
        assert (each.outcome, codes(each)[0]) == ("inconclusive", "open-factors")
        assert pointing(each) == f"points-to {found[name].outcome}"
    assert said(judged[one.claim], "open-factors") == LEFT_OPEN
    # Of what was not tuned a recipe leaves nothing open; the evaluation stays so.
    untuned_alone = judged["all-positive.pretrained"]
    assert said(untuned_alone, "open-factors") == {"names": "evaluation in float32"}


def test_sentences_about_two_sides_from_records(tmp_path: Path) -> None:
    """Tuned models gain 12 answers a shot, untuned ones lose 8."""
    others = [{"checkpoint": name, "arm": "pretrained"} for name in MODELS]
    claims = [
        {**sentence(relation, others=others), "id": relation}
        for relation in ("above-partner", "below-all")
    ]
    gains = {f"{name} {ARM}": 12.0 for name in MODELS}
    gains |= {f"{name} pretrained": -8.0 for name in MODELS}
    evidence = world(tmp_path, claims, gaining(gains))
    above, below = (found_of(evidence, relation) for relation in ("above-partner", "below-all"))
    assert (above.outcome, below.outcome) == ("reproduced", "contradicted")
    assert above.measured == below.measured == "AIPSS +90.00 to +90.00 %"


def test_an_unmeasured_sentence_shows_what_it_says(tmp_path: Path) -> None:
    """A published value that it names is the size that it starts at."""
    group = tuned.group(MODELS, (ARM,), ("piqa",))
    claimed = tuned.manifest([group], [sentence("rising", published="size")], size="370")
    found = it(tuned.run(tmp_path, claimed, lambda *_: 40))
    assert (found.outcome, found.published, found.measured) == ("not-run", "rising", "—")


def test_normalised_accuracy_counts_where_the_paper_s_scores_have_it(tmp_path: Path) -> None:
    """HellaSwag and ARC-c by acc_norm, here right everywhere with shots, the rest by acc."""

    def normalise(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        if job.kind != "benchmark":
            return
        for shots in job.shots[1:]:
            gold = arrays[f"shots{shots}/gold"]
            predicted = arrays[f"shots{shots}/prediction"]
            lengths = np.full((100, tuned.choices_of(job.task)), 10)
            # -5 over 500 beats -1 over 10 wherever the prediction is wrong.
            wrong = predicted != gold
            lengths[wrong, gold[wrong]] = 500
            lengths[-1, 3:] = 0
            arrays[f"shots{shots}/characters"] = lengths
            arrays[f"shots{shots}/prediction_normalised"] = gold
        fields["values"] = tuned.values_of(job.task, arrays)

    group = tuned.group(MODELS, (ARM,), tuned.TASKS)
    claimed = tuned.manifest([group], [ratio()], number="100")
    evidence = tuned.run(tmp_path, claimed, lambda *_: 40, change=normalise)
    model = improvement_values.models(claimed, evidence, [TunedModel("mamba-1", ARM)]).models[0]
    # 60 points, 150 % of 40, in two of five benchmarks.
    assert model.improvement((1, 3, 5), "relative").values == pytest.approx([60.0] * 7)
    plain = model.improvement((1, 3, 5), "relative", plain=True)
    assert plain.values == pytest.approx([0.0] * 7)
    found = numbers(it(evidence))
    assert found[f"by acc alone, mamba-1 {ARM}"] == 0
    assert "ratio by acc of all five benchmarks" not in found  # 0 over 0
    # 100 in two of five benchmarks, 40 in the others.
    assert model.score(0).values == pytest.approx([40.0] * 7)
    assert model.score(3).values == pytest.approx([64.0] * 7)
