"""Findings from decisions; printed claims need nothing else, not even numpy."""

from collections.abc import Sequence
from typing import Literal

from repro.claims import Claim, CountClaim, MeanClaim, OrderingClaim
from repro.finding import Finding, Verdict
from repro.manifest import Manifest
from verify import printed_rules
from verify.printed_rules import Decided

PrintedClaim = MeanClaim | CountClaim | OrderingClaim
"""Kinds that can be decided from the page alone."""


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
        direction=direction,
        records=tuple(dict.fromkeys(records)),
    )


def printed_finding(manifest: Manifest, claim: PrintedClaim) -> Finding:
    """Decide one claim on printed values."""
    return finding_of(claim, printed_rules.decide(manifest, claim), "printed")


def paper_against_itself(manifest: Manifest) -> Verdict:
    """Every claim of a manifest that follows from printed values."""
    found = [
        printed_finding(manifest, claim)
        for claim in manifest.claims
        if isinstance(claim, PrintedClaim) and claim.basis == "printed"
    ]
    return Verdict(
        manifest=manifest.id, title=manifest.title, tier=None, findings=tuple(found), notes=()
    )
