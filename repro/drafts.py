"""Large files that appear together under their names, whole, or not at all."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from repro import digests, files
from repro.errors import BadInputError, Problem


@dataclass(frozen=True)
class Draft:
    """A file that will have this content, or has it already."""

    path: Path
    size: int
    """Bytes."""
    sha256: str
    temporary: Path | None
    """Where the content lies until it is published; None where `path` has it already."""


class Drafts:
    """Files of one folder under temporary names; those not published go when the block ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._temporary: list[Path] = []
        self._drafts: list[Draft] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._temporary:
            path.unlink(missing_ok=True)

    def write(self, name: str, content: Iterable[bytes | memoryview]) -> Draft:
        """Write a file under a temporary name, or compare it with the one that has its name.

        Raises:
            BadInputError: if there is a file of that name with another content.
            OSError: if it cannot be written.
        """
        path = self.folder / name
        if os.path.lexists(path):
            return _compare(path, content)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = files.unused(self.folder, ".writing-")
        self._temporary.append(temporary)
        digest, size = hashlib.sha256(), 0
        with temporary.open("xb") as stream:
            for chunk in content:
                digest.update(chunk)
                size += stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        self._drafts.append(Draft(path, size, digest.hexdigest(), temporary))
        return self._drafts[-1]

    def publish(self) -> None:
        """Give every file its name."""
        for draft in self._drafts:
            if draft.temporary is not None:
                draft.temporary.replace(draft.path)


def _compare(path: Path, content: Iterable[bytes | memoryview]) -> Draft:
    """Tell the same file, made before, from one that must not be overwritten."""
    digest, size = hashlib.sha256(), 0
    for chunk in content:
        digest.update(chunk)
        size += len(chunk)
    expected = digest.hexdigest()
    found = digests.of_file(path)
    if found != expected:
        message = "a file of that name is there, with another content; nothing was written"
        remedy = f"none, or sha256 {expected}; move it away, or choose another folder with --out"
        raise BadInputError(message, [Problem(str(path), f"sha256 {found}", remedy)])
    return Draft(path, size, expected, None)
