"""The cuda target against a real engine: `make test-container CUDA=1`. No GPU takes part.

Oracles: what the toolkit's own cuobjdump, ldd and the engine say of what was built; Triton, which
compiles its launcher; the numbers of the host.

`CUDA=NAME` takes an image that is here already. What is built weighs so much by layer, and was
built so, as .cache/cuda-image.txt says afterwards.

An hour on two cores, and 50 GB of disk. `$TORCH_CUDA_ARCH_LIST` is 9.0 unless it says otherwise.
flash-attn alone takes some five hours of a core: put a wheel of it into the folder wheels/.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from container_engine import (
    SAFE,
    base,  # noqa: F401 - a fixture
    build,
    call,
    engine,  # noqa: F401 - a fixture
    repro,
    toolkit,  # noqa: F401 - a fixture
)

from repro import paths

pytestmark = [
    pytest.mark.timeout(12 * 3600),
    pytest.mark.skipif("CUDA" not in os.environ, reason="make test-container CUDA=1"),
]

IMAGE = "repro-check-cuda"
ARCHITECTURES = os.environ.get("TORCH_CUDA_ARCH_LIST", "9.0")
NAMED = {f"sm_{each.replace('.', '')}" for each in re.split("[; ]", ARCHITECTURES)}
KERNELS = ("causal_conv1d_cuda", "flash_attn_2_cuda", "selective_scan_cuda")


@pytest.fixture(scope="session")
def image(engine: Any, base: str, toolkit: str) -> Any:
    if os.environ["CUDA"] != "1":
        return engine.images.get(os.environ["CUDA"])
    started = time.monotonic()
    given = {"BASE": base, "TOOLKIT": toolkit, "MAX_JOBS": "2"}
    done = build("cuda", IMAGE, given | {"TORCH_CUDA_ARCH_LIST": ARCHITECTURES})
    assert done.returncode == 0, done.stderr[-3000:]
    found = engine.images.get(IMAGE)
    layers = call("docker", "history", "--format", "{{.Size}}\t{{.CreatedBy}}", IMAGE).stdout
    took = f"{found.id}: {found.attrs['Size']} bytes, {time.monotonic() - started:.0f} s\n"
    report = paths.ROOT / ".cache" / "cuda-image.txt"
    report.write_text(took + layers + done.stderr, encoding="utf-8")
    return found


def inside(image: Any, *command: str, options: tuple[str, ...] = ()) -> str:
    """What a program in the image says on its standard output."""
    run = ["docker", "run", *SAFE, *options, "--entrypoint", command[0], image.id, *command[1:]]
    done = call(*run)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def objects(image: Any) -> dict[str, str]:
    """Path in the image of the shared object of each kernel."""
    find = ["find", "/opt/venv", "-name", "*.so", "(", "-false"]
    for name in KERNELS:
        find += ["-o", "-name", f"{name}.*"]
    paths = inside(image, *find, ")").split()
    assert len(paths) == len(KERNELS)
    return {Path(path).name.partition(".")[0]: path for path in paths}


def test_it_says_what_it_is(image: Any, base: str) -> None:
    labels = image.attrs["Config"]["Labels"]
    assert labels["repro.target"] == "cuda"
    assert "repro.note" not in labels
    assert labels["org.opencontainers.image.base.name"] == base
    assert image.attrs["Config"]["User"] == "10001:10001"


def test_the_kernels_are_imported_without_a_gpu(image: Any) -> None:
    """mamba-ssm imports Triton, which asks for a driver only when it compiles."""
    program = (
        "import causal_conv1d, flash_attn, mamba_ssm; "
        "import causal_conv1d_cuda, flash_attn_2_cuda, selective_scan_cuda; "
        "print(causal_conv1d.__version__, flash_attn.__version__, mamba_ssm.__version__)"
    )
    assert inside(image, "python", "-c", program).split() == ["1.4.0", "2.5.7", "2.2.2"]


def test_they_have_machine_code_for_what_was_named_and_nothing_else(
    image: Any, toolkit: str, tmp_path: Path
) -> None:
    """Oracle: cuobjdump; what `repro audit` reads off the files itself has to be the same."""
    made = call("docker", "create", toolkit, "true").stdout.strip()
    holder = call("docker", "create", image.id).stdout.strip()
    subprocess.run(["docker", "cp", f"{made}:/usr/local/cuda/bin/cuobjdump", tmp_path], check=True)
    audited = json.loads(repro("container", "audit", "--image", image.id, "--json").stdout)
    for path in objects(image).values():
        copy = tmp_path / Path(path).name
        subprocess.run(["docker", "cp", f"{holder}:{path}", copy], check=True)
        said = call(str(tmp_path / "cuobjdump"), "--list-elf", "--list-ptx", str(copy)).stdout
        assert set(re.findall(r"\.(sm_\w+)\.(?:cubin|ptx)", said)) == NAMED
        assert ".ptx" not in said
        assert set(audited["image"]["kernels"][copy.name]["architectures"]) == NAMED
    call("docker", "rm", made, holder)


def test_they_link_what_is_in_the_image(image: Any) -> None:
    """Nothing of the toolkit: torch brings the CUDA runtime, and is loaded first."""
    torch = "import torch, pathlib; print(pathlib.Path(torch.__file__).parent)"
    folder = inside(image, "python", "-c", torch).strip()
    libraries = f"{folder}/lib:{Path(folder).parent}/nvidia/cuda_runtime/lib"
    for path in objects(image).values():
        said = inside(image, "ldd", path, options=("-e", f"LD_LIBRARY_PATH={libraries}"))
        assert "not found" not in said
        needed = {line.split()[0] for line in said.splitlines()}
        assert "libcudart.so.12" in needed
        assert "/usr/local/cuda" not in said


def test_nothing_of_the_toolkit_is_left(image: Any) -> None:
    script = (
        "for each in nvcc cicc ptxas g++ c++ git curl wget; do command -v $each; done; "
        "ls -d /usr/local/cuda* /opt/wheels /build 2>/dev/null; "
        "find / -xdev -type f -perm -0002 2>/dev/null; true"
    )
    assert inside(image, "sh", "-c", script) == ""


def test_it_weighs_what_it_has_to_hold(engine: Any, image: Any, base: str) -> None:
    """Its base and the three folders that are copied: at most 0.5 GB beside them."""
    held = inside(image, "du", "-s", "--block-size=1", "/opt/venv", "/opt/inputs", "/bundle")
    folders = sum(int(line.split()[0]) for line in held.splitlines())
    assert image.attrs["Size"] < engine.images.get(base).attrs["Size"] + folders + 0.5e9


def test_it_is_as_pinned_to_the_bottom(image: Any) -> None:
    done = repro("container", "audit", "--image", image.id, "--json")
    audit = json.loads(done.stdout)
    assert (done.returncode, audit["problems"]) == (0, [])
    assert audit["image"]["target"] == "cuda"
    objects = {name.partition(".")[0] for name in audit["image"]["kernels"]}
    assert set(KERNELS) <= objects
    assert audit["image"]["os_packages"]["gcc:amd64"]


def test_an_arbitrary_user_runs_a_manifest(image: Any, tmp_path: Path) -> None:
    """Offline, with a read-only root; a run that needs a GPU says so."""
    tmp_path.chmod(0o777)
    options = ("--user", "4321:99", "-v", f"{tmp_path}:/bundle/results")
    one = ["--only", "model=mamba-130m,dtype=float32,setting=batch-16", "--offline"]
    inside(image, "repro", "run", "manifests/table1.json", "--tier", "smoke", *one, options=options)
    assert len(list((tmp_path / "jobs").glob("*/record.json"))) == 1


def test_the_tests_that_need_a_gpu_are_collected_in_it(image: Any, tmp_path: Path) -> None:
    """With pytest beside the environment, as docs/container.md has it, and a read-only root."""
    tmp_path.chmod(0o755)
    listed = ["--requirement", "requirements-dev.txt", "--target", str(tmp_path)]
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", *listed]
    done = call(sys.executable, *pip)
    assert done.returncode == 0, done.stderr
    options = ["-e", "PYTHONPATH=/opt/tools", "-v", f"{tmp_path}:/opt/tools:ro"]
    for folder in ("tests", "benchmarks", "tools"):
        options += ["-v", f"{paths.ROOT / folder}:/bundle/{folder}:ro"]
    pytest_in = ["python", "-m", "pytest", "-v", "-m", "gpu", "--collect-only"]
    command = [*pytest_in, "-p", "no:cacheprovider", "tests/runner"]
    said = inside(image, *command, options=tuple(options))
    assert "test_flash_attention_agrees" in said
    assert "test_mixer_forward_and_gradients" in said


LAUNCHER = """
import ctypes, importlib.util, os, subprocess, sys
from triton.compiler.make_launcher import make_stub
from runner.models import mamba2_mixer
assert not mamba2_mixer.kernels_lacking()
driver = os.environ["TRITON_LIBCUDA_PATH"]
os.makedirs(driver)
library = driver + "/libcuda.so"
named = ["-shared", "-Wl,-soname,libcuda.so", "-x", "c"]
subprocess.run(["gcc", *named, "-o", library, "/dev/null"], check=True)
ids = {"ids_of_folded_args": (), "ids_of_const_exprs": (), "ids_of_tensormaps": None}
path = make_stub("launcher", {0: "*fp32", 1: "i32"}, {}, ids)
sys.setdlopenflags(os.RTLD_LAZY)  # the driver is an empty one
ctypes.CDLL(library)
spec = importlib.util.spec_from_file_location("__triton_launcher", path)
print(importlib.util.module_from_spec(spec).__name__, path)
"""


def test_it_compiles_what_triton_needs(image: Any, tmp_path: Path) -> None:
    """Triton's own launcher, compiled and loaded without a GPU, and kept with the results."""
    tmp_path.chmod(0o777)
    options = ("-v", f"{tmp_path}:/bundle/results")
    driver = ("-e", "TRITON_LIBCUDA_PATH=/bundle/results/driver")
    said = inside(image, "python", "-c", LAUNCHER, options=(*options, *driver))
    assert said.startswith("__triton_launcher /bundle/results/triton/")
