"""Decisions from printed values and from arrays. Oracles: sums done by hand."""

from typing import Any

import made_up_records as records
import numpy as np
import pytest

from repro.schema.causes import Cause, Estimate, cause
from repro.schema.finding import Outcome
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CountClaim, MeanClaim, OrderingClaim
from verify.outcome import RuleDecision
from verify.records import answers
from verify.rules import page
from verify.rules.layer import fit_rates


def claimed_with(texts: list[str], claim: dict[str, Any], printed: str = "1") -> Manifest:
    """A manifest whose cells are printed as `texts`, with one more claim about them."""
    data = records.manifest_data()
    cell, published = data["claims"][0], data["published"][0]
    data["published"] = [{**published, "id": f"c{i}", "text": text} for i, text in enumerate(texts)]
    data["published"].append({**published, "id": "printed", "text": printed})
    common = {"statement": "", "place": {"section": "5"}, "depends_on": [], "basis": "printed"}
    data["claims"] = [{**cell, "id": f"c{i}", "published": f"c{i}"} for i in range(len(texts))] + [
        {**common, "id": "it", **claim}
    ]
    return records.manifest(**data)


def decided(texts: list[str], claim: dict[str, Any], printed: str = "1") -> RuleDecision:
    claimed = claimed_with(texts, claim, printed)
    found = claimed.claims[-1]
    assert isinstance(found, MeanClaim | CountClaim | OrderingClaim)
    return page.decide_printed(claimed, found)


def outcome(texts: list[str], claim: dict[str, Any], printed: str = "1") -> str:
    return decided(texts, claim, printed).outcome


@pytest.mark.parametrize(
    ("texts", "printed", "expected"),
    [
        (["0.35", "0.06", "0.05", "0.07", "0.12"], "0.13", "reproduced"),
        (["0.03", "0.05", "0.21", "0.04", "0.15"], "0.10", "reproduced"),  # 0.096
        (["0.10", "0.20"], "0.16", "inconclusive"),  # 0.15, rounding reaches 0.155
        (["0.10", "0.20"], "0.17", "contradicted"),
        (["1", "2"], "1.5", "reproduced"),
        (["1", "2"], "2.1", "contradicted"),
    ],
)
def test_printed_means(texts: list[str], printed: str, expected: str) -> None:
    claim = {"kind": "mean", "published": "printed", "of": [f"c{i}" for i in range(len(texts))]}
    assert outcome(texts, claim, printed) == expected


@pytest.mark.parametrize(
    ("texts", "printed", "expected"),
    [
        (["1.45", "0.20", "0.16", "0.13", "0.11"], "1", "reproduced"),
        (["1.45", "0.20", "0.16", "0.13", "0.11"], "2", "contradicted"),
        (["1.00", "0.20"], "1", "inconclusive"),  # 1.00 may stand for 1.004
        (["1.00", "0.20"], "0", "inconclusive"),
        (["1.00", "0.20"], "2", "contradicted"),
    ],
)
def test_printed_counts(texts: list[str], printed: str, expected: str) -> None:
    of = [f"c{i}" for i in range(len(texts))]
    claim = {"kind": "count", "published": "printed", "of": of, "above": "1"}
    assert outcome(texts, claim, printed) == expected


@pytest.mark.parametrize(
    ("left", "right", "relation", "expected"),
    [
        (["0.10"], ["0.13"], "at-most", "reproduced"),
        (["0.13"], ["0.10"], "at-most", "contradicted"),
        (["0.13"], ["0.13"], "at-most", "inconclusive"),
        (["0.10"], ["0.10", "0.50"], "within-spread", "reproduced"),
        (["0.90"], ["0.10", "0.20"], "within-spread", "contradicted"),
        (["0.25"], ["0.10", "0.20"], "within-spread", "inconclusive"),
        (["0.10"], ["0.11"], "at-most", "reproduced"),  # both may be 0.105
        (["0.11"], ["0.10"], "at-most", "inconclusive"),
        # The right side's mean is 0.295 to 0.305, its members spread over 0.39 to 0.41.
        (["0.67"], ["0.10", "0.50"], "within-spread", "reproduced"),  # 0.38 apart at most
        (["0.68"], ["0.10", "0.50"], "within-spread", "inconclusive"),  # 0.39
        (["0.71"], ["0.10", "0.50"], "within-spread", "inconclusive"),  # 0.40 at least
        (["0.72"], ["0.10", "0.50"], "within-spread", "contradicted"),  # 0.41
    ],
)
def test_printed_orderings(left: list[str], right: list[str], relation: str, expected: str) -> None:
    names = [f"c{i}" for i in range(len(left) + len(right))]
    claim = {
        "kind": "ordering",
        "left": names[: len(left)],
        "right": names[len(left) :],
        "relation": relation,
    }
    assert outcome(left + right, claim) == expected


