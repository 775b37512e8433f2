"""How a measured number and its decision are put into a finding."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from repro.decimals import as_printed_like
from repro.schema.causes import MEASURED, Cause, Estimate, cause
from repro.schema.claim_base import Published
from verify import noise
from verify.decision_rule import UNDECIDABLE, Decision, Sample, mean
from verify.look import current
from verify.outcome import JudgedClaim, RuleDecision

if TYPE_CHECKING:
    from repro.schema.finding import Outcome
    from repro.schema.jobs import Tier
    from verify.noise import Span
    from verify.records.checked_record import CheckedRecord


def decided_number(  # noqa: PLR0917  # what a finding has
    decision: Decision,
    measured: Sample,
    printed: Published,
    margin: str,
    working: tuple[Cause, ...],
    loaded: "list[CheckedRecord]",
    estimates: tuple[Estimate, ...],
    *,
    tier: "Tier",
) -> JudgedClaim:
    """What measurements say about one printed number, in its unit, one for each setting.

    Args:
        decision: By `verify.decision_rule`.
        measured: The statistic under each setting.
        printed: The published value.
        margin: How far they may lie apart.
        working: Steps behind it.
        loaded: The records.
        estimates: Further numbers behind it.
        tier: Of the run: at full it is of the paper's own models.
    """
    where = decision.direction
    decidable = decision.why.code not in UNDECIDABLE
    away = where is not None and where.code != "mean-within-margin" and decidable
    span = noise.intervals_of(measured).mean
    decided = RuleDecision(
        decision.outcome,
        printed.text,
        mean_over_settings(measured.values, printed.text),
        f"± {margin}",
        (decision.why,),
        working,
        (*estimate(MEASURED, measured.mean, span, printed.unit), *estimates),
    )
    decided = not_here(decided, tier, away=away)
    return JudgedClaim(decided, where, loaded, decision.test)


def not_here(decided: RuleDecision, tier: "Tier", *, away: bool) -> RuleDecision:
    """The same, listed as not reproduced where the paper's own models point away, undecided.

    Args:
        decided: By measurements.
        tier: Only full is of the paper's own models.
        away: Whether the measurements point away from what is claimed.
    """
    if decided.outcome == "inconclusive" and tier == "full" and away:
        return decided.because(cause("not-reproduced-here"), outcome="inconclusive")
    return decided


def estimate(
    label: str, value: float, span: "Span | None" = None, unit: str = ""
) -> tuple[Estimate, ...]:
    """A number behind a finding, with the ends of its interval; none where it is not finite."""
    if not math.isfinite(value):
        return ()
    low, high = span if span and all(map(math.isfinite, span)) else (None, None)
    return (Estimate(label=label, value=value, low=low, high=high, unit=unit),)


def require_settings(judged: JudgedClaim, draws: int, repeated: int) -> JudgedClaim:
    """The same, but that too few settings which gave numbers of their own decide nothing.

    Args:
        judged: What the numbers say.
        draws: Settings that gave numbers of their own.
        repeated: Settings that repeat one of them.
    """
    look = current()
    if look.is_enough(draws, repeated):
        return judged
    why = cause("few-settings", draws=draws, needed=look.needed, repeated=repeated)
    decided = judged.decided.because(why, outcome="inconclusive")
    if repeated and all(each.record.environment.gpu is None for each in judged.loaded):
        line = cause("settings-of-a-cpu", repeated=repeated, settings=draws + repeated)
        decided = replace(decided, working=(*decided.working, line))
    return replace(judged, decided=decided, test=None)


def count_sides(wanted: int, sure: int, possible: int) -> "tuple[Outcome, str, Cause]":
    """Outcome, measured side and where it points, of a printed count.

    Args:
        wanted: As printed.
        sure: How many another draw on another machine would surely show.
        possible: How many it could show.
    """
    outcome: Outcome = "inconclusive"
    if sure == possible == wanted:
        outcome = "reproduced"
    elif not sure <= wanted <= possible:
        outcome = "contradicted"
    shown = str(sure) if sure == possible else f"{sure} to {possible}"
    return outcome, shown, cause("agrees" if sure <= wanted <= possible else "disagrees")


def what_it_notices(decision: Decision, others: Sequence[Decision]) -> tuple[Cause, Cause]:
    """How well a decision could have been made, and which other printed numbers would have passed.

    Args:
        decision: On the printed number.
        others: The same measurements, held against each other number printed of the kind.
    """
    accepted = [each.outcome for each in others].count("reproduced")
    return (
        power_of(decision),
        cause("other-values-accepted", accepted=accepted, others=len(others)),
    )


def power_of(decision: Decision) -> Cause:
    """How well the decision could have been made."""
    if math.isinf(decision.noticed):
        return cause("power-without-shift", power=decision.power)
    return cause("power", power=decision.power, shift=decision.noticed)


def mean_over_settings(measured: Sequence[float], published: str) -> str:
    """Mean over settings, with the range behind it."""
    mean_of = as_printed_like(mean(measured), published)
    if len(measured) == 1:
        return f"{mean_of} (1 setting)"
    low, high = (as_printed_like(each, published) for each in (min(measured), max(measured)))
    return f"{mean_of} ({len(measured)} settings: {low} to {high})"
