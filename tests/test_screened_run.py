"""A run whose float32 is screened, from the manifest to the verdict, on real questions.

Oracle: the same jobs, whole.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import repro_here

from repro import paths
from repro.schema import catalog
from repro.schema.kinds import screen as screens
from repro.store import run_file
from repro.store.store import Store
from verify.evidence import Evidence
from verify.records.checked_record import CheckedRecord

pytestmark = pytest.mark.timeout(300)

TWIN = "gpt-neox-twin"
FIRST, SLOT = (f"{TWIN}.float32.{setting}" for setting in ("batch-16", "ascending"))


def manifest(folder: Path) -> Path:
    """Table 1 cut to a twin in the place of a checkpoint, one subject and no examples."""
    data = json.loads((paths.MANIFESTS / "table1.json").read_text())
    group = data["jobs"][0]
    group.update(checkpoints=[TWIN], dtypes=["float32", "bfloat16"], shots=[0])
    full = {**group["tiers"]["full"], "subjects": ["abstract_algebra"], "other_arms": []}
    group["tiers"] = {"full": full}
    cell = next(each for each in data["claims"] if each["id"] == "T1.mamba-130m.bfloat16")
    cell["measure"]["checkpoint"] = TWIN
    data |= {"claims": [cell], "id": "screened"}
    path = folder / "screened.json"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("engine", ["prefix", "lm-eval"])
def test_a_screened_run_gives_the_answers_of_a_whole_one(
    engine: str, tmp_path: Path, data_wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = manifest(tmp_path), tmp_path / "results"
    wanted = ("--tier", "full", "--all", "--only", "dtype=float32,setting=ascending")

    def ran(sample: int) -> CheckedRecord:
        """The record, as the verifier believes it."""
        monkeypatch.setattr(screens, "SAMPLE", sample)
        said = ("run", str(path), *wanted, "--engine", engine, "--out", str(out))
        done = repro_here(*said, REPRO_CACHE=str(data_wheel.parent))
        assert "Traceback" not in done.stdout + done.stderr
        run = run_file.load(run_file.path_of(out, "screened", "full"))
        assert run.jobs.keys() == {FIRST, SLOT}, done.stdout + done.stderr
        datasets = {**catalog.datasets(), **catalog.benchmarks()}
        claimed = run_file.manifest_of(run)
        return Evidence(claimed, run, Store(out), catalog.checkpoints(), datasets).get(SLOT)

    part, whole = ran(20), ran(1000)  # a sample that would be most of the questions is all of them
    assert part.first is not None
    assert whole.first is None
    assert part.record.key != whole.record.key
    assert 20 <= part.arrays["shots0/asked"].sum() < 50
    assert whole.arrays["shots0/asked"].all()
    for name in ("prediction", "tokens", "gold"):
        assert np.array_equal(part.arrays[f"shots0/{name}"], whole.arrays[f"shots0/{name}"])
