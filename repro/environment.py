"""What a record says about the machine that made it, seen without importing torch."""

import functools
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from repro import digests, hardware, pins, revision
from repro import installed as distributions
from repro.frozen import Frozen
from repro.hardware import Cpu, Gpu
from repro.jobs import KINDS
from repro.plural import counted
from repro.revision import Revision

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
    ram: int
    """Bytes of main memory that this process may use; 0 if unknown."""
    gpus: tuple[Gpu, ...]
    """GPUs that this process may use; jobs use the first."""
    cuda: str | None
    """Newest CUDA version that the driver supports; null without a GPU."""
    packages: dict[str, str]
    """Installed version of each pinned package, with what was changed in it since; those not
    installed are left out."""
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
        return hardware.hardware_class(self.cpu, self.gpu)

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
        found |= _edited(tuple((name, version) for name, version in found.items() if version))
    gpus = hardware.gpus()
    # Kernels need a GPU: without one their absence is the expected state, not drift.
    optional = set() if gpus else set(pins.read(pins.KERNELS)) - set(pins.read(pins.LOCK))
    held = {name: pinned[name] for name in found if name in pinned}
    held = {name: pin for name, pin in held.items() if found[name] or name not in optional}
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=platform.platform(),
        cpu=hardware.cpu(),
        ram=hardware.ram(),
        gpus=gpus,
        cuda=hardware.cuda() if gpus else None,
        packages={name: version for name, version in found.items() if version},
        flags=flags(),
        drift=drift(found, held),
        revision=revision.own() if packages is None else None,
    )


@functools.cache
def _edited(versions: tuple[tuple[str, str], ...]) -> Mapping[str, str | None]:
    """Versions of packages that compute something and are not as they were installed.

    Looked at once a process, as what it imported stays as it was.
    """
    found = dict(versions)
    computing = sorted({name for kind in KINDS.values() for name in kind.LIBRARIES} & set(found))
    with ThreadPoolExecutor(2) as pool:
        several = zip(computing, pool.map(distributions.edited, computing), strict=True)
    return {
        # What it was changed to is part of the keys of what it computes.
        name: f"{found[name]} ({counted(len(files), 'file')} not as installed, "
        f"{next(iter(files))}; {digests.of_data(files)[:12]})"
        for name, files in several
        if files
    }


def installed(packages: Iterable[str]) -> dict[str, str | None]:
    """Installed version of each package, by normalised name; None if it is not there."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[pins.normalise(package)] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[pins.normalise(package)] = None
    return dict(sorted(found.items()))


def drift(found: Mapping[str, str | None], pinned: Mapping[str, str]) -> tuple[Drift, ...]:
    """Packages whose installed version is not exactly the pinned one, in order of name."""
    return tuple(
        Drift(package=name, pinned=pinned[name], installed=found.get(name))
        for name in sorted(pinned)
        if found.get(name) != pinned[name]
    )


def flags() -> dict[str, str]:
    """Environment variables that are set and matter."""
    return {name: os.environ[name] for name in NUMERIC_FLAGS + OTHER_FLAGS if name in os.environ}
