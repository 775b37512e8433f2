"""Findings and verdicts: what was decided, with both sides and a reason, always.

A finding is data. Words are made of it once, by `repro.schema.causes`; no module reads another's.
"""

from typing import Literal

from pydantic import computed_field

from repro.schema.base import Frozen, Slug
from repro.schema.causes import LISTS, STAND_INS, Cause, Estimate, say, say_all
from repro.schema.claim_base import Answer, Place, Standing
from repro.schema.jobs import Tier

Outcome = Literal[
    "reproduced", "consistent", "proved", "contradicted", "inconclusive", "not-run", "invalid"
]
"""`reproduced`: measured at the claim's own tier, or exact algebra done again; `consistent`: the
paper's own digits, or the text of pinned code, agree; `proved`: by a machine-checked proof;
`contradicted`: a printed sentence fails under every reading, without a condition."""

GOOD: tuple[Outcome, ...] = ("reproduced", "consistent", "proved")
"""Outcomes under which nothing is left to do."""

Basis = Literal["measured", "page", "code", "proof"]
"""What an outcome rests on: records, the paper's own digits, the text of pinned code, a proof."""

Result = Literal["holds", "fails", "open"]
"""What became of a check that is no printed sentence: of `Standing` step or beside."""


class Reading(Frozen):
    """One way to read a sentence, and what came of it."""

    claim: Slug
    outcome: Outcome


class Finding(Frozen):
    """One claim, decided."""

    claim: Slug
    kind: str
    statement: str
    place: Place
    quote: str = ""
    """The printed sentence, or the part of it that is claimed."""
    standing: Standing = "printed"
    basis: Basis
    outcome: Outcome
    result: Result | None = None
    """Of a step or a check of our own; its outcome is never a verdict on the paper."""
    published: str
    """The published side, as printed."""
    measured: str
    """The other side: recomputed from the page or measured; a dash where nothing was run."""
    margin: str
    """How far apart the two may lie, or the limit that has to hold."""
    causes: tuple[Cause, ...]
    """Why this outcome, most telling first."""
    working: tuple[Cause, ...] = ()
    """The steps behind them."""
    estimates: tuple[Estimate, ...] = ()
    """Numbers behind them."""
    conditions: tuple[str, ...] = ()
    """What has to hold for the claim to be about what ran."""
    direction: Cause | None = None
    """Where an inconclusive measurement points."""
    reading: str = ""
    """How the sentence was read, where it can be read in several ways."""
    reading_of: Slug | None = None
    """The sentence that this is one reading of; it is counted there."""
    readings: tuple[Reading, ...] = ()
    """Of a sentence that can be read in several ways: each, and what came of it."""
    records: tuple[str, ...] = ()
    """Keys of the records that it rests on."""
    answers: tuple[Answer, ...] = ()
    """What the paper's authors answered, as the claim has it."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def reason(self) -> str:
        """Why this outcome, in words."""
        return say_all(self.causes)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def points(self) -> str:
        """Where it points, in words; empty where nowhere."""
        return say(self.direction) if self.direction else ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def stand_ins(self) -> tuple[str, ...]:
        """What stood in for the paper's models or data: what is measured is of these alone."""
        said = (each for each in self.causes if each.code in STAND_INS)
        return tuple(dict.fromkeys(str(each.values[STAND_INS[each.code]]) for each in said))

    @property
    def measured_here(self) -> str:
        """The measured side where it is of the paper's own models; a dash where of stand-ins."""
        return "—" if self.stand_ins else self.measured

    @computed_field  # type: ignore[prop-decorator]
    @property
    def counts(self) -> bool:
        """Whether it is counted among the paper's claims: printed, and each sentence once."""
        return self.standing == "printed" and self.reading_of is None

    @property
    def listed_under(self) -> str | None:
        """Code of the list of inconclusive findings that it belongs to, if any."""
        if self.outcome != "inconclusive":
            return None
        return next((each.code for each in self.causes if each.code in LISTS), None)


def uncounted(finding: Finding) -> str:
    """What a finding is that is counted nowhere, in words that take an s."""
    if finding.reading_of:
        return "reading"
    return "step" if finding.standing == "step" else "own check"


class Verdict(Frozen):
    """The findings of one manifest."""

    manifest: Slug
    title: str
    tier: Tier | None
    """None for the paper against itself."""
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    """What qualifies all of them: drift, substitutions, controls."""

    def with_notes(self, notes: tuple[str, ...]) -> "Verdict":
        """The same with more notes."""
        return self.model_copy(update={"notes": (*self.notes, *notes)})

    def count(self, outcome: Outcome) -> int:
        """How many of the paper's claims have this outcome, each sentence once."""
        return sum(finding.outcome == outcome for finding in self.findings if finding.counts)
