"""The page: the data of `repro.report.view`, put into the template. One file, no network.

The template is `report_page.html.j2` with its parts; every word in it is escaped but for figures,
which this package writes itself. The page says no time of its own: equal input, equal bytes.
"""

import base64
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from repro import __version__
from repro.report import figures, numbers
from repro.report import rows as claim_rows
from repro.report.numbers import Plot
from repro.report.report_data import Envelope, PaperShown, RecordSeen, ReportData
from repro.report.rows import OUTCOMES, SYMBOLS
from repro.report.view import tables
from repro.report.view.cards import Card, Part, cards, parts
from repro.report.view.next_steps import NextSteps, next_steps
from repro.report.view.opening import AbstractSentence, Sentence, abstract, opening
from repro.report.view.tables import Table
from repro.schema.claim_base import Place
from repro.schema.finding import Outcome
from repro.schema.jobs import Setting
from repro.text import plural, visible_lines

_HERE = Path(__file__).parent
_TEMPLATE = "report_page.html.j2"
_SCRIPT = "report_page.js"


@dataclass(frozen=True)
class View:
    """Everything that a page says; tables and figures for a paper are made of it too."""

    data: ReportData
    opening: tuple[Sentence, ...]
    abstract: tuple[AbstractSentence, ...]
    contradicted: tuple[Card, ...]
    cards: tuple[Card, ...]
    """Every claim, in the order of the paper."""
    addresses: dict[tuple[str, str], str]
    """Of each, by manifest and name."""
    counts: dict[Outcome, int]
    """Of the paper's own claims, each sentence once."""
    parts: tuple[Part, ...]
    tables: dict[str, Table]
    """By name of the part that each belongs to."""
    plots: dict[str, tuple[Plot, ...]]
    envelopes: dict[str, tuple[Envelope, ...]]
    """Roll-outs, by the part whose claims rest on them."""
    steps: NextSteps
    settings: tuple[tuple[tuple[str, ...], tuple[Setting, ...]], ...]
    """Manifests, and the settings that they measure under."""

    @property
    def paper(self) -> PaperShown:
        """What it is about."""
        return self.data.paper

    def drawn(self) -> Iterator[tuple[str, figures.Drawn]]:
        """Name and content of every figure."""
        for plots in self.plots.values():
            yield from ((each.manifest, each) for each in plots)
        for shown in self.envelopes.values():
            yield from ((f"envelope-{each.record[:12]}", each) for each in shown)

    def choices(self) -> dict[str, tuple[str, ...]]:
        """What claims can be filtered by, in order."""
        return {
            "outcome": OUTCOMES,
            "basis": claim_rows.BASES,
            "about": tuple(part.name for part in self.parts),
            "model": tuple(sorted({name for card in self.cards for name in card.models})),
            "dtype": tuple(sorted({name for card in self.cards for name in card.dtypes})),
        }


def view(data: ReportData) -> View:
    """Put together what a page says."""
    every = cards(data, claim_rows.rows(data))
    mine = tuple(every.values())
    found = parts(data, mine)
    counted = [card for card in mine if card.finding.counts]
    steps = next_steps(data, mine)
    printed = tables.tables(data, every)
    return View(
        data=data,
        opening=opening(mine, steps),
        abstract=abstract(data.abstract, every),
        contradicted=tuple(c for c in counted if c.finding.outcome == "contradicted"),
        cards=mine,
        addresses={at: card.anchor for at, card in every.items()},
        counts=claim_rows.counts(card.row for card in mine),
        parts=found,
        tables=printed,
        plots=numbers.plots(data, mine, printed),
        envelopes=_envelopes(data.envelopes, mine, found),
        steps=steps,
        settings=_settings(data),
    )


def _envelopes(
    every: Sequence[Envelope], mine: Sequence[Card], found: Sequence[Part]
) -> dict[str, tuple[Envelope, ...]]:
    """Each where the first claim stands that rests on it, else in the last part."""
    at: dict[str, list[Envelope]] = {}
    for each in every:
        cards_of = (card.about for card in mine if each.record in card.finding.records)
        place = next(cards_of, found[-1].name if found else "")
        at.setdefault(place, []).append(each)
    return {name: tuple(shown) for name, shown in at.items()}


def _settings(data: ReportData) -> tuple[tuple[tuple[str, ...], tuple[Setting, ...]], ...]:
    alike: dict[tuple[Setting, ...], list[str]] = {}
    for manifest in data.manifests:
        if manifest.settings:
            alike.setdefault(manifest.settings, []).append(manifest.id)
    return tuple((tuple(names), settings) for settings, names in alike.items())


# -----------------------------------------------------------------------------
# HTML


def render(data: ReportData, beside: Path | None = None) -> str:
    """The whole page as HTML, of verdicts and of what their records hold; see `as_html`."""
    return as_html(view(data), beside)


def as_html(shown: View, beside: Path | None = None) -> str:
    """The whole page as HTML.

    Args:
        shown: What it says.
        beside: Folder that the page will lie in: records are linked from there. Without it they
            are named and not linked.
    """
    import jinja2
    from markupsafe import Markup

    script = (_HERE / _SCRIPT).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    data = shown.data
    meaning = tables.trained(data.manifests)
    environment.filters["place"] = place
    environment.filters["plainly"] = lambda text: tables.in_words(str(text), meaning)
    environment.filters["plural"] = plural
    # Figures of this package: their words are escaped.
    page = environment.get_template(_TEMPLATE).render(
        version=__version__,
        view=shown,
        drawn={
            name: Markup(figures.as_inline_svg(what, name))  # noqa: S704
            for name, what in shown.drawn()
        },
        takes=shown.steps.by_claim(),
        record_links={each.key: _link(each, beside) for each in data.records},
        data=data,
        outcomes=OUTCOMES,
        symbols=SYMBOLS,
        script=Markup(script),  # noqa: S704  # a file of this package
        script_digest=digest,
    )
    return visible_lines(page)


def _link(record: RecordSeen, beside: Path | None) -> str:
    """Address of a record's file as seen from the page; empty where nobody says where that is."""
    return quote(os.path.relpath(record.path, beside)) if record.path and beside else ""


def place(where: Place) -> str:
    """Where the paper says it, in one line."""
    parts = [where.section, where.table, where.row, where.column]
    return ", ".join(tables.in_words(part) for part in parts if part)
