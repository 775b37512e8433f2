"""A letter to the paper's authors: what is contradicted, and what is so under a condition.

For each: the printed sentence and its place, our recomputation, what would change our mind, and the
commands. All of it is made of findings and of the claims behind them, by the same rule for each.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from repro.errors import BadInputError, Problem
from repro.report import rows
from repro.report.report_data import ReportData
from repro.report.rows import Row
from repro.schema import paper
from repro.schema.causes import NOTICES, say
from repro.schema.claim_base import Place, Published
from repro.schema.claims import Claim
from repro.schema.finding import Basis, Finding
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim
from repro.schema.paper import PaperVersion
from repro.text import in_markdown, known_names, plural

NAME = "letter.md"
CONDITIONAL = "contradicted-if"

_LISTED = 8
"""Printed numbers that are listed one by one before they are only counted by table."""


def render(data: ReportData, wanted: Sequence[str] = ()) -> str:
    """The letter, as Markdown.

    Args:
        data: Findings, and the manifests that they are of.
        wanted: Claims, as `S7` or `prose:S7`; all that are contradicted or conditional if empty.

    Raises:
        BadInputError: if a name is no such claim, or the claims are about several papers.
    """
    every = rows.strongest_findings(rows.rows(data))
    manifests = {each.id: each for each in data.manifests}
    chosen = _chosen(every, wanted) if wanted else [row for row in every if _is_told(row.finding)]
    about = {(each := manifests[row.manifest].paper).id: each for row in chosen or every}
    if len(about) != 1:
        found = " and ".join(about) or "no paper"
        message = f"--letter: found claims of {found}, expected those of one paper"
        raise BadInputError(message)
    items = (
        "\n".join(_item(number, _Found(manifests[row.manifest], row, every)))
        for number, row in enumerate(chosen, 1)
    )
    return "\n\n".join([*_head(*about.values()), _summary(every, len(chosen)), *items]) + "\n"


@dataclass(frozen=True)
class _Found:
    """One claim with its finding."""

    manifest: Manifest
    row: Row
    every: Sequence[Row]
    """Those of all claims."""

    @property
    def finding(self) -> Finding:
        return self.row.finding

    @property
    def claim(self) -> Claim:
        return next(one for one in self.manifest.claims if one.id == self.finding.claim)

    def readings(self) -> Iterator["_Found"]:
        """What it was decided by, where it is a sentence of several readings."""
        names = [one.claim for one in self.finding.readings]
        for row in self.every:
            if row.manifest == self.row.manifest and row.finding.claim in names:
                yield _Found(self.manifest, row, self.every)


def _is_told(finding: Finding) -> bool:
    told = finding.outcome == "contradicted" or finding.listed_under == CONDITIONAL
    return told and finding.counts


def _chosen(every: Sequence[Row], wanted: Sequence[str]) -> list[Row]:
    """The claims of some names, each once, in the order of the paper."""
    problems, found = [], []
    for name in dict.fromkeys(wanted):
        mine = [row for row in every if name in (row.finding.claim, _name(row))]
        told = [row for row in mine if _is_told(row.finding)]
        where, expected = (
            f"--letter {name}",
            "a claim that is contradicted, or so if a condition holds",
        )
        if not mine:
            near = known_names(name, [row.finding.claim for row in every if _is_told(row.finding)])
            problems.append(Problem(where, "no claim of that name", near))
        elif len(mine) > 1:
            problems.append(
                Problem(where, "several claims", f"one of {', '.join(map(_name, mine))}")
            )
        elif not told:
            problems.append(Problem(where, _what_else(mine[0].finding), expected))
        found += told
    if problems:
        raise BadInputError("no letter was written; results stand before --letter", problems)
    return [row for row in every if row in found]


def _name(row: Row) -> str:
    return f"{row.manifest}:{row.finding.claim}"


def _what_else(finding: Finding) -> str:
    """What a claim is that no letter is about."""
    if finding.reading_of:
        return f"one reading of {finding.reading_of}, {finding.outcome}"
    if finding.standing != "printed":
        return f"no sentence of the paper: {finding.standing}, {finding.result or finding.outcome}"
    return finding.listed_under or finding.outcome


# -----------------------------------------------------------------------------
# What the letter says


def _head(about: PaperVersion) -> Iterator[str]:
    """Whom the letter is to, as far as `paper.json` names them."""
    known = paper.load()
    if known is None or known.id != about.id:
        yield f"# To the authors of {in_markdown(about.name)}"
        return
    name = f" ({known.name})" if known.name != known.title else ""
    yield in_markdown(f"# To the authors of {known.title}{name}")
    yield in_markdown(f"{', '.join(known.authors)}:")


def _summary(every: Sequence[Row], told: int) -> str:
    """What became of all claims, and what the letter is about."""
    found = rows.counts(every)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in found.items() if count)
    printed = [row.finding for row in every if row.finding.counts]
    conditional = sum(one.listed_under == CONDITIONAL for one in printed)
    return (
        f"Of {plural(len(printed), 'claim')} of the paper: {counts}. Of the inconclusive ones "
        f"{conditional} would be contradicted if a condition holds that the paper leaves open.\n\n"
        f"This letter is about {plural(told, 'claim')}. For each it gives the sentence and its "
        "place, our recomputation, what would change our mind, and the commands, which run in the "
        "folder of the manifests. An answer is recorded with the claim (who, when, where) and "
        "shown wherever the claim is; an outcome changes by a number, a line of code, a proof or "
        "a record."
    )


def _item(number: int, one: _Found) -> Iterator[str]:
    """One claim."""
    found, version = one.finding, one.manifest.paper.version
    outcome = found.outcome
    shown = outcome if outcome == "contradicted" else "contradicted if the condition below holds"
    yield f"## {number}. {in_markdown(_place(found.place))} ({version}): {shown}"
    yield ""
    yield f"> {in_markdown(found.quote)}"
    yield ""
    yield f"- **Checked** (`{found.claim}`): {in_markdown(found.statement)}"
    yield from (f"- **Condition:** {in_markdown(each)}" for each in found.conditions)
    yield "- **Recomputed:**"
    yield from (f"  - {in_markdown(each)}" for each in _working(one))
    yield "- **What would change our mind:**"
    yield from (f"  - {in_markdown(each)}" for each in _remedies(found))
    yield "- **Commands:** " + ", then ".join(f"`{each}`" for each in _commands(one))
    yield from (f"- **Answer:** {in_markdown(str(each))}" for each in found.answers)


def _place(place: Place) -> str:
    """A place in words; a section that is a number has its sign."""
    parts = (f"§{each}" if each[:1].isdigit() else each for each in place.section.split("; "))
    more = (place.table, place.row, place.column)
    return ", ".join(["; ".join(parts), *(each for each in more if each)])


def _working(one: _Found) -> Iterator[str]:
    """The steps that lead to the outcome, and the printed numbers that they start from."""
    found, values = one.finding, list(_numbers(one.manifest, one.claim))
    for step in _steps(found):
        yield _with_places(step, values)
    if values and len(values) <= _LISTED:
        yield f"printed: {'; '.join(map(_number, values))}"
    elif values:
        tables = Counter(_place(each.place.model_copy(update=_NO_CELL)) for each in values)
        counted = (f"{plural(count, 'number')} of {where}" for where, count in tables.items())
        yield f"printed: {'; '.join(counted)}"
    if found.basis == "measured":
        yield f"printed {found.published}, measured {found.measured}, margin {found.margin}"
        yield from map(str, found.estimates)
    if found.records:
        yield f"records: {', '.join(each[:12] for each in found.records)}"
    for each in one.readings():
        shown = each.finding
        yield f"{shown.claim}, {shown.listed_under or shown.outcome}: {shown.statement}"
        yield from _working(each)


def _steps(found: Finding) -> Iterator[str]:
    """Causes and working, each once; what is claimed beside what was found."""
    shown: dict[str, str] = {}
    for each in (*found.causes, *found.working):
        if each.code == "claimed" and shown:
            shown[next(reversed(shown))] += f"; {say(each)}"
        elif each.code not in _SAID_ELSEWHERE:
            shown[say(each)] = say(each)
    return iter(shown.values())


_SAID_ELSEWHERE = (CONDITIONAL, "and-more", *NOTICES)
_NO_CELL = {"row": None, "column": None}


def _with_places(step: str, values: Sequence[Published]) -> str:
    """A step with the places of numbers that stand in a sentence, where it has their names."""
    for each in values:
        if not (each.place.row or each.place.column):
            step = re.sub(
                rf"(?<![\w.-]){re.escape(each.id)} (?=\d)", f"{_place(each.place)} ", step
            )
    return step


def _number(value: Published) -> str:
    word = f"“{value.word}”, " if value.word else ""
    return f"{word}{value.text} {value.unit} ({_place(value.place)})"


def _numbers(manifest: Manifest, claim: Claim) -> Iterator[Published]:
    """Every printed number that a claim names, itself or by a cell of the table, once."""
    printed = {each.id: each for each in manifest.published}
    cells = {each.id: each.published for each in manifest.claims if isinstance(each, CellClaim)}
    names = _texts(claim.model_dump(mode="json", exclude={"id", "kind"}))
    found = dict.fromkeys(cells.get(name, name) for name in names)
    return (printed[name] for name in found if name in printed)


def _texts(data: JsonValue) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, list | dict):
        for each in data.values() if isinstance(data, dict) else data:
            yield from _texts(each)


def _remedies(found: Finding) -> Iterator[str]:
    """What would change the outcome, of each thing that it rests on."""
    if found.conditions:
        yield "a configuration or a log of your runs in which the condition does not hold"
    if found.reading:
        yield f"another reading of the sentence; ours is: {found.reading}"
    if found.readings:
        yield "a reading of the sentence that is not among these"
    yield _REMEDIES[found.basis]


_REMEDIES: Mapping[Basis, str] = {
    "page": "a number above that is printed otherwise, or other numbers that the sentence is about",
    "code": "another text of a line above in the version that you ran",
    "proof": "a premise of the sentence, printed in the paper, that the counterexample lacks",
    "measured": "a record of a run at the pins that gives another result, or a setting of yours "
    "that was not among ours",
}


def _commands(one: _Found) -> Iterator[str]:
    """What gives the finding again."""
    name, basis = one.manifest.id, one.finding.basis
    shown = f"grep -A 8 '^{one.finding.claim} '"
    if basis in ("page", "code"):
        yield f"repro verify --paper | {shown}"
    else:
        tier = one.row.tier if basis == "measured" else one.manifest.tiers()[-1]
        yield f"repro run manifests/{name}.json --tier {tier}"
        yield f"repro verify results | {shown}"
