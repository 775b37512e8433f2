"""What README's sentence for Docker does, and what it says next, whatever is missing.

The image has the same command line (tests/container); here it is the host's.
"""

import json
import math
import re
import shlex
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from command_line import repro, repro_here
from made_up_hub import serving

from repro import paths
from repro.environment import image, machine

README = (paths.ROOT / "README.md").read_text(encoding="utf-8")
SENTENCE = "docker run repro run manifests/table1.json"


def test_the_sentence_stands_in_readme_alone_on_its_line() -> None:
    assert re.search(f"^{re.escape(SENTENCE)}$", README, re.MULTILINE)


@pytest.mark.usefixtures("data_wheel")
def test_it_runs_what_a_machine_with_nothing_can_run() -> None:
    command = shlex.split(SENTENCE)[3:]
    (plan,) = json.loads(repro_here("plan", *command[1:], "--json").stdout)
    states = {job["state"] for job in plan["jobs"]}
    assert (plan["tier"], states) == ("smoke", {"ready", "not-run"})
    assert plan["estimated_seconds"] < 30 * 60


def test_the_guide_s_hours_jobs_memory_and_bytes_are_the_plan_s() -> None:
    guide = (paths.ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    found = {}
    for tier, *more in (("subset",), ("full",), ("full", "--engine", "lm-eval")):
        done = repro_here("plan", "manifests/table1.json", "--tier", tier, "--json", *more)
        (found[tier, *more],) = json.loads(done.stdout)
    hours = [round(each["together"]["estimated_gpu_seconds"] / 3600) for each in found.values()]
    plan = found["full",]
    assert "{} at tier subset, {} at tier full; {} at full with `--engine".format(*hours) in guide
    assert f"| {plan['together']['jobs']} jobs |" in guide
    assert f"{plan['together']['download_bytes'] / 1e9:.0f} GB of weights" in guide
    largest = max(job["estimated_memory_bytes"] for job in plan["jobs"]) / 2**30
    assert f"{math.ceil(largest)} GiB of memory" in guide
    wide = {job["runs"] for job in plan["jobs"] if job["estimated_memory_bytes"] > 80 << 30}
    assert {name.partition(".float32")[0] for name in wide} == {
        *("pythia-1.4b", "pythia-2.8b", "phi-1.5")
    }


def write_manifest(folder: Path) -> Path:
    """A cell of Table 1, with a smoke of two evaluations and a full of the paper's own model."""
    data: dict[str, Any] = json.loads((paths.MANIFESTS / "table1.json").read_text())
    (group,) = data["jobs"]
    group.update(checkpoints=["pythia-160m"], dtypes=["float32", "bfloat16"], shots=[0])
    smoke = {**group["tiers"]["smoke"], "settings": ["batch-16"], "other_arms": []}
    group["tiers"] = {"smoke": smoke, "full": group["tiers"]["full"]}
    data["claims"] = [each for each in data["claims"] if each["id"] == "T1.pythia-160m.bfloat16"]
    path = folder / "one.json"
    path.write_text(json.dumps(data | {"id": "one"}))
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, data_wheel: Path) -> tuple[str, str]:
    """A manifest that was run once, and its results: what is said then, is said again."""
    assert data_wheel.is_file()
    folder = tmp_path_factory.mktemp("ran")
    given = str(write_manifest(folder)), str(folder / "results")
    done = repro("run", given[0], "--out", given[1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("next: tier full") == 1
    return given


def said(ran: tuple[str, str], *more: str, **environ: str) -> tuple[int, str, str]:
    """Exit code, what is said after the verdict, and standard error."""
    done = repro_here("run", ran[0], "--out", ran[1], *more, **environ)
    return done.returncode, done.stdout.rpartition("next: tier ")[2], done.stderr


def test_without_gpu_weights_and_hub_it_says_what_to_fetch_and_where(ran: tuple[str, str]) -> None:
    code, after, err = said(ran)
    assert (code, err.strip()) == (0, "")
    assert after.splitlines()[0].startswith("full (")
    assert "0.3 GB to fetch" in " ".join(after.split())
    words = " ".join(after.split())
    fetch = f"repro fetch {ran[0]} --tier full where the model hub answers: here it does not"
    run = f"repro run {ran[0]} --tier full on an NVIDIA GPU: here is none"
    assert f"{fetch} {run} repro doctor what this machine lacks for that" in words


def test_told_to_stay_offline_it_does_not_say_that_the_hub_does_not_answer(
    ran: tuple[str, str],
) -> None:
    code, after, _ = said(ran, "--offline")
    assert code == 0
    assert "where the model hub answers" in " ".join(after.split())
    assert "here it does not" not in after


def test_where_the_hub_answers_it_just_says_fetch(ran: tuple[str, str], tmp_path: Path) -> None:
    with serving(tmp_path) as hub:
        done = repro(
            *("run", ran[0], "--out", ran[1]), HF_HUB_OFFLINE="0", HF_ENDPOINT=hub.endpoint
        )
    assert done.returncode == 0
    assert f"repro fetch {ran[0]} --tier full\n" in done.stdout


@pytest.mark.parametrize("found", ["this container was given GPUs, and no NVIDIA driver", ""])
def test_a_gpu_without_a_driver_is_named_before_the_run(found: str, ran: tuple[str, str]) -> None:
    given = {"NVIDIA_VISIBLE_DEVICES": "all" if found else "void"}
    with mock.patch.object(machine, "_nvidia_smi", return_value=""):
        code, after, err = said(ran, **given)
    assert code == 0
    assert ("`repro doctor` says what to do" in err) is bool(found)
    assert found in err
    assert "here is none" in " ".join(after.split())


def test_asked_for_full_without_weights_it_says_what_is_missing(
    ran: tuple[str, str], tmp_path: Path
) -> None:
    done = repro_here("run", ran[0], "--tier", "full", "--out", str(tmp_path / "out"))
    assert done.returncode == 3
    assert "weights of pythia-160m" in done.stdout
    assert "--substitute pythia-160m=FOLDER" in " ".join(done.stdout.split())
    assert "next: tier" not in done.stdout  # there is none above


def test_in_an_image_the_commands_are_the_engine_s(
    ran: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = tmp_path / "image.json"
    lock.touch()
    monkeypatch.setattr(image, "FILE", lock)
    assert image.command() == "docker run -v results:/bundle/results repro"
    assert image.command(gpus=True) == ("docker run --gpus all -v results:/bundle/results repro")
    monkeypatch.setattr(machine.revision, "_image", lambda: None)
    code, after, _ = said(ran)
    words = " ".join(after.split())
    assert code == 0
    assert f"docker run -v results:/bundle/results repro fetch {ran[0]}" in words
    assert f"docker run --gpus all -v results:/bundle/results repro run {ran[0]}" in words


def test_json_is_the_verdict_and_nothing_else(ran: tuple[str, str]) -> None:
    done = repro_here("run", ran[0], "--out", ran[1], "--json")
    assert json.loads(done.stdout)[0]["manifest"] == "one"
