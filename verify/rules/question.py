"""What a printed accuracy says about single questions: whole numbers of right answers.

An accuracy of N questions is 100 k / N for a whole k, 0 ≤ k ≤ N. All is exact, in integers
and fractions; only what is shown is rounded.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from repro.schema.claim_base import Published
from repro.schema.decimals import as_decimals, half_unit, interval, places
from repro.schema.manifest import Manifest
from repro.schema.page_claims import SamplingClaim
from repro.text import counted
from verify.outcome import Decided, first, judged, label, pair

_PERCENT = 100


def right_answers(text: str, questions: int) -> range:
    """The numbers of right answers out of `questions` that are printed as `text` percent.

    Example:
        >>> right_answers("60.06", 1267), len(right_answers("60.09", 1267))
        (range(761, 762), 0)
    """
    near = interval(text)
    least = ceil(Fraction(near.low) * questions / _PERCENT)
    most = floor(Fraction(near.high) * questions / _PERCENT)
    return range(max(least, 0), min(most, questions) + 1)


# -----------------------------------------------------------------------------
# GRIM


def whole_questions(values: Sequence[Published], questions: int) -> Decided:
    """Each accuracy is that of a whole number of right answers (Brown & Heathers 2017).

    Where the numbers that print as one text span 100 / N or more, some 100 k / N is always
    among them: the test cannot fail, and shows nothing.
    """
    missed, reachable, chances = [], [], []
    for value in values:
        answers = right_answers(value.text, questions)
        if answers:
            reachable.append(f"{value.text} = {_span(answers)}")
        else:
            missed.append(f"{label(value)} {value.text}: {_nearest(value, questions)}")
        unit = 2 * Fraction(half_unit(value.text))
        chances.append(min(Fraction(1), unit * questions / _PERCENT))
    idle = chances.count(Fraction(1))
    reached = f"{len(values) - len(missed)} of {len(values)}"
    outcome = judged(sure=not idle, possible=not missed)
    if missed:
        reason = first(missed)
    elif idle:
        which = "every printed value" if idle == len(values) else f"{idle} of {len(values)} values"
        reason = f"{which} would be reachable with {questions} questions, whatever was printed: "
        reason += "the test cannot fail"
    else:
        reason = f"{reached} are whole numbers of {questions} questions"
    chance = as_decimals(max(chances, default=Fraction(1)), 2)
    working = (
        *missed,
        f"right answers of {questions}: {', '.join(reachable) or 'none'}",
        f"a made-up value would be a whole number with chance {chance}",
    )
    published, margin = f"whole {questions}ths", f"1 / {questions}"
    return Decided(outcome, published, f"{reached} reachable", margin, reason, working)


def _nearest(value: Published, questions: int) -> str:
    """The reachable accuracies on both sides of one that is not."""
    below = floor(Fraction(value.text) * questions / _PERCENT)
    near = sorted({min(max(answers, 0), questions) for answers in (below, below + 1)})
    shown = (
        f"{as_decimals(Fraction(_PERCENT * answers, questions), places(value.text))} "
        f"({answers} of {questions})"
        for answers in near
    )
    return f"not reachable, the nearest is {' or '.join(shown)}"


# -----------------------------------------------------------------------------
# McNemar


def sampling(manifest: Manifest, claim: SamplingClaim) -> Decided:
    """Each difference is beyond what the sampling of questions explains, however they fell."""
    limit = Fraction(claim.z) ** 2
    groups: dict[str, int] = {"beyond": 0, "within": 0, "open": 0}
    working = []
    for each in claim.comparisons:
        left, right = manifest.printed(each.left), manifest.printed(each.right)
        group, found = _compared(left.text, right.text, each.questions, limit)
        groups[group] += 1
        working.append(f"{pair(left, right)}: {found}: {group}")
    total = len(claim.comparisons)
    outcome = judged(sure=groups["beyond"] == total, possible=not groups["within"])
    measured = ", ".join(f"{number} {group}" for group, number in groups.items())
    reason = (
        f"of {counted(total, 'difference')}, {groups['beyond']} beyond |z| {claim.z} however the "
        f"answers fell, {groups['within']} within it, {groups['open']} open: they hang on answers "
        "that are not printed"
    )
    published = f"{counted(total, 'difference')} beyond sampling"
    return Decided(outcome, published, measured, f"|z| > {claim.z}", reason, tuple(working))


def _compared(left: str, right: str, questions: int, limit: Fraction) -> tuple[str, str]:
    """Group of one comparison, and how it was found; squares are compared, so it is exact."""
    one, other = right_answers(left, questions), right_answers(right, questions)
    if not one or not other:
        never = left if not one else right
        return "open", f"no whole number of {questions} answers prints as {never}"
    least, most = squared_z(one, other, questions)
    differences = range(one[0] - other[-1], one[-1] - other[0] + 1)
    found = (
        f"{_span(one)} and {_span(other)} of {questions} right, difference {_span(differences)}, "
        f"z {_root(least)} to {_root(most)}"
    )
    if least > limit:
        return "beyond", found
    return ("within" if most <= limit else "open"), found


def squared_z(one: range, other: range, questions: int) -> tuple[Fraction, Fraction]:
    """Least and greatest z² of McNemar's test (1947) where only sums of the answers are known.

    Of N questions, let the better arm answer h rightly and the other l, d = h - l. With b and
    c the questions that one arm alone answers, b - c = d and z² = d² / (b + c). Nothing says
    how the right answers overlap, only that b ≤ h and b ≤ N - l; c = b - d is then within its
    own limits. So b + c = 2 b - d runs from d, where z² = d, to 2 min(h, N - l) - d. Either
    end grows with d: the least z² is that of the closest h and l, the greatest of the farthest.
    No difference has z = 0.
    """
    gap = max(one[0] - other[-1], other[0] - one[-1], 0)
    farthest = max(one[-1] - other[0], other[-1] - one[0])
    if not gap:
        return Fraction(0), Fraction(farthest)
    low, high = sorted((one, other), key=lambda answers: answers[0])
    discordant = 2 * min(high[0], questions - low[-1]) - gap
    return Fraction(gap**2, discordant), Fraction(farthest)


def _span(numbers: range) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _root(square: Fraction) -> str:
    return f"{(Decimal(square.numerator) / square.denominator).sqrt():.2f}"
