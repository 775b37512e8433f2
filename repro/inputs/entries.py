"""Entries of the catalog for what is one's own: a checkpoint's folder, the file of a task's data.

Everything is read off the files, none of which is executed: family, sizes and dtype of a model off
its config.json and the headers of its weights, digests off all that loading reads.

Not covered: models whose code comes with the checkpoint; `vocabulary`, which says that a shape is
its family's usual one.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from repro import fileio, paths
from repro.errors import BadInputError, Problem
from repro.inputs import checkpoints
from repro.inputs.data import content_digest
from repro.schema import catalog
from repro.schema.catalog import BundledSource, Checkpoint
from repro.schema.families import FAMILIES, OWN_CODE, Family, Layout, family_and_layout
from repro.text import first_few
from repro.weights import checkpoint_files, foreign_json, loadable
from repro.weights.checkpoint_files import Tensors

_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_SIZES: Mapping[str, Sequence[str]] = {
    "hidden_size": ("hidden_size", "d_model", "model_dim"),
    "blocks": ("num_hidden_layers", "n_layer", "n_layers", "num_transformer_layers"),
    "heads": ("num_attention_heads", "n_heads", "num_query_heads"),
}
"""What an entry says to what config.json may call it; of one number a block the largest counts."""
_TIED = (
    *("tie_word_embeddings", "tie_embeddings"),
    *("share_input_output_layers", "weight_tying"),
)
"""What config.json may call it that the output layer is the embedding."""


def name_of(folder: Path) -> str:
    """What a checkpoint is called in the catalog unless its user says otherwise."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.absolute().name).lstrip("._-") or "my-model"


def model_entry(folder: Path, name: str) -> Checkpoint:
    """The entry of a checkpoint folder.

    Raises:
        BadInputError: it cannot be loaded here, with every reason.
    """
    files = checkpoints.checkpoint_digests(folder, name)
    config = foreign_json.read(folder / loadable.CONFIG)
    found = family_and_layout(config)
    if found is None:
        known = ", ".join(each for one in FAMILIES.values() for each in one.config)
        says = repr(config.get("model_type"))
        message = f"{folder} is of no family that is known here"
        raise BadInputError(message, [Problem(f"{folder}/config.json: $.model_type", says, known)])
    family, layout = found
    checkpoint_files.check(folder, name, family)
    tensors = checkpoint_files.stored_tensors(folder)
    sizes = {field: _size(config, field) for field in _SIZES}
    if FAMILIES[family].state == "recurrent":
        sizes["heads"] = None
    problems = list(_problems(folder, FAMILIES[family], sizes, tensors))
    if problems:
        raise BadInputError(f"no entry can be made of {folder}", problems)
    named = {key.partition("/")[2]: sha for key, sha in files.items()}
    return Checkpoint.model_validate(
        {
            "family": family,
            "source": BundledSource(kind="bundled", folder=place_of(folder)),
            "stored_dtype": _dtype(tensors),
            "tokenizer": "own",
            "parameters": _parameters(folder, config, layout, tensors),
            **sizes,
            "files": named,
            "note": "ours",
        }
    )


def place_of(path: Path) -> str:
    """Where something lies in the bundle, or has to be put; its name where it lies elsewhere."""
    inside = [path.resolve().relative_to(each) for each in _roots() if _is_in(path, each)]
    return inside[0].as_posix() if inside else path.absolute().name


def lies_in_bundle(path: Path) -> bool:
    """Whether something lies in the bundle, or beside the tool, where its entry says."""
    return any(_is_in(path, each) for each in _roots())


def _roots() -> tuple[Path, ...]:
    return paths.bundle().root.resolve(), paths.ROOT.resolve()


def _is_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder)


def _problems(
    folder: Path,
    family: Family,
    sizes: Mapping[str, int | None],
    tensors: Tensors,
) -> Iterator[Problem]:
    config = f"{folder}/config.json"
    if family is FAMILIES[OWN_CODE]:
        yield Problem(config, "a model whose code comes with it", "one of a family that is known")
    for field, names in _SIZES.items():
        if sizes[field] is None and not (field == "heads" and family.state == "recurrent"):
            yield Problem(config, f"no {' or '.join(names)}", "a whole number above 0")
    if not checkpoint_files.has_tokenizer(folder, own=True):
        yield Problem(str(folder), "no tokenizer", "tokenizer.json beside the weights")
    if others := sorted({each["dtype"] for each in tensors.values()} - set(_DTYPES)):
        expected = f"weights in {', '.join(_DTYPES.values())}"
        yield Problem(str(folder), f"weights in {first_few(others)}", expected)


def _size(config: Mapping[str, Any], field: str) -> int | None:
    named = (config.get(each) for each in _SIZES[field])
    listed = (each if isinstance(each, list) else [each] for each in named)
    return next((max(each) for each in listed if each and all(map(_is_count, each))), None)


def _is_count(found: object) -> bool:
    return type(found) is int and found > 0


def _dtype(tensors: Tensors) -> str:
    """What most of the weights are stored in."""
    counts = Counter[str]()
    for each in tensors.values():
        counts[each["dtype"]] += math.prod(each["shape"])
    return _DTYPES[counts.most_common(1)[0][0]]


def _parameters(
    folder: Path,
    config: Mapping[str, Any],
    layout: Layout,
    tensors: Tensors,
) -> int:
    """Stored numbers that are the model's; an output layer that is the embedding's counts once."""
    kept = {
        name: each
        for name, each in tensors.items()
        if not any(re.fullmatch(pattern, name) for pattern in layout.unused)
    }
    total: int = sum(math.prod(each["shape"]) for each in kept.values())
    embedding = kept.get(layout.embedding)
    tied = next((config[each] for each in _TIED if each in config), True)
    if embedding is None or not tied:
        return total
    alike = [
        name
        for name, each in kept.items()
        if name != layout.embedding
        and (each["dtype"], each["shape"]) == (embedding["dtype"], embedding["shape"])
    ]
    own = _tensor_digest(folder, layout.embedding) if alike else ""
    copies = sum(_tensor_digest(folder, name) == own for name in alike)
    copied: int = copies * math.prod(embedding["shape"])
    return total - copied


def _tensor_digest(folder: Path, name: str) -> str:
    """SHA-256 of the bytes of one tensor."""
    files = [each for each in loadable.weights(folder) if each != loadable.INDEX]
    for file in files:
        header = checkpoint_files.safetensors_header(folder / file)
        if name not in header:
            continue
        digest = hashlib.sha256()
        for piece in checkpoint_files.stored_bytes(folder / file, [header[name]["data_offsets"]]):
            digest.update(piece)
        return digest.hexdigest()
    return ""


# -----------------------------------------------------------------------------
# The data of a task


def data_source(file: Path, licence: str) -> dict[str, Any]:
    """Where an entry's data comes from: a wheel that the catalog pins, or a file of one's own.

    Raises:
        BadInputError: there is no such file.
    """
    try:
        found = fileio.digest_of_file(file)
    except OSError as error:
        problem = Problem(str(file), error.strerror or str(error), "a file of rows")
        raise BadInputError("there is no such data", [problem]) from error
    for known in catalog.question_sets().values():
        if known.wheel and known.wheel.sha256 == found:
            wheel = known.wheel.model_dump(mode="json")
            return {"wheel": wheel, "file": "", "known": {}, "licence": licence, "hub": None}
    place = place_of(file)
    digests = {file.name: content_digest(file)}
    return {"wheel": None, "file": place, "known": digests, "licence": licence, "hub": None}
