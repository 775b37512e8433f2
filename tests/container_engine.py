"""A real engine, and the bases that it builds the image on.

Where there is no engine, Debian's is installed and started; where no registry can be reached, the
bases are made here: Debian with Python 3.11, and nvcc from Debian's section non-free laid out as
`CUDA_HOME`. `$REPRO_BASE` and `$REPRO_TOOLKIT` name others, which then are pulled or here already.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import ImageNotFound

from repro import paths

BASE, TOOLKIT = "repro-check-base:bookworm", "repro-check-toolkit:12.4"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PACKAGES = "ca-certificates,python3.11,python3.11-venv,libgomp1"
SAFE = ["--rm", "--network=none", "--read-only", "--tmpfs", "/tmp"]


def call(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(paths.ROOT)}
    environ.update(options.pop("environ", {}))
    return subprocess.run(
        command,
        cwd=paths.ROOT,
        env=environ,
        text=True,
        capture_output=True,
        check=False,
        **options,
    )


def repro(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return call(sys.executable, "-m", "repro.cli.main", *arguments, **options)


def build(
    target: str, tag: str, given: Mapping[str, str], **options: Any
) -> subprocess.CompletedProcess[str]:
    """`repro container build` with arguments of its own, and those that the environment names."""
    named = {
        name: os.environ[name] for name in ("PIP_INDEX_URL", "GIT_MIRROR") if name in os.environ
    }
    arguments = {**named, "PIP_CERT": CERTIFICATES, **given}
    told = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    command = ["container", "build", "--target", target, "--tag", tag, "--network", "host"]
    return repro(*command, *told, **options)


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """The machine's engine, or one that is started for the test, as root without a bridge."""
    started = None
    if not reachable():
        if not (shutil.which("dockerd") and shutil.which("mmdebstrap")):
            subprocess.run(["apt-get", "update", "-qq"], check=True)
            install = ["apt-get", "install", "-qq", "--yes", "docker.io", "mmdebstrap"]
            subprocess.run(install, check=True)
        options = ["--iptables=false", "--bridge=none", "--default-ulimit", "nofile=1024:1024"]
        started = subprocess.Popen(
            ["dockerd", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(60):
            if reachable():
                break
            time.sleep(1)
    with closing(docker.from_env(timeout=3600)) as client:
        yield client
    if started:
        started.terminate()
        started.wait()


def reachable() -> bool:
    """Asked by the engine's own client: the SDK leaves a socket open where nothing answers."""
    return bool(shutil.which("docker")) and call("docker", "version").returncode == 0


@pytest.fixture(scope="session")
def base(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """$REPRO_BASE, or Debian bookworm with Python 3.11 and this machine's certificates."""
    if named := os.environ.get("REPRO_BASE"):
        return named
    try:
        engine.images.get(BASE)
    except ImageNotFound:
        tar = tmp_path_factory.mktemp("base") / "base.tar"
        hook = f"--customize-hook=copy-in {CERTIFICATES} {Path(CERTIFICATES).parent}"
        made = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", hook, "bookworm"]
        subprocess.run([*made, str(tar)], check=True)
        subprocess.run(["docker", "import", str(tar), BASE], check=True)
    return BASE


# -----------------------------------------------------------------------------
# A toolkit
#
# Debian puts the files of CUDA where its own policy wants them. nvcc looks for all of them below
# one folder, and its profile says where; only what a compilation takes is laid out.

RELEASE = "trixie"
TOOLS = ("nvidia-cuda-toolkit", "nvidia-cuda-dev", "libcudart12")
HEADERS = ("libcu++-dev", "libcub-dev", "libthrust-dev")
PROFILE = """TOP = $(_HERE_)/..
NVVMIR_LIBRARY_DIR = $(TOP)/nvvm/libdevice
PATH += $(TOP)/nvvm/bin:$(_HERE_):
INCLUDES += "-I$(TOP)/include" $(_SPACE_)
LIBRARIES =+ $(_SPACE_) "-L$(TOP)/lib64"
"""
LAYOUT = """set -e
mkdir -p cuda/bin cuda/nvvm/bin cuda/lib64 cuda/include
mv usr/bin/bin2c usr/bin/cudafe++ usr/bin/cuobjdump usr/bin/fatbinary usr/bin/nvdisasm cuda/bin
mv usr/bin/nvlink usr/bin/ptxas cuda/bin
mv usr/lib/nvidia-cuda-toolkit/bin/nvcc usr/lib/nvidia-cuda-toolkit/bin/crt cuda/bin
mv usr/lib/nvidia-cuda-toolkit/bin/cicc cuda/nvvm/bin
mv usr/lib/nvidia-cuda-toolkit/libdevice cuda/nvvm
mv usr/include/* cuda/include
mv usr/lib/x86_64-linux-gnu/libcudart* usr/lib/x86_64-linux-gnu/libcudadevrt* cuda/lib64
"""


@pytest.fixture(scope="session")
def toolkit(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """$REPRO_TOOLKIT, or nvcc 12.4 of Debian trixie, whose host compiler may be bookworm's."""
    if named := os.environ.get("REPRO_TOOLKIT"):
        return named
    try:
        engine.images.get(TOOLKIT)
    except ImageNotFound:
        folder = tmp_path_factory.mktemp("toolkit")
        for package in debian_packages(folder):
            content = subprocess.Popen(
                ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE
            )
            unpack = ["tar", "-x", "-C", str(folder), "--exclude=*_static*.a", "--exclude=*/doc/*"]
            subprocess.run(unpack, stdin=content.stdout, check=True)
            assert content.wait() == 0
            package.unlink()
        subprocess.run(["sh", "-c", LAYOUT], cwd=folder, check=True)
        (folder / "cuda" / "bin" / "nvcc.profile").write_text(PROFILE, encoding="utf-8")
        packed = subprocess.Popen(
            ["tar", "-c", "--transform=s,^./cuda,./usr/local/cuda,", "./cuda"],
            cwd=folder,
            stdout=subprocess.PIPE,
        )
        subprocess.run(["docker", "import", "-", TOOLKIT], stdin=packed.stdout, check=True)
        assert packed.wait() == 0
    return TOOLKIT


def debian_packages(folder: Path) -> list[Path]:
    """Archives of another release and section than this machine's, from the same mirror."""
    site = call("apt-get", "indextargets", "--format", "$(REPO_URI)").stdout.split()[0]
    key = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
    lists, sources = folder / "lists", folder / "sources.list"
    (lists / "partial").mkdir(parents=True)
    sources.write_text(f"deb [{key}] {site} {RELEASE} main non-free\n", encoding="utf-8")
    options = [
        f"-oDir::Etc::sourcelist={sources}",
        "-oDir::Etc::sourceparts=/dev/null",
        f"-oDir::State::lists={lists}",
        "-oDir::Cache::pkgcache=",
        "-oDir::Cache::srcpkgcache=",
    ]
    subprocess.run(["apt-get", *options, "update", "-qq"], check=True)
    download = ["apt-get", *options, "download", "-qq", *TOOLS, *HEADERS]
    subprocess.run(download, cwd=folder, check=True)
    return sorted(folder.glob("*.deb"))
