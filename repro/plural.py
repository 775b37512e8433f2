"""A number with its noun, for everything that prints counts."""


def counted(number: int, noun: str) -> str:
    """A number with its noun, whose plural takes an s.

    Example:
        >>> counted(0, "pair"), counted(1, "pair"), counted(2000, "pair")
        ('0 pairs', '1 pair', '2,000 pairs')
    """
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"
