"""`--stop-when-decided` as a user gives it: on a twin, and where answers are planted."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from own_manifests import words
from planted_engine import LOOKS, MODELS, SUBJECT, Planted, manifest, slots_of

from repro.cli import run as run_command
from repro.cli.main import main
from repro.planning import selection
from repro.schema import catalog
from repro.store import run_file
from repro.store.run_file import RunFile

pytestmark = pytest.mark.timeout(300)

Say = Any


@pytest.fixture
def say(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data_wheel: Path,
) -> Say:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPRO_CACHE", str(data_wheel.parent))

    def give(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--offline"] if arguments[0] in ("plan", "run") else arguments)
        found = capsys.readouterr()
        return code, words(found.out), words(found.err)

    return give


def run_of(folder: Path, name: str = "ours") -> RunFile:
    return run_file.load(run_file.path_of(folder / "results", name, "full"))


# -----------------------------------------------------------------------------
# On a twin: settings of a CPU are one, so that no setting to come decides anything


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, data_wheel: Path) -> Path:
    """A run of the GPT-NeoX twin, with what it said in `said.json`."""
    from command_line import repro

    folder = tmp_path_factory.mktemp("ran")
    manifest(folder, {"gpt-neox-twin": "9.00"})
    options = ("--stop-when-decided", "--offline", "--engine", "lm-eval", "--json")
    cache = str(data_wheel.parent)
    done = repro("run", "ours.json", *options, cwd=folder, REPRO_CACHE=cache)
    assert done.returncode == 0, done.stderr
    (folder / "said.json").write_text(done.stdout)
    return folder


@pytest.fixture
def again(ran: Path, tmp_path: Path) -> Path:
    shutil.copytree(ran, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_settings_that_repeat_another_end_a_claim_at_the_first_look(again: Path, say: Say) -> None:
    found = run_of(again)
    assert found.looks == LOOKS
    assert found.jobs.keys() == slots_of("gpt-neox-twin", 1)
    assert found.left_out == dict.fromkeys(slots_of("gpt-neox-twin", 2, 3), selection.STOPPED)
    (verdict,) = json.loads((again / "said.json").read_text())
    finding, _ = verdict["findings"]
    assert finding["outcome"] == "inconclusive"
    assert "1 of the 3 settings needed (2 more repeat one of them)" in finding["reason"]
    assert "given up at look 1 of 3, after 3 of 7 settings" in finding["reason"]
    code, out, _ = say("verify", "--json")  # words hang on the records alone
    assert (code, json.loads(out)) == (3, json.loads(words(json.dumps([verdict]))))


def test_a_run_goes_on_as_it_began_and_not_otherwise(again: Path, say: Say) -> None:
    before = run_of(again)
    code, out, _ = say("run", "ours.json", "--tier", "full", "--engine", "lm-eval")
    assert code == 0
    assert "stopped when decided; saved: 8 jobs" in out
    assert run_of(again) == before
    code, _, told = say("run", "ours.json", "--tier", "full", "--all")
    assert code == 2
    assert "ours was run at tier full to stop when decided, which is fixed before" in told
    assert "without --all), use another --out, or --fresh" in told
    assert run_of(again) == before


# -----------------------------------------------------------------------------
# Where answers are planted


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, data_wheel: Path) -> Planted:
    """60 answers of Mamba and 52 of GPT-NeoX, under every setting."""
    every = [name for look in LOOKS for name in look]
    lost = {"mamba-twin": dict.fromkeys(every, 60), "gpt-neox-twin": dict.fromkeys(every, 52)}
    engine = Planted(lost, data_wheel)

    @contextmanager
    def chosen(_: str) -> Iterator[Planted]:
        yield engine

    monkeypatch.setattr(run_command, "chosen_engine", chosen)
    return engine


STOP = ("--stop-when-decided", "--engine", "lm-eval")
PRINTED = {"mamba-twin": "60.00", "gpt-neox-twin": "52.00"}
"""Margins of 30 and 26: the first look leaves 29 open, the second 17."""


def test_jobs_of_a_look_are_those_that_open_claims_rest_on(
    say: Say, planted: Planted, tmp_path: Path
) -> None:
    ours = manifest(tmp_path, PRINTED)
    code, out, told = say("run", ours, *STOP)
    assert code == 0
    assert planted.given == [
        slots_of("mamba-twin", 1) | slots_of("gpt-neox-twin", 1),
        slots_of("gpt-neox-twin", 2),
    ]
    one, two = planted.run_files  # as they were when jobs began
    assert one.looks == two.looks == LOOKS
    assert set(one.left_out.values()) == {selection.LATER}
    assert one.left_out.keys() == {s for m in MODELS for s in slots_of(m, 2, 3)}
    assert two.left_out == {
        **dict.fromkeys(slots_of("mamba-twin", 2, 3), selection.STOPPED),
        **dict.fromkeys(slots_of("gpt-neox-twin", 3), selection.LATER),
    }
    assert (
        "ours, look 1 of 3, after 3 of 7 settings: 1 decided (mamba-twin); 1 given up (score)"
        in told
    )
    assert "1 open (gpt-neox-twin); saved so far: 8 jobs" in told
    assert "look 2 of 3, after 5 of 7 settings: 2 decided" in told
    assert "2 reproduced" in out
    assert "stopped when decided; saved: 12 jobs" in out
    assert run_of(tmp_path).left_out.keys() == {
        *slots_of("mamba-twin", 2, 3),
        *slots_of("gpt-neox-twin", 3),
    }
    _, out, _ = say("verify")
    assert "decided at look 1 of 3, after 3 of 7 settings, at 0.01" in out
    assert "decided at look 2 of 3, after 5 of 7 settings, at 0.01" in out


def test_nothing_is_contradicted_before_the_whole_table_has_all_settings(
    say: Say, planted: Planted, tmp_path: Path
) -> None:
    """52 points against 9.00, and a number that was decided at the first look."""
    ours = manifest(tmp_path, {"mamba-twin": "60.00", "gpt-neox-twin": "9.00"})
    code, out, told = say("run", ours, *STOP)
    assert code == 0
    assert planted.given[2:] == [slots_of("gpt-neox-twin", 3), slots_of("mamba-twin", 2, 3)]
    assert "ours: a number would be contradicted, which takes the whole table" in told
    assert "1 reproduced, 1 contradicted" in out
    assert run_of(tmp_path).left_out == {}
    assert say("verify")[0] == 1


def test_a_killed_run_goes_on_where_it_was(say: Say, planted: Planted, tmp_path: Path) -> None:
    ours = manifest(tmp_path, PRINTED)
    planted.stop_after = 3
    assert say("run", ours, *STOP)[0] == 130
    before = run_of(tmp_path)
    planted.stop_after = None
    assert say("run", ours, "--tier", "full", "--engine", "lm-eval")[0] == 0  # without the option
    assert [len(each) for each in planted.given] == [12, 9, 4]
    assert run_of(tmp_path).looks == before.looks == LOOKS
    assert run_of(tmp_path).started == before.started
    assert "2 reproduced" in say("verify")[1]


def test_the_choice_is_fixed_before_the_first_job(
    say: Say, planted: Planted, tmp_path: Path
) -> None:
    ours = manifest(tmp_path, PRINTED)
    assert say("run", ours, "--tier", "full", "--engine", "lm-eval")[0] == 0
    assert [len(each) for each in planted.given] == [28]
    code, _, told = say("run", ours, *STOP)
    assert code == 2
    assert "ours was run at tier full with all settings of every claim, which is fixed" in told
    assert "(without --stop-when-decided), use another --out, or --fresh" in told
    assert run_of(tmp_path).looks == ()
    assert say("run", ours, *STOP, "--fresh")[0] == 0
    assert run_of(tmp_path).looks == LOOKS
    assert [len(each) for each in planted.given] == [28, 12, 4]


def test_manifests_share_the_jobs_of_a_look(say: Say, planted: Planted, tmp_path: Path) -> None:
    """The second prints of GPT-NeoX what the first look decides: its run needs no more jobs."""
    files = manifest(tmp_path, PRINTED), manifest(tmp_path, {"gpt-neox-twin": "60.00"}, "other")
    planted.lost["gpt-neox-twin"] = dict.fromkeys(planted.lost["gpt-neox-twin"], 56)
    code, _, told = say("run", *files, *STOP)
    assert code == 0
    assert len(planted.given[0]) == 12
    assert told.count("look 1 of 3") == 2
    assert {run_of(tmp_path, name).looks for name in ("ours", "other")} == {LOOKS}


# -----------------------------------------------------------------------------
# What it costs, and what is refused


def test_a_plan_prices_the_first_look_and_the_most(say: Say, tmp_path: Path) -> None:
    ours = manifest(tmp_path, PRINTED)
    code, out, _ = say("plan", ours, "--stop-when-decided")
    assert code == 0
    assert "ours is looked at after 3, 5 and 7 settings: batch-16, other-kernel, batch-8" in out
    assert "up to the first look 12 jobs" in out
    assert "all looks at most 28 jobs" in out
    found = json.loads(say("plan", ours, "--stop-when-decided", "--json")[1])[0]["together"]
    assert found["looks"] == {"ours": [list(each) for each in LOOKS]}
    assert 0 < found["first_look_gpu_seconds"] < found["most_gpu_seconds"]
    plain = json.loads(say("plan", ours, "--tier", "full", "--json")[1])[0]["together"]
    assert "looks" not in plain
    assert plain["estimated_gpu_seconds"] == pytest.approx(found["most_gpu_seconds"], abs=0.2)


def test_it_does_not_go_with_all(say: Say, tmp_path: Path) -> None:
    code, _, told = say("plan", manifest(tmp_path, PRINTED), "--stop-when-decided", "--all")
    assert code == 2
    assert "--stop-when-decided: found --all beside it" in told
    assert "leave one of the two out" in told


def test_what_only_keeps_from_a_look_is_not_said_to_be_stopped(
    say: Say, planted: Planted, tmp_path: Path
) -> None:
    """FP16 alone, then the rest: no look was taken before, and the run goes on as one would."""
    ours = manifest(tmp_path, PRINTED)
    code, out, told = say("run", ours, *STOP, "--only", "dtype=float16")
    assert code == 0
    half = {each for m in MODELS for each in slots_of(m, 1) if ".float16." in each}
    assert planted.given == [half]
    later = {each for m in MODELS for each in slots_of(m, 2, 3) if ".float16." in each}
    assert run_of(tmp_path).left_out == dict.fromkeys(later, selection.NO_LOOK)
    assert "saved" not in out + told
    assert say("run", ours, *STOP)[0] == 0
    assert (
        set().union(*planted.given[1:])
        == {
            *(slots_of("mamba-twin", 1) | slots_of("gpt-neox-twin", 1) - half),
            *slots_of("gpt-neox-twin", 2),
        }
        - half
    )
    assert selection.NO_LOOK not in run_of(tmp_path).left_out.values()


# -----------------------------------------------------------------------------
# Within a budget: it chooses claims with all of their settings, looks stop among these


def price_of_a_claim(say: Say, ours: str) -> float:
    """GPU seconds of the one that comes first."""
    asked = ("--budget", "10h", "--engine", "lm-eval", "--json")
    steps = json.loads(say("plan", ours, *asked)[1])[0]["together"]["budget"]["steps"]
    return float(steps[0]["gpu_seconds"])


def test_a_budget_buys_claims_and_looks_stop_among_them(
    say: Say, planted: Planted, tmp_path: Path
) -> None:
    """One of the two claims is paid, with seven settings; it is decided after three."""
    ours = manifest(tmp_path, {"mamba-twin": "60.00", "gpt-neox-twin": "60.00"})
    planted.lost["gpt-neox-twin"] = planted.lost["mamba-twin"]
    first = price_of_a_claim(say, ours)
    budget = f"{first + 0.5:.1f}s"
    found = json.loads(say("plan", ours, *STOP, "--budget", budget, "--json")[1])[0]
    together, beyond = found["together"], f"beyond the budget of {budget} of one H200"
    bought = together["budget"]["steps"][0]["claims"]
    assert bought in (["ours/mamba-twin"], ["ours/gpt-neox-twin"])
    model = bought[0].removeprefix("ours/")
    (other,) = set(MODELS) - {model}
    assert together["most_gpu_seconds"] == pytest.approx(first, abs=0.2)
    assert together["first_look_gpu_seconds"] < first
    code, out, told = say("run", ours, *STOP, "--budget", budget)
    assert code == 0
    assert planted.given == [slots_of(model, 1)]
    run = run_of(tmp_path)
    assert run.looks == LOOKS  # of the manifest, whatever was bought
    assert planted.run_files[0].looks == LOOKS
    assert run.left_out == {
        **dict.fromkeys(slots_of(model, 2, 3), selection.STOPPED),
        **dict.fromkeys(slots_of(other, 1, 2, 3), beyond),
    }
    assert f"look 1 of 3, after 3 of 7 settings: 1 decided ({model})" in told
    assert "1 reproduced" in out
    assert "decided at look 1 of 3" in say("verify")[1]


def test_over_what_a_budget_bought_nothing_is_contradicted_and_no_guard_is_paid(
    say: Say, planted: Planted, tmp_path: Path
) -> None:
    """One number is decided at its first look, one is far off; a third is beyond the budget."""
    far = ("gpt-neox-twin", "mamba2-twin")
    planted.lost["mamba2-twin"] = planted.lost["gpt-neox-twin"]
    ours = manifest(tmp_path, {"mamba-twin": "60.00", **dict.fromkeys(far, "9.00")})

    def price(model: str) -> float:
        asked = ("--tier", "full", "--engine", "lm-eval", "--only", f"model={model}", "--json")
        found = json.loads(say("plan", ours, *asked)[1])[0]["together"]
        return float(found["estimated_gpu_seconds"])

    cheap, dear = sorted(far, key=price)
    budget = price("mamba-twin") + (price(cheap) + price(dear)) / 2
    code, out, told = say("run", ours, *STOP, "--budget", f"{budget:.1f}s")
    assert code == 0
    both = slots_of("mamba-twin", 1) | slots_of(cheap, 1)
    assert planted.given == [both, slots_of(cheap, 2), slots_of(cheap, 3)]
    assert planted.ranks == [{1, 2}, {2}, {2}]  # in the order of the budget, at every look
    assert "would be contradicted, which takes the whole table" not in told
    (verdict,) = json.loads(say("verify", "--json")[1])
    words_ = {each["claim"]: each["outcome"] for each in verdict["findings"]}
    assert words_["mamba-twin"] == "reproduced"
    assert (words_[cheap], words_[dear]) == ("inconclusive", "not-run")
    # More is paid: the run goes on by the looks that it began with, and the table is whole.
    code, out, told = say("run", ours, "--budget", "10h", "--engine", "lm-eval")
    assert code == 0
    assert planted.given[3:6] == [slots_of(dear, look) for look in (1, 2, 3)]
    assert "would be contradicted, which takes the whole table" in told
    assert planted.given[6:] == [slots_of("mamba-twin", 2, 3)]
    assert run_of(tmp_path).looks == LOOKS
    assert "1 reproduced, 2 contradicted" in out


def test_a_budget_does_not_change_how_a_run_began_to_stop(
    say: Say, planted: Planted, tmp_path: Path
) -> None:
    ours = manifest(tmp_path, PRINTED)
    assert say("run", ours, "--budget", "10h", "--engine", "lm-eval")[0] == 0
    code, _, told = say("run", ours, *STOP, "--budget", "10h")
    assert code == 2
    assert "with all settings of every claim, which is fixed" in told
    assert len(planted.given) == 1


def test_it_is_of_tier_full(say: Say) -> None:
    code, _, told = say("run", "table1", "--tier", "smoke", "--stop-when-decided")
    assert code == 2
    assert "--stop-when-decided: found table1 at a tier below full" in told


def test_what_has_no_settings_has_no_looks(say: Say) -> None:
    code, out, _ = say("plan", "proofs", "--stop-when-decided")
    assert "is looked at" not in out
    assert code in (0, 3)


def test_the_catalog_knows_the_questions_that_are_planted() -> None:
    dataset = catalog.question_sets()["mmlu"]
    assert dataset.subject(SUBJECT).questions == 100  # type: ignore[union-attr]
