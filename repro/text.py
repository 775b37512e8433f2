"""Text of others, made fit to be shown: what is not seen, or would drive a terminal, is escaped.

Not covered: letters that only look alike, and marks that are piled up; markup, which whoever
renders it escapes.
"""

import re
import unicodedata
from functools import cache

_CATEGORIES = ("Zl", "Zp")
"""Line and paragraph separators; beside them all of C: controls, format, surrogates, unassigned."""
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that Unicode calls ignorable: they take no place, or an empty one."""


def visible(text: str) -> str:
    r"""One line of text in which every character is seen, escaped as Python does it.

    Example:
        >>> print(visible("a\x1b[2Jb\n\u202ec"))
        a\x1b[2Jb\n\u202ec
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_seen, text))


def visible_lines(text: str) -> str:
    """The same of text with line ends of its own, which stay."""
    return "\n".join(visible(line) for line in text.split("\n"))


def in_markdown(text: str) -> str:
    r"""The same as one line, with what Markdown or HTML would read escaped.

    Example:
        >>> print(in_markdown("a | *b*\n<i>"))
        a \| \*b\* \<i\>
    """
    shown = " ".join(visible(text.replace("\n", " ")).split())
    return re.sub(r"([\\|*_<>`~\[\]&])", r"\\\1", shown)


@cache
def _seen(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] == "C" or category in _CATEGORIES or _BLANK.match(character):
        return character.encode("unicode_escape").decode("ascii")
    return character
