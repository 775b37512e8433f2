"""The zip archives that `torch.save` writes, read strictly: nothing compressed, hidden or shared.

Readers of zip differ in what they forgive, and a file that reads differently elsewhere is no
evidence. So what no torch writes is refused: data before, between or after the members, members
that overlap or have a name twice, a header that disagrees with the directory, compression,
encryption, several disks. Source: PKWARE's APPNOTE 6.3.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, NoReturn

_LONGEST_SHOWN = 80
"""Characters of a file's own text that are shown."""


class RefusedError(Exception):
    """Something that `torch.save` does not write for a set of named weights."""

    def __init__(self, found: str, expected: str, where: str = "") -> None:
        super().__init__(found, expected, where)
        self.found = found
        self.expected = expected
        self.where = where
        """Place inside the file; set by whoever knows it, empty for the file as a whole."""


def refuse(found: str, expected: str, where: str = "") -> NoReturn:
    """Raise a RefusedError."""
    raise RefusedError(found, expected, where)


def printable(text: str) -> str:
    """Text of a file that is not trusted, so that it cannot drive a terminal."""
    escaped = ascii(text)[1:-1]
    return escaped if len(escaped) <= _LONGEST_SHOWN else escaped[:_LONGEST_SHOWN] + "…"


# -----------------------------------------------------------------------------
# Members


WHOLE = "a whole archive of torch.save; copy or download the file again"
_CHUNK = 1 << 24


@dataclass(frozen=True)
class Member:
    """One file of an archive; places are bytes from the archive's start."""

    header: int
    """Place of its header."""
    offset: int
    """Place of its data."""
    size: int
    """Bytes of data."""
    crc: int
    """CRC-32 of the data, as the archive says it."""

    @property
    def end(self) -> int:
        """Place behind its data."""
        return self.offset + self.size

    def check(self, crc: int, name: str) -> None:
        """Hold its data to the checksum."""
        if crc != self.crc:
            found = f"data with the checksum {crc:08x}"
            expected = f"{self.crc:08x}: the file is damaged; copy or download it again"
            refuse(found, expected, f"member {printable(name)}")


def read(file: BinaryIO, start: int, length: int) -> bytes:
    """Exactly `length` bytes.

    Raises:
        RefusedError: if the file ends before.
    """
    file.seek(start)
    data = file.read(length)
    if len(data) != length:
        refuse("an end while the file was read", WHOLE, f"byte {start:,}")
    return data


def content(file: BinaryIO, found: Mapping[str, Member], name: str, largest: int) -> bytes:
    """The bytes of a small member, held to its checksum.

    Raises:
        RefusedError: if there is no such member, it is larger than `largest`, or damaged.
    """
    member = found.get(name)
    if member is None:
        refuse(f"no member {printable(name)}", WHOLE)
    if member.size > largest:
        refuse(f"{member.size:,} bytes", f"at most {largest:,}", f"member {name}")
    data = read(file, member.offset, member.size)
    member.check(zlib.crc32(data), name)
    return data


def digest(
    file: BinaryIO, found: Mapping[str, Member], size: int, advance: Callable[[int], None]
) -> str:
    """SHA-256 of the whole archive, in one reading that holds every member to its checksum.

    Its members may not overlap; `advance` is told how many bytes more were read.
    """
    whole = hashlib.sha256()
    at = 0
    for name, member in sorted(found.items(), key=lambda each: each[1].offset):
        for chunk in _chunks(file, at, member.offset):
            whole.update(chunk)
        crc = 0
        for chunk in _chunks(file, member.offset, member.end):
            whole.update(chunk)
            crc = zlib.crc32(chunk, crc)
            advance(len(chunk))
        member.check(crc, name)
        at = member.end
    for chunk in _chunks(file, at, size):
        whole.update(chunk)
    return whole.hexdigest()


