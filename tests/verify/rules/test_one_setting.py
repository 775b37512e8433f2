"""What findings say where there was one setting: that there is no spread, in words.

Oracle: no text of any finding has "nan" or "inf" in it, and nothing is decided.
"""

import math
import re
from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_tuning as tuned
import pytest
from made_up_records import codes, interval, numbers
from made_up_worlds import BOTH, sentence, table, verdict, wobbling

from repro.schema.causes import say
from repro.schema.finding import Finding
from verify import shown
from verify.judge import judge

MODELS = ("mamba-1", "mamba-2")
ARMS = ("full.float32", "lora-all.bfloat16", "lora-sll.bfloat16")
NO_NUMBER = re.compile(r"\b(nan|inf)\b")


def texts(finding: Finding) -> list[str]:
    """Everything that a person reads."""
    sides = (finding.published, finding.measured, finding.margin)
    return [*sides, finding.reason, finding.points, *map(say, finding.working)]


def hold(findings: tuple[Finding, ...], *kinds: str) -> dict[str, Finding]:
    """Check what is true of every finding of one setting."""
    assert {each.kind for each in findings} == set(kinds)
    for each in findings:
        assert each.outcome == "inconclusive"
        assert not [text for text in texts(each) if NO_NUMBER.search(text)]
    return {each.claim: each for each in findings}


def one_of_seven(group: dict[str, Any]) -> dict[str, Any]:
    """The same group with one setting at tier full."""
    full = group["tiers"]["full"]
    full["settings"] = full["settings"][:1]
    if "seeds" in full:
        full["seeds"] = full["seeds"][:1]
    return group


def test_claims_about_pretrained_models(tmp_path: Path) -> None:
    margin = {"value": "12", "origin": "made up"}
    more = [
        sentence("mean", published="mean", of=BOTH, margin=margin) | {"id": "mean"},
        sentence("ordering", left=BOTH[:1], right=BOTH[1:], relation="at-most") | {"id": "order"},
        sentence("ordering", left=BOTH[:1], right=BOTH[1:], relation="within-spread")
        | {"id": "par"},
        sentence("count", published="count", of=BOTH, above="25"),
        sentence("concordance", left=BOTH, right=BOTH[::-1], by="spikes", above="25")
        | {"id": "spikes"},
    ]
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, more=more)
    data["jobs"] = [one_of_seven(records.manifest_data()["jobs"][0])]
    lost = wobbling({"mamba-1": 13, "phi-1": 30})
    findings = verdict(tmp_path, lost, **data).findings
    found = hold(findings, "cell", "mean", "ordering", "count", "concordance")
    cell = found[BOTH[0]]
    assert codes(cell) == ["few-settings", "too-few-draws"]
    assert {"machine-from-changes", "power-without-shift"} <= {each.code for each in cell.working}
    assert interval(cell, "measured") == (None, None)
    # 13 tosses at 0 shots and 13 at 5 are 12 of 130 answers apart or fewer.
    assert numbers(cell)["null divergence"] == pytest.approx(1200 / 130)
    assert codes(found["spikes"]) == ["few-settings", "not-reproduced-here", "places-agree"]
    assert [interval(found["spikes"], name) for name in BOTH] == [(None, None)] * 2
    for name, away in (("order", []), ("par", ["not-reproduced-here"])):
        assert codes(found[name]) == ["few-settings", *away, "no-spread"]
        gap = "difference, left less right"
        assert numbers(found[name])[gap] == pytest.approx(-26.154, abs=1e-3)
        assert interval(found[name], gap) == (None, None)


