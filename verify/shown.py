"""How a measured number and its decision are put into a finding."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from repro.schema.causes import cause
from repro.schema.decimals import as_printed_like
from repro.schema.validate import MIN_SETTINGS
from verify.noise import Span
from verify.outcome import Decided, Judged
from verify.statistics import Decision, mean

if TYPE_CHECKING:
    from repro.schema.causes import Cause
    from repro.schema.finding import Outcome
    from verify.records.loaded import Loaded

ALONE = "no spread: one setting alone"


def number(
    decision: Decision,
    measured: Sequence[float],
    published: str,
    margin: str,
    working: tuple[str, ...],
    loaded: "list[Loaded]",
) -> Judged:
    """What measurements say about one printed number, in its unit, one for each setting."""
    decided = Decided(
        decision.outcome,
        published,
        over_settings(measured, published),
        f"± {margin}",
        decision.reason,
        working,
    )
    return Judged(decided, decision.direction, loaded, decision.p_contradicted)


def enough(judged: Judged, draws: int, repeated: int) -> Judged:
    """The same, but that too few settings which gave numbers of their own decide nothing.

    Args:
        judged: What the numbers say.
        draws: Settings that gave numbers of their own.
        repeated: Settings that repeat one of them.
    """
    if draws >= MIN_SETTINGS:
        return judged
    why = cause("few-settings", draws=draws, needed=MIN_SETTINGS, repeated=repeated)
    decided = judged.decided.because(why, outcome="inconclusive")
    p = judged.p_contradicted if judged.decided.outcome == "inconclusive" else 1.0
    return replace(judged, decided=decided, p_contradicted=p)


def counted(
    wanted: int, sure: int, possible: int, least: int, most: int
) -> "tuple[Outcome, str, Cause]":
    """Outcome, measured side and where it points, of a printed count.

    Args:
        wanted: As printed.
        sure: How many hold for every value of the confidence intervals.
        possible: How many hold for some.
        least: How many another draw would surely show.
        most: How many it could show.
    """
    outcome: Outcome = "inconclusive"
    if sure == possible == wanted:
        outcome = "reproduced"
    elif not least <= wanted <= most:
        outcome = "contradicted"
    shown = str(sure) if sure == possible else f"{sure} to {possible}"
    return outcome, shown, cause("agrees" if sure <= wanted <= possible else "disagrees")


def power(decision: Decision) -> str:
    """How well the decision could have been made."""
    noticed = f"a shift of {decision.noticed:.2g} is noticed 9 times in 10, alone"
    if math.isinf(decision.noticed):
        noticed = "no shift, however large, is noticed 9 times in 10"
    return f"power {decision.power:.2f}; {noticed}"


def ends(span: Span, settings: int, between: str) -> str:
    """An interval over settings, in words where it has no ends.

    Args:
        span: The interval.
        settings: How many settings it is over.
        between: How its ends are put, e.g. `95 % from {:.2f} to {:.2f}`.
    """
    if settings == 1:
        return ALONE
    if not all(map(math.isfinite, span)):
        return "no ends: a value is no finite number"
    return between.format(*span)


def over_settings(measured: Sequence[float], published: str) -> str:
    """Mean over settings, with the range behind it."""
    mean_of = as_printed_like(mean(measured), published)
    if len(measured) == 1:
        return f"{mean_of} (1 setting)"
    low, high = (as_printed_like(each, published) for each in (min(measured), max(measured)))
    return f"{mean_of} ({len(measured)} settings: {low} to {high})"
