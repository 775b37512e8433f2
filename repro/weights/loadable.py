"""What loading may read: a closed list of files, and a private folder that holds nothing else.

The libraries that load a checkpoint look for some forty names in its folder, unasked: an
adapter_config.json sends transformers to another folder, an adapter_model.bin beside it is
unpickled. So which files are read is decided here, before any library sees the folder: config.json,
the weights in safetensors, the tokenizer, and Python that the user allowed. Those are digested, and
what loads them is given a folder with those and nothing else, in which

    JSON, words, code   are copies of the very bytes that were digested;
    weights             are links to files that are held open: another file of that name, put there
                        later, is not read, and one that is written to meanwhile is told;
    tokenizer.json      has the form that the pinned tokenizers reads (`foreign_json.tokenizer`),
                        and the file beside it a class of transformers (`tokenizer_settings`).

No file of the list may send a library elsewhere (`foreign_json.forbidden_settings`).

Not covered: what a checkpoint's own code does once it was allowed to run; whoever writes into a
file of weights and sets its time back.
"""

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from repro import fileio, json_text
from repro.errors import BadInputError, CannotRunError, CannotSaveError, Problem, save_errors
from repro.text import first_few
from repro.weights import foreign_json

CONFIG = "config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_WORDS = "tokenizer.json"
TOKENIZER = (
    _WORDS,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)
"""Of every class in `foreign_json.CLASSES`."""
PLAIN: Mapping[str, tuple[str, ...]] = {
    "transformers": (CONFIG, "generation_config.json", *TOKENIZER),
    "mamba-ssm": (CONFIG, *TOKENIZER),
}
"""Layout to what is read beside weights and code."""
_REWRITTEN = {
    _WORDS: foreign_json.tokenizer,
    "tokenizer_config.json": foreign_json.tokenizer_settings,
}
_ADAPTER = "adapter_config.json"
_LINKED = ".safetensors"


class NotLoadableError(BadInputError):
    """A checkpoint whose files would have a library read others, or that has none to read."""


class ChangedError(CannotRunError):
    """A file is not what it was when it was digested."""

    def __init__(self, path: Path, how: str) -> None:
        self.path, self.how = path, how
        super().__init__(f"{path} {how}; run again with a file that stays as it is")


# -----------------------------------------------------------------------------
# The list


def names(folder: Path, code: Collection[str] = ()) -> list[str]:
    """Every file that loading a checkpoint reads, by its bare name.

    Args:
        folder: The checkpoint.
        code: Python files that the user allowed; `remote_code` finds them.

    Raises:
        NotLoadableError: naming every file that would lead elsewhere.
    """
    found = [*weights(folder), *code]
    if os.path.lexists(folder / _ADAPTER):
        where = str(folder / _ADAPTER)
        expected = "no such file: remove it, or bring weights that the adapter is merged into"
        what = "an adapter, for which transformers loads another model than this folder's"
        raise _refused(folder, Problem(where, what, expected))
    layout = "transformers"
    if (folder / CONFIG).is_file() and "ssm_cfg" in foreign_json.read(folder / CONFIG):
        layout = "mamba-ssm"
    return sorted([*found, *(name for name in PLAIN[layout] if (folder / name).is_file())])


def weights(folder: Path) -> list[str]:
    """The safetensors of a checkpoint, with their index if they have one; empty without any.

    As transformers: `model.safetensors` if it is there, else what the index names.

    Raises:
        NotLoadableError: the index is none, or names what is not a file of the folder itself.
    """
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if not (folder / INDEX).is_file():
        return []
    shards = shards_of(folder / INDEX)
    named = sorted(set(shards.values()))
    bad = [each for each in named if not (each.endswith(_LINKED) and lies_beside(folder, each))]
    if bad:
        lost = sorted(tensor for tensor, name in shards.items() if name in bad)
        shown = first_few([ascii(each)[1:-1] for each in lost])
        expected = "the name of a safetensors file that lies in this folder"
        raise _refused(
            folder,
            Problem(str(folder / INDEX), f"{len(lost)} tensors in no shard: {shown}", expected),
            *(Problem(f"{folder}/{ascii(name)[1:-1]}", "no file", expected) for name in bad[:3]),
        )
    return [INDEX, *named]


def shards_of(path: Path) -> dict[str, str]:
    """Tensor to the shard that an index says it is in.

    Raises:
        NotLoadableError: it is no index.
    """
    try:
        return weight_map(path)
    except (OSError, ValueError) as error:
        found = f"no index of tensors ({json_text.explain_error(error)})"
    expected = "a JSON object with weight_map: tensor to shard"
    raise _refused(path.parent, Problem(str(path), found, expected))


def weight_map(path: Path) -> dict[str, str]:
    """The same of any index, of safetensors or of pickles.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no index.
    """
    named = foreign_json.parse(fileio.read_bytes(path)).get("weight_map")
    if isinstance(named, dict) and named and all(type(each) is str for each in named.values()):
        return named
    raise ValueError("no weight_map")


