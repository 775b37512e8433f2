"""Whether Mamba-2's kernels can be had: packages, a C compiler, Python's headers.

Oracle: Triton's own build of a launcher, in the same surroundings. The compilers are scripts that
do nothing, so that what is held is where it looks.
"""

import sysconfig
from pathlib import Path

import pytest
from triton.common import build  # type: ignore[import-untyped]

from runner.models import mamba2_mixer


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of PATH, empty; Python's headers, and both packages, are there."""
    headers = tmp_path / "include" / f"python{sysconfig.get_python_version()}"
    headers.mkdir(parents=True)
    (headers / "Python.h").touch()
    monkeypatch.setitem(sysconfig.get_config_vars(), "installed_base", str(tmp_path))
    packages = tmp_path / "packages"
    for name in ("mamba_ssm", "causal_conv1d"):
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(packages)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CC", raising=False)
    return folder


def put(program: Path) -> None:
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)


def triton_builds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether Triton finds a compiler that starts."""
    monkeypatch.setattr(build, "libcuda_dirs", lambda: [str(folder)])  # there is no driver here
    try:
        build._build("launcher", str(folder / "main.c"), str(folder))
    except (OSError, RuntimeError):
        return False
    return True


@pytest.mark.parametrize(
    ("there", "named", "expected"),
    [
        ("", None, False),
        ("gcc", None, True),
        ("clang", None, True),
        ("cc", None, False),  # Triton does not look for it
        ("cc", "cc", True),
        ("gcc", "no-such-compiler", False),
        ("gcc", "", False),
    ],
)
def test_a_compiler_is_where_triton_looks_for_it(
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: str,
    named: str | None,
    *,
    expected: bool,
) -> None:
    if there:
        put(programs / there)
    if named is not None:
        monkeypatch.setenv("CC", named)
    assert (not mamba2_mixer.kernels_lacking()) is expected
    assert triton_builds(programs, monkeypatch) is expected


def test_a_compiler_without_pythons_headers_is_of_no_use(programs: Path) -> None:
    put(programs / "gcc")
    assert mamba2_mixer.kernels_lacking() == ""
    headers = Path(sysconfig.get_path("include"))
    assert headers.is_relative_to(programs.parent)  # where Triton has the compiler look
    (headers / "Python.h").unlink()
    assert mamba2_mixer.kernels_lacking() == (
        f"Triton finds no headers of Python (no Python.h in {headers})"
    )


def test_a_compiler_alone_is_no_kernel(programs: Path) -> None:
    put(programs / "gcc")
    (programs.parent / "packages" / "causal_conv1d" / "__init__.py").unlink()
    (programs.parent / "packages" / "causal_conv1d").rmdir()
    assert mamba2_mixer.kernels_lacking() == "causal_conv1d is not installed"


def test_no_compiler_is_said_with_the_names_that_were_tried(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert programs.is_dir()
    assert mamba2_mixer.kernels_lacking() == "Triton finds no C compiler (gcc or clang)"
    monkeypatch.setenv("CC", "my-cc")
    assert mamba2_mixer.kernels_lacking() == "Triton finds no C compiler (my-cc)"
    monkeypatch.setenv("CC", "")
    assert mamba2_mixer.kernels_lacking() == "Triton finds no C compiler (CC is empty)"
