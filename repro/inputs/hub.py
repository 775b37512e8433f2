"""The catalog's checkpoints pinned: each revision as a commit, each file by its SHA-256.

The hub knows the SHA-256 of large files; small ones are fetched into a temporary folder and
digested. Nothing is loaded or executed, and a digest that is pinned already is never replaced.

Reference: huggingface_hub 0.23.4, `HfApi.model_info` with `files_metadata`.
"""

import fnmatch
import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro import fileio, json_text, paths
from repro.errors import BadInputError, CannotRunError, Problem, first_line
from repro.fileio import write_text
from repro.inputs import remote_code
from repro.inputs.checkpoints import PICKLED
from repro.inputs.located import TOKENIZER
from repro.schema import catalog
from repro.schema.catalog import Checkpoint, HubSource
from repro.weights.loadable import INDEX, PLAIN

_LARGEST_SMALL_FILE = 100_000_000
"""Bytes; the hub keeps what is larger than some ten millions in LFS, by SHA-256."""
_READ = (*PLAIN["transformers"], "*.safetensors", INDEX)
"""What loading may read, and other forms of the weights."""
_PATIENCE = 30
"""Seconds that the hub has to answer."""


@dataclass(frozen=True)
class PinnedCheckpoint:
    """One checkpoint, as the hub has it now."""

    name: str
    repository: str
    revision: str
    """As it was in the catalog."""
    commit: str
    files: Mapping[str, str]
    """SHA-256 by file name, a tokenizer from another repository included."""
    added: tuple[str, ...]
    """Those that the catalog did not have."""
    note: str
    """What could not be pinned, and why; may be empty."""


def pin(names: Sequence[str], path: Path | None = None) -> list[PinnedCheckpoint]:
    """Pin checkpoints in the catalog, all or none.

    Args:
        names: Of the catalog; every checkpoint of the hub if there is none.
        path: The catalog; the bundle's own by default.

    Raises:
        BadInputError: if a name is unknown or no hub checkpoint, or if a file is not what is
            pinned; nothing was written.
        CannotRunError: if the hub does not answer, or does not give a file; nothing was written.
    """
    path = path or paths.bundle().catalog / "checkpoints.json"
    known = catalog.checkpoints(path)
    on_hub = {
        name: (each, each.source)
        for name, each in known.items()
        if isinstance(each.source, HubSource)
    }
    unknown = [name for name in names if name not in on_hub]
    if unknown:
        message = f"--checkpoints {' '.join(unknown)}: expected any of {', '.join(on_hub)}"
        raise BadInputError(message)
    hub, problems = _Hub(), list[Problem]()
    found = [_pin_checkpoint(name, *on_hub[name], hub, problems) for name in names or on_hub]
    if problems:
        raise BadInputError("the hub's file changed, or is gone; nothing was written", problems)
    write_pins(path, found)
    return found


def _pin_checkpoint(
    name: str, known: Checkpoint, source: HubSource, hub: "_Hub", problems: list[Problem]
) -> PinnedCheckpoint:
    """What the hub has of one checkpoint, held to what the catalog has."""
    info = hub.info(source.repository, source.revision)
    wanted = _matching(info, _READ)
    if not any(file.endswith(".safetensors") for file in wanted):
        wanted += _matching(info, PICKLED)
    found = hub.digests(info, wanted)
    if source.remote_code:
        found |= hub.code(info, name)
    note = ""
    if known.tokenizer != "own" and not set(TOKENIZER) & found.keys():
        if known.tokenizer in catalog.gated_tokenizers():
            note = f"its tokenizer, {known.tokenizer}, is gated and was not pinned"
        else:
            elsewhere = hub.info(known.tokenizer, None)
            found |= hub.digests(elsewhere, _matching(elsewhere, TOKENIZER))
    for file, sha in known.files.items():
        if found.get(file) != sha:
            where = f"{name}: {file} of {source.repository} at {source.revision}"
            now = f"sha256 {found[file]}" if file in found else "no such file"
            problems.append(Problem(where, now, f"sha256 {sha}, as the catalog has it"))
    added = tuple(sorted(found.keys() - known.files.keys()))
    files = dict(sorted(found.items()))
    return PinnedCheckpoint(name, source.repository, source.revision, info.sha, files, added, note)


def _matching(info: Any, patterns: Iterable[str]) -> list[str]:  # noqa: ANN401  # untyped library
    """Files of the top folder of a repository that match a pattern."""
    names = [each.rfilename for each in info.siblings]
    tops = [name for name in names if "/" not in name]
    return [name for name in tops if any(fnmatch.fnmatchcase(name, each) for each in patterns)]


class _Hub:
    """The model hub; every failure is one message."""

    def __init__(self) -> None:
        try:
            # Slow to import, and no part of a light install.
            from huggingface_hub import HfApi
        except ImportError as error:
            message = "pinning checkpoints takes the package huggingface_hub; `make venv`"
            raise CannotRunError(message) from error
        self._api = HfApi()

    def info(self, repository: str, revision: str | None) -> Any:  # noqa: ANN401  # the same
        """A repository at a revision: `sha`, its commit, and `siblings`, its files."""
        call = self._api.model_info
        where = f"{repository} at {revision or 'main'}"
        info = self._ask(
            where, call, repository, revision=revision, files_metadata=True, timeout=_PATIENCE
        )
        if re.fullmatch("[0-9a-f]{40}", info.sha or "") is None:
            raise CannotRunError(f"the model hub names no commit of {where}; nothing was written")
        return info

    def digests(self, info: Any, files: Iterable[str]) -> dict[str, str]:  # noqa: ANN401
        """SHA-256 of files of a repository."""
        known = {each.rfilename: each.lfs["sha256"] for each in info.siblings if each.lfs}
        small = [file for file in files if file not in known]
        with tempfile.TemporaryDirectory(prefix="repro-pin-") as folder:
            known |= {
                each: fileio.digest_of_file(self._fetch(info, each, folder)) for each in small
            }
        return {file: known[file] for file in files}

    def code(self, info: Any, name: str) -> dict[str, str]:  # noqa: ANN401
        """SHA-256 of every Python file that loading a checkpoint would execute."""
        with tempfile.TemporaryDirectory(prefix="repro-pin-") as folder:
            for file in _matching(info, (*remote_code.MAPS, "*.py")):
                self._fetch(info, file, folder)
            found = remote_code.code_digests(Path(folder), name)
        return {file: sha for file, sha in found.items() if file.endswith(".py")}

    def _fetch(self, info: Any, file: str, folder: str) -> Path:  # noqa: ANN401
        """Bring one small file of the repository's commit into a folder."""
        where = f"{file} of {info.id} at {info.sha}"
        size = next(each.size for each in info.siblings if each.rfilename == file)
        if size is not None and size > _LARGEST_SMALL_FILE:
            raise CannotRunError(f"{where}: {size:,} bytes without a digest; nothing was written")
        call = self._api.hf_hub_download
        options = {"revision": info.sha, "local_dir": folder, "cache_dir": folder}
        return Path(self._ask(where, call, info.id, file, **options))

    def _ask(self, what: str, call: Any, *args: str, **options: Any) -> Any:  # noqa: ANN401
        from huggingface_hub.utils import HfHubHTTPError

        try:
            return call(*args, **options)
        except (HfHubHTTPError, OSError, ValueError, KeyError) as error:
            why = first_line(error)
            if hasattr(error, "request") and getattr(error, "response", None) is None:
                why = "it does not answer"  # the library's own words are its stack of errors
            raise CannotRunError(
                f"the model hub at {self._api.endpoint} did not give {what}: {why}\n"
                "    nothing was written; checkpoints are pinned on a machine that reaches the hub"
            ) from error


# -----------------------------------------------------------------------------
# The catalog's text


def write_pins(path: Path, found: Iterable[PinnedCheckpoint]) -> None:
    """Write revisions and digests into the catalog's file; every other byte stays as it is.

    Raises:
        BadInputError: if the file is not laid out as the bundle's: one entry of two spaces'
            indent for each checkpoint.
    """
    text = fileio.read_text(path)
    expected = json_text.parse(text)
    for each in found:
        entry = expected["checkpoints"][each.name]
        entry["source"]["revision"], entry["files"] = each.commit, dict(each.files)
        text = _entry_replaced(text, each)
    if json.loads(text) != expected:
        message = f"{path} is not laid out as the bundle's catalog is; nothing was written"
        raise BadInputError(message)
    write_text(path, text)


def _entry_replaced(text: str, pinned: PinnedCheckpoint) -> str:
    """The catalog with the revision and files of one entry replaced."""
    start = text.find(f"\n  {json.dumps(pinned.name)}: {{")
    end = text.find("\n  }", start)
    entry = text[start:end]
    lines = ",\n".join(f'    {json.dumps(file)}: "{sha}"' for file, sha in pinned.files.items())
    revision, files = f'"{pinned.commit}"', f"{{\n{lines}\n   }}"
    entry = re.sub(r'("revision": )"[^"]*"', lambda found: found[1] + revision, entry, count=1)
    entry = re.sub(r'("files": )\{[^}]*\}', lambda found: found[1] + files, entry, count=1)
    return text[:start] + entry + text[end:]
