"""The kernel that scans from a state is one that the pinned Triton compiles, without a GPU.

What it computes is held to the recurrence in float64 on a GPU (`test_runner_continued`).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import triton

from runner.models import mamba_scan_triton

FLOAT32 = ("delta", "start", "last", "A", "D")
INPUTS = ("u", "z", "y", "B", "C")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="Triton needs a C compiler")
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_the_pinned_triton_compiles_it(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "libcuda.so"  # an empty one: what is compiled is loaded, and not called
    named = ["-shared", "-Wl,-soname,libcuda.so", "-x", "c", "-o", str(driver), "/dev/null"]
    subprocess.run(["gcc", *named], check=True)
    monkeypatch.setenv("TRITON_LIBCUDA_PATH", str(tmp_path))
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    kernel = mamba_scan_triton._scan
    names = [each.name for each in kernel.params]
    kinds = dict.fromkeys(FLOAT32, "*fp32") | dict.fromkeys(INPUTS, f"*{dtype}")
    constants = {names.index("N"): 16, names.index("CHANNELS"): mamba_scan_triton.CHANNELS}
    signature = {
        place: kinds.get(name, "i32") for place, name in enumerate(names) if place not in constants
    }
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_LAZY)
    try:
        made = triton.compile(
            kernel,
            signature=signature,
            constants=constants,
            device_type="cuda",
            cc=80,
            num_warps=1,
        )
    finally:
        sys.setdlopenflags(flags)
    assert "ex2.approx" in made.asm["ptx"]  # the decays
    assert made.asm["cubin"]
