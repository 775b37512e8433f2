"""Wheels of the three CUDA kernels, from sources that are pinned by content.

flash-attn comes from its source archive on the package index, by digest. Those of mamba-ssm
and causal-conv1d lack the CUDA sources, so both come from their public repositories, each at
one commit: git names a commit by the digest of everything in it. Each setup.py would first
try to download a wheel that nothing pins, and is told to build; the compiler is the machine's.

Reference: mamba-ssm 2.2.2, causal-conv1d 1.4.0 and flash-attn 2.5.7, setup.py.
Not covered: submodules; the two commits have none that a build reads.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from repro.environment.pins import Pin
from repro.errors import CannotRunError
from repro.schema.base import Frozen

FORCE = {f"{name}_FORCE_BUILD": "TRUE" for name in ("MAMBA", "CAUSAL_CONV1D", "FLASH_ATTENTION")}
"""Keeps a setup.py from downloading a prebuilt wheel."""
_TOOLS = ("einops", "ninja", "packaging")
"""Of pinned-kernels.txt: what the kernels need to be built and to be imported. They come first,
so that no setup.py finds one missing and fetches it."""


class Commit(Frozen):
    """The source of one package."""

    package: str
    """Normalised name."""
    repository: str
    commit: str
    """40 hexadecimal digits: a tag may move, a commit cannot."""


COMMITS = (
    Commit(
        package="causal-conv1d",
        repository="https://github.com/Dao-AILab/causal-conv1d",
        commit="f8c246707eff3431b5cf2ce6defa4b7f309ea9fb",
    ),
    Commit(
        package="mamba-ssm",
        repository="https://github.com/state-spaces/mamba",
        commit="8ffd905c91d207f5c0cc84fc2a2fb748655094f0",
    ),
)


def build(
    kernels: Mapping[str, Pin], wheels: Path, commits: Sequence[Commit] = COMMITS
) -> list[Path]:
    """Build one wheel for each package of `pinned-kernels.txt`.

    Args:
        kernels: The pins, by name.
        wheels: Folder to write them to.
        commits: Packages whose source is a commit; all others come from the index by digest.

    Returns:
        The wheels.

    Raises:
        CannotRunError: a source is not what is pinned, or a build failed.
    """
    tools = [kernels[name] for name in _TOOLS if name in kernels]
    if tools:
        _from_index(tools, wheels, [])
        _pip("install", "--no-deps", "--no-index", *map(str, sorted(wheels.glob("*.whl"))))
    by_commit = {each.package for each in commits}
    with tempfile.TemporaryDirectory() as folder:
        for source in commits:
            checkout = Path(folder) / source.package
            fetch(source, checkout)
            _pip("wheel", "--no-index", *_BUILD, "--wheel-dir", str(wheels), str(checkout))
    sources = [pin for name, pin in kernels.items() if name not in {*_TOOLS, *by_commit}]
    for pin in sources:
        _from_index([pin], wheels, ["--no-binary", pin.name])
    return [_made(pin, wheels) for pin in kernels.values()]


_BUILD = ("--no-deps", "--no-build-isolation")


def fetch(source: Commit, checkout: Path) -> None:
    """Check out one commit, and nothing else of the repository.

    Raises:
        CannotRunError: if git cannot get it, or got another one.
    """
    _run(["git", "init", "--quiet", str(checkout)])
    git = ["git", "-C", str(checkout), "-c", "transfer.fsckObjects=true"]
    _run([*git, "fetch", "--quiet", "--depth=1", source.repository, source.commit])
    _run([*git, "checkout", "--quiet", "--detach", "FETCH_HEAD"])
    found = _run([*git, "rev-parse", "HEAD"]).strip()
    if found != source.commit:
        message = f"{source.repository}: found commit {found}, expected {source.commit}"
        raise CannotRunError(message)


def _from_index(pins: Sequence[Pin], wheels: Path, options: Sequence[str]) -> None:
    """Wheels of packages of the index, each held to the digest of what they are made from."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as requirements:
        for pin in pins:
            hashes = " ".join(f"--hash=sha256:{each}" for each in pin.hashes)
            requirements.write(f"{pin.name}=={pin.version} {hashes}\n")
        requirements.flush()
        given = ["--require-hashes", "--requirement", requirements.name]
        _pip("wheel", *_BUILD, "--wheel-dir", str(wheels), *given, *options)


def _pip(command: str, *arguments: str) -> None:
    always = ["--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    _run([sys.executable, "-m", "pip", command, *always, *arguments])


def _run(command: Sequence[str]) -> str:
    """Run it with every build forced; what it says on standard error is part of the build's log.

    Raises:
        CannotRunError: if it fails.
    """
    # A setup.py may ask for build tools of its own: from nowhere, where pip was told so.
    nowhere = {"PIP_NO_INDEX": "1"} if "--no-index" in command else {}
    environ = {**os.environ, **FORCE, **nowhere}
    done = subprocess.run(  # noqa: S603
        list(command), stdout=subprocess.PIPE, text=True, check=False, env=environ
    )
    if done.returncode:
        message = f"{' '.join(command[:5])} … failed with code {done.returncode}; see above"
        raise CannotRunError(message)
    return done.stdout


def _made(pin: Pin, wheels: Path) -> Path:
    """The wheel of a package, which has to be of its pinned version."""
    stem = pin.name.replace("-", "_")
    found = sorted(wheels.glob(f"{stem}-*.whl"))
    if len(found) != 1 or found[0].name.split("-")[1].partition("+")[0] != pin.version:
        names = ", ".join(path.name for path in found) or "none"
        message = f"{pin.name}: found the wheels {names}, expected one of {pin.version}"
        raise CannotRunError(message)
    return found[0]
