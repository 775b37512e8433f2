"""What lies under the pins of an image: its lock, written when it is built, and its state now.

`image.json` is written by the last step of the build: OS packages, the RECORD of every
installed wheel, CUDA kernels, the bundle's own files, and the path that the models really
take. A wheel that was swapped for one of the same version has a RECORD that fits its files
and not this lock.

Not covered: an image whose `image.json` was rewritten as well. That is another image, with
another digest; records name the digest of theirs.
"""

import hashlib
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from repro import fileio, json_text, paths
from repro.environment import kernels, pins
from repro.environment.kernels import Kernel
from repro.errors import BadInputError
from repro.schema.base import Frozen, Sha256

FILE = paths.ROOT / "image.json"
"""Only in an image."""
PROBE = ("-m", "repro.container.steps", "probe")
"""In a process of its own: it imports torch, and an audit does not."""
UNBUILT = "cuda target not yet built by its authors"
_DPKG = Path("/var/lib/dpkg/status")
_OWN = ("repro", "runner", "verify", "manifests", "catalog", "twins", "evidence")
_LOCKS = (pins.LOCK, pins.KERNELS, pins.DEVELOPMENT)

Target = Literal["cpu", "cuda"]


class Image(Frozen):
    """What is under, beside and in the pinned packages of an image."""

    schema_version: Literal[1]
    target: Target
    revision: str
    """Commit that the image was built from; `unknown` if nobody said."""
    os_packages: dict[str, str]
    """Version of each package of the operating system, by `name:architecture`."""
    wheels: dict[str, Sha256]
    """Digest of each distribution's RECORD, which has the digest of each of its files."""
    kernels: dict[str, Kernel]
    """Every shared object of the CUDA kernel packages, by path."""
    bundle: dict[str, Sha256]
    """Digest of each of the bundle's own files, by path."""
    probe: dict[str, str]
    """What a forward pass of each twin ran on, e.g. `mamba-twin float32 mamba_scan`: `slow`."""


def capture(target: Target, revision: str, search: Sequence[str] | None = None) -> Image:
    """Describe the image that this process runs in, as it is now.

    Args:
        target: What it was built as.
        revision: The commit that it was built from.
        search: Where to look for distributions; `sys.path` by default.
    """
    found = list(
        importlib.metadata.distributions(path=list(sys.path if search is None else search))
    )
    names = {pins.normalise(each.metadata["Name"] or "unnamed"): each for each in found}
    records = {name: each.read_text("RECORD") for name, each in names.items()}
    built = set(pins.read(pins.KERNELS)) - set(pins.read(pins.LOCK))
    objects = [
        Path(str(each.locate_file(file)))
        for name, each in names.items()
        if name in built
        for file in each.files or ()
        if file.suffix == ".so"
    ]
    return Image(
        schema_version=1,
        target=target,
        revision=revision,
        os_packages=os_packages(),
        wheels={
            name: hashlib.sha256(text.encode()).hexdigest()
            for name, text in sorted(records.items())
            if text
        },
        kernels={path.name: kernels.describe(path) for path in sorted(objects)},
        bundle=dict(own_files(_OWN, *_LOCKS)),
        probe=probe(),
    )


def load(path: Path) -> Image | None:
    """The lock of the image that this process runs in; None outside an image.

    Raises:
        BadInputError: if the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        return json_text.held(path, Image.model_validate_json)
    except (OSError, ValueError) as error:
        message = f"{path} is damaged: {json_text.why(error)}; build the image again"
        raise BadInputError(message) from error


def os_packages(status: Path = _DPKG) -> dict[str, str]:
    """Versions of the installed Debian packages; empty on another system."""
    try:
        text = status.read_text(encoding="utf-8")
    except OSError:
        return {}
    found = {}
    for stanza in text.split("\n\n"):
        lines = (line.partition(": ") for line in stanza.splitlines() if line[:1].strip())
        fields = {name: value for name, _, value in lines}
        if fields.get("Status", "").endswith(" installed"):
            found[f"{fields['Package']}:{fields['Architecture']}"] = fields["Version"]
    return dict(sorted(found.items()))


def own_files(folders: Sequence[str], *also: Path) -> Iterator[tuple[str, str]]:
    """Files of some of the bundle's folders, byte code left out, with their digests."""
    inside = (path for folder in folders for path in sorted((paths.ROOT / folder).rglob("*")))
    for path in (*also, *inside):
        if path.is_file() and path.suffix != ".pyc":
            yield str(path.relative_to(paths.ROOT)), fileio.digest_of_file(path)


def probe() -> dict[str, str]:
    """What a forward pass of each twin really runs on here, or why there was none."""
    done = subprocess.run(  # noqa: S603  # fixed arguments
        [sys.executable, *PROBE], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {"failed": lines[-1]}
    found: dict[str, str] = json.loads(done.stdout)
    return found
