"""Every field of a run file and of a record with values that no run writes there.

What is wrong with one file is told with its place and costs that file alone: no command ends as a
bug, and the run beside it is judged as before. Oracles: exit codes, and the other run's verdict.
"""

import functools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from own_manifests import save, with_a_job

from repro import fileio, paths
from repro.cli.main import main
from repro.environment.machine import Cpu, Environment
from repro.errors import BadInputError
from repro.schema import validate
from repro.store import commitments, run_file
from repro.store.commitments import Commitments, commitments_of
from repro.store.record import ArrayFile, Record
from repro.store.run_file import RunFile
from repro.store.store import BrokenRecordError, Store

SHA, NAN, INFINITY = "0" * 64, float("nan"), float("inf")
DEEP = functools.reduce(lambda inside, _: [inside], range(150), "odd")
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 1e300, 2**63, 10**400, NAN, -INFINITY, "", " ", "odd", "\0\n\x1b[2J"),
    *("\u202e" * 300, "NaN", SHA, [], [[]], [["odd"], ["odd"]], DEEP, {}, {"": ""}, {"odd": None}),
    *({"odd": "odd"}, {"odd": SHA}, {"odd": ["odd", "odd"]}, {"odd": {"odd": SHA}}, {"one": -1}),
)
"""Another type, nothing, too much, no number, a name that nobody knows, twice the same, nested."""
TIMES = ("2026-11-30", "2026-13-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00", "yesterday")
TIMES += ("2026-11-30T10:00:00", "2026-11-30T10:00:00+05:00", "0001-01-01T00:00:00+00:00")

OF_RUNS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(RunFile.model_fields, ()),
    **{f"committed.{name}": () for name in Commitments.model_fields},
    "schema_version": (1, 2, 3),
    "manifest": ("other", "theorem3"),
    "file": ("mine/other.json", "mine", "/dev/null", "x" * 5000),
    "tier": ("smoke",),
    "engine": ("lm-eval",),
    "added": ({"batch_size": 12}, {"order": "length-ascending"}, {"mamba_path": "slow", "seed": 3}),
    "committed.claims": ({"tied": SHA},),
    "committed.depends_on": ({"tied": ["torch"], "tied.two": ["torch", "torch"]},),
    "jobs": ({"one": SHA}, {"one": "0" * 63}, {"one": SHA, "two": SHA}),
    "missing": ({"one": "a\nb\x1b"}, {"one": ""}),
    "looks": ([["a"], ["b"]], [["a", "a"]], [["/"]]),
}
OF_RECORDS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(Record.model_fields, ()),
    **{f"arrays.{name}": () for name in ArrayFile.model_fields},
    **{f"environment.{name}": () for name in Environment.model_fields},
    **{f"environment.cpu.{name}": () for name in Cpu.model_fields},
}
_GPU = {"name": "a", "driver": "b", "uuid": "c"}
REFUSED_OF_RUNS: dict[str, tuple[Any, ...]] = {
    "started": TIMES,
    "added": (
        *({"batch_size": each} for each in (-1, 0, 2**63, 10**400, "12", 1.5, None, [3])),
        *({"order": "up"}, {"seed": -1}, {"seed": "x"}, {"id": "x"}, {"unknown": 1}),
    ),
}
REFUSED_OF_RECORDS: dict[str, tuple[Any, ...]] = {
    "started": TIMES,
    "seconds": (-0.001, 1e300, NAN, INFINITY),
    "arrays.size": (-1,),
    "environment.ram": (-1, 2**63),
    "environment.cpu.threads": (-1,),
    "environment.gpus": tuple([{**_GPU, "memory": each}] for each in (-1, 2**63, NAN)),
}
"""What no run writes there, by their schema or by what the numbers are of."""

READING = (("verify",), ("results", "list"), ("results", "gc"), ("compare", "results", "kept"))
WRITING = (
    *(("export", "--format", "csv", "--out", "f.csv"), ("plan", "mine/ours.json")),
    ("run", "mine/ours.json"),
)
PACKING = (("export", "--format", "ro-crate", "--out", "packet"),)
PACKED = ("added", "file", "jobs", "seconds", "started", "warnings")
"""Fields that a packet is made of; one takes five seconds."""
FEW = 1
"""Values of a field, of those that are taken, that the commands which take a second are given."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two runs, `ours` and `other`, in the folder where the commands are given; and a copy."""
    folder, before = tmp_path_factory.mktemp("ran"), Path.cwd()
    os.chdir(folder)
    for name, seed in (("ours", 0), ("other", 7)):
        data = with_a_job(name)
        data["jobs"][0]["job"]["seed"] = seed
        save(folder / "mine", data)
        assert main(["run", f"mine/{name}.json"]) == 0
    shutil.copytree("results", "kept")
    yield folder
    os.chdir(before)