OPEN = cause("printed-precision")


@pytest.mark.parametrize(
    ("texts", "printed", "above", "expected"),
    [
        (["1.45", "0.20", "1.00"], "1", "1", ("inconclusive", "1 to 2", "1.45, 1.00")),
        (["1.45", "0.20"], "1", "1", ("reproduced", "1", "1.45")),
        (["1.05"], "0", "1.045", ("inconclusive", "0 to 1", "1.05")),  # 1.045 is not above
        (["1.05"], "0", "1.055", ("reproduced", "0", "none")),
        (["1.05"], "1", "1.055", ("contradicted", "0", "none")),
    ],
)
def test_a_count_shows_what_may_be_above(
    texts: list[str], printed: str, above: str, expected: tuple[Outcome, str, str]
) -> None:
    of = [f"c{i}" for i in range(len(texts))]
    found = decided(
        texts, {"kind": "count", "published": "printed", "of": of, "above": above}, printed
    )
    outcome, measured, which = expected
    why = (cause("above-limit", values=", ".join(texts), limit=above, which=which),)
    why = (*why, OPEN) if outcome == "inconclusive" else why
    assert found == RuleDecision(outcome, printed, measured, "exact", why)


CELLS = {"cells": "0.10 + 0.20", "count": 2}


@pytest.mark.parametrize(
    ("printed", "outcome", "why"),
    [
        ("0.15", "reproduced", cause("mean-as-printed", mean="0.15", **CELLS)),
        ("0.16", "inconclusive", OPEN),
        ("0.17", "contradicted", cause("no-rounding-prints", printed="0.17", **CELLS)),
    ],
)
def test_a_mean_shows_its_cells(printed: str, outcome: Outcome, why: Cause) -> None:
    claim = {"kind": "mean", "published": "printed", "of": ["c0", "c1"]}
    found = decided(["0.10", "0.20"], claim, printed)
    sides = printed, "0.15 from 2 cells", "± 0.005"
    given = (Estimate(label="mean of the cells", value=0.15, low=0.145, high=0.155),)
    assert found == RuleDecision(outcome, *sides, (why,), estimates=given)


def test_an_ordering_shows_both_means() -> None:
    claim = {"kind": "ordering", "left": ["c0"], "right": ["c1", "c2"]}
    texts = ["0.72", "0.10", "0.50"]
    assert decided(texts, {**claim, "relation": "at-most"}) == RuleDecision(
        "contradicted",
        "left ≤ right",
        "0.72 and 0.30",
        "order",
        (cause("left-above-right"),),
        estimates=(
            Estimate(label="left mean", value=0.72, low=0.715, high=0.725),
            Estimate(label="right mean", value=0.3, low=0.295, high=0.305),
        ),
    )
    assert decided(texts, {**claim, "relation": "within-spread"}) == RuleDecision(
        "contradicted",
        "within spread",
        "0.72 and 0.30",
        "< 0.390",
        (cause("beyond-spread"),),
        estimates=(
            Estimate(label="difference of the means", value=0.42, low=0.41, high=0.43),
            Estimate(label="spread of the right side", value=0.4, low=0.39, high=0.41),
        ),
    )


