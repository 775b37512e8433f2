"""Where the bundle's own files and the machine's caches lie."""

import os
from pathlib import Path


def _root() -> Path:
    """The checkout beside this package, or the current folder for an installed package."""
    beside = Path(__file__).resolve().parent.parent
    if (beside / "catalog").is_dir():
        return beside
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was removed
        return Path("/")


ROOT = _root()
"""Folder with manifests/, catalog/, twins/ and the lock files."""

MANIFESTS = ROOT / "manifests"
CATALOG = ROOT / "catalog"
LOCK = ROOT / "pinned-requirements.txt"


def cache() -> Path:
    """Folder for what is fetched once: `$REPRO_CACHE`, else the user's cache folder."""
    named = os.environ.get("REPRO_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else home() / ".cache") / "lyapunov-repro"


def home() -> Path:
    """The user's folder; for a user whom this machine does not know `/`, as in a container."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")
