"""A checkpoint folder held to itself: whole files, the right architecture, one vocabulary.

Read from config.json, the headers of the safetensors and tokenizer.json, so that what cannot
run is told before anything is loaded. The format of safetensors: eight bytes, little-endian,
the length of a JSON header; the header; the data, to which the header's offsets refer.

Not covered: whether the numbers are those of a trained model; OLMo's and OpenELM's own code may
name their tensors otherwise, so that only a tensor that is there is held to the vocabulary.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from repro import json_text, regular_file
from repro.errors import BadInputError, Problem
from repro.families import FAMILIES, Family

_LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library."""

Tensors = Mapping[str, Mapping[str, Any]]
"""Tensor to its dtype, shape and offsets, as in the headers."""


def check(folder: Path, name: str, family: str) -> None:
    """Refuse a checkpoint that cannot be what the catalog says it is.

    Args:
        folder: With config.json and safetensors; that much was looked for before.
        name: The checkpoint's name in the catalog, for the message.
        family: A key of `FAMILIES`.

    Raises:
        BadInputError: with every problem found.
    """
    known = FAMILIES[family]
    problems = list(_config_problems(folder, known))
    tensors: dict[str, Mapping[str, Any]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            tensors |= header(path)
        except ValueError as error:
            problems.append(Problem(str(path), str(error), "a whole safetensors file"))
    if not problems:
        problems += [
            *_index_problems(folder, tensors),
            *_vocabulary_problems(folder, known, tensors),
        ]
    if problems:
        message = f"checkpoint {name} cannot be used as one of the family {family}"
        raise BadInputError(message, problems)


def has_tokenizer(folder: Path, *, own: bool) -> bool:
    """Whether a folder holds a tokenizer that transformers can read.

    Args:
        folder: A checkpoint folder.
        own: It was published with the weights; a config.json whose tokenizer comes from another
            repository does not say which class reads it, so tokenizer_config.json has to.
    """
    whole = [("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt")]
    files = any(all((folder / file).is_file() for file in each) for each in whole)
    return files and (own or (folder / "tokenizer_config.json").is_file())


def header(path: Path) -> dict[str, Mapping[str, Any]]:
    """The tensors of a safetensors file, by name.

    Raises:
        ValueError: if the file is cut short, longer than its header says, or no safetensors.
    """
    with regular_file.opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size, _LARGEST_HEADER):  # noqa: PLR2004
            message = f"{size:,} bytes, of which the header takes {length:,}"
            raise ValueError(message)
        try:
            found: dict[str, Any] = json_text.parse(file.read(length))
        except ValueError as error:
            message = f"a header that is no JSON ({error})"
            raise ValueError(message) from error
    try:
        found.pop("__metadata__", None)
        end = max((int(each["data_offsets"][1]) for each in found.values()), default=0)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        message = "a header without the place of every tensor"
        raise ValueError(message) from error
    if size != 8 + length + end:
        message = f"{size:,} bytes where the header promises {8 + length + end:,}"
        raise ValueError(message)
    return found


def _config_problems(folder: Path, family: Family) -> Iterator[Problem]:
    """An architecture that is not the family's."""
    path = folder / "config.json"
    try:
        config = json_text.load(path)
    except (OSError, ValueError) as error:
        yield Problem(str(path), f"no JSON ({json_text.why(error)})", "a JSON object")
        return
    field = "model_type" if family.layout == "transformers" else "ssm_cfg.layer"
    found = config
    for step in field.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    if found not in family.config:
        yield Problem(f"{path}: $.{field}", repr(found), f"one of {', '.join(family.config)}")


def _index_problems(folder: Path, tensors: Tensors) -> Iterator[Problem]:
    """Tensors that the index of a sharded checkpoint promises and no shard has."""
    path = folder / "model.safetensors.index.json"
    if not path.is_file():
        return
    try:
        promised = set(json_text.load(path)["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        yield Problem(str(path), f"no index of tensors ({error})", "a JSON object with weight_map")
        return
    missing = sorted(promised - tensors.keys())
    if missing:
        shown = ", ".join(missing[:3]) + (" ..." if missing[3:] else "")
        yield Problem(str(path), f"{len(missing)} tensors in no shard: {shown}", "every shard")


def _vocabulary_problems(folder: Path, family: Family, tensors: Tensors) -> Iterator[Problem]:
    """A tokenizer that gives ids beyond the embedding."""
    path = folder / "tokenizer.json"
    names = [each.embedding for each in family.layouts.values()]
    embedding = next((tensors[name] for name in names if name in tensors), None)
    if embedding is None or not path.is_file():
        return
    try:
        tokenizer = json_text.load(path)
        ids = [*tokenizer["model"]["vocab"].values()]
        ids += [each["id"] for each in tokenizer.get("added_tokens", [])]
        largest = max(ids)
    except (ValueError, KeyError, TypeError, AttributeError):
        return  # another kind of tokenizer: the model's own library reads it
    rows = embedding["shape"][0]
    if largest >= rows:
        found = f"ids up to {largest} for an embedding of {rows} rows"
        yield Problem(str(path), found, f"the tokenizer of these weights: ids below {rows}")
