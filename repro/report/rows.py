"""The claims of a page: one row a claim and tier, by section of the paper.

Every claim of every manifest gets a row. What several runs say alike is said once; what one run
left out is dropped where another has it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from repro.report.view import Seen
from repro.schema.causes import cause
from repro.schema.claims import AmbiguousClaim, Claim
from repro.schema.finding import Finding, Outcome
from repro.schema.manifest import Manifest

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
SYMBOLS: dict[Outcome, str] = {
    "reproduced": "✓",
    "consistent": "=",
    "proved": "∎",
    "contradicted": "✗",
    "inconclusive": "?",
    "not-run": "–",
    "invalid": "!",
}
"""Said beside every colour."""

PAGE = "the page"
"""In the place of a tier, of what needs no run."""
NO_RUN = "no run"
"""The same of claims that need one and have none."""

_CAUGHT = re.compile(r"is noticed \d+ times|would be accepted$|controls? caught|no control")
"""Words in which `verify` says what a check would have caught, in its working and its reasons."""


@dataclass(frozen=True)
class Row:
    """One finding, as a page shows it."""

    anchor: str
    """Unique on the page, fit for an address."""
    manifest: str
    section: str
    """Heading that it stands under."""
    tier: str
    finding: Finding
    caught: tuple[str, ...]
    """What difference the check would have noticed."""
    working: tuple[str, ...]
    """The other steps."""


def rows(seen: Seen) -> tuple[Row, ...]:
    """Every claim, in the order of the paper, then of the manifests."""
    found: list[tuple[str, str, Finding]] = []
    for manifest in seen.manifests:
        mine = list(dict.fromkeys(_findings(seen, manifest)))
        done = {one.claim for _, one in mine if one.outcome != "not-run"}
        found += [
            (manifest.id, tier, one)
            for tier, one in mine
            if one.outcome != "not-run" or one.claim not in done
        ]
    ordered = sorted(enumerate(found), key=lambda each: (_order(section_of(each[1][2])), each[0]))
    anchors: dict[str, int] = {}
    return tuple(_row(*each, anchors) for _, each in ordered)


def _findings(seen: Seen, manifest: Manifest) -> Iterator[tuple[str, Finding]]:
    """Tier and finding: of the page, then of each run, then of what nobody ran."""
    verdicts = [each for each in seen.page if each.manifest == manifest.id]
    verdicts += [run.verdict for run in seen.runs if run.verdict.manifest == manifest.id]
    said, decided = set[str](), dict[str, Outcome]()
    for verdict in verdicts:
        for finding in verdict.findings:
            said.add(finding.claim)
            if finding.outcome != "not-run":
                decided[finding.claim] = finding.outcome
            printed = finding.basis in ("page", "code")
            yield PAGE if printed else str(verdict.tier), finding
    for claim in manifest.claims:
        if claim.id not in said:
            yield NO_RUN, _not_run(manifest, claim, decided)


def _not_run(manifest: Manifest, claim: Claim, decided: Mapping[str, Outcome]) -> Finding:
    name, margin = getattr(claim, "published", None), getattr(claim, "margin", None)
    needs = getattr(claim, "needs", None) or getattr(getattr(claim, "measure", None), "needs", None)
    reason, read = f"no run of it in these results: repro run manifests/{manifest.id}.json", []
    if needs:
        reason = f"no job for it: {needs}"
    elif isinstance(claim, AmbiguousClaim):
        waiting = [name for name in claim.readings if name not in decided]
        reason = f"a reading of it was not run: {', '.join(waiting)}"
        read = [f"{name} {decided[name]}" for name in claim.readings if name in decided]
    return Finding(
        claim=claim.id,
        kind=claim.kind,
        statement=claim.statement,
        place=claim.place,
        basis="measured",
        outcome="not-run",
        published=manifest.text_of(name) if name else claim.kind,
        measured="—",
        margin=f"± {margin.value}" if margin else "—",
        causes=(cause("text", text=reason),),
        reading=claim.reading or "",
        working=(cause("text", text=", ".join(read)),) if read else (),
    )


def _row(manifest: str, tier: str, finding: Finding, anchors: dict[str, int]) -> Row:
    name = f"{manifest}.{finding.claim}"
    anchors[name] = anchors.get(name, 0) + 1
    said = [*finding.steps, *finding.reason.split("; ")]
    caught = tuple(line for line in said if _CAUGHT.search(line))
    return Row(
        anchor=name if anchors[name] == 1 else f"{name}.{anchors[name]}",
        manifest=manifest,
        section=section_of(finding),
        tier=tier,
        finding=finding,
        caught=tuple(caught),
        working=tuple(line for line in finding.steps if line not in caught),
    )


# -----------------------------------------------------------------------------
# Sections


def section_of(finding: Finding) -> str:
    """The heading of the first place that a claim names.

    Example:
        >>> heading("5.1, after Figure 1"), heading("Abstract; 1"), heading("Appendices A and D")
        ('Section 5.1', 'Abstract', 'Appendix A')
    """
    return heading(finding.place.section)


def heading(place: str) -> str:
    """See `section_of`."""
    first = re.split(r"[;,]", place)[0].strip()
    if several := re.match(r"Appendices (\w+)", first):
        return f"Appendix {several[1]}"
    return f"Section {first}" if re.fullmatch(r"[\d.]+", first) else first


def _order(section: str) -> tuple[int, tuple[int, ...], str]:
    """Abstract, numbered sections, appendices, then the rest."""
    if numbers := re.findall(r"\d+", section.removeprefix("Section ")):
        if section.startswith("Section "):
            return 1, tuple(map(int, numbers)), ""
        return 3, (), section
    return (0, (), "") if section == "Abstract" else (2, (), section)


def by_section(every: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows under their headings, both in order."""
    found: dict[str, list[Row]] = {}
    for row in every:
        found.setdefault(row.section, []).append(row)
    return found


def counts(every: Sequence[Row]) -> dict[Outcome, int]:
    """How many rows have each outcome."""
    return {each: sum(row.finding.outcome == each for row in every) for each in OUTCOMES}
