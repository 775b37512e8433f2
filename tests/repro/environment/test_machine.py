import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from repro.environment import machine, pins
from repro.environment.machine import Cpu, Environment, Gpu

CPU = Cpu(model="a", vendor="GenuineIntel", machine="x86_64", level="avx512", threads=2)
FIRST = Gpu(name="NVIDIA H200", driver="550.1", memory=8 << 30, uuid="GPU-aaaa")
SECOND = Gpu(name="NVIDIA A10G", driver="550.1", memory=4 << 30, uuid="GPU-bbbb")
FLAGS = machine.NUMERIC_FLAGS + machine.OTHER_FLAGS


@pytest.fixture(autouse=True)
def no_flags(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in FLAGS:
        monkeypatch.delenv(name, raising=False)
    answers = machine._nvidia_smi
    answers.cache_clear()
    yield
    answers.cache_clear()


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)


@pytest.mark.usefixtures("no_gpu")
def test_this_machine_is_described_and_survives_json() -> None:
    here = machine.capture()
    assert here.python.split(".")[0] == str(sys.version_info.major)
    assert here.cpu.threads >= 1
    assert here.gpus == ()
    assert here.gpu is None
    assert here.cuda is None
    assert here.memory == here.ram
    assert here.packages["pydantic"]
    assert here.hardware_class.startswith("cpu ")
    assert Environment.model_validate_json(here.model_dump_json()) == here


def test_capturing_imports_no_ml_framework() -> None:
    code = (
        "import sys; from repro.audit import audit\n"
        "from repro.environment.machine import capture; capture();"
        "print([name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_hardware_class_is_the_gpu_or_what_a_cpus_numbers_depend_on() -> None:
    assert machine.hardware_class(CPU, None) == "cpu x86_64 avx512 2 threads"
    assert machine.hardware_class(CPU, FIRST) == "NVIDIA H200"


@pytest.mark.parametrize(
    ("features", "level"),
    [
        (["sse4_2", "avx", "avx2"], "avx2"),
        (["avx512f", "avx2"], "avx512"),
        (["avx512_bf16", "avx512f"], "avx512_bf16"),
        (["amx_bf16", "avx512_bf16", "avx512f"], "amx_bf16"),
        (["fp", "asimd"], "asimd"),
        ([], "base"),
    ],
)
def test_the_best_vector_extension_counts(features: list[str], level: str) -> None:
    assert machine.vector_extension(features) == level


def test_the_number_of_threads_follows_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3,1")
    assert machine.cpu().threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert machine.cpu().threads == len(os.sched_getaffinity(0))


def test_gpus_are_read_from_the_drivers_table() -> None:
    text = "NVIDIA H200, 550.1, 8192, GPU-aaaa\nNVIDIA GB10, 580.2, [N/A], GPU-cccc\n"
    first, unified = machine.parse_gpus(text)
    assert first == FIRST
    assert (unified.name, unified.memory) == ("NVIDIA GB10", 0)
    assert machine.parse_gpus("NVIDIA-SMI has failed\n") == ()


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, (FIRST, SECOND)),
        ("", ()),
        ("-1", ()),
        ("1", (SECOND,)),
        ("1,0", (SECOND, FIRST)),
        ("0,7,1", (FIRST,)),
        ("GPU-bb", (SECOND,)),
        ("GPU-", ()),
    ],
)
def test_hidden_gpus_are_not_counted(chosen: str | None, expected: tuple[Gpu, ...]) -> None:
    assert machine.visible_gpus((FIRST, SECOND), chosen) == expected


@pytest.mark.parametrize(
    "failure",
    [subprocess.TimeoutExpired("nvidia-smi", 1), subprocess.CalledProcessError(9, "x"), OSError()],
)
def test_a_driver_that_fails_or_hangs_means_no_gpu(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(shutil, "which", lambda _: "nvidia-smi")
    monkeypatch.setattr(subprocess, "run", fail)
    assert machine.find_gpus() == ()
    assert machine.driver_cuda_version() is None


def test_the_drivers_newest_cuda_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    header = "| NVIDIA-SMI 550.1   Driver Version: 550.1   CUDA Version: 12.4     |"
    monkeypatch.setattr(machine, "_nvidia_smi", lambda *_: header)
    assert machine.driver_cuda_version() == "12.4"


@pytest.mark.usefixtures("no_gpu")
def test_flags_that_change_numbers_are_in_the_key_and_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = machine.capture(["pydantic"])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = machine.capture(["pydantic"])
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    forced = machine.capture(["pydantic"])
    assert plain.flags == {}
    assert offline.flags == {"HF_HUB_OFFLINE": "1"}
    assert offline.key_parts() == plain.key_parts()
    assert forced.key_parts() == plain.key_parts() | {"NVIDIA_TF32_OVERRIDE": "1"}
    assert set(plain.key_parts()) == {"hardware", "python", "vendor"}


def test_drift_is_any_other_version_or_none() -> None:
    pinned = {"torch": "2.2.1", "numpy": "1.26.4", "peft": "0.10.0"}
    found = {"torch": "2.2.1+cpu", "numpy": "1.26.4", "peft": None}
    lines = [str(each) for each in machine.drift(found, pinned)]
    assert lines == ["peft not installed, pinned 0.10.0", "torch 2.2.1+cpu, pinned 2.2.1"]


def test_missing_kernels_are_drift_only_where_there_is_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "installed", dict.fromkeys)
    monkeypatch.setattr(machine, "driver_cuda_version", lambda: "12.4")
    kernels = ["mamba-ssm", "packaging"]
    monkeypatch.setattr(machine, "find_gpus", lambda: ())
    assert [each.package for each in machine.capture(kernels).drift] == ["packaging"]
    monkeypatch.setattr(machine, "find_gpus", lambda: (FIRST, SECOND))
    with_gpu = machine.capture(kernels)
    assert [each.package for each in with_gpu.drift] == kernels
    assert with_gpu.memory == 8 << 30
    assert with_gpu.key_parts()["hardware"] == "NVIDIA H200"


def test_installed_names_are_normalised() -> None:
    found = machine.installed(["Pydantic_Core", "no-such-package"])
    assert found["pydantic-core"]
    assert found["no-such-package"] is None
    assert pins.normalise("A.b__C") == "a-b-c"
