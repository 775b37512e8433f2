"""Names that may have been meant, for messages about a name that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches

_SHOWN = 6
"""Candidates that a message names."""


def one_of(name: str, known: Iterable[str]) -> str:
    """What a name could have been, the nearest first, in words for `expected`.

    Example:
        >>> one_of("mamba-13b", ["phi-1.5", "mamba-1.3b", "olmo-1b"])
        'one of mamba-1.3b, phi-1.5, olmo-1b'
    """
    every = list(dict.fromkeys(known))
    if not every:
        return "a defined name; none is defined"
    near = get_close_matches(name, every, _SHOWN)
    shown = [*near, *(each for each in every if each not in near)][:_SHOWN]
    more = f" … ({len(every)} in all)" if len(every) > _SHOWN else ""
    return f"one of {', '.join(shown)}{more}"
