"""A bundle of one's own: found from where one stands, named, or zipped."""

import json
import re
import shutil
from pathlib import Path

import jsonschema
import pytest
from command_line import repro, repro_here
from own_manifests import manifest_of, save, with_a_job

from repro import paths

PAPER = {
    "schema_version": 1,
    "id": "tiny-card",
    "versions": ["2026-01", "2026-02"],
    "title": "Tiny: a model card",
    "authors": ["A. Author"],
}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A model card, which has no arXiv id, and one claim of it."""
    folder = tmp_path / "mine"
    about = {"id": "tiny-card", "version": "2026-02"}
    save(folder / "manifests", manifest_of("card", paper=about))
    (folder / "paper.json").write_text(json.dumps(PAPER))
    return folder


def ids(*arguments: str, cwd: Path) -> list[str]:
    done = repro_here("list", "--json", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return [each["manifest"] for each in json.loads(done.stdout)]


def test_the_bundle_is_the_one_that_one_stands_in_or_below(mine: Path, tmp_path: Path) -> None:
    below = mine / "deep" / "down"
    below.mkdir(parents=True)
    assert ids(cwd=mine) == ids(cwd=below) == ["card"]
    assert ids(cwd=tmp_path) == sorted(each.stem for each in paths.MANIFESTS.iterdir())


def test_a_file_of_that_name_above_is_no_bundle(tmp_path: Path) -> None:
    """Others write a paper.json too: what is above has manifests as well."""
    (tmp_path / "paper.json").write_text("[]")
    (tmp_path / "below").mkdir()
    assert "table1" in ids(cwd=tmp_path / "below")
    done = repro_here("list", cwd=tmp_path)
    assert done.returncode == 2
    assert "no manifest in" in done.stderr


@pytest.mark.parametrize("before", [True, False])
def test_a_bundle_is_named_before_or_behind_the_command(
    mine: Path, tmp_path: Path, *, before: bool
) -> None:
    words = ("--bundle", str(mine), "verify", "--paper", "--json")
    words = words if before else (*words[2:], *words[:2])
    done = repro_here(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [each["manifest"] for each in json.loads(done.stdout)] == ["card"]


def test_a_bundle_may_be_a_zip_file(mine: Path, tmp_path: Path) -> None:
    """As systems that compress a folder make it: with the folder on top, and without."""
    for root, name in ((mine.parent, mine.name), (mine, ".")):
        zipped = shutil.make_archive(str(tmp_path / "zipped"), "zip", root, name)
        assert ids("--bundle", zipped, cwd=tmp_path) == ["card"]


def test_a_manifest_is_found_by_its_name_in_the_bundle(mine: Path, tmp_path: Path) -> None:
    done = repro_here("run", "card", "--bundle", str(mine), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 claim of the paper: 1 consistent" in done.stdout


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("nowhere", "nowhere: No such file or directory"),
        (".", "--bundle .: found no paper.json there, expected a bundle"),
    ],
)
def test_what_is_no_bundle_is_refused(tmp_path: Path, given: str, found: str) -> None:
    done = repro_here("--bundle", given, "list", cwd=tmp_path)
    assert done.returncode == 2
    assert found in done.stderr


def test_a_version_that_the_paper_does_not_have_is_refused(mine: Path) -> None:
    about = {"id": "tiny-card", "version": "2025-12"}
    save(mine / "manifests", manifest_of("card", paper=about))
    done = repro_here("list", cwd=mine)
    assert done.returncode == 2
    assert "$.paper.version" in done.stderr
    assert "one of 2026-02, 2026-01, as paper.json lists" in done.stderr


def test_every_mistake_of_paper_json_is_told_at_once(mine: Path) -> None:
    wrong = {**PAPER, "authors": [], "url": "nowhere", "versions": [], "colour": "red"}
    (mine / "paper.json").write_text(json.dumps(wrong))
    done = repro_here("list", cwd=mine)
    assert done.returncode == 2
    for field in ("authors", "url", "versions", "colour"):
        assert f"$.{field}" in done.stderr


def test_a_bundles_own_checkpoint_comes_before_the_tools(mine: Path) -> None:
    """Her catalog has her own entry alone; the twins and public models are the tool's."""
    every = json.loads((paths.CATALOG / "checkpoints.json").read_bytes())["checkpoints"]
    own = {**every["mamba-twin"], "parameters": 7}
    (mine / "catalog").mkdir()
    text = json.dumps({"checkpoints": {"mamba-twin": own, "hers": own}})
    (mine / "catalog" / "checkpoints.json").write_text(text)
    from repro.schema import catalog

    with paths.using(mine):
        known = catalog.checkpoints()
    assert known["hers"].parameters == known["mamba-twin"].parameters == 7
    assert set(known) == {*every, "hers"}
    assert catalog.checkpoints()["mamba-twin"].parameters != 7


