"""Claims that printed values alone decide, in exact interval arithmetic.

Every printed number stands for the closed interval of numbers that round to it. A claim is
`contradicted` if no choice inside the intervals makes it true, `reproduced` if the printed
digits themselves make it true and, for wins and trends, every choice does, and otherwise
`inconclusive`. Here are wins, ratios and repeats; the other rules have files of their own.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import product

from repro.schema.claim_base import Published
from repro.schema.claims import PageClaim
from repro.schema.decimals import (
    Interval,
    as_decimals,
    half_unit,
    interval,
    mean,
    mean_interval,
    places,
)
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
from repro.text import counted
from verify.outcome import OPEN, Decided, first, judged, label, listed, pair
from verify.rules import question, trend

Pair = tuple[Published, Published]


def decide(manifest: Manifest, claim: PageClaim | ConcordanceClaim) -> tuple[Decided, str]:
    """Decide one claim; beside it the direction of an inconclusive finding, or ""."""
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
    return decided, ""


def _values(manifest: Manifest, names: Sequence[str]) -> list[Published]:
    return [manifest.printed(name) for name in names]


# -----------------------------------------------------------------------------
# Wins


def _wins(manifest: Manifest, claim: WinsClaim) -> Decided:
    """Wins that are sure and wins that are possible, against a printed whole number.

    The printed number of comparisons has to be that of the comparisons that the tables give.
    """
    printed, out_of = manifest.text_of(claim.published), manifest.text_of(claim.out_of)
    sure, possible, working = 0, 0, []
    for each in claim.comparisons:
        left, right = manifest.printed(each.left), manifest.printed(each.right)
        signs = interval(left.text).signs(interval(right.text))
        wins = 1 if each.better == "higher" else -1
        sure += signs == {wins}
        possible += wins in signs
        if signs != {wins}:
            tie = "a tie" if Decimal(left.text) == Decimal(right.text) else "too close to tell"
            working.append(f"{pair(left, right)}: {tie if wins in signs else 'not won'}")
    total = len(claim.comparisons)
    shown = str(sure) if sure == possible else f"{sure} to {possible}"
    reason = (
        f"of {counted(total, 'comparison')}, {sure} won, {possible - sure} tied or too close "
        f"to tell, {total - possible} not won; {printed} of {out_of} printed"
    )
    reached = sure <= Fraction(printed) <= possible and Fraction(printed) % 1 == 0
    reached = reached and Fraction(out_of) == total
    outcome = judged(sure=sure == possible, possible=reached)
    if outcome == "inconclusive":
        reason = f"{reason}; {OPEN}"
    published, measured = f"{printed} of {out_of}", f"{shown} of {total}"
    return Decided(outcome, published, measured, "exact", reason, tuple(working))


# -----------------------------------------------------------------------------
# Ratios

_FORMS: Mapping[str, tuple[str, Callable[..., Fraction]]] = {
    "plain": ("{}", lambda a: a),
    "times": ("{} / {}", lambda a, b: a / b),
    "percent-of": ("100 × {} / {}", lambda a, b: 100 * a / b),
    "percent-more": ("100 × ({} / {} − 1)", lambda a, b: 100 * (a / b - 1)),
    "times-per-reduction": ("1 / (1 − {} / 100)", lambda a: 1 / (1 - a / 100)),
}
"""How each form is written and computed. Each is monotone in each of its numbers, so that its
extremes stand where the intervals end."""

_SIGNS = {"equals": "", "at-least": "≥ ", "at-most": "≤ "}

_ALL = 100
"""Percent. A reduction by all of it leaves nothing to divide by."""


def _ratio(manifest: Manifest, claim: RatioClaim) -> Decided:
    """The form at the printed digits, and its least and greatest value inside the intervals."""
    printed, texts = manifest.text_of(claim.published), [manifest.text_of(n) for n in claim.of]
    written, form = _FORMS[claim.form]
    formula = written.format(*texts)
    equal = claim.relation == "equals"
    published = f"{_SIGNS[claim.relation]}{printed}"
    margin = f"± {half_unit(printed)}" if equal else "order"
    trouble = _undefined(claim.form, texts)
    if trouble:
        reason = f"{formula} is not determined: {trouble}"
        return Decided("inconclusive", published, formula, margin, reason)
    exact = form(*map(Fraction, texts))
    values = [form(*corner) for corner in product(*map(_ends, texts))]
    ends = min(values), max(values)
    outcome = _related(claim.relation, exact, ends, printed)
    digits = max(map(places, (printed, *texts))) + 2
    shown, low, high = (
        as_decimals(each, digits).rstrip("0").rstrip(".") for each in (exact, *ends)
    )
    said = f"{printed} stands for {interval(printed)}" if equal else f"{published} is claimed"
    reason = f"{formula} = {shown}, from {low} to {high} unrounded; {said}"
    if outcome == "inconclusive":
        reason = f"{reason}; {OPEN}"
    return Decided(outcome, published, f"{shown} from {listed(texts)}", margin, reason)


def _ends(text: str) -> tuple[Fraction, Fraction]:
    return Fraction(interval(text).low), Fraction(interval(text).high)


def _undefined(form: str, texts: Sequence[str]) -> str:
    """Why a form has no least and greatest value inside the intervals, or ""."""
    low, high = _ends(texts[-1])
    if form == "times-per-reduction" and high >= _ALL:
        return f"a reduction by {texts[-1]} % may leave nothing"
    if len(texts) > 1 and low <= 0 <= high:
        return f"it divides by {texts[-1]}, which may stand for 0"
    return ""


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
    return judged(sure=sure, possible=possible)


# -----------------------------------------------------------------------------
# Repeats


def _repeat(pairs: Sequence[Pair]) -> Decided:
    """Every pair shares numbers that print as both.

    Two rounding rules can print one number in two ways, 132.5 as 132 and as 133: a pair that
    shares nothing else is left open.
    """
    apart, touching, rounded = [], [], []
    for left, right in pairs:
        one, other = interval(left.text), interval(right.text)
        low, high = max(one.low, other.low), min(one.high, other.high)
        if low > high:
            apart.append(f"{pair(left, right)}: no number prints as both")
        elif low == high:
            touching.append(
                f"{pair(left, right)}: only {low} prints as both, by two rounding rules"
            )
        elif one != other:
            rounded.append(f"{pair(left, right)}: both are roundings of [{low}, {high}]")
    outcome = judged(sure=not touching, possible=not apart)
    if apart:
        reason = first(apart)
    elif touching:
        reason = first(touching)
    else:
        reason = f"{counted(len(pairs), 'pair')} the same"
        if rounded:
            reason = f"{reason} at the printed precision; {first(rounded)}"
    published, measured = (listed([each[side].text for each in pairs]) for side in (0, 1))
    working = (*apart, *touching, *rounded)
    return Decided(outcome, published, measured, "rounding", reason, working)


# -----------------------------------------------------------------------------
# The paper against itself: claims decided from printed values alone, in exact decimals.
#
# Every printed number stands for the interval of all numbers that round to it. A claim is
# `contradicted` if no choice inside the intervals makes it true, `reproduced` if the printed
# digits themselves make it true, and otherwise `inconclusive`: the printed precision does
# not decide it.


def decide_printed(manifest: Manifest, claim: MeanClaim | CountClaim | OrderingClaim) -> Decided:
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


def _mean(printed: str, cells: Sequence[str]) -> Decided:
    exact, possible = mean(cells), mean_interval(cells)
    margin = f"± {half_unit(printed)}"
    measured = f"{exact} from {len(cells)} cells"
    sides = f"the cells give {exact}, between {possible.low} and {possible.high} unrounded"
    if not possible.overlaps(interval(printed)):
        outcome: Outcome = "contradicted"
        reason = f"{sides}; no rounding of them prints {printed}"
    elif abs(exact - Decimal(printed)) <= half_unit(printed):
        outcome, reason = "reproduced", f"{' + '.join(cells)} over {len(cells)} is {exact}"
    else:
        outcome, reason = "inconclusive", f"{sides}; the printed precision does not decide it"
    return Decided(outcome, printed, measured, margin, reason)


def _count(printed: str, cells: Sequence[str], above: str) -> Decided:
    limit, wanted = Decimal(above), int(printed)
    sure = [text for text in cells if interval(text).low > limit]
    possible = [text for text in cells if interval(text).high > limit]
    shown = str(len(sure)) if len(sure) == len(possible) else f"{len(sure)} to {len(possible)}"
    which = ", ".join(possible) or "none"
    reason = f"of {', '.join(cells)}, above {above}: {which}"
    if not len(sure) <= wanted <= len(possible):
        outcome: Outcome = "contradicted"
    elif len(sure) == len(possible):
        outcome = "reproduced"
    else:
        outcome, reason = "inconclusive", f"{reason}; the printed precision does not decide it"
    return Decided(outcome, printed, shown, "exact", reason)


def _at_most(left: Sequence[str], right: Sequence[str]) -> Decided:
    a, b = mean_interval(left), mean_interval(right)
    if a.high <= b.low:
        outcome: Outcome = "reproduced"
    elif a.low > b.high:
        outcome = "contradicted"
    else:
        outcome = "inconclusive"
    reason = f"unrounded means lie in {a} and {b}"
    measured = f"{mean(left)} and {mean(right)}"
    return Decided(outcome, "left ≤ right", measured, "order", reason)


def _within_spread(left: Sequence[str], right: Sequence[str]) -> Decided:
    gap, spread = mean_interval(left).distance(mean_interval(right)), _spread(right)
    if gap.high < spread.low:
        outcome: Outcome = "reproduced"
    elif gap.low >= spread.high:
        outcome = "contradicted"
    else:
        outcome = "inconclusive"
    measured = f"{mean(left)} and {mean(right)}"
    reason = f"unrounded, the means differ by {gap} and the right side spreads over {spread}"
    return Decided(outcome, "within spread", measured, f"< {spread.low}", reason)


def _spread(texts: Sequence[str]) -> Interval:
    """All distances between the largest and the smallest of some unrounded numbers."""
    ends = [interval(text) for text in texts]
    low = max(end.low for end in ends) - min(end.high for end in ends)
    high = max(end.high for end in ends) - min(end.low for end in ends)
    return Interval(max(Decimal(0), low), high)


# -----------------------------------------------------------------------------
# A printed row against the row of another paper.


def baseline(row: Sequence[Published], claim: BaselineClaim) -> tuple[Decided, str]:
    """The row differs by more than noise in some column; beside it the direction.

    Numbers of a source that nobody held against a copy of it decide nothing: the finding is
    `inconclusive` and shows where they point.
    """
    columns = list(zip(row, claim.baseline, strict=True))
    deciding = [_distance(*column) for column in columns if column[0].unit == claim.units]
    noise = Decimal(claim.noise.value)
    above = sum(distance.low > noise for distance in deciding)
    below = sum(distance.high <= noise for distance in deciding)
    reason = (
        f"{counted(len(deciding), 'column')} in {claim.units} against {_source(claim)}: {above} "
        f"apart by more than {claim.noise.value}, {below} not, {len(deciding) - above - below} open"
    )
    outcome = judged(sure=above > 0, possible=not deciding or below < len(deciding))
    if outcome == "inconclusive":
        reason = f"{reason}; {OPEN if deciding else 'nothing is left to decide by'}"
    direction = ""
    if claim.source.status == "unverified":
        direction = f"points to {outcome}" if outcome != "inconclusive" else ""
        outcome = "inconclusive"
        reason = f"{reason}; the source was not held against a copy of that paper"
    published, measured = "another model", f"{above} of {len(deciding)} columns apart"
    margin = f"> {claim.noise.value}"
    working = tuple(_line(*column, claim.units) for column in columns)
    return Decided(outcome, published, measured, margin, reason, working), direction


def _distance(value: Published, other: str) -> Interval:
    return interval(value.text).distance(interval(other))


def _source(claim: BaselineClaim) -> str:
    return f"arXiv {claim.source.arxiv}, {claim.source.place}"


def _line(value: Published, other: str, units: str) -> str:
    """One column: both numbers, how far apart, and whether one number can print as both."""
    distance = _distance(value, other)
    exact = abs(Decimal(value.text) - Decimal(other))
    overlap = "overlap" if distance.low == 0 else "do not overlap"
    shown = f"; in {value.unit}: decides nothing" if value.unit != units else ""
    return (
        f"{label(value)} {value.text} and {other}: apart by {exact}, from {distance.low} to "
        f"{distance.high} unrounded; the rounding intervals {overlap}{shown}"
    )
