"""The decision rule on numbers worked by hand, and against its formulas written anew.

Seven settings 1, 2, 3, 2, 2, 2, 2: m = 2, s^2 = 2 / 6 = 1 / 3. Another machine adds u = 1 / 3. So
s^2 (1 + 1 / 7) = 0.38095 and V = 2 / 3 + 0.38095 = 1.04762, its root 1.02353, with
6 (1.04762 / 0.38095)^2 = 45.375 degrees of freedom. Student's t there is 1.67914 (0.95) and 2.01364
(0.975): reaches of 1.71865 and 2.06103. A number printed with one decimal has h = 0.05.
"""

import itertools
import math
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from repro.schema.causes import cause, say
from verify import decision_rule
from verify.decision_rule import Decision, NumberTest, Sample, Variance

SEVEN = (1.0, 2.0, 3.0, 2.0, 2.0, 2.0, 2.0)
THIRD = 1 / 3
V = 2 / 3 + 8 / 21
FREEDOM = 6 * (V / (8 / 21)) ** 2


def decide(
    published: str,
    margin: str = "2.5",
    measured: Sequence[float] = SEVEN,
    least_spread: float = 0.1,
    machine: float = THIRD,
    *,
    input_rounding: str = "0",
    null: float | None = None,
) -> Decision:
    return decision_rule.decide(
        decision_rule.sample(measured, least_spread, machine),
        published,
        margin,
        least_spread=least_spread,
        input_rounding=Decimal(input_rounding),
        null=null,
    )


def p_of(found: Decision, guard: float = 0.0) -> float:
    assert found.test is not None
    return found.test.p_value(guard)


def far_off(off: float, rounding: float = 0.0, deviation: float = 0.0) -> NumberTest:
    return NumberTest(off, rounding, Variance(V, FREEDOM), deviation)


# -----------------------------------------------------------------------------
# What is measured, and how far it may be off


def test_a_sample_by_hand() -> None:
    found = decision_rule.sample(SEVEN, 0.1, THIRD)
    assert (found.values, found.mean, found.machine) == (SEVEN, 2.0, THIRD)
    assert found.spread == pytest.approx(math.sqrt(1 / 3))
    assert found.of_mean.total == pytest.approx(1 / 3 + 1 / 21)
    assert found.of_mean.freedom == pytest.approx(6 * 8**2)
    assert found.of_draw.total == pytest.approx(V)
    assert found.of_draw.freedom == pytest.approx(45.375)
    assert found.deviation == 1.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [((1.0, 2.0, 2.5), 1.0), ((1.0, 1.0, 4.0), 3.0), ((0.0, 1.0, 2.0, 9.0), 7.5)],
)
def test_a_deviation_is_taken_from_the_median(values: tuple[float, ...], expected: float) -> None:
    """Of an even number of settings from the middle of the two in the middle."""
    assert decision_rule.sample(values, 0.1, 0.0).deviation == expected


def test_a_spread_is_never_below_its_floor() -> None:
    assert decision_rule.sample((2.0,) * 7, 0.5, 0.0).spread == 0.5
    assert decision_rule.sample((1.0, 3.0), 0.5, 0.0).spread == pytest.approx(math.sqrt(2))
    assert decision_rule.sample((2.0,), 0.5, 0.0).spread == 0.5


def test_a_single_setting_has_no_variance() -> None:
    found = decision_rule.sample((2.0,), 0.5, THIRD)
    assert found.of_draw == found.of_mean == Variance(math.inf, 1)
    assert found.of_draw.reach(0.05) == math.inf
    assert decision_rule.sample((2.0, 2.0), 0.5, 0.0).of_draw.total == pytest.approx(0.25 * 1.5)


def test_what_is_known_has_the_normal_distribution() -> None:
    """1.959964 of its standard deviations, here 2; a machine alone has no end of freedom."""
    assert Variance.of(4.0, 0.0, 6) == Variance(4.0, math.inf)
    assert Variance.of(4.0, 0.0, 6).reach(0.025) == pytest.approx(2 * 1.959964, abs=1e-5)
    assert Variance.of(0.0, 4.0, 6) == Variance(4.0, 6)
    assert Variance(4.0, 6).reach(0.025) == pytest.approx(2 * 2.446912, abs=1e-5)


