"""A number with its noun, and the first of many names, for everything that prints counts."""

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """A number with its noun, whose plural takes an s.

    Example:
        >>> counted(0, "pair"), counted(1, "pair"), counted(2000, "pair")
        ('0 pairs', '1 pair', '2,000 pairs')
    """
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first of several names, and how many more there are.

    Example:
        >>> listed(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
