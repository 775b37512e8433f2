"""A command on the host, as the same command in a container: paths become mounts.

Whatever a user names by path is mounted read-only under `/inputs`; manifests of the bundle
are in the image already. Results go to the one folder that is mounted to be written.

Not covered: links inside a folder that lead on through other links outside of it.
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repro import bundle
from repro.errors import BadInputError
from repro.given_paths import Named

INPUTS = "/inputs"
RESULTS = "/bundle/results"
HUB = "hub"
"""In `--data NAME=hub`: no path."""
HOST_ONLY = {
    "help": "asked on the host",
    "out": "its folder is mounted where the command in the image writes by default",
    "on": "in a container jobs are its own processes: it reaches no cluster",
}
"""Arguments of a command that the one in the image is not given, and why; it gets all others."""


@dataclass(frozen=True)
class Inside:
    """A command line for the image, and the host's files that it reads."""

    arguments: tuple[str, ...]
    mounts: dict[str, str]
    """Path in the container to path on the host; read-only."""


def of(command: str, parser: argparse.ArgumentParser, given: argparse.Namespace) -> Inside:
    """The arguments of a command, for the image.

    Args:
        command: Its name.
        parser: Knows what it takes.
        given: What it was given on the host.

    Raises:
        BadInputError: a path that is named is not there, or cannot be mounted.
    """
    mounts: dict[str, str] = {}
    arguments = [command]
    for action in parser._actions:  # noqa: SLF001  # argparse has no other list
        if action.dest not in HOST_ONLY:
            value = getattr(given, action.dest)
            if value != action.default:
                arguments += _forwarded(action, value, mounts)
    return Inside(tuple(arguments), mounts)


def _forwarded(action: argparse.Action, value: object, mounts: dict[str, str]) -> Iterator[str]:
    """One argument as it is given again: each of its values after its flag, if it has one."""
    flag = action.option_strings[-1:]
    if action.nargs == 0:  # a switch
        yield from flag
        return
    for each in value if isinstance(value, list) else [value]:
        text = _value(action, each, mounts)
        if flag and text.startswith("-"):
            yield f"{flag[0]}={text}"
        else:
            yield from (*flag, text)


def _value(action: argparse.Action, value: object, mounts: dict[str, str]) -> str:
    """A value as the container sees it: a path by its place there, anything else as it is."""
    name, separator, path = str(value).partition("=")
    if isinstance(value, Path):
        return _path(action.dest, value, mounts)
    if not isinstance(value, Named):
        return str(value)
    if not (name and separator and path):
        message = f"{action.option_strings[-1]} {value}: expected NAME=PATH"
        raise BadInputError(message)
    return value if path == HUB else f"{name}={_path(f'{action.dest}/{name}', Path(path), mounts)}"


def _path(kind: str, path: Path, mounts: dict[str, str]) -> str:
    """Where a file or folder of the host is in the container; a manifest of the bundle is there."""
    bundled = bundle.ROOT / path
    if kind == "manifests" and _is_bundled(bundled):
        return f"manifests/{bundled.name}"
    if not path.exists():  # an engine would make a folder of it, or say less
        message = f"{path}: there is no such file or folder"
        raise BadInputError(message)
    source = Path(of_host(path))
    name = source.name if path.name in ("", "..") else path.name
    target = f"{INPUTS}/{kind}/{name}"
    for place, file in _files(target, source):
        if mounts.setdefault(place, str(file)) != str(file):
            message = f"{path}: found two files of this name, expected one; rename one"
            raise BadInputError(message)
    return target


def _is_bundled(manifest: Path) -> bool:
    return manifest.is_file() and manifest.resolve().parent == bundle.MANIFESTS.resolve()


def of_host(path: Path) -> str:
    """A path as an engine needs it: absolute, without links, in UTF-8.

    Raises:
        BadInputError: its name is no text.
    """
    found = os.path.realpath(path)
    try:
        found.encode()
    except UnicodeEncodeError as error:
        message = f"{found}: found a name that is not UTF-8, which no engine takes; rename it"
        raise BadInputError(message) from error
    return found


def _files(target: str, source: Path) -> list[tuple[str, Path]]:
    """What is mounted for one path: itself; of a folder with links out of it, each file.

    The hub's own cache has such folders, and a link leads nowhere in a container that has only
    the folder.
    """
    if not source.is_dir():
        return [(target, source)]
    files = [each for each in sorted(source.rglob("*")) if not each.is_dir()]
    real = {each: Path(of_host(each)) for each in files if each.is_symlink()}
    if all(each.is_relative_to(source) for each in real.values()):
        return [(target, source)]
    return [(f"{target}/{each.relative_to(source)}", real.get(each, each)) for each in files]