@pytest.fixture
def say(ran: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """A command that may end as it likes, but not as a bug; what it says and how it ends."""

    def said(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(arguments))
        found = capsys.readouterr()
        assert code in range(5), (arguments, code, found.err)
        assert "Traceback" not in found.err + found.out
        for each in ("page", "packet", "f.csv"):
            path = ran / each
            (shutil.rmtree if path.is_dir() else os.remove)(path) if path.exists() else None
        return code, found.out, found.err

    yield said
    shutil.rmtree(ran / "results")
    shutil.copytree(ran / "kept", ran / "results")


def planted(data: dict[str, Any], where: str, value: Any) -> dict[str, Any]:
    """A copy with another value in one place."""
    found = json.loads(json.dumps(data))
    *steps, last = where.split(".")
    functools.reduce(lambda inside, step: inside[step], steps, found)[last] = value
    return found


def sealed(data: dict[str, Any]) -> dict[str, Any]:
    """A record with the digest of its content, if that has one."""
    content = {name: each for name, each in data.items() if name != "digest"}
    try:
        return {**data, "digest": fileio.digest_of_data(content)}
    except ValueError:
        return data


def outcomes(say: Any) -> dict[str, str]:
    """Of each run that can be judged."""
    verdicts = json.loads(say("verify", "--json")[1])
    assert len({each["manifest"] for each in verdicts}) == len(verdicts), "a run counts twice"
    return {each["manifest"]: each["findings"][0]["outcome"] for each in verdicts}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("where", OF_RUNS)
def test_a_run_file_costs_its_own_run_at_most(ran: Path, say: Any, where: str) -> None:
    path = run_file.path_of(ran / "results", "ours", "full")
    good = json.loads(path.read_text())
    refused, taken = dict[str, str](), list[str]()
    known = REFUSED_OF_RUNS.get(where, ())
    for value in (*OF_RUNS[where], *known, *ODD):
        text = json.dumps(planted(good, where, value))
        path.write_text(text)
        try:
            run_file.load(path)
            taken.append(text)
        except BadInputError as error:
            refused[text] = str(error)
    places = (f"{path}: $.{where}", "the run of", "another version of this tool")
    assert refused
    assert {json.dumps(planted(good, where, each)) for each in known} <= refused.keys()
    assert not [said for said in refused.values() if not any(each in said for each in places)]
    for number, text in enumerate((*list(refused)[-1:], *taken)):
        writing = (*WRITING, *PACKING * (where in PACKED)) if 0 < number <= FEW else ()
        for command in (*READING, *writing):
            path.write_text(text)
            say(*command)
        path.write_text(text)
        assert outcomes(say)["other"] == "reproduced", text


@pytest.mark.timeout(300)
@pytest.mark.parametrize("where", OF_RECORDS)
def test_a_record_costs_its_own_claims_at_most(ran: Path, say: Any, where: str) -> None:
    key = run_file.load(run_file.path_of(ran / "results", "ours", "full")).jobs["one"]
    store = Store(ran / "results")
    path = store.folder(key) / "record.json"
    good = json.loads(path.read_text())
    refused, taken = list[str](), list[str]()
    known = REFUSED_OF_RECORDS.get(where, ())

    def text_of(value: Any) -> str:
        return json.dumps(planted(sealed(planted(good, where, value)), where, value))

    for text in map(text_of, (*OF_RECORDS[where], *known, *ODD)):
        path.write_text(text)
        try:
            store.load(key)
            taken.append(text)
        except BrokenRecordError:
            refused.append(text)
    assert not [each for each in map(text_of, known) if each not in refused]
    assert refused
    for number, text in enumerate((refused[-1], *taken)):
        path.write_text(text)
        writing = (*WRITING[:-1], *PACKING * (where in PACKED)) if 0 < number <= FEW else ()
        for command in (*READING, *writing, ("results", "show", key[:12])):
            say(*command)
        found = outcomes(say)
        assert found["other"] == "reproduced", text
        assert number or found["ours"] == "invalid", text


@pytest.mark.parametrize(
    ("added", "told"),
    [
        ({"batch_size": -1}, "$.added.batch_size\n    found:    -1 (int)\n    expected: greater"),
        ({"unknown": 1}, "$.added.unknown\n    found:    the unknown field 'unknown'"),
        (
            {"batch_size": 16},
            "$.added\n    found:    batch_size=16: the setting batch-16 of table1",
        ),
    ],
)
def test_a_setting_that_no_run_added(ran: Path, say: Any, added: dict[str, Any], told: str) -> None:
    """Of a manifest whose jobs have settings, where what is added makes another manifest."""
    claimed = validate.load_manifest(paths.MANIFESTS / "table1.json")
    run = RunFile(
        schema_version=2,
        manifest="table1",
        file="table1",
        tier="full",
        started="2026-01-01T00:00:00+00:00",
        committed=commitments_of(claimed),
        substitutions={},
        jobs={},
        missing={},
    )
    run_file.save(ran / "results", run)
    path = run_file.path_of(ran / "results", "table1", "full")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"added": added}))
    code, out, err = say("verify", "--json")
    assert code == 3
    assert told in err
    assert [each["manifest"] for each in json.loads(out)] == ["other", "ours"]
    say("list")
    say("plan", "table1", "--tier", "full", "--offline")


@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_a_damaged_table_of_version_1_is_said(
    ran: Path, say: Any, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del ran
    table = tmp_path / "table.json"
    table.write_text(content)
    monkeypatch.setattr(commitments, "VERSION_1", str(table))
    path = Path("results/runs/ours.full.json")
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 1'))
    code, out, err = say("verify", "--json")
    assert code == 3
    assert f"{table} is not a valid table of commitments" in err
    assert [each["manifest"] for each in json.loads(out)] == ["other"]
