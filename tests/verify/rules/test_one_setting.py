"""What findings say where there was one setting: that there is no spread, in words.

Oracle: no text of any finding has "nan" or "inf" in it, and nothing is decided.
"""

import re
from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_tuning as tuned
import pytest
from made_up_worlds import BOTH, sentence, table, verdict, wobbling

from repro.schema.finding import Finding
from verify import shown
from verify.judge import judge

MODELS = ("mamba-1", "mamba-2")
ARMS = ("full.float32", "lora-all.bfloat16", "lora-sll.bfloat16")
NO_NUMBER = re.compile(r"\b(nan|inf)\b")


def texts(finding: Finding) -> list[str]:
    """Everything that a person reads."""
    sides = (finding.published, finding.measured, finding.margin)
    return [*sides, finding.reason, finding.direction, *finding.working]


def hold(findings: tuple[Finding, ...], *kinds: str) -> dict[str, Finding]:
    """Check what is true of every finding of one setting."""
    assert {each.kind for each in findings} == set(kinds)
    for each in findings:
        assert each.outcome == "inconclusive"
        assert not [text for text in texts(each) if NO_NUMBER.search(text)]
    return {each.claim: each for each in findings}


def one_of_five(group: dict[str, Any]) -> dict[str, Any]:
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
    ]
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, more=more)
    data["jobs"] = [one_of_five(records.manifest_data()["jobs"][0])]
    lost = wobbling({"mamba-1": 13, "phi-1": 30})
    findings = verdict(tmp_path, lost, **data).findings
    found = hold(findings, "cell", "mean", "ordering", "count")
    cell = found[BOTH[0]]
    assert cell.reason == "1 of the 5 settings needed; 1 setting, two needed to know a spread"
    assert cell.working[0] == (
        "a setting loses 25 answers and wins 0; no null divergence: one setting alone"
    )
    assert cell.working[3] == "power 0.00; no shift, however large, is noticed 9 times in 10"
    for name in ("order", "par"):
        assert found[name].reason == (
            "1 of the 5 settings needed; difference -26.154, no spread: one setting alone; "
            "supports no ordering"
        )


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
    group = one_of_five(tuned.group(MODELS, ARMS, ("mmlu",)))
    claimed = tuned.manifest([group], claims, number="20.0")
    evidence = tuned.run(tmp_path, claimed, lambda *at: 40 if at[1] == "full.float32" else 27)
    found = hold(judge(claimed, evidence, {}).findings, "cell", "bars")
    assert found["it"].working[1] == "no null divergence: one setting alone"
    assert (
        found["smaller"]
        .working[0]
        .endswith(": 20.000 and 20.000; no null divergence: one setting alone")
    )


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
    group = one_of_five(tuned.group(MODELS, (left, right), tuned.TASKS))
    claimed = tuned.manifest([group], claims, number="60.0", two="2")
    evidence = tuned.run(tmp_path, claimed, lambda *at: 50 + at[4] + (at[1] == left))
    found = hold(judge(claimed, evidence, {}).findings, "cell", "measured-wins", "improvement")
    assert (
        found["wins"]
        .working[1]
        .startswith(
            "mamba-1 piqa accuracy: 51.00 against 50.00, better by +1.00 (no spread: one setting "
            "alone), z "
        )
    )
    assert (
        "the improvement that is divided by may be 0: no spread: one setting alone; "
        in found["ratio"].reason
    )


@pytest.mark.parametrize(
    ("span", "settings", "expected"),
    [
        ((-1.0, 2.0), 5, "from -1.0 to 2.0"),
        ((float("-inf"), float("inf")), 5, "no ends: a value is no finite number"),
        ((float("-inf"), float("inf")), 1, "no spread: one setting alone"),
    ],
)
def test_ends_of_an_interval(span: tuple[float, float], settings: int, expected: str) -> None:
    assert shown.ends(span, settings, "from {:.1f} to {:.1f}") == expected
