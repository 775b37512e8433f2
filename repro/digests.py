"""Digests: of files, and of data as canonical JSON."""

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel

from repro import regular_file


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
