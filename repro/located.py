"""Files that jobs read: found on this machine, or missing and how to bring them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Located:
    """Files that a job reads, found on this machine."""

    name: str
    """Name in the catalog."""
    path: Path | None
    """Checkpoint folder, or file of data; None for the hub's own data set."""
    files: Mapping[str, str]
    """SHA-256 by `<name>/<file>`."""
    substituted: bool
    """Not what the catalog names, or not known to be."""
    first_use: bool
    """The catalog knows no digest: this run, or an earlier one, pinned what it found."""
    executes: Mapping[str, str] = field(default_factory=dict)
    """Those of `files` that are code which loading executes; the user allowed it."""

    @property
    def held(self) -> dict[str, str]:
        """SHA-256 of every file that lies in `path`, by its bare name.

        Of code that is executed, modules of the folder alone: a package is installed elsewhere.
        """
        elsewhere = {file for file in self.executes if not file.endswith(".py")}
        return {
            file.partition("/")[2]: sha for file, sha in self.files.items() if file not in elsewhere
        }


@dataclass(frozen=True)
class Missing:
    """Files that are not here, and how to bring them."""

    role: Literal["checkpoint", "data"]
    name: str
    """Name in the catalog."""
    what: str
    remedy: str
    download: int
    """Bytes to fetch, 0 if they cannot be fetched."""
    hub: bool = False
    """Data that the model hub has, and not the package index."""
