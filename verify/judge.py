"""From claims and evidence to findings: one verdict for a manifest.

Every claim gets exactly one finding, with both sides and a reason. In order: (1) what needs
no run is decided from the page and from the pinned code; (2) what is measured from records;
(3) over the table, a printed number is `contradicted` by Holm's adjusted p-values; (4) what
qualifies a measurement (tier, stand-in, substitution, drift) turns any decision into
`inconclusive`; (5) a sentence with several readings follows from theirs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from repro.environment.machine import Environment
from repro.schema.catalog import Benchmark
from repro.schema.causes import Cause, cause
from repro.schema.claims import AmbiguousClaim, Claim, claimed_by
from repro.schema.finding import Finding, Verdict
from repro.schema.jobs import BenchmarkJob
from repro.schema.kinds.imported import ImportedJob
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import (
    BoundClaim,
    CellClaim,
    ConcordanceClaim,
    CountClaim,
    Divergence,
    FitsClaim,
    GrowingClaim,
    IdentityClaim,
    MeanClaim,
    OrderingClaim,
    ProofClaim,
    ThroughputGain,
    TrendClaim,
)
from repro.schema.tuned_claims import (
    BarsClaim,
    ImprovementClaim,
    ImprovementRatio,
    LearnsClaim,
    MeanScore,
    MeasuredDifference,
    MeasuredWinsClaim,
    Parameters,
    Score,
    TunedDivergence,
)
from repro.schema.tuned_slots import OfTunedModels
from repro.store import keys, run_file
from repro.store.record import Record
from repro.text import first_few, plural
from verify import qualifiers, tuned_paired
from verify.decidable import family
from verify.decision_rule import ERROR_RATE
from verify.errors import InvalidError, NotRunError
from verify.evidence import Evidence
from verify.outcome import JudgedClaim, RuleDecision
from verify.paper import (
    basis_of_records,
    finding_of,
    unmeasured_finding,
    with_sentences,
    without_run,
)
from verify.records import screened
from verify.records.benchmark import unchecked_gold
from verify.records.checked_record import CheckedRecord
from verify.rules import (
    difference,
    improvement,
    layer,
    model,
    proof,
    score,
    throughput,
    trend,
    tuned,
)
from verify.rules.tuned import with_learning_notes
from verify.stopping import Asked, ask
from verify.whole_table import adjust_over_table, guarding, left_open_over_a_part

Pins = Mapping[str, str]
"""Package to the version that the lock pins."""


def judge(manifest: Manifest, evidence: Evidence, pins: Pins) -> Verdict:
    """Decide every claim of a manifest.

    Args:
        manifest: The claims.
        evidence: Records of a run of it.
        pins: What the environment is held to.
    """
    changed = run_file.changes(evidence.run, manifest)
    found: dict[str, Finding] = {}
    judged: dict[str, JudgedClaim] = {}
    asked = ask_measured(manifest, evidence)  # (2)
    for claim in manifest.claims:
        finding: Finding | JudgedClaim | None = (
            asked[claim.id].found if claim.id in asked else without_run(manifest, claim)  # (1)
        )
        if isinstance(finding, JudgedClaim):
            judged[claim.id] = finding
        elif finding:
            found[claim.id] = finding
    # What was changed may have been a number of the table when it ran: it counts still.
    tests = family(manifest) + len(changed)
    over_table = adjust_over_table(judged, tests)
    judged = left_open_over_a_part(manifest, evidence, judged, over_table)  # (3)
    for claim in manifest.claims:
        if claim.id in judged:
            found[claim.id] = _qualified(manifest, claim, judged[claim.id], evidence, pins)  # (4)
    found = with_sentences(manifest, found)  # (5)
    for name in changed:  # readings that were chosen after the numbers were known
        if name in found and found[name].readings and found[name].basis == "measured":
            update = {"outcome": "invalid", "causes": (_changed(changed[name]),)}
            found[name] = found[name].model_copy(update=update)
    return Verdict(
        manifest=manifest.id,
        title=manifest.title,
        tier=evidence.run.tier,
        findings=tuple(found[claim.id] for claim in manifest.claims),
        notes=(
            *(f"{name}: {what}" if name else what for name, what in changed.items()),
            *_table_notes(manifest, found),
            *_notes(evidence),
        ),
    )


def ask_measured(
    manifest: Manifest, evidence: Evidence, upto: int | None = None
) -> dict[str, Asked]:
    """What each measured claim comes to by records, look by look, `upto` one of them or all."""
    changed = run_file.changes(evidence.run, manifest)
    return {
        claim.id: ask(
            manifest,
            claim,
            evidence,
            partial(_measured, what=changed.get(claim.id, changed.get("", ""))),
            upto,
        )
        for claim in manifest.claims
        if not isinstance(claim, AmbiguousClaim) and without_run(manifest, claim) is None
    }


def wanted_guards(manifest: Manifest, evidence: Evidence) -> frozenset[str]:
    """After the last look: what guards the table, if a number of it would be contradicted."""
    asked = ask_measured(manifest, evidence)
    judged = {n: each.found for n, each in asked.items() if isinstance(each.found, JudgedClaim)}
    adjusted = adjust_over_table(judged, family(manifest))
    alike = all(adjusted[n].decided.outcome == e.decided.outcome for n, e in judged.items())
    return frozenset() if alike else frozenset[str]().union(*guarding(manifest, evidence).values())


def _measured(
    manifest: Manifest, claim: Claim, evidence: Evidence, what: str
) -> JudgedClaim | Finding:
    """What records say about a claim, or why they say nothing; `what` was changed since the run."""
    if what:
        return unmeasured_finding(manifest, claim, "invalid", _changed(what))
    try:
        return decide(manifest, claim, evidence)
    except InvalidError as error:
        why = cause("record-refused", why=str(error))
        return unmeasured_finding(manifest, claim, "invalid", why)
    except NotRunError as error:
        return unmeasured_finding(manifest, claim, "not-run", cause("no-record", why=str(error)))


def _changed(what: str) -> Cause:
    return cause("changed-after-the-run", what=what)


def _qualified(
    manifest: Manifest, claim: Claim, judged: JudgedClaim, evidence: Evidence, pins: Pins
) -> Finding:
    """The finding of a measured claim, with what keeps its records from deciding it."""
    decided, direction = judged.decided, judged.direction
    loaded = _with_tunings(judged.loaded)
    against = qualifiers.disqualifiers(claim, loaded, evidence, pins)
    if against:
        if decided.outcome != "inconclusive":
            direction = cause("points-to", outcome=decided.outcome)
        decided = _of_a_stand_in(decided).because(*against, outcome="inconclusive")
    if first := qualifiers.pinned_on_first_use(loaded, evidence):
        line = cause("pinned-on-first-use", names=", ".join(first))
        decided = replace(decided, working=(*decided.working, line))
    if asked := screened.in_words(loaded):
        decided = replace(decided, working=(*decided.working, asked))
    keys = [each.record.key for each in loaded]
    return finding_of(manifest, claim, decided, basis_of_records(claim), direction, keys)


def _of_a_stand_in(decided: RuleDecision) -> RuleDecision:
    """What was measured of something else than the claim is about belongs to no list of claims."""
    kept = tuple(each for each in decided.causes if each.code not in _OF_THE_MODELS)
    floor = [each for each in decided.causes if each.code == "at-the-floor"]
    return replace(decided, causes=kept, working=(*floor, *decided.working))


_OF_THE_MODELS = ("not-reproduced-here", "at-the-floor")
"""Lists of claims about the paper's own models, measured as their manifest asks."""


