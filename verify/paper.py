"""Findings from decisions; what needs no run needs nothing else, not even numpy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from repro.schema.causes import LISTS, Cause, cause
from repro.schema.claims import AmbiguousClaim, Claim, ModelClaim, PageClaim, PlannedClaim
from repro.schema.finding import GOOD, Basis, Finding, Outcome, Reading, Result, Verdict
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import (
    CellClaim,
    ConcordanceClaim,
    CountClaim,
    FitsClaim,
    GrowingClaim,
    MeanClaim,
    OrderingClaim,
    ProofClaim,
    UnbuiltMeasure,
)
from repro.schema.page_claims import FactClaim, RepeatClaim, WholeQuestionsClaim
from repro.schema.tuned_claims import BarsClaim, ImprovementClaim
from verify.outcome import RuleDecision, first_few_texts
from verify.rules import fact, page


def finding_of(
    manifest: Manifest,
    claim: Claim,
    decided: RuleDecision,
    basis: Basis,
    direction: Cause | None = None,
    records: Sequence[str] = (),
) -> Finding:
    """One claim, decided, in words that its standing, its quote and its conditions bear.

    A reading says no more than its sentence may: it stands as the sentence does, under the
    sentence's conditions too.

    `reproduced` is for what was measured; what is printed or stands in pinned code is `consistent`.
    `contradicted` is for a printed sentence that is quoted and fails without a condition.

    Args:
        manifest: With printed values, and the sentence that the claim may be a reading of.
        claim: What was decided.
        decided: By its rule.
        basis: What it rests on.
        direction: Where an open measurement points.
        records: Keys of what it rests on.
    """
    sentence = sentence_of(manifest, claim)
    quote = quoted(manifest, claim) or (quoted(manifest, sentence) if sentence else "")
    conditions, standing = _conditions(claim), claim.standing
    if sentence:
        conditions = tuple(dict.fromkeys((*conditions, *_conditions(sentence))))
        standing = sentence.standing if standing == "printed" else standing
    outcome, result = decided.outcome, None
    if outcome == "reproduced" and basis != "measured":
        decided = replace(decided, outcome="consistent" if basis != "proof" else "proved")
    if standing != "printed" and outcome not in ("not-run", "invalid"):
        result = _RESULTS.get(decided.outcome, "open")
        failed = standing == "beside" or outcome == "contradicted"
        said = cause(standing, result=_SAID[result])
        decided = decided.because(said, outcome="inconclusive" if failed else decided.outcome)
    elif outcome == "contradicted" and not quote:
        decided = decided.because(cause("not-quoted"), outcome="inconclusive")
    elif outcome == "contradicted" and conditions:
        why = cause("contradicted-if", condition=" and ".join(conditions))
        decided = decided.because(why, outcome="inconclusive")
    return Finding(
        claim=claim.id,
        kind=claim.kind,
        statement=claim.statement,
        place=claim.place,
        quote=quote,
        standing=standing,
        basis=basis,
        outcome=decided.outcome,
        result=result,
        published=decided.published,
        measured=decided.measured,
        margin=decided.margin,
        causes=decided.causes,
        working=decided.working,
        estimates=decided.estimates,
        conditions=conditions,
        direction=direction,
        reading=claim.reading or "",
        reading_of=sentence.id if sentence else None,
        records=tuple(dict.fromkeys(records)),
        answers=claim.answers,
    )


_RESULTS: Mapping[Outcome, Result] = {
    "reproduced": "holds",
    "consistent": "holds",
    "proved": "holds",
    "contradicted": "fails",
}
_SAID: Mapping[Result, str] = {
    "holds": "holds",
    "fails": "does not hold",
    "open": "is not decided",
}


def sentence_of(manifest: Manifest, claim: Claim) -> AmbiguousClaim | None:
    """The sentence that a claim is one reading of."""
    for each in manifest.claims:
        if isinstance(each, AmbiguousClaim) and claim.id in each.readings:
            return each
    return None


def quoted(manifest: Manifest, claim: Claim) -> str:
    """What is printed: the quoted sentence, or the printed numbers that the claim is about."""
    if claim.quote:
        return claim.quote
    names = () if isinstance(claim, _START_AT_A_NUMBER) else _printed_names(claim)
    values = [manifest.printed(name) for name in names if name]
    return first_few_texts([value.word or value.text for value in values]) if values else ""


_START_AT_A_NUMBER = (BarsClaim, ImprovementClaim, FitsClaim, GrowingClaim)
"""What these name as published is where they begin, and not what they say."""


def _printed_names(claim: Claim) -> tuple[str | None, ...]:
    """Published values that a claim says something about by themselves."""
    if isinstance(claim, RepeatClaim):
        return (*claim.left, *claim.right)
    if isinstance(claim, WholeQuestionsClaim):
        return claim.of
    return (getattr(claim, "published", None), getattr(claim, "out_of", None))


def _conditions(claim: Claim) -> tuple[str, ...]:
    """What has to hold for a claim, each once."""
    more = (claim.condition,) if isinstance(claim, FactClaim) and claim.condition else ()
    return tuple(dict.fromkeys((*claim.conditions, *more)))


def without_run(manifest: Manifest, claim: Claim) -> Finding | None:
    """The finding of a claim that no run of this bundle bears on; None for any other."""
    if isinstance(claim, ModelClaim) and claim.basis == "measured":
        return None
    if isinstance(claim, MeanClaim | CountClaim | OrderingClaim):
        return finding_of(manifest, claim, page.decide_printed(manifest, claim), "page")
    if isinstance(claim, PageClaim | ConcordanceClaim):
        decided, direction = page.decide(manifest, claim)
        return finding_of(manifest, claim, decided, "page", direction)
    if isinstance(claim, FactClaim):
        return finding_of(manifest, claim, fact.decide(manifest, claim), "code")
    if isinstance(claim, PlannedClaim):
        return _not_built(manifest, claim, claim.needs, claim.check)
    if isinstance(claim, CellClaim) and isinstance(claim.measure, UnbuiltMeasure):
        return _not_built(manifest, claim, claim.measure.needs, claim.measure.what)
    return None


def _not_built(manifest: Manifest, claim: Claim, needs: str, check: str) -> Finding:
    why = (cause("no-job", needs=needs), cause("planned-check", check=check))
    return unmeasured_finding(manifest, claim, "not-run", *why)


def unmeasured_finding(manifest: Manifest, claim: Claim, outcome: Outcome, *why: Cause) -> Finding:
    """A finding with no measured side."""
    name = getattr(claim, "published", None)
    if isinstance(claim, BarsClaim | ImprovementClaim):
        published: str = claim.relation  # what they name beside it is the size that they start at
    else:
        published = manifest.text_of(name) if name else claim.kind
    margin = getattr(claim, "margin", None)
    shown = f"± {margin.value}" if margin else "—"
    decided = RuleDecision(outcome, published, "—", shown, why)
    return finding_of(manifest, claim, decided, basis_of_records(claim))


def basis_of_records(claim: Claim) -> Basis:
    """What a record is to a claim: a measurement, or a proof."""
    return "proof" if isinstance(claim, ProofClaim) else "measured"


def decide_readings(
    manifest: Manifest, claim: AmbiguousClaim, others: Mapping[str, Finding]
) -> Finding:
    """A sentence by its readings: what they all say, or that they disagree.

    A sentence with no reading that could be measured is `inconclusive`: empty is never success.
    """
    read = [others[name] for name in claim.readings]
    outcomes = dict.fromkeys(each.outcome for each in read)
    waiting = [each.claim for each in read if each.outcome == "not-run"]
    failing = [each.claim for each in read if each.outcome == "contradicted"]
    conditional = [each for each in read if each.listed_under == "contradicted-if"]
    conditions = dict.fromkeys(one for each in conditional for one in each.conditions)
    outcome: Outcome = "inconclusive"
    if not read:
        why = cause("no-reading")
    elif outcomes.keys() <= set(GOOD):
        outcome = next(each for each in _WEAKEST_FIRST if each in outcomes)
        why = cause("every-reading", outcome=outcome)
    elif conditional and len(conditional) + len(failing) == len(read):
        why = cause("contradicted-if", condition=" and ".join(conditions))
    elif len(outcomes) == 1:
        outcome = read[0].outcome
        why = cause("every-reading", outcome=outcome)
    elif waiting:
        why = cause("reading-waits", names=", ".join(waiting))
    elif failing:
        why = _by_one_reading(claim, failing)
    else:
        why = cause("depends-on-reading")
    bases = {each.basis for each in read}
    order: tuple[Basis, ...] = ("measured", "page", "code", "proof")
    basis: Basis = next((each for each in order if each in bases), "page")
    if outcome == "inconclusive" and why.code not in LISTS:
        listed_as = {each.listed_under for each in read}
        alike = [one for each in read[:1] for one in each.causes if listed_as == {one.code}]
    else:
        alike = []
    said = (why, *alike, cause("open-words", missing=claim.missing))
    decided = RuleDecision(outcome, "sentence", f"{len(read)} readings", "—", said)
    found = finding_of(manifest, _with_quote(claim, read), decided, basis)
    readings = tuple(Reading(claim=each.claim, outcome=each.outcome) for each in read)
    every = tuple(dict.fromkeys((*found.conditions, *conditions)))
    return found.model_copy(update={"readings": readings, "conditions": every})


_WEAKEST_FIRST: tuple[Outcome, ...] = ("consistent", "reproduced", "proved")


def _with_quote(claim: AmbiguousClaim, read: Sequence[Finding]) -> AmbiguousClaim:
    """A sentence without a quote of its own has what its readings quote, if all do."""
    quotes = dict.fromkeys(each.quote for each in read)
    if claim.quote or "" in quotes:
        return claim
    return claim.model_copy(update={"quote": "; ".join(quotes) or None})


def _by_one_reading(sentence: AmbiguousClaim, failing: Sequence[str]) -> Cause:
    others = [name for name in sentence.readings if name not in failing]
    return cause(
        "fails-by-one-reading", failing=first_few_texts(failing), others=first_few_texts(others)
    )


def with_sentences(manifest: Manifest, found: Mapping[str, Finding]) -> dict[str, Finding]:
    """The same findings with those of sentences that have all their readings among them.

    What fails by one reading of several is not contradicted: another reading may be meant, and may
    be one that is not decided here.
    """
    every = dict(found)
    for claim in manifest.claims:
        if not isinstance(claim, AmbiguousClaim):
            continue
        if set(claim.readings) <= found.keys():
            every[claim.id] = decide_readings(manifest, claim, found)
        read = [found[name] for name in claim.readings if name in found]
        failing = [each.claim for each in read if each.outcome == "contradicted"]
        for name in failing if set(failing) != set(claim.readings) else ():
            why = (_by_one_reading(claim, failing), *every[name].causes)
            update = {"outcome": "inconclusive", "causes": why}
            every[name] = every[name].model_copy(update=update)
    return every


def paper_against_itself(manifest: Manifest) -> Verdict:
    """Every claim of a manifest that needs no run: printed values, and code of the pins."""
    found: dict[str, Finding] = {}
    for claim in manifest.claims:
        finding = without_run(manifest, claim)
        if finding and finding.basis in ("page", "code"):
            found[claim.id] = finding
    found = with_sentences(manifest, found)
    order = [found[claim.id] for claim in manifest.claims if claim.id in found]
    return Verdict(
        manifest=manifest.id, title=manifest.title, tier=None, findings=tuple(order), notes=()
    )
