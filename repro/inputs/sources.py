"""The text of a file of a pinned package, found without importing the package.

It is read where the package is installed at its pinned version, and otherwise in an archive in
the cache, which has to be one that the lock files list: mamba-ssm cannot be installed without
CUDA, but its archive holds the code. Where there is neither, `catalog/source-facts.json` says what
each lookup of the bundle's manifests found in the archive, so that no verdict hangs on what a
machine happens to have: digests, lines and what was found, and no text of the file.
"""

import functools
import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import PositiveInt

from repro import fileio, paths
from repro.environment import installed, pins
from repro.environment.pins import Pin
from repro.errors import ReproError
from repro.schema import reading
from repro.schema.base import Frozen, Sha256
from repro.schema.claim_base import Text
from repro.schema.manifest import Manifest
from repro.schema.page_claims import AnyLookup, FactClaim, SourceFile

INDEX = "source-facts.json"
"""In a bundle's catalog: what the lookups of its manifests found, by `tools.describe_sources`."""


class SourceMissingError(ReproError):
    """The file is nowhere on this machine."""


class SourceChangedError(ReproError):
    """The file, or what is said of it, is not what the claim was written for."""


@dataclass(frozen=True)
class SourceText:
    """A file that was read."""

    text: str
    where: str
    """Of what, for people: as installed, or from which archive."""


class IndexedAnswer(Frozen):
    """What one lookup found in a file of a pinned archive."""

    source: SourceFile
    archive: Sha256
    """Digest of the archive, which the lock files list."""
    asks: dict[str, str]
    """The question: a lookup without its file, line and what was claimed."""
    line: PositiveInt
    """Where the answer stands."""
    line_sha256: Sha256
    """Of that line, without the blanks around it."""
    value: Text
    """What was found."""


class _Index(Frozen):
    written_by: str
    answers: tuple[IndexedAnswer, ...]


def question_of(lookup: AnyLookup) -> dict[str, str]:
    """The question of a lookup, as the index has it."""
    beside = {"source", "line", "claimed", "what"}
    found: dict[str, str] = lookup.model_dump(mode="json", exclude=beside)
    return found


def indexed_answer(lookup: AnyLookup) -> IndexedAnswer | None:
    """What the index says of a lookup; None if it was made without it, or of another archive."""
    pin = _pinned(pins.LOCK, pins.KERNELS).get(lookup.source.package)
    question = (lookup.source, question_of(lookup), lookup.line)
    for each in _index(paths.bundle().catalog / INDEX):
        if (each.source, each.asks, each.line) == question and pin and each.archive in pin.hashes:
            return each
    return None


@functools.cache
def _index(path: Path) -> tuple[IndexedAnswer, ...]:
    if not path.is_file():
        return ()
    advice = "It is part of the bundle: restore it."
    return reading.load(path, "index of facts", _Index, advice).answers


def read(source: SourceFile) -> SourceText:
    """A file, which has the digest that the claim names.

    Raises:
        SourceMissingError: if the package is neither installed at its pinned version nor in
            the cache.
        SourceChangedError: if the file is another one, or the lock pins another version.
    """
    return _read(source, paths.cache(), pins.LOCK, pins.KERNELS)


@functools.cache
def _read(source: SourceFile, cache: Path, *locks: Path) -> SourceText:
    """What was found once is found: a process reads each file one time."""
    package = f"{source.package} {source.version}"
    pin = _pinned(*locks).get(source.package)
    if pin is None or pin.version != source.version:
        pinned = f"{pin.name} {pin.version}" if pin else "no such package"
        raise SourceChangedError(f"the claim is about {package}, the lock files pin {pinned}")
    content, where = _installed(source), "as installed"
    if content is None:
        content, archive = read_from_archive(pin, source.file, cache)
        where = f"from the archive {archive.name}"
    digest = hashlib.sha256(content).hexdigest()
    if digest != source.sha256:
        raise SourceChangedError(
            f"{source.file} of {package} is not the one that the claim was written for: "
            f"digest {digest[:12]}…, expected {source.sha256[:12]}…"
        )
    return SourceText(content.decode(errors="replace"), where)


def lookups(manifests: Iterable[Manifest]) -> list[AnyLookup]:
    """Everything that the facts of some manifests look up."""
    claims = (claim for each in manifests for claim in each.claims)
    facts = (claim for claim in claims if isinstance(claim, FactClaim))
    return [lookup for claim in facts for lookup in claim.looked_up()]


def missing_archives(manifests: Iterable[Manifest]) -> list[Pin]:
    """Packages whose archive is needed to decide some fact: it is neither here nor in the index."""
    pinned = _pinned(pins.LOCK, pins.KERNELS)
    absent = (each.source.package for each in lookups(manifests) if _needs_archive(each))
    return [pinned[name] for name in dict.fromkeys(absent)]


def _needs_archive(lookup: AnyLookup) -> bool:
    try:
        read(lookup.source)
    except SourceMissingError:
        return indexed_answer(lookup) is None
    except SourceChangedError:
        return False
    return False


@functools.cache
def _pinned(*locks: Path) -> dict[str, Pin]:
    return {name: pin for lock in locks for name, pin in pins.read(lock).items()}


def _installed(source: SourceFile) -> bytes | None:
    """The file as installed; None if another version, or no such file, is."""
    found = installed.distribution(source.package)
    if found is None or found.version != source.version:
        return None
    return _bytes(Path(str(found.locate_file(source.file))))


def _bytes(path: Path) -> bytes | None:
    try:
        with fileio.open_regular_file(path) as stream:
            return stream.read()
    except OSError:
        return None


def read_from_archive(pin: Pin, file: str, cache: Path) -> tuple[bytes, Path]:
    """A file as the archive in the cache has it, which is returned too; nothing is unpacked.

    Raises:
        SourceMissingError: if the cache has no such archive, or a damaged one.
        SourceChangedError: if the archive has no such file.
    """
    path, archive = _archive(pin, cache)
    try:
        content = _member(path.name, io.BytesIO(archive), file)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise SourceMissingError(f"{path} cannot be read: {error}") from error
    if content is None:
        raise SourceChangedError(f"{pin.name} {pin.version} has no file {file}")
    return content, path


def _member(name: str, archive: io.BytesIO, file: str) -> bytes | None:
    """A file of a wheel, or below the one folder of a source archive; None if there is none."""
    try:
        if name.endswith(".whl"):
            return zipfile.ZipFile(archive).read(file)
        with tarfile.open(fileobj=archive, mode="r:gz") as opened:
            member = opened.extractfile(f"{name.removesuffix('.tar.gz')}/{file}")
            return member.read() if member else None
    except KeyError:
        return None


def _archive(pin: Pin, cache: Path) -> tuple[Path, bytes]:
    """The pinned archive in the cache, and its content."""
    wanted = pins.normalise(f"{pin.name}-{pin.version}-")
    others = ""
    for path in sorted((*cache.glob("*.tar.gz"), *cache.glob("*.whl"))):
        if pins.normalise(path.name).startswith(wanted):
            content = _bytes(path)
            if content and hashlib.sha256(content).hexdigest() in pin.hashes:
                return path, content
            others = f" ({path.name} there is not the pinned one)"
    raise SourceMissingError(
        f"{pin.name} {pin.version} is neither installed nor, as an archive, in {cache}{others}"
    )
