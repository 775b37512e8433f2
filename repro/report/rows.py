"""The claims of a page: one row a claim and tier, by section of the paper.

Every claim of every manifest gets a row. What several runs say alike is said once; what one run
left out is dropped where another has it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from repro.report.report_data import ReportData
from repro.schema.causes import NOTICES, cause, say
from repro.schema.claims import AmbiguousClaim, Claim
from repro.schema.finding import Basis, Finding, Outcome, Reading
from repro.schema.manifest import Manifest
from verify.paper import unmeasured_finding

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
BASES: tuple[Basis, ...] = get_args(Basis)
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

PAPER = "paper"
"""In the place of a tier, of what needs no run."""
NO_RUN = "no run"
"""The same of claims that need one and have none."""

_STRONGEST: tuple[Outcome, ...] = (
    *("invalid", "contradicted", "reproduced", "proved", "consistent", "inconclusive", "not-run"),
)
"""Of a claim in several runs the first of these counts: a machine that could not says nothing."""


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
    """The other steps, and what the paper's authors answered."""


def rows(data: ReportData) -> tuple[Row, ...]:
    """Every claim, paper by paper, in the order of each, then of the manifests."""
    found: list[tuple[str, str, Finding]] = []
    for manifest in data.manifests:
        mine = list(dict.fromkeys(_findings(data, manifest)))
        done = {one.claim for _, one in mine if one.outcome != "not-run"}
        found += [
            (manifest.id, tier, one)
            for tier, one in mine
            if one.outcome != "not-run" or one.claim not in done
        ]
    about = {each.id: each.paper for each in data.manifests}
    papers = list(dict.fromkeys(each.id for each in about.values()))
    ordered = sorted(
        enumerate(found),
        key=lambda each: (
            papers.index(about[each[1][0]].id),
            section_order(section_of(each[1][2])),
            each[0],
        ),
    )
    anchors: dict[str, int] = {}
    starts = beginnings(data.manifests)
    return tuple(_row(*each, anchors, starts[each[0]]) for _, each in ordered)


def beginnings(manifests: Iterable[Manifest]) -> dict[str, str]:
    """What names of a manifest's parts begin with: its paper, where there are several."""
    papers = {each.id: each.paper for each in manifests}
    several = len({each.id for each in papers.values()}) > 1
    return {name: f"{each.name}: " if several else "" for name, each in papers.items()}


def _findings(data: ReportData, manifest: Manifest) -> Iterator[tuple[str, Finding]]:
    """Tier and finding: of the page, then of each run, then of what nobody ran."""
    verdicts = [each for each in data.page if each.manifest == manifest.id]
    verdicts += [run.verdict for run in data.runs if run.verdict.manifest == manifest.id]
    said, decided = set[str](), dict[str, Outcome]()
    for verdict in verdicts:
        for finding in verdict.findings:
            said.add(finding.claim)
            if finding.outcome != "not-run":
                decided[finding.claim] = finding.outcome
            yield PAPER if finding.basis != "measured" else str(verdict.tier), finding
    for claim in manifest.claims:
        if claim.id not in said:
            yield NO_RUN, _not_run(manifest, claim, decided)


def _not_run(manifest: Manifest, claim: Claim, decided: Mapping[str, Outcome]) -> Finding:
    """The finding of a claim that no run here bears on."""
    needs = getattr(claim, "needs", None) or getattr(getattr(claim, "measure", None), "needs", None)
    if needs:
        return unmeasured_finding(manifest, claim, "not-run", cause("no-job", needs=needs))
    if not isinstance(claim, AmbiguousClaim):
        return unmeasured_finding(
            manifest, claim, "not-run", cause("no-run-here", manifest=manifest.id)
        )
    waiting = ", ".join(name for name in claim.readings if name not in decided)
    found = unmeasured_finding(manifest, claim, "not-run", cause("reading-waits", names=waiting))
    read = (
        Reading(claim=name, outcome=decided[name]) for name in claim.readings if name in decided
    )
    return found.model_copy(update={"readings": tuple(read)})


def _row(manifest: str, tier: str, finding: Finding, anchors: dict[str, int], paper: str) -> Row:
    name = f"{manifest}.{finding.claim}"
    anchors[name] = anchors.get(name, 0) + 1
    every = (*finding.working, *finding.causes)
    return Row(
        anchor=name if anchors[name] == 1 else f"{name}.{anchors[name]}",
        manifest=manifest,
        section=f"{paper}{section_of(finding)}",
        tier=tier,
        finding=finding,
        caught=tuple(say(each) for each in every if each.code in NOTICES),
        working=(
            *(say(each) for each in finding.working if each.code not in NOTICES),
            *map(str, finding.answers),
        ),
    )


# -----------------------------------------------------------------------------
# Sections


def section_of(finding: Finding) -> str:
    """The heading of the first place that a claim names.

    Example:
        >>> heading("5.1, after a figure"), heading("Abstract; 1"), heading("Appendices A and D")
        ('Section 5.1', 'Abstract', 'Appendix A')
    """
    return heading(finding.place.section)


def heading(place: str) -> str:
    """See `section_of`."""
    first = re.split(r"[;,]", place)[0].strip()
    if several := re.match(r"Appendices (\w+)", first):
        return f"Appendix {several[1]}"
    return f"Section {first}" if re.fullmatch(r"[\d.]+", first) else first


def section_order(section: str) -> tuple[int, tuple[int, ...], str]:
    """Abstract, numbered sections, appendices, then the rest."""
    if numbers := re.findall(r"\d+", section.removeprefix("Section ")):
        if section.startswith("Section "):
            return 1, tuple(map(int, numbers)), ""
        return 3, (), section
    return (0, (), "") if section == "Abstract" else (2, (), section)


# -----------------------------------------------------------------------------
# What the claims come to: each once, whatever was run where, and those that are printed alone


def strongest_findings(every: Sequence[Row]) -> list[Row]:
    """One row for each claim of each manifest, in the order of `rows`: the run that says most.

    Of two that say the same, one at the pins stands before one that drifted.
    """
    found: dict[tuple[str, str], Row] = {}
    for row in every:
        both = (found.get((row.manifest, row.finding.claim), row), row)
        found[row.manifest, row.finding.claim] = min(both, key=lambda each: rank(each.finding))
    return list(found.values())


def rank(finding: Finding) -> tuple[int, bool]:
    """By which of several findings of one claim the least counts."""
    drifted = any(each.code == "drift" for each in finding.causes)
    return _STRONGEST.index(finding.outcome), drifted


def counts(every: Iterable[Row]) -> dict[Outcome, int]:
    """How many of the paper's claims have each outcome; checks of our own are in no count."""
    found = Counter(row.finding.outcome for row in every if row.finding.counts)
    return {each: found[each] for each in OUTCOMES}
