"""The figures of a page as static SVG: printed beside measured, and envelopes over time."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from repro.report.numbers import MeasuredPoint, PrintedLine
from repro.report.report_data import Curve, Envelope

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_WIDTH = 4.6
"""Inches; what a phone shows without shrinking the letters much."""
_LINE = 0.36
"""Inches a printed number takes."""
_BAR = 0.2
"""Inches that a measured number without a printed one takes."""
_LONGEST = 38
"""Letters of a name beside an axis."""
_HEAD = 0.75
"""Inches of a title and an axis."""
_COLUMNS = 2
_BELOW, _ABOVE = 2, 1.15
"""How far an axis of deviations goes below the least median, where the shade may go further, and
above the highest."""
_NARROW = 3
"""An axis that spans less is not logarithmic."""
_DECADES = 100
"""A shorter logarithmic axis has ticks between powers of ten."""


def numbers(
    name: str,
    title: str,
    panels: Mapping[str, Sequence[PrintedLine]],
    bars: Mapping[str, Sequence[MeasuredPoint]],
) -> str:
    """Printed numbers with their margins, and what was measured with its range.

    Args:
        name: Unique on the page.
        title: What it shows, in words.
        panels: Printed numbers by unit; each unit has an axis of its own.
        bars: What was measured and is not printed, by unit; at least one in each.
    """
    heights = [_HEAD + _LINE * len(lines) for lines in panels.values()]
    heights += [_HEAD + _BAR * len(points) for points in bars.values()]
    with figure_settings():
        figure = new_figure(_WIDTH, sum(heights) + 0.3)
        axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        for at, (unit, lines) in zip(axes, panels.items(), strict=False):
            _panel(at, unit, lines)
        for at, (unit, points) in zip(axes[len(panels) :], bars.items(), strict=True):
            _bars(at, unit, points)
        handles = (_published(), _measured())[not panels :]
        figure.legend(handles=handles, loc="outside upper left", ncols=2)
        return as_inline_svg(figure, name, title)


def _panel(at: "Axes", unit: str, lines: Sequence[PrintedLine]) -> None:
    """Printed numbers, one a line, and what was measured of each."""
    for place, line in enumerate(lines):
        at.barh(place, 2 * line.margin, left=line.printed - line.margin, height=0.5, color=BAND)
        at.plot(line.printed, place, "D", color=PUBLISHED, markersize=6)
        middle = (len(line.points) - 1) / 2
        for number, point in enumerate(line.points):
            _point(at, place + 0.17 * (number - middle), point)
    _finish(at, unit, [line.name for line in lines])


def _bars(at: "Axes", unit: str, points: Sequence[MeasuredPoint]) -> None:
    """Measured numbers, one a line."""
    for place, point in enumerate(points):
        _point(at, place, point)
    _finish(at, unit, [point.label for point in points])


def _point(at: "Axes", y: float, point: MeasuredPoint) -> None:
    at.plot([point.low, point.high], [y, y], "|-", color=MEASURED, linewidth=1.4, markersize=5)
    at.plot(point.value, y, "o", color=MEASURED, markersize=3.5)


def _finish(at: "Axes", unit: str, names: Sequence[str]) -> None:
    shown = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names]
    at.set_yticks(range(len(names)), shown, fontsize=8)
    at.set_ylim(len(names) - 0.4, -0.6)
    at.set_title(unit)
    at.use_sticky_edges = False
    at.margins(x=0.06)
    at.grid(axis="x")
    at.set_axisbelow(True)
    at.locator_params(axis="x", nbins=5)
    at.tick_params(length=0)


def _published() -> "Artist":
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], color=PUBLISHED, marker="D", linestyle="", label="published; its margin shaded"
    )


def _measured() -> "Artist":
    from matplotlib.lines import Line2D

    return Line2D([], [], color=MEASURED, marker="o", markersize=4, label="measured, and its range")


def envelope(name: str, title: str, shown: Envelope) -> str:
    """Deviations of perturbed layers over time: median, 5 to 95 %, and the fitted median rate."""
    curves = [each for each in shown.curves if not each.control]
    lines = -(-len(curves) // _COLUMNS)
    with figure_settings():
        figure = new_figure(_WIDTH, 0.4 + 1.6 * lines)
        axes = figure.subplots(lines, _COLUMNS, squeeze=False, sharex=True)
        for place, at in enumerate(axes.flat):
            if place < len(curves):
                _curve(at, shown.times, curves[place])
            else:
                at.set_axis_off()
        figure.supxlabel("step", fontsize=9)
        figure.supylabel("deviation of the latent state", fontsize=9)
        return as_inline_svg(figure, name, title)


def _curve(at: "Axes", times: Sequence[float], curve: Curve) -> None:
    """One way of perturbing; before it begins there is nothing that a logarithm could show."""
    quantiles = zip(times, curve.low, curve.middle, curve.high, strict=True)
    shown = [each for each in quantiles if each[2] > 0]
    at.set_title(curve.mode, fontsize=8.5, color=INK)
    if not shown:
        return
    seen, low, middle, high = zip(*shown, strict=True)
    least, most = min(middle) / _BELOW, max(high)
    at.fill_between(seen, [max(each, least / 2) for each in low], high, color=BAND, linewidth=0)
    at.plot(seen, middle, color=MEASURED, linewidth=1.5)
    if curve.rates:
        at.plot(*_fit(seen, middle, curve.rates[1]), "--", color=PUBLISHED, linewidth=1.2)
    _scale(at, least, most)
    at.set_ylim(least, most * _ABOVE)
    at.tick_params(labelsize=8, length=2)


def _scale(at: "Axes", least: float, most: float) -> None:
    """Logarithmic, with as many ticks as tell it; straight where it spans next to nothing."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    at.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}".replace("e-0", "e-"))
    if most < _NARROW * least:
        at.yaxis.set_major_locator(MaxNLocator(4))
        return
    at.set_yscale("log")
    few = most < _DECADES * least
    at.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=6))
    at.yaxis.set_minor_locator(NullLocator())
    at.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}".replace("e-0", "e-"))


def _fit(
    times: Sequence[float], middle: Sequence[float], rate: float
) -> tuple[list[float], list[float]]:
    """A straight line of that rate through the middle of the logarithms, inside the plot."""
    logs = [math.log(each) for each in middle]
    through = sum(logs) / len(logs) - rate * sum(times) / len(times)
    least, most = min(logs) - 1, max(logs) + 1
    kept = [time for time in times if least <= through + rate * time <= most]
    return kept, [math.exp(through + rate * time) for time in kept]


# -----------------------------------------------------------------------------
# A figure of matplotlib as SVG that can stand inside a page.
#
# Text stays text. Colours are names of the page's own, so that light and dark follow; identifiers
# are unique on the page; nothing in it depends on the day or the machine.
#
# Reference: matplotlib 3.9.0, backend svg.

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


def figure_settings() -> "AbstractContextManager[None]":
    """Context in which figures are made and written."""
    from matplotlib import rc_context

    return rc_context(_SETTINGS)


def as_inline_svg(figure: "Figure", name: str, title: str) -> str:
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
