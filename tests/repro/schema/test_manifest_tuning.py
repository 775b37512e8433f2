"""Manifests of tuned models that match the schema and make no sense: which words refuse them.

Oracle: the same manifest without the change loads.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_tuning as tuned
import pytest

from repro.errors import BadInputError
from repro.schema import validate

Data = dict[str, Any]
SUBJECTS = ["abstract_algebra", "anatomy"]
ARMS = ("full.float32", "lora-all.bfloat16", "lora-sll.bfloat16")
"""The checkpoints are of the catalog: it knows their families."""


def group(checkpoints: tuple[str, ...], tasks: tuple[str, ...], **changes: Any) -> Data:
    """A tuning group at tier full, of MMLU's own subjects."""
    found = tuned.group(checkpoints, changes.pop("arms", ARMS), tasks, **changes)
    del found["tiers"]["smoke"]
    if "mmlu" in tasks:
        found["tiers"]["full"]["subjects"] = list(SUBJECTS)
    for each in found["questions"]:
        each["shots"] = [0, 1, 3, 5]
    return found


def model(name: str, arm: str = "lora-all.bfloat16") -> dict[str, str]:
    return {"checkpoint": name, "arm": arm}


MAMBA, PYTHIA = ["mamba-130m", "mamba-370m"], ["pythia-160m", "pythia-410m"]


UNITS = {"score": "percent", "ratio": "percent", "wins": "comparisons"}
"""Of what is printed beside a claim; points else."""


def claims() -> dict[str, Data]:
    """One sound claim of each kind, by its id."""
    divergence = {
        "kind": "tuned-divergence",
        "checkpoints": MAMBA,
        "methods": ["lora-all", "lora-sll"],
        "precision": "bfloat16",
    }
    score = {
        "kind": "score",
        "checkpoint": "mamba-130m",
        "method": "lora-all",
        "precision": "bfloat16",
        "task": "piqa",
        "metric": "accuracy",
    }
    ratio = {
        "kind": "improvement-ratio",
        "left": [model(name) for name in MAMBA],
        "right": [model(name, "pretrained") for name in PYTHIA],
        "unit": "points",
        "average": "mean-first",
    }
    bars = {
        "published": None,
        "task": "mmlu",
        "checkpoints": MAMBA,
        "methods": ["lora-all"],
        "precisions": ["bfloat16"],
        "relation": "smaller",
        "above": None,
        "others": [PYTHIA],
    }
    improvement = {
        "published": None,
        "of": [model(name) for name in MAMBA],
        "relation": "above-partner",
        "others": [model(name) for name in PYTHIA],
        "shots": [1, 3, 5],
    }
    wins = {
        "published": "number",
        "out_of": "all",
        "checkpoints": MAMBA,
        "left": "lora-all.bfloat16",
        "right": "lora-sll.bfloat16",
        "columns": [
            {"task": "piqa", "metric": "accuracy"},
            {"task": "hellaswag", "metric": "accuracy_norm"},
        ],
    }
    found = {
        "divergence": tuned.cell(divergence, "1"),
        "score": tuned.cell(score, "1"),
        "ratio": tuned.cell(ratio, "1"),
        "bars": tuned.claim("bars", **bars),
        "improvement": tuned.claim("improvement", **improvement),
        "wins": tuned.claim("measured-wins", **wins),
    }
    for each in found.values():
        each.pop("margin", None)  # computed
    return {name: {**each, "id": name} for name, each in found.items()}


def data_of(names: list[str] | None = None) -> Data:
    """A manifest with two groups and some of the claims."""
    known = claims()
    chosen = [known[name] for name in names or known]
    both = (*MAMBA, *PYTHIA)
    groups = [
        group(both, ("mmlu",), id="divergences"),
        group(both, (*tuned.TASKS, tuned.WORDS), id="scores"),
    ]
    found: Data = json.loads(tuned.manifest(groups, chosen, number="2", all="4").model_dump_json())
    for claim in found["claims"]:
        if claim["id"] in UNITS:
            one, every = found["published"][:2]
            claim["published"] = f"number.{claim['id']}"
            unit = UNITS[claim["id"]]
            found["published"].append({**one, "id": claim["published"], "unit": unit})
            if "out_of" in claim:
                claim["out_of"] = "all.wins"
                found["published"].append({**every, "id": "all.wins", "unit": unit})
    return found


