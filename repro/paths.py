"""Where the bundle's own files and the machine's caches lie."""

import argparse
import os
from pathlib import Path
from typing import Self


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


# -----------------------------------------------------------------------------
# Paths as the command line takes them: one that cannot be used is refused before anything runs.


class NamedPath(str):
    """`NAME=PATH` as it was given; an argument of this type is a path wherever it is looked at."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Refuse what the system cannot look at; `pairs` reads it."""
        if text.partition("=")[2]:
            path_argument(text.partition("=")[2])
        return super().__new__(cls, text)


def path_argument(text: str) -> Path:
    """An argument: a file or folder, whether it is there or not.

    Raises:
        argparse.ArgumentTypeError: the system cannot look at it.
    """
    if not text:
        raise argparse.ArgumentTypeError("found an empty name, expected that of a file or folder")
    try:
        os.stat(text)  # noqa: PTH116  # `Path.exists` hides a loop of links
    except (FileNotFoundError, NotADirectoryError):
        pass  # who reads it says what is expected there
    except OSError as error:
        message = f"{text}: found {error.strerror!r}, expected a name that can be looked at"
        raise argparse.ArgumentTypeError(message) from error
    return Path(text)


def folder_argument(text: str) -> Path:
    """An argument: a folder, or the name of one that can be made.

    Raises:
        argparse.ArgumentTypeError: something else is in its way.
    """
    found = path_argument(text)
    there = next((each for each in (found, *found.parents) if os.path.lexists(each)), Path())
    if not there.is_dir():
        what = "a file" if there.exists() else "a link that leads nowhere"
        message = f"{text}: found {what} at {there}, expected a folder or a name that is free"
        raise argparse.ArgumentTypeError(message)
    return found


def new_path_argument(text: str) -> Path:
    """An argument: a file or folder to be made, in a folder that is there or can be made.

    Raises:
        argparse.ArgumentTypeError: something is in the way.
    """
    folder_argument(os.path.dirname(text) or os.curdir)  # noqa: PTH120
    return path_argument(text)


def manifest_argument(text: str) -> Path:
    """An argument: a file as it was given, else the bundle's manifest of that name.

    A folder of that name is no manifest, and often holds the results of one.
    """
    given, named = path_argument(text), MANIFESTS / f"{text}.json"
    if os.sep in text or given.is_file() or not named.is_file():
        return given
    here = Path.cwd()
    return named.relative_to(here) if named.is_relative_to(here) else named
