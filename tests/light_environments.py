"""An environment that has a wheel of this project and what the wheel declares, and nothing else.

What is declared is not fetched: it is linked from the environment that the tests run in, with all
that it declares in turn. So a package that is used and not declared is missing.
"""

import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from bundle_copies import copy_checkout

SOURCES = ("repro", "runner", "verify", "catalog", "twins")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


def build_wheel(folder: Path) -> Path:
    """Build one, in a copy: setuptools leaves files behind."""
    tree = folder / "tree"
    copy_checkout(tree, SOURCES, ("pyproject.toml", "pinned-*.txt", "requirements-dev.txt"))
    done = subprocess.run(
        [sys.executable, "-c", BUILD, folder], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def install(wheel: Path, folder: Path) -> Path:
    """Make an environment of it; returns its `repro`."""
    venv.create(folder, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "--quiet"]
    options = ["--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *options, wheel], check=True)
    site = next(folder.glob("lib/python3.*/site-packages"))
    (info,) = site.glob("*.dist-info")
    for name in declared(metadata.PathDistribution(info)):
        for top in {each.parts[0] for each in metadata.files(name) or ()} - {"..", "__pycache__"}:
            (site / top).symlink_to(Path(metadata.distribution(name).locate_file(top)))
    return folder / "bin" / "repro"


def declared(found: metadata.Distribution) -> set[str]:
    """What a distribution needs, all that these need among it, without extras."""
    names, waiting = set[str](), list(_needs(found))
    while waiting:
        if (name := waiting.pop()) not in names:
            names.add(name)
            waiting += _needs(metadata.distribution(name))
    return names


def _needs(found: metadata.Distribution) -> Iterator[str]:
    from packaging.requirements import Requirement

    for each in map(Requirement, found.requires or ()):
        if each.marker is None or each.marker.evaluate({"extra": ""}):
            yield re.sub(r"[-_.]+", "-", each.name).lower()


def run(program: Path, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run it, off the network and away from the checkout."""
    environ = {"PATH": os.defpath, "HOME": str(cwd), "REPRO_CACHE": str(cwd / "cache")}
    environ |= {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    return subprocess.run(
        [program, *arguments], cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )
