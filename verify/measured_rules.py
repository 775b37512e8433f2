"""Which rule decides which kind of measured claim."""

from collections.abc import Callable, Mapping
from typing import Any

from repro.claims import Claim
from repro.layer_claims import BoundClaim, IdentityClaim, TrendClaim
from repro.manifest import Manifest
from repro.model_claims import (
    CellClaim,
    ConcordanceClaim,
    CountClaim,
    Divergence,
    MeanClaim,
    OrderingClaim,
)
from repro.throughput_claims import FitsClaim, GrowingClaim, Throughput
from repro.tuned_claims import (
    BarsClaim,
    ImprovementClaim,
    ImprovementRatio,
    LearnsClaim,
    MeasuredWinsClaim,
    Score,
    TunedDivergence,
)
from verify import (
    concordance_rules,
    improvement_rules,
    layer_rules,
    learning_rules,
    model_rules,
    score_rules,
    throughput_rules,
    tuned_rules,
)
from verify.decided import Judged
from verify.evidence import Evidence
from verify.tuned_working import beside

Rule = Callable[[Manifest, Any, Evidence], Judged]

CELLS: Mapping[type, Rule] = {
    Divergence: model_rules.cell,
    TunedDivergence: tuned_rules.cell,
    Score: score_rules.cell,
    ImprovementRatio: improvement_rules.ratio,
    Throughput: throughput_rules.cell,
}
"""By what a cell measures."""

CLAIMS: Mapping[type, Rule] = {
    MeanClaim: model_rules.mean,
    CountClaim: model_rules.count,
    OrderingClaim: model_rules.ordering,
    ConcordanceClaim: concordance_rules.concordance,
    BarsClaim: tuned_rules.bars,
    MeasuredWinsClaim: score_rules.wins,
    ImprovementClaim: improvement_rules.relation,
    GrowingClaim: throughput_rules.growing,
    FitsClaim: throughput_rules.fits,
    LearnsClaim: lambda _, claim, evidence: learning_rules.learns(claim, evidence),
    BoundClaim: lambda _, claim, evidence: layer_rules.bound(claim, evidence),
    IdentityClaim: lambda _, claim, evidence: layer_rules.identity(claim, evidence),
    TrendClaim: lambda _, claim, evidence: layer_rules.trend(claim, evidence),
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
