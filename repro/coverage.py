"""Which sentences of the paper some claim is about, and why the others need none.

`catalog/sentences.json` names every sentence of the paper's body, appendices and captions, and
every row of its tables, by place and digest, and holds no text of the paper. The same list is
taken from a copy, so that the two can be held against each other, and quotes against both.

The copy is plain text or Markdown, with LaTeX fragments and tables whose cells are parted by tabs;
a heading ("5.1 Some title") has a line of its own between blank lines.
"""

import difflib
import functools
import hashlib
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import PositiveInt, StringConstraints, model_validator

from repro import fileio, paths
from repro.errors import BadInputError
from repro.schema import paper, reading
from repro.schema.base import Frozen, Sha256
from repro.schema.claims import Claim
from repro.schema.manifest import Manifest
from repro.schema.paper import PaperVersion

LEDGER = "sentences.json"
ClaimName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+:[A-Za-z0-9._-]+$")]
"""Manifest and claim, e.g. `mmlu:S1.float16.printed`."""

Aside = Literal["definition", "citation", "plan", "opinion", "setup", "heading"]
"""Why a sentence needs no claim; a ledger cannot add to them."""

REASONS: Mapping[Aside, str] = {
    "definition": "says what a word, a symbol or a measure means here",
    "citation": "about the work of others",
    "plan": "says what follows, where it stands, or what may be done later",
    "opinion": "a judgement that no observation could refute",
    "setup": "says what was set up or left out; nothing outside the authors' runs shows it",
    "heading": "the heading of a paragraph, or the names of a table's columns",
}

# -----------------------------------------------------------------------------
# The ledger


class Entry(Frozen):
    """One sentence, or row of a table. With neither claims nor aside it is unbound."""

    order: PositiveInt
    """Its place among the sentences of its section."""
    sha256: Sha256
    """Digest of its text, normalised."""
    claims: tuple[ClaimName, ...] = ()
    """What checks it."""
    aside: Aside | None = None
    """The reason for which nothing does."""

    @model_validator(mode="after")
    def _not_both(self) -> "Entry":
        if self.claims and self.aside is not None:
            message = "either claims or aside"
            raise ValueError(message)
        return self

    @property
    def kept_as(self) -> str:
        """Its claims, or its reason."""
        return ", ".join(self.claims) or self.aside or "unbound"


class Ledger(Frozen):
    """Every sentence of one version of the paper."""

    schema_version: Literal[2]
    paper: PaperVersion
    sections: dict[str, tuple[Entry, ...]]
    """Section to its sentences in order."""


def load(path: Path | None = None) -> Ledger:
    """Read and check the ledger, by default `catalog/sentences.json`.

    Raises:
        BadInputError: with every problem of the file, if it cannot be used.
    """
    path = path or paths.bundle().catalog / LEDGER
    return reading.load(path, "ledger of sentences", Ledger, "Nothing was compared.", _senseless)


def _senseless(ledger: Ledger) -> Iterator[tuple[str, str, str]]:
    """Path, found and expected of what matches the schema and makes no sense."""
    for missing in (name for name in paper.sections() if name not in ledger.sections):
        yield "sections", f"no section {missing!r}", f"all of {', '.join(paper.sections())}"
    for section, entries in ledger.sections.items():
        for index, entry in enumerate(entries):
            if entry.order != index + 1:
                at = f"sections.{section}[{index}].order"
                yield at, str(entry.order), f"{index + 1}: entries stand in order"


# -----------------------------------------------------------------------------
# The tally


class SectionTally(Frozen):
    """How many sentences a section has, and what becomes of them."""

    section: str
    sentences: int
    bound: int
    aside: int
    unbound: int


class UncheckedSentence(Frozen):
    """A sentence that no existing claim checks."""

    section: str
    order: int
    claim: ClaimName | None
    """The claim that no manifest has; null where there is none."""


class Coverage(Frozen):
    """The ledger held against the manifests."""

    sections: tuple[SectionTally, ...]
    reasons: dict[Aside, int]
    """How many sentences are set aside for each reason."""
    dangling: tuple[UncheckedSentence, ...]
    unbound: tuple[UncheckedSentence, ...]
    unplaced: tuple[ClaimName, ...] = ()
    """Printed claims of this version of the paper that no sentence is bound to; a reading stands
    where its sentence does."""

    @property
    def complete(self) -> bool:
        """Whether sentences and printed claims all have each other, or a reason."""
        return not (self.dangling or self.unbound or self.unplaced)


