"""Our kernels are ones that the pinned Triton compiles, without a GPU.

What they compute is held to the equations in float64 on a GPU (`test_mamba_continued`).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import triton

from runner.models import mamba_scan_plain, mamba_scan_triton

# Pointers to FP32 whatever a model's dtype; to the dtype; sizes.
KERNELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "_scan": ("start last A D bias", "u delta z y B C", {"N": 16, "CHANNELS": 64, "RAW": True}),
    "_scan_plainly": ("start last A", "u delta B C y", {"N": 16, "CHANNELS": 32}),
    "_convolve": (
        "",
        "x before weight bias y left",
        {"BEFORE": True, "BIAS": True, "W": 4, "STEPS": 16, "WIDE": 128},
    ),
    "_norm": (
        "stream total",
        "x gate weight normed",
        {"ADDS": True, "KEEPS": True, "GATED": True, "FIRST": True, "THEN": True, "WIDTH": 1024},
    ),
    "_scan_chunks": (
        "start last D",
        "x step B C y A_log bias",
        {"heads": 24, "share": 24, "STARTED": True, "P": 64, "N": 128, "Q": 32},
    ),
}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="Triton needs a C compiler")
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", KERNELS)
def test_the_pinned_triton_compiles_them(
    name: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "libcuda.so"  # an empty one: what is compiled is loaded, and not called
    named = ["-shared", "-Wl,-soname,libcuda.so", "-x", "c", "-o", str(driver), "/dev/null"]
    subprocess.run(["gcc", *named], check=True)
    monkeypatch.setenv("TRITON_LIBCUDA_PATH", str(tmp_path))
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    home = mamba_scan_plain if name == "_scan_plainly" else mamba_scan_triton
    kernel = getattr(home, name)
    names = [each.name for each in kernel.params]
    wide, given, sizes = KERNELS[name]
    kinds = dict.fromkeys(wide.split(), "*fp32") | dict.fromkeys(given.split(), f"*{dtype}")
    kinds["eps"] = "fp32"
    constants = {names.index(each): size for each, size in sizes.items()}
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
            num_warps=1 if name in {"_scan", "_scan_plainly"} else 4,
            num_stages=1,
        )
    finally:
        sys.setdlopenflags(flags)
    assert "ex2.approx" in made.asm["ptx"] or name == "_norm"  # decays, SiLU
    assert made.asm["cubin"]
