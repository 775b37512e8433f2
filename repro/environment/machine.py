"""What a record says about the machine that made it, seen without importing torch."""

import csv
import functools
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from repro import fileio
from repro.environment import installed as distributions
from repro.environment import pins, revision
from repro.environment.revision import Revision
from repro.schema.base import Count, Frozen
from repro.schema.jobs import KINDS
from repro.text import plural

# -----------------------------------------------------------------------------
# CPU, memory and GPUs of this machine, from the operating system and `nvidia-smi`.

_LEVELS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "avx", "sse4_2", "sve", "asimd")
"""CPU features that decide which kernels torch and oneDNN choose, best first."""
_TIMEOUT = 20
"""Seconds that `nvidia-smi` may take: a driver that was just loaded needs several."""
_UNLIMITED = 1 << 60
"""A container's memory limit from here on means none (cgroup v1 writes a huge number)."""


class Cpu(Frozen):
    """The processor, as far as it can change a number."""

    model: str
    vendor: str
    """E.g. GenuineIntel; empty if unknown."""
    machine: str
    """Architecture, e.g. x86_64."""
    level: str
    """Best vector extension, e.g. avx512; `base` if none is known."""
    threads: Count
    """Threads of a computation: OMP_NUM_THREADS, else the logical CPUs it may use."""


class Gpu(Frozen):
    """One GPU."""

    name: str
    driver: str
    memory: Count
    """Bytes."""
    uuid: str


def hardware_class(cpu: Cpu, gpu: Gpu | None) -> str:
    """The GPU's model, or the CPU's architecture, vector extension and number of threads."""
    if gpu is not None or not cpu.threads:  # without threads nobody knows: an import
        return gpu.name if gpu else "unknown"
    return f"cpu {cpu.machine} {cpu.level} {cpu.threads} threads"


def cpu() -> Cpu:
    """Describe the CPU that this process runs on."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        first = ""
    pairs = (line.partition(":") for line in first.splitlines())
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    features = (fields.get("flags") or fields.get("Features") or "").split()
    return Cpu(
        model=fields.get("model name") or platform.processor() or "unknown",
        vendor=fields.get("vendor_id") or fields.get("CPU implementer") or "",
        machine=platform.machine(),
        level=vector_extension(features),
        threads=_threads(),
    )


def vector_extension(features: Iterable[str]) -> str:
    """The best vector extension among a CPU's features.

    Example:
        >>> level(["avx", "avx2", "avx512f"])
        'avx512'
    """
    known = set(features)
    best = next((name for name in _LEVELS if name in known), "base")
    return "avx512" if best == "avx512f" else best


def _threads() -> int:
    named = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if named.isdecimal() and int(named):
        return int(named)
    # As OpenMP counts them: the affinity mask, not a container's quota of CPU time.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def main_memory() -> int:
    """Bytes of main memory, or of this container's limit if that is less; 0 if unknown."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (Path("/sys/fs/cgroup") / limit).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) < _UNLIMITED:
            total = min(total, int(text))
    return total


