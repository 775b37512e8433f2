"""Members of a torch archive, and the reading of their bytes."""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from repro.torch_refusal import refuse, shown

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
            refuse(found, expected, f"member {shown(name)}")


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
        refuse(f"no member {shown(name)}", WHOLE)
    if member.size > largest:
        refuse(f"{member.size:,} bytes", f"at most {largest:,}", f"member {name}")
    data = read(file, member.offset, member.size)
    member.check(zlib.crc32(data), name)
    return data


def digest(
    file: BinaryIO, found: Mapping[str, Member], size: int, advance: Callable[[int], None]
) -> str:
    """SHA-256 of the whole archive, in one reading that holds every member to its checksum.

    Args:
        file: The archive.
        found: Its members, which do not overlap.
        size: Its bytes.
        advance: Told how many bytes more were read.
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
