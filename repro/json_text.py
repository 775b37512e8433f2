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
from typing import Any, TextIO, TypeVar

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
    _refuse(repeated, text, found)
    return found


def _refuse(repeated: list[str], text: str, found: object) -> None:
    """Raise a ValueError of what Python would take."""
    if repeated:
        raise ValueError(f"the key {repeated[0]!r} twice in one object")
    if _HALF.search(text):
        json.dumps(found, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError


def keys_and_content(text: str) -> tuple[list[str], Any]:
    """Keys that stand twice in one object, and what a document holds.

    Raises:
        ValueError: it is no JSON.
    """
    repeated, decoder = _decoder()
    try:
        return repeated, decoder.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _decoder() -> tuple[list[str], json.JSONDecoder]:
    """A decoder, and the list that it adds every key to that stands twice in one object."""
    repeated: list[str] = []

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            times = Counter(key for key, _ in pairs)
            repeated.extend(key for key, count in times.items() if count > 1)
        return found

    return repeated, json.JSONDecoder(object_pairs_hook=check)


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


# -----------------------------------------------------------------------------
# Many records in one file, of which a piece is in memory at a time

_PIECE = 1 << 20
"""Characters read at a time."""
LONGEST = 1 << 24
"""Characters of the longest record; a file without a sound one in so many is not read on."""
_SOLID = re.compile(r"[^ \t\n\r]")


def records(stream: TextIO) -> Iterator[Any]:
    """The elements of a JSON list, or the lines of JSON lines: whichever the first character says.

    One that is refused stands as its ValueError. Blank lines are none.

    Args:
        stream: From its start, seekable, without a byte order mark, with line feeds as they are.

    Raises:
        ValueError: a list is cut off, or broken where no next element can be found; a record is
            longer than `LONGEST`; the text is no UTF-8.
    """
    first = ""
    while not first and (piece := stream.read(_PIECE)):
        first = piece.lstrip()[:1]
    stream.seek(0)
    if first == "[":
        yield from _List(stream).elements()
        return
    while line := stream.readline(LONGEST):
        if len(line) == LONGEST:
            raise ValueError(f"a line of more than {LONGEST:,} characters")
        if line.strip():
            yield _refused_or(line)


def _refused_or(line: str) -> object:
    try:
        return parse(line)
    except ValueError as error:
        return ValueError(f"not JSON: {error}")


class _List:
    """A JSON list that is being read."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._text, self._place = stream, "", 0
        self._repeated, self._decoder = _decoder()

    def elements(self) -> Iterator[object]:
        """Each of them in turn."""
        number = 0
        try:
            self._take("[")
            ended = self._upcoming() == "]"
            if ended:
                self._take("]")
            while not ended:
                self._upcoming()
                yield self._element()
                ended = self._take(",", "]") == "]"
                number += 1
            self._take("")
        except (ValueError, RecursionError) as error:
            why = "nested too deep" if isinstance(error, RecursionError) else error
            raise ValueError(f"a list that is not JSON at row {number}: {why}") from error

    def _upcoming(self) -> str:
        """The next character that is no space; "" at the end."""
        while not (found := _SOLID.search(self._text, self._place)):
            self._place = len(self._text)
            if not self._more():
                return ""
        self._place = found.start()
        return found[0]

    def _take(self, *wanted: str) -> str:
        """The next character, which has to be one of these."""
        found = self._upcoming()
        if found not in wanted:
            due = " or ".join(each or "the end" for each in wanted)
            raise ValueError(f"{found or 'the end'} where {due} is due")
        self._place += 1
        return found

    def _more(self) -> bool:
        """Read on, unless the record is too long; whether there was more."""
        self._text, self._place = self._text[self._place :], 0
        piece = self._stream.read(_PIECE) if len(self._text) <= LONGEST else ""
        self._text += piece
        return bool(piece)

    def _element(self) -> object:
        """The element that begins here."""
        while True:
            self._repeated.clear()
            try:
                found, end = self._decoder.raw_decode(self._text, self._place)
            except (ValueError, RecursionError):
                if not self._more():
                    raise
                continue
            after, length = _SOLID.search(self._text, end), end - self._place
            number = isinstance(found, int | float) and not (after and after[0] in ",]")
            if number and self._more():  # its digits may go on
                continue
            text = self._text[self._place : self._place + length]
            self._place += length
            try:
                _refuse(self._repeated, text, found)
            except ValueError as error:
                return error
            return found


# -----------------------------------------------------------------------------
# Held to a schema


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


def other_version(error: ValueError) -> int | None:
    """The `schema_version` of a file, where its schema takes another one; else None."""
    problems = error.errors() if isinstance(error, ValidationError) else ()
    for each in problems:
        if each["loc"] == ("schema_version",) and type(each["input"]) is int:
            return each["input"]
    return None


def _without_byte_order_mark(text: str | bytes) -> str:
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    return text.decode("utf-8-sig")
