"""Throughput groups and claims that make no sense. Oracle: what was spoilt in a manifest."""

from typing import Any

import made_up_records as records
import pytest
from job_groups import throughput_group

from repro.schema.manifest import Manifest
from repro.schema.validate import problems_of

GROUP = throughput_group("sizes", ["mamba-1"], ["full.float32"], [22.0])
RUN = {"group": "sizes", "checkpoint": "mamba-1", "arm": "full.float32", "fits": True}
MEASURE = {
    "kind": "throughput",
    "group": "sizes",
    "checkpoints": ["mamba-1"],
    "reference": "full.float32",
    "against": None,
    "statistic": "speed",
    "form": "mean",
    "hardware": "NVIDIA A10G",
}
CLAIMS: dict[str, dict[str, Any]] = {
    "fits": {"kind": "fits", "published": None, "runs": [RUN], "hardware": "NVIDIA A10G"},
    "cell": {"kind": "cell", "published": "it", "measure": MEASURE},
    "growing": {
        "kind": "growing",
        "published": None,
        "group": "sizes",
        "checkpoints": ["mamba-1", "mamba-1"],
        "reference": "full.float32",
        "hardware": "NVIDIA A10G",
    },
}


def manifest(group: dict[str, Any], claim: dict[str, Any]) -> Manifest:
    place = {"section": "5"}
    common = {"id": "it", "statement": "", "place": place, "depends_on": []}
    printed = {"id": "it", "text": "2.15", "unit": "times", "place": place}
    return records.manifest(
        published=[printed], settings=[], jobs=[GROUP | group], claims=[common | claim]
    )


def problems(group: dict[str, Any], claim: dict[str, Any]) -> list[tuple[str, str, str]]:
    """But for those of checkpoints, which are no catalog's."""
    made = manifest(group, claim)
    return [each for each in problems_of(made, made.id) if "known checkpoint" not in each[1]]


def found(claim: dict[str, Any]) -> list[tuple[str, str, str]]:
    return problems({}, claim)


@pytest.mark.parametrize("kind", CLAIMS)
def test_what_the_group_runs_is_no_problem(kind: str) -> None:
    assert found(CLAIMS[kind]) == []


@pytest.mark.parametrize(
    ("claim", "where", "what"),
    [
        (CLAIMS["fits"] | {"runs": [RUN, RUN | {"arm": "full"}]}, "runs[1].arms", "'full'"),
        (
            CLAIMS["fits"] | {"runs": [RUN | {"checkpoint": "mamba-2"}]},
            "runs[0].checkpoints",
            "'mamba-2'",
        ),
        (CLAIMS["fits"] | {"runs": [RUN | {"group": "x"}]}, "runs[0].group", "'x'"),
        (
            CLAIMS["cell"] | {"measure": MEASURE | {"against": "mamba-9"}},
            "measure.checkpoints",
            "'mamba-9'",
        ),
        (
            CLAIMS["cell"] | {"measure": MEASURE | {"reference": "lora-all.float16"}},
            "measure.arms",
            "'lora-all.float16'",
        ),
        (CLAIMS["growing"] | {"group": "x"}, "group", "'x'"),
        (CLAIMS["growing"] | {"reference": "x"}, "arms", "'x'"),
    ],
)
def test_names_that_the_group_does_not_have_are_found(
    claim: dict[str, Any], where: str, what: str
) -> None:
    ((at, shown, _),) = found(claim)
    assert at == f"claims[0].{where}"
    assert what in shown


@pytest.mark.parametrize("field", ["checkpoints", "arms", "memory_caps"])
def test_what_a_group_names_twice_is_found(field: str) -> None:
    (found,) = problems({field: GROUP[field] * 2}, CLAIMS["fits"])
    assert found[0] == f"jobs[0].{field}"


@pytest.mark.parametrize("typed", ["1", "0.58", "0"])
def test_a_typed_margin_is_the_computed_one(typed: str) -> None:
    """2.15 times as fast is no gain at 1: half of the distance."""
    claim = CLAIMS["cell"] | {"margin": {"value": typed, "origin": ""}}
    ((at, shown, expected),) = found(claim)
    assert (at, shown) == ("claims[0].margin.value", repr(typed))
    assert expected.startswith("0.575, half the distance from 2.15 to 1, no gain: leave it out")
    assert found(claim | {"margin": {"value": "0.5750", "origin": ""}}) == []
    assert manifest({}, CLAIMS["cell"]).cell("it").margin.value == "0.575"