def test_variances_add_up_by_welch() -> None:
    """(1 + 4)^2 / (1 / 4 + 16 / 8) = 25 / 2.25."""
    assert Variance(1.0, 4) + Variance(4.0, 8) == Variance(5.0, pytest.approx(25 / 2.25))
    assert Variance(4.0, 8) + Variance(1.0, 4) == Variance(5.0, pytest.approx(25 / 2.25))
    one, other = Variance(1.0, math.inf), Variance(2.0, math.inf)
    assert one + other == Variance(3.0, math.inf)
    assert Variance(0.0, 4) + Variance(0.0, 4) == Variance(0.0, math.inf)


def test_the_floor_is_three_flipped_answers() -> None:
    assert decision_rule.floor(100, 2) == pytest.approx(3.0)  # both sides: sqrt(2) x 3 / sqrt(2)
    assert decision_rule.floor(14042, 4) == pytest.approx(100 * 3 / 14042 / math.sqrt(2))
    assert decision_rule.floor(14042, 20) == pytest.approx(
        decision_rule.floor(14042, 4) / math.sqrt(5)
    )


@pytest.mark.parametrize("counted", [0, 1, 7, 42, 631, 5616])
def test_the_limit_of_a_count_is_the_poisson_distributions(counted: int) -> None:
    """By its definition: so few are counted in one case of twenty; and by chi squared."""
    limit = decision_rule.most_likely_changes(counted)
    assert stats.poisson.cdf(counted, limit) == pytest.approx(0.05)
    assert limit == pytest.approx(stats.chi2.ppf(0.95, 2 * (counted + 1)) / 2)


# -----------------------------------------------------------------------------
# What nothing looks like


def coin_flips(changes: Sequence[int], questions: int) -> float:
    """Found anew, whatever was asked before."""
    decision_rule.coin_flips.cache_clear()
    return decision_rule.coin_flips(tuple(changes), questions)


def tossed(changes: Sequence[int], questions: int) -> float:
    """Every outcome of every toss, each as likely: the smallest value with 0.95 at or below."""
    means = sorted(
        sum(abs(sum(each)) for each in every)
        for every in itertools.product(
            *(list(itertools.product((-1, 1), repeat=count)) for count in changes)
        )
    )
    at = math.ceil(0.95 * len(means)) - 1
    return 100 * means[at] / questions / len(changes)


@pytest.mark.parametrize(
    "changes",
    [
        *((1,), (2,), (5,), (6,), (9,), (12,), (0, 0), (1, 1), (1, 2), (3, 4), (0, 7), (1, 0)),
        *((2, 2, 2), (1, 1, 1, 1), (3, 3, 3, 3), (2, 3, 2, 3), (1, 2, 3, 4)),
    ],
)
def test_coin_flips_against_every_toss(changes: tuple[int, ...]) -> None:
    assert coin_flips(changes, 65) == pytest.approx(tossed(changes, 65), rel=1e-12)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.integers(4, 999))
def test_coin_flips_of_any_counts(changes: list[int], questions: int) -> None:
    found = coin_flips(changes, questions)
    assert found == pytest.approx(tossed(changes, questions), rel=1e-12)


@pytest.mark.parametrize("counts", [(10,) * 4, (80,) * 4, (631,) * 4, (7, 82, 300, 631)])
def test_coin_flips_of_a_table(counts: tuple[int, ...]) -> None:
    """Oracle: binomial probabilities of scipy, over every net change of the sum."""
    chances = {0: 1.0}
    for count in counts:
        walk: dict[int, float] = {}
        for gained, chance in enumerate(stats.binom.pmf(np.arange(count + 1), count, 0.5)):
            net = abs(2 * gained - count)
            walk[net] = walk.get(net, 0.0) + float(chance)
        summed = np.convolve(_dense(chances), _dense(walk))
        chances = {net: float(chance) for net, chance in enumerate(summed) if chance > 0}
    below = itertools.accumulate(chances[net] for net in sorted(chances))
    net = next(net for net, chance in zip(sorted(chances), below, strict=True) if chance >= 0.95)
    expected = 100 * net / 14042 / len(counts)
    assert coin_flips(counts, 14042) == pytest.approx(expected, rel=1e-12)


