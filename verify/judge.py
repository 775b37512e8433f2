"""From claims and evidence to findings: one verdict for a manifest.

Every claim gets exactly one finding, with both sides and a reason. What is printed is
decided from the page; what is measured from records; what qualifies a measurement (tier,
stand-in, substitution, drift) turns any decision about it into `inconclusive`.
"""

from collections.abc import Mapping, Sequence

from repro import run_file
from repro.claims import (
    BoundClaim,
    CellClaim,
    Claim,
    CountClaim,
    IdentityClaim,
    MeanClaim,
    OrderingClaim,
)
from repro.finding import Finding, Outcome, Verdict
from repro.jobs import EvaluateJob
from repro.manifest import Manifest
from verify import layer_rules, model_rules
from verify.evidence import Evidence, InvalidError, Loaded, NotRunError
from verify.findings import PrintedClaim, finding_of, printed_finding
from verify.model_rules import Judged
from verify.printed_rules import Decided

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
    findings = []
    for claim in manifest.claims:
        if isinstance(claim, PrintedClaim) and claim.basis == "printed":
            findings.append(printed_finding(manifest, claim))
        else:
            what = changed.get(claim.id, changed.get("", ""))
            findings.append(_measured(manifest, claim, evidence, pins, what))
    notes = [f"{name}: {what}" if name else what for name, what in changed.items()]
    return Verdict(
        manifest=manifest.id,
        title=manifest.title,
        tier=evidence.run.tier,
        findings=tuple(findings),
        notes=(*notes, *_notes(evidence)),
    )


def _measured(
    manifest: Manifest, claim: Claim, evidence: Evidence, pins: Pins, changed: str
) -> Finding:
    if changed:
        return _without(manifest, claim, "invalid", changed)
    try:
        decided, direction, loaded = _apply_rule(manifest, claim, evidence)
    except InvalidError as error:
        return _without(manifest, claim, "invalid", str(error))
    except NotRunError as error:
        return _without(manifest, claim, "not-run", str(error))
    qualifiers = _qualifiers(claim, loaded, evidence, pins)
    if qualifiers:
        if decided.outcome != "inconclusive":
            direction = f"points to {decided.outcome}"
        decided = Decided(
            "inconclusive",
            decided.published,
            decided.measured,
            decided.margin,
            f"{'; '.join(qualifiers)}; {decided.reason}",
        )
    keys = [each.record.key for each in loaded]
    return finding_of(claim, decided, "measured", direction, keys)


def _apply_rule(manifest: Manifest, claim: Claim, evidence: Evidence) -> Judged:
    if isinstance(claim, CellClaim):
        return model_rules.cell(manifest, claim, evidence)
    if isinstance(claim, MeanClaim):
        return model_rules.mean(manifest, claim, evidence)
    if isinstance(claim, CountClaim):
        return model_rules.count(manifest, claim, evidence)
    if isinstance(claim, OrderingClaim):
        return model_rules.ordering(manifest, claim, evidence)
    if isinstance(claim, BoundClaim):
        return layer_rules.bound(claim, evidence)
    if isinstance(claim, IdentityClaim):
        return layer_rules.identity(claim, evidence)
    return layer_rules.trend(claim, evidence)


def _qualifiers(
    claim: Claim, loaded: Sequence[Loaded], evidence: Evidence, pins: Pins
) -> list[str]:
    """What keeps these records from deciding this claim."""
    found: dict[str, None] = {}
    for each in loaded:
        job, slot = each.record.job, each.slot
        if isinstance(job, EvaluateJob):
            if job.checkpoint != slot.checkpoint:
                found[f"tier {evidence.run.tier}, {job.checkpoint} stands in"] = None
            elif evidence.run.tier != "full":
                found[f"tier {evidence.run.tier}"] = None
            if job.checkpoint in evidence.run.substitutions:
                found[f"{job.checkpoint} was substituted"] = None
            if evidence.run.tier != "full":
                continue  # the versions of what decides nothing are beside the point
        for name in claim.depends_on:
            installed = each.record.environment.packages.get(name, "none")
            pinned = pins.get(name, "no pin")
            if installed != pinned:
                found[f"drift: {name} {installed}, pinned {pinned}"] = None
    return list(found)


def _notes(evidence: Evidence) -> list[str]:
    """What a reader of all findings has to know, each once."""
    notes: dict[str, None] = {}
    for name in evidence.run.substitutions:
        notes[f"{name} was substituted"] = None
    for slot_id in evidence.slots:
        try:
            record = evidence.get(slot_id).record
        except (InvalidError, NotRunError):
            continue
        for warning in record.warnings:
            notes[warning] = None
        for drift in record.environment.drift_lines():
            notes[f"drift: {drift}"] = None
    return list(notes)


def _without(manifest: Manifest, claim: Claim, outcome: Outcome, reason: str) -> Finding:
    """A finding with no measured side."""
    name = getattr(claim, "published", None)
    published = manifest.text_of(name) if name else claim.kind
    margin = claim.margin.value if isinstance(claim, CellClaim) else "—"
    return finding_of(claim, Decided(outcome, published, "—", margin, reason), "measured")
