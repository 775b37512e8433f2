"""The ledger of printed numbers: each is bound to claims, or set aside with a reason.

`catalog/numbers.json` holds section, order and digest of every numeral, and no sentence of
the paper; `repro.coverage.numerals` extracts the same list from a copy, so that the two can be held
against each other.
"""

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import PositiveInt, StringConstraints, model_validator

from repro import paths
from repro.coverage.numerals import SECTIONS, Numeral
from repro.schema import reading
from repro.schema.base import Frozen, Sha256, Slug
from repro.schema.manifest import Manifest, Paper

ClaimName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+:[A-Za-z0-9._-]+$")]
"""Manifest and claim, e.g. `table1:S1.float16.printed`."""

# -----------------------------------------------------------------------------
# The ledger


class Entry(Frozen):
    """One printed number. With neither claims nor aside it is unbound."""

    order: PositiveInt
    """Its place among the numerals of its section."""
    sha256: Sha256
    """Digest of the numeral as printed."""
    claims: tuple[ClaimName, ...] = ()
    """What checks it."""
    aside: Slug | None = None
    """Key of the reason for which nothing does."""

    @model_validator(mode="after")
    def _not_both(self) -> "Entry":
        if self.claims and self.aside is not None:
            message = "either claims or aside"
            raise ValueError(message)
        return self

    @property
    def kept_as(self) -> str:
        """Its claims, or the key of its reason."""
        return ", ".join(self.claims) or self.aside or "unbound"


class Ledger(Frozen):
    """Every number of one version of the paper."""

    schema_version: Literal[1]
    paper: Paper
    reasons: dict[Slug, Annotated[str, StringConstraints(min_length=1)]]
    """Why a number is set aside."""
    sections: dict[str, tuple[Entry, ...]]
    """Section, as `repro.coverage.numerals` names it, to its numbers in order."""


def load(path: Path | None = None) -> Ledger:
    """Read and check the ledger, by default `catalog/numbers.json`.

    Raises:
        BadInputError: with every problem of the file, if it cannot be used.
    """
    path = path or paths.CATALOG / "numbers.json"
    what, advice = "ledger of printed numbers", "Nothing was compared."
    return reading.load(path, what, Ledger, advice, _senseless)


def _senseless(ledger: Ledger) -> Iterator[tuple[str, str, str]]:
    """Path, found and expected of what matches the schema and makes no sense."""
    for missing in (name for name in SECTIONS if name not in ledger.sections):
        yield "sections", f"no section {missing!r}", f"all of {', '.join(SECTIONS)}"
    for section, entries in ledger.sections.items():
        for index, entry in enumerate(entries):
            at = f"sections.{section}[{index}]"
            if entry.order != index + 1:
                yield f"{at}.order", str(entry.order), f"{index + 1}: entries stand in order"
            if entry.aside is not None and entry.aside not in ledger.reasons:
                yield f"{at}.aside", repr(entry.aside), f"one of {', '.join(ledger.reasons)}"


# -----------------------------------------------------------------------------
# The tally


class SectionTally(Frozen):
    """How many numbers a section prints, and what becomes of them."""

    section: str
    numerals: int
    bound: int
    aside: int
    unbound: int


class ReasonTally(Frozen):
    """How many numbers are set aside for one reason."""

    reason: Slug
    sentence: str
    numerals: int


class Loose(Frozen):
    """A number that no existing claim checks."""

    section: str
    order: int
    claim: ClaimName | None
    """The claim that no manifest has; null for a number that is unbound."""


class Coverage(Frozen):
    """The ledger held against the manifests."""

    sections: tuple[SectionTally, ...]
    reasons: tuple[ReasonTally, ...]
    dangling: tuple[Loose, ...]
    unbound: tuple[Loose, ...]

    @property
    def complete(self) -> bool:
        """Whether every number is set aside or bound to claims that exist."""
        return not (self.dangling or self.unbound)


def tally(ledger: Ledger, manifests: Sequence[Manifest]) -> Coverage:
    """Count what is bound and set aside, and find what is loose."""
    known = {f"{manifest.id}:{claim.id}" for manifest in manifests for claim in manifest.claims}
    every = [(name, entry) for name, entries in ledger.sections.items() for entry in entries]
    asides = Counter(entry.aside for _, entry in every)
    return Coverage(
        sections=tuple(_count(*section) for section in ledger.sections.items()),
        reasons=tuple(
            ReasonTally(reason=key, sentence=sentence, numerals=asides[key])
            for key, sentence in ledger.reasons.items()
        ),
        dangling=tuple(
            Loose(section=name, order=entry.order, claim=claim)
            for name, entry in every
            for claim in entry.claims
            if claim not in known
        ),
        unbound=tuple(
            Loose(section=name, order=entry.order, claim=None)
            for name, entry in every
            if not entry.claims and entry.aside is None
        ),
    )


def _count(section: str, entries: Sequence[Entry]) -> SectionTally:
    bound = sum(bool(entry.claims) for entry in entries)
    aside = sum(entry.aside is not None for entry in entries)
    total = len(entries)
    return SectionTally(
        section=section, numerals=total, bound=bound, aside=aside, unbound=total - bound - aside
    )


# -----------------------------------------------------------------------------
# The comparison with a copy


class Difference(Frozen):
    """A place where a copy of the paper and the ledger part."""

    section: str
    order: int
    """Place in the copy; where the copy lacks the number, in the ledger."""
    printed: str | None
    """What the copy prints; null where it lacks the number."""
    ledger: str | None
    """What the ledger's number there is kept as; null where it has none."""


def compare(ledger: Ledger, numerals: Sequence[Numeral]) -> list[Difference]:
    """Where a copy's numerals are not the ledger's, section by section.

    Equal runs are aligned first, so that one number more or less is one difference.
    """
    found: list[Difference] = []
    for section in dict.fromkeys([*ledger.sections, *(each.section for each in numerals)]):
        entries = ledger.sections.get(section, ())
        copy = [each for each in numerals if each.section == section]
        sides = [entry.sha256 for entry in entries], [each.sha256 for each in copy]
        matcher = difflib.SequenceMatcher(None, *sides, autojunk=False)
        for tag, start, stop, copy_start, copy_stop in matcher.get_opcodes():
            if tag != "equal":
                found += _differences(section, entries[start:stop], copy[copy_start:copy_stop])
    return found


def _differences(
    section: str, entries: Sequence[Entry], copy: Sequence[Numeral]
) -> Iterator[Difference]:
    """One difference for each pair, and for each entry or numeral that is left over."""
    for index in range(max(len(entries), len(copy))):
        entry = entries[index] if index < len(entries) else None
        numeral = copy[index] if index < len(copy) else None
        yield Difference(
            section=section,
            order=numeral.order if numeral else entry.order if entry else 0,
            printed=numeral.text if numeral else None,
            ledger=entry.kept_as if entry else None,
        )
