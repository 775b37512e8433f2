"""Whole runs on the bundled twins: reuse, what a change runs again, and what a kill loses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import decoys
import numpy as np
import pytest
from command_line import repro_here
from safetensors.numpy import load_file, save_file

from repro import paths
from repro.store.store import Store

pytestmark = pytest.mark.timeout(300)


def small_manifest(folder: Path) -> Path:
    """Table 1 cut down to two columns, two dtypes, one setting and no examples."""
    data = json.loads((paths.MANIFESTS / "table1.json").read_text())
    kept = ["mamba-130m", "pythia-160m"]
    group = data["jobs"][0]
    group.update(checkpoints=kept, dtypes=["float32", "bfloat16"], shots=[0])
    smoke = group["tiers"]["smoke"]
    group["tiers"] = {"smoke": {**smoke, "settings": ["batch-16"], "other_arms": []}}
    cells = [f"T1.{name}.bfloat16" for name in kept]
    data["claims"] = [claim for claim in data["claims"] if claim["id"] in cells]
    data["id"] = "small"
    path = folder / "small.json"
    path.write_text(json.dumps(data))
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "repro.cli.main", *map(str, arguments)]


def environ(wheel: Path) -> dict[str, str]:
    path = os.pathsep.join([str(paths.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "REPRO_CACHE": str(wheel.parent), "PYTHONPATH": path}


def repro(wheel: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, env=environ(wheel)
    )


def without_jobs(wheel: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The same where no job is left to run, in this process."""
    return repro_here(*map(str, arguments), REPRO_CACHE=str(wheel.parent))