def _with_tunings(loaded: Sequence[CheckedRecord]) -> list[CheckedRecord]:
    """Records and those of the tunings that they rest on, each once."""
    every = [each for one in loaded for each in (one, one.tuning) if each]
    return list({(each.slot.id, each.record.key): each for each in every}.values())


def _table_notes(manifest: Manifest, found: Mapping[str, Finding]) -> list[str]:
    """What the numbers of a table come to together; readings of one number are no table."""
    cells = [found[claim.id] for claim in manifest.claims if isinstance(claim, CellClaim)]
    cells = [each for each in cells if each.reading_of is None]
    measured = [each for each in cells if each.outcome not in ("not-run", "invalid")]
    if not measured:
        return []
    reproduced = sum(each.outcome == "reproduced" for each in measured)
    every = plural(len(cells), "cell")
    falsely = f"up to {ERROR_RATE * len(measured):g} of {plural(len(measured), 'cell')}"
    return [
        f"{reproduced} of {every} reproduced; the table is only if every cell is",
        f"{falsely} would be reproduced falsely if each lay just at its margin",
    ]


def _notes(evidence: Evidence) -> list[str]:
    """What a reader of all findings has to know, each once."""
    notes: dict[str, None] = {}
    made: dict[str, Record] = {}
    for name in evidence.run.substitutions:
        notes[f"{name} was substituted"] = None
    for record in (each.record for each in evidence.checked()):
        for warning in record.warnings:
            notes[warning] = None
        if isinstance(record.job, BenchmarkJob | ImportedJob):
            notes |= _unchecked_gold(record.job, evidence)
        notes |= dict.fromkeys(_drift(record.environment, evidence.manifest))
        made |= {record.key: record}
    known = [each.environment for each in made.values() if not isinstance(each.job, ImportedJob)]
    pinned = ["drift: none"] if known and not any(each.drift for each in known) else []
    return [*notes, *_other_code(list(made.values())), *pinned]


