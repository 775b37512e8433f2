"""The claims as Markdown: what holds, what fails, what the rest takes; then each in one line.

Source: findings of `verify`, as `repro.report.report_data.ReportData` holds them.
Not covered: how a claim is decided (`verify`); margins and working (`repro report`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from repro.planning.cost import UndecidedClaims
from repro.report import rows
from repro.report.report_data import ReportData
from repro.report.rows import Row
from repro.schema.causes import LISTS
from repro.schema.finding import Basis, Finding, Outcome
from repro.schema.manifest import Manifest
from repro.text import in_markdown

BEGIN, END = "<!-- claims: made by make evidence -->", "<!-- /claims -->"
"""Around the table, which README repeats."""

_HEAD = """\
# Every claim in one line

Made by `repro verify evidence --markdown` from manifests and records alone: `make claims` makes it
again, `make evidence` the records too. `repro report evidence --out page` has all the working."""

_SHOWN: tuple[Outcome, ...] = (
    *("reproduced", "consistent", "proved", "contradicted", "inconclusive", "not-run"),
)
_TITLE, _STATEMENT, _READING, _QUOTE, _SIDE, _REASON = 64, 160, 80, 160, 60, 150
"""Characters before a text is cut."""


def render(data: ReportData) -> str:
    """The whole document, the table of README between its markers."""
    every = rows.strongest_findings(rows.rows(data))
    table = "\n\n".join([BEGIN, *_table(data, every), END])
    tables = [
        _claims_table(manifest, [row for row in every if row.manifest == manifest.id])
        for manifest in data.manifests
    ]
    return "\n\n".join([_HEAD, table, *_lists(data, every), *tables]) + "\n"


# -----------------------------------------------------------------------------
# The summary: the paper's claims alone, each once


def _table(data: ReportData, every: Sequence[Row]) -> Iterator[str]:
    """How many claims of each manifest ended in which way, and on what they rest."""
    found = rows.counts(every)
    outcomes: tuple[Outcome, ...] = (*_SHOWN, *(("invalid",) if found["invalid"] else ()))
    symbols = [rows.SYMBOLS[each] for each in outcomes]
    yield ", ".join(f"{symbol} {name}" for symbol, name in zip(symbols, outcomes, strict=True))
    lines = [_row("manifest", "claims", *symbols)]
    lines.append(_row(":--", *("--:" for _ in ("claims", *outcomes))))
    for manifest in data.manifests:
        name = f"**{manifest.id}** {_cut(manifest.title, _TITLE)}"
        mine = [row for row in every if row.manifest == manifest.id]
        if any(row.finding.counts for row in mine):  # else it has steps and checks of ours alone
            lines.append(_row(name, *_counts(mine, outcomes)))
    lines.append(_row("**all**", *_counts(every, outcomes)))
    for basis, words in _BASES.items():
        mine = [row for row in every if row.finding.basis == basis and row.finding.counts]
        decided = [row for row in mine if row.finding.outcome not in ("inconclusive", "not-run")]
        if decided:
            lines.append(_row(f"decided by {words}", *_counts(decided, outcomes)))
    yield "\n".join(lines)


_BASES: Mapping[Basis, str] = {
    "measured": "a measurement",
    "page": "the paper's own digits",
    "code": "the text of pinned code",
    "proof": "a machine-checked proof",
}


def _counts(mine: Iterable[Row], outcomes: Sequence[Outcome]) -> list[str]:
    found = rows.counts(mine)
    return [str(sum(found.values())), *(str(found[each] or "") for each in outcomes)]


def _lists(data: ReportData, every: Sequence[Row]) -> Iterator[str]:
    """What was decided; what is nearly so, a list a cause; what the rest takes."""
    counted = [row.finding for row in every if row.finding.counts]
    yield _list("Contradicted", (one for one in counted if one.outcome == "contradicted"))
    measured = ("reproduced", "proved")
    yield _list(
        "Reproduced by a measurement, or proved",
        (one for one in counted if one.outcome in measured),
    )
    for code, heading in LISTS.items():
        yield _list(heading, (one for one in counted if one.listed_under == code))
    yield _list(
        "Steps and checks of our own, which are no verdict on the paper",
        (row.finding for row in every if row.finding.result and not row.finding.counts),
    )
    yield "\n".join(["**What the undecided claims take:**", "", *_needs(data, every)])


def _list(heading: str, findings: Iterable[Finding]) -> str:
    lines = [_line(one) for one in findings] or ["- none"]
    return "\n".join([f"**{heading}:**", "", *lines])


def _line(one: Finding) -> str:
    """One finding that can be read alone: what is claimed and printed, what was found, why."""
    printed = f"; printed: “{_cut(one.quote, _QUOTE)}”" if one.quote else ""
    found = "" if one.readings else f"; found {_cut(one.measured_here, _SIDE)}"
    result = f": **{one.result}**" if one.result else ""
    why = _why(one)
    return f"- `{one.claim}` {_claim_and_reading(one)}{printed}{found}; {why}{result}"


def _needs(data: ReportData, every: Sequence[Row]) -> Iterator[str]:
    for each in data.manifests:
        mine = {row.finding.claim: row.finding for row in every if row.manifest == each.id}
        undecided = UndecidedClaims(each, mine, data.undecidable.get(each.id, {}))
        if needs := undecided.needs():
            yield f"- **{each.id}**: {needs}"


# -----------------------------------------------------------------------------
# Every claim


def _claims_table(manifest: Manifest, mine: Sequence[Row]) -> str:
    lines = [f"## {manifest.id}: {in_markdown(manifest.title)}", ""]
    lines.append(_row("claim", "place", "what is claimed", "outcome", "claimed", "found", "why"))
    lines.append(_row(*[":--"] * 7))
    for one in (row.finding for row in mine):
        sides = (_cut(one.published, _SIDE), _cut(one.measured_here, _SIDE))
        place = _cut(one.place.section, _SIDE)
        why = _why(one)
        outcome = one.result if one.standing == "beside" and one.result else one.outcome
        lines.append(_row(f"`{one.claim}`", place, _claim_and_reading(one), outcome, *sides, why))
    return "\n".join(lines)


def _claim_and_reading(one: Finding) -> str:
    """What is claimed, and in brackets how it was read."""
    reading = f" ({_cut(one.reading, _READING)})" if one.reading else ""
    return _cut(one.statement, _STATEMENT) + reading


def _why(one: Finding) -> str:
    """The reason, and what the paper's authors answered to it."""
    return "; ".join([_cut(one.reason, _REASON), *(in_markdown(str(each)) for each in one.answers)])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cut(text: str, most: int) -> str:
    """At most so many characters, cut at a space; what Markdown would read is escaped."""
    if len(text) > most:
        text = text[:most].rpartition(" ")[0].rstrip(" ,;:(") + " …"
    return in_markdown(text)
