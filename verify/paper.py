"""Findings from decisions; what needs no run needs nothing else, not even numpy."""

from collections.abc import Mapping, Sequence
from typing import Literal

from repro.schema.claims import AmbiguousClaim, Claim, ModelClaim, PageClaim, PlannedClaim
from repro.schema.finding import Finding, Outcome, Verdict
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import (
    CellClaim,
    ConcordanceClaim,
    CountClaim,
    MeanClaim,
    OrderingClaim,
    Unbuilt,
)
from repro.schema.page_claims import FactClaim
from repro.schema.tuned_claims import BarsClaim, ImprovementClaim
from verify.outcome import NOT_BUILT, Decided
from verify.rules import fact, page


def finding_of(
    claim: Claim,
    decided: Decided,
    basis: Literal["printed", "measured"],
    direction: str = "",
    records: Sequence[str] = (),
) -> Finding:
    """One claim, decided; `records` are the keys of what it rests on."""
    return Finding(
        claim=claim.id,
        kind=claim.kind,
        statement=claim.statement,
        place=claim.place,
        basis=basis,
        outcome=decided.outcome,
        published=decided.published,
        measured=decided.measured,
        margin=decided.margin,
        reason=decided.reason,
        reading=claim.reading or "",
        working=decided.working,
        direction=direction,
        records=tuple(dict.fromkeys(records)),
    )


def without_run(manifest: Manifest, claim: Claim) -> Finding | None:
    """The finding of a claim that no run of this bundle bears on; None for any other."""
    if isinstance(claim, ModelClaim) and claim.basis == "measured":
        return None
    if isinstance(claim, MeanClaim | CountClaim | OrderingClaim):
        return finding_of(claim, page.decide_printed(manifest, claim), "printed")
    if isinstance(claim, PageClaim | ConcordanceClaim):
        decided, direction = page.decide(manifest, claim)
        return finding_of(claim, decided, "printed", direction)
    if isinstance(claim, FactClaim):
        return finding_of(claim, fact.decide(manifest, claim), "printed")
    if isinstance(claim, PlannedClaim):
        return unmeasured(manifest, claim, "not-run", f"{NOT_BUILT}: {claim.needs}; {claim.check}")
    if isinstance(claim, CellClaim) and isinstance(claim.measure, Unbuilt):
        reason = f"{NOT_BUILT}: {claim.measure.needs}; {claim.measure.what}"
        return unmeasured(manifest, claim, "not-run", reason)
    return None


def unmeasured(manifest: Manifest, claim: Claim, outcome: Outcome, reason: str) -> Finding:
    """A finding with no measured side."""
    name = getattr(claim, "published", None)
    if isinstance(claim, BarsClaim | ImprovementClaim):
        published: str = claim.relation  # what they name beside it is the size that they start at
    else:
        published = manifest.text_of(name) if name else claim.kind
    margin = getattr(claim, "margin", None)
    shown = f"± {margin.value}" if margin else "—"
    return finding_of(claim, Decided(outcome, published, "—", shown, reason), "measured")


def ambiguous(claim: AmbiguousClaim, others: Mapping[str, Finding]) -> Finding:
    """A sentence by its readings: what they all say, or that they disagree.

    A sentence with no reading that could be measured is `inconclusive`: empty is never success.
    """
    read = [others[name] for name in claim.readings]
    outcomes = dict.fromkeys(each.outcome for each in read)
    open_words = f"cannot be checked as printed: {claim.missing}"
    if not read:
        outcome: Outcome = "inconclusive"
        reason = f"{open_words}; no reading of it can be measured"
    elif len(outcomes) == 1:
        outcome = next(iter(outcomes))
        reason = f"{open_words}; {outcome} under every reading tried"
    elif waiting := [each.claim for each in read if each.outcome == "not-run"]:
        outcome = "inconclusive"
        reason = f"{open_words}; a reading of it was not run: {', '.join(waiting)}"
    else:
        outcome, reason = "inconclusive", f"{open_words}; it depends on the reading"
    working = (", ".join(f"{each.claim} {each.outcome}" for each in read),) if read else ()
    measured = any(each.basis == "measured" for each in read)
    decided = Decided(outcome, "sentence", f"{len(read)} readings", "—", reason, working)
    return finding_of(claim, decided, "measured" if measured else "printed")


def paper_against_itself(manifest: Manifest) -> Verdict:
    """Every claim of a manifest that needs no run: printed values, and code of the pins."""
    found: dict[str, Finding] = {}
    for claim in manifest.claims:
        finding = without_run(manifest, claim)
        if finding and finding.basis == "printed":
            found[claim.id] = finding
    for claim in manifest.claims:
        if isinstance(claim, AmbiguousClaim) and set(claim.readings) <= found.keys():
            found[claim.id] = ambiguous(claim, found)
    order = [found[claim.id] for claim in manifest.claims if claim.id in found]
    return Verdict(
        manifest=manifest.id, title=manifest.title, tier=None, findings=tuple(order), notes=()
    )
