"""Findings and verdicts: what was decided, with both sides and a reason, always."""

from typing import Literal

from repro.schema.base import Frozen, Slug
from repro.schema.claim_base import Place
from repro.schema.jobs import Tier

Outcome = Literal["reproduced", "contradicted", "inconclusive", "not-run", "invalid"]


class Finding(Frozen):
    """One claim, decided."""

    claim: Slug
    kind: str
    statement: str
    place: Place
    basis: Literal["printed", "measured"]
    outcome: Outcome
    published: str
    """The published side, as printed."""
    measured: str
    """The other side: recomputed from the page or measured; a dash where nothing was run."""
    margin: str
    """How far apart the two may lie, or the limit that has to hold."""
    reason: str
    """Why this outcome, in one sentence."""
    reading: str = ""
    """How the sentence was read, where it can be read in several ways."""
    working: tuple[str, ...] = ()
    """The steps behind the reason, where there are too many for a sentence."""
    direction: str = ""
    """Where an inconclusive measurement points."""
    records: tuple[str, ...] = ()
    """Keys of the records that it rests on."""


class Verdict(Frozen):
    """The findings of one manifest."""

    manifest: Slug
    title: str
    tier: Tier | None
    """None for the paper against itself."""
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    """What qualifies all of them: drift, substitutions, controls."""

    def also(self, notes: tuple[str, ...]) -> "Verdict":
        """The same with more notes."""
        return self.model_copy(update={"notes": (*self.notes, *notes)})

    def count(self, outcome: Outcome) -> int:
        """How many findings have this outcome."""
        return sum(finding.outcome == outcome for finding in self.findings)
