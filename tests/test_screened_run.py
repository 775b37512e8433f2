"""A run whose float32 is screened, from the manifest to the verdict, on real questions.

Oracle: the same jobs, whole; and of one that stops when decided, what each part says by itself.
"""

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import planted_engine
import pytest
from command_line import repro_here
from planted_engine import LOOKS, Planted

from repro import paths
from repro.cli import run as run_command
from repro.planning import selection
from repro.planning.plan import PlannedJob
from repro.schema import catalog
from repro.schema.finding import Finding
from repro.schema.kinds import screen as screens
from repro.store import run_file
from repro.store.store import Store
from runner import local
from runner.local import Work
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


# -----------------------------------------------------------------------------
# Screened, and stopped when decided


class HalfPlanted(Planted):
    """FP32 is asked of the model itself, as always, and screened; half precision is planted.

    On one thread of a CPU every setting of half precision gives the same bits, which are one draw
    and decide nothing. Planted, it answers 60 questions more right than FP32 does.
    """

    right: np.ndarray[Any, Any]

    def execute(self, work: Work) -> dict[str, str]:
        """Run what is ready in float32, and what that makes ready; then plant the rest."""
        asked, half = dict[str, PlannedJob](), dict[str, PlannedJob]()
        for key, each in work.jobs.items():
            (asked if each.slot.dtype == "float32" else half)[key] = each
        ran = dict(asked)

        def then(key: str) -> dict[str, PlannedJob]:
            found = work.then(key)
            ran.update(found)
            return found

        failed = local.execute(replace(work, jobs=asked, then=then))
        self.given.append({each.slot.id for each in (*ran.values(), *half.values())})
        for key, each in ran.items():
            if each.slot.id == FIRST:
                _, arrays = work.store.load(key)
                self.right = arrays["shots0/prediction"] == arrays["shots0/gold"]
        more = self.right.copy()
        more[np.flatnonzero(~self.right)[:60]] = True
        for key, each in half.items():
            assert self.save(work, each, more) == key
        return failed


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, data_wheel: Path) -> Path:
    """Results of a run that was decided at its first look; what it said in `said`."""
    folder = tmp_path_factory.mktemp("stopped")
    path, engine = (
        planted_engine.manifest(folder, {TWIN: "60.00"}, scored=False),
        HalfPlanted({}, data_wheel),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screens, "SAMPLE", 20)
        patch.setattr(run_command, "chosen_engine", lambda _: nullcontext(engine))
        options = ("--stop-when-decided", "--offline", "--engine", "lm-eval")
        done = repro_here("run", path, *options, cwd=folder, REPRO_CACHE=str(data_wheel.parent))
    assert done.returncode == 0, done.stderr
    assert engine.given == [planted_engine.slots_of(TWIN, 1)]
    (folder / "said").write_text(done.stdout + done.stderr)
    return folder


@pytest.fixture
def again(stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(screens, "SAMPLE", 20)
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    return tmp_path


def rewritten(folder: Path, **changes: Any) -> Finding:
    """The finding of the run once its file was written anew."""
    path = run_file.path_of(folder / "results", "ours", "full")
    run_file.save(folder / "results", run_file.load(path).model_copy(update=changes))
    done = repro_here("verify", "--json", cwd=folder)
    (verdict,) = json.loads(done.stdout)
    return Finding.model_validate({n: verdict["findings"][0][n] for n in Finding.model_fields})


def test_a_screened_run_stops_when_decided_and_says_both(again: Path) -> None:
    run = run_file.load(run_file.path_of(again / "results", "ours", "full"))
    assert run.looks == LOOKS
    assert run.jobs.keys() == planted_engine.slots_of(TWIN, 1)
    assert set(run.left_out.values()) == {selection.STOPPED}
    said = " ".join((again / "said").read_text().split())
    assert "look 1 of 3, after 3 of 7 settings: 1 decided" in said
    found = rewritten(again)
    assert found.outcome == "reproduced"
    assert "decided at look 1 of 3, after 3 of 7 settings, at 0.01" in found.reason
    assert found.measured.startswith("60.00 (3 settings")
    (screened,) = (each for each in found.working if each.code == "screened")
    assert screened.values["evaluations"] == 2  # of three: the first was asked whole
    assert screened.values["questions"] == 200
    assert 40 <= screened.values["anew"] < 100


def test_settings_that_repeat_end_a_screened_run_at_its_first_look(
    tmp_path: Path, data_wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is planted: with the first setting's FP32, three settings of a CPU are one draw."""
    monkeypatch.setattr(screens, "SAMPLE", 20)
    path = planted_engine.manifest(tmp_path, {TWIN: "9.00"}, half="bfloat16", scored=False)
    options = ("--stop-when-decided", "--offline", "--engine", "lm-eval")
    done = repro_here("run", path, *options, cwd=tmp_path, REPRO_CACHE=str(data_wheel.parent))
    assert done.returncode == 0, done.stderr
    found = rewritten(tmp_path)
    assert found.outcome == "inconclusive"
    assert "1 of the 3 settings needed (2 more repeat one of them)" in found.reason
    assert "given up at look 1 of 3, after 3 of 7 settings" in found.reason
    run = run_file.load(run_file.path_of(tmp_path / "results", "ours", "full"))
    assert len(run.jobs) == 6
    screened = [name for name, key in run.jobs.items() if "first" in str(_inputs(tmp_path, key))]
    assert sorted(screened) == [f"{TWIN}.float32.{each}" for each in ("batch-8", "other-kernel")]


def _inputs(folder: Path, key: str) -> list[str]:
    return list(Store(folder / "results").load(key)[0].inputs)


def test_a_screened_record_of_another_look_is_refused(again: Path) -> None:
    """Moved to a setting of the first look, or into its job."""
    run = run_file.load(run_file.path_of(again / "results", "ours", "full"))
    one, other = (f"{TWIN}.float32.{setting}" for setting in ("batch-8", "other-kernel"))
    moved = {**run.jobs, one: run.jobs[other]}
    found = rewritten(again, jobs=moved)
    assert found.outcome == "invalid"
    assert "is of another job than the manifest asks for" in found.reason
    # A screened record in the place of the first, which was asked whole.
    found = rewritten(again, jobs={**run.jobs, FIRST: run.jobs[one]})
    assert found.outcome == "invalid"


@pytest.mark.parametrize(
    "chosen",
    [
        (LOOKS[0] + LOOKS[1], LOOKS[2]),
        (("batch-16", "other-kernel", "batch-32"), ("batch-8", "batch-4"), LOOKS[2]),
    ],
)
def test_a_look_that_is_changed_after_the_run_is_refused(again: Path, chosen: Any) -> None:
    found = rewritten(again, looks=chosen)
    assert found.outcome == "invalid"
    assert "the looks of the run are not those that follow from its manifest" in found.reason


def test_a_run_that_says_it_had_no_looks_lacks_its_settings(again: Path) -> None:
    assert rewritten(again, looks=()).outcome == "not-run"
