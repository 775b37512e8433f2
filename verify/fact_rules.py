"""Facts, decided from the text of the pinned packages' files alone.

A claim that misquotes its file is `invalid`, whatever the file says: its digest, its lines
and what it rests on have to be what they were when the claim was written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from repro import package_sources
from repro.fact_claims import AnyLookup, FactClaim
from repro.finding import Outcome
from repro.manifest import Manifest
from repro.package_sources import SourceChangedError, SourceMissingError
from repro.printed import half_unit, interval
from verify import source_lookups
from verify.decided import Decided
from verify.source_lookups import LookupFailedError


@dataclass(frozen=True)
class _Looked:
    """A lookup, with what it found."""

    lookup: AnyLookup
    value: str
    text: str
    """The line of the file, and where it was read; where it was not, its digest."""

    @property
    def holds(self) -> bool:
        return self.value == self.lookup.claimed

    @property
    def says(self) -> str:
        return f"{_place(self.lookup)}: {_subject(self.lookup)} {self.value}"

    @property
    def beside(self) -> str:
        return f"{self.says}, {'as claimed' if self.holds else f'claimed: {self.lookup.claimed}'}"


def decide(manifest: Manifest, claim: FactClaim) -> Decided:
    """Decide one claim about the code; never `reproduced` when nothing was looked up."""
    looked: list[_Looked] = []
    missing, wrong = dict[str, None](), dict[str, None]()
    for lookup in claim.looked_up():
        try:
            looked.append(_look(lookup))
        except SourceMissingError as error:
            missing[str(error)] = None
        except (SourceChangedError, LookupFailedError) as error:
            wrong[str(error)] = None
    found, premises = looked[: len(claim.lookups)], looked[len(claim.lookups) :]
    if not wrong and not missing:
        wrong |= {
            f"what it rests on does not hold: {e.beside}": None for e in premises if not e.holds
        }
    if wrong:
        return _undecided(manifest, claim, "invalid", "; ".join(wrong))
    if missing:
        remedy = f"install it, or let `repro run manifests/{manifest.id}.json` fetch the archive"
        return _undecided(manifest, claim, "not-run", f"{'; '.join(missing)}; {remedy}")
    if claim.relation == "ratio":
        return _ratio(manifest, claim, found, premises)
    outcome: Outcome = "reproduced" if all(each.holds for each in found) else "contradicted"
    published = _joined([each.lookup.claimed for each in found])
    measured = _joined([each.value for each in found])
    says = [each.beside for each in found]
    return _decided(claim, outcome, (published, measured, "exact"), says, looked)


def _look(lookup: AnyLookup) -> _Looked:
    """Look one thing up, and hold it to the line that the claim names."""
    try:
        read = package_sources.read(lookup.source)
    except SourceMissingError:
        if (answer := package_sources.indexed(lookup)) is None:
            raise
        text = (
            f"a line with SHA-256 {answer.line_sha256[:12]}…, by the committed index, made of the "
            f"archive with SHA-256 {answer.archive[:12]}…"
        )
        return _Looked(lookup, answer.value, text)
    try:
        found = source_lookups.find(lookup, read.text)
    except LookupFailedError as error:
        message = f"{_place(lookup)}: {error}"
        raise LookupFailedError(message) from error
    if found.line != lookup.line:
        message = f"{_place(lookup)}: {_subject(lookup)} {found.value} on line {found.line}"
        raise LookupFailedError(message)
    line = read.text.split("\n")[found.line - 1].strip()
    return _Looked(lookup, found.value, f"{line} ({read.where})")


def _ratio(
    manifest: Manifest, claim: FactClaim, found: Sequence[_Looked], premises: Sequence[_Looked]
) -> Decided:
    """The first number found over the second, beside the published one."""
    printed = manifest.text_of(claim.published or "")
    possible = interval(printed)
    try:
        over, under = (Decimal(each.value) for each in found)
        ratio = over / under
        within = possible.low <= ratio <= possible.high
    except (ValueError, ArithmeticError):
        shown = " and ".join(each.value for each in found)
        return _undecided(manifest, claim, "invalid", f"{shown}: not two numbers with a ratio")
    outcome: Outcome = "reproduced" if within else "contradicted"
    quotient = f"{over} / {under} = {float(ratio):.4g}"
    sides = (printed, quotient, f"± {half_unit(printed)}")
    says = [f"{quotient}, published {printed}", *(each.says for each in found)]
    return _decided(claim, outcome, sides, says, [*found, *premises])


def _decided(
    claim: FactClaim,
    outcome: Outcome,
    sides: tuple[str, str, str],
    says: Sequence[str],
    looked: Sequence[_Looked],
) -> Decided:
    parts = [*says, *(f"given {each.says}" for each in looked[len(claim.lookups) :])]
    if claim.condition:
        parts.append(f"holds if {claim.condition}")
    working = tuple(f"{_place(each.lookup)}: {each.text}" for each in looked)
    return Decided(outcome, *sides, "; ".join(parts), working)


def _undecided(manifest: Manifest, claim: FactClaim, outcome: Outcome, reason: str) -> Decided:
    claimed = _joined([lookup.claimed for lookup in claim.lookups])
    published = manifest.text_of(claim.published) if claim.published else claimed
    return Decided(outcome, published, "—", "exact", reason)


def _joined(values: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def _place(lookup: AnyLookup) -> str:
    source = lookup.source
    return f"{source.package} {source.version}, {source.file}:{lookup.line}"


def _subject(lookup: AnyLookup) -> str:
    """The beginning of a sentence that ends in what was found."""
    if lookup.kind == "default":
        return f"{lookup.function} has {lookup.parameter} ="
    if lookup.kind == "passed":
        return f"self.{lookup.submodule} reaches {lookup.callee} as"
    if lookup.kind == "linear":
        return f"self.{lookup.submodule} is linear,"
    if lookup.kind == "returns":
        return f"{lookup.function} returns"
    return f"the line saying that {lookup.what} is"
