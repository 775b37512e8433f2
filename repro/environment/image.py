"""What lies under the pins of an image: its lock, written when it is built, and its state now.

`image.json` is written by the last step of the build: OS packages, the RECORD of every
installed wheel, CUDA kernels, the bundle's own files, and the path that the models really
take. A wheel that was swapped for one of the same version has a RECORD that fits its files
and not this lock.

Not covered: an image whose `image.json` was rewritten as well. That is another image, with
another digest; records name the digest of theirs.
"""

import hashlib
import importlib.metadata
import json
import mmap
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from repro import fileio, json_text, paths
from repro.environment import pins
from repro.errors import BadInputError
from repro.schema.base import Frozen, Sha256

# -----------------------------------------------------------------------------
# What a compiled CUDA kernel is, read off its file: digest, architectures, C++ ABI.
#
# Nothing is loaded or executed. A shared object keeps its GPU code in the section
# `.nv_fatbin`: containers, each a header and then one entry for each architecture, as
# machine code (`sm_80`) or as PTX (`compute_90`), which a driver compiles.
#
# Reference: the ELF-64 specification for sections. The layout of fat binaries is not published;
# it was read off what nvcc 12.1 writes, and is held to torch 2.2.1's own list of architectures.
# Not covered: 32-bit and big-endian objects; static archives.

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


# -----------------------------------------------------------------------------
# The lock of an image, and its state now.

FILE = paths.ROOT / "image.json"
"""Only in an image."""
PROBE = ("-m", "repro.container.steps", "probe")
"""In a process of its own: it imports torch, and an audit does not."""
_DPKG = Path("/var/lib/dpkg/status")
_OWN = ("repro", "runner", "verify", "manifests", "catalog", "proofs", "twins", "evidence")
_LOCKS = (pins.LOCK, pins.KERNELS, pins.DEVELOPMENT)

Target = Literal["cpu", "cuda"]


class Image(Frozen):
    """What is under, beside and in the pinned packages of an image."""

    schema_version: Literal[1]
    target: Target
    revision: str
    """Commit that the image was built from; `unknown` if nobody said."""
    os_packages: dict[str, str]
    """Version of each package of the operating system, by `name:architecture`."""
    wheels: dict[str, Sha256]
    """Digest of each distribution's RECORD, which has the digest of each of its files."""
    kernels: dict[str, Kernel]
    """Every shared object of the CUDA kernel packages, by path."""
    bundle: dict[str, Sha256]
    """Digest of each of the bundle's own files, by path."""
    probe: dict[str, str]
    """What a forward pass of each twin ran on, e.g. `mamba-twin float32 mamba_scan`: `slow`."""


def capture(target: Target, revision: str, search: Sequence[str] | None = None) -> Image:
    """Describe the image that this process runs in, as it is now.

    Distributions are looked for in `search`, by default in `sys.path`.
    """
    places = list(sys.path if search is None else search)
    found = importlib.metadata.distributions(path=places)
    names = {pins.normalise(each.metadata["Name"] or "unnamed"): each for each in found}
    records = {name: each.read_text("RECORD") for name, each in names.items()}
    built = set(pins.read(pins.KERNELS)) - set(pins.read(pins.LOCK))
    objects = [
        Path(str(each.locate_file(file)))
        for name, each in names.items()
        if name in built
        for file in each.files or ()
        if file.suffix == ".so"
    ]
    return Image(
        schema_version=1,
        target=target,
        revision=revision,
        os_packages=os_packages(),
        wheels={
            name: hashlib.sha256(text.encode()).hexdigest()
            for name, text in sorted(records.items())
            if text
        },
        kernels={path.name: describe(path) for path in sorted(objects)},
        bundle=dict(own_files(_OWN, paths.ROOT / paths.PAPER, *_LOCKS)),
        probe=probe_twins(),
    )