def _chunks(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    for at in range(start, stop, _CHUNK):
        yield read(file, at, min(_CHUNK, stop - at))


# -----------------------------------------------------------------------------
# The archive


_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_DESCRIPTOR = 24
"""Most bytes behind a member's data: mark, checksum and two sizes of 64 bits."""

_WIDE = 0xFFFFFFFF
"""Stands for a size or an offset that is in the zip64 field."""
_MOST_MEMBERS = 200_000
"""Some hundred tensors a file are usual."""
_LARGEST_DIRECTORY = 32_000_000

_END_OF_ZIP = "end of the zip archive"


def members(file: BinaryIO, size: int) -> dict[str, Member]:
    """What an archive of `size` bytes holds, by name without the archive's one folder.

    Raises:
        RefusedError: if it is not laid out as torch lays it out.
    """
    start, length, count = _directory(file, size)
    found: dict[str, Member] = {}
    folders = set()
    for raw, header, bytes_, crc in _entries(read(file, start, length), count):
        folder, _, name = _name(raw).partition("/")
        folders.add(folder)
        if name in found:
            refuse("the name twice", "every name once", f"member {printable(name)}")
        if header + _LOCAL.size + bytes_ > start:
            found_ = f"{bytes_:,} bytes from byte {header:,}"
            refuse(found_, f"the end before byte {start:,}", f"member {printable(name)}")
        mark, *_, name_size, extra_size = _LOCAL.unpack(read(file, header, _LOCAL.size))
        if mark != b"PK\x03\x04" or file.read(name_size) != raw:
            refuse("another name in its header", WHOLE, f"member {printable(name)}")
        offset = header + _LOCAL.size + name_size + extra_size
        found[name] = Member(header, offset, bytes_, crc)
    if len(folders) != 1:
        refuse(f"{len(folders)} folders", "one folder that holds all members")
    _check_side_by_side(found, start)
    return found


def _directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Where the central directory lies: start, bytes, members."""
    at = size - _END.size
    if at < 0:
        refuse(f"{size} bytes", WHOLE)
    mark, disk, other_disk, here, *end, comment = _END.unpack(read(file, at, _END.size))
    if mark != b"PK\x05\x06":
        refuse("no end record: the file is cut short or longer", WHOLE, _END_OF_ZIP)
    if here != end[0] or disk or other_disk or comment:
        refuse("several disks, or a comment", WHOLE, _END_OF_ZIP)
    locator = at - _LOCATOR_64.size
    if locator >= _END_64.size and read(file, locator, 4) == b"PK\x06\x07":
        at = locator - _END_64.size
        end = _directory_64(file, at, end)
    count, length, start = end
    if start + length != at:
        refuse("a directory that ends elsewhere", WHOLE, _END_OF_ZIP)
    if count > _MOST_MEMBERS or length > _LARGEST_DIRECTORY:
        found = f"{count:,} members, listed in {length:,} bytes"
        refuse(found, f"at most {_MOST_MEMBERS:,} members", _END_OF_ZIP)
    return start, length, count


def _directory_64(file: BinaryIO, at: int, short: list[int]) -> list[int]:
    """Members, bytes and start from the 64-bit end record, which must agree with the short one."""
    _, disk, place, disks = _LOCATOR_64.unpack(read(file, at + _END_64.size, _LOCATOR_64.size))
    mark, rest, _, _, *also, here, count, length, start = _END_64.unpack(
        read(file, at, _END_64.size)
    )
    agree = short == [min(count, 0xFFFF), min(length, _WIDE), min(start, _WIDE)]
    sound = mark == b"PK\x06\x06" and rest == _END_64.size - 12 and here == count and place == at
    if not (agree and sound) or disk or disks > 1 or any(also):
        refuse("two end records that disagree", WHOLE, _END_OF_ZIP)
    return [count, length, start]


def _entries(directory: bytes, count: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Name, place of the header, bytes and checksum of every member, as the directory says."""
    at = 0
    for _ in range(count):
        fixed = directory[at : at + _CENTRAL.size].ljust(_CENTRAL.size, b"\0")
        mark, _, _, flags, method, _, _, crc, packed, size, *rest = _CENTRAL.unpack(fixed)
        name_size, extra_size, comment_size, _, _, _, header = rest
        name_end = at + _CENTRAL.size + name_size
        name = directory[at + _CENTRAL.size : name_end]
        extra = directory[name_end : name_end + extra_size]
        at = name_end + extra_size + comment_size
        if mark != b"PK\x01\x02" or at > len(directory):
            refuse("a damaged directory", WHOLE, _END_OF_ZIP)
        size, packed, header = _widened(extra, size, packed, header)
        where = f"member {printable(name.decode(errors='replace'))}"
        if method or packed != size:
            found = f"{size:,} bytes, compressed to {packed:,} by method {method}"
            refuse(found, "members that are not compressed", where)
        if flags & 1:
            refuse("an encrypted member", "members that are not encrypted", where)
        yield name, header, size, crc
    if at != len(directory):
        refuse("a directory that lists more", WHOLE, _END_OF_ZIP)


def _widened(extra: bytes, *fields: int) -> list[int]:
    """Sizes and offset; those that need more than 32 bits from the zip64 field."""
    wide = b""
    while len(extra) >= 4:  # noqa: PLR2004  # kind and length, two bytes each
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = extra[4 : 4 + length]
        extra = extra[4 + length :]
    values = iter(struct.unpack(f"<{len(wide) // 8}Q", wide[: len(wide) // 8 * 8]))
    return [next(values, field) if field == _WIDE else field for field in fields]


def _name(raw: bytes) -> str:
    """A member's name, which must stay inside the archive's folder."""
    name = raw.decode(errors="replace")
    parts = name.split("/")
    inside = len(parts) > 1 and not {"", ".", ".."} & set(parts)
    if not inside or "\\" in name or not name.isprintable() or name.encode() != raw:
        found = f"the name {printable(name)}"
        refuse(found, "a name inside the archive's one folder", "a member")
    return name


def _check_side_by_side(found: Mapping[str, Member], end: int) -> None:
    """Nothing before the first member, no two at one place, nothing hidden between them."""
    ordered = sorted(found.values(), key=lambda each: each.header)
    places = [(0, 0), *((each.header, each.end) for each in ordered), (end, end)]
    for (_, one_ends), (two_starts, _) in pairwise(places):
        where = f"bytes {min(one_ends, two_starts):,} to {max(one_ends, two_starts):,}"
        if two_starts < one_ends:
            refuse("two members at one place", "members side by side", where)
        if two_starts - one_ends > (_DESCRIPTOR if one_ends else 0):
            refuse("data that belongs to no member", "members side by side", where)
