"""Claims about the paper's models, decided from evaluations.

A printed number is decided on the divergence, the statistic that was printed. Sentences
that compare (an ordering, "on par", a spike) are decided on it and on the shift as well:
a divergence is folded and positive when nothing happened, so it supports no comparison
where it is at the floor, or where coin tosses explain its flips.
"""

from collections.abc import Sequence
from decimal import Decimal

from repro.schema.finding import Outcome
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim, CountClaim, Divergence, MeanClaim, OrderingClaim
from verify import noise, shown
from verify.arms import Arms, arms, other_arms
from verify.decidable import input_rounding
from verify.evidence import Evidence
from verify.noise import Spans
from verify.outcome import Decided, Judged
from verify.statistics import Decision, decide
from verify.statistics import mean as average


def cell(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> Judged:
    """A printed divergence against the divergence under each setting."""
    found = arms(manifest, [claim], evidence)
    published = manifest.text_of(claim.published)
    rounding = input_rounding(manifest, claim, [claim])
    decision = _decide(found, published, claim.margin.value, rounding)
    accepted, others = _accepted(manifest, claim, found, rounding)
    lost, won = found.flips()
    low, high, majority = found.reference_accuracy()
    working = (
        f"a setting loses {lost:g} answers and wins {won:g}; {null(found)}",
        f"float32 accuracy {low:.1%} to {high:.1%}, the commonest letter {majority:.1%}",
        _by_arm(manifest, claim, evidence),
        shown.power(decision),
        f"{accepted} of {others} other values printed for this dtype would be accepted",
    )
    return number(found, decision, published, claim.margin.value, working)


def mean(manifest: Manifest, claim: MeanClaim, evidence: Evidence) -> Judged:
    """A printed mean against the mean of the measured cells, setting by setting."""
    assert claim.margin is not None  # noqa: S101  # the manifest was checked when it was loaded
    cells = [manifest.cell(name) for name in claim.of]
    found = arms(manifest, cells, evidence)
    published = manifest.text_of(claim.published)
    rounding = input_rounding(manifest, claim, cells)
    decision = _decide(found, published, claim.margin.value, rounding)
    working = (null(found), shown.power(decision))
    return number(found, decision, published, claim.margin.value, working)


def count(manifest: Manifest, claim: CountClaim, evidence: Evidence) -> Judged:
    """A printed count against the number of measured cells above the threshold."""
    published, limit = manifest.text_of(claim.published), float(claim.above)
    cells = [manifest.cell(name) for name in claim.of]
    each = [arms(manifest, [one], evidence) for one in cells]
    h = max(float(input_rounding(manifest, one, [one])) for one in cells)
    sure, possible, least, most = above(each, limit, h)
    outcome, measured, direction = shown.counted(int(published), sure, possible, least, most)
    reason = (
        f"{sure} surely and {possible} possibly above {claim.above}; another draw would show "
        f"{least} to {most}"
    )
    decided = Decided(outcome, published, measured, "exact", reason)
    loaded = [record for one in each for record in one.loaded]
    return enough(Judged(decided, direction, loaded), each)


def above(each: Sequence[Arms], limit: float, h: float) -> tuple[int, int, int, int]:
    """How many divergences surely and possibly exceed a limit, and least and most of another draw.

    The error rate is shared out over them; what is at the floor, or what coin tosses explain, is
    never surely above.
    """
    spans = [noise.of(one.divergences, one.least_spread, len(each)) for one in each]
    means = [noise.widened(one.mean, h) for one in spans]
    draws = [noise.widened(one.draw, h) for one in spans]
    sure = sum(
        low > limit and not one.at_the_floor and min(one.shifts) > 0
        for (low, _), one in zip(means, each, strict=True)
    )
    possible = sum(high > limit for _, high in means)
    least, most = sum(low > limit for low, _ in draws), sum(high > limit for _, high in draws)
    return sure, possible, least, most


def ordering(manifest: Manifest, claim: OrderingClaim, evidence: Evidence) -> Judged:
    """A printed ordering against the measured means of both sides."""
    cells = [[manifest.cell(name) for name in side] for side in (claim.left, claim.right)]
    left, right = (arms(manifest, side, evidence) for side in cells)
    # Both means are differences of accuracies that may have been rounded first.
    h = 2 * max(float(input_rounding(manifest, one, [one])) for side in cells for one in side)
    gap = noise.difference(left, right)
    relation = _at_most if claim.relation == "at-most" else _on_par
    outcome, direction = relation(left, right, gap, h)
    settings = min(len(left.rows), len(right.rows))
    reason = f"difference {gap.value:+.3f}, "
    reason += shown.ends(gap.mean, settings, "95 % between {:+.3f} and {:+.3f}")
    floors = [name for name, one in (("left", left), ("right", right)) if one.at_the_floor]
    if floors:  # among them what has one setting, so that its null divergence is not known
        outcome = "inconclusive"
        at = f"{' and '.join(floors)} at the floor (null divergence): "
        reason += f"; {at * (settings > 1)}supports no ordering"
    published = "left ≤ right" if claim.relation == "at-most" else "within spread"
    measured = f"{average(left.divergences):.3f} and {average(right.divergences):.3f}"
    decided = Decided(outcome, published, measured, "order", reason)
    return enough(Judged(decided, direction, left.loaded + right.loaded), [left, right])


def _at_most(left: Arms, right: Arms, gap: Spans, h: float) -> tuple[Outcome, str]:
    """The divergence of the left side is not larger; the shift has to say so too."""
    shift = average(left.shifts) - average(right.shifts)
    direction = "points to left ≤ right" if gap.value <= 0 else "points to left > right"
    if gap.mean[1] + h <= 0 and shift <= 0:
        return "reproduced", direction
    if gap.draw[0] - h > 0 and shift > 0:
        return "contradicted", direction
    return "inconclusive", direction


def _on_par(_: Arms, right: Arms, gap: Spans, h: float) -> tuple[Outcome, str]:
    """The two sides differ by less than the cells of the right side among themselves."""
    # A range over cells is moved by one cell, not by their mean: no smaller floor for it.
    spread = noise.of(right.ranges, right.least_spread * len(right.rows[0]) ** 0.5)
    direction = f"spread of the right side {spread.value:.3f}"
    if noise.absolute(gap.mean)[1] + 2 * h < spread.mean[0]:
        return "reproduced", direction
    if noise.absolute(gap.draw)[0] - 2 * h >= spread.draw[1]:
        return "contradicted", direction
    return "inconclusive", direction


def _decide(found: Arms, published: str, margin: str, rounding: Decimal) -> Decision:
    return decide(
        found.divergences,
        published,
        margin,
        least_spread=found.least_spread,
        input_rounding=rounding,
    )


def number(
    found: Arms, decision: Decision, published: str, margin: str, working: tuple[str, ...]
) -> Judged:
    """What the divergences of some cells say about one printed number."""
    judged = shown.number(decision, found.divergences, published, margin, working, found.loaded)
    return enough(judged, [found])


def enough(judged: Judged, found: Sequence[Arms]) -> Judged:
    """Too few settings that gave numbers of their own decide nothing."""
    least = min(found, key=lambda each: len(each.rows))
    return shown.enough(judged, len(least.rows), least.repeated)


def _accepted(
    manifest: Manifest, claim: CellClaim, found: Arms, rounding: Decimal
) -> tuple[int, int]:
    """How many of the other values printed for this dtype these numbers would reproduce."""
    assert isinstance(claim.measure, Divergence)  # noqa: S101  # arms() saw to it
    others = [
        manifest.text_of(each.published)
        for each in manifest.claims
        if isinstance(each, CellClaim)
        and isinstance(each.measure, Divergence)
        and each.measure.dtype == claim.measure.dtype
        and each.id != claim.id
    ]
    outcomes = [_decide(found, text, claim.margin.value, rounding).outcome for text in others]
    return outcomes.count("reproduced"), len(others)


def _by_arm(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> str:
    """What mixed precision may mean, beside the arm that decides; under one setting."""
    found = other_arms(manifest, claim, evidence)
    values = ", ".join(f"{arm} {value:.2f}" for arm, value in found.items())
    return f"arm weight-cast; under the first setting alone: {values}"


def null(found: Arms) -> str:
    """What nothing looks like, and whether the divergence does."""
    if len(found.rows) == 1:
        return "no null divergence: one setting alone"
    return f"null divergence {found.null:.3f}" + " (at the floor)" * found.at_the_floor
