"""The tokenizer of a checkpoint, read as the pinned tokenizers reads it and as nothing else.

Fields of a tokenizer.json that a version does not know are passed over without a word, and what
they say with them; here they are refused by name.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from runner.models import checkpoint_checks

_LEGACY = ("add_prefix_space", "str_rep")
"""Fields that the pinned version reads and writes in another form."""


def load(folder: Path, *, own_code: bool) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint.

    The folder is as `loadable.private_copy` gives it; `own_code`: code in it may be executed.

    Raises:
        BadInputError: it cannot be read, or says what the pinned tokenizers passes over.
    """
    with checkpoint_checks.checkpoint_errors(folder):
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=own_code
        )
        path = folder / "tokenizer.json"
        if path.is_file():
            read = json.loads(Tokenizer.from_file(str(path)).to_str())
            passed_over = list(_unread_fields(json.loads(path.read_bytes()), read, "$"))
            if passed_over:
                what = f"{', '.join(passed_over[:3])}: not known to tokenizers 0.19.1"
                raise checkpoint_checks.refused(path, what, "a field that it reads")
    return found


def _unread_fields(given: object, read: object, where: str) -> Iterator[str]:
    """Fields of some JSON that are not in what was read of it."""
    if isinstance(given, dict) and isinstance(read, dict):
        for field, value in given.items():
            if field in ("vocab", "merges"):
                continue
            if field in read:
                yield from _unread_fields(value, read[field], f"{where}.{field}")
            elif value is not None and field not in _LEGACY:
                yield f"{where}.{field}"
    elif isinstance(given, list) and isinstance(read, list):
        for number, (one, other) in enumerate(zip(given, read, strict=False)):
            yield from _unread_fields(one, other, f"{where}[{number}]")


def check(found: PreTrainedTokenizerBase, model: PreTrainedModel, folder: Path) -> None:
    """Refuse a tokenizer that gives ids for which the model has no embedding."""
    with checkpoint_checks.checkpoint_errors(folder):
        rows = model.get_input_embeddings().weight.shape[0]
        largest = max(found.get_vocab().values(), default=0)
    if largest >= rows:
        place, what = (
            f"{folder}: its tokenizer",
            f"ids up to {largest} for an embedding of {rows} rows",
        )
        raise checkpoint_checks.refused(place, what, f"ids below {rows}")
