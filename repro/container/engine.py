"""The container engine, through its own SDK, and what it refuses in one clear line each.

Reference: docker SDK for Python 7.1.0; messages of Docker Engine 20.10 and 28.
Not covered: engines without Docker's interface; an engine on another machine, whose folders
and GPUs are not this one's.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from repro import paths
from repro.environment.revision import git
from repro.errors import BadInputError, CannotRunError

Client = Any
"""docker's `DockerClient`, which has no types."""

_REFUSALS = {
    "no space left on device": "the engine's disk is full: free some space, e.g. by "
    "`docker image prune`",
    "could not select device driver": "the engine has no GPU runtime: install the NVIDIA "
    "Container Toolkit, or add --no-gpu",
    "unknown or invalid runtime name": "the engine has no GPU runtime: install the NVIDIA "
    "Container Toolkit, or add --no-gpu",
    "permission denied": "the engine may not be used by this user: add it to the engine's group, "
    "or use a rootless engine",
}
"""What the engine says, in lower case, to what it means and what to do."""


@contextmanager
def engine(patience: int = 600) -> Iterator[Client]:
    """The engine that `$DOCKER_HOST` names, else this machine's own.

    `patience`: seconds that it may take for an answer.

    Raises:
        CannotRunError: there is none, it cannot be reached, or it refused what was asked.
    """
    try:
        import docker  # type: ignore[import-untyped]
        import requests
        from docker.errors import DockerException  # type: ignore[import-untyped]
    except ImportError as error:
        message = "`repro container` needs the package docker; `make venv` installs it"
        raise CannotRunError(message) from error
    client = None
    try:
        client = docker.from_env(timeout=patience)
        client.ping()
        yield client
    except (DockerException, requests.RequestException) as error:
        raise CannotRunError(explain(error, reached=client is not None)) from error
    finally:
        if client is not None:
            client.close()


def explain(error: Exception, *, reached: bool) -> str:
    """One line for what an engine refused, which may have answered (`reached`) before."""
    said = " ".join(str(getattr(error, "explanation", None) or error).split())
    for words, meaning in _REFUSALS.items():
        if words in said.lower():
            return meaning
    if not reached or "connection" in said.lower():
        return (
            "no container engine can be reached: start one, e.g. `systemctl start docker`, or name "
            "one with DOCKER_HOST"
        )
    return f"the container engine refused: {said}"


def image(client: Client, name: str) -> Any:  # noqa: ANN401  # docker has no types
    """An image on this machine.

    Raises:
        CannotRunError: if there is none of this name; nothing is pulled.
    """
    from docker.errors import ImageNotFound

    try:
        return client.images.get(name)
    except ImageNotFound as error:
        message = f"there is no image {name} here: make it with `repro container build`"
        raise CannotRunError(message) from error


# -----------------------------------------------------------------------------
# Building the image from this checkout.
#
# Reference: docker SDK for Python 7.1.0, which builds by the classic builder.
# Not covered: images for another architecture than the engine's.


Target = Literal["cpu", "cuda", "verify"]
"""Of the Dockerfile; `verify` holds the wheel alone, and runs nothing."""


@dataclass(frozen=True)
class Build:
    """What is built."""

    target: Target
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
        raise BadInputError(f"{paths.ROOT} has no Dockerfile: run this in a checkout of the bundle")
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
            why = explain(RuntimeError(event["error"]), reached=True)
            raise CannotRunError(f"could not build {wanted.tag}: {why}")
        text = str(event.get("stream") or event.get("status") or "").strip()
        if text:
            yield text


def revision() -> str:
    """The commit of this checkout, marked if files were changed since; `unknown` without git."""
    commit = git(paths.ROOT, "rev-parse", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit}-changed" if git(paths.ROOT, "status", "--porcelain") else commit