def test_claims_about_divergences_of_tuned_models(tmp_path: Path) -> None:
    divergence = {
        "kind": "tuned-divergence",
        "checkpoints": ["mamba-1"],
        "methods": ["lora-all"],
        "precision": "bfloat16",
    }
    shared = {
        "published": None,
        "task": "mmlu",
        "methods": ["lora-all"],
        "precisions": ["bfloat16"],
    }
    smaller = {"checkpoints": ["mamba-1"], "relation": "smaller", "above": None}
    claims = [
        tuned.cell(divergence, "12"),
        tuned.claim("bars", **shared, **smaller, others=[["mamba-2"]]) | {"id": "smaller"},
        tuned.claim("bars", **shared, checkpoints=list(MODELS), relation="some-above", others=[])
        | {"id": "above", "above": "1"},
    ]
    group = one_of_seven(tuned.group(MODELS, ARMS, ("mmlu",)))
    claimed = tuned.manifest([group], claims, number="20.0")
    evidence = tuned.run(tmp_path, claimed, lambda *at: 40 if at[1] == "full.float32" else 27)
    found = hold(judge(claimed, evidence, {}).findings, "cell", "bars")
    assert codes(found["it"])[-2:] == ["few-settings", "too-few-draws"]
    assert "machine-from-changes" in {each.code for each in found["it"].working}
    assert numbers(found["smaller"])["mean divergence of mamba-2 lora-all.bfloat16"] == 20
    # All 13 changes of 65 at both shots: a null of 12 of 130 answers, with one setting too.
    nulls = [v for each in found.values() for name, v in numbers(each).items() if "null" in name]
    assert nulls
    assert nulls == pytest.approx([1200 / 130] * len(nulls))


def test_claims_about_scores_of_tuned_models(tmp_path: Path) -> None:
    left, right = "lora-all.bfloat16", "lora-sll.bfloat16"
    columns = [{"task": "piqa", "metric": "accuracy"}]
    sides = {
        side: [{"checkpoint": name, "arm": arm} for name in MODELS]
        for side, arm in (("left", left), ("right", right))
    }
    score = {
        "kind": "score",
        "checkpoint": "mamba-1",
        "method": "lora-all",
        "precision": "bfloat16",
        **columns[0],
    }
    ratio = {"kind": "improvement-ratio", **sides, "unit": "points", "average": "mean-first"}
    both = {"checkpoints": list(MODELS), "left": left, "right": right, "columns": columns}
    improvement = {"relation": "all-positive", "others": [], "shots": [1, 3, 5]}
    claims = [
        tuned.cell(score, "12") | {"id": "score"},
        tuned.cell(ratio, "12") | {"id": "ratio"},
        tuned.claim("measured-wins", published="two", out_of="two", **both) | {"id": "wins"},
        tuned.claim("improvement", published=None, of=sides["left"], **improvement),
    ]
    group = one_of_seven(tuned.group(MODELS, (left, right), tuned.TASKS))
    claimed = tuned.manifest([group], claims, number="60.0", two="2")
    evidence = tuned.run(tmp_path, claimed, lambda *at: 50 + at[4] + (at[1] == left))
    found = hold(judge(claimed, evidence, {}).findings, "cell", "measured-wins", "improvement")
    better = "mamba-1 piqa accuracy, better by"
    assert (numbers(found["wins"])[better], interval(found["wins"], better)) == (1, (None, None))
    few = ["few-settings", "not-reproduced-here", "too-few-draws"]
    assert codes(found["ratio"]) == ["open-factors", *few]


@pytest.mark.parametrize(
    ("value", "span", "expected"),
    [
        (1.0, (-1.0, 2.0), (-1.0, 2.0)),
        (1.0, (-math.inf, math.inf), (None, None)),
        (1.0, None, (None, None)),
    ],
)
def test_ends_of_an_estimate(
    value: float, span: tuple[float, float] | None, expected: tuple[float | None, ...]
) -> None:
    [one] = shown.estimate("a", value, span, "points")
    assert (one.label, one.value, (one.low, one.high), one.unit) == ("a", value, expected, "points")
    assert shown.estimate("a", math.nan, span) == shown.estimate("a", math.inf, span) == ()