def test_what_is_worked_on_is_always_the_bundle_at_hand() -> None:
    """Files of the first bundle are named by nobody but its own tests and tools."""
    for package in ("repro", "runner", "verify"):
        for path in (paths.ROOT / package).rglob("*.py"):
            assert "paths.MANIFESTS" not in path.read_text() or path.name == "doctor.py", path


# -----------------------------------------------------------------------------
# Everything about her paper, and nothing of another

OTHERS = re.compile(r"2406\.00209|Lyapunov-Stable|\btable1\b|mamba-\d|pythia|Halloran")
"""The first bundle's paper, tables and models."""


@pytest.fixture(scope="module")
def hers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """An empty folder with paper.json and one manifest, and what every command says there."""
    folder = tmp_path_factory.mktemp("hers")
    data = with_a_job("ties")
    data["paper"] = {"id": "2501.01234", "version": "v1"}
    data["jobs"][0]["tiers"] = ["smoke", "full"]
    save(folder / "manifests", data)
    paper = {**PAPER, "id": "2501.01234", "versions": ["v1"], "title": "Ties"}
    (folder / "paper.json").write_text(json.dumps(paper))
    said = {}
    for words in (
        "list",
        "plan ties",
        "run ties --tier smoke",
        "verify",
        "verify --paper",
        "verify --markdown",
        "report --out page",
        "export --format ro-crate --out packet",
        "export --format csv --out findings.csv",
        "results list",
    ):
        start = repro if words.startswith("run ") else repro_here  # jobs are other processes anyway
        done = start(*words.split(), cwd=folder)
        said[words] = done.stdout + done.stderr
        assert "Traceback" not in said[words]
        assert done.returncode in (0, 3), said[words]
    return folder, said


def test_every_command_names_her_paper_alone(hers: tuple[Path, dict[str, str]]) -> None:
    folder, said = hers
    assert "Claims of arXiv 2501.01234" in said["list"]
    assert "1 claim of the paper: 1 " in said["verify"]
    for words, text in said.items():
        assert not OTHERS.search(text), words
    page = (folder / "page" / "report.html").read_text(encoding="utf-8")
    assert "<h1>Ties: what holds</h1>" in page
    assert "arXiv 2501.01234" in page
    assert not OTHERS.search(page)


def test_her_packet_has_nothing_of_another_paper(hers: tuple[Path, dict[str, str]]) -> None:
    """But for the lock, which is the tool's."""
    packet = hers[0] / "packet"
    assert [path.name for path in (packet / "manifests").iterdir()] == ["ties.json"]
    assert json.loads((packet / "paper.json").read_bytes())["id"] == "2501.01234"
    for path in packet.rglob("*"):
        if path.suffix in (".json", ".html", ".csv"):
            assert not OTHERS.search(path.read_text(encoding="utf-8")), path
    schemas = {path.name.partition(".")[0] for path in (packet / "schemas").iterdir()}
    assert schemas == {"checkpoints", "datasets", "manifest", "paper", "record", "run"}
    for name, file in (("paper", "paper.json"), ("manifest", "manifests/ties.json")):
        schema = json.loads((packet / "schemas" / f"{name}.schema.json").read_bytes())
        jsonschema.validate(json.loads((packet / file).read_bytes()), schema)


