"""Claims that printed values alone decide, in exact interval arithmetic.

Every printed number stands for the closed interval of numbers that round to it. A claim is
`contradicted` if no choice inside the intervals makes it true, `reproduced` (which a finding that
rests on the page calls `consistent`) if the printed digits themselves make it true and, for wins
and trends, every choice does, and otherwise `inconclusive`. The other rules on printed values have
files of their own.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import product

from repro.decimals import (
    Interval,
    as_decimals,
    decimal_places,
    half_unit,
    mean,
    mean_interval,
    printed_interval,
)
from repro.schema.causes import Cause, Value, cause
from repro.schema.claim_base import Published
from repro.schema.claims import PageClaim
from repro.schema.finding import Outcome
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import ConcordanceClaim, CountClaim, MeanClaim, OrderingClaim
from repro.schema.page_claims import (
    BaselineClaim,
    MonotoneClaim,
    RatioClaim,
    RepeatClaim,
    SamplingClaim,
    WholeQuestionsClaim,
    WinsClaim,
)
from repro.schema.paper import name_of
from verify.outcome import (
    OPEN,
    RuleDecision,
    first_few_texts,
    first_lines,
    outcome_of_bounds,
    pair_in_words,
    place_label,
    rounded,
)
from verify.rules import question, trend

Pair = tuple[Published, Published]


def decide(
    manifest: Manifest, claim: PageClaim | ConcordanceClaim
) -> tuple[RuleDecision, Cause | None]:
    """Decide one claim; beside it where an inconclusive finding points, if anywhere."""
    match claim:
        case WinsClaim():
            decided = _wins(manifest, claim)
        case RatioClaim():
            decided = _ratio(manifest, claim)
        case RepeatClaim():
            left, right = _values(manifest, claim.left), _values(manifest, claim.right)
            decided = _repeat(list(zip(left, right, strict=True)))
        case MonotoneClaim():
            decided = trend.monotone(_values(manifest, claim.of), claim.direction)
        case ConcordanceClaim():
            left, right = _values(manifest, claim.left), _values(manifest, claim.right)
            decided = trend.concordance(left, right, claim)
        case WholeQuestionsClaim():
            values = _values(manifest, claim.of)
            decided = question.whole_questions(values, claim.questions)
        case SamplingClaim():
            decided = question.sampling(manifest, claim)
        case BaselineClaim():
            return baseline(_values(manifest, claim.row), claim)
    return decided, None


def _values(manifest: Manifest, names: Sequence[str]) -> list[Published]:
    return [manifest.printed(name) for name in names]


# -----------------------------------------------------------------------------
# Wins


def _wins(manifest: Manifest, claim: WinsClaim) -> RuleDecision:
    """Wins that are sure and wins that are possible, against a printed whole number.

    The printed number of comparisons has to be that of the comparisons that the tables give.
    """
    printed, out_of = manifest.text_of(claim.published), manifest.text_of(claim.out_of)
    sure, possible, working = 0, 0, []
    for each in claim.comparisons:
        left, right = manifest.printed(each.left), manifest.printed(each.right)
        signs = printed_interval(left.text).signs(printed_interval(right.text))
        wins = 1 if each.better == "higher" else -1
        sure += signs == {wins}
        possible += wins in signs
        if signs != {wins}:
            tie = "tie" if Decimal(left.text) == Decimal(right.text) else "too-close"
            working.append(
                cause(tie if wins in signs else "not-won", values=pair_in_words(left, right))
            )
    total = len(claim.comparisons)
    counts = {"won": sure, "open": possible - sure, "lost": total - possible, "total": total}
    reached = sure <= Fraction(printed) <= possible and Fraction(printed) % 1 == 0
    reached = reached and Fraction(out_of) == total
    outcome = outcome_of_bounds(sure=sure == possible, possible=reached)
    return RuleDecision(
        outcome,
        f"{printed} of {out_of}",
        f"{_from_to(sure, possible)} of {total}",
        "exact",
        _with_open(outcome, cause("wins-counted", printed=printed, out_of=out_of, **counts)),
        tuple(working),
    )


def _from_to(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


def _with_open(outcome: Outcome, *why: Cause) -> tuple[Cause, ...]:
    """Causes, and that the printed precision leaves it open where it does."""
    return (*why, OPEN) if outcome == "inconclusive" else why


# -----------------------------------------------------------------------------
# Ratios

_FORMS: Mapping[str, tuple[str, Callable[..., Fraction]]] = {
    "plain": ("{}", lambda a: a),
    "times": ("{} / {}", lambda a, b: a / b),
    "percent-of": ("100 × {} / {}", lambda a, b: 100 * a / b),
    "percent-more": ("100 × ({} / {} − 1)", lambda a, b: 100 * (a / b - 1)),
    "percent-fewer": ("100 × (1 − {} / {})", lambda a, b: 100 * (1 - a / b)),
    "difference": ("{} − {}", lambda a, b: a - b),
    "times-per-reduction": ("1 / (1 − {} / 100)", lambda a: 1 / (1 - a / 100)),
}
"""How each form is written and computed. Each is monotone in each of its numbers, so that its
extremes stand where the intervals end."""

_SIGNS = {"equals": "", "at-least": "≥ ", "at-most": "≤ "}

_ALL = 100
"""Percent. A reduction by all of it leaves nothing to divide by."""


def _ratio(manifest: Manifest, claim: RatioClaim) -> RuleDecision:
    """The form at the printed digits, and its least and greatest value inside the intervals."""
    printed, texts = manifest.text_of(claim.published), [manifest.text_of(n) for n in claim.of]
    written, form = _FORMS[claim.form]
    formula = written.format(*texts)
    equal = claim.relation == "equals"
    published = f"{_SIGNS[claim.relation]}{printed}"
    margin = f"± {half_unit(printed)}" if equal else "order"
    if trouble := _undefined(claim.form, texts):
        why = cause(trouble, formula=formula, by=texts[-1])
        return RuleDecision("inconclusive", published, formula, margin, (why,))
    exact = form(*map(Fraction, texts))
    values = [form(*corner) for corner in product(*map(_ends, texts))]
    ends = min(values), max(values)
    outcome = _related(claim.relation, exact, ends, printed)
    digits = max(map(decimal_places, (printed, *texts))) + 2
    shown = as_decimals(exact, digits).rstrip("0").rstrip(".")
    said = (
        f"{printed} stands for {printed_interval(printed)}" if equal else f"{published} is claimed"
    )
    why = cause("follows", formula=formula, value=shown, claimed=said)
    return RuleDecision(
        outcome,
        published,
        f"{shown} from {first_few_texts(texts)}",
        margin,
        _with_open(outcome, why),
        estimates=(rounded(formula, exact, ends),),
    )


def _ends(text: str) -> tuple[Fraction, Fraction]:
    return Fraction(printed_interval(text).low), Fraction(printed_interval(text).high)


def _undefined(form: str, texts: Sequence[str]) -> str:
    """Code of why a form has no least and greatest value inside the intervals, or ""."""
    low, high = _ends(texts[-1])
    if form == "times-per-reduction" and high >= _ALL:
        return "reduction-by-all"
    divides = len(texts) > 1 and form != "difference"
    return "divides-by-zero" if divides and low <= 0 <= high else ""


def _related(
    relation: str, exact: Fraction, ends: tuple[Fraction, Fraction], printed: str
) -> Outcome:
    """`equals` asks for a number that prints so; the other two compare with the printed one."""
    (low, high), wanted = ends, Fraction(printed)
    if relation == "equals":
        least, most = _ends(printed)
        sure, possible = least <= exact <= most, low <= most and least <= high
    elif relation == "at-least":
        sure, possible = low >= wanted, high >= wanted
    else:
        sure, possible = high <= wanted, low <= wanted
    return outcome_of_bounds(sure=sure, possible=possible)


# -----------------------------------------------------------------------------
# Repeats


def _repeat(pairs: Sequence[Pair]) -> RuleDecision:
    """Every pair shares numbers that print as both.

    Two rounding rules can print one number in two ways, 132.5 as 132 and as 133: a pair that
    shares nothing else is left open.
    """
    apart, touching, differing = [], [], []
    for left, right in pairs:
        one, other = printed_interval(left.text), printed_interval(right.text)
        low, high = max(one.low, other.low), min(one.high, other.high)
        values = pair_in_words(left, right)
        if low > high:
            apart.append(cause("no-number-prints-as-both", values=values))
        elif low == high:
            touching.append(cause("two-rounding-rules", values=values, number=str(low)))
        elif one != other:
            ends: dict[str, Value] = {"low": str(low), "high": str(high)}
            differing.append(cause("roundings-of-one", values=values, **ends))
    outcome = outcome_of_bounds(sure=not touching, possible=not apart)
    why = first_lines(apart or touching)
    if not why:
        why = (cause("repeated", count=len(pairs)), *first_lines(differing))
    published, measured = (first_few_texts([each[side].text for each in pairs]) for side in (0, 1))
    working = (*apart, *touching, *differing)
    return RuleDecision(outcome, published, measured, "rounding", why, working)


# -----------------------------------------------------------------------------
# Means, counts and orders of printed cells.


def decide_printed(
    manifest: Manifest, claim: MeanClaim | CountClaim | OrderingClaim
) -> RuleDecision:
    """Decide one claim whose basis is printed."""
    if isinstance(claim, MeanClaim):
        return _mean(manifest.text_of(claim.published), _texts(manifest, claim.of))
    if isinstance(claim, CountClaim):
        return _count(manifest.text_of(claim.published), _texts(manifest, claim.of), claim.above)
    left, right = _texts(manifest, claim.left), _texts(manifest, claim.right)
    if claim.relation == "at-most":
        return _at_most(left, right)
    return _within_spread(left, right)


def _texts(manifest: Manifest, names: Sequence[str]) -> list[str]:
    return [manifest.text_of(name) for name in names]


def _mean(printed: str, cells: Sequence[str]) -> RuleDecision:
    exact, possible = mean(cells), mean_interval(cells)
    shown: dict[str, Value] = {"cells": " + ".join(cells), "count": len(cells)}
    outcome, why = "inconclusive", OPEN  # type: Outcome, Cause
    if not possible.overlaps(printed_interval(printed)):
        outcome, why = "contradicted", cause("no-rounding-prints", printed=printed, **shown)
    elif abs(exact - Decimal(printed)) <= half_unit(printed):
        outcome, why = "reproduced", cause("mean-as-printed", mean=_digits(exact), **shown)
    return RuleDecision(
        outcome,
        printed,
        f"{_digits(exact)} from {len(cells)} cells",
        f"± {half_unit(printed)}",
        (why,),
        estimates=(rounded("mean of the cells", exact, _both(possible)),),
    )


def _digits(number: Decimal) -> str:
    """A mean as it is shown: ten digits of what may never end."""
    return f"{number:.10g}"


def _both(possible: Interval) -> tuple[Decimal, Decimal]:
    return possible.low, possible.high


def _count(printed: str, cells: Sequence[str], above: str) -> RuleDecision:
    limit, wanted = Decimal(above), int(printed)
    sure = [text for text in cells if printed_interval(text).low > limit]
    possible = [text for text in cells if printed_interval(text).high > limit]
    outcome = outcome_of_bounds(
        sure=len(sure) == len(possible), possible=len(sure) <= wanted <= len(possible)
    )
    which = ", ".join(possible) or "none"
    why = cause("above-limit", values=", ".join(cells), limit=above, which=which)
    shown = _from_to(len(sure), len(possible))
    return RuleDecision(outcome, printed, shown, "exact", _with_open(outcome, why))


def _at_most(left: Sequence[str], right: Sequence[str]) -> RuleDecision:
    a, b = mean_interval(left), mean_interval(right)
    sides = ("left ≤ right", f"{_digits(mean(left))} and {_digits(mean(right))}", "order")
    estimates = (
        rounded("left mean", mean(left), _both(a)),
        rounded("right mean", mean(right), _both(b)),
    )
    if a.high <= b.low:
        why = (cause("left-at-most-right"),)
        return RuleDecision("reproduced", *sides, why, estimates=estimates)
    if a.low > b.high:
        why = (cause("left-above-right"),)
        return RuleDecision("contradicted", *sides, why, estimates=estimates)
    return RuleDecision("inconclusive", *sides, (OPEN,), estimates=estimates)


def _within_spread(left: Sequence[str], right: Sequence[str]) -> RuleDecision:
    gap, spread = mean_interval(left).distance(mean_interval(right)), _spread(right)
    numbers = [Decimal(text) for text in right]
    means = f"{_digits(mean(left))} and {_digits(mean(right))}"
    sides = ("within spread", means, f"< {spread.low}")
    estimates = (
        rounded("difference of the means", abs(mean(left) - mean(right)), _both(gap)),
        rounded("spread of the right side", max(numbers) - min(numbers), _both(spread)),
    )
    if gap.high < spread.low:
        why = (cause("within-spread"),)
        return RuleDecision("reproduced", *sides, why, estimates=estimates)
    if gap.low >= spread.high:
        why = (cause("beyond-spread"),)
        return RuleDecision("contradicted", *sides, why, estimates=estimates)
    return RuleDecision("inconclusive", *sides, (OPEN,), estimates=estimates)


def _spread(texts: Sequence[str]) -> Interval:
    """All distances between the largest and the smallest of some unrounded numbers."""
    ends = [printed_interval(text) for text in texts]
    low = max(end.low for end in ends) - min(end.high for end in ends)
    high = max(end.high for end in ends) - min(end.low for end in ends)
    return Interval(max(Decimal(0), low), high)


# -----------------------------------------------------------------------------
# A printed row against the row of another paper.


def baseline(row: Sequence[Published], claim: BaselineClaim) -> tuple[RuleDecision, Cause | None]:
    """The row differs by more than noise in some column; beside it where it points.

    Numbers of a source that nobody held against a copy of it decide nothing: the finding is
    `inconclusive` and shows where they point.
    """
    columns = list(zip(row, claim.baseline, strict=True))
    deciding = [_distance(*column) for column in columns if column[0].unit == claim.units]
    noise = Decimal(claim.noise.value)
    above = sum(distance.low > noise for distance in deciding)
    below = sum(distance.high <= noise for distance in deciding)
    outcome = outcome_of_bounds(sure=above > 0, possible=not deciding or below < len(deciding))
    counts: dict[str, Value] = {"columns": len(deciding), "above": above, "below": below}
    source = f"{name_of(claim.source.arxiv)}, {claim.source.place}"
    shown: dict[str, Value] = {"units": claim.units, "source": source, "noise": claim.noise.value}
    left = len(deciding) - above - below
    why = [cause("columns-apart", open=left, **counts, **shown)]
    if outcome == "inconclusive":
        why.append(OPEN if deciding else cause("no-column"))
    points = None
    if claim.source.status == "unverified":
        if outcome != "inconclusive":
            points = cause("points-to", outcome=outcome)
        outcome = "inconclusive"
        why.append(cause("source-not-held"))
    published, measured = "another model", f"{above} of {len(deciding)} columns apart"
    margin = f"> {claim.noise.value}"
    working = tuple(_column(*column, claim.units) for column in columns)
    return RuleDecision(outcome, published, measured, margin, tuple(why), working), points


def _distance(value: Published, other: str) -> Interval:
    return printed_interval(value.text).distance(printed_interval(other))


def _column(value: Published, other: str, units: str) -> Cause:
    """One column: both numbers, how far apart, and whether one number can print as both."""
    distance = _distance(value, other)
    code = "column-overlaps" if distance.low == 0 else "column-differs"
    return cause(
        code if value.unit == units else "column-of-another-unit",
        value=f"{place_label(value)} {value.text}",
        other=other,
        exact=str(abs(Decimal(value.text) - Decimal(other))),
        low=str(distance.low),
        high=str(distance.high),
        unit=value.unit,
    )
