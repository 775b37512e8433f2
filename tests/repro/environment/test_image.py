"""An image's lock against the image as it is, in made-up images."""

from pathlib import Path
from typing import Any

import pytest

from repro.audit import audit as audits
from repro.container import steps
from repro.environment import image as audit_image
from repro.environment import pins
from repro.environment.image import Image, Kernel, differences
from repro.errors import BadInputError

SHA, OTHER = "ab" * 32, "cd" * 32
KERNEL = Kernel(sha256=SHA, architectures=("sm_80", "sm_90"), abi="pre-cxx11")

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9
Description: the C library
 Version: of a description is no field

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: zlib1g
Status: install ok installed
Architecture: amd64
Version: 1:1.2
"""


def image(**changes: Any) -> Image:
    made: dict[str, Any] = {
        "schema_version": 1,
        "target": "cpu",
        "revision": "abc",
        "os_packages": {"libc6:amd64": "2.36"},
        "wheels": {"numpy": SHA},
        "kernels": {"flash_attn_2_cuda.so": KERNEL},
        "bundle": {"runner/evaluation/evaluate.py": SHA},
        "probe": {"mamba-twin float32 mamba_scan": "slow"},
    }
    return Image.model_validate(made | changes)


def told(**changes: Any) -> list[str]:
    return list(differences(image(), image(**changes), has_gpu=False))


def test_nothing_changed() -> None:
    assert told() == []


def test_a_wheel_of_the_same_version_with_another_record_is_found() -> None:
    (line,) = told(wheels={"numpy": OTHER})
    assert line == "numpy: another wheel than the image was built with, whatever its version"


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"libc6:amd64": "2.37"}, "libc6:amd64: 2.36 when the image was built, 2.37 now"),
        ({}, "libc6:amd64: 2.36 when the image was built, not there now"),
        ({"libc6:amd64": "2.36", "gcc:amd64": "12"}, "gcc:amd64: not there when"),
    ],
)
def test_os_packages(now: dict[str, str], words: str) -> None:
    (line,) = told(os_packages=now)
    assert words in line


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (None, "gone since"),
        (KERNEL.model_copy(update={"sha256": OTHER}), "another file, of the same"),
        (Kernel(sha256=OTHER, architectures=("sm_80",), abi="pre-cxx11"), "sm_90 when"),
        (Kernel(sha256=OTHER, architectures=KERNEL.architectures, abi="cxx11"), "C++ ABI"),
    ],
)
def test_kernels(now: Kernel | None, words: str) -> None:
    (line,) = told(kernels={"flash_attn_2_cuda.so": now} if now else {})
    assert words in line


def test_the_bundles_own_files() -> None:
    (line,) = told(bundle={"runner/evaluation/evaluate.py": OTHER})
    assert line == "runner/evaluation/evaluate.py: changed since the image was built"
    assert len(told(bundle={"runner/hook.py": SHA})) == 2  # one gone, one added


def test_without_a_gpu_the_path_is_the_builds() -> None:
    (line,) = told(probe={"mamba-twin float32 mamba_scan": "kernels"})
    assert "slow when the image was built, kernels now" in line
    (line,) = told(probe={"failed": "ImportError: no torch"})
    assert line == "the probe forward pass failed: ImportError: no torch"


@pytest.mark.parametrize(
    ("target", "path", "count"), [("cuda", "slow", 1), ("cuda", "kernels", 0), ("cpu", "slow", 0)]
)
def test_with_a_gpu_the_cuda_target_has_to_take_its_kernels(
    target: str, path: str, count: int
) -> None:
    now = image(target=target, probe={"mamba-twin float32 mamba_scan": path})
    assert len(list(differences(image(target=target), now, has_gpu=True))) == count


def test_os_packages_are_read_from_dpkgs_own_file(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(STATUS, encoding="utf-8")
    assert audit_image.os_packages(status) == {"libc6:amd64": "2.36-9", "zlib1g:amd64": "1:1.2"}
    assert audit_image.os_packages(tmp_path / "none") == {}


def test_there_is_no_lock_outside_an_image_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.json"
    assert audit_image.load(path) is None
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(BadInputError, match="build the image again"):
        audit_image.load(path)
    path.write_text(image().model_dump_json(), encoding="utf-8")
    assert audit_image.load(path) == image()


def test_a_forward_pass_of_every_twin_tells_what_it_ran_on() -> None:
    found = audit_image.probe_twins()
    assert found["mamba-twin float32 device"] == "cpu"
    assert found["mamba-twin float32 mamba_scan"] == "slow"
    assert found["gpt-neox-twin bfloat16 attention"] in ("eager", "sdpa")
    assert {name.split()[0] for name in found} == set(steps.TWINS)


def test_a_probe_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_image, "PROBE", ("-c", "raise SystemExit('no such twin')"))
    assert audit_image.probe_twins() == {"failed": "no such twin"}


def test_an_audit_in_an_image_finds_a_swapped_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file fits its RECORD; only the lock knows another RECORD."""
    info = tmp_path / "site" / "alpha-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: alpha\nVersion: 1.0\n")
    (info / "RECORD").write_text("alpha-1.0.dist-info/RECORD,,\nalpha-1.0.dist-info/METADATA,,\n")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"alpha==1.0 --hash=sha256:{SHA}\n")
    monkeypatch.setattr(pins, "paper", dict)
    monkeypatch.setattr(audit_image, "probe_twins", lambda: {"twin": "slow"})
    search = [str(info.parent)]
    now = audit_image.capture("cpu", "abc", search)
    monkeypatch.setattr(audit_image, "FILE", tmp_path / "image.json")
    audit_image.FILE.write_text(now.model_dump_json())
    found = audits.audit(lock, search=search)
    assert found.problems == ()
    assert found.image == now
    with (info / "RECORD").open("a") as record:
        record.write("alpha-1.0.dist-info/INSTALLER,,\n")
    (info / "METADATA").write_text("Name: alpha\nVersion: 1.0\nSummary: another\n")
    found = audits.audit(lock, search=search)
    assert [row.state for row in found.rows if row.package == "alpha"] == ["as pinned"]
    assert "alpha: another wheel than the image was built with, whatever its version" in (
        found.problems
    )


def test_the_lock_lists_the_packages_of_the_stage_that_the_image_ends_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cuda target adds a compiler there; the stage that writes the lock has none."""
    monkeypatch.setattr(audit_image, "probe_twins", lambda: {"twin": "slow"})
    monkeypatch.setattr(audit_image, "FILE", tmp_path / "image.json")
    status = tmp_path / "status"
    status.write_text(
        "Package: gcc\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.2\n"
    )
    told = ["lock", "--target", "cuda", "--revision", "abc"]
    assert steps.main([*told, "--dpkg-status", str(status)]) == 0
    written = audit_image.load(audit_image.FILE)
    assert written is not None
    assert written.os_packages == {"gcc:amd64": "12.2"}
    assert steps.main(told) == 0
    written = audit_image.load(audit_image.FILE)
    assert written is not None
    assert written.os_packages == audit_image.os_packages()


def test_the_steps_refuse_a_step_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        steps.main(["burn"])
    assert "invalid choice" in capsys.readouterr().err