def _dense(chances: dict[int, float]) -> np.ndarray:
    found = np.zeros(max(chances) + 1)
    for net, chance in chances.items():
        found[net] = chance
    return found


# -----------------------------------------------------------------------------
# Reproduced


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ("2.0", "reproduced"),
        ("1.3", "reproduced"),  # 0.7 + 0.05 + 1.71865 = 2.46865 <= 2.5
        ("2.7", "reproduced"),
        ("1.2", "inconclusive"),  # 2.56865
        ("2.8", "inconclusive"),
        ("9.9", "inconclusive"),  # what the table has to contradict
    ],
)
def test_seven_settings_by_hand(published: str, expected: str) -> None:
    assert decide(published).outcome == expected


def test_an_interval_may_reach_its_margin() -> None:
    end = 0.3 + 0.05 + float(stats.t.isf(0.05, FREEDOM)) * math.sqrt(V)
    assert decide("2.3", f"{end + 1e-9:.12f}").outcome == "reproduced"
    assert decide("2.3", f"{end - 1e-9:.12f}").outcome == "inconclusive"


def test_the_margin_itself_is_within_it() -> None:
    """Without a machine and 4 equal settings of spread 1; all numbers are exact but the reach."""
    measured = Sample((2.0,) * 4, 1.0, 0.0)
    reach = 0.5 + measured.of_draw.reach(0.05)
    for margin, outcome in ((reach, "reproduced"), (math.nextafter(reach, 0), "inconclusive")):
        found = decision_rule.decide(measured, "2", repr(margin), least_spread=0.5)
        assert found.outcome == outcome


def test_another_machine_widens_the_interval() -> None:
    """V = 0.38095 with 6 degrees of freedom reaches 1.19936: 1.2 is within 2.5 and 1.3 is not."""
    assert decide("0.8", machine=0.0).outcome == "reproduced"  # 2.44936
    assert decide("0.7", machine=0.0).outcome == "inconclusive"  # 2.54936
    assert decide("0.8").outcome == "inconclusive"


def test_rounding_of_the_inputs_widens_the_interval() -> None:
    assert decide("1.3", input_rounding="0.03").outcome == "reproduced"  # 2.49865
    assert decide("1.3", input_rounding="0.04").outcome == "inconclusive"


def test_a_margin_within_rounding_is_not_decidable() -> None:
    within = decide("2.0", margin="0.06", input_rounding="0.01")
    assert within.outcome == "inconclusive"
    assert within.why == cause("margin-within-rounding", margin="0.06", rounding="0.06")
    assert decide("2.0", margin="0.07", input_rounding="0.01").why.code == "margin-within-noise"


def test_a_margin_within_two_machines_is_not_decidable() -> None:
    """With s at its floor of 0.1: 0.05 + 1.64492 sqrt(2 / 3 + 0.01 x 8 / 7) = 1.40454."""
    found = decide("2.0", margin="1.40")
    assert (found.outcome, found.power) == ("inconclusive", 0.0)
    assert found.why.code == "margin-within-noise"
    assert found.why.values["reach"] == pytest.approx(1.40454, abs=1e-5)
    assert decide("2.0", margin="1.41").why.code == "interval-crosses-margin"


def test_what_cannot_be_reproduced_may_be_contradicted() -> None:
    found = decide("9.9", margin="0.01")
    assert found.why.code == "margin-within-rounding"
    assert p_of(found) == pytest.approx(2 * stats.t.sf(7.85 / math.sqrt(V), FREEDOM))
    assert p_of(decide("9.9", margin="1.40")) < 1e-8


def test_a_spread_at_its_floor_decides_as_one_that_was_measured() -> None:
    same, spread = (2.0,) * 7, math.sqrt(1 / 3)
    assert decide("1.3", measured=same, least_spread=spread).outcome == "reproduced"
    assert decide("1.2", measured=same, least_spread=spread).outcome == "inconclusive"
    assert decide("1.2", measured=same, least_spread=0.01).outcome == "reproduced"


