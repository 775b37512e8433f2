"""JSON that somebody else wrote, read one way everywhere.

Taken: a byte order mark at the start, CRLF, blank lines between JSON lines and behind them.
Refused, each as a ValueError: a key twice in one object (the last would win, which hides a change),
half of a surrogate pair (no text, and no digest), an integer of more than 4,300 digits, nesting
without end. NaN and infinity are Python's to read: a checkpoint's configuration may have them
(`time_step_limit`); what has a schema refuses them there.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from repro import fileio

Held = TypeVar("Held")

_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def parse(text: str | bytes) -> Any:  # noqa: ANN401  # any JSON
    """What a document holds.

    Raises:
        ValueError: it is no JSON, or refused.
    """
    text = _without_byte_order_mark(text)
    repeated, found = keys_and_content(text)
    if repeated:
        raise ValueError(f"the key {repeated[0]!r} twice in one object")
    if _HALF.search(text):
        json.dumps(found, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return found


def keys_and_content(text: str) -> tuple[list[str], Any]:
    """Keys that stand twice in one object, and what a document holds.

    Raises:
        ValueError: it is no JSON.
    """
    repeated: list[str] = []

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            times = Counter(key for key, _ in pairs)
            repeated.extend(key for key, count in times.items() if count > 1)
        return found

    try:
        return repeated, json.loads(text, object_pairs_hook=check)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def load(path: Path) -> Any:  # noqa: ANN401  # any JSON
    """What a file holds.

    Raises:
        OSError: it cannot be read, or is no file.
        ValueError: it is no JSON, or refused.
    """
    return parse(fileio.read_bytes(path))


def lines(text: str | bytes) -> list[str]:
    """The JSON lines of a text, blank ones left out; each is for `parse`.

    Raises:
        UnicodeDecodeError: it is no UTF-8.
    """
    return [line for line in _without_byte_order_mark(text).split("\n") if line.strip()]


def each_value(text: str) -> Iterator[Any]:
    """Values one after the other: the elements of one array, or JSON lines.

    One is held in memory at a time.

    Raises:
        ValueError: it is no JSON, ends before the array does, or is refused.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    at = _GAP.match(text).end()  # type: ignore[union-attr]  # matches anywhere
    array = text[at : at + 1] == "["
    at += array
    while True:
        at = _GAP.match(text, at).end()  # type: ignore[union-attr]  # the same
        if at == len(text) or (array and text[at] == "]"):
            break
        try:
            found, at = decoder.raw_decode(text, at)
        except RecursionError as error:
            raise ValueError("nested too deep") from error
        yield found
        at = _GAP.match(text, at).end()  # type: ignore[union-attr]  # the same
        at += array and text[at : at + 1] == ","
    if (array and not text[at : at + 1] == "]") or text[at + 1 :].strip():
        raise ValueError("the array has no end" if at == len(text) else "more behind the array")


_GAP = re.compile(r"[ \t\r\n]*")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice in one object")
    return found


def load_model(path: Path, validate: Callable[..., Held]) -> Held:
    """What a file holds, held to its schema, strictly.

    Args:
        path: The file.
        validate: A pydantic model's `model_validate_json`, or a TypeAdapter's `validate_json`.

    Raises:
        OSError: it cannot be read, or is no file.
        ValueError: it does not match, or is refused; `explain_error` says it in a line.
    """
    text = _without_byte_order_mark(fileio.read_bytes(path))
    found = validate(text, strict=True)
    parse(text)
    return found


def explain_error(error: OSError | ValueError) -> str:
    """What is wrong with a file, in a few words."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)


def _without_byte_order_mark(text: str | bytes) -> str:
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    return text.decode("utf-8-sig")
