"""Records out of a file of the user's: JSON list, JSON lines, parquet or Arrow, plain or packed.

The container is told from the first bytes, never from the name.

Not covered: a file larger than memory.
"""

import gzip
import lzma
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from repro import json_text, regular_file

_BROKEN = (lzma.LZMAError, zlib.error, pa.ArrowException)
UNREADABLE = (OSError, EOFError, ValueError, RecursionError, *_BROKEN)
"""What reading, unpacking and decoding raise on a broken file."""


def records(path: Path) -> list[Any]:
    """What a file lists; a line that is not JSON stands as its ValueError.

    Raises:
        UNREADABLE: whatever is wrong with the file.
    """
    with regular_file.opened(path) as stream:
        content = stream.read()
    if content.startswith(b"\xfd7zXZ\x00"):
        content = lzma.decompress(content)
    elif content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    return _decoded(content)


def _decoded(content: bytes) -> list[Any]:
    if content.startswith(b"PAR1"):
        return list(pq.read_table(pa.BufferReader(content)).to_pylist())
    if content.startswith(b"ARROW1"):
        return list(pa.ipc.open_file(content).read_all().to_pylist())
    if content.startswith(b"\xff\xff\xff\xff"):
        return list(pa.ipc.open_stream(content).read_all().to_pylist())
    lines = json_text.lines(content)
    if "".join(lines[:1]).lstrip().startswith("["):
        return list(json_text.parse(content))
    return [_line(line) for line in lines]


def _line(line: str) -> object:
    try:
        return json_text.parse(line)
    except ValueError as error:
        return ValueError(f"not JSON: {error}")
