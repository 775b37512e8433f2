"""Building the image from this checkout.

Reference: docker SDK for Python 7.1.0, which builds by the classic builder.
Not covered: images for another architecture than the engine's.
"""

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from repro import paths
from repro.container import engine
from repro.container.engine import Client
from repro.errors import BadInputError, CannotRunError


@dataclass(frozen=True)
class Build:
    """What is built."""

    target: Literal["cpu", "cuda"]
    tag: str
    network: str
    """Network of the build's steps, e.g. `host` or `default`."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Build arguments beside REVISION: BASE, TOOLKIT, PIP_INDEX_URL, PIP_CERT, MAX_JOBS, …"""


def build(client: Client, wanted: Build) -> Iterator[str]:
    """Build an image, and yield what the engine says meanwhile, line by line.

    Raises:
        BadInputError: this is no checkout.
        CannotRunError: a step failed.
    """
    if not (paths.ROOT / "Dockerfile").is_file():
        message = f"{paths.ROOT} has no Dockerfile: run this in a checkout of the bundle"
        raise BadInputError(message)
    said = client.api.build(
        path=str(paths.ROOT),
        tag=wanted.tag,
        target=wanted.target,
        network_mode=wanted.network,
        buildargs={"REVISION": revision(), **wanted.arguments},
        rm=True,
        forcerm=True,
        decode=True,
    )
    for event in said:
        if "error" in event:
            why = engine.explain(RuntimeError(event["error"]), reached=True)
            message = f"could not build {wanted.tag}: {why}"
            raise CannotRunError(message)
        text = str(event.get("stream") or event.get("status") or "").strip()
        if text:
            yield text


def revision() -> str:
    """The commit of this checkout, marked if files were changed since; `unknown` without git."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit}-changed" if _git("status", "--porcelain") else commit


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(paths.ROOT), *arguments],  # noqa: S607  # the user's own git
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
