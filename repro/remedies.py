"""What to do about a checkpoint that is not here, or not whole, in words."""

from collections.abc import Mapping
from pathlib import Path

from repro.catalog import GATED, Checkpoint, HubSource
from repro.families import FAMILIES

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
"""What a folder takes from the repository of a tokenizer."""


def weights(name: str, known: Checkpoint, source: HubSource) -> str:
    """How to bring the files of a checkpoint."""
    here = f"{source.repository} at {source.revision}"
    if FAMILIES[known.family].layout == "mamba-ssm" or "pytorch_model.bin" in known.files:
        text = (
            f"put pytorch_model.bin and config.json of {here}{_and_tokenizer(known)} into one "
            f"folder; `repro convert FOLDER/pytorch_model.bin` makes safetensors; then "
            f"--substitute {name}=FOLDER"
        )
    elif known.tokenizer != "own":
        text = (
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


def tokenizer(name: str, known: Checkpoint, folder: Path) -> str:
    """How to complete a folder that has no tokenizer."""
    if known.tokenizer == "own":
        return f"bring a whole copy: {folder} has neither tokenizer.json nor tokenizer.model"
    return (
        f"put {_files(known)} into a folder with the files of {folder}; then --substitute "
        f"{name}=FOLDER"
    )


def code(name: str, files: Mapping[str, str], lacking: str) -> str:
    """What would be executed, and what allows it."""
    listed = ", ".join(f"{file} (sha256 {sha})" for file, sha in files.items())
    also = f"; {lacking}" if lacking else ""
    return f"loading {name} executes {listed}: read them, then --allow-remote-code{also}"


def pin(name: str, folder: Path) -> str:
    """How to pin code that is here and was allowed."""
    return (
        f"{folder} is of a revision that floats, or has other digests than those pinned; "
        f"`repro pin --checkpoints {name}` pins what the hub has; a folder that you give, "
        f"--substitute {name}=FOLDER, is held to its own digests"
    )


def _and_tokenizer(known: Checkpoint) -> str:
    return "" if known.tokenizer == "own" else f" and {_files(known)}"


def _files(known: Checkpoint) -> str:
    gated = ", which is gated: it takes an accepted licence and a token," * (
        known.tokenizer in GATED
    )
    return f"{', '.join(TOKENIZER)} of {known.tokenizer}{gated}"
