"""The page: what was seen, put into the template. One file that needs no network.

The template is `report_page.html.j2`; every word in it is escaped but for figures, which this
package writes itself. The page says no time of its own: equal input gives equal bytes.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from repro import __version__
from repro.report import figures as report_figures
from repro.report import rows as claim_rows
from repro.report import tables
from repro.report.numbers import MeasuredPoint, PrintedLine, bars_of, line_of
from repro.report.report_data import Machine, ReportData, Timing
from repro.report.rows import OUTCOMES, SYMBOLS, Row
from repro.schema.claim_base import Place
from repro.schema.finding import Basis, Outcome
from repro.schema.groups import SingleJob, ThroughputGroup
from repro.text import visible_lines

if TYPE_CHECKING:
    from repro.report.report_data import Envelope
    from repro.schema.manifest import Manifest


_HERE = Path(__file__).parent
_TEMPLATE = "report_page.html.j2"
_SCRIPT = "report_page.js"


def render(data: ReportData) -> str:
    """The whole page as HTML.

    Args:
        data: Verdicts, and what their records hold.
    """
    import jinja2
    from markupsafe import Markup

    script = (_HERE / _SCRIPT).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rows = claim_rows.rows(data)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["place"] = place
    environment.filters["svg"] = Markup  # figures of this package: their words are escaped
    page = environment.get_template(_TEMPLATE).render(
        version=__version__,
        data=data,
        head=head(data, rows),
        outcomes=OUTCOMES,
        symbols=SYMBOLS,
        sections=claim_rows.by_section(rows),
        tables=tables.tables(data, rows),
        figures=figures(data, rows),
        envelopes=envelopes(data),
        waiting=tables.open_claims(data, rows),
        script=Markup(script),  # noqa: S704  # a file of this package
        script_digest=digest,
    )
    return visible_lines(page)


@dataclass(frozen=True)
class Head:
    """The first lines of the page."""

    claims: int
    """Of the paper, each sentence once."""
    rows: int
    """Findings: readings, steps and checks of our own too; what was run at two tiers has two."""
    counts: dict[Outcome, int]
    bases: tuple[tuple[Basis, dict[Outcome, int]], ...]
    """What the decided claims rest on."""
    manifests: tuple[tuple[str, str, int, dict[Outcome, int]], ...]
    """Manifest, title, claims and counts."""
    tiers: tuple[str, ...]
    """Of the rows, each once."""
    started: tuple[str, str] | None
    """First and last run."""
    drifted: tuple[Machine, ...]


def head(data: ReportData, rows: tuple[Row, ...]) -> Head:
    """Sum everything up."""
    best = [row for row in claim_rows.strongest_findings(rows) if row.finding.counts]
    by_manifest = {
        each.id: [row for row in best if row.manifest == each.id] for each in data.manifests
    }
    started = sorted(run.started for run in data.runs)
    return Head(
        claims=len(best),
        rows=len(rows),
        counts=claim_rows.counts(best),
        bases=tuple(
            (basis, claim_rows.counts(row for row in best if row.finding.basis == basis))
            for basis in claim_rows.BASES
        ),
        manifests=tuple(
            (
                each.id,
                each.title,
                len(by_manifest[each.id]),
                claim_rows.counts(by_manifest[each.id]),
            )
            for each in data.manifests
        ),
        tiers=tuple(dict.fromkeys(row.tier for row in rows)),
        started=(started[0], started[-1]) if started else None,
        drifted=tuple(each for each in data.machines if each.drift),
    )


def place(where: Place) -> str:
    """Where the paper says it, in one line."""
    parts = [where.section, where.table, where.row, where.column]
    return ", ".join(part for part in parts if part)


# -----------------------------------------------------------------------------
# Which plots a page has: for each figure of the paper, and for each record of roll-outs.

_MOST = 120
"""Points of one unit that are drawn: a page stays small, and records have them all."""


@dataclass(frozen=True)
class Plot:
    """One figure of the paper."""

    name: str
    title: str
    """Of the manifest."""
    svg: str
    """Empty where nothing can be drawn."""
    lines: tuple[PrintedLine, ...]
    """The printed numbers in it, for those who do not see it."""
    bars: tuple[tuple[str, tuple[MeasuredPoint, ...]], ...]
    """Unit to measured points that the paper prints no number of; what is drawn of them."""
    left_out: int
    """Points that are not drawn."""


def figures(data: ReportData, rows: Sequence[Row]) -> tuple[Plot, ...]:
    """A figure of every manifest that has no table and measures models, in order."""
    chosen = [
        manifest
        for manifest in data.manifests
        if not tables.table_of(manifest)[1]
        and any(not isinstance(group, SingleJob) for group in manifest.jobs)
    ]
    return tuple(
        _plot(data, manifest, _best([row for row in rows if row.manifest == manifest.id]))
        for manifest in sorted(chosen, key=lambda each: tables.in_order(each.id))
    )


def _best(rows: Sequence[Row]) -> list[Row]:
    """One row a claim: of the highest tier, which comes last."""
    return list({row.finding.claim: row for row in rows}.values())


def _plot(data: ReportData, manifest: "Manifest", rows: Sequence[Row]) -> Plot:
    units = {value.id: value.unit for value in manifest.published}
    panels: dict[str, list[PrintedLine]] = {}
    for row in rows:
        claim = next((each for each in manifest.claims if each.id == row.finding.claim), None)
        if claim is None or claim.kind != "cell":
            continue
        if line := line_of(row.finding):
            panels.setdefault(units[claim.published], []).append(line)
    every = {unit: points for unit, points in _bars(data, manifest, rows) if points}
    bars = {unit: points[:_MOST] for unit, points in every.items()}
    name = re.sub(r"(?<=[a-z])(?=\d)", " ", manifest.id).capitalize()
    lines = tuple(line for each in panels.values() for line in each)
    title = f"{name}: {len(lines)} printed numbers, with what was measured of each"
    svg = report_figures.numbers(manifest.id, title, panels, bars) if panels or bars else ""
    return Plot(
        name,
        manifest.title,
        svg,
        lines,
        tuple((unit, tuple(points)) for unit, points in bars.items()),
        sum(len(points) for points in every.values()) - sum(map(len, bars.values())),
    )


def _bars(
    data: ReportData, manifest: "Manifest", rows: Sequence[Row]
) -> Iterator[tuple[str, list[MeasuredPoint]]]:
    """Measured points by unit, a model once."""
    found: dict[str, dict[str, MeasuredPoint]] = {}
    for row in rows:
        if row.finding.stand_ins:
            continue  # bars are drawn by the names of the paper's models, and these are not they
        for unit, points in bars_of(row.finding).items():
            found.setdefault(unit, {}).update({point.label: point for point in points})
    yield from ((unit, list(points.values())) for unit, points in found.items())
    if any(isinstance(group, ThroughputGroup) for group in manifest.jobs):
        yield from _speeds(data.timings)


def _speeds(timings: Sequence[Timing]) -> Iterator[tuple[str, list[MeasuredPoint]]]:
    """Tokens a second by cap of memory; what does not fit is counted."""
    for cap in dict.fromkeys(each.cap for each in timings):
        at = [each for each in timings if each.cap == cap]
        timed = [(each.name, each.speeds) for each in at if each.speeds]
        more = f"; {len(at) - len(timed)} more do not fit" if len(timed) < len(at) else ""
        yield (
            f"tokens a second under {cap:g} GiB{more}",
            [
                MeasuredPoint(name, sum(each) / len(each), min(each), max(each))
                for name, each in timed
            ],
        )


def envelopes(data: ReportData) -> "tuple[tuple[Envelope, str], ...]":
    """Each record of roll-outs with its plot."""
    return tuple(
        (each, report_figures.envelope(f"envelope{number}", _seen_in(each), each))
        for number, each in enumerate(data.envelopes)
    )


def _seen_in(shown: "Envelope") -> str:
    return (
        f"{shown.what}: how far perturbations of each kind carry {shown.layers} layers from their "
        "unperturbed path, over time"
    )
