"""Where the tool's own files, the bundle at hand and the machine's caches lie."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

DISTRIBUTION = "lyapunov-repro"
"""What the tool is called where packages are installed."""

# -----------------------------------------------------------------------------
# The tool: the lock, the catalog of public checkpoints and data sets, the twins. They are the same
# whichever paper it works on. A checkout has its first bundle in the same folder.


def _root() -> Path:
    """The checkout beside this package; for an installed one what was installed with it."""
    beside = Path(__file__).resolve().parent.parent
    installed = beside / "lyapunov_repro_data"  # pyproject.toml puts it into a wheel
    return installed if installed.is_dir() else beside


ROOT = _root()
"""Folder with the lock files, catalog/ and twins/ of the tool."""

MANIFESTS = ROOT / "manifests"
"""Of the first bundle: what is worked on is `bundle()`."""
CATALOG = ROOT / "catalog"
"""Of the tool: a bundle's own entries come before these."""
LOCK = ROOT / "pinned-requirements.txt"


# -----------------------------------------------------------------------------
# The bundle: what is claimed of one paper, with the evidence.

PAPER = "paper.json"
"""What makes a folder a bundle."""
NAMED = "REPRO_BUNDLE"
"""The environment variable that names the bundle, for this process and those that it starts."""


@dataclass(frozen=True)
class Bundle:
    """A folder about one paper.

    It has `paper.json` and `manifests/`, and what the paper needs of `catalog/`, `evidence/`,
    `twins/` and `proofs/`.
    """

    root: Path

    @property
    def paper(self) -> Path:
        """What the paper is: its name, versions, authors."""
        return self.root / PAPER

    @property
    def manifests(self) -> Path:
        """Folder of its manifests."""
        return self.root / "manifests"

    @property
    def catalog(self) -> Path:
        """Folder of its own checkpoints and data sets, and of what else is known of the paper."""
        return self.root / "catalog"

    def file(self, name: str) -> Path:
        """A file or folder of the bundle, else the tool's of the same name."""
        own = self.root / name
        return own if own.exists() else ROOT / name


def bundle() -> Bundle:
    """The bundle at hand.

    It is the one that `$REPRO_BUNDLE` names (`--bundle`, a packet that is judged), else the folder
    that one stands in if it has a `paper.json`, else the next above that has `manifests/` as well
    (others call files so too), else the one that lies with the tool.
    """
    if named := os.environ.get(NAMED):
        return Bundle(Path(named))
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was removed
        return Bundle(ROOT)
    near = [here, *(each for each in here.parents if (each / "manifests").is_dir())]
    return Bundle(next((each for each in near if (each / PAPER).is_file()), ROOT))


@contextmanager
def using(folder: Path) -> Iterator[None]:
    """Make a folder the bundle at hand, in processes that are started meanwhile too."""
    before = os.environ.get(NAMED)
    os.environ[NAMED] = os.path.abspath(folder)  # noqa: PTH100  # a link lies where its user works
    try:
        yield
    finally:
        os.environ.pop(NAMED)
        if before is not None:
            os.environ[NAMED] = before


# -----------------------------------------------------------------------------
# The machine


def cache() -> Path:
    """Folder for what is fetched once: `$REPRO_CACHE`, else the user's cache folder."""
    named = os.environ.get("REPRO_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else home() / ".cache") / DISTRIBUTION


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

    Raises:
        argparse.ArgumentTypeError: the system cannot look at it.
    """
    given, named = path_argument(text), bundle().manifests / f"{text}.json"
    if os.sep in text or given.is_file() or not named.is_file():
        return given
    here = Path.cwd()
    return named.relative_to(here) if named.is_relative_to(here) else named
