"""One job, by several processes at once, and from inputs that changed. Oracle: the records."""

import os
import time
from dataclasses import replace
from pathlib import Path

import made_up_records as records
import pytest

from repro import fileio
from repro.errors import CannotRunError
from repro.inputs.located import Located
from repro.schema.jobs import WeightTyingJob
from repro.store import keys
from repro.store.record import Record
from repro.store.store import UNNAMED, Store
from runner import job

JOB = WeightTyingJob(
    kind="weight_tying", projection="x", inputs=64, blocks={"B": 8, "C": 8}, rank=4, seed=1
)


def key(located: dict[str, Located]) -> str:
    machine = records.this_machine()
    files = {name: sha for each in located.values() for name, sha in each.files.items()}
    libraries = keys.libraries_of(JOB.kind, machine.packages)
    return keys.job_key(JOB, files, keys.code_of(JOB.kind), libraries, machine.key_parts())


def run(root: Path, located: dict[str, Located], replaces: str = "") -> Record:
    machine = records.this_machine()
    store = Store(root)
    return job.run_job(
        key(located), JOB, located, store, machine, lambda *_: None, replaces=replaces
    )


def inode(root: Path, record: Record) -> int:
    """Which file a record was written to."""
    return (Store(root).folder(record.key) / "record.json").stat().st_ino


def located(name: str, path: Path | None, files: dict[str, str]) -> Located:
    return Located(name, path, files, substituted=False, first_use=False)


def test_who_waits_for_a_job_takes_its_record(tmp_path: Path) -> None:
    """The first holds the key until the second says that it waits, and then puts a record there."""
    store, made = Store(tmp_path), run(tmp_path / "aside", {})
    told = tmp_path / "told"
    with store.lock(key({})):
        child = os.fork()
        if child == 0:
            os.closerange(3, 256)  # or it would hold its parent's lock
            taken = job.run_job(
                key({}),
                JOB,
                {},
                store,
                records.this_machine(),
                lambda *said: told.write_text(said[2]),
            )
            os._exit(0 if taken == made else 1)
        while not told.exists():
            time.sleep(0.01)
        (tmp_path / "aside" / "jobs").rename(store.jobs)
    assert os.waitpid(child, 0)[1] == 0
    assert told.read_text().startswith(f"waiting for process {os.getpid()} on ")


def test_two_processes_run_a_job_once(tmp_path: Path) -> None:
    records.this_machine()  # found out once, before there are several
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            record = run(tmp_path, {})
            (tmp_path / f"{number}").write_text(record.model_dump_json())
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 3
    said = {(tmp_path / str(number)).read_text() for number in range(3)}
    assert len(said) == 1  # start and seconds are in it: one of them computed
    assert not list(Store(tmp_path).locks.iterdir())


def test_only_the_record_that_a_run_replaces_is_made_again(tmp_path: Path) -> None:
    """That is what `--fresh` asks for; what another run made of it since the plan is fresh too."""
    first = run(tmp_path, {})
    before = inode(tmp_path, first)
    assert inode(tmp_path, run(tmp_path, {})) == before
    assert inode(tmp_path, run(tmp_path, {}, replaces="0" * 64)) == before
    second = run(tmp_path, {}, replaces=first.digest)
    after = inode(tmp_path, second)
    assert after != before
    if second.digest != first.digest:  # in one second and one millisecond they are the same bytes
        assert inode(tmp_path, run(tmp_path, {}, replaces=first.digest)) == after


def test_data_without_a_digest_is_never_reused(tmp_path: Path) -> None:
    """As `--data mmlu=hub`: the catalog names a branch, and what it points to may change."""
    hub = {"data": located("mmlu", None, {"mmlu/x/y": "1" * 64})}
    left = Store(tmp_path).work / key(hub) / "shots0.json"
    left.parent.mkdir(parents=True)
    left.write_text("of other data")
    first = run(tmp_path, hub)
    assert first.path[UNNAMED] == "mmlu"
    assert not Store(tmp_path).has(first.key)
    assert not left.exists()
    before = inode(tmp_path, first)
    assert inode(tmp_path, run(tmp_path, hub)) != before


def test_damaged_tuned_weights_are_not_asked(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    tuned = located("m.full.seed1", tmp_path, {f"model/{file.name}": fileio.digest_of_file(file)})
    run(tmp_path / "results", {"tuned": tuned})
    file.write_bytes(b"weighty")
    with pytest.raises(
        CannotRunError, match=r"weights of m\.full\.seed1 are damaged: .*tunes again"
    ):
        run(tmp_path / "other", {"tuned": tuned})


def test_other_code_than_the_keys_runs_nothing(tmp_path: Path) -> None:
    other = located("m", tmp_path, {"m/a": "2" * 64})
    machine = records.this_machine()
    with pytest.raises(CannotRunError, match="was changed while it ran"):
        job.run_job(
            key({}), JOB, {"checkpoint": replace(other)}, Store(tmp_path), machine, lambda *_: None
        )
    assert not Store(tmp_path).folder(key({})).exists()
