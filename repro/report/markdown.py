"""The claims as Markdown: what holds, what fails, what the rest takes; then each in one line.

Source: findings of `verify`, as `repro.report.view.Seen` holds them.
Not covered: how a claim is decided (`verify`); margins and working (`repro report`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from repro.planning.cost import Undecided
from repro.report import rows
from repro.report.view import Seen
from repro.schema.claims import AmbiguousClaim
from repro.schema.finding import Finding, Outcome
from repro.schema.manifest import Manifest
from repro.text import in_markdown

BEGIN, END = "<!-- claims: made by make evidence -->", "<!-- /claims -->"
"""Around the table, which README repeats."""

_HEAD = """\
# Every claim in one line

Made by `repro verify evidence --markdown` from manifests and records alone: `make claims` makes it
again, `make evidence` the records too. `repro report evidence --out page` has all the working."""

_STRONGEST: tuple[Outcome, ...] = (
    "invalid",
    "contradicted",
    "reproduced",
    "inconclusive",
    "not-run",
)
"""Of a claim in several runs the first of these counts: a machine that could not says nothing."""
_SHOWN: tuple[Outcome, ...] = ("reproduced", "contradicted", "inconclusive", "not-run")
_TITLE, _STATEMENT, _READING, _SIDE, _REASON = 64, 110, 80, 60, 150
"""Characters before a text is cut."""

Findings = Mapping[str, Finding]
"""Of one manifest by claim, in the manifest's order."""


def render(seen: Seen) -> str:
    """The whole document, the table of README between its markers."""
    found = strongest(seen)
    table = "\n\n".join([BEGIN, *_table(seen, found), END])
    tables = [_every(manifest, found[manifest.id]) for manifest in seen.manifests]
    return "\n\n".join([_HEAD, table, *_lists(seen, found), *tables]) + "\n"


def strongest(seen: Seen) -> dict[str, Findings]:
    """One finding for each claim of each manifest, whatever was run where."""
    found: dict[str, dict[str, Finding]] = {manifest.id: {} for manifest in seen.manifests}
    for row in rows.rows(seen):
        mine, finding = found[row.manifest], row.finding
        both = (mine.get(finding.claim, finding), finding)
        mine[finding.claim] = min(both, key=lambda each: _STRONGEST.index(each.outcome))
    return {
        manifest.id: {claim.id: found[manifest.id][claim.id] for claim in manifest.claims}
        for manifest in seen.manifests
    }


# -----------------------------------------------------------------------------
# The summary


def _table(seen: Seen, found: Mapping[str, Findings]) -> Iterator[str]:
    """How many claims of each manifest ended in which way."""
    every = [one for each in found.values() for one in each.values()]
    seldom = ("invalid",) if any(one.outcome == "invalid" for one in every) else ()
    outcomes: tuple[Outcome, ...] = (*_SHOWN, *seldom)
    symbols = [rows.SYMBOLS[each] for each in outcomes]
    yield ", ".join(f"{symbol} {name}" for symbol, name in zip(symbols, outcomes, strict=True))
    lines = [_row("manifest", "claims", *symbols)]
    lines.append(_row(":--", *("--:" for _ in ("claims", *outcomes))))
    for manifest in seen.manifests:
        name = f"**{manifest.id}** {_cut(manifest.title, _TITLE)}"
        lines.append(_row(name, *_counts(found[manifest.id].values(), outcomes)))
    yield "\n".join([*lines, _row("**all**", *_counts(every, outcomes))])


def _lists(seen: Seen, found: Mapping[str, Findings]) -> Iterator[str]:
    """What the undecided claims take; then what was decided."""
    yield "\n".join(["**What the undecided claims take:**", "", *_needs(seen, found)])
    fails = [one for each in seen.manifests for one in _failing(each, found[each.id])]
    yield "\n".join(["**Contradicted:**", "", *_grouped(fails)])
    every = [one for each in found.values() for one in each.values()]
    holds = [one for one in every if (one.outcome, one.basis) == ("reproduced", "measured")]
    yield "\n".join(
        ["**Reproduced by a measurement**, not by the page alone:", "", *_grouped(holds)]
    )
    hangs = [line for each in seen.manifests for line in _hanging(each, found[each.id])]
    yield "\n".join(["**Fails by one reading and not by another:**", "", *hangs])


