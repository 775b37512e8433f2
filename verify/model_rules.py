"""Claims about the paper's models, decided from evaluations.

Each setting gives one divergence; both of its arms run under that same setting. Beside
it stands the *null divergence*, the same statistic between two settings of one dtype:
what nothing at all looks like on these questions.
"""

from collections.abc import Sequence
from itertools import combinations

from repro.claims import CellClaim, CountClaim, MeanClaim, OrderingClaim
from repro.expand import evaluation_slot, settings_of
from repro.manifest import EvaluationGroup, Manifest
from repro.printed import as_printed_like
from verify import answers, decision
from verify.evidence import Evidence, Loaded
from verify.printed_rules import Decided

Judged = tuple[Decided, str, list[Loaded]]
"""What was decided, where it points, and the records that it rests on."""


def cell(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> Judged:
    """A printed divergence against the divergence under each setting."""
    pairs = _arms(manifest, claim, evidence)
    measured = [_divergence(reference, candidate) for reference, candidate in pairs]
    published = manifest.text_of(claim.published)
    decided = decision.decide(measured, published, claim.margin.value)
    flips = [_flips(reference, candidate) for reference, candidate in pairs]
    lost, won = (sum(each) / len(flips) for each in zip(*flips, strict=True))
    null = _null([reference for reference, _ in pairs])
    reason = f"{decided.reason}; a setting loses {lost:g} answers and wins {won:g}"
    if null is not None:
        reason += f"; null divergence {null:.2f}"
    shown = _spread(measured, published)
    found = Decided(decided.outcome, published, shown, f"± {claim.margin.value}", reason)
    return found, decided.direction, [each for pair in pairs for each in pair]


def mean(manifest: Manifest, claim: MeanClaim, evidence: Evidence) -> Judged:
    """A printed mean against the mean of the measured cells, setting by setting."""
    published = manifest.text_of(claim.published)
    by_setting, loaded = _means(manifest, claim.of, evidence)
    decided = decision.decide(by_setting, published, margin="0")
    shown = _spread(by_setting, published)
    found = Decided(decided.outcome, published, shown, "of its cells", decided.reason)
    return found, decided.direction, loaded


def count(manifest: Manifest, claim: CountClaim, evidence: Evidence) -> Judged:
    """A printed count against the number of measured cells above the threshold."""
    published = manifest.text_of(claim.published)
    columns, loaded = _columns(manifest, claim.of, evidence)
    limit = float(claim.above)
    counts = [sum(value > limit for value in row) for row in zip(*columns, strict=True)]
    decided = decision.decide(counts, published, margin="0")
    low, high = min(counts), max(counts)
    shown = str(low) if low == high else f"{low} to {high}"
    return (
        Decided(decided.outcome, published, shown, "exact", decided.reason),
        decided.direction,
        loaded,
    )


def ordering(manifest: Manifest, claim: OrderingClaim, evidence: Evidence) -> Judged:
    """A printed ordering against the measured means of both sides, setting by setting."""
    left, from_left = _means(manifest, claim.left, evidence)
    right, from_right = _means(manifest, claim.right, evidence)
    if claim.relation == "at-most":
        published, kept = "left ≤ right", [a <= b for a, b in zip(left, right, strict=True)]
    else:
        columns, _ = _columns(manifest, claim.right, evidence)
        spreads = [max(row) - min(row) for row in zip(*columns, strict=True)]
        published = "within spread"
        kept = [abs(a - b) < s for a, b, s in zip(left, right, spreads, strict=True)]
    direction = f"holds under {sum(kept)} of {len(kept)} settings"
    shown = f"{sum(left) / len(left):.3f} and {sum(right) / len(right):.3f}"
    return (
        Decided("inconclusive", published, shown, "order", decision.NOT_DECIDED),
        direction,
        from_left + from_right,
    )


def _arms(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> list[tuple[Loaded, Loaded]]:
    """Reference and candidate of a cell under every setting of the tier."""
    wanted = claim.measure
    for group in manifest.jobs:
        if isinstance(group, EvaluationGroup) and wanted.checkpoint in group.checkpoints:
            return [
                (
                    evidence.get(evaluation_slot(wanted.checkpoint, wanted.reference, each.id)),
                    evidence.get(evaluation_slot(wanted.checkpoint, wanted.dtype, each.id)),
                )
                for each in settings_of(manifest, group, evidence.run.tier)
            ]
    message = f"no evaluation of {manifest.id} runs {wanted.checkpoint}"
    raise AssertionError(message)  # the manifest was checked when it was loaded


def _divergence(reference: Loaded, candidate: Loaded) -> float:
    return answers.divergence(reference.accuracies(), candidate.accuracies())


def _flips(reference: Loaded, candidate: Loaded) -> tuple[int, int]:
    """Questions lost and won over all shots."""
    lost = won = 0
    for shots in reference.shots():
        gold = reference.arrays[f"shots{shots}/gold"]
        found = answers.flips(reference.predicted(shots), candidate.predicted(shots), gold)
        lost, won = lost + found.lost, won + found.won
    return lost, won


def _null(loaded: Sequence[Loaded]) -> float | None:
    """Largest divergence between two settings of one dtype; None with a single setting."""
    found = [_divergence(a, b) for a, b in combinations(loaded, 2)]
    return max(found) if found else None


def _columns(
    manifest: Manifest, names: Sequence[str], evidence: Evidence
) -> tuple[list[list[float]], list[Loaded]]:
    """Divergence of each cell under each setting."""
    columns, loaded = [], []
    for name in names:
        pairs = _arms(manifest, manifest.cell(name), evidence)
        columns.append([_divergence(*pair) for pair in pairs])
        loaded += [each for pair in pairs for each in pair]
    return columns, loaded


def _means(
    manifest: Manifest, names: Sequence[str], evidence: Evidence
) -> tuple[list[float], list[Loaded]]:
    columns, loaded = _columns(manifest, names, evidence)
    return [sum(row) / len(row) for row in zip(*columns, strict=True)], loaded


def _spread(measured: Sequence[float], published: str) -> str:
    """Mean over settings, with the range behind it."""
    mean_of = as_printed_like(sum(measured) / len(measured), published)
    if len(measured) == 1:
        return f"{mean_of} (1 setting)"
    low, high = (as_printed_like(each, published) for each in (min(measured), max(measured)))
    return f"{mean_of} ({len(measured)} settings: {low} to {high})"
