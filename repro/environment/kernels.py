"""What a compiled CUDA kernel is, read off its file: digest, architectures, C++ ABI.

Nothing is loaded or executed. A shared object keeps its GPU code in the section
`.nv_fatbin`: containers, each a header and then one entry for each architecture, as
machine code (`sm_80`) or as PTX (`compute_90`), which a driver compiles.

Reference: the ELF-64 specification for sections. The layout of fat binaries is not published;
it was read off what nvcc 12.1 writes, and is held to torch 2.2.1's own list of architectures.
Not covered: 32-bit and big-endian objects; static archives.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from repro import fileio
from repro.schema.base import Frozen, Sha256

Abi = Literal["cxx11", "pre-cxx11"]

_MAGIC = b"\x7fELF\x02\x01"
"""64 bits, little-endian."""
_CONTAINER = struct.Struct("<IHHQ")
"""Magic, version, size of this header, size of what follows."""
_CONTAINER_MAGIC = 0xBA55ED50
_ENTRY = struct.Struct("<HHIQIIHHI")
"""Kind, -, size of this header, size of the code, -, -, minor, major, architecture."""
_KINDS = {1: "compute", 2: "sm"}
_SECTION = struct.Struct("<IIQQQQIIQQ")
"""Name, type, flags, address, offset, size, ...: a section header."""


class Kernel(Frozen):
    """One shared object with GPU code."""

    sha256: Sha256
    architectures: tuple[str, ...]
    """E.g. sm_80, or compute_90 for PTX; empty if it holds no GPU code."""
    abi: Abi | None
    """Of the C++ library calls to torch's core; null if it makes none that tells."""


def describe(path: Path) -> Kernel:
    """Digest, architectures and ABI of a shared object.

    Raises:
        OSError: if it cannot be read.
    """
    found = _sections(path, (".nv_fatbin", ".dynstr"))
    return Kernel(
        sha256=fileio.digest_of_file(path),
        architectures=tuple(sorted(set(_architectures(found.get(".nv_fatbin", b""))))),
        abi=_abi(found.get(".dynstr", b"")),
    )


def _sections(path: Path, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """Content of named sections; none for a file that is no ELF-64 object."""
    if path.stat().st_size < 64:  # noqa: PLR2004  # an ELF header; and an empty file has no map
        return {}
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[: len(_MAGIC)] != _MAGIC:
            return {}
        (table,) = struct.unpack_from("<Q", data, 0x28)
        size, count, names = struct.unpack_from("<HHH", data, 0x3A)
        if size != _SECTION.size or table + size * count > len(data):
            return {}
        headers = [_SECTION.unpack_from(data, table + size * each) for each in range(count)]
        start = headers[names][4] if names < count else 0
        found = {}
        for header in headers:
            first = start + header[0]
            name = data[first : max(first, data.find(b"\0", first))].decode("ascii", "replace")
            if name in wanted:
                found[name] = data[header[4] : header[4] + header[5]]
        return found


def _architectures(fatbin: bytes) -> Iterator[str]:
    """Architectures of every entry of every container."""
    place = 0
    while place + _CONTAINER.size <= len(fatbin):
        magic, _, header, size = _CONTAINER.unpack_from(fatbin, place)
        if magic != _CONTAINER_MAGIC:  # containers are aligned, and padded with zeros
            place += 8
            continue
        end = min(place + header + size, len(fatbin))
        place += header
        while place + _ENTRY.size <= end:
            kind, _, header, size, _, _, _, _, architecture = _ENTRY.unpack_from(fatbin, place)
            if kind in _KINDS:
                yield f"{_KINDS[kind]}_{architecture}"
            place += max(header + size, 8)
        place = end


def _abi(strings: bytes) -> Abi | None:
    """Which ABI the names of torch's core functions were mangled for."""
    names = [name for name in strings.split(b"\0") if name.startswith(b"_ZN3c10")]
    if any(b"__cxx11" in name for name in names):
        return "cxx11"
    # std::string of the older ABI is abbreviated Ss; a name without strings tells nothing.
    return "pre-cxx11" if any(b"Ss" in name for name in names) else None
