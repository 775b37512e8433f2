"""`repro results`. Oracle: a results folder of made-up records, whose content is known."""

import json
import shutil
from pathlib import Path
from typing import Any

import made_up_records as records
import pytest

from repro import paths
from repro.cli import main
from repro.environment.revision import Revision
from repro.report import collect
from repro.store import contents, keys, run_file
from repro.store.run_file import RunFile
from repro.store.store import MODEL, Store
from verify.evidence import Evidence
from verify.judge import judge


@pytest.fixture
def made(tmp_path: Path) -> tuple[Store, RunFile]:
    return records.run(tmp_path / "results", records.manifest(), "smoke")


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """What a command prints as JSON, after it exits with 0."""
    capsys.readouterr()
    assert main.main(["results", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_list_tells_what_each_record_is(
    made: tuple[Store, RunFile], capsys: pytest.CaptureFixture[str]
) -> None:
    store, run = made
    slot, key = next(iter(run.jobs.items()))
    path = store.folder(key) / "arrays.safetensors"
    size = sum(file.stat().st_size for file in store.folder(key).iterdir())
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    rows = {row["key"]: row for row in said(capsys, "list", "--out", store.root)}
    assert set(rows) == set(run.jobs.values())
    row = rows.pop(key)
    assert slot in row["what"].split(", ")
    assert row["used_by"] == ["table9.smoke"]
    assert row["size"] == size
    assert row["state"] == "broken"
    assert "have digest" in row["broken"]
    assert {each["state"] for each in rows.values()} == {"sound"}
    assert {each["record"]["job"]["kind"] for each in rows.values()} == {"evaluate"}
    assert main.main(["results", "list", "--out", str(store.root)]) == 0
    printed = capsys.readouterr().out
    assert key[:12] in printed
    assert f"{len(rows) + 1} records" in printed
    assert "1 broken" in printed


def test_weights_beside_a_record_are_part_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, files = Store(tmp_path), {"adapter.safetensors": "3" * 64}
    job = next(iter(_jobs()))
    key = records.save_record(store, job, records.answers(job), records.this_machine(), files=files)
    (store.folder(key) / MODEL).mkdir()
    (store.folder(key) / MODEL / "adapter.safetensors").write_bytes(b"other")
    (row,) = said(capsys, "list", "--out", tmp_path)
    assert row["broken"] == "its weights are damaged or gone: adapter.safetensors"
    assert row["used_by"] == []


def _jobs() -> list[Any]:
    from repro.schema.slots import slots

    found = slots(records.manifest(), "full", records.checkpoints())
    return [slot.job for slot in found if slot.job]


def test_show_takes_the_first_digits_of_a_key(
    made: tuple[Store, RunFile], capsys: pytest.CaptureFixture[str]
) -> None:
    store, run = made
    key = next(iter(run.jobs.values()))
    row = said(capsys, "show", key[:20], "--out", store.root)
    assert row["key"] == key
    assert row["record"]["values"] == store.load(key)[0].values
    assert main.main(["results", "show", key, "--out", str(store.root)]) == 0
    printed = capsys.readouterr().out
    for part in (key, "shots5/accuracy", "python", "device", "twin/model.safetensors"):
        assert part in printed


@pytest.mark.parametrize(
    ("prefix", "found"), [("", "14 records begin so: "), ("zz", "no record begins so")]
)
def test_show_says_what_no_key_or_several_begin_with(
    made: tuple[Store, RunFile], capsys: pytest.CaptureFixture[str], prefix: str, found: str
) -> None:
    store, run = made
    assert len(set(run.jobs.values())) == 14
    assert main.main(["results", "show", prefix, "--out", str(store.root)]) == 2
    error = capsys.readouterr().err
    assert found in error
    assert error.count("\n") == 1


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for action in (["list"], ["show", "a"], ["gc"]):
        assert main.main(["results", *action, "--out", str(tmp_path / "no")]) == 2
        assert "no, expected what `repro run` wrote" in capsys.readouterr().err


def rubbish(store: Store, run: RunFile) -> tuple[RunFile, set[Path]]:
    """Lay down what may go, and a little that may not; the run file lacks two of its records."""
    first, second, third = list(dict.fromkeys(run.jobs.values()))[:3]
    jobs = {slot: key for slot, key in run.jobs.items() if key not in (first, second)}
    run = run.model_copy(update={"jobs": jobs})
    run_file.save(store.root, run)
    waiting = run.model_copy(update={"jobs": {**jobs, "x": "a" * 64}, "manifest": "other"})
    run_file.save(store.root, waiting)
    kept = store.work / ("a" * 64)
    gone = {
        store.folder(first),
        store.folder(second),
        store.jobs / f".writing-{third}-dead",
        store.work / third,
        store.work / ("b" * 64),
    }
    for path in (*gone, kept):
        path.mkdir(parents=True, exist_ok=True)
        (path / "file").write_bytes(b"1234")
    return run, gone


def test_gc_says_what_nobody_needs_and_removes_it_only_when_told(
    made: tuple[Store, RunFile], capsys: pytest.CaptureFixture[str]
) -> None:
    store, run = made
    run, gone = rubbish(store, run)
    told = said(capsys, "gc", "--out", store.root)
    assert {Path(row["path"]) for row in told["garbage"]} == gone
    assert told["freed"] is None
    assert all(path.exists() for path in gone)
    size = sum(file.stat().st_size for path in gone for file in path.iterdir())
    assert sum(row["size"] for row in told["garbage"]) == size
    told = said(capsys, "gc", "--out", store.root, "--yes")
    assert told["freed"] == size
    assert not any(path.exists() for path in gone)
    assert (store.work / ("a" * 64)).exists()
    assert all(store.has(key) for key in run.jobs.values())
    assert said(capsys, "gc", "--out", store.root)["garbage"] == []
    assert main.main(["results", "gc", "--out", str(store.root)]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_gc_touches_nothing_that_a_running_job_holds(made: tuple[Store, RunFile]) -> None:
    store, run = made
    _, gone = rubbish(store, run)
    held = store.work / ("b" * 64)
    found = contents.garbage(store)
    with store.lock("b" * 64):
        assert held not in {each.path for each in contents.garbage(store)}
        contents.remove_garbage(store, found)  # it was free when it was found
    assert {path for path in gone if path.exists()} == {held}


def test_gc_keeps_weights_that_a_kept_record_was_made_with(tmp_path: Path) -> None:
    store, machine = Store(tmp_path), records.this_machine()
    (job, other, *_) = _jobs()
    tuning = records.save_record(
        store, job, records.answers(job), machine, files={"a.safetensors": "3" * 64}
    )
    asked = records.save_record(
        store, other, records.answers(other), machine, inputs={"model/a.safetensors": "3" * 64}
    )
    _, run = records.run(tmp_path / "other", records.manifest(), "smoke")
    run_file.save(tmp_path, run.model_copy(update={"jobs": {"x": asked}}))
    assert not contents.garbage(store)
    shutil.rmtree(store.folder(asked))
    assert [each.key for each in contents.garbage(store)] == [tuning]


def test_gc_removes_nothing_beside_a_damaged_run_file(
    made: tuple[Store, RunFile], capsys: pytest.CaptureFixture[str]
) -> None:
    store, _ = made
    (store.root / "runs" / "table9.smoke.json").write_text("{")
    assert main.main(["results", "gc", "--yes", "--out", str(store.root)]) == 2
    assert "is damaged" in capsys.readouterr().err
    assert len(list(store.jobs.iterdir())) == 14


# -----------------------------------------------------------------------------
# Records that no run file names


def test_records_whose_run_file_is_gone_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    evidence = paths.ROOT / "evidence" / "cpu"
    shutil.copytree(evidence, tmp_path / "cpu")
    capsys.readouterr()
    main.main(["verify", str(tmp_path / "cpu"), "--json"])
    whole = json.loads(capsys.readouterr().out)
    assert not any("no run file names" in note for each in whole for note in each["notes"])
    path = run_file.path_of(tmp_path / "cpu", "theorem3", "full")
    keys = sorted(set(run_file.load(path).jobs.values()))
    path.unlink()
    main.main(["verify", str(tmp_path / "cpu"), "--json"])
    left = json.loads(capsys.readouterr().out)
    assert len(left) == len(whole) - 1
    for each in left:
        (note,) = [note for note in each["notes"] if "no run file names" in note]
        assert note.startswith(f"in no count: {len(keys)} records in cpu")
        assert all(key[:12] in note for key in keys[:3])
    seen = collect.gather([tmp_path / "cpu"])
    assert all(any("no run file names" in n for n in each.verdict.notes) for each in seen.runs)
    main.main(["results", "list", "--out", str(tmp_path / "cpu")])
    assert f"{len(keys)} that no run file names" in capsys.readouterr().out


def test_a_folder_without_any_run_file_names_its_records(
    made: tuple[Store, RunFile], capsys: pytest.CaptureFixture[str]
) -> None:
    store, run = made
    run_file.path_of(store.root, run.manifest, run.tier).unlink()
    assert main.main(["verify", str(store.root)]) == 2
    said_ = " ".join(capsys.readouterr().err.split())
    count = len(set(run.jobs.values()))
    assert f"holds no runs; in no count: {count} records in results that no run file" in said_


# -----------------------------------------------------------------------------
# Whose code


def notes_of(tmp_path: Path, code: dict[str, str], revision: Revision | None) -> list[str]:
    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        del arrays
        fields["environment"] = fields["environment"].model_copy(update={"revision": revision})
        fields["code"] = code
        machine = fields["environment"]
        libraries = keys.libraries_of("evaluate", machine.packages)
        given = (fields["job"], fields["inputs"], code, libraries, machine.key_parts())
        fields["key"] = keys.job_key(*given)

    claimed = records.manifest()
    store, run = records.run(tmp_path, claimed, "smoke", change)
    known = {"mmlu": records.dataset()}
    evidence = Evidence(claimed, run, store, records.checkpoints(), known)
    return [note for note in judge(claimed, evidence, {}).notes if "made by" in note]


def test_records_made_by_this_code_need_no_note(tmp_path: Path) -> None:
    here = Revision(of="commit 1", changed=())
    assert notes_of(tmp_path, keys.code_of("evaluate"), here) == []


def test_records_made_by_other_code_are_judged_and_say_so(tmp_path: Path) -> None:
    code = keys.code_of("evaluate") | {
        "runner/evaluation/evaluate.py": "2" * 64,
        "runner/gone.py": "3" * 64,
    }
    (note,) = notes_of(tmp_path, code, None)
    assert note == (
        "made by other code: 14 of 14 records; "
        "runner/evaluation/evaluate.py, runner/gone.py of this "
        "checkout are not what ran"
    )


def test_records_made_by_edited_code_name_the_files(tmp_path: Path) -> None:
    edited = Revision(of="commit 1", changed=("runner/evaluation/evaluate.py",))
    (note,) = notes_of(tmp_path, keys.code_of("evaluate"), edited)
    assert note == "made by code that was not as commit 1 has it: runner/evaluation/evaluate.py"


def test_a_record_from_before_revisions_keeps_its_digest(made: tuple[Store, RunFile]) -> None:
    store, run = made
    path = store.folder(next(iter(run.jobs.values()))) / "record.json"
    data = json.loads(path.read_text())
    del data["environment"]["revision"]
    path.write_text(json.dumps(data))
    assert store.load(data["key"])[0].environment.revision is None


def test_an_edited_library_is_drift_for_the_claims_that_depend_on_it(tmp_path: Path) -> None:
    plain = records.this_machine().packages["torch"]
    edited = f"{plain} (1 file not as installed, torch/__init__.py: changed; 123456789abc)"

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        del arrays
        machine = fields["environment"]
        packages = machine.packages | {"torch": edited}
        fields["environment"] = machine.model_copy(update={"packages": packages})
        given = (fields["job"], fields["inputs"], fields["code"], packages, machine.key_parts())
        fields["key"] = keys.job_key(*given)

    claimed = records.manifest()
    store, run = records.run(tmp_path, claimed, "full", change)
    known = {"mmlu": records.dataset()}
    evidence = Evidence(claimed, run, store, records.checkpoints(), known)
    found = judge(claimed, evidence, {"torch": plain}).findings[0]
    assert found.outcome == "inconclusive"
    assert found.reason.startswith(f"drift: torch {edited}, pinned {plain}; ")
