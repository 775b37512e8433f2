"""Names in a manifest that nobody knows: where they stand, and what they may have been.

Oracle: the bundle's manifests, which load, and one misspelt name in each case.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from repro import paths
from repro.errors import BadInputError
from repro.schema import validate
from repro.text import known_names, plural

Data = dict[str, Any]


def problems(folder: Path, name: str, change: Callable[[Data], Any]) -> list[str]:
    """Every problem of one of the bundle's manifests with a change."""
    data = json.loads((paths.MANIFESTS / f"{name}.json").read_bytes())
    change(data)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(data))
    with pytest.raises(BadInputError) as caught:
        validate.load_manifest(path)
    at, found = f"{path}: $.", caught.value.problems
    assert all(each.where.startswith(at) for each in found)
    return [f"{each.where.removeprefix(at)}: {each.found} | {each.expected}" for each in found]


def group(data: Data) -> Data:
    found: Data = data["jobs"][0]
    return found


def smoke(data: Data) -> Data:
    found: Data = group(data)["tiers"]["smoke"]
    return found


CHECKPOINTS = "`checkpoints` of catalog/checkpoints.json has them, docs/researcher.md adds one"
DATA = "`instructions` of catalog/datasets.json has them, docs/researcher.md adds some"


@pytest.mark.parametrize(
    ("name", "change", "where", "near", "advice"),
    [
        (
            "table1",
            lambda d: group(d)["checkpoints"].append("pythia-14b"),
            "jobs[0].checkpoints[12]: 'pythia-14b', which is no known checkpoint",
            "pythia-1.4b, pythia-1b, ",
            CHECKPOINTS,
        ),
        (
            "table1",
            lambda d: smoke(d)["stand_ins"].update(mamba="mamba-twim"),
            "jobs[0].tiers.smoke.stand_ins.mamba: 'mamba-twim', which is no known checkpoint",
            "mamba-twin, ",
            CHECKPOINTS,
        ),
        (
            "table1",
            lambda d: smoke(d)["stand_ins"].update(mambas="mamba-twin"),
            "jobs[0].tiers.smoke.stand_ins: 'mambas', which is no known family",
            "mamba, ",
            "repro/schema/families.py has them",
        ),
        (
            "table1",
            lambda d: smoke(d)["subjects"].insert(1, "anatomie"),
            "subjects[1]: 'anatomie', which is no known subject of MMLU",
            "anatomy, ",
            "`subjects` of mmlu in catalog/datasets.json has them",
        ),
        (
            "table1",
            lambda d: group(d).update(shots=[0, 6]),
            "jobs[0].shots[1]: 6 solved examples",
            "at most 5: MMLU has no more",
            "",
        ),
        (
            "figure1",
            lambda d: next(q for q in group(d)["questions"] if q["task"] == "mmlu").update(
                shots=[0, 1, 3, 5, 25]
            ),
            "shots[4]: 25 solved examples",
            "at most 5: MMLU has no more",
            "",
        ),
        (
            "figure1",
            lambda d: group(d)["checkpoints"][0].update(checkpoint="mamba-130"),
            "jobs[0].checkpoints[0].checkpoint: 'mamba-130', which is no known checkpoint",
            "mamba-130m, ",
            CHECKPOINTS,
        ),
        (
            "figure1",
            lambda d: group(d)["recipe"].update(data="alpacca"),
            "jobs[0].recipe.data: 'alpacca', which is no known instruction data",
            "alpaca, ",
            DATA,
        ),
        (
            "figure1",
            lambda d: smoke(d)["smaller"].update(data="sum"),
            "jobs[0].tiers.smoke.smaller.data: 'sum', which is no known instruction data",
            "sums, ",
            DATA,
        ),
        (
            "figure2",
            lambda d: group(d)["checkpoints"][0].update(checkpoint="mamba-130"),
            "jobs[0].checkpoints[0].checkpoint: 'mamba-130', which is no known checkpoint",
            "mamba-130m, ",
            CHECKPOINTS,
        ),
        (
            "stability",
            lambda d: group(d)["job"].update(checkpoint="mamba-twine"),
            "jobs[0].job.checkpoint: 'mamba-twine', which is no known checkpoint",
            "mamba-twin, ",
            CHECKPOINTS,
        ),
        (
            "stability",
            lambda d: group(d)["job"].update(checkpoint="gpt-neox-twin"),
            "jobs[0].job.checkpoint: 'gpt-neox-twin', of the family gpt-neox",
            "mamba-130m, ",
            "",
        ),
        (
            "theorem3",
            lambda d: next(g for g in d["jobs"] if g["job"]["kind"] == "tuning")["job"][
                "recipe"
            ].update(data="summs"),
            ".job.recipe.data: 'summs', which is no known instruction data",
            "sums, ",
            DATA,
        ),
        (
            "table1",
            lambda d: smoke(d)["settings"].append("batch-61"),
            "jobs[0].tiers.smoke.settings: 'batch-61', which is not defined",
            "batch-16, ",
            "",
        ),
        (
            "table1",
            lambda d: d["claims"][0]["measure"].update(checkpoint="mamba-13m"),
            "claims[0].measure: mamba-13m in float16 and float32",
            "mamba-130m, ",
            "",
        ),
        (
            "table4",
            lambda d: next(c for c in d["claims"] if c["kind"] == "wins")["comparisons"][0].update(
                right="T9"
            ),
            ".comparisons[0].right: 'T9', which is not defined",
            "T",
            "",
        ),
        (
            "figure1",
            lambda d: next(c for c in d["claims"] if c["kind"] == "bars")["checkpoints"].append(
                "mamba-13m"
            ),
            ": mamba-13m as ",
            "mamba-130m as ",
            "",
        ),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(
    tmp_path: Path, name: str, change: Callable[[Data], Any], where: str, near: str, advice: str
) -> None:
    found = [each for each in problems(tmp_path, name, change) if where in each]
    assert found
    for each in found:
        assert (near if near.startswith("at most") else f"one of {near}") in each
        assert each.endswith(advice)


def test_dtypes_that_no_evaluation_runs_are_told_with_those_that_one_does(tmp_path: Path) -> None:
    def change(data: Data) -> None:
        group(data)["dtypes"].remove("float16")

    found = problems(tmp_path, "table1", change)
    assert (
        "claims[0].measure: mamba-130m in float16 and float32 | a checkpoint and dtypes that one "
        "evaluation of this manifest runs: mamba-130m in float32 and bfloat16"
    ) in found


def names_in(value: Any, at: str) -> Iterator[tuple[str, Any, Any]]:
    """Where a name of the catalog stands in the jobs of a manifest, with its container and key."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        where = f"{at}[{key}]" if isinstance(value, list) else f"{at}.{key}"
        listed = at.endswith((".checkpoints", ".subjects", ".stand_ins"))
        if isinstance(inner, str) and (listed or key in ("checkpoint", "data")):
            yield where, value, key
        if isinstance(inner, dict | list) and key != "left_open":  # by fields of the recipe
            yield from names_in(inner, where)


@pytest.mark.parametrize("path", sorted(paths.MANIFESTS.glob("*.json")), ids=lambda p: p.stem)
def test_no_name_goes_unnoticed(tmp_path: Path, path: Path) -> None:
    """Every name of the catalog is misspelt. Oracle: a walk through the file, by its keys."""
    places: list[str] = []

    def change(data: Data) -> None:
        for where, container, key in names_in(data["jobs"], "jobs"):
            container[key] = "no-such-name"
            places.append(where)
        data["id"] = "x"  # one problem in any case

    found = problems(tmp_path, path.stem, change)
    told = [each.partition(": ")[0] for each in found if "'no-such-name', which is no" in each]
    assert sorted(told) == sorted(places)


# -----------------------------------------------------------------------------
# Words


def test_candidates_are_cut_after_six_and_the_nearest_come_first() -> None:
    names = ["a1", "b1", "c1", "d1", "e1", "f1", "xyz"]
    assert known_names("xy", names) == "one of xyz, a1, b1, c1, d1, e1 … (7 in all)"
    assert known_names("q", names[:2]) == "one of a1, b1"
    assert known_names("a1b", ["b1", "a1", "a1"]) == "one of a1, b1"
    assert known_names("q", []) == "a defined name; none is defined"


def test_one_is_counted_in_the_singular() -> None:
    counts = [plural(number, "pair") for number in (0, 1, 2, 1000)]
    assert counts == ["0 pairs", "1 pair", "2 pairs", "1,000 pairs"]
