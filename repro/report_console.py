"""The terminal that every report is printed to."""

from rich.console import Console

_NARROWEST = 110
"""Columns below which a row does not fit on a line; output to a file gets these."""


def console() -> Console:
    """Standard output; wide enough for the tables when it is not a terminal.

    Nothing that is printed is markup: names from files of others may look like it.
    """
    found = Console(highlight=False, markup=False)
    if found.width < _NARROWEST:
        found = Console(highlight=False, markup=False, width=_NARROWEST)
    return found
