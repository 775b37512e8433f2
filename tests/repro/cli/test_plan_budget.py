"""`--budget` and `--all` as a user gives them, and what a run file says of what was left out."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from own_manifests import save, with_a_job, words

from repro.cli import options
from repro.cli.main import main
from repro.store import run_file

Say = Any


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    monkeypatch.chdir(tmp_path)

    def give(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        found = capsys.readouterr()
        return code, words(found.out), words(found.err)

    return give


def with_an_idle_job(folder: Path) -> Path:
    """`one`, which a claim is about, and `idle`, which none is."""
    data = with_a_job("ours")
    (job,) = data["jobs"]
    data["jobs"].append({**job, "id": "idle", "job": {**job["job"], "seed": 1}})
    return save(folder / "mine", data)


def run_of(folder: Path) -> run_file.RunFile:
    return run_file.load(run_file.path_of(folder / "results", "ours", "full"))


def test_a_job_that_no_claim_rests_on_runs_only_with_all(say: Say, tmp_path: Path) -> None:
    manifest = str(with_an_idle_job(tmp_path))
    code, out, _ = say("plan", manifest)
    assert code == 0
    assert "1 job; about" in out
    assert "left out: 1 job, 1 s on one H200: no claim that a run can decide rests on it" in out
    assert say("run", manifest)[0] == 0
    assert run_of(tmp_path).jobs.keys() == {"one"}
    why = {"idle": "no claim that a run can decide rests on it; --all runs it"}
    assert (run_of(tmp_path).left_out, run_of(tmp_path).missing) == (why, {})
    assert json.loads(_json(say, manifest))[0]["left_out"] == why
    assert say("run", manifest, "--all")[0] == 0
    assert (run_of(tmp_path).jobs.keys(), run_of(tmp_path).left_out) == ({"one", "idle"}, {})
    assert say("run", manifest)[0] == 0  # what is there stays known
    assert run_of(tmp_path).jobs.keys() == {"one", "idle"}


def test_a_reason_of_an_earlier_time_is_not_one_of_now(say: Say, tmp_path: Path) -> None:
    """A slot is measured, could not run, or was left out; a run file says one of these."""
    manifest = str(with_an_idle_job(tmp_path))
    assert say("run", manifest, "--all")[0] == 0
    jobs = dict(run_of(tmp_path).jobs)
    shutil.rmtree(tmp_path / "results" / "jobs" / jobs["idle"])
    failed = {"idle": "weights missing", "one": "out of memory"}
    before = run_of(tmp_path).model_copy(update={"jobs": {}, "missing": failed})
    run_file.save(tmp_path / "results", before)
    assert say("run", manifest)[0] == 0
    now = run_of(tmp_path)
    assert (now.jobs, now.missing) == ({"one": jobs["one"]}, {})
    assert now.left_out.keys() == {"idle"}


def _json(say: Say, *arguments: str) -> str:
    return str(say("plan", *arguments, "--json")[1])


def test_a_budget_is_fixed_before_the_first_job(say: Say, tmp_path: Path) -> None:
    manifest = str(with_an_idle_job(tmp_path))
    code, out, _ = say("run", manifest, "--budget", "0.5s")  # a job is priced at a second
    assert code == 3  # nothing was run, and that is no success
    assert "decides 0 of 1 claim that a run can decide" in out
    assert "next step: 1 s" in out
    assert run_of(tmp_path).left_out["one"] == "beyond the budget of 0.5s of one H200"
    code, out, _ = say("run", manifest, "--budget", "1min")
    assert code == 0
    assert "decides 1 of 1 claim that a run can decide, for 1 s" in out
    assert run_of(tmp_path).jobs.keys() == {"one"}
    found = json.loads(_json(say, manifest, "--budget", "1min"))[0]["together"]["budget"]
    assert (found["decides"], found["of"], found["bound"], found["next"]) == (1, 1, 1, None)
    assert found["spent_gpu_seconds"] == 0.0  # it is done


@pytest.mark.parametrize("text", ["10", "h", "-1h", "0h", "1e3h", "nan h", "10 hours", "inf", "1w"])
def test_a_budget_without_a_sense_is_refused(say: Say, tmp_path: Path, text: str) -> None:
    manifest = str(with_an_idle_job(tmp_path))
    with pytest.raises(SystemExit) as refused:
        say("plan", manifest, f"--budget={text}")
    assert refused.value.code == 2
    assert not (tmp_path / "results").exists()


def test_a_budget_is_of_tier_full_and_excludes_all(
    say: Say, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, told = say("run", "table1", "--tier", "smoke", "--budget", "10h", "--offline")
    assert code == 2
    assert "--budget 10h: found table1 at a tier below full" in told
    assert "expected --tier full, or no --tier" in told
    with pytest.raises(SystemExit) as refused:
        say("plan", "table1", "--budget", "10h", "--all")
    assert refused.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("text", "seconds"), [("10h", 36000), ("90min", 5400), ("1.5d", 129600), ("20s", 20)]
)
def test_units_of_time(text: str, seconds: float) -> None:
    assert options.seconds_of(options.duration_argument(text)) == seconds


def test_a_budget_without_a_tier_is_of_tier_full(say: Say) -> None:
    code, out, _ = say("plan", "table1", "proofs", "--budget", "10h", "--offline")
    assert code == 3
    assert "table1 at tier full" in out
    assert "budget 10.0 h of one H200: decides" in out
    assert "greedy, most claims an hour first; no choice within it decides more than" in out
    assert "next step:" in out
    assert "only leans:" in out


@pytest.mark.parametrize(
    ("given", "told"),
    [("2.50 EUR", "EUR"), ("3", r"GPU-hours \(H200\), \d"), ("", r"GPU-hours \(H200\)(?!,)")],
)
def test_hours_in_money(say: Say, monkeypatch: pytest.MonkeyPatch, given: str, told: str) -> None:
    monkeypatch.setenv("REPRO_GPU_HOUR", given)
    arguments = ("table1", "table3", "--tier", "full", "--offline")
    assert re.search(told, say("plan", *arguments)[1])
    together = json.loads(_json(say, *arguments))[0]["together"]
    hours = together["estimated_gpu_seconds"] / 3600
    paid = {"2.50 EUR": f"{2.5 * hours:,.0f} EUR", "3": f"{3 * hours:,.0f}", "": None}
    assert together["estimated_price"] == paid[given]


@pytest.mark.parametrize("given", ["free", "-1", "1,5", "nan", "EUR 2"])
def test_a_price_that_is_none_is_refused(
    say: Say, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("REPRO_GPU_HOUR", given)
    code, _, told = say("plan", "table1", "--tier", "full", "--offline")
    assert code == 2
    assert f"REPRO_GPU_HOUR: found {given!r}, expected a price such as 3 or 2.50 EUR" in told