def problems(folder: Path, data: Data) -> list[str]:
    path = folder / "table9.json"
    path.write_text(json.dumps(data))
    try:
        validate.load_manifest(path)
    except BadInputError as error:
        return [
            f"{each.where.partition('$.')[2]}: {each.found} | {each.expected}"
            for each in error.problems
        ]
    return []


def test_what_makes_sense_is_taken(tmp_path: Path) -> None:
    # The first group of a checkpoint and arm is meant, and it has to ask what a claim needs.
    for names, drop in (
        (["divergence", "bars"], 1),
        (["score", "ratio", "improvement", "wins"], 0),
    ):
        data = data_of(names)
        del data["jobs"][drop]
        assert problems(tmp_path, data) == []


def sound(name: str) -> Data:
    data = data_of([name])
    del data["jobs"][1 if name in {"divergence", "bars"} else 0]
    return data


# -----------------------------------------------------------------------------
# Groups


def tier(data: Data) -> Data:
    found: Data = data["jobs"][0]["tiers"]["full"]
    return found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["jobs"][0]["arms"].append(d["jobs"][0]["arms"][1]), "arms: the arm lora-all"),
        (
            lambda d: d["jobs"][0]["left_open"].update(warm_up="not given"),
            "left_open: 'warm_up' | a field of the recipe: data, rows, ",
        ),
        (
            lambda d: tier(d)["seeds"].pop(),
            "tiers.full.seeds: 6 seeds for 7 settings | one for each",
        ),
        (
            lambda d: (tier(d)["settings"].pop(), tier(d)["seeds"].pop()),
            "tiers.full.settings: 6 settings | at least 7",
        ),
        (
            lambda d: tier(d).update(settings=["batch-4"] * 7),
            "tiers.full.settings: 1 setting | at least 7",
        ),
        (
            lambda d: (
                [
                    each.update(attention_float32="eager", attention_half="eager")
                    for each in d["settings"]
                ]
                and [each.update(mamba_path="slow") for each in d["settings"]]
            ),
            "tiers.full.settings: one kernel | two, of attention or of Mamba's scan",
        ),
        (
            lambda d: tier(d)["settings"].__setitem__(0, "batch-3"),
            "tiers.full.settings: 'batch-3', which is not defined | one of batch-32, ",
        ),
        (
            lambda d: tier(d).update(precisions=["bfloat16"]),
            "tiers.full.precisions: bfloat16 without float32 | that of the reference, full.float32",
        ),
        (
            lambda d: tier(d).update(tasks=["mmlu", "piqa"]),
            "tiers.full.tasks: 'piqa', which the group does not ask | of mmlu",
        ),
        (
            lambda d: tier(d).update(subjects=[]),
            "tiers.full.subjects: 0 subjects | some with the task mmlu, none without",
        ),
        (
            lambda d: tier(d).update(subjects=["alchemy"]),
            "tiers.full.subjects[0]: 'alchemy', which is no known subject of MMLU | one of ",
        ),
    ],
)
def test_groups_that_make_no_sense(
    tmp_path: Path, change: Callable[[Data], Any], words: str
) -> None:
    data = sound("divergence")
    change(data)
    found = problems(tmp_path, data)
    assert any(each.startswith(f"jobs[0].{words}") for each in found), found


@pytest.mark.parametrize(
    ("checkpoint", "method", "refused"),
    [
        ("openelm-270m", "lora-sll", True),
        ("openelm-270m", "lora-all", False),
        ("mamba2-130m", "lora-sll", True),
        ("mamba2-130m", "lora-w", False),
        ("mamba-130m", "lora-not-w", False),
        ("pythia-160m", "lora-sll", False),
        ("pythia-160m", "lora-w", True),
        ("pythia-160m", "lora-not-w", True),
    ],
)
def test_methods_whose_layers_the_paper_does_not_name(
    tmp_path: Path, checkpoint: str, method: str, *, refused: bool
) -> None:
    data = sound("divergence")
    arms = ("full.float32", "lora-all.bfloat16", "lora-sll.bfloat16")
    extra = ("full.float32", f"{method}.bfloat16")
    groups = [group(tuple(MAMBA), ("mmlu",), arms=arms, id="a")]
    groups.append(group((checkpoint,), ("mmlu",), arms=extra, id="b"))
    data["jobs"] = groups
    found = problems(tmp_path, data)
    assert bool(found) == refused
    if refused:
        assert found[0].startswith(f"jobs[1].checkpoints[0]: {checkpoint}, a ")
        assert f" model, with an arm {method} | " in found[0]


# -----------------------------------------------------------------------------
# Claims