def _needs(seen: Seen, found: Mapping[str, Findings]) -> Iterator[str]:
    for each in seen.manifests:
        undecided = Undecided(each, found[each.id], seen.undecidable.get(each.id, {}))
        if needs := undecided.needs():
            yield f"- **{each.id}**: {needs}"


def _counts(findings: Iterable[Finding], outcomes: Sequence[str]) -> list[str]:
    counted = Counter[str](each.outcome for each in findings)
    return [str(counted.total()), *(str(counted[each] or "") for each in outcomes)]


def _failing(manifest: Manifest, mine: Findings) -> Iterator[Finding]:
    """Contradicted claims; readings are left to their sentence where it is listed itself."""
    listed = {
        reading
        for each in _sentences(manifest)
        if mine[each.id].outcome in ("contradicted", "inconclusive")
        for reading in each.readings
    }
    for one in mine.values():
        if one.outcome == "contradicted" and one.claim not in listed:
            yield one


def _hanging(manifest: Manifest, mine: Findings) -> Iterator[str]:
    """Sentences of which one reading is contradicted and the others are not."""
    for each in _sentences(manifest):
        counted = Counter(mine[reading].outcome for reading in each.readings)
        if mine[each.id].outcome == "inconclusive" and counted["contradicted"]:
            said = ", ".join(f"{counted[one]} {one}" for one in _SHOWN if counted[one])
            yield f"- `{each.id}` {_cut(each.statement, _STATEMENT)}: **{said}**"


def _sentences(manifest: Manifest) -> list[AmbiguousClaim]:
    return [each for each in manifest.claims if isinstance(each, AmbiguousClaim)]


def _grouped(findings: Iterable[Finding]) -> Iterator[str]:
    """One line for each pair of sides: claims that were printed and found alike share it."""
    alike: dict[tuple[str, str], list[Finding]] = {}
    for one in findings:
        alike.setdefault((one.published, one.measured), []).append(one)
    for (published, measured), ones in alike.items():
        names = ", ".join(f"`{one.claim}`" for one in ones)
        sides = f"claimed {_cut(published, _SIDE)}, found {_cut(measured, _SIDE)}"
        if ones[0].kind == "ambiguous":
            sides = f"{ones[0].outcome} by every reading"
        yield f"- {names} {_said(ones[0])}: **{sides}**"


# -----------------------------------------------------------------------------
# Every claim


def _every(manifest: Manifest, mine: Findings) -> str:
    lines = [f"## {manifest.id}: {in_markdown(manifest.title)}", ""]
    lines.append(_row("claim", "place", "what is claimed", "outcome", "claimed", "found", "why"))
    lines.append(_row(*[":--"] * 7))
    for one in mine.values():
        sides = (_cut(one.published, _SIDE), _cut(one.measured, _SIDE))
        place = _cut(one.place.section, _SIDE)
        why = _cut(one.reason, _REASON)
        lines.append(_row(f"`{one.claim}`", place, _said(one), one.outcome, *sides, why))
    return "\n".join(lines)


def _said(one: Finding) -> str:
    """What is claimed, and in brackets how it was read."""
    reading = f" ({_cut(one.reading, _READING)})" if one.reading else ""
    return _cut(one.statement, _STATEMENT) + reading


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cut(text: str, most: int) -> str:
    """At most so many characters, cut at a space; what Markdown would read is escaped."""
    if len(text) > most:
        text = text[:most].rpartition(" ")[0].rstrip(" ,;:(") + " …"
    return in_markdown(text)
