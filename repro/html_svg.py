"""A figure of matplotlib as SVG that can stand inside a page.

Text stays text. Colours are names of the page's own, so that light and dark follow; identifiers
are unique on the page; nothing in it depends on the day or the machine.

Reference: matplotlib 3.9.0, backend svg.
"""

import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from matplotlib.figure import Figure

# Colours that stand for the page's: any would do that no figure uses otherwise.
INK, LINE, PUBLISHED, MEASURED, BAND = "#010101", "#020202", "#030303", "#040404", "#050505"

_COLOURS = {
    INK: "currentColor",
    LINE: "var(--line)",
    PUBLISHED: "var(--published)",
    MEASURED: "var(--measured)",
    BAND: "var(--band)",
}
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "repro",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "path.simplify_threshold": 0.5,
    "text.parse_math": False,
}


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches, whose parts take the settings in force."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def settings() -> "AbstractContextManager[None]":
    """Context in which figures are made and written."""
    from matplotlib import rc_context

    return rc_context(_SETTINGS)


def inline(figure: "Figure", name: str, title: str) -> str:
    """Write a figure for a page.

    Args:
        figure: What to write.
        name: Unique on the page; begins every identifier.
        title: What is to be seen, for those who do not see it; text, not markup.

    Returns:
        An `svg` element with a title and `role="img"`.
    """
    from xml.sax.saxutils import escape, quoteattr

    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([\w.-]+)', text))
    text = re.sub(r' id="([\w.-]+)"', lambda at: at[0] if at[1] in used else "", text)
    text = re.sub(r'(id="|href="#|url\(#)(?=[\w.-]+["\)])', rf"\g<1>{name}-", text)
    for colour, of_the_page in _COLOURS.items():
        text = text.replace(colour, of_the_page)
    text = re.sub(r"font: (?:\w+ )?([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r"\n\s*", "\n", text)
    box = re.search(r'viewBox="([^"]*)"', text)
    view = box[1] if box else "0 0 1 1"
    body = text[text.index(">") + 1 :]
    # Inside a page the names of XML have no prefix to be declared.
    body = body.replace("xlink:href", "href")
    return (
        f'<svg viewBox="{view}" role="img" aria-label={quoteattr(title)} class="plot">\n'
        f"<title>{escape(title)}</title>{body}"
    )
