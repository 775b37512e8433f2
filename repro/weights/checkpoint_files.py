"""A checkpoint folder held to itself: whole files, the right architecture, one vocabulary.

Read from config.json, the headers of the safetensors and tokenizer.json, so that what cannot
run is told before anything is loaded. The format of safetensors: eight bytes, little-endian,
the length of a JSON header; the header; the data, to which the header's offsets refer.

Not covered: whether the numbers are those of a trained model; a checkpoint's own code may name its
tensors otherwise, so that only a tensor that is there is held to the vocabulary.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro import fileio, json_text
from repro.errors import BadInputError, Problem
from repro.schema.families import FAMILIES, Family, converted_by, family_and_layout
from repro.text import first_few
from repro.weights import foreign_json, loadable
from repro.weights.torch_pickle import Tensor
from repro.weights.torch_zip import printable

_LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library."""
_PIECE = 1 << 24
"""Bytes read at a time."""

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
    try:
        found = stored_tensors(folder)
    except BadInputError as error:
        problems += error.problems
    else:
        problems += _vocabulary_problems(folder, known, found)
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


def stored_tensors(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The tensors of a checkpoint by name, from the headers of its files.

    Raises:
        BadInputError: a file is no whole safetensors file, or the index is not that of the shards:
            each tensor lies in the one that the index names, and in no other.
    """
    files = loadable.weights(folder)
    problems, found = list[Problem](), dict[str, Mapping[str, Any]]()
    if not files:
        expected = f"{loadable.WEIGHTS}, or {loadable.INDEX} and its shards"
        problems = [Problem(str(folder), "no weights by these names", expected)]
    held = set[tuple[str, str]]()
    for file in files:
        if file == loadable.INDEX:
            continue
        try:
            part = safetensors_header(folder / file)
        except (OSError, ValueError) as error:
            problems.append(Problem(str(folder / file), str(error), "a whole safetensors file"))
            continue
        found |= part
        held |= {(name, file) for name in part}
    if not problems and loadable.INDEX in files:
        path = folder / loadable.INDEX
        differences = sorted(held ^ set(loadable.shards_of(path).items()))
        missing = [name for name, file in differences if (name, file) not in held]
        for what, names in (
            ("in no shard", [name for name in missing if name not in found]),
            ("in another shard", [name for name in missing if name in found]),
            ("in a shard alone", [name for name, file in differences if name not in missing]),
        ):
            if names:
                told = (
                    f"{len(names)} tensors {what}: {first_few([printable(name) for name in names])}"
                )
                expected = "each tensor in the shard that the index names, and in no other"
                problems.append(Problem(str(path), told, expected))
    if problems:
        raise BadInputError(f"cannot load the checkpoint {folder.name}", problems)
    return found


def safetensors_header(path: Path) -> dict[str, Mapping[str, Any]]:
    """The tensors of a safetensors file, by name.

    Raises:
        ValueError: if the file is cut short, longer than its header says, or no safetensors.
    """
    with fileio.open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size, _LARGEST_HEADER):  # noqa: PLR2004
            raise ValueError(f"{size:,} bytes, of which the header takes {length:,}")
        try:
            found: Any = json_text.parse(file.read(length))
        except ValueError as error:
            raise ValueError(f"a header that is no JSON ({error})") from error
    entries: dict[str, Any] = found if isinstance(found, dict) else {"": None}
    named = {name: entry for name, entry in entries.items() if name != "__metadata__"}
    if not all(_is_tensor(entry) for entry in named.values()):
        raise ValueError("a header without the place of every tensor")
    end = max((each["data_offsets"][1] for each in named.values()), default=0)
    if size != 8 + length + end:
        raise ValueError(f"{size:,} bytes where the header promises {8 + length + end:,}")
    return named


def new_header(tensors: Iterable[tuple[str, str, Sequence[int], int]]) -> bytes:
    """What a safetensors file begins with, from name, dtype, shape and bytes of each tensor.

    The tensors' bytes follow in the same order; byte for byte as the library writes it.
    """
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}  # transformers asks for it
    end = 0
    for name, dtype, shape, size in tensors:
        start, end = end, end + size
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": (start, end)}
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data is aligned
    return len(text).to_bytes(8, "little") + text


def stored_bytes(path: Path, places: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """Some of the data of a safetensors file, in pieces, one place after the other.

    `places` are offsets as a header gives them, begin and end, of a file that it was read from.

    Raises:
        OSError: the file cannot be read.
    """
    with fileio.open_regular_file(path) as stream:
        data = 8 + int.from_bytes(stream.read(8), "little")
        for begin, end in places:
            stream.seek(data + begin)
            for left in range(end - begin, 0, -_PIECE):
                yield stream.read(min(left, _PIECE))


@contextmanager
def layout_errors(file: Path) -> Iterator[None]:
    """Turn a failure to write what is in a file of weights in another layout into bad input."""
    try:
        yield
    except (OSError, ValueError) as error:
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        why = f"{json_text.explain_error(error)}{where}"
        message = f"{file} cannot be turned into another layout: {why}; nothing was written"
        raise BadInputError(message) from error


def _is_tensor(entry: object) -> bool:
    """Whether an entry of a header has a dtype, a shape, and where its bytes begin and end."""
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    shape, place = entry.get("shape"), entry.get("data_offsets")
    if not (isinstance(shape, list) and isinstance(place, list) and len(place) == 2):  # noqa: PLR2004
        return False
    return all(type(size) is int and size >= 0 for size in shape + place)


def _config_problems(folder: Path, family: Family) -> Iterator[Problem]:
    """An architecture that is not the family's."""
    path = folder / "config.json"
    try:
        config = foreign_json.read(path)
    except BadInputError as error:
        yield from error.problems
        return
    if (found := family_and_layout(config)) is None or FAMILIES[found[0]] is not family:
        field = "model_type" if family.layout == "transformers" else "ssm_cfg.layer"
        said: object = config
        for step in field.split("."):
            said = said.get(step) if isinstance(said, dict) else None
        known = family.config or ("another, and auto_map with code that loads it",)
        yield Problem(f"{path}: $.{field}", repr(said), expected_layouts(folder, config, known))


def expected_layouts(folder: Path, config: Mapping[str, Any], known: Iterable[str]) -> str:
    """What config.json was expected to say, and how to get there from what it says."""
    expected = f"one of {', '.join(known)}"
    if layout := converted_by(config):
        file = folder / (
            loadable.INDEX if (folder / loadable.INDEX).is_file() else loadable.WEIGHTS
        )
        expected += f"; repro convert {file} --layout {layout} --out NEW-FOLDER makes one of it"
    return expected


def _vocabulary_problems(folder: Path, family: Family, tensors: Tensors) -> Iterator[Problem]:
    """A tokenizer that gives ids beyond the embedding."""
    path = folder / "tokenizer.json"
    today = [each.embedding for each in family.layouts.values()]
    older = [name for each in family.layouts.values() for name in each.renamed]
    embedding = next((tensors[name] for name in (*today, *older) if name in tensors), None)
    if embedding is None or not path.is_file():
        return
    rows = next(iter(embedding["shape"]), 0)
    try:
        tokenizer = foreign_json.parse(fileio.read_bytes(path))
        ids = [*tokenizer["model"]["vocab"].values()]
        ids += [each["id"] for each in tokenizer.get("added_tokens", [])]
        largest = max(int(each) for each in ids)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return  # another kind of tokenizer: the model's own library reads it
    if largest >= rows:
        found = f"ids up to {largest} for an embedding of {rows} rows"
        yield Problem(str(path), found, f"the tokenizer of these weights: ids below {rows}")


# -----------------------------------------------------------------------------
# The files of one torch checkpoint, and what Hugging Face's layout calls them as safetensors.

_NAME = re.compile(r"pytorch_model(-\d{5}-of-\d{5})?\.bin")


@dataclass(frozen=True)
class Shards:
    """What to convert."""

    targets: Mapping[Path, str]
    """Torch file to the name of its safetensors file."""
    promised: Mapping[str, str] | None
    """Tensor to the name of its torch file, as an index says; None where there is no index."""


def find_shards(file: Path) -> Shards:
    """The files that a name given by the user stands for: itself, or what an index lists.

    Raises:
        BadInputError: if there is no such file, or the index names none in its own folder.
    """
    try:
        fileio.open_regular_file(file).close()
    except OSError as error:
        expected = "pytorch_model.bin, a shard of it, or its index"
        problem = Problem(str(file), json_text.explain_error(error), expected)
        raise BadInputError("there is no checkpoint file", [problem]) from error
    if file.suffix != ".json":
        named = _NAME.fullmatch(file.name)
        return Shards({file: f"model{named[1] or '' if named else ''}.safetensors"}, None)
    try:
        promised = loadable.weight_map(file)
    except (OSError, ValueError) as error:
        expected = "JSON whose weight_map names a shard a tensor"
        problem = Problem(str(file), json_text.explain_error(error), expected)
        message = "no index of a torch checkpoint; nothing was written"
        raise BadInputError(message, [problem]) from error
    names = sorted(set(promised.values()))
    where, expected = f"{file}: $.weight_map", "the name of a file in the same folder"
    absent = [name for name in names if not loadable.lies_beside(file.parent, name)]
    problems = [Problem(where, f"the shard {printable(name)}", expected) for name in absent]
    if problems:
        raise BadInputError("an index of shards that are not there; nothing was written", problems)
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
        first = first_few(
            [f"{printable(name)} in {printable(shard)}" for name, shard in differences]
        )
        found = f"{len(differences)} tensors in the index or in a shard alone: {first}"
        problem = Problem(str(file), found, "each tensor in the shard that the index names")
        message = "an index that is not that of its shards; nothing was written"
        raise BadInputError(message, [problem])
    total = sum(tensor.size for each in tensors.values() for tensor in each.values())
    weight_map = {name: shards.targets[path] for path, each in tensors.items() for name in each}
    data = {"metadata": {"total_size": total}, "weight_map": weight_map}
    return (json.dumps(data, indent=2, sort_keys=True) + "\n").encode()