@functools.cache
def _nvidia_smi(*arguments: str) -> str:
    """What `nvidia-smi` prints; empty if it is not there, fails or hangs."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603  # fixed arguments
            [program, *arguments], capture_output=True, text=True, timeout=_TIMEOUT, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def find_gpus() -> tuple[Gpu, ...]:
    """The GPUs that this process may use; none without a working driver."""
    fields = "--query-gpu=name,driver_version,memory.total,uuid"
    found = parse_gpus(_nvidia_smi(fields, "--format=csv,noheader,nounits"))
    return visible_gpus(found, os.environ.get("CUDA_VISIBLE_DEVICES"))


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Read `nvidia-smi`'s table of name, driver, MiB and UUID; what is no GPU is left out."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines())]
    # An unsupported field reads [N/A] (memory of an integrated GPU); take it as unknown.
    return tuple(
        Gpu(name=name, driver=driver, memory=int(size) << 20 if size.isdecimal() else 0, uuid=uuid)
        for name, driver, size, uuid in (row for row in rows if len(row) == len(Gpu.model_fields))
    )


def visible_gpus(found: tuple[Gpu, ...], chosen: str | None) -> tuple[Gpu, ...]:
    """Keep the GPUs that CUDA_VISIBLE_DEVICES names, in its order, up to the first bad name.

    `nvidia-smi` does not heed the variable, CUDA does.
    """
    if chosen is None:
        return found
    kept: list[Gpu] = []
    for name in (part.strip() for part in chosen.split(",")):
        if name.isdecimal() and int(name) < len(found):
            kept.append(found[int(name)])
            continue
        by_uuid = [gpu for gpu in found if name.startswith("GPU-") and gpu.uuid.startswith(name)]
        if len(by_uuid) != 1:
            break
        kept += by_uuid
    return tuple(kept)


_PCI = Path("/sys/bus/pci/devices")
_NVIDIA, _DISPLAY = "0x10de", ("0x0300", "0x0302")
"""Vendor, and classes of devices that can compute, as the system lists them."""


def why_no_gpu() -> str:
    """Why a GPU that is there, or was asked for, cannot be used; empty where one can or none is."""
    if find_gpus():
        return ""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None and _nvidia_smi("--list-gpus"):
        return f"CUDA_VISIBLE_DEVICES={chosen} hides every GPU"
    if os.environ.get("NVIDIA_VISIBLE_DEVICES", "void") not in ("", "void", "none"):
        return "this container was given GPUs, and no NVIDIA driver answers in it"
    if any(map(_is_nvidia_gpu, _PCI.glob("*"))):
        return "there is an NVIDIA GPU, and no driver that answers"
    return ""


def _is_nvidia_gpu(device: Path) -> bool:
    try:
        said = [(device / name).read_text(encoding="ascii") for name in ("vendor", "class")]
    except (OSError, UnicodeDecodeError):
        return False
    return said[0].strip() == _NVIDIA and said[1].startswith(_DISPLAY)


def driver_cuda_version() -> str | None:
    """The newest CUDA version that the driver supports."""
    found = re.search(r"CUDA Version:\s*(\d+\.\d+)", _nvidia_smi())
    return found[1] if found else None


# -----------------------------------------------------------------------------
# What a record says about the machine that made it, seen without importing torch.

NUMERIC_FLAGS = (
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUBLASLT_WORKSPACE_SIZE",
    "PYTHONHASHSEED",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "OMP_DYNAMIC",
    "OMP_NUM_THREADS",
    "KMP_DETERMINISTIC_REDUCTION",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "DNNL_DEFAULT_FPMATH_MODE",
    "MAMBA_DETERMINISTIC",  # of mamba-ssm after the pin
)
"""Variables that can change a number: part of every job's key."""

OTHER_FLAGS = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_LAUNCH_BLOCKING",
    "PYTORCH_CUDA_ALLOC_CONF",
    "HF_HUB_OFFLINE",
    "HF_DATASETS_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "TOKENIZERS_PARALLELISM",
    "REPRO_IMAGE",
)
"""Variables that say how it ran: recorded, but no part of a key."""


class Drift(Frozen):
    """One package that is not at its pin."""

    package: str
    pinned: str
    installed: str | None
    """Null if it is not installed."""

    def __str__(self) -> str:
        return f"{self.package} {self.installed or 'not installed'}, pinned {self.pinned}"


