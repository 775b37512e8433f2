"""What a printed accuracy says about single questions: whole numbers of right answers.

An accuracy of N questions is 100 k / N for a whole k, 0 ≤ k ≤ N. All is exact, in integers
and fractions; only what is shown is rounded.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

from repro.decimals import as_decimals, decimal_places, half_unit, printed_interval
from repro.schema.causes import Cause, Estimate, Value, cause
from repro.schema.claim_base import Published
from repro.schema.manifest import Manifest
from repro.schema.page_claims import SamplingClaim
from repro.text import plural
from verify.outcome import RuleDecision, first_lines, outcome_of_bounds, pair_in_words, place_label

_PERCENT = 100


def right_answers(text: str, questions: int) -> range:
    """The numbers of right answers out of `questions` that are printed as `text` percent.

    Example:
        >>> right_answers("60.06", 1267), len(right_answers("60.09", 1267))
        (range(761, 762), 0)
    """
    near = printed_interval(text)
    least = ceil(Fraction(near.low) * questions / _PERCENT)
    most = floor(Fraction(near.high) * questions / _PERCENT)
    return range(max(least, 0), min(most, questions) + 1)


# -----------------------------------------------------------------------------
# GRIM


def whole_questions(values: Sequence[Published], questions: int) -> RuleDecision:
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
            named = f"{place_label(value)} {value.text}"
            near = _nearest(value, questions)
            missed.append(cause("not-reachable", value=named, questions=questions, nearest=near))
        unit = 2 * Fraction(half_unit(value.text))
        chances.append(min(Fraction(1), unit * questions / _PERCENT))
    idle, total = chances.count(Fraction(1)), len(values)
    why: tuple[Cause, ...] = first_lines(missed)
    if not missed and idle:
        why = (cause("cannot-fail", idle=idle, total=total, questions=questions),)
    elif not missed:
        why = (cause("whole-numbers", reached=total, total=total, questions=questions),)
    shown = ", ".join(reachable) or "none"
    return RuleDecision(
        outcome_of_bounds(sure=not idle, possible=not missed),
        f"whole {questions}ths",
        f"{total - len(missed)} of {total} reachable",
        f"1 / {questions}",
        why,
        (*missed, cause("right-answers", questions=questions, reachable=shown)),
        (Estimate(label=CHANCE, value=float(max(chances, default=1))),),
    )


CHANCE = "chance that a made-up value is a whole number"


def _nearest(value: Published, questions: int) -> str:
    """The reachable accuracies on both sides of one that is not."""
    below = floor(Fraction(value.text) * questions / _PERCENT)
    near = sorted({min(max(answers, 0), questions) for answers in (below, below + 1)})
    shown = (
        f"{as_decimals(Fraction(_PERCENT * answers, questions), decimal_places(value.text))} "
        f"({answers} of {questions})"
        for answers in near
    )
    return " or ".join(shown)


# -----------------------------------------------------------------------------
# McNemar


def sampling(manifest: Manifest, claim: SamplingClaim) -> RuleDecision:
    """Each left arm is better by more than the sampling of questions explains, however they fell.

    z² has no sign, so the difference of right answers is asked first: one the other way counts
    against, however large, and where there may be none at all nothing is decided.
    """
    limit = Fraction(claim.z) ** 2
    groups = dict.fromkeys(("beyond", "within", "reversed", "tied", "open"), 0)
    working = []
    for each in claim.comparisons:
        left, right = manifest.printed(each.left), manifest.printed(each.right)
        arms = (left, right) if each.better == "higher" else (right, left)
        one, other = (right_answers(arm.text, each.questions) for arm in arms)
        if one and other:
            low, high = squared_z(one, other, each.questions)
            group = _group(one[0] - other[-1], one[-1] - other[0], (low, high), limit)
            answers: dict[str, Value] = {
                "left": _span(one),
                "right": _span(other),
                "questions": each.questions,
            }
            ends = {"low": math.sqrt(low), "high": math.sqrt(high)}
            step = cause(
                "difference-of-answers", values=pair_in_words(*arms), group=group, **answers, **ends
            )
        else:
            group, never = "open", arms[0].text if not one else arms[1].text
            questions = each.questions
            step = cause(
                "no-answers-print-so", values=pair_in_words(*arms), never=never, questions=questions
            )
        groups[group] += 1
        working.append(step)
    total = len(claim.comparisons)
    failed = groups["within"] + groups["reversed"]
    return RuleDecision(
        outcome_of_bounds(sure=groups["beyond"] == total, possible=not failed),
        f"{plural(total, 'difference')} beyond sampling",
        ", ".join(f"{number} {group}" for group, number in groups.items()),
        f"z > {claim.z}",
        (cause("beyond-sampling", total=total, z=claim.z, **groups),),
        tuple(working),
    )


def _group(least: int, most: int, squares: tuple[Fraction, Fraction], limit: Fraction) -> str:
    """Which way a difference of right answers goes, and whether it is beyond sampling.

    Args:
        least: The better arm's right answers less the other's, at least.
        most: The same at most.
        squares: Least and greatest z², which are compared, so that all is exact.
        limit: z² that has to be exceeded.
    """
    if least <= 0 <= most:
        return "tied"
    if most < 0:
        return "reversed"
    return "beyond" if squares[0] > limit else "within" if squares[1] <= limit else "open"


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
