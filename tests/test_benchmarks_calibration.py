"""The simulation behind the error rates, and the rules of others. Oracles: sums done by hand,
questions flipped one by one, and textbook formulas of the normal and Student distributions."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from benchmarks import calibration, flip_process, peer_rules
from benchmarks.decision_trials import (
    FLOOR,
    UNDECIDABLE,
    Case,
    H,
    Share,
    decided,
    draw,
    half_distance,
    standing,
)
from benchmarks.flip_process import QUESTIONS, RIGHT, Counts, Process, steady
from benchmarks.scenarios import TABLE_1, off_by, on_the_margin
from verify.judge import adjust_over_table
from verify.outcome import JudgedClaim, RuleDecision
from verify.records import answers

ROOT = Path(__file__).parents[1]


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# -----------------------------------------------------------------------------
# The process


def one_by_one(flips: float, count: int, generator: np.random.Generator) -> Counts:
    """Right answers of `count` evaluations, each question flipped or not by itself."""
    right = np.arange(QUESTIONS) < RIGHT
    chance = np.where(right, flips / 2 / RIGHT, flips / 2 / (QUESTIONS - RIGHT))
    flipped = generator.random((count, QUESTIONS)) < chance
    return np.asarray((right ^ flipped).sum(axis=1))


def test_flips_are_those_of_questions_one_by_one() -> None:
    fast = flip_process.evaluations(steady(0, 144), 2000, 1, rng()).ravel()
    slow = one_by_one(144, 1000, rng())
    assert fast.mean() == pytest.approx(RIGHT, abs=4 * 12 / math.sqrt(fast.size))
    assert slow.mean() == pytest.approx(RIGHT, abs=4 * 12 / math.sqrt(slow.size))
    assert fast.var() == pytest.approx(144, rel=0.06)  # as many as flip: coin tosses
    assert slow.var() == pytest.approx(144, rel=0.2)


def test_a_divergence_is_the_verifiers() -> None:
    right = flip_process.evaluations(steady(0.2, 400), 50, 3, rng())
    for one, found in zip(
        right.reshape(-1, 2, 4), flip_process.divergences(right).ravel(), strict=True
    ):
        reference, candidate = (one / QUESTIONS).tolist()
        assert found == pytest.approx(answers.divergence(reference, candidate), abs=1e-9)


@pytest.mark.parametrize(
    ("candidate", "text"),
    [
        # 3791/14042 is printed as 0.2700, 3794 as 0.2702, 3801 as 0.2707
        ((3801, 3801, 3801, 3801), "0.07"),
        ((3794, 3791, 3791, 3791), "0.00"),  # 2 / 4 of a hundredth, half to even
        ((3794, 3794, 3794, 3791), "0.02"),  # 6 / 4, half to even
        ((3781, 3801, 3801, 3801), "0.07"),  # 0.2693: as far below as above
    ],
)
def test_a_value_is_printed_from_rounded_accuracies(
    candidate: tuple[int, int, int, int], text: str
) -> None:
    assert flip_process.printed(np.array([[[3791] * 4, candidate]])) == [text]


def test_rounding_is_never_more_than_h() -> None:
    right = flip_process.evaluations(steady(0.1, 900), 5000, 1, rng())[:, 0]
    off = np.abs(np.array(flip_process.printed(right), float) - flip_process.divergences(right))
    assert off.max() <= H
    assert off.max() > 0.005  # more than half a unit: the inputs were rounded too


def test_the_flips_of_the_dtype_are_the_same_under_every_setting() -> None:
    process = replace(steady(0, 0), dtype_flips=1404.0)
    found = flip_process.divergences(flip_process.evaluations(process, 200, 3, rng()))
    assert (found == found[:, :1]).all()
    assert len(set(found[:, 0])) > 100
    with pytest.raises(ValueError, match="dtype_flips 0, found 1404"):
        flip_process.moments(process, 10, rng())


def test_a_rare_setting_is_rare_and_off() -> None:
    process = replace(steady(0.3, 0), rare=0.1, rare_shift=0.5)
    found = flip_process.divergences(flip_process.evaluations(process, 4000, 1, rng()))
    assert set(np.round(found, 2).ravel()) == {0.3, 0.8}
    assert (found > 0.5).mean() == pytest.approx(0.1, abs=4 * 0.3 / math.sqrt(4000))


def test_whole_answers_keep_the_mean() -> None:
    assert flip_process.answers(np.full(4, 0.045)).tolist() == [6, 7, 6, 6]  # 6.32 each


def test_moments_are_those_of_normal_theory() -> None:
    """Folded only where nothing is shifted: mean of |N(0, sd)| is sd sqrt(2 / pi)."""
    sd = math.sqrt(2 * 144) * 100 / QUESTIONS
    mean, s = flip_process.moments(steady(0.6, 144), 40_000, rng())
    assert (mean, s) == pytest.approx((0.6, sd / 2), rel=0.02)
    mean, s = flip_process.moments(steady(0, 144), 40_000, rng())
    folded = sd * math.sqrt(2 / math.pi), sd * math.sqrt(1 - 2 / math.pi) / 2
    assert (mean, s) == pytest.approx(folded, rel=0.02)
    assert flip_process.moments(steady(0.6, 9), 40_000, rng())[1] == pytest.approx(FLOOR, rel=0.02)


# -----------------------------------------------------------------------------
# Trials


def test_margins_are_those_of_the_manifest() -> None:
    manifest = json.loads((ROOT / "manifests/table1.json").read_text())
    texts = {each["id"]: each["text"] for each in manifest["published"]}
    cells = [each for each in manifest["claims"] if each["kind"] == "cell"]
    assert sorted(texts[each["published"]] for each in cells) == sorted(TABLE_1)
    for each in cells:
        text = texts[each["published"]]
        assert float(half_distance(text)) == float(each["margin"]["value"]), text


def test_a_trial_is_the_same_whenever_it_is_drawn() -> None:
    case = Case("any", steady(0.3, 100))
    (one, texts), (other, again) = draw(case, 30), draw(case, 30)
    assert (one == other).all()
    assert texts == again
    assert one.shape == (30, 5, 2, 4)


def test_reproduced_is_as_often_as_student_and_normal_say() -> None:
    """|Z| sqrt(1.2) + h/s + t95 S / sqrt(5) <= 3 and 2 S <= 3, with 4 S^2 chi-squared at 4."""
    t, s = stats.t.ppf(0.95, 4), math.sqrt(2 * 144) * 50 / QUESTIONS

    def density(root: float) -> float:
        room = 3 - H / s - t * root / 2 / math.sqrt(5)
        return float(stats.chi.pdf(root, 4) * (2 * stats.norm.cdf(room / math.sqrt(1.2)) - 1))

    expected = integrate.quad(density, 0, 3)[0]
    outcomes, _ = decided(off_by("", steady(0.6, 144), 5, s, 0), 4000)
    assert expected == pytest.approx(0.852, abs=0.002)
    assert (outcomes == "reproduced").mean() == pytest.approx(expected, abs=0.025)
    assert (outcomes == UNDECIDABLE).mean() == pytest.approx(stats.chi2.sf(9, 4), abs=0.015)


def test_a_mean_at_the_margin_before_rounding_is_reproduced_once_in_twenty() -> None:
    case = on_the_margin("", steady(0.6, 144), "0.42", 5, H, 0.6)
    outcomes, _ = decided(case, 4000)
    assert (outcomes == "reproduced").mean() == pytest.approx(0.05, abs=0.015)


def test_holm_over_a_table_is_the_verifiers() -> None:
    outcomes = np.array(["contradicted"] * 3 + ["inconclusive", "reproduced"])
    p_values = np.array([0.004, 0.013, 0.02, 1.0, 1.0])

    def judged(outcome: Any, p: float) -> JudgedClaim:
        return JudgedClaim(RuleDecision(outcome, "1", "1", "± 1", ""), "", [], p)

    table = {str(i): judged(*each) for i, each in enumerate(zip(outcomes, p_values, strict=True))}
    kept = [each.decided.outcome == "contradicted" for each in adjust_over_table(table, 5).values()]
    assert standing(outcomes, p_values).tolist() == kept == [True, False, False, False, False]


def test_a_share_is_held_against_a_goal() -> None:
    nothing = Share(0, 100)  # Wilson: 0 to z^2 / (n + z^2)
    assert nothing.interval() == pytest.approx((0, 1.96**2 / (100 + 1.96**2)))
    assert nothing.against(0.05, at_most=True).endswith("holds")
    assert nothing.against(0.9, at_most=False).endswith("**missed**")
    assert Share(5, 100).against(0.05, at_most=True).endswith("at the bound")
    assert Share(50, 100).interval() == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_the_report_has_every_row() -> None:
    lines = list(calibration.report(24, map))
    assert lines.count("") == 4
    rows = [line.split(" | ") for line in lines if line.startswith("| ")]
    assert len(rows) == (1 + 11) + (1 + 13) + (1 + 8) + (1 + 6)
    assert len({tuple(row) for row in rows}) == len(rows)


# -----------------------------------------------------------------------------
# The rules of others


def agrees(rule: Any, runs: list[float], printed: float) -> bool:
    """One replicate; both arms at the nominal accuracy of 27 %."""
    right = np.full((1, len(runs), 2, 4), RIGHT)
    found = rule(np.array([runs]), np.array([printed]), right)
    assert found.shape == (1,)
    return bool(found[0])


@pytest.mark.parametrize(
    ("rule", "runs", "agreeing", "differing"),
    [
        (peer_rules.one_percent, [1.0, 9.0], 1.01, 1.02),
        (peer_rules.one_point, [1.3, 9.0], 0.3, 0.29),
        (peer_rules.same_digits, [0.304, 9.0], 0.30, 0.31),
        # stderr 0.3747 of an accuracy, 0.5299 of a difference, 0.2649 of a mean over four,
        # 0.3747 of the difference of two such: times 1.96 is 0.734
        (peer_rules.unpaired_z, [0.80, 9.0], 0.07, 0.06),
        # mean 0.3, s 0.1581, s sqrt(1.2) 0.1732, t 2.132 at 4 degrees of freedom: 0.369
        (peer_rules.reference_t, [0.1, 0.2, 0.3, 0.4, 0.5], -0.06, -0.07),
        # mean 0.2, s 0.1, t 4.303 at 2 degrees of freedom, sqrt(4/3): 0.497
        (peer_rules.prediction_interval, [0.1, 0.2, 0.3, 9.0, 9.0], 0.69, 0.70),
        (peer_rules.prediction_interval, [0.1, 0.2, 0.3, 9.0, 9.0], -0.29, -0.30),
    ],
)
def test_a_rule_of_others(rule: Any, runs: list[float], agreeing: float, differing: float) -> None:
    assert agrees(rule, runs, agreeing)
    assert not agrees(rule, runs, differing)


def test_a_one_sided_rule_takes_any_smaller_divergence() -> None:
    assert agrees(peer_rules.reference_t, [0.1, 0.2, 0.3, 0.4, 0.5], 50.0)


def test_settings_without_spread_agree_only_with_themselves() -> None:
    for rule in (peer_rules.reference_t, peer_rules.prediction_interval):
        assert agrees(rule, [0.5, 0.5, 0.5], 0.5)
        assert not agrees(rule, [0.5, 0.5, 0.5], 0.4)


def test_a_process_without_noise_is_the_printed_value() -> None:
    ours, texts = draw(Case("", Process(shift=(0.6, 0.6, 0.6, 0.6))), 3)
    assert texts == ["0.60"] * 3
    assert flip_process.divergences(ours) == pytest.approx(0.6, abs=0.002)