def load(path: Path) -> Image | None:
    """The lock of the image that this process runs in; None outside an image.

    Raises:
        BadInputError: if the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        return json_text.load_model(path, Image.model_validate_json)
    except (OSError, ValueError) as error:
        message = f"{path} is damaged: {json_text.explain_error(error)}; build the image again"
        raise BadInputError(message) from error


def command(*, gpus: bool = False) -> str:
    """What whoever reads this calls `repro` by: in an image, the engine that runs it."""
    if not FILE.is_file():
        return "repro"
    return f"docker run {'--gpus all ' * gpus}-v results:/bundle/results repro"


def os_packages(status: Path = _DPKG) -> dict[str, str]:
    """Versions of the installed Debian packages; empty on another system."""
    try:
        text = status.read_text(encoding="utf-8")
    except OSError:
        return {}
    found = {}
    for stanza in text.split("\n\n"):
        lines = (line.partition(": ") for line in stanza.splitlines() if line[:1].strip())
        fields = {name: value for name, _, value in lines}
        if fields.get("Status", "").endswith(" installed"):
            found[f"{fields['Package']}:{fields['Architecture']}"] = fields["Version"]
    return dict(sorted(found.items()))


def own_files(folders: Sequence[str], *also: Path) -> Iterator[tuple[str, str]]:
    """Files of some of the bundle's folders, byte code left out, with their digests."""
    inside = (path for folder in folders for path in sorted((paths.ROOT / folder).rglob("*")))
    for path in (*also, *inside):
        if path.is_file() and path.suffix != ".pyc":
            yield str(path.relative_to(paths.ROOT)), fileio.digest_of_file(path)


def probe_twins() -> dict[str, str]:
    """What a forward pass of each twin really runs on here, or why there was none."""
    done = subprocess.run(  # noqa: S603  # fixed arguments
        [sys.executable, *PROBE], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {"failed": lines[-1]}
    found: dict[str, str] = json.loads(done.stdout)
    return found


# -----------------------------------------------------------------------------
# What is no longer as it was when the image was built, in words.
#
# Not covered: byte code, and whatever else no digest in `image.json` speaks of.

_PLAIN = frozenset({"slow", "plain", "eager"})
"""Paths that no kernel is on."""


def differences(then: Image, now: Image, *, has_gpu: bool) -> Iterator[str]:
    """What is no longer as it was built, one line each."""
    yield from _changes("OS package", then.os_packages, now.os_packages)
    for name in sorted(then.wheels.keys() & now.wheels.keys()):
        if then.wheels[name] != now.wheels[name]:
            yield f"{name}: another wheel than the image was built with, whatever its version"
    for name in sorted(then.kernels.keys() | now.kernels.keys()):
        yield from _kernel(name, then.kernels.get(name), now.kernels.get(name))
    for name in sorted(then.bundle.keys() | now.bundle.keys()):
        before, after = then.bundle.get(name), now.bundle.get(name)
        if before != after:
            state = "added" if before is None else "gone" if after is None else "changed"
            yield f"{name}: {state} since the image was built"
    yield from _paths(then, now, has_gpu=has_gpu)


def _changes(what: str, then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) != now.get(name):
            yield (
                f"{what} {name}: {then.get(name, 'not there')} when the image was built, "
                f"{now.get(name, 'not there')} now"
            )


def _kernel(name: str, then: Kernel | None, now: Kernel | None) -> Iterator[str]:
    """How one shared object differs, the telling difference first."""
    if then == now:
        return
    if then is None or now is None:
        yield f"kernel {name}: {'added' if now else 'gone'} since the image was built"
        return
    told = [
        f"{what} {_said(before)} when the image was built, {_said(after)} now"
        for what, before, after in (
            ("architectures", then.architectures, now.architectures),
            ("C++ ABI", then.abi, now.abi),
        )
        if before != after
    ]
    yield f"kernel {name}: {'; '.join(told) or 'another file, of the same architectures and ABI'}"


def _said(value: Iterable[str] | str | None) -> str:
    return value if isinstance(value, str) else " ".join(value or ()) or "none"


def _paths(then: Image, now: Image, *, has_gpu: bool) -> Iterator[str]:
    """The path taken is held to the build's, which has no GPU; with one, to the kernels."""
    if "failed" in now.probe:
        yield f"the probe forward pass failed: {now.probe['failed']}"
    elif not has_gpu:
        yield from _changes("path taken,", then.probe, now.probe)
    elif now.target == "cuda":
        for name, path in now.probe.items():
            if path in _PLAIN and not name.endswith("float32 attention"):
                yield f"path taken, {name}: {path}, although the image has the kernels"
