"""Kernels that Triton compiles are kept with the results. Oracle: Triton itself, without a GPU."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import packets
import pytest
from command_line import repro_here

from repro import paths
from repro.cli.main import main
from repro.environment import machine
from repro.report import console
from repro.store import store
from repro.store.store import Store, kept_kernels

results = packets.results

COMPILE = """
import os, sys, triton
from runner.models import mamba_scan_triton
kernel = mamba_scan_triton._scan
names = [each.name for each in kernel.params]
arrays = ("delta", "start", "last", "A", "D", "u", "z", "y", "B", "C", "bias")
floats = dict.fromkeys(arrays, "*fp32")
constants = {"N": 16, "CHANNELS": mamba_scan_triton.CHANNELS, "RAW": True}
constants = {names.index(name): value for name, value in constants.items()}
signature = {
    place: floats.get(name, "i32") for place, name in enumerate(names) if place not in constants
}
sys.setdlopenflags(os.RTLD_LAZY)
triton.compile(
    kernel, signature=signature, constants=constants, device_type="cuda", cc=80, num_warps=1
)
"""
"""A process that compiles one kernel, as a job does at its first use."""


def compile_kernel(folder: Path) -> None:
    driver = folder / "libcuda.so"  # an empty one: what is compiled is loaded, and not called
    if not driver.exists():
        named = ["-shared", "-Wl,-soname,libcuda.so", "-x", "c", "-o", str(driver), "/dev/null"]
        subprocess.run(["gcc", *named], check=True)
    environ = {**os.environ, "TRITON_LIBCUDA_PATH": str(folder), "PYTHONPATH": str(paths.ROOT)}
    subprocess.run([sys.executable, "-c", COMPILE], check=True, env=environ)


def run_and_compile(out: Path, folder: Path) -> None:
    """Say what a run says whose job compiles a kernel, and whose results lie in `out`."""
    with console.progress_bars(quiet=False) as bars, kept_kernels(Store(out), bars.compiling):
        compile_kernel(folder)


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    monkeypatch.setattr(store, "_LOOK", 0.05)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="Triton needs a C compiler")
@pytest.mark.usefixtures("unset")
def test_a_kernel_is_compiled_once_and_said_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    run_and_compile(out, tmp_path)
    said = " ".join(capfd.readouterr().err.split())
    assert said.count("compiling kernels, once: the next run finds them in") == 1
    assert str(out / "triton") in said.replace(" ", "")
    made = {path: path.stat().st_mtime_ns for path in (out / "triton").rglob("*.cubin")}
    assert len(made) == 1
    run_and_compile(out, tmp_path)  # the same results: nothing is compiled, and nothing said
    assert "compiling" not in capfd.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (out / "triton").rglob("*.cubin")} == made


@pytest.mark.usefixtures("unset")
def test_whoever_set_the_folder_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, one = "TRITON_CACHE_DIR", Store(Path("results"))
    with kept_kernels(one, None):
        assert os.environ[name] == str(Path.cwd() / "results" / "triton")
    assert name not in os.environ
    monkeypatch.setenv(name, str(tmp_path))
    with kept_kernels(one, None):
        assert os.environ[name] == str(tmp_path)
    assert os.environ[name] == str(tmp_path)
    monkeypatch.setenv(name, " ")  # which Triton takes for none
    with kept_kernels(one, None):
        assert os.environ[name] == str(Path.cwd() / "results" / "triton")
    assert os.environ[name] == " "


def count(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "__grp__kernel.json").write_text("{}")


@pytest.mark.usefixtures("unset")
def test_those_with_float32_products_count_and_an_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_QUIET", 0.2)
    told: list[int] = []
    folder = tmp_path / "triton"
    count(folder, "before")
    (folder / "half").mkdir()
    with kept_kernels(Store(tmp_path), lambda number, _: told.append(number)):
        count(folder, "one", "ieee_float32/two")
        assert not store.threading.Event().wait(1)
        assert told[0] == 2 or told[:2] == [1, 2]
        assert told[-1] == 0
        count(folder, "three")
    assert told[-1] == 3  # however late


@pytest.mark.usefixtures("unset")
def test_a_run_on_a_cpu_says_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    out = tmp_path / "results"
    only = ("--only", "model=x_proj", "--offline")
    done = repro_here("run", "manifests/theorem3.json", "--out", str(out), *only)
    assert done.returncode == 0, done.stderr
    assert "compiling" not in done.stdout + done.stderr
    assert not (out / "triton").exists()


@pytest.mark.usefixtures("unset")
def test_it_is_no_part_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = machine.capture()
    monkeypatch.setenv("TRITON_CACHE_DIR", "/elsewhere")
    assert machine.capture() == before


def test_results_with_and_without_it_are_the_same(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def exported(name: str, *arguments: str) -> bytes:
        out = tmp_path / name
        assert main(["export", str(other), *arguments, "--out", str(out)]) == 0
        return (out / "SHA256SUMS").read_bytes() if out.is_dir() else out.read_bytes()

    other = tmp_path / "results"
    shutil.copytree(results, other)
    every = (("crate", "--format", "ro-crate"), ("table.csv", "--format", "csv"))
    before = [exported(f"1-{name}", *arguments) for name, *arguments in every]
    capsys.readouterr()
    main(["verify", str(other), "--json"])
    verdicts = capsys.readouterr().out
    count(other / "triton", "one", "ieee_float32/two")
    assert [exported(f"2-{name}", *arguments) for name, *arguments in every] == before
    capsys.readouterr()
    main(["verify", str(other), "--json"])
    assert capsys.readouterr().out == verdicts
    main(["results", "gc", "--yes", "--out", str(other)])
    assert (other / "triton" / "one").is_dir()