def test_a_manifest_of_another_paper_is_shown_alone(tmp_path: Path) -> None:
    """Run where there is no bundle of hers: the one at hand is about something else."""
    data = with_a_job("ties")
    data["paper"] = {"id": "2501.01234", "version": "v1"}
    save(tmp_path, data)
    assert repro("run", "ties.json", cwd=tmp_path).returncode == 0
    assert repro_here("report", "--out", "page", cwd=tmp_path).returncode == 0
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "<h1>Claims of arXiv 2501.01234: what holds</h1>" in page
    assert not OTHERS.search(page)
    made = ("export", "--format", "ro-crate", "--out", "packet")
    assert repro_here(*made, cwd=tmp_path).returncode == 0
    packed = [path.name for path in (tmp_path / "packet" / "manifests").iterdir()]
    assert packed == ["ties.json"]


def test_two_papers_are_shown_apart(tmp_path: Path) -> None:
    for name, paper_id in (("one", "2501.01234"), ("two", "2501.01235")):
        data = with_a_job(name)
        data["paper"] = {"id": paper_id, "version": "v1"}
        save(tmp_path / "manifests", data)
    (tmp_path / "paper.json").write_text(
        json.dumps({**PAPER, "id": "2501.01234", "versions": ["v1"]})
    )
    text = repro_here("list", cwd=tmp_path).stdout
    assert text.index("Claims of arXiv 2501.01234") < text.index("Claims of arXiv 2501.01235")
    assert repro("run", "one", "two", cwd=tmp_path).returncode == 0
    assert repro_here("report", "--out", "page", cwd=tmp_path).returncode == 0
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "<h1>Claims of arXiv 2501.01234, arXiv 2501.01235: what holds</h1>" in page
    assert 'data-about="arXiv 2501.01234: our claim"' in page
    assert 'data-about="arXiv 2501.01235: our claim"' in page


# -----------------------------------------------------------------------------
# The second bundle of this repository

SMOLLM2 = paths.ROOT / "examples" / "smollm2"


def words_of(text: str) -> dict[str, str]:
    return {
        " ".join(filter(None, (verdict["manifest"], each["claim"], verdict["tier"]))): each[
            "outcome"
        ]
        for verdict in json.loads(text)
        for each in verdict["findings"]
    }


def test_the_second_bundle_is_judged_as_recorded(tmp_path: Path) -> None:
    """Named and stood in; most of it by its own digits, the rest from its evidence."""
    recorded = json.loads((SMOLLM2 / "verdicts.json").read_bytes())
    named = ("--bundle", str(SMOLLM2))
    printed = repro_here("verify", "--paper", "--json", *named, cwd=tmp_path)
    measured = repro_here("verify", "evidence", "--json", cwd=SMOLLM2)
    assert {**words_of(printed.stdout), **words_of(measured.stdout)} == recorded
    again = repro_here("verify", str(SMOLLM2 / "evidence"), "--json", *named, cwd=tmp_path)
    assert words_of(again.stdout) == words_of(measured.stdout)
    claimed = [
        each
        for path in (SMOLLM2 / "manifests").iterdir()
        for each in json.loads(path.read_bytes())["claims"]
    ]
    assert len(recorded) > 15
    assert len({each["kind"] for each in claimed}) > 5
    assert {"reproduced", "consistent", "inconclusive"} <= set(recorded.values())


def test_the_second_bundle_names_its_own_paper_alone(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "page"))
    for words in (
        ("list", "--out", "evidence"),
        ("plan", "asked_more", "--tier", "full", "--offline"),
        ("verify", "--paper"),
        ("verify", "evidence", "--markdown"),
        ("report", "evidence", *out),
    ):
        done = repro_here(*words, cwd=SMOLLM2)
        assert done.returncode in (0, 3), done.stdout + done.stderr
        assert not OTHERS.search(done.stdout), words
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "<h1>Model cards of SmolLM2: what holds</h1>" in page
    assert not OTHERS.search(page)
