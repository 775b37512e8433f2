"""What a run file keeps, what a damaged one costs, and what a run may go on with.

Oracle: the run file before, the records on the disk, and what `repro verify` says of them.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any, Self

import pytest
from own_manifests import PLACE, printed, save, with_a_job, words

from repro import fileio, paths
from repro.cli.main import main
from repro.errors import CannotRunError
from repro.schema import validate
from repro.store import run_file
from repro.store.run_file import RunFile
from repro.store.store import Store

Said = tuple[int, str, str]


def two_jobs(name: str = "ours") -> dict[str, Any]:
    """Two weight tyings of different seeds, `one` and `two`, and a claim about each."""
    data = with_a_job(name)
    (job,), (claim,) = data["jobs"], data["claims"]
    other = {**job, "id": "two", "job": {**job["job"], "seed": 1}}
    data["jobs"].append(other)
    data["claims"].append({**claim, "id": "tied.two", "jobs": ["two"]})
    return data


class Folder:
    """A user's folder with `mine/ours.json`, and commands given in it."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys
        self.store = Store(root / "results")
        self.path = run_file.path_of(self.store.root, "ours", "full")

    def say(self, *arguments: str) -> Said:
        self.capsys.readouterr()
        code = main(list(arguments))
        found = self.capsys.readouterr()
        return code, found.out, found.err

    def run(self, *arguments: str) -> Said:
        return self.say("run", "mine/ours.json", *arguments)

    def file(self, name: str = "ours") -> RunFile:
        return run_file.load(self.path.with_name(f"{name}.full.json"))

    def outcomes(self) -> dict[str, str]:
        verdicts = json.loads(self.say("verify", "--json")[1])
        return {each["claim"]: each["outcome"] for one in verdicts for each in one["findings"]}

    def garbage(self) -> list[str]:
        code, out, _ = self.say("results", "gc", "--json")
        assert code == 0
        return [each["why"] for each in json.loads(out)["garbage"]]

    def written(self) -> dict[Path, int]:
        files = self.store.jobs.glob("*/record.json")
        return {each: each.stat().st_mtime_ns for each in files}


@pytest.fixture(scope="module", name="ran")
def ran_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two jobs, to be copied."""
    folder = tmp_path_factory.mktemp("ran")
    save(folder / "mine", two_jobs())
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["run", "mine/ours.json"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Folder:
    shutil.copytree(ran, tmp_path / "user", symlinks=True)
    monkeypatch.chdir(tmp_path / "user")
    return Folder(tmp_path / "user", capsys)


# -----------------------------------------------------------------------------
# What a run does not touch


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
@pytest.mark.parametrize("only", ["model=one", "dtype=float16"])
def test_what_only_leaves_out_stays_known(here: Folder, only: str, fresh: tuple[str, ...]) -> None:
    before = here.file()
    here.run("--only", only, *fresh)
    assert here.file().jobs == before.jobs
    assert here.file().started == before.started
    assert here.garbage() == []
    assert set(here.outcomes().values()) == {"reproduced"}


def test_a_fresh_run_of_everything_begins_anew(here: Folder) -> None:
    old = here.file().model_copy(update={"started": "2020-01-01T00:00:00+00:00"})
    run_file.save(here.store.root, old)
    assert here.run("--fresh")[0] == 0
    records = [here.store.load(key)[0].started for key in here.file().jobs.values()]
    assert "2020" < here.file().started <= min(records)


def test_a_job_that_fails_again_keeps_its_record(
    here: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was measured before, and a machine that cannot measure it today unmeasures nothing."""
    before = here.file()
    with monkeypatch.context() as patch:
        patch.setattr("repro.cli.run.chosen_engine", lambda _: FailingEngine())
        assert here.run("--fresh")[0] == 3
    assert (here.file().jobs, here.file().missing) == (before.jobs, {})
    assert here.garbage() == []
    assert set(here.outcomes().values()) == {"reproduced"}
    record = here.store.folder(before.jobs["one"]) / "record.json"
    record.write_bytes(record.read_bytes()[:-9])  # no record is kept that is none
    with monkeypatch.context() as patch:
        patch.setattr("repro.cli.run.chosen_engine", lambda _: FailingEngine())
        assert here.run()[0] == 3
    assert here.file().jobs == {"two": before.jobs["two"]}
    assert "no luck" in here.file().missing["one"]


