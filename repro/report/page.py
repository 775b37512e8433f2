"""The page: what was seen, put into the template. One file that needs no network.

The template is `report_page.html.j2`; every word in it is escaped but for figures, which this
package writes itself. The page says no time of its own: equal input gives equal bytes.
"""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from repro import __version__
from repro.report import plots, tables
from repro.report import rows as claim_rows
from repro.report.rows import OUTCOMES, SYMBOLS, Row
from repro.report.view import Machine, Seen
from repro.schema.claim_base import Place
from repro.schema.finding import Outcome
from repro.text import visible_lines

_HERE = Path(__file__).parent
_TEMPLATE = "report_page.html.j2"
_SCRIPT = "report_page.js"


def render(seen: Seen) -> str:
    """The whole page as HTML.

    Args:
        seen: Verdicts, and what their records hold.
    """
    import jinja2
    from markupsafe import Markup

    script = (_HERE / _SCRIPT).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rows = claim_rows.rows(seen)
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
        seen=seen,
        head=head(seen, rows),
        outcomes=OUTCOMES,
        symbols=SYMBOLS,
        sections=claim_rows.by_section(rows),
        tables=tables.tables(seen, rows),
        figures=plots.figures(seen, rows),
        envelopes=plots.envelopes(seen),
        waiting=tables.waiting(seen, rows),
        script=Markup(script),  # noqa: S704  # a file of this package
        script_digest=digest,
    )
    return visible_lines(page)


@dataclass(frozen=True)
class Head:
    """The first lines of the page."""

    claims: int
    rows: int
    """Findings: a claim that was run at two tiers has two."""
    counts: dict[Outcome, int]
    manifests: tuple[tuple[str, str, int, dict[Outcome, int]], ...]
    """Manifest, title, rows and counts."""
    tiers: tuple[str, ...]
    """Of the rows, each once."""
    started: tuple[str, str] | None
    """First and last run."""
    drifted: tuple[Machine, ...]


def head(seen: Seen, rows: tuple[Row, ...]) -> Head:
    """Sum everything up."""
    by_manifest = {
        each.id: [row for row in rows if row.manifest == each.id] for each in seen.manifests
    }
    started = sorted(run.started for run in seen.runs)
    return Head(
        claims=sum(len(each.claims) for each in seen.manifests),
        rows=len(rows),
        counts=claim_rows.counts(rows),
        manifests=tuple(
            (
                each.id,
                each.title,
                len(by_manifest[each.id]),
                claim_rows.counts(by_manifest[each.id]),
            )
            for each in seen.manifests
        ),
        tiers=tuple(dict.fromkeys(row.tier for row in rows)),
        started=(started[0], started[-1]) if started else None,
        drifted=tuple(each for each in seen.machines if each.drift),
    )


def place(where: Place) -> str:
    """Where the paper says it, in one line."""
    parts = [where.section, where.table, where.row, where.column]
    return ", ".join(part for part in parts if part)