@pytest.mark.parametrize(
    ("published", "null", "outcome"),
    [
        ("2.3", 1.94, "reproduced"),  # the mean, 2, less h
        ("2.3", 1.96, "inconclusive"),
        ("1.8", 1.74, "reproduced"),  # the printed value less h
        ("1.8", 1.76, "inconclusive"),
        ("1.8", None, "reproduced"),
    ],
)
def test_what_coin_flips_give_is_not_reproduced(
    published: str, null: float | None, outcome: str
) -> None:
    found = decide(published, null=null)
    assert found.outcome == outcome
    if outcome == "inconclusive":
        assert (found.why.code, found.why.values["null"]) == ("within-coin-flips", null)
        assert found.power == 0.0


def test_what_is_just_as_much_as_coin_flips_is_not_more() -> None:
    assert decide("2.0", null=2.0 - 0.05).why.code == "within-coin-flips"
    assert decide("2.0", null=math.nextafter(2.0 - 0.05, 0)).outcome == "reproduced"


# -----------------------------------------------------------------------------
# Contradicted


@pytest.mark.parametrize(
    ("published", "guard", "expected"),
    [
        ("4.1", 0.0, 0.0512),  # 2.05 / 1.02353 is just below the quantile at 0.975
        ("4.2", 0.0, 0.0412),
        ("-0.2", 0.0, 0.0412),
        ("4.2", 0.1, 0.0512),
        ("5.1", 1.0, 0.0512),
        ("2.1", 0.0, 0.9612),
        ("2.0", 0.0, 1.0),
        ("3.0", 1.0, 1.0),  # less than the guard and rounding
    ],
)
def test_p_values_by_hand(published: str, guard: float, expected: float) -> None:
    off = abs(float(published) - 2)
    oracle = min(1.0, 2 * stats.t.sf(max(off - 0.05 - guard, 0) / math.sqrt(V), 45.375))
    assert oracle == pytest.approx(expected, abs=1e-4)
    assert p_of(decide(published), guard) == pytest.approx(oracle)


def test_rounding_of_the_inputs_is_no_contradiction() -> None:
    assert p_of(decide("4.2", input_rounding="0.1")) == pytest.approx(p_of(decide("4.1")))


def test_nothing_follows_from_an_endless_variance() -> None:
    assert NumberTest(9.0, 0.0, Variance(math.inf, 1), 0.0).p_value() == 1.0
    assert NumberTest(1.0, 0.0, Variance(1.0, math.inf), 0.0).p_value() == pytest.approx(
        0.317311, abs=1e-6
    )


def test_a_decision_hands_on_its_own_deviation() -> None:
    found = decide("2.0", measured=(1.0, 1.0, 4.0, 1.0, 1.0, 1.0, 1.0)).test
    assert found is not None
    assert (found.deviation, found.rounding) == (3.0, 0.05)
    assert found.off == pytest.approx(10 / 7 - 2)


# -----------------------------------------------------------------------------
# What a decision says


def test_power_by_hand() -> None:
    """room = 2.5 - 1.76865 = 0.73135, over 1.02353: 2 Phi(0.71454) - 1 = 0.5251."""
    assert decide("2.0").power == pytest.approx(0.5251, abs=1e-4)
    assert decide("1.2").power == pytest.approx(0.5251, abs=1e-4)
    assert decide("2.0", margin="1.5").power == 0.0  # the interval alone fills the margin
    assert decide("2.0", margin="1.76").power == 0.0
    assert 0 < decide("2.0", margin="1.78").power < 0.02


