"""How two environments differ, and what that touches: made-up audits, the bundle's own claims."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from repro import paths
from repro.audit import compare
from repro.audit.audit import Audit, Row
from repro.cli import audit as command
from repro.environment import machine, pins
from repro.environment.image import Image
from repro.errors import BadInputError
from repro.schema import manifest, validate

SHA, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture(scope="module")
def table1() -> manifest.Manifest:
    return validate.load_manifest(paths.MANIFESTS / "table1.json")


def row(package: str, version: str, *files: str) -> Row:
    return Row(
        package=package,
        paper=None,
        pinned=version,
        installed=version,
        state="as pinned",
        detail="",
        files=files,
    )


@pytest.fixture(scope="module")
def here() -> Audit:
    return Audit(
        rows=(row("torch", "2.2.1"), row("tqdm", "4.66.4"), row("mamba-ssm", "2.2.2")),
        problems=(),
        environment=machine.capture(["torch"]),
        floating=(),
        image=Image(
            schema_version=1,
            target="cpu",
            revision="abc",
            os_packages={"libc6:amd64": "2.36", "tar:amd64": "1.34"},
            wheels={"tqdm": SHA, "torch": SHA},
            kernels={},
            bundle={"runner/evaluation/evaluate.py": SHA, "evidence/README.md": SHA},
            probe={"mamba-twin float32 mamba_scan": "slow"},
        ),
    )


def other(here: Audit, **changes: Any) -> Audit:
    return here.model_copy(update=changes)


def test_an_environment_does_not_differ_from_itself(here: Audit, table1: manifest.Manifest) -> None:
    assert compare.compare(here, here, [table1]) == ()


def test_a_package_touches_the_claims_that_name_it(here: Audit, table1: manifest.Manifest) -> None:
    rows = (row("torch", "2.3.0"), row("tqdm", "4.0"), here.rows[2])
    torch, tqdm = compare.compare(here, other(here, rows=rows), [table1])
    assert (torch.what, torch.here, torch.there) == ("torch", "2.2.1", "2.3.0")
    naming = tuple(claim.id for claim in table1.claims if "torch" in claim.depends_on)
    assert torch.claims == {"table1": naming}
    assert naming
    assert (tqdm.what, tqdm.claims) == ("tqdm", {})  # no claim depends on it


def test_a_kernel_package_touches_mambas_cells_and_not_phis(
    here: Audit, table1: manifest.Manifest
) -> None:
    (one,) = compare.compare(here, other(here, rows=here.rows[:2]), [table1])
    assert (one.what, one.there) == ("mamba-ssm", None)
    assert "T1.mamba-130m.float16" in one.claims["table1"]
    assert "T1.phi-1.5.float16" not in one.claims["table1"]


def test_python_and_numeric_flags_touch_all_that_is_measured(
    here: Audit, table1: manifest.Manifest
) -> None:
    changed = here.environment.model_copy(
        update={"python": "3.11.2", "flags": {"OMP_NUM_THREADS": "7", "HF_HUB_OFFLINE": "1"}}
    )
    found = {
        each.what: each
        for each in compare.compare(here, other(here, environment=changed), [table1])
    }
    measured = tuple(claim.id for claim in table1.claims if claim.depends_on)
    assert found["python"].claims == {"table1": measured}
    assert found["flag OMP_NUM_THREADS"].claims == {"table1": measured}
    assert found["flag HF_HUB_OFFLINE"].claims == {}


def test_what_lies_under_the_packages(here: Audit, table1: manifest.Manifest) -> None:
    image = here.image
    assert image is not None
    changed = image.model_copy(
        update={
            "os_packages": {"libc6:amd64": "2.37", "tar:amd64": "1.35"},
            "wheels": {"tqdm": SHA, "torch": OTHER},
            "bundle": {"runner/evaluation/evaluate.py": OTHER, "evidence/README.md": OTHER},
        }
    )
    found = {
        each.what: bool(each.claims)
        for each in compare.compare(here, other(here, image=changed), [table1])
    }
    assert found == {
        "OS package libc6:amd64": True,
        "OS package tar:amd64": False,
        "wheel of torch": True,
        "bundle's own runner/evaluation/evaluate.py": True,
        "bundle's own evidence/README.md": False,
    }


@pytest.mark.parametrize("text", ["{}", "{", '{"rows": 1}'])
def test_a_file_that_is_no_audit_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    assert compare.is_audit(path)
    with pytest.raises(BadInputError, match="expected what `repro audit --json` prints"):
        compare.load(path)


def test_a_lock_file_is_no_audit(tmp_path: Path) -> None:
    assert not compare.is_audit(pins.LOCK)
    assert not compare.is_audit(tmp_path / "none")


def test_the_command_compares_and_exits_4_where_they_differ(
    here: Audit, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(command, "audit", lambda *_: here)
    path = tmp_path / "other.json"

    def run(**options: Any) -> int:
        given = {"against": path, "format": None, "json": True} | options
        return command.run(argparse.Namespace(**given))

    path.write_text(here.model_dump_json(), encoding="utf-8")
    assert run() == 0
    assert json.loads(capsys.readouterr().out) == []
    changed = other(here, rows=(row("torch", "2.3.0"), *here.rows[1:]))
    path.write_text(changed.model_dump_json(), encoding="utf-8")
    assert run() == 4
    (found,) = json.loads(capsys.readouterr().out)
    assert found["what"] == "torch"
    assert run(json=False) == 4
    assert "1 difference" in capsys.readouterr().out
    with pytest.raises(BadInputError, match="no bill of materials"):
        run(format="cyclonedx")


def test_an_image_s_audit_survives_json(here: Audit) -> None:
    assert Audit.model_validate_json(here.model_dump_json()) == here