class FailingEngine:
    """Every job fails."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @staticmethod
    def machine() -> Any:
        from repro.environment import machine

        return machine.capture()

    @staticmethod
    def execute(work: Any) -> dict[str, str]:
        return {key: str(CannotRunError("no luck")) for key in work.jobs}


def test_another_engine_does_not_make_a_run_forget(here: Folder) -> None:
    code, _, told = here.run("--engine", "lm-eval", "--only", "model=one")
    assert code == 2
    assert "ours was run at tier full by prefix, and a run has one engine" in told
    assert "1 job of it would be forgotten" in told
    assert here.run("--engine", "lm-eval")[0] == 0  # all of it
    assert here.file().engine == "lm-eval"
    assert here.run("--only", "model=one")[0] == 0  # it goes on by the engine that it began with
    assert here.file().engine == "lm-eval"


# -----------------------------------------------------------------------------
# Damaged


@pytest.mark.parametrize("text", ["{", '{"schema_version": 1}'])
def test_a_damaged_run_file_costs_its_own_run(here: Folder, text: str) -> None:
    save(here.root / "mine", two_jobs("other"))
    assert here.say("run", "mine/other.json")[0] == 0
    here.path.write_text(text)
    for arguments, shown in (
        (("verify",), "2 claims of the paper: 2 reproduced"),
        (("verify", "--json"), '"other"'),
        (("verify", "--markdown", "results"), "other"),
        (("list",), "table1"),
        (("results", "list"), "2 records"),
        (("results", "show", here.file("other").jobs["one"][:12]), "used by other.full"),
    ):
        code, out, told = here.say(*arguments)
        assert code == (0 if arguments == ("list",) else 3), arguments
        assert shown in words(out)
        if arguments != ("list",):  # it looks at the bundle's manifests alone
            assert f"{Path('results/runs/ours.full.json')} is damaged; its records are kept" in told
            assert told.count("is damaged") == 1
            assert "`repro run MANIFEST --tier full --out results`" in told


def test_a_run_file_of_another_version_is_named_and_never_written_over(here: Folder) -> None:
    text = here.path.read_text().replace('"schema_version": 2', '"schema_version": 3')
    here.path.write_text(text)
    for arguments in (("verify",), ("run", "mine/ours.json"), ("results", "gc", "--yes")):
        code, _, told = here.say(*arguments)
        assert code == 2, arguments
        assert "runs/ours.full.json was written by another version of this tool" in told
        assert "found:    3" in told
        assert "is damaged" not in told
    assert here.path.read_text() == text


def test_a_record_of_another_version_costs_its_own_claim(here: Folder) -> None:
    key = here.file().jobs["one"]
    path = here.store.folder(key) / "record.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    assert here.outcomes() == {"tied": "invalid", "tied.two": "reproduced"}
    told = words(here.say("verify")[1])
    assert f"record {key[:12]} is of version 2, which this tool does not read" in told


def test_a_damaged_run_file_is_left_out_of_what_is_written(here: Folder) -> None:
    save(here.root / "mine", two_jobs("other"))
    assert here.say("run", "mine/other.json")[0] == 0
    here.path.write_text("{")
    code, _, told = here.say("report", "--out", "page")
    assert code == 3
    assert "is damaged" in told
    page = (here.root / "page" / "report.html").read_text()
    assert "A run is left out." in page
    assert "tied.two" in page
    code, _, told = here.say("export", "--format", "csv", "--out", "findings.csv")
    assert code == 3
    assert "is damaged" in told
    assert "tied.two" in (here.root / "findings.csv").read_text()
    code, out, told = here.say("export", "--format", "ro-crate", "--out", "packet")
    assert code == 3
    assert "is damaged" in told
    assert "packet: 2 records" in out
    assert [each.name for each in (here.root / "packet/results/runs").iterdir()] == [
        "other.full.json"
    ]
    assert here.say("verify", "packet")[0] == 0


def test_a_run_writes_a_damaged_file_anew_and_measures_nothing_again(here: Folder) -> None:
    before, records = here.file(), here.written()
    here.path.write_text("{")
    code, _, told = here.run("--only", "model=one")
    assert code == 2
    assert "run once without --only" in told
    assert here.path.read_text() == "{"
    code, _, told = here.run()
    assert code == 0
    assert "ours.full.json is damaged and is written anew" in told
    assert here.file().jobs == before.jobs
    assert here.written() == records
    assert set(here.outcomes().values()) == {"reproduced"}


def test_nothing_goes_while_a_run_file_cannot_be_read(here: Folder) -> None:
    here.path.write_text("{")
    code, _, told = here.say("results", "gc", "--yes")
    assert code == 2
    assert "nothing may go while a run file cannot be read" in told
    assert "`repro run MANIFEST --tier full --out results`" in told
    assert len(here.written()) == 2


def test_the_remedy_names_a_manifest_of_the_bundle(here: Folder) -> None:
    path = here.path.with_name("theorem3.full.json")
    path.write_text("{")
    code, _, told = here.say("list")
    assert code == 3
    assert "`repro run theorem3 --tier full --out results`" in told


def test_a_copy_of_a_run_file_does_not_count_twice(here: Folder) -> None:
    shutil.copy(here.path, here.path.with_name("ours.full copy.json"))
    code, out, told = here.say("verify")
    assert code == 3
    assert "2 claims of the paper: 2 reproduced" in out
    assert "found:    the run of ours at tier full" in told


def test_a_run_whose_manifest_is_gone_costs_its_own_run(here: Folder) -> None:
    path = save(here.root / "mine", two_jobs("other"))
    assert here.say("run", "mine/other.json")[0] == 0
    path.unlink()
    code, out, told = here.say("verify")
    assert code == 3
    assert "2 claims of the paper: 2 reproduced" in out
    assert "runs/other.full.json: found no file mine/other.json" in told


# -----------------------------------------------------------------------------
# Claims that came later


def test_a_printed_claim_may_be_added_and_a_measured_one_may_not(here: Folder) -> None:
    data, records = two_jobs(), here.written()
    data["published"] = [printed("a", "0.10"), printed("b", "0.13"), printed("more", "30")]
    more = {"kind": "ratio", "published": "more", "of": ["b", "a"], "form": "percent-more"}
    said = {"statement": "30 % more", "place": PLACE, "depends_on": [], "relation": "equals"}
    data["claims"].append({"id": "more.printed", **said, **more})
    save(here.root / "mine", data)
    assert here.outcomes()["more.printed"] == "consistent"
    code, out, told = here.run()
    assert code == 0, told
    assert "3 claims" in out
    assert here.written() == records

    late = {**data["claims"][0], "id": "late"}
    sentence = {"kind": "ambiguous", "missing": "which", "readings": ["tied"]}
    read = {"id": "read", "statement": "it", "place": PLACE, "depends_on": [], **sentence}
    for claim in (late, read):
        save(here.root / "mine", {**data, "claims": [*data["claims"], claim]})
        code, _, told = here.run()
        assert code == 2
        assert f"{claim['id']}: the claim was added after the run" in words(told)
        assert here.outcomes()[claim["id"]] == "invalid"


def test_a_changed_or_removed_claim_still_blocks(here: Folder) -> None:
    """What it says may be mended; what decides it may not."""
    data = two_jobs()
    data["claims"][0]["statement"] = "another sentence"
    save(here.root / "mine", data)
    assert here.run()[0] == 0
    assert here.outcomes() == {"tied": "reproduced", "tied.two": "reproduced"}
    data["claims"][0]["case"] = "separate"
    save(here.root / "mine", data)
    code, _, told = here.run()
    assert code == 2
    assert "tied: the claim or its margin was changed after the run" in told
    assert here.outcomes() == {"tied": "invalid", "tied.two": "reproduced"}
    save(here.root / "mine", {**two_jobs(), "claims": two_jobs()["claims"][:1]})
    code, _, told = here.run()
    assert code == 2
    assert "tied.two: the claim was removed after the run" in told


def test_a_claim_of_version_1_that_no_table_knows_is_refused_by_that_name(here: Folder) -> None:
    """As it was, it is read; its words mended, nobody can tell what of it was."""
    whole = two_jobs()["claims"]
    manifest = validate.load_manifest(here.root / "mine" / "ours.json")
    later = {"standing", "quote", "conditions", "answers"}
    digests = {
        each.id: fileio.digest_of_data(each.model_dump(mode="json", exclude=later))
        for each in manifest.claims
    }
    told = json.loads(here.path.read_text()) | {"schema_version": 1}
    told["committed"] |= {"claims": digests}
    del told["committed"]["depends_on"]
    here.path.write_text(json.dumps(told))
    assert here.outcomes() == {"tied": "reproduced", "tied.two": "reproduced"}
    whole[0]["statement"] = "another sentence"
    save(here.root / "mine", {**two_jobs(), "claims": whole})
    assert here.outcomes() == {"tied": "invalid", "tied.two": "reproduced"}
    code, _, said = here.run()
    assert code == 2
    assert "(its run file is of version 1)" in words(said)


# -----------------------------------------------------------------------------
# Names


def test_a_manifest_is_known_by_name(here: Folder) -> None:
    (here.root / "table2").mkdir()  # results of an earlier run, say
    code, out, told = here.say("plan", "table2", "--offline")
    assert (code, told) == (0, "")
    assert "table2: nothing to run" in out
    (here.root / "table3").write_text("{")  # what is a file is meant
    code, _, told = here.say("plan", "table3", "--offline")
    assert code == 2
    assert "table3 is not a valid manifest" in told


@pytest.mark.parametrize("name", ["tabel2", "manifests/tabel2.json", "tabel2.json"])
def test_a_name_that_is_none_is_told_with_the_nearest(here: Folder, name: str) -> None:
    code, _, told = here.say("plan", name, "--offline")
    assert code == 2
    assert f"cannot read the manifest {name}" in told
    assert "one of table2, " in told


def test_a_name_too_long_to_be_one_is_told(here: Folder) -> None:
    with pytest.raises(SystemExit, match="2"):
        here.say("plan", "x" * 300, "--offline")
    assert "found 'File name too long', expected a name that can be" in here.capsys.readouterr().err


def test_one_id_is_one_manifest(here: Folder) -> None:
    """Results are kept by id, and would be judged by the bundle's manifest of that name."""
    ours = save(here.root / "mine", two_jobs("table2"))
    for command in ("plan", "run"):
        code, _, told = here.say(command, str(ours), "--offline")
        assert code == 2
        assert f"{ours} has the name of the bundle's own" in told
        assert "an id and a file name of its own" in told
    assert not here.path.with_name("table2.full.json").exists()
    same = here.root / "mine" / "table2.json"
    shutil.copy(paths.MANIFESTS / "table2.json", same)  # a copy is the same
    code, out, _ = here.say("plan", str(same), "table2", "--offline", "--json")
    assert code == 0
    assert len(json.loads(out)) == 1
    other = save(here.root / "else", with_a_job("ours"))
    code, _, told = here.say("plan", "mine/ours.json", str(other))
    assert code == 2
    assert f"{other} has the name of another manifest" in told
