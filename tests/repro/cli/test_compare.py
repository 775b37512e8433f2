"""`repro compare`: two records, runs or packets.

Oracle: the records themselves, and `repro verify`'s own refusal of what cannot be trusted.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import made_up_records as made_up
import pytest
from packets import export, tunings
from safetensors.numpy import load_file

from repro import paths
from repro.cli.main import main
from repro.report import comparison
from repro.schema import catalog
from repro.store.run_file import RunFile
from repro.store.store import Store

EVIDENCE = paths.ROOT / "evidence"

Ran = tuple[Path, RunFile]


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """A whole run of the made-up manifest, and a catalog that knows its questions."""
    monkeypatch.setattr(catalog, "checkpoints", made_up.checkpoints)
    monkeypatch.setattr(catalog, "question_sets", lambda: {"mmlu": made_up.dataset()})
    monkeypatch.setattr(comparison, "manifest_of", lambda _: made_up.manifest())
    store, run = made_up.run(tmp_path / "results", made_up.manifest())
    return store.root, run


def compared(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["compare", *map(str, arguments), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def copied(results: Path, seed: int, where: Path) -> Path:
    """The same run with other answers, under the same keys."""
    (where / "runs").mkdir(parents=True)
    shutil.copy(next((results / "runs").iterdir()), where / "runs")
    for folder in (results / "jobs").iterdir():
        record, _ = Store(results).load(folder.name)
        made_up.save_record(
            Store(where),
            record.job,  # type: ignore[arg-type]
            made_up.answers(record.job, seed),  # type: ignore[arg-type]
            made_up.this_machine(),
        )
    return where


def test_two_records_of_one_model_in_two_dtypes(
    ran: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    results, run = ran
    keys = [run.jobs[f"mamba-1.{dtype}.batch-8"] for dtype in ("float32", "float16")]
    places = [results / "jobs" / key[:12] for key in keys]
    found = compared(capsys, *places)
    (pair,) = found["pairs"]
    assert [each["key"] for each in pair["records"]] == keys
    assert {"what": "dtype", "here": "float32", "there": "float16"}.items() <= pair["differences"][
        0
    ].items()
    assert len(pair["differences"]) == 1
    rows = pair["answers"]
    assert [(row["task"], row["shots"], row["metric"]) for row in rows] == [
        ("mmlu", 0, "accuracy"),
        ("mmlu", 5, "accuracy"),
    ]
    for row in rows:  # every flip is in JSON
        assert len(row["flips"]) == row["lost"] + row["won"] > 0
    assert all(p >= row["p"] for p, row in zip(pair["p_adjusted"], rows, strict=True))
    assert main(["compare", *map(str, places)]) == 0
    printed = capsys.readouterr().out
    flips = sum(len(row["flips"]) for row in rows)
    assert f"10 of {flips} flips" in printed
    top = max((flip for row in rows for flip in row["flips"]), key=lambda flip: flip["moved"])
    assert len(re.findall(r"^  (?:arithmetic|geometry)/\d+", printed, re.MULTILINE)) == 10
    assert re.search(rf"^  {top['question']} ", printed, re.MULTILINE)
    assert main(["compare", *map(str, places), "--all"]) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"^  (?:arithmetic|geometry)/\d+", printed, re.MULTILINE)) == flips


def test_two_runs_slot_by_slot_and_themselves(
    ran: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, run = ran
    found = compared(capsys, results, results)
    assert len(found["pairs"]) == len(set(run.jobs.values()))
    for pair in found["pairs"]:
        assert pair["differences"] == []
        for row in pair["answers"]:
            assert (row["lost"], row["won"], row["p"], row["interval"]) == (0, 0, 1.0, None)
            assert row["movement"]["percentile_99"] == 0
    other = copied(results, 1, tmp_path / "other")
    found = compared(capsys, results, other)
    assert len(found["pairs"]) == len(set(run.jobs.values()))
    assert all(row["lost"] for pair in found["pairs"] for row in pair["answers"])
    one = next((results / "runs").iterdir())
    assert compared(capsys, one, other)["pairs"] == found["pairs"]


def test_one_record_belongs_to_all_that_were_asked_the_same(
    ran: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    results, run = ran
    key = run.jobs["mamba-1.float32.batch-8"]
    found = compared(capsys, results / "jobs" / key, results)
    assert {pair["records"][1]["key"] for pair in found["pairs"]} == set(run.jobs.values())


def test_a_record_that_verify_refuses_is_left_out_and_named(
    ran: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, run = ran
    other = copied(results, 1, tmp_path / "other")
    key = run.jobs["mamba-1.float16.batch-16"]
    arrays = other / "jobs" / key / "arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-8] + b"\0" * 8)
    assert main(["compare", str(results), str(other), "--json"]) == 3
    done = capsys.readouterr()
    assert f"left out: table9.smoke: mamba-1.float16.batch-16: the arrays of record {key[:12]}" in (
        done.err
    )
    slots = {pair["slot"] for pair in json.loads(done.out)["pairs"]}
    assert slots == {f"table9.smoke: {each}" for each in run.jobs} - {
        "table9.smoke: mamba-1.float16.batch-16"
    }
    record = str(other / "jobs" / key)
    assert main(["compare", record, record]) == 2
    assert f"the arrays of record {key[:12]} have digest" in capsys.readouterr().err


def test_other_questions_are_refused(
    ran: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, run = ran
    key = run.jobs["mamba-1.float32.batch-8"]
    job = Store(results).load(key)[0].job.model_copy(update={"subjects": ("geometry",)})
    store = Store(tmp_path / "part")
    other = made_up.save_record(store, job, made_up.answers(job), made_up.this_machine())  # type: ignore[arg-type]
    assert main(["compare", str(results / "jobs" / key), str(store.root / "jobs" / other)]) == 2
    done = capsys.readouterr()
    assert done.out == ""
    assert "other subjects: in the first alone arithmetic, in the second alone none" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", ["nowhere", "jobs/abc", "runs/none.json"])
def test_what_is_not_there_is_one_message(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(tmp_path / name), str(EVIDENCE / "cpu")]) == 2
    done = capsys.readouterr()
    assert done.out == ""
    assert "Traceback" not in done.err
    assert name.partition("/")[0] in done.err


def test_committed_runs_of_other_kinds_and_a_packet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (EVIDENCE / name for name in ("h100", "h200-pinned"))
    found = compared(capsys, one, other)
    assert found["pairs"]
    for pair in found["pairs"]:
        here, there = (
            load_file(folder / "jobs" / record["key"] / "arrays.safetensors")
            for folder, record in zip((one, other), pair["records"], strict=True)
        )
        arrays = pair["arrays"]
        every = arrays["equal"] + len(arrays["apart"]) + len(arrays["unlike"])
        assert every == len(here.keys() | there.keys())
        assert set(arrays["apart"]) <= {
            name for name in here if here[name].tobytes() != there[name].tobytes()
        }
        said = {each["what"]: (each["here"], each["there"]) for each in pair["differences"]}
        assert said["hardware"][1] == "NVIDIA H200"
        assert "torch" in said
    (tmp_path / "results/runs").mkdir(parents=True)
    run = other / "runs/theorem3.full.json"
    shutil.copy(run, tmp_path / "results/runs")
    for key in set(json.loads(run.read_bytes())["jobs"].values()):
        shutil.copytree(other / "jobs" / key, tmp_path / "results/jobs" / key)
    assert tunings(run)
    packet = tmp_path / "packet.zip"
    assert export(tmp_path / "results", "--format", "ro-crate", "--out", packet) == 0
    assert compared(capsys, one, packet)["pairs"] == [
        each for each in found["pairs"] if each["slot"].startswith("theorem3")
    ]
