"""A manifest of the user's own: run, judged from other folders, planned, counted."""

import re
import shutil
from pathlib import Path

import pytest
from command_line import repro, repro_here
from own_manifests import PLACE, manifest_of, save, with_a_job, words

# -----------------------------------------------------------------------------
# From another folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with `mine/ours.json` and the results of its run, made from there."""
    folder = tmp_path_factory.mktemp("project")
    save(folder / "mine", with_a_job("ours"))
    done = repro("run", "mine/ours.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("here", [".", "mine", "results/runs", "/"])
def test_a_run_is_judged_from_any_folder(project: Path, here: str) -> None:
    """Oracle: the verdict from where it was run."""
    done = repro_here("verify", str(project / "results"), cwd=project / here)
    there = repro_here("verify", cwd=project)
    assert (done.returncode, done.stdout) == (0, there.stdout), done.stderr
    assert "1 claim of the paper: 1 reproduced" in done.stdout


def test_the_manifest_beside_the_results_comes_before_one_that_lies_here(
    project: Path, tmp_path: Path
) -> None:
    """Another user's file of the same name would make every claim `invalid`."""
    data = with_a_job("ours")
    data["claims"][0]["statement"] = "something else"
    save(tmp_path / "mine", data)
    done = repro_here("verify", str(project / "results"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_results_elsewhere_are_judged_from_where_they_were_run(
    project: Path, tmp_path: Path
) -> None:
    shutil.copytree(project / "results", tmp_path / "far")
    assert repro_here("verify", str(tmp_path / "far"), cwd=project).returncode == 0
    done = repro_here("verify", "far", cwd=tmp_path)
    assert done.returncode == 2
    assert words(done.stderr) == (
        "repro verify: runs/ours.full.json: found no file mine/ours.json, the manifest of that "
        "run, in the results folder, in one above it or here; start this command in the folder "
        "where `repro run` was started, or put the file there"
    )
    save(tmp_path / "mine", with_a_job("ours"))
    assert repro_here("verify", "far", cwd=tmp_path).returncode == 0


def test_a_packet_takes_its_manifest_along(project: Path, tmp_path: Path) -> None:
    """From another folder it is made, judged and reported; the packed manifest is what counts."""
    packet = tmp_path / "packet"
    exported = ("export", str(project / "results"), "--format", "ro-crate", "--out", str(packet))
    done = repro_here(*exported, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{packet}: 1 record, " in done.stdout
    data = with_a_job("ours")
    data["claims"][0]["statement"] = "something else"
    save(tmp_path / "mine", data)
    for command in (("verify", str(packet)), ("report", str(packet), "--out", str(tmp_path / "p"))):
        done = repro_here(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


# -----------------------------------------------------------------------------
# Without a job


def test_claims_that_need_no_job_are_complete_when_they_are_judged(tmp_path: Path) -> None:
    """Nothing had to run, and every claim has its finding: `plan` and `run` agree."""
    save(tmp_path, manifest_of("ours"))
    assert repro_here("plan", "ours.json", cwd=tmp_path).returncode == 0
    done = repro("run", "ours.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "ours: nothing to run" in done.stdout
    assert "1 claim of the paper: 1 consistent" in done.stdout


def test_claims_that_wait_for_a_job_are_not_complete(tmp_path: Path) -> None:
    """Empty is never success: nothing ran, and the claim that needs a run is not judged."""
    data = manifest_of("ours")
    planned = {"kind": "planned", "needs": "authors' runs", "published": "more", "check": "it is"}
    claim = {"id": "waits", "statement": "30 % more", "place": PLACE, "depends_on": []}
    data["claims"].append({**claim, **planned})
    save(tmp_path, data)
    done = repro("run", "ours.json", cwd=tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "1 claim waits for authors' runs" in done.stdout


def test_jobs_that_were_all_left_out_are_not_complete(tmp_path: Path) -> None:
    save(tmp_path, with_a_job("ours"))
    done = repro("run", "ours.json", "--only", "dtype=float16", cwd=tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr


# -----------------------------------------------------------------------------
# Counts


def test_one_is_counted_in_the_singular(project: Path) -> None:
    """Two manifests that need one job. Oracle: the words, written by hand."""
    save(project / "mine", with_a_job("again"))
    both = ("plan", "mine/ours.json", "mine/again.json", "--out", "none")
    text = words(repro_here(*both, cwd=project).stdout)
    assert "ours at tier full: 1 job; about " in text
    assert "together: 1 job; they fill 2 slots sharing saves 1 job, 0.0 GPU-hours" in text
    text = words(repro_here("results", "list", cwd=project).stdout)
    assert re.search(r" 1 record, [\d.]+ k?B, 0 broken, 0 that no run file names$", text)