@pytest.mark.parametrize(("machine", "freedom"), [(0.0, 6), (THIRD, 45.375)])
def test_a_shift_that_is_noticed_is_contradicted_nine_times_in_ten(
    machine: float, freedom: float
) -> None:
    """Oracle: the noncentral distribution of scipy, and draws of a statistic over its spread."""
    error = math.sqrt(2 * machine + 8 / 21)
    shift = (decide("2.0", machine=machine).noticed - 0.05) / error
    quantile = stats.t.isf(0.025, freedom)
    assert stats.nct.sf(quantile, freedom, shift) == pytest.approx(0.9, abs=1e-4)
    rng = np.random.default_rng(20240706)
    drawn = rng.normal(shift, size=100_000) / np.sqrt(rng.chisquare(freedom, 100_000) / freedom)
    assert (drawn > quantile).mean() == pytest.approx(0.9, abs=0.005)


def test_the_shift_that_is_noticed_if_all_is_known() -> None:
    """1.959964 + 1.281552 standard deviations of 1."""
    known = Sample((0.0,) * 7, 1e-9, 0.5)
    found = decision_rule.decide(known, "0", "9", least_spread=1e-9)
    assert found.noticed == pytest.approx(0.5 + 1.959964 + 1.281552, abs=1e-4)


@pytest.mark.parametrize(
    "measured", [(), (2.0,), (2.0, math.nan), (2.0, math.inf, 2.0), (2.0, -math.inf)]
)
def test_what_has_no_spread_decides_nothing(measured: tuple[float, ...]) -> None:
    found = decision_rule.decide(Sample(measured, 0.1, 0.0), "2.0", "2.5", least_spread=0.1)
    few = cause("too-few-draws", draws=len(measured), needed=2)
    assert found.why == (few if len(measured) < 2 else cause("not-finite"))
    assert (found.outcome, found.test, found.direction) == ("inconclusive", None, None)
    assert (found.power, found.noticed) == (0.0, math.inf)


@pytest.mark.parametrize("least_spread", [math.nan, 0.0, -0.1, math.inf])
def test_a_floor_that_is_none_decides_nothing(least_spread: float) -> None:
    found = decide("2.0", least_spread=least_spread)
    assert (found.why, found.test) == (cause("not-finite"), None)


def test_a_machine_of_which_nothing_is_known_decides_nothing() -> None:
    """Where the mean lies is shown all the same."""
    found = decide("9.0", machine=math.inf)
    assert (found.why, found.test) == (cause("machine-unknown"), None)
    assert found.direction == cause("mean-below-printed")
    assert (found.outcome, found.power, found.noticed) == ("inconclusive", 0.0, math.inf)


def test_directions() -> None:
    assert decide("2.0").direction == cause("mean-within-margin")
    assert decide("4.5").direction == cause("mean-within-margin")
    assert decide("4.6").direction == cause("mean-below-printed")
    assert decide("-0.6").direction == cause("mean-above-printed")


def test_causes_have_the_numbers() -> None:
    within = decide("1.3").why
    assert within.code == "within-margin"
    sides = {
        "off": pytest.approx(0.7),
        "error": pytest.approx(math.sqrt(V)),
        "draws": 7,
        "rounding": pytest.approx(0.05),
        "margin": "2.5",
    }
    assert within.values == sides
    across, coins = decide("1.2").why, decide("1.3", null=9.0).why
    assert (across.code, coins.code) == ("interval-crosses-margin", "within-coin-flips")
    assert across.values == {**sides, "off": pytest.approx(0.8)}
    assert coins.values == {**sides, "null": 9.0}
    # One golden sentence.
    assert decide("1.3").reason == say(within)
    assert say(within) == (
        "mean off by +0.7 over 7 settings, standard error 1 with both machines, h 0.05: within 2.5 "
        "even at the end of its interval"
    )


# -----------------------------------------------------------------------------
# Many numbers


def test_holm_by_hand() -> None:
    """Smallest times 3, next times 2, largest times 1, never falling, at most 1."""
    assert decision_rule.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert decision_rule.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert decision_rule.holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert decision_rule.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_against_its_definition(p_values: list[float]) -> None:
    """Oracle: reject from the smallest on while p <= level / (hypotheses left)."""
    for level in (0.01, 0.05, 0.2):
        rejected, left = set[int](), len(p_values)
        for index in sorted(range(len(p_values)), key=lambda each: p_values[each]):
            if p_values[index] * left > level:
                break
            rejected.add(index)
            left -= 1
        found = {i for i, p in enumerate(decision_rule.holm(p_values)) if p <= level}
        assert found == rejected


