"""Small text files that are written whole or not at all."""

import os
import tempfile
from pathlib import Path

from repro.errors import saving


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all, and have it on the disk before it is named."""
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