def nobody(data: Data) -> None:
    data["jobs"][0]["checkpoints"] = data["jobs"][0]["checkpoints"][1:]


def no_arm(data: Data) -> None:
    data["jobs"][0]["arms"] = data["jobs"][0]["arms"][:1]


def in_bfloat16(data: Data) -> None:
    for each in data["jobs"][0]["questions"]:
        each["dtypes"] = ["bfloat16"]


def of_the_first(data: Data) -> None:
    for each in data["jobs"][0]["questions"]:
        each["of"] = "first-arm"


@pytest.mark.parametrize("name", list(claims()))
@pytest.mark.parametrize("change", [nobody, no_arm, in_bfloat16, of_the_first])
def test_claims_on_what_no_group_runs(
    tmp_path: Path, name: str, change: Callable[[Data], None]
) -> None:
    data = sound(name)
    assert problems(tmp_path, data) == []
    change(data)
    words = {
        nobody: "mamba-130m as lora-all.bfloat16 | a checkpoint and arm that a tuning group",
        no_arm: "mamba-130m as lora-all.bfloat16 | a checkpoint and arm that a tuning group",
        in_bfloat16: " shots in float32, asked of every arm",
        of_the_first: " shots in float32, asked of every arm",
    }[change]
    if name == "score":
        asked = "mamba-130m as lora-all.bfloat16 on piqa at 0 shots in float32"
        words = f"measure: {asked} | what a group of this manifest asks in every arm: "
    found = problems(tmp_path, data)
    assert found
    assert any(words in each for each in found), found
    at = "measure" if name in {"divergence", "score", "ratio"} else "of"
    assert found[0].startswith(f"claims[0].{at}: ")


def test_pretrained_models_are_run_only_where_the_group_says_so(tmp_path: Path) -> None:
    data = sound("ratio")
    data["jobs"][0]["pretrained"] = False
    found = problems(tmp_path, data)
    assert "pythia-160m as pretrained" in found[0]


@pytest.mark.parametrize("missing", [0, 1, 5])
def test_an_improvement_needs_its_shots(tmp_path: Path, missing: int) -> None:
    for name in ("ratio", "improvement"):
        data = sound(name)
        for each in data["jobs"][0]["questions"]:
            if each["task"] == "winogrande":
                each["shots"].remove(missing)
        found = problems(tmp_path, data)
        assert len(found) == 1
        assert "nothing that scores asks | winogrande at 0, 1, 3, 5 shots" in found[0]


@pytest.mark.parametrize("missing", [0, 1, 3, 5])
def test_bars_need_their_shots(tmp_path: Path, missing: int) -> None:
    data = sound("bars")
    data["jobs"][0]["questions"][0]["shots"].remove(missing)
    (found,) = problems(tmp_path, data)
    assert found.endswith("asks | mmlu at 0, 1, 3, 5 shots in float32, asked of every arm")


def test_bars_need_their_task(tmp_path: Path) -> None:
    """A group that asks MMLU says nothing about WinoGrande, and the other way round."""
    data = sound("bars")
    data["claims"][0]["task"] = "winogrande"
    (found,) = problems(tmp_path, data)
    asked = "winogrande at 0, 1, 3, 5 shots in float32, asked of every arm"
    assert found == f"claims[0].of: nothing that divergences asks | {asked}"
    both = (*MAMBA, *PYTHIA)
    data["jobs"] = [group(both, ("winogrande",), id="divergences")]
    assert problems(tmp_path, data) == []
    data["claims"][0]["task"] = "mmlu"
    assert "nothing that divergences asks | mmlu at 0, 1, 3, 5" in problems(tmp_path, data)[0]


def test_bars_name_their_task(tmp_path: Path) -> None:
    for wrong in ({}, {"task": "piqa"}):
        data = sound("bars")
        del data["claims"][0]["task"]
        data["claims"][0] |= wrong
        found = problems(tmp_path, data)
        assert len(found) == 1
        assert found[0].startswith("claims[0]")
        assert ("piqa at 0, 1, 3, 5 shots" if wrong else "task") in found[0]


def test_a_reference_does_not_diverge_from_itself(tmp_path: Path) -> None:
    data = sound("divergence")
    data["claims"][0]["measure"] |= {"methods": ["full"], "precision": "float32"}
    found = problems(tmp_path, data)
    assert found[0].startswith("claims[0].measure: full.float32, the reference itself | ")


