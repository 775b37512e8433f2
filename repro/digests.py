"""Digests: of files, and of data as canonical JSON."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from repro import regular_file

if TYPE_CHECKING:  # numpy takes a quarter of the start-up that `repro list` is allowed
    import numpy as np
    from numpy.typing import NDArray


def of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, lower-case hexadecimal."""
    with regular_file.opened(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical(data: object) -> bytes:
    """The one JSON form of some data: sorted keys, no spaces, UTF-8, no NaN."""
    if isinstance(data, BaseModel):
        data = data.model_dump(mode="json")
    text = json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def of_data(data: object) -> str:
    """SHA-256 of the canonical JSON of `data`.

    Example:
        >>> of_data({"b": 1, "a": 2}) == of_data({"a": 2, "b": 1})
        True
    """
    return hashlib.sha256(canonical(data)).hexdigest()


def of_rows(matrix: "NDArray[Any]") -> "NDArray[np.uint8]":
    """SHA-256 of each row of a matrix of integers, as little-endian int64; shape (rows, 32)."""
    import numpy as np

    rows = np.ascontiguousarray(matrix, dtype="<i8")
    found = [np.frombuffer(hashlib.sha256(row.tobytes()).digest(), np.uint8) for row in rows]
    return np.array(found, dtype=np.uint8).reshape(len(rows), 32)
