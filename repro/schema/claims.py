"""Claims: what a manifest says can be checked, one kind a class.

A claim names what is compared, never how it is decided: the rules live in `verify`, and
nothing in a manifest is code or an expression.
"""

from typing import Annotated, Literal

from pydantic import Field

from repro.schema.base import Slug
from repro.schema.claim_base import ClaimBase, Text
from repro.schema.measured_claims import (
    BoundClaim,
    CellClaim,
    ConcordanceClaim,
    CountClaim,
    FitsClaim,
    GrowingClaim,
    IdentityClaim,
    JobType,
    MeanClaim,
    OrderingClaim,
    ProofClaim,
    TrendClaim,
)
from repro.schema.page_claims import (
    BaselineClaim,
    FactClaim,
    MonotoneClaim,
    RatioClaim,
    RepeatClaim,
    SamplingClaim,
    WholeQuestionsClaim,
    WinsClaim,
)
from repro.schema.tuned_claims import BarsClaim, ImprovementClaim, LearnsClaim, MeasuredWinsClaim


class PlannedClaim(ClaimBase):
    """A claim that precedes its job: what will be measured, and when it will count as held."""

    kind: Literal["planned"]
    published: Slug | None
    needs: JobType
    check: Text
    """How it will be decided, stated before anything is measured."""


class AmbiguousClaim(ClaimBase):
    """A sentence that cannot be checked as printed; each of its readings is a claim."""

    kind: Literal["ambiguous"]
    missing: Text
    """What the paper leaves open."""
    readings: tuple[Slug, ...]
    """Claims of the same manifest; none where nothing in the sentence can be measured."""


PageClaim = (
    WinsClaim
    | RatioClaim
    | RepeatClaim
    | MonotoneClaim
    | WholeQuestionsClaim
    | SamplingClaim
    | BaselineClaim
)
"""Kinds that printed values always decide."""

ModelClaim = MeanClaim | CountClaim | OrderingClaim | ConcordanceClaim
"""Kinds that printed values or measurements decide, as their `basis` says."""

TunedClaim = BarsClaim | ImprovementClaim | MeasuredWinsClaim
"""Kinds that only models after fine-tuning or benchmarks with shots decide."""

Claim = Annotated[
    CellClaim
    | ModelClaim
    | PageClaim
    | BoundClaim
    | TrendClaim
    | IdentityClaim
    | ProofClaim
    | FactClaim
    | TunedClaim
    | LearnsClaim
    | FitsClaim
    | GrowingClaim
    | PlannedClaim
    | AmbiguousClaim,
    Field(discriminator="kind"),
]


def claimed_by(claim: Claim) -> object:
    """What says how a claim is decided: what a cell measures, of any other claim itself."""
    return claim.measure if isinstance(claim, CellClaim) else claim