def test_models_of_one_claim_share_their_settings(tmp_path: Path) -> None:
    data = sound("bars")
    data["jobs"] = [group(tuple(each), ("mmlu",), id=each[0]) for each in (MAMBA, PYTHIA)]
    assert problems(tmp_path, data) == []
    data["jobs"][1]["tiers"]["full"]["seeds"].reverse()
    found = problems(tmp_path, data)
    assert found == [
        "claims[0].of: models of mamba-130m, pythia-160m | the same settings and seeds at tier full"
    ]


def relation(name: str, **fields: Any) -> Callable[[Data], None]:
    return lambda data: data["claims"][0].update(relation=name, **fields)


def measure(**fields: Any) -> Callable[[Data], None]:
    return lambda data: data["claims"][0]["measure"].update(**fields)


ONE, TWO = [model("mamba-130m")], [model(name) for name in MAMBA]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("bars", relation("smaller", others=[]), "others: 0 groups | some with smaller"),
        (
            "bars",
            relation("smaller-beyond-null", others=[]),
            "others: 0 groups | some with",
        ),
        ("bars", relation("smaller-beyond-null", above="1"), "above: '1' | a threshold with none"),
        ("bars", relation("smaller", above="1"), "above: '1' | a threshold with none-above"),
        ("bars", relation("none-above", others=[]), "above: None | a threshold with none-above"),
        ("bars", relation("some-above", above="1"), "others: 1 group | some with smaller"),
        (
            "improvement",
            relation("above-partner", others=ONE),
            "others: 1 model for 2 | a partner",
        ),
        ("improvement", relation("rising"), "others: 2 models for rising | none"),
        ("improvement", relation("below-all", others=[]), "others: 0 models for below-all | at l"),
        ("improvement", relation("highest"), "of: 2 models for highest | one"),
        (
            "improvement",
            relation("apart-lowest", of=ONE, others=ONE),
            "others: 1 model for apart-lowest | at least 2",
        ),
        ("improvement", relation("not-monotone", others=[]), "of: 2 models for not-monotone | thr"),
        ("improvement", relation("above-partner", shots=[]), "shots: [] | shot counts in rising"),
        ("improvement", relation("above-partner", shots=[3, 1]), "shots: [3, 1] | shot counts in"),
        ("score", measure(metric="perplexity"), "measure: perplexity of piqa | accuracy or "),
        (
            "score",
            measure(task="winogrande", metric="accuracy_norm"),
            "measure: accuracy_norm of w",
        ),
        ("ratio", measure(left=ONE), "measure: 1 over 2 models | one a size each"),
        (
            "wins",
            lambda d: d["claims"][0]["columns"].pop(),
            "out_of: 2 comparisons for the printed",
        ),
        (
            "wins",
            lambda d: d["claims"][0]["columns"][0].update(metric="perplexity"),
            "columns[0]: perplexity of piqa | ",
        ),
        ("wins", lambda d: d["claims"][0].update(out_of="x"), "out_of: 'x', which is not defined"),
    ],
)
def test_fields_that_do_not_fit_each_other(
    tmp_path: Path, name: str, change: Callable[[Data], Any], words: str
) -> None:
    data = sound(name)
    change(data)
    found = problems(tmp_path, data)
    assert any(each.startswith(f"claims[0].{words}") for each in found), found


def test_measured_means_are_of_divergences(tmp_path: Path) -> None:
    """A score is no divergence: nothing here takes the mean of scores."""
    data = sound("score")
    place = {"value": "1", "origin": "made up"}
    fields = {"basis": "measured", "published": "number", "of": ["score"], "margin": place}
    data["claims"].append(tuned.claim("mean", **fields))
    found = problems(tmp_path, data)
    assert found == [
        "claims[1].of: 'score', which is not defined | a defined name; none is defined"
    ]


def test_an_improvement_over_benchmarks_of_ones_own(tmp_path: Path) -> None:
    """What is not named is the paper's five, and its own takes no line of Python."""
    data = sound("improvement")
    data["claims"][0]["benchmarks"] = [{"task": "piqa", "metric": "accuracy"}]
    for each in data["jobs"][0]["questions"]:
        if each["task"] != "piqa":
            each["shots"] = [0]
    assert problems(tmp_path, data) == []
    data["claims"][0]["benchmarks"] = [
        {"task": "piqa", "metric": "perplexity"},
        {"task": "piqa", "metric": "accuracy"},
    ]
    found = problems(tmp_path, data)
    assert any("benchmarks[0]: a perplexity | accuracies" in each for each in found)
    assert any("benchmarks[1]: piqa again | each task once" in each for each in found)
