"""What a whole table says of its numbers: only over all of them is one contradicted.

Holm's adjustment is over all distinct numbers that a whole run could contradict, and the setting
that is furthest off in one number guards all others. docs/decision.md derives both.
"""

from collections.abc import Mapping
from dataclasses import replace

from repro.schema.causes import cause
from repro.schema.manifest import Manifest
from verify.decidable import tested
from verify.decision_rule import ERROR_RATE, holm
from verify.evidence import Evidence
from verify.outcome import JudgedClaim
from verify.rests_on import slots_of


def adjust_over_table(judged: Mapping[str, JudgedClaim], tests: int) -> dict[str, JudgedClaim]:
    """Contradict what all numbers of a table together leave no doubt of.

    A number that was reproduced stays so. Every setting that is off in one number of the table may
    be so in another one: the largest deviation guards all.

    Args:
        judged: What was measured, by claim.
        tests: Numbers of the family that could be contradicted, those left out of the run too.
    """
    numbers = {name: each.test for name, each in judged.items() if each.test}
    guard = max((test.deviation for test in numbers.values()), default=0.0)
    p_values = [test.p_value(guard) for test in numbers.values()]
    adjusted = holm([*p_values, *[1.0] * (tests - len(numbers))])
    kept = dict(judged)
    for name, alone, p in zip(numbers, p_values, adjusted, strict=False):
        decided = judged[name].decided
        if decided.outcome != "inconclusive" or not alone < ERROR_RATE:
            continue
        why = cause("holm", tests=tests, p=p)
        if p < ERROR_RATE:
            here = cause("not-reproduced-here")
            rest = tuple(each for each in decided.causes if each != here)
            why = cause("beyond-another-draw", tests=tests, p=p)
            decided = replace(decided, outcome="contradicted", causes=rest)
        decided = replace(decided, causes=(why, *decided.causes))
        kept[name] = replace(judged[name], decided=decided)
    return kept


def left_open_over_a_part(
    manifest: Manifest,
    evidence: Evidence,
    alone: Mapping[str, JudgedClaim],
    judged: dict[str, JudgedClaim],
) -> dict[str, JudgedClaim]:
    """Contradict nothing over a part of the table, whatever made it one.

    A number without its records may have the largest deviation: with them less would be
    contradicted. So neither a budget nor a killed run, a damaged record, an absent checkpoint or a
    small GPU may make a verdict. What the manifest itself has no job for, nobody can measure.

    Args:
        manifest: With all numbers of the table.
        evidence: The records of its run.
        alone: What was measured, by claim.
        judged: The same over the table.
    """
    made_so = {n for n, one in judged.items() if one.decided.outcome != alone[n].decided.outcome}
    if not made_so:
        return judged
    every, there = guarding(manifest, evidence), {each.slot.id for each in evidence.checked()}
    left = sum(
        not (name in alone and alone[name].test and slots <= there)
        for name, slots in every.items()
        if all(evidence.slots[slot].job for slot in slots)
    )
    if not left:
        return judged
    why = cause("part-of-the-table", left=left, numbers=len(every))
    return {
        name: replace(one, decided=one.decided.because(why, outcome="inconclusive"))
        if name in made_so
        else one
        for name, one in judged.items()
    }


def guarding(manifest: Manifest, evidence: Evidence) -> dict[str, frozenset[str]]:
    """What each number of the table rests on, with all of its settings, by its claim."""
    of = evidence.run.tier, frozenset(evidence.slots)
    return {each.id: slots_of(manifest, each, *of) for each in tested(manifest)}
