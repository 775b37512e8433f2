"""Records out of a file of the user's, one at a time: JSON, parquet or Arrow, plain or packed.

The container is told from the first bytes, never from the name.

Not covered: a packed parquet or Arrow file larger than memory; one record that is.
"""

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from repro import fileio, json_text

PIECE = 1000
"""Rows that are looked at, or made of columns, at a time."""

UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    RecursionError,
    lzma.LZMAError,
    zlib.error,
    pa.ArrowException,
)
"""What reading, unpacking and decoding raise on a broken file."""


def read_records(path: Path) -> Iterator[object]:
    """What a file lists; a record of JSON that is refused stands as its ValueError.

    Raises:
        UNREADABLE: whatever is wrong with the file.
    """
    with fileio.open_regular_file(path) as file, _unpacked(file) as stream:
        start = stream.read(8)
        stream.seek(0)
        columns = start.startswith((b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"))
        if columns:
            # They are read from several places, and a packed file from its start alone.
            source = stream if stream is file else pa.BufferReader(stream.read())
            for batch in _batches(source, start):
                for place in range(0, batch.num_rows, PIECE):
                    yield from batch.slice(place, PIECE).to_pylist()
        else:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="\n")
            yield from json_text.records(text)


def _unpacked(file: io.BufferedReader) -> IO[bytes]:
    start = file.read(6)
    file.seek(0)
    if start == b"\xfd7zXZ\x00":
        return lzma.open(file)
    return cast("IO[bytes]", gzip.open(file)) if start.startswith(b"\x1f\x8b") else file


def _batches(source: Any, start: bytes) -> Iterator[pa.RecordBatch]:  # noqa: ANN401  # any file
    """The rows of a parquet file, an Arrow file or an Arrow stream."""
    if start.startswith(b"PAR1"):
        return iter(pq.ParquetFile(source).iter_batches(PIECE))
    if start.startswith(b"ARROW1"):
        opened = pa.ipc.open_file(source)
        return (opened.get_batch(each) for each in range(opened.num_record_batches))
    return iter(pa.ipc.open_stream(source))
