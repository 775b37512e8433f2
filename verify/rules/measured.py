"""Which rule decides which kind of measured claim."""

from collections.abc import Callable, Mapping
from typing import Any

from repro.schema.claims import Claim
from repro.schema.layer_claims import BoundClaim, IdentityClaim, TrendClaim
from repro.schema.manifest import Manifest
from repro.schema.model_claims import (
    CellClaim,
    ConcordanceClaim,
    CountClaim,
    Divergence,
    FitsClaim,
    GrowingClaim,
    MeanClaim,
    OrderingClaim,
    Throughput,
)
from repro.schema.tuned_claims import (
    BarsClaim,
    ImprovementClaim,
    ImprovementRatio,
    LearnsClaim,
    MeasuredWinsClaim,
    Score,
    TunedDivergence,
)
from verify.evidence import Evidence
from verify.outcome import Judged
from verify.rules import improvement, layer, model, score, throughput, trend, tuned
from verify.rules.tuned import beside

Rule = Callable[[Manifest, Any, Evidence], Judged]

CELLS: Mapping[type, Rule] = {
    Divergence: model.cell,
    TunedDivergence: tuned.cell,
    Score: score.cell,
    ImprovementRatio: improvement.ratio,
    Throughput: throughput.cell,
}
"""By what a cell measures."""

CLAIMS: Mapping[type, Rule] = {
    MeanClaim: model.mean,
    CountClaim: model.count,
    OrderingClaim: model.ordering,
    ConcordanceClaim: trend.measured_concordance,
    BarsClaim: tuned.bars,
    MeasuredWinsClaim: score.wins,
    ImprovementClaim: improvement.relation,
    GrowingClaim: throughput.growing,
    FitsClaim: throughput.fits,
    LearnsClaim: lambda _, claim, evidence: tuned.learns(claim, evidence),
    BoundClaim: lambda _, claim, evidence: layer.bound(claim, evidence),
    IdentityClaim: lambda _, claim, evidence: layer.identity(claim, evidence),
    TrendClaim: lambda _, claim, evidence: layer.trend(claim, evidence),
}
"""By kind, of claims that are no cells."""


def decide(manifest: Manifest, claim: Claim, evidence: Evidence) -> Judged:
    """What the records say about one claim, with what tuned models did not learn beside it.

    Raises:
        NotRunError: if a record that it rests on is missing.
        InvalidError: if one cannot be trusted.
    """
    rule = CELLS[type(claim.measure)] if isinstance(claim, CellClaim) else CLAIMS[type(claim)]
    return beside(rule(manifest, claim, evidence))
