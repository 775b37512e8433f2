"""float32 products inside Triton kernels, in processes of their own.

Oracles: the intermediate code that Triton itself makes of a kernel, which takes no GPU; on a GPU
the plain code of Mamba-2 in float64.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from repro.errors import CannotRunError
from runner.models import mamba2_mixer
from runner.models.precision import FOLDER, ieee_float32

ROOT = Path(__file__).parents[3]

PRODUCT = '''
import os

import triton
import triton.language as tl

from runner.models.precision import ieee_float32


@triton.jit
def product(x, y, z):
    rows = tl.arange(0, 16)
    block = rows[:, None] * 16 + rows[None, :]
    tl.store(z + block, tl.dot(tl.load(x + block), tl.load(y + block)))


def ran():
    """Leave behind what a first run does, by hand: running takes a GPU."""
    vars(product)["cache" if "cache" in vars(product) else "device_caches"][0] = {"key": "kernel"}


def tf32():
    """Whether the product is in TF32, by the first intermediate code for float32."""
    [line] = [line for line in code().splitlines() if "tt.dot" in line]
    return "= tf32" in line or "allowTF32 = true" in line


def code():
    if triton.__version__.startswith("2."):
        from triton.compiler.code_generator import ast_to_ttir
        from triton.compiler.compiler import instance_descriptor

        types = dict.fromkeys(range(3), "*fp32")
        return str(ast_to_ttir(product, types, instance_descriptor(), {}, False, None))
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(product, dict.fromkeys("xyz", "*fp32"), {})
    return triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ttir"]
'''

MIXER = """
import copy
import sys

import tiny_mamba2
import torch

from runner.models.precision import ieee_float32

path, products = sys.argv[1:]
if products == "ieee":
    ieee_float32()
sizes = {"headdim": 64, "d_state": 64, "ngroups": 1, "chunk_size": 64}
mixer = tiny_mamba2.model(d_model=256, ssm_cfg=sizes).backbone.layers[0].mixer.cuda()
hidden = torch.randn(2, 200, 256, generator=torch.Generator().manual_seed(0)).cuda()
with torch.no_grad():
    exact = copy.deepcopy(mixer).double()(hidden.double())
    mixer.path = path
    found = mixer(hidden)
print(float((found.double() - exact).norm() / exact.norm()))
"""

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")


def printed(folder: Path, code: str, *arguments: str, **variables: str) -> list[str]:
    """What a new process prints, a word each, with `product.py` beside it and a fresh cache."""
    (folder / "product.py").write_text(PRODUCT)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    fresh = {"PYTHONPATH": paths, "TRITON_CACHE_DIR": str(folder / "cache")}
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_F32_DEFAULT"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | fresh | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@needs_triton
def test_products_are_tf32_until_asked_and_the_cache_is_another(tmp_path: Path) -> None:
    code = """
from product import ieee_float32, os, ran, tf32
print(tf32())
for _ in range(2):
    ieee_float32()
    print(tf32(), os.environ["TRITON_CACHE_DIR"])
    ran()
"""
    changed = ["False", str(tmp_path / "cache" / FOLDER)]
    assert printed(tmp_path, code) == ["True", *changed, *changed]


@needs_triton
def test_a_process_that_inherits_the_variables_still_has_to_ask(tmp_path: Path) -> None:
    folder = str(tmp_path / "cache" / FOLDER)
    code = """
from product import ieee_float32, os, tf32
ieee_float32()
print(tf32(), os.environ["TRITON_CACHE_DIR"])
"""
    inherited = {"TRITON_CACHE_DIR": folder, "TRITON_F32_DEFAULT": "ieee"}
    assert printed(tmp_path, code, **inherited) == ["False", folder]


@needs_triton
def test_it_is_too_late_once_a_kernel_has_run(tmp_path: Path) -> None:
    code = """
from product import ieee_float32, os, ran, tf32
from repro.errors import CannotRunError
ran()
try:
    ieee_float32()
except CannotRunError as error:
    print("product" in str(error), "new process" in str(error))
print(tf32(), "TRITON_F32_DEFAULT" in os.environ)
"""
    assert printed(tmp_path, code) == ["True", "True", "True", "False"]


def test_without_triton_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(CannotRunError, match="Triton is not installed"):
        ieee_float32()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.skipif(bool(mamba2_mixer.kernels_lacking()), reason=mamba2_mixer.kernels_lacking())
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", ["unfused", "fused"])
def test_mamba2_in_float32_is_ten_times_nearer_without_tf32(path: str, tmp_path: Path) -> None:
    one = {"MAMBA_DETERMINISTIC": "1"}  # one configuration a kernel, where choosing takes minutes
    *_, tf32 = printed(tmp_path, MIXER, path, "tf32", **one)
    *_, ieee = printed(tmp_path, MIXER, path, "ieee", **one)
    assert float(tf32) >= 10 * float(ieee) > 0
