"""The wheel alone, in an empty folder: it judges packets as the checkout does."""

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import light_environments as light
import pytest
from bundle_copies import copy_bundle
from command_line import repro, repro_here
from own_manifests import save, with_a_job

from repro import paths
from repro.packet import build

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("light")
    return light.install(light.build_wheel(folder), folder / "venv")


@pytest.fixture(scope="module")
def packet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed evidence."""
    out = tmp_path_factory.mktemp("packet") / "packet.zip"
    made = ("export", "evidence", "--format", "ro-crate", "--out", str(out))
    done = repro_here(*made, cwd=paths.ROOT)
    assert done.returncode == 0, done.stderr
    return out


def judged(text: str) -> list[dict[str, Any]]:
    """Verdicts, but for where a line of pinned code was read: there, or in the packet's index."""
    found: list[dict[str, Any]] = json.loads(text)
    for finding in (each for verdict in found for each in verdict["findings"]):
        del finding["working"]
    return found


def test_our_packet_is_judged_alike(program: Path, packet: Path, tmp_path: Path) -> None:
    """Oracle: the checkout, on the folders that were packed."""
    expected = repro_here("verify", "evidence", "--json", cwd=paths.ROOT)
    done = light.run(program, "verify", str(packet), "--json", cwd=tmp_path)
    assert done.returncode == expected.returncode == 1, done.stderr
    assert judged(done.stdout) == judged(expected.stdout)


def test_our_packet_is_reported_alike(program: Path, packet: Path, tmp_path: Path) -> None:
    """Oracle: the page that was packed, made in the checkout."""
    done = light.run(program, "report", str(packet), "--out", "page", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    with zipfile.ZipFile(packet) as archive:
        there = archive.read("report.html").decode()
    here = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    row = re.compile(
        r'data-outcome="([^"]+)" data-basis="([^"]+)"[^>]*>(?s:.*?)<div class="body" id="([^"]+)"'
    )
    assert row.findall(here) == row.findall(there)
    assert len(row.findall(here)) > 400
    assert "<h1>Mamba State-Space Models Are Lyapunov-Stable Learners: what holds</h1>" in here
    assert f"{packet}/results-2" in here


def test_the_second_bundle_is_judged_alike(program: Path, tmp_path: Path) -> None:
    shutil.copytree(paths.ROOT / "examples" / "smollm2", tmp_path / "bundle")
    for words in (("verify", "--paper", "--json"), ("verify", "evidence", "--json")):
        done = light.run(program, *words, cwd=tmp_path / "bundle")
        expected = repro_here(*words, cwd=tmp_path / "bundle")
        assert done.returncode == expected.returncode, done.stderr
        assert judged(done.stdout) == judged(expected.stdout)


def test_a_new_bundle_is_made_and_judged(program: Path, tmp_path: Path) -> None:
    """Where nothing of the pinned packages is, the claim about their code is not judged."""
    about = ("--id", "2501.01234", "--title", "Ours", "--author", "A. Author")
    assert light.run(program, "new", "mine", *about, cwd=tmp_path).returncode == 0
    done = light.run(program, "verify", "--paper", cwd=tmp_path / "mine")
    assert done.returncode == 3, done.stderr
    assert "7 consistent, 1 not-run" in " ".join(done.stdout.split())


def test_without_a_bundle_it_says_what_to_do(program: Path, tmp_path: Path) -> None:
    done = light.run(program, "list", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected a bundle: start this command in a folder with paper.json" in done.stderr


def test_a_packet_that_is_no_longer_the_bundles_is_still_judged(
    program: Path, tmp_path: Path
) -> None:
    """A researcher's: her checkpoint and her manifest are in no other place than her packet."""
    mine = tmp_path / "mine"
    about = {"id": "tiny-card", "version": "1"}
    save(mine / "manifests", {**with_a_job("card"), "paper": about})
    paper = {"schema_version": 1, "id": "tiny-card", "versions": ["1"], "title": "Tiny"}
    (mine / "paper.json").write_text(json.dumps({**paper, "authors": ["A. Author"]}))
    assert repro("run", "card", cwd=mine).returncode == 0
    made = ("export", "--format", "ro-crate", "--out", str(tmp_path / "hers.zip"))
    assert repro_here(*made, cwd=mine).returncode == 0
    shutil.rmtree(mine)
    (tmp_path / "empty").mkdir()
    done = light.run(program, "verify", str(tmp_path / "hers.zip"), cwd=tmp_path / "empty")
    assert done.returncode == 0, done.stderr
    assert "1 claim of the paper: 1 reproduced" in done.stdout
    in_checkout = repro_here("verify", str(tmp_path / "hers.zip"), cwd=paths.ROOT)
    assert in_checkout.stdout == done.stdout


def test_a_packet_from_before_catalogs_were_packed_is_read(
    program: Path, packet: Path, tmp_path: Path
) -> None:
    """By the bundle at hand; without one, what only it knows is asked for by its name."""
    older = tmp_path / "older"
    with zipfile.ZipFile(packet) as archive:
        archive.extractall(older)
    for name in ("catalog", "schemas"):
        shutil.rmtree(older / name)
    (older / "paper.json").unlink()
    for path in (older / "manifests").iterdir():  # as it was written then
        path.write_text(
            path.read_text("utf-8").replace('"id": "2406.00209"', '"arxiv": "2406.00209"')
        )
    build.write_sums(older)
    done = repro_here("verify", str(older), "--json", cwd=paths.ROOT)
    assert done.stdout == repro_here("verify", str(packet), "--json", cwd=paths.ROOT).stdout
    (tmp_path / "empty").mkdir()
    alone = light.run(program, "verify", str(older), cwd=tmp_path / "empty")
    assert "packed by an older version, without a catalog" in alone.stderr
    assert "commitments-v1.json explains: found no such file" in alone.stderr
    bundle = copy_bundle(tmp_path / "bundle")
    beside = light.run(
        program, "--bundle", str(bundle), "verify", str(older), "--json", cwd=tmp_path
    )
    assert judged(beside.stdout) == judged(done.stdout)


def test_a_packet_of_another_version_of_the_catalog_is_refused_by_name(
    program: Path, packet: Path, tmp_path: Path
) -> None:
    """And read where the bundle of its paper is at hand."""
    other = tmp_path / "other"
    with zipfile.ZipFile(packet) as archive:
        archive.extractall(other)
    path = other / "catalog" / "checkpoints.json"
    data = json.loads(path.read_bytes())
    for each in data["checkpoints"].values():
        del each["blocks"]
    path.write_text(json.dumps(data))
    build.write_sums(other)
    (tmp_path / "empty").mkdir()
    done = light.run(program, "verify", str(other), cwd=tmp_path / "empty")
    assert done.returncode == 2
    assert f"{other}: its catalog was written by another version of this tool" in done.stderr
    assert "$.checkpoints" in done.stderr
    assert "Traceback" not in done.stderr
    assert repro_here("verify", str(other), cwd=paths.ROOT).returncode == 1