class Environment(Frozen):
    """The machine and the software of one run."""

    python: str
    """Full version, e.g. 3.11.7."""
    implementation: str
    """CPython or another."""
    platform: str
    """Kernel and C library."""
    cpu: Cpu
    ram: Count
    """Bytes of main memory that this process may use; 0 if unknown."""
    gpus: tuple[Gpu, ...]
    """GPUs that this process may use; jobs use the first."""
    cuda: str | None
    """Newest CUDA version that the driver supports; null without a GPU."""
    packages: dict[str, str]
    """Installed version of each pinned package, with what was changed in it since, and of Coq;
    those not installed are left out."""
    flags: dict[str, str]
    """Those of `NUMERIC_FLAGS` and `OTHER_FLAGS` that are set."""
    drift: tuple[Drift, ...]
    """Pinned packages that are missing, at another version, or not as they were installed."""
    revision: Revision | None = None
    """The bundle's own code; null in records from before it was written down."""

    @property
    def gpu(self) -> Gpu | None:
        """The GPU that jobs use."""
        return self.gpus[0] if self.gpus else None

    @property
    def memory(self) -> int:
        """Bytes on the device that jobs use; 0 if unknown."""
        return self.gpu.memory if self.gpu else self.ram

    @property
    def hardware_class(self) -> str:
        """What speed, memory and the last bits of a number depend on."""
        return hardware_class(self.cpu, self.gpu)

    def key_parts(self) -> dict[str, str]:
        """The part of a job's key that is the machine.

        The CPU's vendor is in it because the matrix library chooses its kernels by it.
        """
        parts = {"hardware": self.hardware_class, "python": self.python}
        if self.gpu is None:
            parts["vendor"] = self.cpu.vendor
        return parts | {name: value for name, value in self.flags.items() if name in NUMERIC_FLAGS}


def capture(packages: Iterable[str] | None = None) -> Environment:
    """Describe this machine as a record needs it.

    Args:
        packages: Packages to look up; all pinned packages by default. Only then are the files of
            those that compute something held to what was installed, which takes half a second,
            and the bundle's own code to its revision.
    """
    pinned = pins.versions()
    found = installed(pinned if packages is None else packages)
    if packages is None:
        found |= _altered_versions(
            tuple((name, version) for name, version in found.items() if version)
        )
        found |= {"coq": coq_version()}
    gpus = find_gpus()
    # Kernels need a GPU: without one their absence is the expected state, not drift.
    optional = set() if gpus else set(pins.read(pins.KERNELS)) - set(pins.read(pins.LOCK))
    held = {name: pinned[name] for name in found if name in pinned}
    held = {name: pin for name, pin in held.items() if found[name] or name not in optional}
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=platform.platform(),
        cpu=cpu(),
        ram=main_memory(),
        gpus=gpus,
        cuda=driver_cuda_version() if gpus else None,
        packages={name: version for name, version in found.items() if version},
        flags=environment_flags(),
        drift=drift(found, held),
        revision=revision.own() if packages is None else None,
    )


@functools.cache
def coq_version() -> str | None:
    """Version of the proof assistant, e.g. 8.16.1; None where it is not installed."""
    program = shutil.which("coqc")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  # fixed arguments
            [program, "-print-version"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.partition(" ")[0].strip() or None


@functools.cache
def _altered_versions(versions: tuple[tuple[str, str], ...]) -> Mapping[str, str | None]:
    """Versions of packages that compute something and are not as they were installed.

    Looked at once a process, as what it imported stays as it was.
    """
    found = dict(versions)
    computing = sorted({name for kind in KINDS.values() for name in kind.LIBRARIES} & set(found))
    with ThreadPoolExecutor(2) as pool:
        several = zip(
            computing, pool.map(distributions.altered_package_files, computing), strict=True
        )
    return {
        # What it was changed to is part of the keys of what it computes.
        name: f"{found[name]} ({plural(len(files), 'file')} not as installed, "
        f"{next(iter(files))}; {fileio.digest_of_data(files)[:12]})"
        for name, files in several
        if files
    }


def installed(packages: Iterable[str]) -> dict[str, str | None]:
    """Installed version of each package, by normalised name; None if it is not there."""
    every = {pins.normalise(each): distributions.distribution(each) for each in packages}
    return {name: found.version if found else None for name, found in sorted(every.items())}


def drift(found: Mapping[str, str | None], pinned: Mapping[str, str]) -> tuple[Drift, ...]:
    """Packages whose installed version is not exactly the pinned one, in order of name."""
    return tuple(
        Drift(package=name, pinned=pinned[name], installed=found.get(name))
        for name in sorted(pinned)
        if found.get(name) != pinned[name]
    )


def environment_flags() -> dict[str, str]:
    """Environment variables that are set and matter."""
    return {name: os.environ[name] for name in NUMERIC_FLAGS + OTHER_FLAGS if name in os.environ}
