"""JSON files that people write, held to their schema: every mistake at once, each with its path.

Manifests and the catalog are read here, and so are refused in the same words.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from repro import fileio, json_text
from repro.errors import BadInputError, Problem
from repro.schema.base import HUB_NAME, Frozen
from repro.schema.claim_base import SAID
from repro.text import plural

Model = TypeVar("Model", bound=Frozen)

Wrong = tuple[str, str, str]
"""Path inside the file, what was found there, what was expected."""


def load(
    path: Path,
    what: str,
    model: type[Model],
    advice: str,
    senseless: Callable[[Model], Iterable[Wrong]] = lambda _: (),
) -> Model:
    """What a file holds.

    Args:
        path: The file.
        what: What it is called in a message: `manifest`, `catalog`.
        model: Its schema.
        advice: What to do, behind the number of problems.
        senseless: What matches the schema and makes no sense.

    Raises:
        BadInputError: with every problem of the file, if it cannot be used.
    """
    found, problems = _read(path, what, model)
    if found is not None:
        problems += [Problem(f"{path}: $.{where}", *sides) for where, *sides in senseless(found)]
    if problems or found is None:
        count = plural(len(problems), "problem")
        message = f"{path} is not a valid {what}: {count}. {advice}"
        raise BadInputError(message, problems)
    return found


def _read(path: Path, what: str, model: type[Model]) -> tuple[Model | None, list[Problem]]:
    """What a file holds, and everything in it that does not match its schema.

    Returns:
        The content, None if it has mistakes of the schema; keys that stand twice are told
        beside a content that has none.

    Raises:
        BadInputError: if it cannot be read at all.
    """
    try:
        text = fileio.read_text(path)
    except OSError as error:
        message = f"cannot read the {what} {path}: {error.strerror}"
        raise BadInputError(message) from error
    except UnicodeDecodeError as error:
        message = f"the {what} {path} is not UTF-8 text (byte {error.start})"
        raise BadInputError(message) from error
    found, problems = _validated(text, path, model)
    return cast("Model | None", found), list(problems)


def problems_of(path: Path, error: ValueError) -> list[Problem]:
    """What keeps `json_text.load_model` from taking a file of ours, in the same words."""
    if isinstance(error, ValidationError):
        return [_problem(path, each, None) for each in error.errors()]
    return [Problem(str(path), str(error), "a JSON document")]


@lru_cache(maxsize=32)  # each claim is held to the catalog, whose text seldom changes meanwhile
def _validated(
    text: str, path: Path, model: type[Frozen]
) -> tuple[Frozen | None, tuple[Problem, ...]]:
    """The same of its text."""
    repeated, document = _parse(text)
    expected = "each key once"
    problems = [
        Problem(str(path), f"the key {key!r} twice in one object", expected) for key in repeated
    ]
    try:
        return model.model_validate_json(text, strict=True), tuple(problems)
    except ValidationError as error:
        found = error.errors()
        below = {each["loc"][:end] for each in found for end in range(len(each["loc"]))}
        problems += [  # a list is not too short where what it holds was refused
            _problem(path, each, document)
            for each in found
            if not (each["type"] == "too_short" and each["loc"] in below)
        ]
    return None, tuple(problems)


def _parse(text: str) -> tuple[list[str], object]:
    """Keys that stand twice in one object, and the document; None where it is not JSON.

    JSON lets the last of two equal keys win, which hides a change, or an entry of the catalog.
    """
    try:
        return json_text.keys_and_content(text)
    except ValueError:  # no JSON, a number of 4,301 digits, too deep
        return [], None  # the schema check says so, with the line


def _problem(path: Path, error: ErrorDetails, document: object) -> Problem:
    """One pydantic error in our words."""
    kind, value, steps = error["type"], error.get("input"), error["loc"]
    last, known = steps[-1] if steps else "", error.get("ctx", {})
    if kind == "missing":
        found, expected = "nothing", f"the field {last!r}"
    elif kind == "extra_forbidden":
        found, expected = f"the unknown field {last!r}", "only fields of the schema"
    elif kind == "json_invalid":
        found, expected = error["msg"], "a JSON document"
    elif kind == "union_tag_invalid":
        steps = (*steps, known["discriminator"].strip("'"))
        found, expected = _shown(known["tag"]), f"one of {known['expected_tags']}"
    elif kind == "union_tag_not_found":
        found, expected = "nothing", f"the field {known['discriminator']}"
    else:
        found = f"{_shown(value)} ({type(value).__name__})"
        expected = error["msg"].removeprefix("Input should be ")
        if kind in _EXPECTED:
            pattern = _PATTERNS.get(known.get("pattern", ""))
            expected = pattern or _EXPECTED[kind].format(**known)
    return Problem(f"{path}: {_where(steps, document)}", found, expected)


def _shown(value: object) -> str:
    """The start of a value, as it stands in the file."""
    try:
        return json.dumps(value, default=str, ensure_ascii=False)[:80]
    except ValueError:
        return "a number of more than 4,300 digits"


_EXPECTED = {
    "string_type": 'text in quotes, e.g. "0.03"',
    "string_pattern_mismatch": "text that matches {pattern}",
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing"), "a day, e.g. 2026-11-30"
    ),
}
"""Where pydantic's own words say too little."""

_PATTERNS = {
    "^[0-9a-f]{64}$": "a SHA-256 digest: 64 digits, 0 to 9 and a to f",
    HUB_NAME: "a name on the model hub, e.g. owner/model",
    SAID: "text that is not blank",
}
"""What text has to match, in words."""


def _where(steps: Sequence[int | str], document: object) -> str:
    """The path of an error inside the document, without pydantic's names of union members."""
    where = "$"
    for step in steps:
        if isinstance(document, dict) and step not in document and step == document.get("kind"):
            continue
        if step == "[key]":  # pydantic's, for a key that is wrong itself
            continue
        where += f"[{step}]" if isinstance(step, int) else path_key(step)
        try:
            document = document[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            document = None
    return where


def path_key(name: str) -> str:
    """One key of a path and its dot; quoted where a dot or a space in it would be misread."""
    return f".{name}" if re.fullmatch(r"[\w-]+", name) else f"[{_shown(name)}]"
