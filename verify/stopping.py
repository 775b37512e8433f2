"""Settings one after another, until a claim is decided or cannot be any more.

A run that stops when decided fixes its looks before its first job
(`repro.schema.evaluation.looks`). Here they are walked again from its records alone. At each look a
claim is judged by the rule that judges it anywhere, of the settings of that look and no later one:

    early     `reproduced` at its share of the error rate ends it; else it is asked whether the
              settings to come could decide it at best: if not, it is given up
    the last  all of its settings: what is left is decided, by the share too. Only here is anything
              contradicted, as a setting that is off may be one of the last: a number once the
              whole table has all settings (`verify.judge.wanted_guards`)

What ended a claim stays, whatever later settings say. A claim whose jobs all come with the first
look (a theorem, a layer) is judged once, as in any run. docs/decision.md derives the rule.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from repro.schema.causes import Cause, cause
from repro.schema.claims import Claim
from repro.schema.evaluation.looks import AFTER, up_to
from repro.schema.finding import Finding
from repro.schema.manifest import Manifest
from verify.decision_rule import ERROR_RATE
from verify.evidence import Evidence
from verify.look import Look, early, last, taking
from verify.outcome import JudgedClaim
from verify.rests_on import slots_of

Found = JudgedClaim | Finding
Measure = Callable[[Manifest, Claim, Evidence], Found]
"""What records say about a claim, by the settings that a manifest has; or why they say nothing."""


@dataclass(frozen=True)
class Asked:
    """What a claim came to, at the last look that was taken at it."""

    found: Found | None
    """None where it is open."""
    state: Literal["decided", "given up", "last", "open"]
    """`open`: the settings of the next look are wanted; `last`: there is no further look at it."""
    look: int
    """From 1."""
    slots: frozenset[str]
    """What it rests on up to that look; of an open one at any look."""


def ask(
    manifest: Manifest, claim: Claim, evidence: Evidence, measure: Measure, upto: int | None = None
) -> Asked:
    """Take one look after another at a claim, until one of them ends it.

    Args:
        manifest: That of the claim.
        claim: A measured one.
        evidence: Records of a run, whose file has the looks.
        measure: The rule.
        upto: The last look whose records are there; None for all.
    """
    looks, slots = evidence.run.looks, evidence.slots
    whole = _slots(manifest, claim, evidence, slots.keys())
    whole_of = partial(measure, manifest, claim, evidence)
    total, taken = len(_settings(whole, evidence)), set[str]()
    for at, added in enumerate(looks[:-1], 1):
        taken.update(added)
        part = up_to(manifest, evidence.run.tier, taken)
        there = {name for name, slot in slots.items() if slot.setting in {None, *taken}}
        rests_on = _slots(part, claim, evidence, there)
        if rests_on == whole:
            if at == 1:
                return Asked(measure(manifest, claim, evidence), "last", at, whole)
            break
        draws = len(_settings(rests_on, evidence))
        if draws >= AFTER[0]:
            look = early(len(looks), draws, total)
            with taking(look):
                found = measure(part, claim, evidence)
            if not isinstance(found, JudgedClaim):  # a record is missing, or cannot be trusted
                return Asked(found, "last", at, rests_on)
            said = {"look": at, "looks": len(looks), "settings": draws, "whole": total}
            if found.decided.outcome == "reproduced":
                why = cause("decided-at-look", **said, rate=look.share(ERROR_RATE))
                return Asked(_ended(found, why, whole_of()), "decided", at, rests_on)
            against = found.decided.outcome == "contradicted"  # which the last look alone may say
            best = early(len(looks), draws, total, ahead=True)
            if not against and not _can_be_decided(part, claim, evidence, measure, best):
                why = cause("given-up-at-look", **said)
                return Asked(_ended(found, why, whole_of()), "given up", at, rests_on)
        if at == upto:
            return Asked(None, "open", at, whole)
    look = last(max(1, len(looks)))
    with taking(look):
        found = measure(manifest, claim, evidence)
    if looks and isinstance(found, JudgedClaim):
        said = {"look": len(looks), "looks": len(looks), "whole": total}
        found = _with(found, cause("last-look", **said, rate=look.share(ERROR_RATE)))
    return Asked(found, "last", max(1, len(looks)), whole)


def _slots(
    manifest: Manifest, claim: Claim, evidence: Evidence, every: Iterable[str]
) -> frozenset[str]:
    return slots_of(manifest, claim, evidence.run.tier, frozenset(every))


def _settings(slots: Iterable[str], evidence: Evidence) -> set[str | None]:
    return {evidence.slots[each].setting for each in slots} - {None}


def _can_be_decided(
    part: Manifest, claim: Claim, evidence: Evidence, measure: Measure, best: Look
) -> bool:
    """Whether settings to come could decide a claim, at best.

    At best they move the mean as far as they will but once in twenty, differ by no more than the
    floor, and show no other change between kernels than those that are seen.
    """
    with taking(best):
        found = measure(part, claim, evidence)
        if not isinstance(found, JudgedClaim) or found.decided.outcome != "inconclusive":
            return True
        return found.test is not None and found.test.p_value(found.test.deviation) < ERROR_RATE


def _ended(found: JudgedClaim, why: Cause, whole: Found) -> JudgedClaim:
    """What no later look asks again: a number is not tested, and guards its table as it did.

    Args:
        found: At the look that ended it.
        why: That look.
        whole: The same of all settings, where they were run: they guard too.
    """
    test = found.test and replace(found.test, off=0.0)
    if test and isinstance(whole, JudgedClaim) and whole.test:
        test = replace(test, deviation=max(test.deviation, whole.test.deviation))
    return replace(_with(found, why), test=test)


def _with(found: JudgedClaim, why: Cause) -> JudgedClaim:
    """The same, saying at which look."""
    decided = found.decided
    return replace(found, decided=replace(decided, causes=(*decided.causes, why)))
