"""JSON as trees that can hold what no JSON library writes, and changes to them.

An object is a list of pairs, so that a key can stand twice; `Raw` is text that is written as it
stands: numbers without end, literals that JSON does not have, nesting without bottom.
"""

import copy
import json
from collections.abc import Callable
from typing import Any

from fuzz.choices import Choices


class Members(list[list[Any]]):
    """An object, as pairs of key and value."""


class Raw(str):
    """Text to write as it stands."""

    __slots__ = ()


_DEEP = 20_000
_NUMBERS = (
    *("0", "1", "-1", "2", "3", "5", "7", "255", "0.5", "-0.0", "1.5", "1E+2", "1e-400", "1e308"),
    *("1e999", "-1e999", "NaN", "Infinity", "-Infinity", "0.1e", "01", "+1", ".5", "1_0", "0x10"),
    *(str(2**31), str(2**53 + 1), str(2**63), str(-(2**63) - 1), str(2**64), "1" + "0" * 400),
    *("1" + "0" * 4000, "1" + "0" * 5000, "0." + "3" * 5000),
)
_TEXTS = (
    *("", " ", ".", "..", "../../escaped", "/escaped", "escaped", "a/b", "~", "-", "a" * 81),
    *("0", "-1", "1e999999999", "NaN", "inf", "0." + "3" * 5000, "9" * 5000, "1e99", "0e-99"),
    *("１２", "1_000", "+1", " 1", "0x10", "²", "[bold]", "[/]", "[/x]", "{x}", "%s", "\\", "<b>"),
    *("é", "\u0000", "\u001b[2J", "\u202e", "\ufeff", "\uffff", "𝛌", "\n", "a" * 100_000),
    *("torch", "main", "none", "float32", "full", "smoke", "mamba-1", "0" * 64, "f" * 64),
)
PAINTS = (
    *(
        "\u001b[1A\u001b[2Kreproduced",
        "\u009b2J",
        "\r",
        "\n  reproduced",
        "\b\b",
        "\u007f",
        "\u0007",
    ),
    *("\u202e", "\u2066", "\u200b", "\u2028", "\u00ad", "\ufe0f", "[/]", ":x:", "|", "`", "=1"),
)
"""What would drive a terminal, hide, turn words round, or be read as markup or a formula."""
_OTHERS = (
    *("null", "true", "false", "[]", "{}", "[[]]", '{"":0}', '[{"id":"x"}]', "[" * 300 + "]" * 300),
    *("[" * _DEEP + "]" * _DEEP, '{"a":' * _DEEP + "1" + "}" * _DEEP, "[" * _DEEP),
    *('"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\\x"', '"\t"', '"', "undefined", "//", ","),
)
HOSTILE = tuple(map(Raw, (*_NUMBERS, *(json.dumps(each) for each in _TEXTS), *_OTHERS)))
"""Values that some reader has stumbled over."""

Place = tuple[Any, int]
"""A container and a position in it."""


def parse(text: bytes | str) -> Any:
    """A document as a tree."""
    return json.loads(
        text, object_pairs_hook=lambda pairs: Members(list(pair) for pair in pairs), parse_float=Raw
    )


def dump(tree: Any) -> str:
    """A tree as text."""
    if isinstance(tree, Raw):
        return str(tree)
    if isinstance(tree, Members):
        return "{" + ",".join(f"{json.dumps(key)}:{dump(value)}" for key, value in tree) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(map(dump, tree)) + "]"
    return json.dumps(tree)


def places(tree: Any) -> list[Place]:
    """Where every value of a tree stands, the whole apart; tree is an object or a list."""
    found: list[Place] = []
    waiting = [tree]
    while waiting:
        each = waiting.pop()
        for index in range(len(each)):
            found.append((each, index))
            value = _get((each, index))
            if isinstance(value, list):
                waiting.append(value)
    return found


def _get(place: Place) -> Any:
    container, index = place
    return container[index][1] if isinstance(container, Members) else container[index]


def _set(place: Place, value: Any) -> None:
    container, index = place
    if isinstance(container, Members):
        container[index][1] = value
    else:
        container[index] = value


# -----------------------------------------------------------------------------
# Changes: each takes a place, all places and the decisions


def _hostile(place: Place, _: list[Place], choices: Choices) -> None:
    _set(place, choices.of(HOSTILE))


def _other(place: Place, every: list[Place], choices: Choices) -> None:
    """The value of another place: right in kind, wrong here."""
    _set(place, copy.deepcopy(_get(choices.of(every))))  # it may hold this place