@pytest.mark.parametrize(
    ("relation", "left", "code"),
    [
        ("at-most", "0.20", "left-at-most-right"),
        ("at-most", "0.30", "printed-precision"),
        ("within-spread", "0.31", "within-spread"),
        ("within-spread", "0.70", "printed-precision"),
    ],
)
def test_an_ordering_that_holds_or_is_open_says_so(relation: str, left: str, code: str) -> None:
    claim = {"kind": "ordering", "left": ["c0"], "right": ["c1", "c2"], "relation": relation}
    found = decided([left, "0.10", "0.50"], claim)
    assert [each.code for each in found.causes] == [code]
    assert len(found.estimates) == 2


def test_predictions_take_the_first_letter_of_a_tie() -> None:
    scores = np.array(
        [[-1.0, -1.0, -2.0, -3.0], [-4.0, -2.0, -1.0, -1.0], [-3.0, -2.0, -1.0, -2.0]]
    )
    assert answers.predictions(scores).tolist() == [0, 2, 2]
    assert answers.ties(scores) == 2
    assert answers.letter_counts(answers.predictions(scores)) == (1, 0, 2, 0)


def test_a_tie_is_one_of_its_own_question() -> None:
    """The best of the second question is below the best of the first."""
    scores = np.array([[-1.0, -2.0, -3.0, -3.0], [-5.0, -5.0, -6.0, -7.0]])
    assert answers.ties(scores) == 1


def test_divergence_takes_absolute_values_before_the_mean() -> None:
    assert answers.divergence([0.25, 0.26], [0.26, 0.25]) == pytest.approx(1.0)
    assert answers.divergence([0.25, 0.25], [0.25, 0.25]) == 0.0


def test_flips_are_counted_in_both_directions() -> None:
    gold = np.array([0, 1, 2, 3])
    found = answers.flips(np.array([0, 1, 0, 0]), np.array([0, 0, 2, 1]), gold)
    assert (found.lost, found.won, found.changed) == (1, 1, 3)


def test_rates_of_exact_exponentials_are_exact() -> None:
    times = np.array([0.0, 1.0, 2.0, 5.0, 9.0])
    wanted = np.array([-0.5, 0.0, 0.25])
    rates = fit_rates(3.0 * np.exp(wanted[:, None] * times), times)
    assert rates.value == pytest.approx(wanted, abs=1e-12)


def test_rates_leave_out_what_has_no_logarithm() -> None:
    times = np.arange(6.0)
    curve = np.exp(-times)
    curve[4:] = 0.0
    rates = fit_rates(curve[None], times)
    assert rates.value[0] == pytest.approx(-1.0)


def test_rates_agree_with_scipy() -> None:
    from scipy import stats

    times = np.arange(30.0)
    rng = np.random.default_rng(1)
    logs = -0.1 * times + rng.normal(0, 0.3, 30)
    rates = fit_rates(np.exp(logs)[None], times)
    oracle = stats.linregress(times, logs)
    assert rates.value[0] == pytest.approx(oracle.slope)


def test_rates_are_those_of_the_points_above_the_floor() -> None:
    """Curves of 3, 4 and 30 points in one array; the rest lies at the floor and counts nowhere."""
    from scipy import stats

    times = np.arange(30.0) + 7
    logs = -0.1 * times + np.random.default_rng(2).normal(0, 0.3, (3, 30))
    curves, counts = np.exp(logs), (3, 4, 30)
    for curve, count in zip(curves, counts, strict=True):
        curve[count:] = 1e-9
    rates = fit_rates(curves, times, 1e-9)
    for index, count in enumerate(counts):
        oracle = stats.linregress(times[:count], logs[index, :count])
        assert rates.value[index] == pytest.approx(oracle.slope)


def test_too_few_points_have_no_rate_and_no_warning() -> None:
    """No point, one, and two pairs of points: a line through two leaves nothing over."""
    curves = np.zeros((4, 5))
    curves[1, 0] = 1.0
    curves[2, :2] = [0.7, 0.3]
    curves[3, 1:3] = [0.9, 0.1]
    rates = fit_rates(curves, np.array([0.1, 0.4, 1.3, 2.1, 3.7]))
    assert not np.isfinite(rates.value).any()
    assert not rates.rising.any()