def lies_beside(folder: Path, name: str) -> bool:
    """Whether a shard's name is that of a file in the folder; a link there may lead anywhere."""
    bare = name.isprintable() and not {"/", "\\"} & set(name)
    return bare and len(name.encode()) < 256 and (folder / name).is_file()  # noqa: PLR2004


def check(folder: Path, code: Collection[str] = ()) -> None:
    """Refuse a checkpoint whose files say what loading may not follow.

    Raises:
        NotLoadableError: with every problem of every file.
    """
    if found := _problems(folder, names(folder, code)):
        raise _refused(folder, *found)


def _problems(folder: Path, listed: Collection[str]) -> list[Problem]:
    """What files of the list say that loading may not follow."""
    own_code = any(name.endswith(".py") for name in listed)
    found = [
        problem
        for name in listed
        for problem in foreign_json.forbidden_settings(folder / name, own_code=own_code)
    ]
    if _WORDS in listed:
        try:
            foreign_json.tokenizer(fileio.read_bytes(folder / _WORDS))
        except (OSError, ValueError) as error:
            expected = "a tokenizer as tokenizers 0.19.1 reads it"
            found.append(Problem(str(folder / _WORDS), str(error), expected))
    return found


def _refused(folder: Path, *problems: Problem) -> NotLoadableError:
    return NotLoadableError(f"cannot load the checkpoint {folder.name}", problems)


# -----------------------------------------------------------------------------
# The private folder

_PRIVATE: dict[Path, Path] = {}
"""Private folders of this process, each with what it was made of."""


@contextmanager
def private_copy(
    folder: Path,
    *,
    held: Mapping[str, str] | None = None,
    code: Collection[str] = (),
    work: Path | None = None,
) -> Iterator[Path]:
    """A folder of this process alone that holds what loading may read, as it is now.

    Args:
        folder: A checkpoint; one that this function made is given back as it is.
        held: SHA-256 by bare name, of what was decided before; None to decide now, by `names`.
        code: Python files that the user allowed, where it is decided now.
        work: Where it lies if no folder for temporary files can be written to; made if need be.

    Raises:
        NotLoadableError: as `names` and `check`.
        CannotSaveError: it cannot be written.
        ChangedError: a file is not what `held` says, or was written to while it was in use.
    """
    if folder in _PRIVATE:
        yield folder
        return
    listed = names(folder, code) if held is None else list(held)
    with ExitStack() as stack:
        own = Path(stack.enter_context(_scratch(work))) / (folder.resolve().name or "checkpoint")
        with save_errors(own):
            own.mkdir()
            opened = [
                _placed(stack, folder / name, own / name, (held or {}).get(name)) for name in listed
            ]
        _PRIVATE[own] = folder
        try:
            if found := _problems(own, listed):
                raise _refused(own, *found)
            for name, change in _REWRITTEN.items():
                if name in listed:
                    (own / name).write_bytes(change((own / name).read_bytes()))
            yield own
        except (BadInputError, CannotRunError) as error:
            if str(own) not in str(error):
                raise
            # By the name that the user knows the folder by.
            kinds = (NotLoadableError, BadInputError, CannotRunError)
            kind = next(each for each in kinds if isinstance(error, each))
            raise kind(str(error).replace(str(own), str(folder))) from error
        finally:
            del _PRIVATE[own]
        for path, stream, before in opened:
            if path.suffix == _LINKED and _state(stream) != before:
                raise ChangedError(path, "was written to while it was in use")


def _scratch(work: Path | None) -> TemporaryDirectory[str]:
    """A new folder that this user alone can read."""
    try:
        place = Path(gettempdir())
    except FileNotFoundError as error:  # all of a read-only container may be unwritable
        if work is None:
            message = f"{error.strerror}; set TMPDIR to a folder that can be written"
            raise CannotSaveError(message) from error
        place = work
    with save_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(prefix="repro-loading-", dir=place, ignore_cleanup_errors=True)


State = tuple[int, int]
"""Of an open file: bytes, and the time of the last change in nanoseconds."""


def _placed(
    stack: ExitStack, path: Path, target: Path, sha256: str | None
) -> tuple[Path, BufferedReader, State]:
    """Put one file into a private folder, by the open file that was digested."""
    try:
        stream = stack.enter_context(fileio.open_regular_file(path))
    except OSError as error:
        raise ChangedError(path, f"cannot be read ({error.strerror})") from error
    before = _state(stream)
    if path.suffix == _LINKED:
        found = hashlib.file_digest(stream, "sha256").hexdigest() if sha256 else None
        target.symlink_to(f"/proc/self/fd/{stream.fileno()}")
    else:
        content = stream.read()
        found = hashlib.sha256(content).hexdigest()
        target.write_bytes(content)
    if sha256 not in (None, found):
        raise ChangedError(path, "is not what it was when it was digested")
    return path, stream, before


def _state(stream: BufferedReader) -> State:
    now = os.fstat(stream.fileno())
    return now.st_size, now.st_mtime_ns
