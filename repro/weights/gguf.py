"""GGUF: the settings and tensors of one file, read as data, and its blocks as plain numbers.

    "GGUF", version 3, tensors, settings              u32 u32 u64 u64, all of it little-endian
    a setting       its name, a kind of value (u32), the value
    a tensor        its name, dimensions (u32), sizes (u64 each, the fastest first), a format (u32),
                    where its data begins after the header (u64)
    the data        from the next multiple of `general.alignment`, 32 if nothing is said

A text is its length (u64) and UTF-8; a list is a kind (u32), a count (u64) and its items. A row of
a quantised tensor is cut into blocks of 32 numbers:

    Q8_0            scale d (float16), 32 integers q (int8)                                d · q
    Q4_1            scale d and minimum m (float16), 16 bytes: q of the first 16 numbers
                    in their low halves, of the last 16 in their high ones             d · q + m

Both are computed in float32, each operation rounded once, so that every machine gets the same bits.

Nothing that a file says of its own length is believed: a count is held to the bytes that are left
before anything is made of it.

Reference: the format's specification, docs/gguf.md of github.com/ggerganov/ggml; ggml-quants.c.
Not covered: other versions and formats, big-endian files, lists of lists; they are refused.
"""

import math
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro import fileio
from repro.weights.torch_zip import printable, refuse

Float32 = NDArray[np.float32]

_TEXT, _LIST = 8, 9
_NUMBERS: Mapping[int, str] = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
"""Kind of value to its letter in `struct`."""
_MOST = 1 << 20
"""Settings, tensors or items of a list; the largest vocabularies have some 300,000 tokens."""
_MOST_DIMENSIONS = 4
_ROW = 32
"""Numbers of a block."""


def _plain(dtype: str) -> Callable[[NDArray[np.uint8]], Float32]:
    return lambda raw: raw.view(dtype).astype(np.float32)


def _q8_0(blocks: NDArray[np.uint8]) -> Float32:
    """Blocks (k, 34) as numbers (k, 32)."""
    scale = blocks[:, :2].view("<f2").astype(np.float32)
    return np.asarray(scale * blocks[:, 2:].view(np.int8).astype(np.float32))


def _q4_1(blocks: NDArray[np.uint8]) -> Float32:
    """Blocks (k, 20) as numbers (k, 32)."""
    scale, least = (blocks[:, at : at + 2].view("<f2").astype(np.float32) for at in (0, 2))
    halves = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    return np.asarray(scale * halves.astype(np.float32) + least)


@dataclass(frozen=True)
class Format:
    """How the numbers of a tensor are stored."""

    name: str
    numbers: int
    """Of a block; the length of a row is a multiple of it."""
    size: int
    """Bytes of a block."""
    values: Callable[[NDArray[np.uint8]], Float32] = field(repr=False)
    """Blocks (k, size) as numbers (k, numbers)."""


FORMATS: Mapping[int, Format] = {
    0: Format("F32", 1, 4, _plain("<f4")),
    1: Format("F16", 1, 2, _plain("<f2")),
    3: Format("Q4_1", _ROW, 20, _q4_1),
    8: Format("Q8_0", _ROW, 34, _q8_0),
}


@dataclass(frozen=True)
class Stored:
    """One tensor: how it is stored, and where."""

    format: Format
    shape: tuple[int, ...]
    """Rows first, as everywhere else here."""
    begin: int
    """Its first byte in the file."""

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) // self.format.numbers * self.format.size


@dataclass(frozen=True)
class Gguf:
    """One file; its data is read where it is asked for."""

    path: Path
    settings: Mapping[str, Any]
    """Numbers, truth values, texts, and lists of one of these."""
    tensors: Mapping[str, Stored]

    def values(self, name: str) -> Float32:
        """The numbers of a tensor, in its shape.

        Raises:
            OSError: it cannot be read; the file is another than it was.
        """
        stored = self.tensors[name]
        with fileio.open_regular_file(self.path) as stream:
            stream.seek(stored.begin)
            raw = np.frombuffer(stream.read(stored.size), np.uint8)
        if raw.size != stored.size:
            raise OSError(f"{self.path} is shorter than it was")
        blocks = raw.reshape(-1, stored.format.size)
        return stored.format.values(blocks).reshape(stored.shape)


