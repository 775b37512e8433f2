"""Claims that adapters learn. Oracle: the committed records of a GPU, read by hand.

The arrays say for each adapter matrix whether a gradient arrived and whether it moved.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from repro import fileio, paths
from repro.environment import pins
from repro.schema import catalog, validate
from repro.schema.causes import cause
from repro.schema.finding import Verdict
from repro.schema.tuned_claims import LearnsClaim
from repro.store import run_file
from repro.store.record import Record
from repro.store.store import Store
from verify.errors import InvalidError
from verify.evidence import Evidence
from verify.judge import decide, judge
from verify.outcome import JudgedClaim
from verify.rules import tuned

EVIDENCE = paths.ROOT / "evidence" / "h100"


def verdict(root: Path) -> Verdict:
    run = run_file.load(root / "runs" / "theorem3.full.json")
    claimed = validate.load_manifest(paths.ROOT / "manifests" / "theorem3.json")
    evidence = Evidence(claimed, run, Store(root), catalog.checkpoints(), catalog.datasets())
    return judge(claimed, evidence, pins.versions())


def outcomes(root: Path) -> dict[str, str]:
    return {each.claim: each.outcome for each in verdict(root).findings if "CODE2" in each.claim}


def by_rule(root: Path) -> dict[str, str]:
    """What the records say, whatever has drifted where they were made."""
    run = run_file.load(root / "runs" / "theorem3.full.json")
    claimed = validate.load_manifest(paths.ROOT / "manifests" / "theorem3.json")
    evidence = Evidence(claimed, run, Store(root), catalog.checkpoints(), catalog.datasets())
    claims = [each for each in claimed.claims if isinstance(each, LearnsClaim)]
    return {each.id: decide(claimed, each, evidence).decided.outcome for each in claims}


def changed(tmp_path: Path, **changes: Any) -> Path:
    """The evidence with Mamba's record on the kernels changed, and whole again."""
    root = tmp_path / "evidence"
    shutil.copytree(EVIDENCE, root)
    run = run_file.load(root / "runs" / "theorem3.full.json")
    folder = root / "jobs" / run.jobs["code2.mamba.kernels"]
    record = Record.model_validate_json((folder / "record.json").read_bytes(), strict=True)
    arrays = load_file(folder / "arrays.safetensors")
    names = json.loads(str(record.values["trainable_tensors"]))
    rows = [place for place, name in enumerate(names) if ".x_proj.lora_" in name]
    arrived = changes.pop("arrived", 0)
    for name, count in (("gradient_arrived", arrived), ("moved", changes.pop("moved", arrived))):
        arrays[name][rows[:count]] = np.uint8(1)
    save_file(arrays, folder / "arrays.safetensors")
    file = record.arrays.model_copy(
        update={"sha256": fileio.digest_of_file(folder / "arrays.safetensors")}
    )
    record = record.model_copy(update={"arrays": file, **changes})
    record = record.model_copy(update={"digest": record.digest_of_content()})
    (folder / "record.json").write_text(record.model_dump_json())
    return root


def test_the_committed_records_of_a_gpu() -> None:
    found, rule = outcomes(EVIDENCE), by_rule(EVIDENCE)
    for layer in ("", ".dt_proj", ".out_proj"):
        assert rule[f"CODE2.run.mamba{layer}"] == "contradicted"
    assert rule["CODE2.run.mamba.in_proj"] == rule["CODE2.run.mamba2"] == "reproduced"
    assert rule["CODE2.run.mamba2.out_proj"] == "contradicted"
    assert rule["CODE2.live.mamba"] == rule["CODE2.live.mamba2"] == "reproduced"
    # What is not at its pins on that machine decides nothing.
    assert found["CODE2.run.mamba"] == found["CODE2.run.mamba2"] == "inconclusive"
    assert found["CODE2"] == "inconclusive"  # it depends on which W is meant


def test_drifted_records_show_where_they_point() -> None:
    found = {each.claim: each.direction for each in verdict(EVIDENCE).findings}
    assert found["CODE2.run.mamba2"] == cause("points-to", outcome="reproduced")
    assert found["CODE2.run.mamba2.out_proj"] == cause("points-to", outcome="contradicted")


@pytest.mark.parametrize(
    ("arrived", "moved", "outcome"),
    [
        (1, 1, "inconclusive"),
        (4, 4, "reproduced"),
        (4, 3, "inconclusive"),
        (4, 0, "inconclusive"),  # a gradient, and nothing moved
        (0, 4, "inconclusive"),
    ],
)
def test_adapters_that_learn_in_part_decide_nothing(
    tmp_path: Path, arrived: int, moved: int, outcome: str
) -> None:
    root = changed(tmp_path, arrived=arrived, moved=moved)
    assert by_rule(root)["CODE2.run.mamba"] == outcome


def learns(layer: str, *jobs: str) -> JudgedClaim:
    """What the committed records say of a layer under the kernels, of some jobs together."""
    run = run_file.load(EVIDENCE / "runs" / "theorem3.full.json")
    claimed = validate.load_manifest(paths.ROOT / "manifests" / "theorem3.json")
    evidence = Evidence(claimed, run, Store(EVIDENCE), catalog.checkpoints(), catalog.datasets())
    claim = next(each for each in claimed.claims if each.id == "CODE2.run.mamba")
    assert isinstance(claim, LearnsClaim)
    return tuned.learns(claim.model_copy(update={"jobs": jobs, "layer": layer}), evidence)


def test_adapters_of_all_jobs_count_together() -> None:
    """Four of in_proj in one run, and all four learn."""
    job = "code2.mamba.kernels"
    found = learns("in_proj", job, job)
    assert (found.decided.outcome, found.decided.measured) == ("reproduced", "8 of 8 learn")
    counts = {"total": 8, "arrived": 8, "moved": 8}
    assert found.decided.causes == (
        cause("adapters-learn", layer="in_proj", path="kernels", **counts),
    )
    assert (found.decided.published, found.decided.margin) == ("all learn", "exact")
    assert (found.direction, len(found.loaded)) == (None, 2)


def test_a_layer_without_adapters_is_invalid() -> None:
    with pytest.raises(InvalidError, match=r"^code2\.mamba\.kernels adapts no layer conv1d$"):
        learns("conv1d", "code2.mamba.kernels")


def test_another_path_shows_nothing(tmp_path: Path) -> None:
    why = "the recipe asks for Mamba's path kernels, this run took slow: causal-conv1d"
    root = changed(tmp_path, path={"mamba_path": "slow"}, warnings=(why,))
    [found] = [each for each in verdict(root).findings if each.claim == "CODE2.run.mamba"]
    assert found.outcome == "not-run"
    assert "ran on the path slow, the claim is about kernels" in found.reason