# -----------------------------------------------------------------------------
# For any numbers

NUMBERS = st.integers(-300, 300).map(lambda each: each / 100)
MACHINES = st.sampled_from([0.0, 0.01, 0.25])


@given(
    st.lists(NUMBERS, min_size=2, max_size=7),
    st.integers(-300, 300),
    st.integers(1, 600),
    MACHINES,
    st.floats(0, 3),
)
def test_the_rule_against_its_formulas(
    measured: list[float], printed: int, margin: int, machine: float, null: float
) -> None:
    """T, s^2, V and the degrees of freedom written anew, without any code of the rule's."""
    count, published = len(measured), printed / 100
    s2 = max(float(np.var(measured, ddof=1)), 0.013**2)
    w = s2 * (1 + 1 / count)
    v, off = 2 * machine + w, float(np.mean(measured)) - published
    nu = (count - 1) * (v / w) ** 2
    reach = abs(off) + 0.005 + stats.t.isf(0.05, nu) * math.sqrt(v)
    above = min(off + published, published) - 0.005
    found = decide(f"{published:.2f}", f"{margin / 100:.2f}", measured, 0.013, machine, null=null)
    if min(abs(reach - margin / 100), abs(above - null)) > 1e-9:
        expected = reach <= margin / 100 and above > null
        assert (found.outcome == "reproduced") == expected
    p = 2 * stats.t.sf(max(abs(off) - 0.005 - 0.02, 0) / math.sqrt(v), nu)
    assert p_of(found, 0.02) == pytest.approx(p, rel=1e-6, abs=1e-12)


@given(
    st.lists(NUMBERS, min_size=0, max_size=7),
    st.integers(-300, 300),
    st.integers(1, 300),
    MACHINES,
)
def test_ten_times_the_unit_changes_no_outcome(
    measured: list[float], printed: int, margin: int, machine: float
) -> None:
    small = decide(f"{printed / 100:.2f}", f"{margin / 100 + 0.0001:.4f}", measured, 0.013, machine)
    tens, limit = [10 * x for x in measured], f"{margin / 10 + 0.001:.3f}"
    large = decide(f"{printed / 10:.1f}", limit, tens, 0.13, 100 * machine)
    assert small.outcome == large.outcome
    assert (small.test is None) == (large.test is None)
    if small.test and large.test:
        assert small.test.p_value(0.1) == pytest.approx(large.test.p_value(1.0), abs=1e-9)


@given(
    st.lists(NUMBERS, min_size=2, max_size=7), st.integers(-300, 300), st.integers(1, 300), MACHINES
)
def test_mirrored_numbers_have_mirrored_decisions(
    measured: list[float], printed: int, margin: int, machine: float
) -> None:
    limit = f"{margin / 100:.2f}"
    there = decide(f"{printed / 100:.2f}", limit, measured, 0.01, machine)
    back = decide(f"{-printed / 100:.2f}", limit, [-x for x in measured], 0.01, machine)
    assert there.outcome == back.outcome
    assert p_of(there) == pytest.approx(p_of(back))


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6),
    st.sampled_from([math.nan, math.inf, -0.1, 0.0, 1e-9, 0.01, 1.0, 1e100]),
    st.sampled_from([math.nan, math.inf, 0.0, 1e-5, 0.1, 1e100]),
)
def test_nothing_far_or_broken_is_ever_reproduced(
    measured: list[float], least_spread: float, machine: float
) -> None:
    found = decide("0.20", "0.10", measured, least_spread, machine)
    if found.outcome == "reproduced":
        assert len(measured) >= 2
        assert all(map(math.isfinite, (*measured, machine)))
        assert abs(sum(measured) / len(measured) - 0.2) <= 0.1


@given(st.floats(-9, 9), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_guard_only_ever_protects(off: float, rounding: float, one: float, more: float) -> None:
    test = far_off(off, rounding)
    assert test.p_value() <= test.p_value(one) <= test.p_value(one + more) <= 1.0
