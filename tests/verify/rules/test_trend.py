"""Trends of printed values. Oracles: the signs of the steps, by hand from Table 3."""

import pytest
from printed_pages import decide, named, outcome

from repro.schema.causes import cause

MAMBA = {"fp16": "0.03 0.05 0.21 0.04 0.15", "bf16": "0.05 0.20 0.66 0.31 1.17"}
MAMBA2 = {"fp16": "0.07 0.05 0.12 0.04 0.26", "bf16": "0.67 0.52 0.29 0.40 1.02"}
"""Divergences of Table 3, from the smallest model to the largest."""


@pytest.mark.parametrize(
    ("texts", "direction", "expected"),
    [
        ("0.18 0.28 0.33", "rising", "reproduced"),  # Figure 1, BF16
        ("0.1 0.14 0.54", "rising", "inconclusive"),  # Figure 1, FP16: 0.1 may be 0.149
        ("0.1 0.14 0.54", "falling", "contradicted"),
        ("0.12 0.13", "rising", "inconclusive"),  # both may be 0.125
        ("0.13 0.12", "rising", "contradicted"),  # at best equal
        ("0.2 0.2", "rising", "inconclusive"),
        ("1.0 1 0.9", "rising", "contradicted"),  # each step may rise, 0.9 is below 1.0
        ("3 2 1", "falling", "inconclusive"),
        ("5 3 1", "falling", "reproduced"),
        ("-1 2", "rising", "reproduced"),
    ],
)
def test_monotone(texts: str, direction: str, expected: str) -> None:
    values = named(texts.split())
    claim = {"kind": "monotone", "of": list(values), "direction": direction}
    assert outcome(values, claim) == expected


def test_monotone_names_the_step_that_breaks_it() -> None:
    values = named(["0.1", "0.5", "0.2"])
    found, _ = decide(values, {"kind": "monotone", "of": list(values), "direction": "rising"})
    assert found.causes == (cause("never", step="v1 0.5 to v2 0.2", direction="rising"),)
    assert (found.published, found.measured) == ("rising", "0.1, 0.5, 0.2")
    assert found.working[0] == cause("step-goes", step="v0 0.1 to v1 0.5", ways="rises")


@pytest.mark.parametrize(
    ("left", "right", "by", "above", "expected"),
    [
        (MAMBA["fp16"], MAMBA2["fp16"], "steps", None, "contradicted"),
        (MAMBA["bf16"], MAMBA2["bf16"], "steps", None, "contradicted"),
        (MAMBA["bf16"], MAMBA2["bf16"], "ranks", None, "contradicted"),
        (MAMBA["bf16"], MAMBA2["bf16"], "spikes", "1", "reproduced"),
        (MAMBA["fp16"], MAMBA2["fp16"], "spikes", "1", "reproduced"),
        (MAMBA["bf16"], MAMBA2["bf16"], "spikes", "1.1", "contradicted"),
        ("0.1 0.5 0.3", "1.0 5.0 3.0", "steps", None, "reproduced"),
        ("0.1 0.5 0.3", "1.0 5.0 3.0", "ranks", None, "reproduced"),
        ("0.1 0.5 0.3", "1.0 5.0 0.5", "steps", None, "reproduced"),
        ("0.1 0.5 0.3", "1.0 5.0 0.5", "ranks", None, "contradicted"),  # first and last
        ("0.1 0.5", "0.1 0.1", "steps", None, "inconclusive"),
        ("0.1 0.5", "0.2 0.1", "steps", None, "contradicted"),  # rises, at best stays
        ("1.00 0.20", "1.00 0.20", "spikes", "1", "inconclusive"),  # 1.00 may be 1.004
        ("0.99 0.20", "0.50 0.20", "spikes", "0.995", "reproduced"),  # exclusive
        ("1.20 0.20", "0.50 0.20", "spikes", "1", "contradicted"),
    ],
)
def test_concordance(left: str, right: str, by: str, above: str | None, expected: str) -> None:
    sides = named(left.split(), "m"), named(right.split(), "n")
    claim = {
        "kind": "concordance",
        "basis": "printed",
        "left": list(sides[0]),
        "right": list(sides[1]),
        "by": by,
    }
    assert outcome({**sides[0], **sides[1]}, {**claim, "above": above}) == expected


def test_concordance_names_the_step_that_differs() -> None:
    sides = named(MAMBA["fp16"].split(), "m"), named(MAMBA2["fp16"].split(), "n")
    claim = {
        "kind": "concordance",
        "basis": "printed",
        "left": list(sides[0]),
        "right": list(sides[1]),
        "by": "steps",
    }
    found, _ = decide({**sides[0], **sides[1]}, claim)
    where = "m0 0.03 to m1 0.05 and n0 0.07 to n1 0.05"
    assert found.causes == (
        cause("places-agree", places="steps", same=3, differ=1, open=0, total=4),
        cause("place", where=where, left="rises", right="falls"),
    )
    assert found.measured == "0.07, 0.05, 0.12, 0.04, 0.26"
    assert len(found.working) == 4