def _other_code(records: Sequence[Record]) -> Iterator[str]:
    """Records made by code that this is not; they are judged all the same."""
    apart = {record.key: keys.changed_modules(record.code) for record in records}
    several = [key for key, names in apart.items() if names]
    if several:
        names = sorted({name for each in apart.values() for name in each})
        yield (
            f"made by other code: {len(several)} of {plural(len(records), 'record')}; "
            f"{first_few(names)} of this checkout {'is' if len(names) == 1 else 'are'} not what ran"
        )
    seen = {each.environment.revision for each in records if each.environment.revision}
    for one in sorted(seen, key=str):
        if one.changed:
            yield f"made by code that was not as {one.of} has it: {first_few(one.changed)}"


def _drift(environment: Environment, manifest: Manifest) -> list[str]:
    """Packages that the manifest depends on one by one, the others as a number."""
    named = [each for each in environment.drift if each.package in manifest.packages]
    others = len(environment.drift) - len(named)
    found = [f"drift: {each}" for each in named]
    if others:
        more = "other packages are" if others > 1 else "other package is"
        found.append(f"drift: {others} {more} not at the pins; the records name them")
    return found


def _unchecked_gold(job: BenchmarkJob | ImportedJob, evidence: Evidence) -> dict[str, None]:
    """What of a benchmark's gold answers nothing holds to the data set."""
    known = evidence.datasets[job.task]
    what = unchecked_gold(job, known) if isinstance(known, Benchmark) else ""
    return {what: None} if what else {}


# -----------------------------------------------------------------------------
# Which rule decides which kind of measured claim.

Rule = Callable[[Manifest, Any, Evidence], JudgedClaim]

CELLS: Mapping[type, Rule] = {
    Divergence: model.cell,
    TunedDivergence: tuned.cell,
    Score: score.cell,
    MeanScore: score.cell,
    MeasuredDifference: difference.cell,
    Parameters: difference.cell,
    ImprovementRatio: improvement.ratio,
    ThroughputGain: throughput.cell,
}
"""By what a cell measures."""

CLAIMS: Mapping[type, Rule] = {
    MeanClaim: model.mean,
    CountClaim: model.count,
    OrderingClaim: model.ordering,
    ConcordanceClaim: trend.measured_concordance,
    BarsClaim: tuned.bars,
    MeasuredWinsClaim: score.wins,
    ImprovementClaim: improvement.relation,
    GrowingClaim: throughput.growing,
    FitsClaim: throughput.fits,
    LearnsClaim: lambda _, claim, evidence: tuned.learns(claim, evidence),
    BoundClaim: lambda _, claim, evidence: layer.bound(claim, evidence),
    IdentityClaim: lambda _, claim, evidence: layer.identity(claim, evidence),
    TrendClaim: lambda _, claim, evidence: layer.trend(claim, evidence),
    ProofClaim: lambda _, claim, evidence: proof.decide(claim, evidence),
}
"""By kind, of claims that are no cells."""


def decide(manifest: Manifest, claim: Claim, evidence: Evidence) -> JudgedClaim:
    """What the records say about one claim, with what tuned models did not learn beside it.

    Raises:
        NotRunError: if a record that it rests on is missing.
        InvalidError: if one cannot be trusted.
    """
    claimed = claimed_by(claim)
    rule = (CELLS if isinstance(claim, CellClaim) else CLAIMS)[type(claimed)]
    judged = rule(manifest, claim, evidence)
    if isinstance(claimed, OfTunedModels):
        judged = tuned_paired.with_open_factors(manifest, claimed, judged)
    return with_learning_notes(judged)