def states(wheel: Path, *arguments: object) -> dict[str, str]:
    done = without_jobs(wheel, "plan", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    (plan,) = json.loads(done.stdout)
    return {job["slot"]: job["state"] for job in plan["jobs"]}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, data_wheel: Path) -> tuple[Path, Path, Any]:
    """A finished run of the small manifest: its manifest, its results, what it said."""
    folder = tmp_path_factory.mktemp("ran")
    path, out = small_manifest(folder), folder / "results"
    done = repro(data_wheel, "run", path, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    return path, out, json.loads(done.stdout)


def test_a_run_measures_and_decides_nothing_about_the_paper(ran: tuple[Path, Path, Any]) -> None:
    _, out, (verdict,) = ran
    assert verdict["tier"] == "smoke"
    for finding in verdict["findings"]:
        assert finding["outcome"] == "inconclusive"
        assert "stands in" in finding["reason"]
        assert float(finding["measured"].split()[0]) >= 0
        assert len(finding["records"]) == 2
    assert len(list((out / "jobs").iterdir())) == 4


def test_smoke_questions_tell_letters_and_dtypes_apart(ran: tuple[Path, Path, Any]) -> None:
    """They would test nothing if the twins always answered the same letter."""
    _, out, _ = ran
    store = Store(out)
    predicted = {}
    for folder in store.jobs.iterdir():
        record, arrays = store.load(folder.name)
        assert record.job.kind == "evaluate"
        predicted[record.job.checkpoint, record.job.dtype] = arrays["shots0/prediction"]
    for twin in ("mamba-twin", "gpt-neox-twin"):
        assert len(np.unique(predicted[twin, "float32"])) >= 2
        assert (predicted[twin, "float32"] != predicted[twin, "bfloat16"]).any()


def test_a_second_run_reuses_every_job(ran: tuple[Path, Path, Any], data_wheel: Path) -> None:
    path, out, before = ran
    written = {file: file.stat().st_mtime_ns for file in (out / "jobs").rglob("*.json")}
    done = without_jobs(data_wheel, "run", path, "--out", out, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == before
    assert {file: file.stat().st_mtime_ns for file in (out / "jobs").rglob("*.json")} == written


def test_an_edited_weight_runs_its_jobs_again_and_no_other(
    ran: tuple[Path, Path, Any], data_wheel: Path, tmp_path: Path
) -> None:
    path, out, _ = ran
    copy = tmp_path / "mamba-twin"
    shutil.copytree(paths.ROOT / "twins" / "mamba-twin", copy)
    same = states(data_wheel, path, "--out", out, "--substitute", f"mamba-twin={copy}")
    assert set(same.values()) == {"done"}
    weights = load_file(copy / "model.safetensors")
    name = "backbone.layers.0.mixer.A_log"
    weights[name] = weights[name] + np.float32(0.5)
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    edited = states(data_wheel, path, "--out", out, "--substitute", f"mamba-twin={copy}")
    assert {slot.split(".")[0]: state for slot, state in edited.items()} == {
        "mamba-130m": "ready",
        "pythia-160m": "done",
    }
    other = tmp_path / "results"
    shutil.copytree(out, other)
    done = repro(
        data_wheel, "run", path, "--out", other, "--substitute", f"mamba-twin={copy}", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert len(list((other / "jobs").iterdir())) == 6
    (verdict,) = json.loads(done.stdout)
    assert any("mamba-twin was substituted" in note for note in verdict["notes"])


def test_a_checkpoint_of_the_catalog_stands_in_by_name_and_decides_nothing(
    ran: tuple[Path, Path, Any], data_wheel: Path, tmp_path: Path
) -> None:
    """Of another family. Oracle: the same checkpoint's answers under its own name."""
    path, before, _ = ran
    out = tmp_path / "results"
    given = ("--only", "model=pythia-160m", "--substitute", "gpt-neox-twin=mamba-twin", "--json")
    done = repro(data_wheel, "run", path, "--out", out, *given)
    assert done.returncode == 0, done.stderr
    (verdict,) = json.loads(done.stdout)
    assert "gpt-neox-twin was substituted" in verdict["notes"]
    outcomes = {each["claim"]: each for each in verdict["findings"]}
    finding = outcomes["T1.pythia-160m.bfloat16"]
    assert finding["outcome"] == "inconclusive"
    assert "gpt-neox-twin was substituted" in finding["reason"]
    answers = []
    for store, name in ((Store(before), "mamba-twin"), (Store(out), "gpt-neox-twin")):
        loaded = [store.load(folder.name) for folder in store.jobs.iterdir()]
        own = [each for each in loaded if getattr(each[0].job, "checkpoint", "") == name]
        answers.append(
            {record.job.dtype: arrays["shots0/log_likelihood"] for record, arrays in own}
        )  # type: ignore[union-attr]
    assert answers[0].keys() == answers[1].keys() == {"float32", "bfloat16"}
    assert all(np.array_equal(answers[0][dtype], answers[1][dtype]) for dtype in answers[0])
    judged = without_jobs(data_wheel, "verify", out, "--json")
    assert json.loads(judged.stdout)[0]["findings"] == verdict["findings"]


def test_what_loading_would_read_elsewhere_is_refused_by_name(
    data_wheel: Path, tmp_path: Path
) -> None:
    """An adapter, for which transformers loads another folder and unpickles; a shard elsewhere."""
    twin, out = paths.ROOT / "twins" / "mamba-twin", tmp_path / "out"
    adapted, other = tmp_path / "adapted", tmp_path / "other"
    shutil.copytree(twin, adapted)
    shutil.copytree(twin, other)
    decoys.plant_adapter(adapted, other, tmp_path / "touched")
    sharded = tmp_path / "sharded"
    shutil.copytree(twin, sharded, ignore=shutil.ignore_patterns("model.safetensors"))
    weights = dict.fromkeys(load_file(twin / "model.safetensors"), "../other/model.safetensors")
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    for folder, named in ((adapted, "adapter_config.json"), (sharded, "../other/model")):
        done = without_jobs(
            data_wheel,
            *("run", paths.MANIFESTS / "table1.json", "--tier", "smoke", "--offline"),
            *("--engine", "prefix", "--only", "model=mamba-130m,dtype=float32,setting=batch-16"),
            *("--substitute", f"mamba-twin={folder}", "--out", out),
        )
        assert done.returncode == 3, done.stderr
        assert named in "".join(done.stdout.split())
        assert not (out / "jobs").exists()
    assert not (tmp_path / "touched").exists()


def test_one_bad_checkpoint_costs_its_own_jobs(data_wheel: Path, tmp_path: Path) -> None:
    """Its output layer is tied, and another is stored; the other model is measured all the same."""
    path, out, copy = small_manifest(tmp_path), tmp_path / "out", tmp_path / "mamba-twin"
    shutil.copytree(paths.ROOT / "twins" / "mamba-twin", copy)
    weights = load_file(copy / "model.safetensors")
    weights["lm_head.weight"] = weights["backbone.embeddings.weight"] * 2
    save_file(weights, copy / "model.safetensors")
    done = repro(
        data_wheel,
        *("run", path, "--out", out, "--only", "dtype=float32"),
        *("--substitute", f"mamba-twin={copy}"),
    )
    assert done.returncode == 3, done.stderr
    text = " ".join(done.stdout.split())
    assert "lm_head.weight and backbone.embeddings.weight" in text.replace("- ", "-")
    (record,) = (out / "jobs").glob("*/record.json")
    assert json.loads(record.read_text())["job"]["checkpoint"] == "gpt-neox-twin"


def test_a_partial_run_forgets_no_substitution(
    ran: tuple[Path, Path, Any], data_wheel: Path, tmp_path: Path
) -> None:
    """Slots left out by --only keep their records, so what took their place must stay named."""
    path, out, _ = ran
    other = tmp_path / "results"
    shutil.copytree(out, other)
    file = other / "runs" / "small.smoke.json"
    said = json.loads(file.read_text())
    said["substitutions"] = {"mamba-twin": {"mamba-twin/model.safetensors": "0" * 64}}
    file.write_text(json.dumps(said))
    done = without_jobs(
        data_wheel, "run", path, "--out", other, "--only", "model=pythia-160m", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert "mamba-twin" in json.loads(file.read_text())["substitutions"]
    done = without_jobs(data_wheel, "run", path, "--out", other, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(file.read_text())["substitutions"] == {}


@pytest.mark.parametrize("how", ["typed", "a sentence more"])
def test_a_margin_edited_after_the_run_is_refused(
    ran: tuple[Path, Path, Any], data_wheel: Path, tmp_path: Path, how: str
) -> None:
    """Typed, it is not the one that follows from the sentences; a sentence more moves it."""
    path, out, _ = ran
    data = json.loads(path.read_text())
    first, second = (claim["id"] for claim in data["claims"])  # 0.05 and 1.45
    if how == "typed":
        data["claims"][0]["margin"] = {"value": "9", "origin": "typed"}
    else:
        order = {"id": "order", "kind": "ordering", "statement": "", "place": {"section": "5"}}
        sides = {"left": [first], "right": [second], "relation": "at-most", "basis": "measured"}
        data["claims"].append({**order, **sides, "depends_on": []})
    changed = tmp_path / path.name
    changed.write_text(json.dumps(data))
    done = without_jobs(data_wheel, "run", changed, "--out", out)
    assert done.returncode == 2
    if how == "typed":
        assert "claims[0].margin.value" in done.stderr
        assert "leave it out, it is computed" in done.stderr
    else:
        assert f"{second}: the claim or its margin was change" in done.stderr
        assert "--fresh" in done.stderr


@pytest.mark.usefixtures("all_cores")
def test_a_killed_run_loses_only_the_jobs_that_were_running(
    data_wheel: Path, tmp_path: Path
) -> None:
    path, out = small_manifest(tmp_path), tmp_path / "results"
    with subprocess.Popen(
        command("run", path, "--out", out, "--json"),
        env=environ(data_wheel),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        store = Store(out)

        def whole() -> list[str]:
            found = store.jobs.iterdir() if store.jobs.exists() else []
            return [each.name for each in found if not each.name.startswith(".")]

        deadline = time.monotonic() + 120
        while not whole() and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(running.pid, signal.SIGKILL)
    time.sleep(3)  # its workers notice within a second
    kept = whole()
    assert 1 <= len(kept) <= 4
    assert all(store.has(key) for key in kept)
    time.sleep(1)
    assert whole() == kept  # nobody works on
    assert sum(state == "done" for state in states(data_wheel, path, "--out", out).values()) == len(
        kept
    )


@pytest.mark.usefixtures("all_cores")
def test_an_interrupted_run_exits_130_at_once(data_wheel: Path, tmp_path: Path) -> None:
    path, out = small_manifest(tmp_path), tmp_path / "results"
    with subprocess.Popen(
        command("run", path, "--out", out, "--json"),
        env=environ(data_wheel),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        while not list(out.glob("locks/*")) and running.poll() is None:
            time.sleep(0.05)  # until a job has begun
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "finished jobs are kept" in said
    assert not [each for each in (out / "jobs").glob("*") if not each.name.startswith(".")]
