"""The digests of a checkpoint folder, and whether they are those that were pinned.

Where only a pickle was published and pinned, the folder has the safetensors that `repro convert`
made of it; they are made again, in memory, and compared.
"""

from collections.abc import Mapping
from pathlib import Path

from repro import checkpoint_shards, convert_weights, digests
from repro.errors import BadInputError, Problem

TOKENIZER = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)
READ = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    *TOKENIZER,
)
"""Everything that transformers reads from a checkpoint folder without executing it."""
PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
"""What is pinned where there is no safetensors; never loaded."""
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def of_folder(folder: Path, name: str) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint folder that loading it reads.

    Args:
        folder: The checkpoint.
        name: Its name in the catalog.

    Returns:
        Digest by `<name>/<file>`.

    Raises:
        BadInputError: if it is no folder, or its weights are pickles: unpickling executes
            code, and nothing here is executed that a manifest did not pin.
    """
    if not folder.is_dir():
        message = f"checkpoint {name}: there is no folder {folder}"
        raise BadInputError(message)
    next(folder.iterdir(), None)  # `glob` finds nothing where it may not look
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for each in _PICKLES for path in folder.glob(each))
        found = ", ".join(pickles) if pickles else "no weights"
        index = folder / "pytorch_model.bin.index.json"
        first = index if index.is_file() else folder / "".join(pickles[:1])
        remedy = (
            f"convert them: repro convert {first}" if pickles else "use a copy with safetensors"
        )
        message = (
            f"checkpoint {name}: {folder} has no safetensors\n"
            f"    found:    {found}\n"
            "    expected: *.safetensors; pickled weights are never loaded, because loading "
            "them can execute code\n"
            f"    {remedy}"
        )
        raise BadInputError(message)
    if not (folder / "config.json").is_file():
        message = f"checkpoint {name}: {folder} has no config.json"
        raise BadInputError(message)
    paths = sorted({path for pattern in READ for path in folder.glob(pattern)})
    held, problems = dict[str, str](), list[Problem]()
    for path in paths:
        try:
            held[f"{name}/{path.name}"] = digests.of_file(path)
        except OSError as error:
            problems.append(Problem(str(path), error.strerror or str(error), "a file to read"))
    if problems:
        message = f"checkpoint {name}: {folder} cannot be read"
        raise BadInputError(message, problems)
    return held


def agree(found: Mapping[str, str], pinned: Mapping[str, str], folder: Path) -> bool:
    """Whether a folder has every pinned file; a pinned pickle as safetensors made of it.

    Args:
        found: Digest by `<name>/<file>`, from `of_folder`.
        pinned: The same, as pinned; at least one.
        folder: The checkpoint.
    """
    pickles = {file.partition("/")[2]: sha for file, sha in pinned.items() if _is_pickle(file)}
    plain = {file: sha for file, sha in pinned.items() if not _is_pickle(file)}
    return plain.items() <= found.items() and (not pickles or _made_of(folder, pickles))


def _is_pickle(file: str) -> bool:
    return file.endswith((".bin", ".bin.index.json"))


def _made_of(folder: Path, pickles: Mapping[str, str]) -> bool:
    """Whether the safetensors of a folder are what `repro convert` makes of these pickles."""
    for file, sha in pickles.items():
        if not (folder / file).is_file() or digests.of_file(folder / file) != sha:
            return False
    index = [file for file in pickles if file.endswith(".json")]
    source = folder / (index or list(pickles))[0]
    try:
        shards = checkpoint_shards.find(source)
        expected = {*shards.targets.values(), *([checkpoint_shards.INDEX] if index else [])}
        if expected != {path.name for path in folder.glob("*.safetensors*")}:
            return False
        convert_weights.convert(source, None, lambda *_: None)  # compares: the targets are there
    except BadInputError:
        return False
    return True
