"""How the reading of a torch checkpoint says no: what was found, what was expected, and where."""

from typing import NoReturn

_LONGEST = 80
"""Characters of a file's own text that are shown."""


class RefusedError(Exception):
    """Something that `torch.save` does not write for a set of named weights."""

    def __init__(self, found: str, expected: str, where: str = "") -> None:
        super().__init__(found, expected, where)
        self.found = found
        self.expected = expected
        self.where = where
        """Place inside the file; set by whoever knows it, empty for the file as a whole."""


def refuse(found: str, expected: str, where: str = "") -> NoReturn:
    """Raise a RefusedError."""
    raise RefusedError(found, expected, where)


def shown(text: str) -> str:
    """Text of a file that is not trusted, so that it cannot drive a terminal."""
    escaped = ascii(text)[1:-1]
    return escaped if len(escaped) <= _LONGEST else escaped[:_LONGEST] + "…"
