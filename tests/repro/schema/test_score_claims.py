"""Manifests about scores: the few lines that they take, and what makes no sense in them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro.errors import BadInputError
from repro.schema import catalog, validate
from repro.schema.catalog import checkpoints
from repro.schema.evaluation import added_setting
from repro.schema.jobs import BenchmarkJob
from repro.schema.kinds.standard_settings import STANDARD_SETTINGS
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim
from repro.schema.slots import slots
from repro.store.commitments import commitments_of
from verify.paper import paper_against_itself

Data = dict[str, Any]
A, B = "mamba-130m", "pythia-160m"
PLACE = {"section": "4"}


def score(name: str, **changes: Any) -> Data:
    whole = {"kind": "score", "checkpoint": name, "task": "arc_easy", "metric": "accuracy"}
    return {**whole, "left_open": [], **changes}


def manifest() -> Data:
    """Three claims of a paper of one's own."""
    texts = {"a": "47.2", "b": "45.2", "gap": "2", "fewer": "40"}
    units = {"gap": "points"}
    measures = {
        "a": score(A),
        "b": score(B),
        "gap": {"kind": "difference", "left": score(A), "right": score(B)},
        "fewer": {
            "kind": "percent-fewer",
            "left": {"kind": "parameters", "checkpoint": A},
            "right": {"kind": "parameters", "checkpoint": B},
        },
    }
    twins = {"stand_ins": {"mamba": "mamba-twin", "gpt-neox": "gpt-neox-twin"}}
    return {
        "schema_version": 1,
        "id": "ours",
        "title": "ours",
        "paper": {"arxiv": "2501.01234", "version": "v1"},
        "packages": {},
        "settings": "standard",
        "published": [
            {"id": name, "text": text, "unit": units.get(name, "percent"), "place": PLACE}
            for name, text in texts.items()
        ],
        "jobs": [
            {
                "kind": "evaluation",
                "id": "asked",
                "checkpoints": [A, B],
                "dtypes": ["float32"],
                "task": "arc_easy",
                "shots": [0],
                "tiers": {
                    "smoke": {"settings": ["batch-16"], "questions": 20, **twins},
                    "full": {},
                },
            }
        ],
        "claims": [
            {
                "id": name,
                "kind": "cell",
                "statement": "said",
                "place": PLACE,
                "depends_on": [],
                "published": name,
                "measure": measure,
            }
            for name, measure in measures.items()
        ],
    }


def load(folder: Path, data: Data) -> Manifest:
    path = folder / "ours.json"
    path.write_text(json.dumps(data))
    return validate.load_manifest(path)


def problems(folder: Path, data: Data) -> list[str]:
    with pytest.raises(BadInputError) as caught:
        load(folder, data)
    return [
        f"{each.where.partition('$.')[2]}: {each.found} | {each.expected}"
        for each in caught.value.problems
    ]


def test_few_lines_are_seven_settings_over_two_kernels(tmp_path: Path) -> None:
    found = load(tmp_path, manifest())
    assert found.settings == STANDARD_SETTINGS
    made = slots(found, "full", checkpoints())
    assert len(made) == 2 * len(STANDARD_SETTINGS)
    assert {each.setting for each in made} == {each.id for each in STANDARD_SETTINGS}
    (one, *_), jobs = slots(found, "smoke", checkpoints()), [each.job for each in made]
    assert one.id == f"{A}.pretrained.batch-16.arc_easy.float32"
    assert isinstance(one.job, BenchmarkJob)
    assert (one.job.checkpoint, one.job.questions, one.job.tuned) == ("mamba-twin", 20, None)
    assert all(isinstance(each, BenchmarkJob) and each.questions is None for each in jobs)


def test_what_beats_what_draws_the_margins_of_both(tmp_path: Path) -> None:
    cells = [each for each in load(tmp_path, manifest()).claims if isinstance(each, CellClaim)]
    assert [each.margin.value for each in cells] == ["1.0", "1.0", "1", "20"]
    alone = manifest()
    del alone["claims"][2]
    assert load(tmp_path, alone).cell("a").margin.value == "0"


def at(*steps: Any, **changes: Any) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        for step in steps:
            data = data[step]
        data.update(changes)

    return change


def without_left_open(data: Data) -> None:
    del data["claims"][0]["measure"]["left_open"]


