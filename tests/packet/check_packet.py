"""A packet and CITATION.cff read by other tools: `make test-packet`, outside the normal suite.

Oracles: the RO-Crate validator's profiles, which ship with it, runcrate, and cffconvert's schema.
`$PACKET_TOOLS` names the folder of their programs. No network: the context of RO-Crate comes from
the pinned library.
"""

import json
import os
import re
import subprocess
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from repro import paths
from repro.cli.main import main

TOOLS = Path(os.environ["PACKET_TOOLS"])
NOT_MET = {
    "Action agent": "nobody says who ran a job",
    "Root Data Entity: `author` property": "nobody says who made the packet; its signature does",
    "Root Data Entity: `publisher` property": "whoever publishes it adds that",
    "Application url": "the bundle has no address; packages are named by package URL",
    "SoftwareApplication id": "only http addresses count; package URLs (pkg:) are URIs too",
}
"""What is recommended and not done, by the validator's name for it, and why."""

pytestmark = pytest.mark.timeout(600)


def export(results: Path, out: Path) -> None:
    assert main(["export", str(results), "--format", "ro-crate", "--out", str(out)]) == 0


@pytest.fixture(scope="session")
def packet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed evidence as a packet."""
    out = tmp_path_factory.mktemp("packet") / "packet"
    export(paths.ROOT / "evidence", out)
    return out


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the validator would fetch."""
    made = tmp_path_factory.mktemp("validator") / "cache"
    script = Path(__file__).with_name("keep_context.py")
    context = str(files("rocrate") / "data/ro-crate.jsonld")
    subprocess.run([TOOLS / "python", script, made, context], check=True)
    return made


def validator(cache: Path, packet: Path, severity: str, *more: str | Path) -> int:
    """Run the validator, offline; returns its exit code."""
    command = [
        *(TOOLS / "rocrate-validator", "-y", "validate", "-p", "process-run-crate"),
        *("-l", severity, "--offline", "--cache-path", cache, *more, packet),
    ]
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode


def findings(cache: Path, packet: Path, severity: str, *more: str | Path) -> dict[str, Any]:
    """What the validator found, as data."""
    report = cache.with_name("report.json")
    report.unlink(missing_ok=True)
    validator(cache, packet, severity, "-f", "json", "-o", report, *more)
    found: dict[str, Any] = json.loads(report.read_bytes())
    return found


def test_every_required_check_passes_and_what_is_only_recommended_is_known(
    packet: Path, cache: Path
) -> None:
    found = findings(cache, packet, "recommended")
    assert found["statistics"]["profiles"] == ["process-run-crate-0.5", "ro-crate-1.1"]
    counts = found["statistics"]["total_checks_by_severity"]
    assert counts["REQUIRED"] > 40
    assert counts["RECOMMENDED"] > 50
    assert not [each for each in found["issues"] if each["severity"] == "REQUIRED"]
    assert {each["check"]["name"] for each in found["issues"]} == set(NOT_MET)


def test_a_zipped_packet_passes_too(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "results").mkdir()
    out = tmp_path / "packet.zip"
    export(tmp_path / "results", out)
    assert validator(cache, out, "required") == 0  # of a zip file it cannot print JSON
    with zipfile.ZipFile(tmp_path / "broken.zip", "w") as archive:
        archive.writestr("ro-crate-metadata.json", "{}")
    assert validator(cache, tmp_path / "broken.zip", "required") == 1


@pytest.mark.parametrize("broken", ["instrument", "licence", "file"])
def test_the_validator_would_notice(packet: Path, tmp_path: Path, cache: Path, broken: str) -> None:
    data = json.loads((packet / "ro-crate-metadata.json").read_bytes())
    entities = {each["@id"]: each for each in data["@graph"]}
    if broken == "instrument":
        del next(each for each in data["@graph"] if each["@type"] == "CreateAction")["instrument"]
    elif broken == "licence":
        del entities["./"]["license"]
    # For "file": this copy has none of the files that its description names.
    (tmp_path / "ro-crate-metadata.json").write_text(json.dumps(data))
    more = [] if broken == "file" else ["--metadata-only"]
    found = findings(cache, tmp_path, "required", *more)
    assert found["passed"] is False
    assert found["issues"]


def test_a_second_tool_reads_the_same_actions_and_files(packet: Path) -> None:
    done = subprocess.run(
        [TOOLS / "runcrate", "report", packet], capture_output=True, text=True, check=True
    )
    actions = done.stdout.split("action: ")[1:]
    records = sorted(path.parent for path in packet.glob("results*/jobs/*/record.json"))
    named = sorted(each.split("\n", 1)[0] for each in actions)
    assert named == sorted(f"#{folder.relative_to(packet)}" for folder in records)
    assert len(records) > 90
    for each in actions:
        outputs = each.partition("outputs:\n")[2].split()
        made = [name for name in outputs if not name.startswith("#")]
        assert [Path(name).name for name in made] == ["record.json", "arrays.safetensors"]
        assert all((packet / name).is_file() for name in made)
        record = json.loads((packet / made[0]).read_bytes())
        assert len(set(outputs) - set(made)) == len(set(record["files"].values()))
        inputs = re.findall(r"#sha256-([0-9a-f]{64})", each.partition("outputs:")[0])
        assert set(inputs) == set(record["inputs"].values())
        assert f"started: {record['started'][:19]}" in each


def valid_citation(path: Path) -> bool:
    command = [TOOLS / "cffconvert", "--validate", "--infile", path]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_the_citation_is_valid_and_what_is_not_would_be_noticed(tmp_path: Path) -> None:
    cited = paths.ROOT / "CITATION.cff"
    assert valid_citation(cited)
    nobody = cited.read_text(encoding="utf-8").replace("authors:\n  - name", "people:\n  - name", 1)
    (tmp_path / "CITATION.cff").write_text(nobody, encoding="utf-8")
    assert not valid_citation(tmp_path / "CITATION.cff")
