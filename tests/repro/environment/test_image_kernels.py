"""Kernels read off their files. Oracle: torch's own lists of architectures and of its ABI."""

import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from repro.environment import image


@pytest.fixture(scope="module")
def torch_says() -> tuple[Path, set[str], bool]:
    """Torch's folder, the architectures it was compiled for, and its C++ ABI."""
    code = (
        "import torch; print(torch.__file__); print(torch._C._cuda_getArchFlags());"
        "print(torch._C._GLIBCXX_USE_CXX11_ABI)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    file, architectures, abi = done.stdout.splitlines()
    return Path(file).parent / "lib", set(architectures.split()), abi == "True"


def test_architectures_and_abi_are_those_that_torch_names(
    torch_says: tuple[Path, set[str], bool],
) -> None:
    folder, architectures, cxx11 = torch_says
    path = folder / "libtorch_cuda_linalg.so"
    if not path.exists():
        pytest.skip("a torch without CUDA")
    found = image.describe(path)
    assert set(found.architectures) == architectures - {"sm_75"}  # torch compiles it for fewer
    assert found.abi == ("cxx11" if cxx11 else "pre-cxx11")
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_object_without_gpu_code_has_no_architecture(
    torch_says: tuple[Path, set[str], bool],
) -> None:
    assert image.describe(torch_says[0] / "libc10.so").architectures == ()


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(100), b"x" * 99])
def test_what_is_no_object_has_a_digest_and_nothing_else(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "kernel.so"
    path.write_bytes(content)
    found = image.describe(path)
    assert (found.architectures, found.abi) == ((), None)
    assert found.sha256 == hashlib.sha256(content).hexdigest()


def test_machine_code_and_ptx_are_told_apart_and_padding_is_passed_by() -> None:
    """Oracle: two containers laid out by hand, with zeros between them."""

    def entry(kind: int, architecture: int, size: int) -> bytes:
        header = struct.pack("<HHIQIIHHI", kind, 0x101, 64, size, 0, 0, 1, 8, architecture)
        return header.ljust(64, b"\0") + bytes(size)

    def container(*entries: bytes) -> bytes:
        body = b"".join(entries)
        return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body

    data = container(entry(2, 80, 32), entry(1, 90, 8)) + bytes(24) + container(entry(2, 86, 16))
    assert list(image._architectures(data)) == ["sm_80", "compute_90", "sm_86"]
    assert list(image._architectures(data[:70])) == ["sm_80"]  # cut short


@pytest.mark.parametrize(
    ("names", "abi"),
    [
        (b"\0_ZN3c106detail14torchCheckFailEPKcS2_jRKSs\0", "pre-cxx11"),
        (b"\0_ZN3c106detail4failERKNSt7__cxx1112basic_stringIcEE\0", "cxx11"),
        (b"\0_ZNSt7__cxx1112basic_stringIcE\0", None),  # the C++ library's own says nothing
        (b"", None),
    ],
)
def test_the_abi_is_read_off_the_names_of_torchs_core(names: bytes, abi: str | None) -> None:
    assert image._abi(names) == abi
