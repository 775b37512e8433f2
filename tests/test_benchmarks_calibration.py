"""The simulation behind the error rates, and the rules of others. Oracles: sums done by hand,
answers flipped one by one, the rule's formulas written anew, and textbook formulas."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks import calibration, peer_rules, stopping
from benchmarks.calibration import KINDS, asked_of, share, worlds
from benchmarks.machines import FLOOR, POINT, QUESTIONS, RIGHT, H, World, as_printed, draw
from verify.decision_rule import most_likely_changes
from verify.records import answers


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# -----------------------------------------------------------------------------
# Machines


def test_changes_are_those_of_questions_one_by_one() -> None:
    """Of c answers that change each is gained or lost: their net has variance c."""
    fast = np.array(
        [draw(World(144, settings=0), np.zeros(1), rng_, 0.0).theirs for rng_ in many()]
    )
    generator = rng()
    gained = generator.random((2_000, 144)) < 0.5
    slow = POINT * (2.0 * gained.sum(axis=1) - 144)
    for found in (fast.ravel(), slow):
        assert found.mean() == pytest.approx(0, abs=4 * 12 * POINT / math.sqrt(found.size))
        assert found.var() == pytest.approx(144 * POINT**2, rel=0.15)


def many(count: int = 500) -> list[np.random.Generator]:
    return [np.random.default_rng([7, each]) for each in range(count)]


def test_two_machines_share_what_is_not_drawn_anew() -> None:
    """The covariance of theirs and ours is the share that both have; of all anew there is none."""
    for redrawn in (0.0, 0.5, 1.0):
        world = World(400, redrawn, settings=0)
        pairs = [draw(world, np.zeros(1), each) for each in many()]
        ours = np.array([each.ours.net[0, 0] for each in pairs]).ravel()
        theirs = np.array([each.theirs[0] for each in pairs]).ravel()
        shared = np.corrcoef(ours, theirs)[0, 1]
        assert shared == pytest.approx(1 - redrawn, abs=0.1)


def test_a_second_kernel_is_as_far_off_as_a_second_machine() -> None:
    drawn = draw(World(400, 0.5, settings=0, kernels=True), np.zeros(2), rng()).ours
    assert (drawn.net[:5] == drawn.net[0]).all()
    assert (drawn.net[5:] == drawn.net[6]).all()
    assert not (drawn.net[0] == drawn.net[6]).all()
    limit = most_likely_changes(2 * 200 * 4)
    assert drawn.machines == pytest.approx([limit / 2 * (POINT / 4) ** 2] * 2)


def test_a_divergence_is_the_verifiers() -> None:
    ours = draw(World(80), np.array([0.2]), rng()).ours
    for found, signed in zip(ours.values, (ours.net * POINT)[:, 0], strict=True):
        right = RIGHT + np.rint(signed / POINT)
        exact = answers.divergence([RIGHT / QUESTIONS] * 4, (right / QUESTIONS).tolist())
        assert found == pytest.approx(exact, abs=POINT)  # 0.2 points are no whole answers


def test_a_sample_is_the_rules_formulas() -> None:
    """u = sum c (100 / N)^2 / K^2 over J^2 cells; s the largest of three."""
    ours = draw(World(631), np.array([0.0, 0.3]), rng()).ours
    divergences = np.abs(ours.net * POINT).mean(axis=(1, 2))
    signed = math.sqrt((ours.net * POINT).var(axis=0, ddof=1).sum()) / 8
    found = ours.sample
    assert found.values == pytest.approx(divergences)
    assert found.spread == pytest.approx(max(divergences.std(ddof=1), signed, FLOOR / math.sqrt(2)))
    assert found.machine == pytest.approx(8 * 631 * POINT**2 / 8**2)


@pytest.mark.parametrize(
    ("answers_off", "text"),
    [
        # 3791/14042 is printed as 0.2700, 3794 as 0.2702, 3801 as 0.2707
        ((10, 10, 10, 10), "0.07"),
        ((3, 0, 0, 0), "0.00"),  # 2 / 4 of a hundredth, half to even
        ((3, 3, 3, 0), "0.02"),  # 6 / 4, half to even
        ((-10, 10, 10, 10), "0.07"),  # 0.2693: as far below as above
    ],
)
def test_a_value_is_printed_from_rounded_accuracies(
    answers_off: tuple[int, ...], text: str
) -> None:
    assert as_printed(POINT * np.array(answers_off)) == text


def test_rounding_is_never_more_than_h() -> None:
    papers = [draw(World(900), np.array([0.1]), each) for each in many(2_000)]
    off = [abs(float(*each.printed()) - np.abs(each.theirs).mean()) for each in papers]
    assert max(off) <= H + POINT / 2  # 0.1 points are no whole answers
    assert max(off) > 0.005  # more than half a unit: the inputs were rounded too


def test_a_rare_setting_is_rare_and_off() -> None:
    world = World(0, settings=0, rare=0.5)
    found = np.array([draw(world, np.array([0.3]), each).ours.values for each in many()])
    assert set(np.round(found, 2).ravel()) == {0.3, 0.8}
    assert (found > 0.5).mean() == pytest.approx(0.1, abs=4 * 0.3 / math.sqrt(found.size))


# -----------------------------------------------------------------------------
# Trials


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("24")])
def test_no_rule_errs_more_than_once_in_twenty(kind: str) -> None:
    """A small run of the table: of 60 papers fewer wrong words than 0.05 would ever give.

    The docs' table has a thousand of each. P(more than 8 of 60 at 0.05) is 0.002.
    """
    for asked in asked_of(kind, 60):
        if asked.case in ("true", "false") and asked.world.changes in calibration.CHANGES[1::2]:
            assert share(asked) * asked.count <= 8, asked
    assert stats.binom.sf(8, 60, 0.05) < 0.003


def test_a_shifted_number_is_contradicted_and_a_like_one_reproduced() -> None:
    """Never deciding is no way to pass: at the second c both words are said nearly always."""
    kind = next(iter(KINDS))
    powers = [
        each
        for each in asked_of(kind, 60)
        if each.case.startswith("clearly") and each.world.changes == calibration.CHANGES[1]
    ]
    assert [(each.case, each.outcome) for each in powers] == [
        ("clearly true", "reproduced"),
        ("clearly false", "contradicted"),
    ]
    assert all(share(each) >= 0.95 for each in powers)


def test_a_trial_is_the_same_whenever_it_is_drawn() -> None:
    asked = asked_of("at most (0.5 apart)", 20)[0]
    assert share(asked) == share(asked)
    assert [each.kernels for each in worlds(80)] == [False, True]


def test_the_report_has_every_row() -> None:
    lines = list(calibration.report(4, map))
    rows = [line.split(" | ") for line in lines if line.startswith("| ")]
    assert len(rows) == (1 + len(KINDS)) + (1 + 4)
    assert len({row[0] for row in rows}) == len(rows)
    assert lines.count("") == 1


@pytest.mark.parametrize("table", [calibration.report, stopping.report])
def test_rows_can_be_asked_for_by_name(table: Any) -> None:
    rows = [line.split(" | ")[0] for line in table(4, map, "screened")][2:]
    assert rows == [f"| {kind}" for kind in KINDS if "screened" in kind]
    assert len(rows) == 3


# -----------------------------------------------------------------------------
# Stopping when decided


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("24")])
def test_no_rule_errs_more_than_once_in_twenty_look_by_look(kind: str) -> None:
    """A small run of that table too, of the worlds where least and most is drawn anew."""
    for asked in asked_of(kind, 30):
        if asked.case in ("true", "false") and asked.world.changes == calibration.CHANGES[1]:
            assert stopping.share(asked).rate * asked.count <= 5, asked
    assert stats.binom.sf(5, 30, 0.05) < 0.004


def test_what_is_clear_stops_early_and_what_is_contradicted_takes_all_settings() -> None:
    kind = next(iter(KINDS))
    for asked in asked_of(kind, 30):
        if asked.case.startswith("clearly") and asked.world.changes == calibration.CHANGES[1]:
            found = stopping.share(asked)
            assert found.rate >= 0.95
            assert found.settings == (3 if asked.case == "clearly true" else 7)


def test_a_table_stops_number_by_number_unless_one_is_contradicted() -> None:
    """One of 24 is half a point off, and then all get all of their settings; or none is."""
    kind = next(kind for kind in KINDS if kind.startswith("24"))
    world = World(80, redrawn=0.5)
    assert stopping.stopped(kind, world, "clearly false", rng()) == ("contradicted", 7)
    said, settings = stopping.stopped(kind, world, "true", rng())
    assert said == "inconclusive"
    assert 3 <= settings < 4


@pytest.mark.parametrize("seen", [3, 5, 7])
def test_what_a_screen_does_not_see_is_the_same_at_every_look(seen: int) -> None:
    """All of ours have the first setting's flips; theirs has its own. A spread shows neither."""
    world = World(0, settings=0, seen=seen, unseen=calibration.UNSEEN)
    drawn = draw(world, np.zeros(1), rng())
    assert drawn.ours.net.shape[0] == seen
    assert (drawn.ours.net == drawn.ours.net[0]).all()
    assert (drawn.ours.net == draw(replace(world, seen=7), np.zeros(1), rng()).ours.net[0]).all()
    assert not (drawn.ours.net[0] * POINT == drawn.theirs).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "screened" in kind])
def test_rows_of_a_screen_are_drawn_with_what_it_does_not_see(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds_ = list[World]()
    for module in (calibration, stopping):
        monkeypatch.setattr(module, "draw", lambda w, *a: worlds_.append(w) or draw(w, *a))
    stopping.stopped(kind, World(80), "true", rng())
    assert {each.unseen for each in worlds_} == {calibration.UNSEEN}
    assert {each.seen for each in worlds_} >= {3}


def test_rules_see_the_settings_of_a_look_and_the_chance_of_all() -> None:
    """A second kernel among the first three; what is shown of a draw hangs on no more."""
    every, three = (draw(World(80, seen=seen), np.zeros(1), rng()).ours for seen in (7, 3))
    assert (three.net == every.net[[0, 1, 6]]).all()


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
