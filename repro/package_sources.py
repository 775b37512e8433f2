"""The text of a file of a pinned package, found without importing the package.

It is read where the package is installed at its pinned version, and otherwise in a source
archive in the cache, which has to be one that the lock files list: mamba-ssm cannot be
installed without CUDA, but its archive holds the code.
"""

import functools
import hashlib
import importlib.metadata
import io
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from repro import bundle, pins, regular_file
from repro.errors import ReproError
from repro.fact_claims import FactClaim, SourceFile
from repro.manifest import Manifest
from repro.pins import Pin

SUFFIX = ".tar.gz"


class SourceMissingError(ReproError):
    """The file is nowhere on this machine."""


class SourceChangedError(ReproError):
    """The file, or what is said of it, is not what the claim was written for."""


def read(source: SourceFile) -> str:
    """The text of a file, which has the digest that the claim names.

    Raises:
        SourceMissingError: if the package is neither installed at its pinned version nor in
            the cache.
        SourceChangedError: if the file is another one, or the lock pins another version.
    """
    return _read(source, bundle.cache(), pins.LOCK, pins.KERNELS)


@functools.cache
def _read(source: SourceFile, cache: Path, *locks: Path) -> str:
    """What was found once is found: a process reads each file one time."""
    package = f"{source.package} {source.version}"
    pin = _pinned(*locks).get(source.package)
    if pin is None or pin.version != source.version:
        pinned = f"{pin.name} {pin.version}" if pin else "no such package"
        message = f"the claim is about {package}, the lock files pin {pinned}"
        raise SourceChangedError(message)
    content = _installed(source)
    if content is None:
        content = _archived(pin, source.file, cache)
    digest = hashlib.sha256(content).hexdigest()
    if digest != source.sha256:
        message = (
            f"{source.file} of {package} is not the one that the claim was written for: "
            f"digest {digest[:12]}…, expected {source.sha256[:12]}…"
        )
        raise SourceChangedError(message)
    return content.decode(errors="replace")


def missing(manifests: Iterable[Manifest]) -> list[Pin]:
    """Packages whose source archive is needed to decide some fact, and is not in the cache."""
    claims = (claim for each in manifests for claim in each.claims)
    facts = (claim for claim in claims if isinstance(claim, FactClaim))
    sources = {lookup.source: None for claim in facts for lookup in claim.looked_up()}
    pinned = _pinned(pins.LOCK, pins.KERNELS)
    return [pinned[name] for name in dict.fromkeys(e.package for e in sources if _absent(e))]


def _absent(source: SourceFile) -> bool:
    try:
        read(source)
    except SourceMissingError:
        return True
    except SourceChangedError:
        return False
    return False


@functools.cache
def _pinned(*locks: Path) -> dict[str, Pin]:
    return {name: pin for lock in locks for name, pin in pins.read(lock).items()}


@functools.cache
def _distribution(package: str) -> tuple[str, Path] | None:
    """Version and folder of an installed package."""
    try:
        found = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    return found.version, Path(str(found.locate_file("")))


def _installed(source: SourceFile) -> bytes | None:
    """The file as installed; None if another version, or no such file, is."""
    version, folder = _distribution(source.package) or ("", Path())
    return _bytes(folder / source.file) if version == source.version else None


def _bytes(path: Path) -> bytes | None:
    try:
        with regular_file.opened(path) as stream:
            return stream.read()
    except OSError:
        return None


def _archived(pin: Pin, file: str, cache: Path) -> bytes:
    """The file as the source archive in the cache has it; nothing is unpacked to disk."""
    path, archive = _archive(pin, cache)
    stem = path.name.removesuffix(SUFFIX)
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
            member = opened.extractfile(f"{stem}/{file}")
            content = member.read() if member else None
    except KeyError:
        content = None
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        message = f"{path} cannot be read: {error}"
        raise SourceMissingError(message) from error
    if content is None:
        message = f"{pin.name} {pin.version} has no file {file}"
        raise SourceChangedError(message)
    return content


def _archive(pin: Pin, cache: Path) -> tuple[Path, bytes]:
    """The pinned source archive in the cache, and its content."""
    wanted = pins.normalise(f"{pin.name}-{pin.version}")
    others = ""
    for path in sorted(cache.glob(f"*{SUFFIX}")):
        if pins.normalise(path.name.removesuffix(SUFFIX)) == wanted:
            content = _bytes(path)
            if content and hashlib.sha256(content).hexdigest() in pin.hashes:
                return path, content
            others = f" ({path.name} there is not the pinned one)"
    message = (
        f"{pin.name} {pin.version} is neither installed nor, as a source archive, in "
        f"{cache}{others}"
    )
    raise SourceMissingError(message)