def read(path: Path) -> Gguf:
    """The header of a file, held to the file's length.

    Raises:
        RefusedError: it is damaged, or of a version or format that is not read here.
        OSError: it cannot be read.
    """
    with fileio.open_regular_file(path) as stream:
        source = _Source(stream)
        if source.take(4) != b"GGUF":
            refuse("another kind of file", "a file that begins with GGUF")
        version = source.number("I")
        if version != 3:  # noqa: PLR2004
            refuse(f"version {version}", "version 3, little-endian", "header")
        tensors, settings = (source.count(kind) for kind in ("tensors", "settings"))
        said = dict(_unique(_setting(source) for _ in range(settings)))
        found = list(_unique(_tensor(source) for _ in range(tensors)))
    aligned = _alignment(said)
    start = -(-source.at // aligned) * aligned
    placed = dict[str, Stored]()
    for name, (kind, shape, offset) in found:
        if offset % aligned:
            refuse(f"data from byte {offset}", f"a multiple of {aligned}", printable(name))
        placed[name] = Stored(kind, shape, start + offset)
    _refuse_overlaps(placed, source.size)
    return Gguf(path, said, placed)


def _unique(pairs: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The same; a name that comes twice is refused."""
    seen = set[str]()
    for name, value in pairs:
        if name in seen:
            refuse("the same name twice", "each name once", printable(name))
        seen.add(name)
        yield name, value


def _setting(source: "_Source") -> tuple[str, Any]:
    name = source.text("a setting's name")
    source.where = printable(name)
    return name, source.value(source.number("I"))


def _tensor(source: "_Source") -> tuple[str, tuple[Format, tuple[int, ...], int]]:
    """Name; format, shape and offset in the data."""
    name = source.text("a tensor's name")
    source.where = printable(name)
    dimensions = source.number("I")
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        refuse(f"{dimensions} dimensions", f"1 to {_MOST_DIMENSIONS}", source.where)
    shape = tuple(reversed([source.number("Q") for _ in range(dimensions)]))
    number = source.number("I")
    if number not in FORMATS:
        known = ", ".join(each.name for each in FORMATS.values())
        refuse(f"format {number}", f"one of {known}", source.where)
    kind = FORMATS[number]
    if 0 in shape or shape[-1] % kind.numbers:
        expected = f"rows of a multiple of {kind.numbers} numbers, for {kind.name}"
        refuse(f"shape {list(shape)}", expected, source.where)
    return name, (kind, shape, source.number("Q"))


def _alignment(settings: Mapping[str, Any]) -> int:
    """Of what multiples of bytes data begins at."""
    found = settings.get("general.alignment", 32)
    if type(found) is not int or not 0 < found <= 1 << 16 or found & (found - 1):
        refuse(printable(repr(found)), "a power of two up to 65,536", "general.alignment")
    return found


def _refuse_overlaps(tensors: Mapping[str, Stored], end: int) -> None:
    """Data beyond the end, or of two tensors in one place."""
    before, last = 0, ""
    for name, each in sorted(tensors.items(), key=lambda pair: pair[1].begin):
        if each.begin + each.size > end:
            found = f"bytes {each.begin:,} to {each.begin + each.size:,} of a file of {end:,}"
            refuse(found, "data within a whole file; fetch it again", printable(name))
        if each.begin < before:
            refuse("data that is another's too", f"data after {printable(last)}", printable(name))
        before, last = each.begin + each.size, name


class _Source:
    """The header, read forwards and never beyond what the file has."""

    def __init__(self, stream: BufferedReader) -> None:
        self.size = os.fstat(stream.fileno()).st_size
        self.at = 0
        self.where = "header"
        self._stream = stream

    def take(self, count: int) -> bytes:
        left = min(self.size, fileio.LARGEST) - self.at
        found = self._stream.read(count) if count <= left else b""
        if len(found) != count:
            expected = f"a whole file with a header below {fileio.LARGEST >> 20} MiB"
            refuse(f"{count:,} bytes promised, {left:,} left", expected, self.where)
        self.at += count
        return found

    def number(self, letter: str) -> Any:  # noqa: ANN401  # int, float or bool, as `struct` has it
        return struct.unpack(f"<{letter}", self.take(struct.calcsize(f"<{letter}")))[0]

    def count(self, what: str) -> int:
        found: int = self.number("Q")
        if found > _MOST:
            refuse(f"{found:,} {what}", f"at most {_MOST:,}", self.where)
        return found

    def text(self, what: str) -> str:
        content = self.take(self.number("Q"))
        try:
            return content.decode()
        except UnicodeDecodeError:
            refuse(f"{what} that is no UTF-8", "UTF-8", self.where)

    def value(self, kind: int) -> Any:  # noqa: ANN401  # the same, a text, or a list
        if kind == _TEXT:
            return self.text("a text")
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        if kind != _LIST:
            refuse(f"a value of kind {kind}", "a number, a text or a list of them", self.where)
        kind, count = self.number("I"), self.count("items")
        if kind == _TEXT:
            return [self.text("a text") for _ in range(count)]
        if kind not in _NUMBERS:
            refuse(f"a list of kind {kind}", "a list of numbers or texts", self.where)
        letters = f"<{count}{_NUMBERS[kind]}"
        return list(struct.unpack(letters, self.take(struct.calcsize(letters))))