def tally(ledger: Ledger, manifests: Sequence[Manifest]) -> Coverage:
    """Count what is bound and set aside, and find what is loose."""
    known = {f"{manifest.id}:{claim.id}" for manifest in manifests for claim in manifest.claims}
    readings = {
        f"{manifest.id}:{name}"
        for manifest in manifests
        for claim in manifest.claims
        for name in getattr(claim, "readings", ())
    }
    every = [(name, entry) for name, entries in ledger.sections.items() for entry in entries]
    asides = Counter(entry.aside for _, entry in every)
    placed = readings.union(*(entry.claims for _, entry in every))
    return Coverage(
        sections=tuple(
            SectionTally(
                section=name,
                sentences=len(entries),
                bound=sum(bool(entry.claims) for entry in entries),
                aside=sum(entry.aside is not None for entry in entries),
                unbound=sum(entry.kept_as == "unbound" for entry in entries),
            )
            for name, entries in ledger.sections.items()
        ),
        reasons={reason: asides[reason] for reason in REASONS},
        dangling=tuple(
            UncheckedSentence(section=name, order=entry.order, claim=claim)
            for name, entry in every
            for claim in entry.claims
            if claim not in known
        ),
        unbound=tuple(
            UncheckedSentence(section=name, order=entry.order, claim=None)
            for name, entry in every
            if entry.kept_as == "unbound"
        ),
        unplaced=tuple(
            name
            for name, claim in _claims(ledger, manifests)
            if claim.standing == "printed" and name not in placed
        ),
    )


def _claims(ledger: Ledger, manifests: Sequence[Manifest]) -> Iterator[tuple[ClaimName, Claim]]:
    """Every claim about the ledger's version of the paper."""
    for manifest in manifests:
        if manifest.paper == ledger.paper:
            yield from ((f"{manifest.id}:{claim.id}", claim) for claim in manifest.claims)


# -----------------------------------------------------------------------------
# The sentences of a copy

_HEADING = re.compile(
    r"(?:#+ *)?\**"
    r"(?:(?P<name>Abstract|References)|(?P<number>\d(?:\.\d)*|[A-Z])\.? [A-Z][^\t]{1,97}[^\t.])"
    r"\**"
)
"""A whole line: no tab, at most 100 characters of title, no full stop at its end."""
_CAPTION = re.compile(r"\W*(?:Figure|Table) \d+: ")
_FOOTNOTE = re.compile(r"\*(?=[A-Z])[^*]+")
"""Its mark is an asterisk; emphasis has a second one."""
_ENDED = re.compile(r"[.!?][*)\]”\"$]*")
_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bvs\.)(?<!\bal\.)(?<!\betc\.)"
    r"(?<!Theorem \d\.)(?<!Lemma \d\.)(?<!Proof\.)[*)\]”\"]*\s+(?=[\W_]*[A-Z\d])"
)
_END_OF_PROOF = re.compile(r"\$?\\square\$?|□")

_SYMBOLS = dict.fromkeys(("mathbf", "mathbb", "mathcal", "text", "bar", "quad"), "")
_SYMBOLS |= {"leq": "≤", "geq": "≥", "in": "∈", "times": "×", "sim": "~", "infty": "∞"}
_SYMBOLS |= {"lambda": "λ", "Delta": "Δ", "varepsilon": "ε", "theta": "θ", "zeta": "ζ"}
"""LaTeX's commands as the character that is printed, or as nothing; others stay as words."""
_FOLDED = str.maketrans("’‘“”–—−∼ϵ✓✗", "''\"\"---~ε+-", "$\\{}_^*`# \t\r\n")


def normalised(text: str) -> str:
    """A text as its digest is made of: without blanks, accents, markup and kinds of dashes."""
    plain = re.sub(r"\\([A-Za-z]+) ?", lambda found: _SYMBOLS.get(found[1], found[1]), text)
    apart = unicodedata.normalize("NFKD", plain)
    return "".join(c for c in apart if not unicodedata.combining(c)).translate(_FOLDED)


@dataclass(frozen=True)
class Sentence:
    """One sentence of a copy, or a row of a table."""

    section: str
    """Number of the section or subsection, letter of the appendix, or `abstract`."""
    order: int
    """Its place in the section, from 1: running text, then rows, captions and footnotes."""
    text: str

    @functools.cached_property
    def plain(self) -> str:
        """Its text, normalised."""
        return normalised(self.text)

    @property
    def sha256(self) -> str:
        """Digest of its text, normalised."""
        return hashlib.sha256(self.plain.encode()).hexdigest()


def read_paper(path: Path) -> list[Sentence]:
    """All sentences of a copy of the paper.

    Raises:
        BadInputError: if it cannot be read, is not UTF-8, or lacks headings of `paper.json`.
    """
    try:
        text = fileio.read_text(path)
    except OSError as error:
        message = f"cannot read the copy of the paper {path}: {error.strerror}"
        raise BadInputError(message) from error
    except UnicodeDecodeError as error:
        message = f"the copy of the paper {path} is not UTF-8 text (byte {error.start})"
        raise BadInputError(message) from error
    expected = paper.sections()
    parts = sections(text, expected)
    if missing := [name for name in expected if name not in parts]:
        message = (
            f"{path} is not the text of the paper: found no heading of {', '.join(missing)}; "
            f"expected {', '.join(expected)}, each heading on a line between blank lines"
        )
        raise BadInputError(message)
    return [
        Sentence(section, order, sentence)
        for section, part in parts.items()
        for order, sentence in enumerate(sentences(part), start=1)
    ]


