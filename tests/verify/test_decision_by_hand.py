"""Every number of the cell that docs/decision.md works. Oracle: the formulas, written anew."""

import re
from decimal import Decimal

import numpy as np
import pytest
from scipy import stats

from repro import paths
from verify import decision_rule
from verify.decision_rule import Sample

TEXT = (paths.ROOT / "docs" / "decision.md").read_text(encoding="utf-8")
WORKED = TEXT[TEXT.index("## One cell by hand") :]
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in WORKED.splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| what", "| setting"))
]
SETTINGS = [row for row in ROWS if row[0][0].isdigit()]
ANSWERS = np.array([[int(each) for each in row[1:5]] for row in SETTINGS])
CHANGES = next(tuple(int(each) for each in row[1:5]) for row in ROWS if row[0] == "c, the most")
PRINTED = {row[0]: row[2] for row in ROWS if len(row) == 3}
QUESTIONS, ANSWER, APART, NUMBERS = 10_000, 0.01, 230, 38


def quantile(total: float, estimated: float) -> float:
    return float(stats.t.isf(0.05, 6 * (total / estimated) ** 2))


def computed() -> dict[str, float]:
    """By the name of a row."""
    d, h = np.abs(ANSWERS * ANSWER).mean(axis=1), 0.005 + 0.01
    m = float(d.mean())
    u = sum(CHANGES) * ANSWER**2 / 4**2
    parts = {
        "var D": float(d.var(ddof=1)),
        "signed": float((ANSWERS * ANSWER).var(axis=0, ddof=1).sum()) / 4**2,
        "floor²": (100 * 3 / QUESTIONS) ** 2 * 2 / 4,
    }
    s2 = max(parts.values())
    w = s2 * 8 / 7
    v = 2 * u + w
    reach = h + quantile(v, w) * v**0.5
    g = float(np.abs(d - np.median(d)).max())
    beyond = abs(m - 0.75) - h - g
    p = 2 * float(stats.t.sf(beyond / v**0.5, 6 * (v / w) ** 2))
    limit = float(stats.chi2.ppf(0.95, 2 * (APART + 1))) / 2
    other_u = limit / 2 * ANSWER**2 / 4**2
    other = 2 * other_u + w
    return parts | {
        "margin": 0.16,
        "m": m,
        "T": m - 0.32,
        "h": h,
        "u": u,
        "s²": s2,
        "V": v,
        "√V": v**0.5,
        "ν": 6 * (v / w) ** 2,
        "t.95": quantile(v, w),
        "reach": reach,
        "end": abs(m - 0.32) + reach,
        "null": decision_rule.coin_flips(CHANGES, QUESTIONS),
        "above": min(m, 0.32) - h,
        "T'": m - 0.75,
        "g": g,
        "beyond": beyond,
        "p": p,
        "Holm": NUMBERS * p,
        "limit": limit,
        "u'": other_u,
        "V'": other,
        "reach'": h + quantile(other, w) * other**0.5,
    }


def test_every_number_of_the_worked_cell() -> None:
    found = computed()
    assert PRINTED.keys() == found.keys()
    for name, text in PRINTED.items():
        decimals = -int(Decimal(text).as_tuple().exponent)
        assert f"{found[name]:.{decimals}f}" == text, name
    assert [row[5] for row in SETTINGS] == [
        f"{each:.4f}" for each in np.abs(ANSWERS * ANSWER).mean(axis=1)
    ]
    assert f"{sum(CHANGES)} changes" in WORKED
    assert f"{', '.join(map(str, CHANGES[:3]))} and {CHANGES[3]} changes" in WORKED
    assert f"the median D, {np.median(np.abs(ANSWERS * ANSWER).mean(axis=1)):.4f}," in WORKED
    assert (ANSWERS.max(axis=0) <= CHANGES).all()


def test_tosses_of_the_worked_cell() -> None:
    """Oracle: draws of four coins; the quantile is between those of 94.5 and 95.5 %."""
    rng = np.random.default_rng(1)
    nets = [np.abs(2 * rng.binomial(count, 0.5, 200_000) - count) for count in CHANGES]
    means = np.mean(nets, axis=0) * ANSWER
    low, high = np.quantile(means, (0.945, 0.955))
    assert low <= float(PRINTED["null"]) <= high


def test_the_rule_decides_the_worked_cell_so() -> None:
    found = computed()
    values = tuple(np.abs(ANSWERS * ANSWER).mean(axis=1).tolist())
    sample = Sample(values, found["s²"] ** 0.5, found["u"])
    least, rounding = found["floor²"] ** 0.5, Decimal("0.01")
    assert least == pytest.approx(decision_rule.floor(QUESTIONS, 4))
    for printed, margin, outcome in (
        ("0.32", "0.16", "reproduced"),
        ("0.75", "0.375", "inconclusive"),
    ):
        decision = decision_rule.decide(
            sample,
            printed,
            margin,
            least_spread=least,
            input_rounding=rounding,
            null=found["null"],
        )
        assert decision.outcome == outcome
        assert decision.test is not None
    p = decision.test.p_value(sample.deviation)
    assert p == pytest.approx(found["p"])
    (holm, *_) = decision_rule.holm([p, *[1.0] * (NUMBERS - 1)])
    assert holm == pytest.approx(found["Holm"])
    assert holm < decision_rule.ERROR_RATE
    assert sample.of_draw.total == pytest.approx(found["V"])
    assert sample.of_draw.freedom == pytest.approx(found["ν"])
    assert decision_rule.most_likely_changes(APART) == pytest.approx(found["limit"])
    # What no run could decide is known from c: with s at its floor the margin is wide enough.
    known = Sample(values, least, found["u"])
    assert decision_rule.undecidable("0.32", "0.16", known, rounding) is None


def test_the_page_is_short() -> None:
    assert len(TEXT.splitlines()) <= 120
