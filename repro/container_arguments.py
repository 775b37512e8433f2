"""`repro run` on the host, as `repro run` in a container: paths become mounts.

Whatever a user names by path is mounted read-only under `/inputs`; manifests of the bundle
are in the image already. Results go to the one folder that is mounted to be written.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from repro import bundle
from repro.errors import BadInputError

INPUTS = "/inputs"
RESULTS = "/bundle/results"
HUB = "hub"
"""In `--data NAME=hub`: no path."""


@dataclass(frozen=True)
class Inside:
    """A command line for the image, and the host's files that it reads."""

    arguments: tuple[str, ...]
    mounts: dict[str, str]
    """Path in the container to path on the host; read-only."""


def of_run(given: argparse.Namespace) -> Inside:
    """The arguments of `repro run`, for the image.

    Raises:
        BadInputError: a path that is named is not there.
    """
    mounts: dict[str, str] = {}
    arguments = ["run", *(_manifest(path, mounts) for path in given.manifests)]
    for name in ("tier", "only"):
        if getattr(given, name):
            arguments += [f"--{name}", getattr(given, name)]
    for flag in ("substitute", "data"):
        for text in getattr(given, flag):
            arguments += [f"--{flag}", _named(flag, text, mounts)]
    for name in ("allow_remote_code", "offline", "fresh", "json"):
        if getattr(given, name):
            arguments.append(f"--{name.replace('_', '-')}")
    return Inside(tuple(arguments), mounts)


def of_audit(given: argparse.Namespace) -> Inside:
    """The arguments of `repro audit`, for the image."""
    mounts: dict[str, str] = {}
    arguments = ["audit"]
    if given.against is not None:
        arguments += ["--against", _mounted(given.against, f"against/{given.against.name}", mounts)]
    if given.format:
        arguments += ["--format", given.format]
    if given.json:
        arguments.append("--json")
    return Inside(tuple(arguments), mounts)


def _manifest(path: Path, mounts: dict[str, str]) -> str:
    """A manifest of the bundle by its place in the image; another one mounted."""
    inside = bundle.ROOT / path
    if inside.is_file() and inside.resolve().parent == bundle.MANIFESTS.resolve():
        return f"manifests/{inside.name}"
    return _mounted(path, f"manifests/{path.name}", mounts)


def _named(flag: str, text: str, mounts: dict[str, str]) -> str:
    """`NAME=PATH` with the path in the container."""
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        message = f"--{flag} {text}: expected NAME=PATH"
        raise BadInputError(message)
    if path == HUB:
        return text
    return f"{name}={_mounted(Path(path), f'{flag}/{name}/{Path(path).name}', mounts)}"


def _mounted(path: Path, place: str, mounts: dict[str, str]) -> str:
    """Where a file or folder of the host is in the container."""
    if not path.exists():
        message = f"{path}: there is no such file or folder"
        raise BadInputError(message)
    target = f"{INPUTS}/{place}"
    if mounts.setdefault(target, str(path.resolve())) != str(path.resolve()):
        message = f"{path}: two files of this name; rename one"
        raise BadInputError(message)
    return target
