"""Claims about how far tuned models diverge, decided as those about untuned ones.

The statistic is the divergence as printed; what compares is decided on the shift as well, and a
divergence at its floor, what two tunings of one arm differ by, supports no comparison.

Reference: paper v2, section 5.1 and Figure 1, whose bars are not printed; v3 for those of
WinoGrande.
"""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from repro.manifest import Manifest
from repro.model_claims import CellClaim
from repro.plural import counted
from repro.printed import DecimalText
from repro.tuned_claims import BarsClaim, TunedDivergence
from repro.tuned_models import TunedModel, models_of
from verify import model_rules, shown, spreads, tuned_arms
from verify.arms import Arms, mean
from verify.decidable import ACCURACY_ROUNDING
from verify.decided import Decided, Judged
from verify.decision import Decision, decide
from verify.evidence import Evidence

if TYPE_CHECKING:
    from repro.finding import Outcome

_H = float(ACCURACY_ROUNDING)
_PRINTED = "mmlu"
"""Task of the mean divergences that section 5.1 prints."""


def cell(manifest: Manifest, claim: CellClaim, evidence: Evidence) -> Judged:
    """A printed mean divergence against that under each setting."""
    measure = claim.measure
    assert isinstance(measure, TunedDivergence)  # noqa: S101  # the dispatch saw to it
    models = models_of(measure)
    found = tuned_arms.arms(manifest, models, evidence, _PRINTED)
    published, margin = manifest.text_of(claim.published), claim.margin.value
    decision = _decide(found, published, margin)
    others = [
        manifest.text_of(each.published)
        for each in manifest.claims
        if isinstance(each, CellClaim)
        and isinstance(each.measure, TunedDivergence)
        and each.measure.precision == measure.precision
        and each.id != claim.id
    ]
    accepted = [_decide(found, text, margin).outcome for text in others].count("reproduced")
    lost, won = found.flips()
    low, high, majority = found.reference_accuracy()
    working = (
        f"a setting loses {lost:g} answers and wins {won:g}",
        model_rules.null(found)
        + ", which is that between tunings with two seeds" * (len(found.rows) > 1),
        f"reference accuracy {low:.1%} to {high:.1%}, the commonest letter {majority:.1%}",
        *tuned_arms.controls(manifest, evidence, models, _PRINTED),
        shown.power(decision),
        f"{accepted} of {len(others)} other values printed for this precision would be accepted",
    )
    return model_rules.number(found, decision, published, margin, working)


def bars(manifest: Manifest, claim: BarsClaim, evidence: Evidence) -> Judged:
    """What bars have in common, one bar a checkpoint, method and precision."""
    if claim.above is None:
        return _smaller(manifest, claim, evidence)
    return _spikes(manifest, claim, claim.above, evidence)


def _spikes(manifest: Manifest, claim: BarsClaim, above: DecimalText, evidence: Evidence) -> Judged:
    """No bar, or some bar, above a threshold; intervals are shared out over the bars."""
    models = models_of(claim)
    each = [tuned_arms.arms(manifest, [model], evidence, claim.task) for model in models]
    sure, possible, least, most = model_rules.above(each, float(above), _H)
    outcome: Outcome = "inconclusive"
    if claim.relation == "none-above":
        if not possible:
            outcome = "reproduced"
        elif least:
            outcome = "contradicted"
    elif sure:
        outcome = "reproduced"
    elif not most:
        outcome = "contradicted"
    reason = (
        f"of {counted(len(each), 'bar')} {sure} surely and {possible} possibly above {above}; "
        f"another draw would show {least} to {most}"
    )
    highest = max(mean(one.divergences) for one in each)
    working = (
        *(
            f"{checkpoint} {arm}: {mean(one.divergences):.3f}; {model_rules.null(one)}"
            for (checkpoint, arm), one in zip(models, each, strict=True)
        ),
        _references(each),
        *tuned_arms.controls(manifest, evidence, models, claim.task),
    )
    measured = f"{_range(sure, possible)} above, the highest {highest:.2f}"
    published = f"{claim.relation} {above}"
    decided = Decided(outcome, published, measured, f"> {above}", reason, working)
    loaded = [record for one in each for record in one.loaded]
    return model_rules.enough(Judged(decided, f"highest {highest:.2f}", loaded), each)


def _smaller(manifest: Manifest, claim: BarsClaim, evidence: Evidence) -> Judged:
    """For every method and precision the mean over checkpoints is below each other group's."""
    pairs, working = list[tuple[Arms, Arms]](), list[str]()
    tests = len(claim.precisions) * len(claim.methods) * len(claim.others)
    surely, surely_not = 0, 0
    for precision, method in product(claim.precisions, claim.methods):
        sides = [
            [TunedModel(name, f"{method}.{precision}") for name in names]
            for names in (claim.checkpoints, *claim.others)
        ]
        left, *rights = (tuned_arms.arms(manifest, side, evidence, claim.task) for side in sides)
        for group, right in zip(claim.others, rights, strict=True):
            held = _below(left, right, tests)
            surely += held == 1
            surely_not += held == -1
            pairs.append((left, right))
            values = f"{mean(left.divergences):.3f} and {mean(right.divergences):.3f}"
            nulls = f"{model_rules.null(left)} and {model_rules.null(right)}"
            if len(left.rows) == len(right.rows) == 1:
                nulls = model_rules.null(left)
            working.append(f"{method}.{precision} against {', '.join(group)}: {values}; {nulls}")
    outcome: Outcome = "inconclusive"
    if surely == tests:
        outcome = "reproduced"
    elif surely_not:
        outcome = "contradicted"
    reason = f"of {counted(tests, 'comparison')} {surely} surely smaller, {surely_not} surely not"
    agree = sum(mean(left.divergences) < mean(right.divergences) for left, right in pairs)
    every = [side for pair in pairs for side in pair]
    working.append(_references(every))
    working += tuned_arms.controls(manifest, evidence, sides[0], claim.task)
    decided = Decided(outcome, "smaller", f"{agree} of {tests}", "order", reason, tuple(working))
    loaded = [record for side in every for record in side.loaded]
    return model_rules.enough(Judged(decided, f"{agree} of {tests} agree", loaded), every)


def _below(left: Arms, right: Arms, tests: int) -> int:
    """1 if the left side is surely below, -1 if another draw would surely not be, else 0."""
    if left.at_the_floor or right.at_the_floor:
        return 0
    gap, shift = spreads.difference(left, right, tests), mean(left.shifts) - mean(right.shifts)
    # Both means are differences of accuracies that may have been rounded first.
    if gap.mean[1] + 2 * _H < 0 and shift < 0:
        return 1
    return -1 if gap.draw[0] - 2 * _H >= 0 and shift >= 0 else 0


def _references(every: Sequence[Arms]) -> str:
    """How right the references of some bars are, beside who always gives the same answer."""
    lows, highs, majorities = zip(*(each.reference_accuracy() for each in every), strict=True)
    spread = f"{min(lows):.1%} to {max(highs):.1%}"
    return f"reference accuracy {spread}, the commonest answer {max(majorities):.1%}"


def _decide(found: Arms, published: str, margin: str) -> Decision:
    return decide(
        found.divergences,
        published,
        margin,
        least_spread=found.least_spread,
        input_rounding=ACCURACY_ROUNDING,
    )


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"