def of_one_perplexity(data: Data) -> None:
    columns = [{"task": "arc_easy", "metric": "accuracy"}] * 2
    data["claims"][0]["measure"] = {
        "kind": "mean-score",
        "checkpoint": A,
        "left_open": [],
        "columns": [*columns, {"task": "lambada_openai", "metric": "perplexity"}],
    }


def asked_again(data: Data) -> None:
    data["jobs"].append({**data["jobs"][0], "id": "again"})


JOB, MEASURE = ("jobs", 0), ("claims", 0, "measure")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_left_open, "claims[0].measure.left_open: nothing | what the paper leaves open"),
        (at(*MEASURE, method="full"), "claims[0].measure: method full with precision None | both"),
        (at(*MEASURE, metric="perplexity"), "claims[0].measure: perplexity of arc_easy | accuracy"),
        (
            at(*MEASURE, shots=5),
            f"claims[0].measure: {A} as pretrained on arc_easy at 5 shots in f",
        ),
        (
            at(*MEASURE, dtype="float16"),
            "claims[0].measure: mamba-130m as pretrained on arc_easy at",
        ),
        (
            at(*MEASURE, task="piqa"),
            "claims[0].measure: mamba-130m as pretrained on piqa at 0 shots",
        ),
        (at(*MEASURE, checkpoint="pythia-1b"), "claims[0].measure: pythia-1b as pretrained on arc"),
        (of_one_perplexity, "claims[0].measure.columns[2]: a perplexity | accuracies"),
        (of_one_perplexity, "claims[0].measure.columns[1]: accuracy of arc_easy again | each once"),
        (at("published", 0, unit="points"), "claims[0].published: a in 'points' | percent"),
        (
            at("published", 2, unit="percent"),
            "claims[2].published: gap in 'percent' | percentage p",
        ),
        (
            at("claims", 2, "measure", right=score(A)),
            "claims[2].measure.right: the left side again",
        ),
        (
            at("claims", 3, "measure", left=score(A)),
            "claims[3].measure.right: parameters, and percent on the left side | one unit",
        ),
        (
            at("claims", 0, measure={"kind": "parameters", "checkpoint": A}),
            "claims[0].published: a in 'percent' | parameters",
        ),
        (
            at("claims", 0, measure={"kind": "parameters", "checkpoint": "pythia-1b"}),
            "claims[0].measure: pythia-1b as pretrained, asked anything | what a group",
        ),
        (
            at(*JOB, task="arc_esay"),
            "jobs[0].task: 'arc_esay', which is no known task | one of arc",
        ),
        (
            at(*JOB, "tiers", "full", subjects=["anatomy"]),
            "jobs[0].tiers.full.subjects: 1 subject |",
        ),
        (
            at(*JOB, task="mmlu"),
            "jobs[0].tiers.full.subjects: 0 subjects | some with the task mmlu",
        ),
        (
            at(*JOB, "tiers", "full", settings=["x"]),
            "jobs[0].tiers.full.settings: 'x', which is not",
        ),
        (asked_again, f"jobs[1]: {A} arc_easy float32 at tier smoke, which asked asks too | each"),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, change: Callable[[Data], None], words: str) -> None:
    data = manifest()
    change(data)
    found = problems(tmp_path, data)
    assert any(each.startswith(words) for each in found), found


def test_examples_that_the_data_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = dict(catalog.question_sets())
    bare = {"shot_characters": 0}
    monkeypatch.setattr(
        catalog,
        "question_sets",
        lambda: known | {"arc_easy": known["arc_easy"].model_copy(update=bare)},
    )
    data = manifest()
    at(*JOB, shots=[0, 5])(data)
    (found,) = problems(tmp_path, data)
    assert found.startswith(
        "jobs[0].shots[1]: 5 solved examples | 0: the data of arc_easy has no r"
    )


def test_a_field_that_is_left_out_is_no_commitment(tmp_path: Path) -> None:
    """Fields that groups come to have change no run file of a manifest that does not name them."""
    said = manifest()
    plain = commitments_of(load(tmp_path, said)).plan
    at(*JOB, "tiers", "full", questions=20)(said)
    assert commitments_of(load(tmp_path, said)).plan != plain


