"""CPU, memory and GPUs of this machine, from the operating system and `nvidia-smi`."""

import csv
import functools
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from repro.frozen import Frozen

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
    threads: int
    """Threads of a computation: OMP_NUM_THREADS, else the logical CPUs it may use."""


class Gpu(Frozen):
    """One GPU."""

    name: str
    driver: str
    memory: int
    """Bytes."""
    uuid: str


def hardware_class(cpu: Cpu, gpu: Gpu | None) -> str:
    """The GPU's model, or the CPU's architecture, vector extension and number of threads."""
    if gpu is not None:
        return gpu.name
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
        level=level(features),
        threads=_threads(),
    )


def level(features: Iterable[str]) -> str:
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


def ram() -> int:
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
def _ask(*arguments: str) -> str:
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


def gpus() -> tuple[Gpu, ...]:
    """The GPUs that this process may use; none without a working driver."""
    fields = "--query-gpu=name,driver_version,memory.total,uuid"
    found = parse_gpus(_ask(fields, "--format=csv,noheader,nounits"))
    return visible(found, os.environ.get("CUDA_VISIBLE_DEVICES"))


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Read `nvidia-smi`'s table of name, driver, MiB and UUID; what is no GPU is left out."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines())]
    # An unsupported field reads [N/A] (memory of an integrated GPU); take it as unknown.
    return tuple(
        Gpu(name=name, driver=driver, memory=int(size) << 20 if size.isdecimal() else 0, uuid=uuid)
        for name, driver, size, uuid in (row for row in rows if len(row) == len(Gpu.model_fields))
    )


def visible(found: tuple[Gpu, ...], chosen: str | None) -> tuple[Gpu, ...]:
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


def cuda() -> str | None:
    """The newest CUDA version that the driver supports."""
    found = re.search(r"CUDA Version:\s*(\d+\.\d+)", _ask())
    return found[1] if found else None
