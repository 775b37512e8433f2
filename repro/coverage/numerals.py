"""The numerals that the paper prints, in order, from the text of a copy of it.

The copy is arXiv v2 as plain text or Markdown, with LaTeX fragments and tables whose cells
are parted by tabs; a heading ("5.1 Some title") has a line of its own between blank lines.
A numeral is a run of digits with its sign, thousands separators, decimals and exponent, a
package version, or one of WORDS. The text is scanned once from left to right and the first
rule that matches at a place decides: EXCLUDED rules come first, and what they match is gone.

Not covered: ordinals, and numbers above twelve in words. Footnote marks are asterisks in
this text; arXiv numbers and the release number stand in parts that are not read.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repro import fileio
from repro.errors import BadInputError

SECTIONS = ("abstract", "1", "2", "3", "4", "5", "6", "D", "E", "F")
"""What is read, each with its subsections; acknowledgements, references and A to C are not."""

_HEADING = re.compile(
    r"(?:#+ *)?\**"
    r"(?:(?P<name>Abstract|References)|(?P<number>\d(?:\.\d)*|[A-Z])\.? [A-Z][^\t]{1,97}[^\t.])"
    r"\**"
)
"""A whole line: no tab, at most 100 characters of title, no full stop at its end."""

# -----------------------------------------------------------------------------
# Rules

_NUMBERED = "(?:Equation|Section|Figure|Table|Theorem|Lemma)"

EXCLUDED = {
    # a web or mail address, whatever digits it has
    "address": r"\S+(?:://|@)\S+",
    # a list of references in brackets: [21], [21, 11]
    "citation": r"\[\d+(?:,\s*\d+)*\]",
    # Figure 5.1, Theorem 3's; a list only after a plural: Equations 1 and 2
    "reference": rf"\b{_NUMBERED}s\s+\d+(?:(?:,|,?\s+and)\s+\d+)*|\b{_NUMBERED}\s+\d+(?:\.\d+)*",
    # the number that LaTeX prints beside an equation
    "equation number": r"\\tag\{\d+\}|\\quad\s*\(\d+\)",
    # x_0, A^{-1}: LaTeX's indices and exponents
    "index": r"[_^](?:\{[^{}]*\}|\\?\w+)",
    # digits glued to the letters before them, or by a hyphen: FP32, A10G, Phi-1.5, t-1; not v2.2.2
    "name": r"(?!v\d)[A-Za-z_]+-?\d\w*(?:[-.]\d\w*)*",
}
"""Rule to the pattern of what is no numeral."""

WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "once", "twice", "triple", "half", "halve"),
)

_NUMERALS = {
    "version": r"\d+(?:\.\d+){2,}(?:\.dev\d+)?(?:\+\w+)?",
    # a minus is a sign unless it follows what it can be subtracted from, or part a range
    "number": r"(?:(?<![\w)\]}])[-−])?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?",
    "word": rf"\b(?i:{'|'.join(WORDS)})\b",
}

_RULES = tuple({**EXCLUDED, **_NUMERALS})
_SCANNER = re.compile("|".join(f"({pattern})" for pattern in {**EXCLUDED, **_NUMERALS}.values()))

# -----------------------------------------------------------------------------
# Extraction


@dataclass(frozen=True)
class Numeral:
    """One printed number."""

    section: str
    """Number of the section or subsection, letter of the appendix, or `abstract`."""
    order: int
    """Its place among the section's numerals, from 1."""
    text: str
    """As printed; words in lower case."""

    @property
    def sha256(self) -> str:
        """Digest of the text in UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def from_file(path: Path) -> list[Numeral]:
    """All numerals of a copy of the paper.

    Raises:
        BadInputError: if it cannot be read, is not UTF-8, or lacks headings of SECTIONS.
    """
    try:
        text = fileio.text(path)
    except OSError as error:
        message = f"cannot read the copy of the paper {path}: {error.strerror}"
        raise BadInputError(message) from error
    except UnicodeDecodeError as error:
        message = f"the copy of the paper {path} is not UTF-8 text (byte {error.start})"
        raise BadInputError(message) from error
    parts = sections(text)
    missing = [name for name in SECTIONS if name not in parts]
    if missing:
        message = (
            f"{path} is not the text of the paper: found no heading of {', '.join(missing)}; "
            f"expected {', '.join(SECTIONS)}, each heading on a line between blank lines"
        )
        raise BadInputError(message)
    return [
        Numeral(section, order, printed)
        for section, part in parts.items()
        for order, printed in enumerate(numerals(part), start=1)
    ]


def sections(text: str) -> dict[str, str]:
    """Text of each section and subsection that is read, without its heading."""
    lines = ["", *text.splitlines(), ""]
    found: dict[str, str] = {}
    current = ""
    for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
        heading = None if before.strip() or after.strip() else _HEADING.fullmatch(line.strip())
        if heading:
            current = (heading["number"] or heading["name"]).replace("Abstract", "abstract")
        if current.split(".")[0] in SECTIONS:
            found[current] = found.get(current, "") + ("" if heading else line + "\n")
    return found


def numerals(text: str) -> list[str]:
    """The numerals of a text as printed, in order.

    Example:
        >>> numerals("Phi-1.5 [33] is 1.05 in Table 1, twice the 5 of FP16")
        ['1.05', 'twice', '5']
    """
    return [
        matched.lower() if rule == "word" else matched
        for rule, matched in scan(text)
        if rule in _NUMERALS
    ]


def scan(text: str) -> Iterator[tuple[str, str]]:
    """Each match of a rule, excluded or not, with the rule's name, from left to right."""
    for match in _SCANNER.finditer(text):
        yield _RULES[(match.lastindex or 1) - 1], match[0]
