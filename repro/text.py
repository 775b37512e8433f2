"""Numbers with their nouns, and names that may have been meant, for everything that prints.

Not covered: letters that only look alike, and marks that are piled up; markup, which whoever
renders it escapes.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
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
    return "".join(map(_visible_character, text))


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
def _visible_character(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] == "C" or category in _CATEGORIES or _BLANK.match(character):
        return character.encode("unicode_escape").decode("ascii")
    return character


# -----------------------------------------------------------------------------
# A number with its noun, and the first of many names, for everything that prints counts.


def plural(number: int, noun: str) -> str:
    """A number with its noun, whose plural takes an s.

    Example:
        >>> plural(0, "pair"), plural(1, "pair"), plural(2000, "pair")
        ('0 pairs', '1 pair', '2,000 pairs')
    """
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def first_few(names: Sequence[str], most: int = 3) -> str:
    """The first of several names, and how many more there are.

    Example:
        >>> first_few(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


# -----------------------------------------------------------------------------
# Names that may have been meant, for messages about a name that is not known.

_SHOWN = 6
"""Candidates that a message names."""


def known_names(name: str, known: Iterable[str]) -> str:
    """What a name could have been, the nearest first, in words for `expected`.

    Example:
        >>> known_names("large-13b", ["tiny-1.5", "large-1.3b", "small-1b"])
        'one of large-1.3b, tiny-1.5, small-1b'
    """
    every = list(dict.fromkeys(known))
    if not every:
        return "a defined name; none is defined"
    near = get_close_matches(name, every, _SHOWN)
    shown = [*near, *(each for each in every if each not in near)][:_SHOWN]
    more = f" … ({len(every)} in all)" if len(every) > _SHOWN else ""
    return f"one of {', '.join(shown)}{more}"


# -----------------------------------------------------------------------------
# Money and times in words.

_A_CENT, _WHOLE = 0.01, 10


def money(amount: float) -> str:
    """An amount in any currency, to the cent below ten; what is more than nothing is never 0.

    Example:
        >>> money(0.0), money(0.0001), money(2.5), money(1234.5)
        ('0', 'under 0.01', '2.50', '1,234')
    """
    if 0 < amount < _A_CENT:
        return f"under {_A_CENT}"
    return f"{amount:,.2f}" if 0 < amount < _WHOLE else f"{amount:,.0f}"


_A_MINUTE_AND_A_HALF = 90
_AN_HOUR, _A_MONTH, _BEYOND = 3600, 30 * 24 * 3600, "over a month"


def duration(seconds: float) -> str:
    """Seconds in the unit that people would use."""
    if seconds < _A_MINUTE_AND_A_HALF:
        return f"{seconds:.0f} s"
    if seconds < 60 * _A_MINUTE_AND_A_HALF:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.0f} h"


def hours(seconds: float) -> str:
    """Hours to a tenth, of what is paid; minutes where that is more telling."""
    return f"{seconds / 3600:,.1f} h" if seconds >= _AN_HOUR else duration(seconds)


def rough_duration(seconds: float) -> str:
    """What is worth saying of a time on this machine: nobody waits for more than a month."""
    return duration(seconds) if seconds <= _A_MONTH else _BEYOND


def duration_here(seconds: float) -> str:
    """The same in words, for a line."""
    time = rough_duration(seconds)
    return f"beyond this machine ({time})" if time == _BEYOND else f"about {time} here"
