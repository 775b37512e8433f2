"""Building the kernels' wheels, up to the compiler: made-up repositories and packages."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from repro import paths
from repro.container import steps as container_kernels
from repro.container.steps import COMMITS, Commit
from repro.environment import pins
from repro.environment.pins import Pin
from repro.errors import CannotRunError

SETUP = """
import os, pathlib, setuptools
if os.environ.get("MAMBA_FORCE_BUILD") != "TRUE":
    raise SystemExit("would download a wheel that nothing pins")
pathlib.Path("made_up.py").write_text(f"jobs = {os.environ.get('MAX_JOBS')}")
setuptools.setup(name="made-up", version="2.2.2", py_modules=["made_up"])
"""


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of one package, with a later commit on top of the pinned one."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    (folder / "setup.py").write_text(SETUP, encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    return folder


def source(repository: Path, commit: str = "") -> Commit:
    wanted = commit or git(repository, "rev-parse", "HEAD")
    return Commit(package="made-up", repository=f"file://{repository}", commit=wanted)


def pin(version: str = "2.2.2") -> dict[str, Pin]:
    return {"made-up": Pin(name="made-up", version=version, hashes=("ab" * 32,))}


def test_the_pinned_commit_is_built_with_builds_forced(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_JOBS", "3")
    pinned = source(repository)
    (repository / "setup.py").write_text("raise SystemExit('a later commit')", encoding="utf-8")
    git(repository, "commit", "--quiet", "-am", "two")
    (wheel,) = container_kernels.build(pin(), tmp_path / "wheels", [pinned])
    assert wheel.name.startswith("made_up-2.2.2-")
    with zipfile.ZipFile(wheel) as opened:
        assert opened.read("made_up.py") == b"jobs = 3"


def test_a_commit_that_is_not_there_is_refused(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="failed with code 128"):
        container_kernels.fetch(source(repository, "ab" * 20), tmp_path / "checkout")


def test_a_tag_is_no_pin(repository: Path, tmp_path: Path) -> None:
    git(repository, "tag", "v2.2.2")
    with pytest.raises(CannotRunError, match=r"expected v2\.2\.2"):
        container_kernels.fetch(source(repository, "v2.2.2"), tmp_path / "checkout")


def test_a_wheel_that_is_there_is_taken_and_named(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Built elsewhere, or by an earlier step: nothing is fetched, nothing compiled."""
    (tmp_path / "made_up-2.2.2-py3-none-any.whl").write_bytes(b"elsewhere")
    (repository / "setup.py").write_text("raise SystemExit('built again')", encoding="utf-8")
    git(repository, "commit", "--quiet", "-am", "two")
    (wheel,) = container_kernels.build(pin(), tmp_path, [source(repository)])
    assert wheel.read_bytes() == b"elsewhere"
    digest = hashlib.sha256(b"elsewhere").hexdigest()
    assert f"{wheel.name}: taken as it is, sha256 {digest}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("made_up-2.2.3-py3-none-any.whl", "expected one of 2.2.2"),
        ("other-2.2.2-py3-none-any.whl", "found a wheel of other, expected made-up alone"),
    ],
)
def test_a_wheel_that_is_there_has_to_be_of_a_pin(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(CannotRunError, match=words):
        container_kernels.build(pin(), tmp_path, [])


def test_one_of_them_alone_is_built(repository: Path, tmp_path: Path) -> None:
    """Such as is kept, in a layer of its own, when a longer build fails."""
    more = {**pin(), "flash-attn": Pin(name="flash-attn", version="2.5.7", hashes=("cd" * 32,))}
    (wheel,) = container_kernels.build(more, tmp_path, [source(repository)], only=["made-up"])
    assert wheel.name.startswith("made_up-2.2.2-")
    with pytest.raises(CannotRunError, match=r"found mamba, expected some of made-up, flash-attn"):
        container_kernels.build(more, tmp_path, [], only=["mamba"])


# -----------------------------------------------------------------------------
# Architectures

COMPILER = """#!/bin/sh
printf '%s\\n' "$@" >> "$(dirname "$0")/asked"
while [ $# -gt 0 ]; do
    [ "$1" != -o ] || touch "$2"
    shift
done
"""
EXTENSION = """
from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CUDAExtension
flags = ["-O3", "-gencode", "arch=compute_53,code=sm_53", "-gencode=arch=compute_90,code=sm_90"]
extension = CUDAExtension("made", ["made.cu"], extra_compile_args={"cxx": [], "nvcc": flags})
setup(name="made", version="1", ext_modules=[extension], cmdclass={"build_ext": BuildExtension})
"""


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("9.0", ["90,code=sm_90"]),
        (" 8.0 9.0a+PTX;", ["80,code=sm_80", "90a,code=sm_90a", "90a,code=compute_90a"]),
        ("", ["53,code=sm_53", "90,code=sm_90"]),
    ],
)
def test_the_compiler_is_asked_for_the_architectures_that_are_named(
    named: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's own build of a CUDA extension, up to a compiler that notes what it is asked."""
    program = tmp_path / "cuda" / "bin" / "nvcc"
    program.parent.mkdir(parents=True)
    program.write_text(COMPILER, encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "setup.py").write_text(EXTENSION, encoding="utf-8")
    (tmp_path / "made.cu").touch()
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    monkeypatch.setenv("PYTHONPATH", str(paths.ROOT))
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", named)
    monkeypatch.chdir(tmp_path)
    # The link fails: nothing was compiled.
    with pytest.raises(CannotRunError, match="failed with code"):
        container_kernels._run([sys.executable, "setup.py", "build_ext"])
    asked = (program.parent / "asked").read_text(encoding="utf-8").split()
    assert {"-O3", "-c"} <= set(asked)
    assert [each.partition("compute_")[2] for each in asked if "compute_" in each] == expected


@pytest.mark.parametrize("named", ["sm_90", "9", "8.0,9.0", "Hopper"])
def test_what_is_no_architecture_is_refused_before_anything_is_built(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", named)
    with pytest.raises(CannotRunError, match=f"found '{named}', expected a list like"):
        container_kernels.build(pin(), tmp_path, [])


# -----------------------------------------------------------------------------
# What is refused


def test_a_build_that_fails_and_a_wheel_of_another_version_are_refused(
    repository: Path, tmp_path: Path
) -> None:
    with pytest.raises(CannotRunError, match=r"expected one of 2\.2\.3"):
        container_kernels.build(pin("2.2.3"), tmp_path / "wheels", [source(repository)])
    (repository / "setup.py").write_text("raise SystemExit('no compiler')", encoding="utf-8")
    git(repository, "commit", "--quiet", "-am", "two")
    with pytest.raises(CannotRunError, match=r"pip wheel .* failed"):
        container_kernels.build(pin(), tmp_path / "more", [source(repository)])


def test_nothing_but_the_pinned_sources_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command that a build of the three kernels runs, with their results stood in for."""
    kernels = pins.read(pins.KERNELS)
    asked: list[list[str]] = []

    def note(command: list[str]) -> str:
        asked.append(list(command))
        for pin in kernels.values():
            stem = f"{pin.name.replace('-', '_')}-{pin.version}-cp311-cp311-linux_x86_64.whl"
            (tmp_path / stem).touch()
        return next(
            (
                each.commit
                for each in COMMITS
                if command[-1] == "HEAD" and f"/{each.package}" in " ".join(command)
            ),
            "",
        )

    monkeypatch.setattr(container_kernels, "_run", note)
    made = container_kernels.build(kernels, tmp_path)
    assert {path.name.split("-")[0] for path in made} == {
        name.replace("-", "_") for name in kernels
    }
    outside = [
        command
        for command in asked
        if "--no-index" not in command and "--require-hashes" not in command
    ]
    assert all(command[0] == "git" for command in outside)
    fetched = [command[-2:] for command in outside if "fetch" in command]
    assert fetched == [[each.repository, each.commit] for each in COMMITS]


def test_what_setup_py_would_fetch_for_itself_is_there_before_it_runs() -> None:
    """flash-attn 2.5.7's setup.py has setup_requires; what is installed is not fetched."""
    asked = {"packaging", "psutil", "ninja"}
    assert asked <= {*container_kernels._TOOLS, *pins.read(pins.LOCK)}


def test_a_setup_py_cannot_fetch_either(repository: Path, tmp_path: Path) -> None:
    requires = SETUP.replace("setup(name", 'setup(setup_requires=["no-such-tool"], name')
    (repository / "setup.py").write_text(requires, encoding="utf-8")
    git(repository, "commit", "--quiet", "-am", "two")
    with pytest.raises(CannotRunError, match=r"pip wheel .* failed"):
        container_kernels.build(pin(), tmp_path / "wheels", [source(repository)])


def test_the_commits_are_whole_and_their_packages_pinned() -> None:
    kernels = pins.read(pins.KERNELS)
    assert {each.package for each in COMMITS} == {"mamba-ssm", "causal-conv1d"}
    for each in COMMITS:
        assert len(each.commit) == 40
        assert each.package in kernels
    assert set(container_kernels.FORCE.values()) == {"TRUE"}
    assert not set(container_kernels.FORCE) & set(os.environ)
