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
    assert found["spent_gpu_seconds"] == found["done_gpu_seconds"] > 0


def with_two_claims(folder: Path) -> Path:
    """`alone` rests on `three`, `both` on `one` and `two`; each job is priced at 0.6 s."""
    data = with_a_job("ours")
    (job,) = data["jobs"]
    (claim,) = data["claims"]
    names = ("one", "two", "three")
    specifications = [{**job["job"], "seed": seed} for seed, _ in enumerate(names)]
    data["jobs"] = [
        {**job, "id": name, "job": each} for name, each in zip(names, specifications, strict=True)
    ]
    data["claims"] = [
        {**claim, "id": "alone", "jobs": ["three"]},
        {**claim, "id": "both", "jobs": ["one", "two"]},
    ]
    return save(folder / "mine", data)


def test_the_same_budget_goes_on_with_the_same_choice(say: Say, tmp_path: Path) -> None:
    """What is done makes nothing cheaper, whatever ran it; a larger budget takes more."""
    manifest = str(with_two_claims(tmp_path))
    assert say("run", manifest, "--only", "model=one")[0] == 0
    for done in ("decides 1 of 2", "done already: 1 s of it; to run: 0 s"):
        code, out, _ = say("run", manifest, "--budget", "1.5s")
        assert code == 0
        assert "decides 1 of 2 claims that a run can decide, for 1 s" in out
        assert done in out
        assert run_of(tmp_path).jobs.keys() == {"one", "three"}
        assert run_of(tmp_path).left_out == {"two": "beyond the budget of 1.5s of one H200"}
    code, out, _ = say("run", manifest, "--budget", "1min")
    assert code == 0
    assert "decides 2 of 2 claims that a run can decide, for 2 s" in out
    assert "done already: 1 s of it; to run: 1 s" in out
    assert run_of(tmp_path).jobs.keys() == {"one", "two", "three"}


def test_a_job_whose_claims_only_cuts_is_not_said_to_be_beyond_the_budget(
    say: Say, tmp_path: Path
) -> None:
    manifest = str(with_two_claims(tmp_path))
    code, out, _ = say("plan", manifest, "--budget", "1min", "--only", "model=one")
    why = "--only leaves out other jobs of every claim that rests on it"
    assert code == 0
    assert f"left out: 1 job, 1 s on one H200: {why}" in out
    assert "beyond the budget" not in out
    assert say("run", manifest, "--budget", "1min", "--only", "model=one")[0] == 3
    assert run_of(tmp_path).left_out == {"one": why}
    code, _, _ = say("run", manifest, "--budget", "0.5s", "--only", "model=three")
    assert run_of(tmp_path).left_out["three"] == "beyond the budget of 0.5s of one H200"


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
    data = with_a_job("small")
    data["jobs"][0]["tiers"] = ["smoke", "subset"]
    code, _, told = say("plan", str(save(tmp_path, data)), "--budget", "10h")
    assert code == 2
    assert "--budget 10h: found small at a tier below full" in told
    assert "it has only smoke and subset: leave it out, or run it without --budget 10h" in told
    assert "expected" not in told
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
    code, out, _ = say("plan", "table1", "proofs", "--budget", "5h", "--offline")
    assert code == 3
    assert "table1 at tier full" in out
    assert "budget 5.0 h of one H200: decides" in out
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
    budget = json.loads(_json(say, *arguments, "--budget", "1000h"))[0]["together"]["budget"]
    assert budget["spent_price"] == budget["to_run_price"] == paid[given]


def test_a_price_above_nothing_is_never_nothing(
    say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifest = str(with_two_claims(tmp_path))
    for given, told in (("0.0001 EUR", "under 0.01 EUR"), ("3600", "1.80"), ("0", "0")):
        monkeypatch.setenv("REPRO_GPU_HOUR", given)
        assert f", for 2 s, {told} " in say("plan", manifest, "--budget", "1h")[1]


@pytest.mark.parametrize("given", ["free", "-1", "1,5", "nan", "EUR 2"])
def test_a_price_that_is_none_is_refused(
    say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str
) -> None:
    monkeypatch.setenv("REPRO_GPU_HOUR", given)
    for command in ("plan", "run"):  # before anything else is said or done
        code, out, told = say(command, "table1", "--tier", "smoke", "--offline")
        assert (code, out) == (2, "")
        assert not list(tmp_path.iterdir())
    assert f"REPRO_GPU_HOUR: found {given!r}, expected a price such as 3 or 2.50 EUR" in told
