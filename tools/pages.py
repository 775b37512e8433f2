"""Parts of pages that commands make, between two marks."""


def with_part(text: str, begin: str, end: str, part: str) -> str:
    """A page with what stands between its marks made again."""
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{part.rstrip()}\n\n{end}{rest.partition(end)[2]}"