def _alike(place: Place, every: list[Place], choices: Choices) -> None:
    """The value of another place with the same key, or of the same type: it passes the schema."""
    container, index = place
    mine = _get(place)
    key = container[index][0] if isinstance(container, Members) else None
    same = [
        each
        for each in every
        if (isinstance(each[0], Members) and each[0][each[1]][0] == key and key is not None)
        or (key is None and type(_get(each)) is type(mine))
    ]
    _set(place, copy.deepcopy(_get(choices.of(same))))


def _swap(place: Place, every: list[Place], choices: Choices) -> None:
    """Two neighbours, or two places anywhere that do not hold each other."""
    other = choices.of(every)
    mine, theirs = _get(place), _get(other)
    if isinstance(mine, list) or isinstance(theirs, list):
        container, index = place
        container.insert(0, container.pop(index))
        return
    _set(place, theirs)
    _set(other, mine)


def _delete(place: Place, _: list[Place], __: Choices) -> None:
    container, index = place
    del container[index]


def _twice(place: Place, _: list[Place], choices: Choices) -> None:
    """The same member again, in an object with another value."""
    container, index = place
    if isinstance(container, Members):
        key, value = container[index]
        container.append([key, copy.deepcopy(value) if choices.one_in(2) else choices.of(HOSTILE)])
    else:
        container.insert(index, copy.deepcopy(container[index]))


def _unknown(place: Place, _: list[Place], choices: Choices) -> None:
    container, _index = place
    if isinstance(container, Members):
        container.append(
            [choices.of(("x", "", "id", "kind", "\ud800", "a" * 9000, *PAINTS)), Raw("0")]
        )
    else:
        container.append(choices.of(HOSTILE))


def _rename(place: Place, every: list[Place], choices: Choices) -> None:
    container, index = place
    other, at = choices.of(every)
    if isinstance(container, Members):
        container[index][0] = other[at][0] if isinstance(other, Members) else "renamed"


def _near(place: Place, _: list[Place], choices: Choices) -> None:
    """A number a little off, a text with one character changed, a list cut short."""
    value = _get(place)
    if isinstance(value, bool) or value is None:
        _set(place, not value)
    elif isinstance(value, int | Raw):
        _set(place, Raw(f"{value}{choices.of(('0', '1', '.5', 'e1', 'e-1', ''))}"))
    elif isinstance(value, str):
        at = choices.below(len(value) + 1)
        _set(
            place,
            value[:at] + choices.of(("0", "1", "a", "-", ".", "", "\u00e9")) + value[at + 1 :],
        )
    else:
        del value[choices.below(len(value) + 1) :]


def _paint(place: Place, every: list[Place], choices: Choices) -> None:
    """A text that passes as it did, with something in it that a reader is not to obey."""
    texts = [each for each in every if type(_get(each)) is str] or [place]
    place = place if type(_get(place)) is str else choices.of(texts)
    _set(place, f"{_get(place)}{choices.of(PAINTS)}")


CHANGES: tuple[Callable[[Place, list[Place], Choices], None], ...] = (
    *(_paint, _paint),
    *(_near, _alike, _alike, _hostile, _hostile, _other, _swap, _delete, _twice, _unknown, _rename),
)


def mutate(tree: Any, choices: Choices, most: int = 4) -> None:
    """Change a tree in a few places."""
    for _ in range(1 + choices.below(most)):
        every = places(tree)
        if not every or len(every) > _DEEP:
            return
        choices.of(CHANGES)(choices.of(every), every, choices)


def text_of(tree: Any, choices: Choices) -> bytes:
    """A tree as a file; one in sixteen is damaged as text, and no longer JSON or not quite."""
    text = dump(tree).encode("utf-8", "surrogatepass")
    if not choices.one_in(16):
        return text
    at = choices.below(len(text) + 1)
    damaged: tuple[bytes, ...] = (
        *(b"", b"\xef\xbb\xbf" + text, text[:at], text[:at] + b"\xff" + text[at + 1 :], text * 2),
        *(text + b"\0", text.decode("utf-8", "replace").encode("utf-16"), b" " * 100 + text, b"{"),
        *(text.replace(b",", b",\r\n"), b"\xef\xbb\xbf" + text.replace(b",", b",\r\n") + b"\r\n"),
        *(b"null", b"[]", b"0", b"NaN", b"\0" * 64, b"[" * 200_000),
    )
    return choices.of(damaged)