def sections(text: str, read: Collection[str]) -> dict[str, str]:
    """Text of each section and subsection that is read, without its heading."""
    lines = ["", *text.splitlines(), ""]
    found: dict[str, str] = {}
    current = ""
    for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
        heading = None if before.strip() or after.strip() else _HEADING.fullmatch(line.strip())
        if heading:
            current = (heading["number"] or heading["name"]).replace("Abstract", "abstract")
        if current.split(".")[0] in read or not (read or current in ("", "References")):
            found[current] = found.get(current, "") + ("" if heading else line + "\n")
    return found


def sentences(part: str) -> list[str]:
    r"""The sentences of a section: of its running text, then of what stands between it.

    A paragraph that a page or a formula breaks off goes on in the next.

    Example:
        >>> sentences("It is 0.2, e.g. for Phi 1.5 [33]. We thus\n\n*A note.\n\nwrite x.")
        ['It is 0.2, e.g. for Phi 1.5 [33].', 'We thus write x.', '*A note.']
    """
    running, between = [""], list[str]()
    for block in re.split(r"\n\s*\n", _END_OF_PROOF.sub("", part)):
        rows = [line for line in block.splitlines() if "\t" in line]
        text = " ".join(line.strip() for line in block.splitlines() if "\t" not in line).strip()
        if _CAPTION.match(text) or _FOOTNOTE.fullmatch(text):
            between.append(text)
        elif text and _goes_on(running[-1], text):
            running[-1] += f" {text}"
        elif text:
            running.append(text)
        between += rows
    return [
        one.strip()
        for text in (*running, *between)
        for one in ([text] if "\t" in text else _SENTENCE_END.split(text))
        if normalised(one)
    ]


def _goes_on(before: str, text: str) -> bool:
    """Whether a block continues the paragraph before it."""
    ended = any(found.end() == len(before) for found in _ENDED.finditer(before))
    return bool(before) and not (ended or (before.endswith("$$") and text[0].isupper()))


# -----------------------------------------------------------------------------
# The comparison with a copy


class Difference(Frozen):
    """A place where a copy of the paper and the ledger part."""

    section: str
    order: int
    """Place in the copy; where the copy lacks the sentence, in the ledger."""
    printed: str | None
    """What the copy prints; null where it lacks the sentence."""
    ledger: str | None
    """What the ledger's sentence there is kept as; null where it has none."""


class Compared(Frozen):
    """A copy held against the ledger and the manifests."""

    sentences: int
    differences: tuple[Difference, ...]
    misquoted: tuple[ClaimName, ...]
    """Claims whose quote stands in no sentence that they are bound to, or else in none at all."""

    @property
    def agrees(self) -> bool:
        """Whether the copy has the ledger's sentences and prints every quote."""
        return not (self.differences or self.misquoted)


def compare(
    ledger: Ledger, copy: Sequence[Sentence], manifests: Sequence[Manifest] = ()
) -> Compared:
    """Where a copy's sentences are not the ledger's, and where a quote is not printed.

    Equal runs are aligned first, so that one sentence more or less is one difference.
    """
    found: list[Difference] = []
    for section in dict.fromkeys([*ledger.sections, *(each.section for each in copy)]):
        entries = ledger.sections.get(section, ())
        mine = [each for each in copy if each.section == section]
        sides = [entry.sha256 for entry in entries], [each.sha256 for each in mine]
        matcher = difflib.SequenceMatcher(None, *sides, autojunk=False)
        for tag, start, stop, copy_start, copy_stop in matcher.get_opcodes():
            pairs = itertools.zip_longest(entries[start:stop], mine[copy_start:copy_stop])
            found += [
                Difference(
                    section=section,
                    order=sentence.order if sentence else entry.order,
                    printed=sentence.text if sentence else None,
                    ledger=entry.kept_as if entry else None,
                )
                for entry, sentence in (pairs if tag != "equal" else ())
            ]
    misquoted = tuple(_misquoted(ledger, copy, manifests))
    return Compared(sentences=len(copy), differences=tuple(found), misquoted=misquoted)


def _misquoted(
    ledger: Ledger, copy: Sequence[Sentence], manifests: Sequence[Manifest]
) -> Iterator[ClaimName]:
    placed = {(name, e.order): e.claims for name, each in ledger.sections.items() for e in each}
    bound: dict[str, list[str]] = {}
    for sentence in copy:
        for name in placed.get((sentence.section, sentence.order), ()):
            bound.setdefault(name, []).append(sentence.plain)
    every = [sentence.plain for sentence in copy]
    for name, claim in _claims(ledger, manifests):
        quote = normalised(claim.quote or "")
        if not any(quote in text for text in bound.get(name, every)):
            yield name
