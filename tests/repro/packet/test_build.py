"""`repro export`: packets and tables of real records.

Oracles: the rocrate library reading a packet back, run files and records themselves, `repro verify`
on what was packed, CycloneDX's schema.
"""

import csv
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packets import (
    EVIDENCE,
    WEIGHTS,
    export,
    packet,  # noqa: F401 - a fixture
    results,  # noqa: F401 - a fixture
    verdicts,
)
from rocrate.rocrate import ROCrate
from signing import NAME, allow, make_key, sign

from repro import paths
from repro.cli.main import main
from repro.packet import build
from repro.packet.crate import PROFILE


def keys_of(folder: Path) -> set[str]:
    """Keys that run files name and that have a record."""
    runs = [json.loads(path.read_bytes()) for path in (folder / "runs").glob("*.json")]
    named = {key for run in runs for key in run["jobs"].values()}
    return {key for key in named if (folder / "jobs" / key / "record.json").is_file()}


def actions_of(crate: ROCrate) -> list[Any]:
    return [each for each in crate.contextual_entities if each.type == "CreateAction"]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# -----------------------------------------------------------------------------
# The whole evidence


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packet of the committed evidence."""
    out = tmp_path_factory.mktemp("whole") / "packet"
    assert export(EVIDENCE, "--format", "ro-crate", "--out", out) == 0
    return out


def test_every_record_is_an_action_that_made_its_files(whole: Path) -> None:
    crate = ROCrate(whole)
    folders = sorted(path.parent for path in EVIDENCE.glob("**/runs"))
    wanted = sum(len(keys_of(folder)) for folder in folders)
    actions = actions_of(crate)
    assert len(actions) == wanted > 90
    assert {each.id for each in as_list(crate.root_dataset["mentions"])} == {a.id for a in actions}
    for action in actions:
        files = [each for each in as_list(action["result"]) if each.type == "File"]
        assert [Path(each.id).name for each in files] == ["record.json", "arrays.safetensors"]
        record = json.loads((whole / files[0].id).read_bytes())
        assert action["startTime"][:19] == record["started"][:19]
        assert action["endTime"] > action["startTime"]
        read = {each["sha256"] for each in as_list(action["object"]) if "sha256" in each}
        assert read == set(record["inputs"].values())
        (job,) = (each for each in as_list(action["object"]) if each.get("name") == "job")
        assert json.loads(job["value"]) == record["job"]


def test_every_tool_has_the_versions_that_measured(whole: Path) -> None:
    for action in actions_of(ROCrate(whole)):
        record = json.loads((whole / action["result"][0].id).read_bytes())
        tool = action["instrument"]
        assert tool.type == "SoftwareApplication"
        assert tool["softwareVersion"].startswith("sha256:")
        needs = {each["name"]: each["softwareVersion"] for each in tool["softwareRequirements"]}
        assert needs.pop("CPython") == record["environment"]["python"]
        assert needs.items() <= record["environment"]["packages"].items()
        assert "torch" in needs or record["job"]["kind"] in ("weight_tying", "proof")


def test_every_file_is_described_and_listed(whole: Path) -> None:
    found = {each for each in build.files_of(whole) if each != "SHA256SUMS"}
    lines = (whole / "SHA256SUMS").read_text().splitlines()
    assert {line[66:]: line[:64] for line in lines} == {
        name: hashlib.sha256((whole / name).read_bytes()).hexdigest() for name in found
    }
    entities = {each.id: each for each in ROCrate(whole).data_entities}
    assert entities.keys() == found - {"ro-crate-metadata.json"}
    for name, entity in entities.items():
        content = (whole / name).read_bytes()
        assert entity["sha256"] == hashlib.sha256(content).hexdigest()
        assert entity["contentSize"] == str(len(content))
        assert entity["encodingFormat"]


def test_the_packet_is_judged_as_what_was_packed(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = verdicts(capsys, EVIDENCE), verdicts(capsys, whole)
    assert after == before
    assert len(before) >= 2
    with (whole / "findings.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = {
            (row["manifest"], row["claim"], row["tier"], row["outcome"])
            for row in csv.DictReader(stream)
        }
    for verdict in before:
        for finding in verdict["findings"]:
            if finding["basis"] == "measured" and finding["outcome"] != "not-run":
                at = (verdict["manifest"], finding["claim"], verdict["tier"], finding["outcome"])
                assert at in rows
    assert len({claim for _, claim, _, _ in rows}) > 400


def test_what_is_in_it_for_a_reader(whole: Path) -> None:
    root = ROCrate(whole).root_dataset
    assert root["conformsTo"].id == PROFILE
    assert root["license"]["name"] == "No licence is stated"
    assert not list(paths.ROOT.glob("LICEN*"))  # else the packet has to name it
    assert "<h1" in (whole / "report.html").read_text(encoding="utf-8")
    locks = ("pinned-requirements.txt", "pinned-kernels.txt")
    assert all((whole / name).read_bytes() == (paths.ROOT / name).read_bytes() for name in locks)
    bundled = {path.name for path in paths.MANIFESTS.glob("*.json")}
    assert {path.name for path in (whole / "manifests").iterdir()} == bundled


def test_every_environment_has_its_bill_of_materials(whole: Path) -> None:
    crate = ROCrate(whole)
    sboms = {path.name: path.read_text() for path in whole.glob("sbom-*.cdx.json")}
    assert len(sboms) >= 1
    described = [tool.id for name in sboms for tool in as_list(crate.dereference(name)["about"])]
    assert sorted(described) == sorted({a["instrument"].id for a in actions_of(crate)})
    for text in sboms.values():
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    parts = {
        (each["name"], each["version"])
        for text in sboms.values()
        for each in json.loads(text)["components"]
    }
    for action in actions_of(crate):
        record = json.loads((whole / action["result"][0].id).read_bytes())
        assert set(record["environment"]["packages"].items()) <= parts


# -----------------------------------------------------------------------------
# What is left out, damaged, double


def test_weights_are_left_out_and_named(packet: Path) -> None:
    assert not list(packet.rglob("model"))
    assert not list(packet.rglob("state"))
    assert len(list((packet / "results/jobs").iterdir())) == 4  # not the one that no run names
    actions = actions_of(ROCrate(packet))
    assert len(actions) == 4
    for action in actions:
        record = json.loads((packet / action["result"][0].id).read_bytes())
        named = {each["sha256"]: each for each in action["result"][2:]}
        assert set(named) == set(record["files"].values())
        assert all("Left out of this packet" in each["description"] for each in named.values())
    sizes = [each.get("size") for action in actions for each in action["result"][2:]]
    assert f"{len(WEIGHTS)} B" in sizes
    assert None in sizes  # the others were not there to be measured


def test_it_says_what_was_left_out_and_how_to_sign(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], packet: Path
) -> None:
    assert export(results, "--format", "ro-crate", "--out", tmp_path / "p.zip") == 0
    said = capsys.readouterr().out
    assert "4 records" in said
    assert "left out: 1 record that no run names" in said
    assert "ssh-keygen -Y sign -f KEY -n repro" in said
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        names = archive.namelist()
        assert names == sorted(build.files_of(packet))
        assert all(archive.read(name) == (packet / name).read_bytes() for name in names)
    build.write_zip(packet, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "p.zip").read_bytes()
    assert verdicts(capsys, tmp_path / "p.zip") == verdicts(capsys, packet)


def test_a_damaged_record_is_packed_and_stays_invalid(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(results, tmp_path / "results")
    key = min(keys_of(results))
    arrays = tmp_path / "results/jobs" / key / "arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"\xff")
    assert export(tmp_path / "results", "--format", "ro-crate", "--out", tmp_path / "packet") == 0
    assert f"not to be trusted: results/jobs/{key}" in capsys.readouterr().out
    assert len(actions_of(ROCrate(tmp_path / "packet"))) == 3
    outcomes = [f["outcome"] for v in verdicts(capsys, tmp_path / "packet") for f in v["findings"]]
    assert "invalid" in outcomes


def test_own_manifests_and_several_folders_travel_along(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(results, mine)
    claims = json.loads((paths.MANIFESTS / "theorem3.json").read_bytes()) | {"id": "mine"}
    (tmp_path / "mine.json").write_text(json.dumps(claims))
    run = json.loads((mine / "runs/theorem3.full.json").read_bytes())
    run |= {"manifest": "mine", "file": str(tmp_path / "mine.json")}
    (mine / "runs/theorem3.full.json").unlink()
    (mine / "runs/mine.full.json").write_text(json.dumps(run))
    out = tmp_path / "packet"
    assert export(results, mine, "--format", "ro-crate", "--out", out) == 0
    (tmp_path / "mine.json").unlink()
    found = verdicts(capsys, out)
    assert [each["manifest"] for each in found] == ["theorem3", "mine"]
    assert [f["outcome"] for f in found[0]["findings"]] == [
        f["outcome"] for f in found[1]["findings"]
    ]
    assert len(actions_of(ROCrate(out))) == 8
    assert export(mine, "--format", "ro-crate", "--out", tmp_path / "none") == 2
    assert "mine.json: found no such file" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_nothing_run_is_a_packet_without_verdicts_to_take_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").mkdir()
    assert export(tmp_path / "results", "--format", "ro-crate", "--out", tmp_path / "packet") == 0
    crate = ROCrate(tmp_path / "packet")
    assert actions_of(crate) == []
    assert "mentions" not in crate.root_dataset
    assert (tmp_path / "packet/findings.csv").stat().st_size > 10_000
    page = (tmp_path / "packet/report.html").read_text(encoding="utf-8")
    assert "<strong>Nothing was run.</strong>" in page
    assert 'data-outcome="contradicted"' in page  # the paper against itself
    assert main(["verify", str(tmp_path / "packet")]) == 2
    assert "packet holds no runs" in capsys.readouterr().err


# -----------------------------------------------------------------------------
# Signed


def test_a_signed_packet_is_checked_before_it_is_judged(
    packet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not shutil.which("ssh-keygen"):
        pytest.skip("no ssh-keygen here")
    signed = tmp_path / "packet"
    shutil.copytree(packet, signed)
    key = make_key(tmp_path / "key")
    allowed = allow(tmp_path, key)
    sign(signed, key)
    capsys.readouterr()
    assert main(["verify", str(signed), "--signature", str(allowed)]) in (1, 3)
    done = capsys.readouterr()
    assert f"signed by {NAME}, ED25519 key SHA256:" in done.err
    assert "theorem3" in done.out
    build.write_zip(signed, tmp_path / "signed.zip")
    assert main(["verify", str(tmp_path / "signed.zip"), "--signature", str(allowed)]) in (1, 3)
    (signed / "findings.csv").write_text("better\r\n")
    capsys.readouterr()
    assert main(["verify", str(signed), "--signature", str(allowed)]) == 2
    done = capsys.readouterr()
    assert done.err.strip().endswith("not as it was signed: findings.csv was changed")
    assert len(done.err.splitlines()) == 1
    assert done.out == ""


def test_without_the_flag_a_packet_says_that_nobody_looked(
    packet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["verify", str(packet), "--json"])
    assert "no signature was checked (--signature)" in capsys.readouterr().err
    assert main(["verify", "--paper", "--signature", "x"]) == 2


@pytest.mark.parametrize("content", [b"PK\x05\x06" + bytes(18), b"no zip"])
def test_what_is_no_packet_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "p.zip").write_bytes(content)
    assert main(["verify", str(tmp_path / "p.zip")]) == 2
    assert "p.zip holds no runs" in capsys.readouterr().err


def test_a_cut_zip_is_one_line(
    packet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build.write_zip(packet, tmp_path / "p.zip")
    content = bytearray((tmp_path / "p.zip").read_bytes())
    content[200:400] = bytes(200)
    (tmp_path / "p.zip").write_bytes(content)
    assert main(["verify", str(tmp_path / "p.zip")]) == 2
    said = capsys.readouterr().err
    assert "p.zip: cannot be unpacked: " in said
    assert len(said.splitlines()) == 1


# -----------------------------------------------------------------------------
# Targets


def test_nothing_is_overwritten(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    (tmp_path / "file.zip").write_text("mine")
    wrong = {
        ("ro-crate", "full"): "found something there",
        ("ro-crate", "file.zip"): "found something there",
        ("csv", "file.zip"): "found something there",
        ("csv", "full"): "found a folder, expected the name of a file",
    }
    for (form, name), said in wrong.items():
        assert export(results, "--format", form, "--out", tmp_path / name) == 2
        error = capsys.readouterr().err
        assert said in error
        assert len(error.splitlines()) == 1
    assert (tmp_path / "full/mine").read_text() == (tmp_path / "file.zip").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.zip", "full"]


def test_a_full_disk_leaves_nothing(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        assert export(results, "--format", "ro-crate", "--out", tmp_path / "packet") == 3
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "could not save" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_table_alone_is_that_of_the_packet(results: Path, packet: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    assert export(results, "--format", "csv", "--out", tmp_path / "empty.csv") == 0
    assert (tmp_path / "empty.csv").read_bytes() == (packet / "findings.csv").read_bytes()


def test_what_a_spreadsheet_takes_for_a_date_is_said_beside_the_table(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1.10 stays a number to programs; whoever opens it elsewhere is told, in three places."""
    assert export(results, "--format", "csv", "--out", tmp_path / "x.csv") == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'x.csv'}\n"
    assert "takes 1.10 for a date unless it imports every column as text" in said.err
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    assert "import every column as text" in capsys.readouterr().out
    walk = (paths.ROOT / "docs" / "reviewer.md").read_text(encoding="utf-8")
    assert "import every column as text" in walk


def test_a_folder_that_is_not_there_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path / "none", "--format", "csv", "--out", tmp_path / "x.csv") == 2
    assert f"found no folder {tmp_path / 'none'}, expected" in capsys.readouterr().err


def test_a_light_install_says_what_is_missing(
    results: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "rocrate" else name
    )
    assert export(results, "--format", "ro-crate", "--out", tmp_path / "p") == 3
    assert "needs the package rocrate; `make venv` installs it" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, repro.cli.export\n"
        "print([n for n in ('rocrate', 'cyclonedx', 'matplotlib', 'numpy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"
