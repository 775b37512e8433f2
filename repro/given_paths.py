"""Paths as the command line takes them: one that cannot be used is refused before anything runs."""

import argparse
import os
from pathlib import Path
from typing import Self

from repro import bundle


class Named(str):
    """`NAME=PATH` as it was given; an argument of this type is a path wherever it is looked at."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Refuse what the system cannot look at; `pairs` reads it."""
        if text.partition("=")[2]:
            path(text.partition("=")[2])
        return super().__new__(cls, text)


def path(text: str) -> Path:
    """An argument: a file or folder, whether it is there or not.

    Raises:
        argparse.ArgumentTypeError: the system cannot look at it.
    """
    if not text:
        message = "found an empty name, expected that of a file or folder"
        raise argparse.ArgumentTypeError(message)
    try:
        os.stat(text)  # noqa: PTH116  # `Path.exists` hides a loop of links
    except (FileNotFoundError, NotADirectoryError):
        pass  # who reads it says what is expected there
    except OSError as error:
        message = f"{text}: found {error.strerror!r}, expected a name that can be looked at"
        raise argparse.ArgumentTypeError(message) from error
    return Path(text)


def folder(text: str) -> Path:
    """An argument: a folder, or the name of one that can be made.

    Raises:
        argparse.ArgumentTypeError: something else is in its way.
    """
    found = path(text)
    there = next((each for each in (found, *found.parents) if os.path.lexists(each)), Path())
    if not there.is_dir():
        what = "a file" if there.exists() else "a link that leads nowhere"
        message = f"{text}: found {what} at {there}, expected a folder or a name that is free"
        raise argparse.ArgumentTypeError(message)
    return found


def new(text: str) -> Path:
    """An argument: a file or folder to be made, in a folder that is there or can be made.

    Raises:
        argparse.ArgumentTypeError: something is in the way.
    """
    folder(os.path.dirname(text) or os.curdir)  # noqa: PTH120
    return path(text)


def manifest(text: str) -> Path:
    """An argument: a file as it was given, else the bundle's manifest of that name.

    A folder of that name is no manifest, and often holds the results of one.
    """
    given, named = path(text), bundle.MANIFESTS / f"{text}.json"
    if os.sep in text or given.is_file() or not named.is_file():
        return given
    here = Path.cwd()
    return named.relative_to(here) if named.is_relative_to(here) else named
