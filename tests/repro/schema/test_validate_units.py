"""Units that a claim cannot be about. Oracle: one changed unit in a manifest that loads."""

import json
from pathlib import Path
from typing import Any

import pytest
from own_manifests import manifest_of

from repro import paths
from repro.errors import BadInputError
from repro.schema import validate


def problems(folder: Path, name: str, data: dict[str, Any]) -> list[str]:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(data))
    try:
        validate.load_manifest(path)
    except BadInputError as error:
        at = f"{path}: $."
        return [f"{e.where.removeprefix(at)} | {e.found} | {e.expected}" for e in error.problems]
    return []


def bundled(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((paths.MANIFESTS / f"{name}.json").read_bytes())
    return found


@pytest.mark.parametrize(
    ("name", "kind", "field", "unit", "expected"),
    [
        ("table1", "cell", "published", "percent", "percentage points"),  # a divergence
        ("figure1", "cell", "published", "times", "percentage points"),
        ("table4", "cell", "published", "percentage points", "percent"),  # an accuracy
        ("figure3", "cell", "published", "times", "percent"),  # an improvement
        ("figure2", "cell", "published", "GB", "times"),  # a speed
        (
            "table1",
            "count",
            "published",
            "percentage points",
            "the unit of a count, e.g. comparisons",
        ),
        ("table4", "measured-wins", "published", "%", "the unit of a count, e.g. comparisons"),
        ("table4", "wins", "published", "times", "the unit of a count, e.g. comparisons"),
        ("figure4", "ratio", "published", "times", "percent"),  # percent more
        ("figure3", "fact", "published", "percent", "times"),
        ("table4", "whole-questions", "of", "points", "percent"),
        ("table1", "mean", "published", "percent", "one unit: they are compared"),
        ("table1", "ordering", "left", "percent", "one unit: they are compared"),
        ("table3", "concordance", "left", "percent", "one unit: they are compared"),
        ("table2", "repeat", "left", "tokens per step", "one unit: they are compared"),
        ("table2", "monotone", "of", "tokens per step", "one unit: they are compared"),
    ],
)
def test_a_unit_that_cannot_be_is_told(
    tmp_path: Path, name: str, kind: str, field: str, unit: str, expected: str
) -> None:
    data = bundled(name)
    wanted = [
        (index, each)
        for index, each in enumerate(data["claims"])
        if each["kind"] == kind
        and each.get("basis", "printed") == "printed"
        and (kind != "ratio" or each["form"] == "percent-more")
        and (name != "table4" or each.get("measure", {}).get("metric") != "perplexity")
        and (name != "figure2" or each["measure"].get("statistic") == "speed")
    ]
    index, claim = wanted[0]
    value = claim[field] if isinstance(claim[field], str) else claim[field][0]
    for each in data["published"]:
        if each["id"] == value:
            each["unit"] = unit
    found = [each for each in problems(tmp_path, name, data) if f"claims[{index}]." in each]
    (one,) = [each for each in found if each.endswith(f"| {expected}")]
    assert repr(unit) in one


def test_the_unit_of_a_baseline_is_one_of_its_row(tmp_path: Path) -> None:
    """It would decide nothing, and never say so."""
    data = bundled("table4")
    index = next(i for i, each in enumerate(data["claims"]) if each["kind"] == "baseline")
    data["claims"][index]["units"] = "per cent"
    (found,) = problems(tmp_path, "table4", data)
    assert found.startswith(f"claims[{index}].units | 'per cent' | the unit of a column of the row")


def test_other_words_for_a_unit_are_taken(tmp_path: Path) -> None:
    data = bundled("table1")
    for each in data["published"]:
        each["unit"] = {"percentage points": "points"}.get(each["unit"], each["unit"])
    assert problems(tmp_path, "table1", data) == []


@pytest.mark.parametrize(
    ("form", "unit", "wrong"),
    [
        ("times", "MB per parameter", ""),
        ("times", "times", "published | more in 'times' | MB per parameter"),
        ("percent-more", "percent", "of | values in 'MB' and 'parameter' | one unit: they are"),
    ],
)
def test_a_ratio_of_two_units_is_a_rate(tmp_path: Path, form: str, unit: str, wrong: str) -> None:
    data = manifest_of("ours")
    for each, of in zip(data["published"], ("parameter", "MB", unit), strict=True):
        each["unit"] = of
    data["claims"][0]["form"] = form
    found = problems(tmp_path, "ours", data)
    assert found == [] if not wrong else found[0].startswith(f"claims[0].{wrong}")