@pytest.mark.parametrize(
    ("form", "printed", "unit", "outcome"),
    [
        ("difference", "2.0", "points", "consistent"),
        ("difference", "2.4", "points", "contradicted"),
        ("percent-fewer", "-4.4", "percent", "consistent"),
        ("percent-fewer", "4.4", "percent", "contradicted"),
    ],
)
def test_the_page_against_itself(
    tmp_path: Path, form: str, printed: str, unit: str, outcome: str
) -> None:
    """47.2 - 45.2 = 2.0; 100 (1 - 47.2 / 45.2) = -4.42."""
    data = manifest()
    data["published"][2] |= {"text": printed, "unit": unit}
    data["claims"][2] = {
        **{name: data["claims"][2][name] for name in ("id", "statement", "place", "depends_on")},
        "kind": "ratio",
        "quote": "so it is printed",
        "published": "gap",
        "of": ["a", "b"],
        "form": form,
        "relation": "equals",
    }
    claimed = load(tmp_path, data)
    found = {each.claim: each for each in paper_against_itself(claimed).findings}
    assert found["gap"].outcome == outcome
    assert claimed.cell("a").margin.value == "1.0"  # the sentence compares the two
    data["published"][2]["unit"] = "cells"
    assert problems(tmp_path, data)[0].startswith("claims[2].published: gap in 'cells' | percent")


# -----------------------------------------------------------------------------
# One more setting


def test_one_more_setting(tmp_path: Path) -> None:
    claimed = load(tmp_path, manifest())
    added = added_setting.read("batch_size=12,order=length-ascending")
    found = added_setting.with_setting(claimed, added)
    assert len(found.settings) == len(claimed.settings) + 1
    new = found.settings[-1]
    first = STANDARD_SETTINGS[0]
    assert (new.batch_size, new.order, new.mamba_path) == (
        12,
        "length-ascending",
        first.mamba_path,
    )
    assert new.id == "batch-16.batch_size-12.order-length-ascending"
    for tier in ("smoke", "full"):
        before, after = (slots(each, tier, checkpoints()) for each in (claimed, found))
        extra = {each.id for each in after} - {each.id for each in before}
        assert extra == {f"{name}.pretrained.{new.id}.arc_easy.float32" for name in (A, B)}
    assert added_setting.with_setting(claimed, {}) is claimed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("batch_size=x,foo=3", ["batch_size=x", "foo=3"]),
        ("batch_size", ["no value"]),
        ("batch_size=0", ["greater than 0"]),
        ("order=up,order=down", ["order again"]),
        ("seed=q", ["a valid integer"]),
        (f"batch_size={2**63}", ["less than 9223372036854775808"]),
        (f"seed={2**63}", ["less than 9223372036854775808"]),
    ],
)
def test_every_mistake_of_a_setting_is_told(text: str, told: list[str]) -> None:
    with pytest.raises(BadInputError) as caught:
        added_setting.read(text)
    assert all(each in str(caught.value) for each in told), caught.value


@pytest.mark.parametrize(
    ("text", "told"),
    [("batch_size=16", "the setting batch-16 of ours"), ("seed=3", "no group that tunes in ours")],
)
def test_a_setting_that_adds_nothing(tmp_path: Path, text: str, told: str) -> None:
    claimed = load(tmp_path, manifest())
    with pytest.raises(BadInputError, match=told):
        added_setting.with_setting(claimed, added_setting.read(text))


def test_a_setting_of_tunings_has_a_seed() -> None:
    claimed = validate.load_manifests([Path("manifests/table4.json")])[0]
    found = added_setting.with_setting(claimed, added_setting.read("batch_size=12,seed=3"))
    full = found.jobs[0].tiers["full"]  # type: ignore[call-overload,index]
    before = claimed.jobs[0].tiers["full"]  # type: ignore[call-overload,index]
    assert (full.seeds, full.settings) == (
        (*before.seeds, 3),
        (*before.settings, "batch-16.batch_size-12.seed-3"),
    )


def test_the_manifest_of_the_page_is_sound(tmp_path: Path) -> None:
    """docs/what-a-claim-can-say.md shows it."""
    text = Path("docs/what-a-claim-can-say.md").read_text()
    (shown,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    found = load(tmp_path, json.loads(shown))
    margins = [each.margin.value for each in found.claims if isinstance(each, CellClaim)]
    assert margins == ["0", "1", "20"]
