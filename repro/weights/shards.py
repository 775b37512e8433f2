"""The files of one torch checkpoint, and what Hugging Face's layout calls them as safetensors."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from repro import fileio, json_text
from repro.errors import BadInputError, Problem
from repro.weights.torch_pickle import Tensor
from repro.weights.torch_zip import shown

_NAME = re.compile(r"pytorch_model(-\d{5}-of-\d{5})?\.bin")
_LARGEST_INDEX = 100_000_000
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Shards:
    """What to convert."""

    targets: Mapping[Path, str]
    """Torch file to the name of its safetensors file."""
    promised: Mapping[str, str] | None
    """Tensor to the name of its torch file, as an index says; None where there is no index."""


def find(file: Path) -> Shards:
    """The files that a name given by the user stands for: itself, or what an index lists.

    Raises:
        BadInputError: if there is no such file, or the index names none in its own folder.
    """
    try:
        fileio.opened(file).close()
    except OSError as error:
        expected = "pytorch_model.bin, a shard of it, or its index"
        problem = Problem(str(file), error.strerror or str(error), expected)
        message = "there is no checkpoint file"
        raise BadInputError(message, [problem]) from error
    if file.suffix != ".json":
        named = _NAME.fullmatch(file.name)
        return Shards({file: f"model{named[1] or '' if named else ''}.safetensors"}, None)
    promised = _read_index(file)
    names = sorted(set(promised.values()))
    problems = [_problem(file, name) for name in names if not _lies_beside(file, name)]
    if problems:
        message = "an index of shards that are not there; nothing was written"
        raise BadInputError(message, problems)
    count = len(names)
    targets = {
        file.parent / name: f"model-{place:05d}-of-{count:05d}.safetensors"
        for place, name in enumerate(names, 1)
    }
    return Shards(targets, promised)


def index(file: Path, shards: Shards, tensors: Mapping[Path, Mapping[str, Tensor]]) -> bytes | None:
    """The index of the safetensors files, in Hugging Face's layout; None for a single file.

    Raises:
        BadInputError: if the tensors of the shards are not those that the torch index promises.
    """
    if shards.promised is None:
        return None
    held = {(name, path.name) for path, each in tensors.items() for name in each}
    differences = sorted(held ^ shards.promised.items())
    if differences:
        shown_ = ", ".join(f"{shown(name)} in {shown(shard)}" for name, shard in differences[:3])
        found = f"{len(differences)} tensors in the index or in a shard alone: {shown_}"
        problem = Problem(str(file), found, "each tensor in the shard that the index names")
        message = "an index that is not that of its shards; nothing was written"
        raise BadInputError(message, [problem])
    total = sum(tensor.size for each in tensors.values() for tensor in each.values())
    weight_map = {name: shards.targets[path] for path, each in tensors.items() for name in each}
    data = {"metadata": {"total_size": total}, "weight_map": weight_map}
    return (json.dumps(data, indent=2, sort_keys=True) + "\n").encode()


def _read_index(file: Path) -> dict[str, str]:
    """Tensor to shard."""
    try:
        data = json_text.parse(fileio.content(file, _LARGEST_INDEX))
        found = data["weight_map"].items()
        if not found or not all(isinstance(shard, str) for _, shard in found):
            message = "a weight_map without shards"
            raise ValueError(message)  # noqa: TRY301  # one place says what an index is
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = Problem(str(file), f"{error}", "JSON whose weight_map names a shard a tensor")
        message = "no index of a torch checkpoint; nothing was written"
        raise BadInputError(message, [problem]) from error
    return dict(found)


def _lies_beside(file: Path, name: str) -> bool:
    """Whether a name from an index is that of a file in the index's own folder."""
    plain = name.isprintable() and not {"/", "\\"} & set(name) and name not in ("", ".", "..")
    return plain and (file.parent / name).is_file()


def _problem(file: Path, name: str) -> Problem:
    where = f"{file}: $.weight_map"
    return Problem(where, f"the shard {shown(name)}", "the name of a file in the same folder")
