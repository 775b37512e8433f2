"""Every figure, by matplotlib: printed beside measured, envelopes over time.

For a page as SVG that takes the page's colours, for a paper as SVG and PDF. What is printed is a
diamond on its shaded margin, what was measured a circle on its interval.

Reference: matplotlib 3.9.0, backends svg and pdf.
"""

import io
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from repro.report.numbers import MeasuredPoint, Plot, PrintedLine
from repro.report.report_data import Curve, Envelope

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_WIDTH = 9.0
"""Inches: the width of a page's text, and of two columns of a paper."""
_LINE = 0.21
"""Inches that a line of a label takes."""
_BAR = 0.19
"""Inches that a measured number without a printed one takes."""
_LETTERS = 44
"""Letters of a label's line."""
_HEAD = 0.85
"""Inches of a title and an axis."""
_COLUMNS = 3
_BELOW, _ABOVE = 2, 1.15
"""How far an axis of deviations goes below the least median, where the shade may go further, and
above the highest."""
_NARROW = 3
"""An axis that spans less is not logarithmic."""
_DECADES = 100
"""A shorter logarithmic axis has ticks between powers of ten."""


@dataclass(frozen=True)
class Palette:
    """Colours of a figure."""

    ink: str
    line: str
    published: str
    measured: str
    band: str


PRINT = Palette("#1c1f23", "#c9ced6", "#a3490a", "#0b57b0", "#f2d7bd")
"""Of files, on white."""
_STAND_INS = Palette("#010101", "#020202", "#030303", "#040404", "#050505")
"""Stand for the page's own, so that light and dark follow; no figure uses them otherwise."""
_OF_PAGE = Palette(
    "currentColor", "var(--line)", "var(--published)", "var(--measured)", "var(--band)"
)


# -----------------------------------------------------------------------------
# Printed beside measured


def numbers(plot: Plot, palette: Palette) -> "Figure":
    """Printed numbers with their margins and what was measured of each; then what else was.

    Args:
        plot: Not empty.
        palette: Its colours.
    """
    labels = {
        unit: [_wrapped(line.statement) for line in lines] for unit, lines in plot.lines.items()
    }
    heights = [_HEAD + sum(_height(each) for each in mine) for mine in labels.values()]
    heights += [_HEAD + 0.2 + _BAR * len(_names(panels)) for panels in plot.bars.values()]
    figure = _new_figure(_WIDTH, sum(heights) + 0.4)
    rows = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for row, (unit, lines) in zip(rows, plot.lines.items(), strict=False):
        _panel(row.subplots(), unit, lines, labels[unit], palette)
    for row, (unit, panels) in zip(rows[len(labels) :], plot.bars.items(), strict=True):
        _bars(row, unit, panels, palette)
    handles = _legend(palette)[not plot.lines :]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure


def _height(label: str) -> float:
    return _LINE * (label.count("\n") + 1) + 0.12


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, _LETTERS)) or text


def _panel(
    at: "Axes", unit: str, lines: Sequence[PrintedLine], labels: Sequence[str], palette: Palette
) -> None:
    """Printed numbers, one a line, and what was measured of each below it."""
    places, place = list[float](), 0.0
    for label in labels:
        places.append(place + _height(label) / 2)
        place += _height(label)
    for y, line in zip(places, lines, strict=True):
        start = line.printed - line.margin
        at.barh(y, 2 * line.margin, left=start, height=0.26, color=palette.band)
        at.plot(line.printed, y, "D", color=palette.published, markersize=6)
        middle = (len(line.points) - 1) / 2
        for number, point in enumerate(line.points):
            _point(at, y + 0.1 * (number - middle), point, palette)
            if point.label:
                at.annotate(
                    point.label,
                    (point.high, y + 0.1 * (number - middle)),
                    (5, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=7.5,
                )
    at.set_yticks(places, labels)
    at.set_ylim(place, 0)
    _finish(at, unit)


def _bars(
    row: "Figure", unit: str, panels: Mapping[str, Sequence[MeasuredPoint]], palette: Palette
) -> None:
    """Measured numbers, one a line; panels beside each other have one axis."""
    names = _names(panels)
    axes = row.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for at, (title, points) in zip(axes, panels.items(), strict=True):
        for point in points:
            _point(at, names.index(point.label), point, palette)
        at.set_title(title)
        at.set_yticks(range(len(names)), names)
        at.set_ylim(len(names) - 0.4, -0.6)
        _finish(at, unit)


def _names(panels: Mapping[str, Sequence[MeasuredPoint]]) -> list[str]:
    return list(dict.fromkeys(point.label for points in panels.values() for point in points))


def _point(at: "Axes", y: float, point: MeasuredPoint, palette: Palette) -> None:
    ends = [point.low, point.high]
    at.plot(ends, [y, y], "|-", color=palette.measured, linewidth=1.4, markersize=5)
    at.plot(point.value, y, "o", color=palette.measured, markersize=4)


def _finish(at: "Axes", unit: str) -> None:
    at.set_xlabel(unit)
    at.use_sticky_edges = False
    at.margins(x=0.06)
    at.grid(axis="x")
    at.set_axisbelow(True)
    at.locator_params(axis="x", nbins=6)
    at.tick_params(length=0)


def _legend(palette: Palette) -> tuple[object, object]:
    from matplotlib.lines import Line2D

    both = (
        (palette.published, "D", "published, on its margin"),
        ((palette.measured, "o", "measured, with its interval or range")),
    )
    one, other = (
        Line2D([], [], color=colour, marker=marker, linestyle="", label=label)
        for colour, marker, label in both
    )
    return one, other


# -----------------------------------------------------------------------------
# Perturbed roll-outs


def envelope(shown: Envelope, palette: Palette) -> "Figure":
    """Deviations of perturbed layers over time, and the largest of each over its bound.

    Above a panel for each way of perturbing, on one axis: median, 5 to 95 % of the layers, and the
    fitted median rate. Below every way with its controls: the bound of the theorem is 1.
    """
    curves = [each for each in shown.curves if not each.control]
    lines = -(-len(curves) // _COLUMNS) or 1
    bounds = [each for each in shown.curves if math.isfinite(each.worst) and each.worst > 0]
    heights = [0.5 + 1.7 * lines, _HEAD + _BAR * len(bounds)]
    figure = _new_figure(_WIDTH, sum(heights))
    above, below = figure.subfigures(2, 1, height_ratios=heights)
    axes = above.subplots(lines, _COLUMNS, squeeze=False, sharex=True, sharey=True)
    for place, at in enumerate(axes.flat):
        if place < len(curves):
            _curve(at, shown.times, curves[place], palette)
        else:
            at.set_axis_off()
    _scale(axes[0, 0], curves)
    above.supxlabel("time, steps", fontsize=9.5)
    above.supylabel("deviation of the latent state", fontsize=9.5)
    if bounds:
        _over_bound(below.subplots(), bounds, palette)
    return figure


def _curve(at: "Axes", times: Sequence[float], curve: Curve, palette: Palette) -> None:
    """One way of perturbing; before it begins there is nothing that a logarithm could show."""
    quantiles = zip(times, curve.low, curve.middle, curve.high, strict=True)
    shown = [each for each in quantiles if each[2] > 0]
    at.set_title(curve.mode, fontsize=9)
    at.tick_params(length=2)
    if not shown:
        return
    seen, low, middle, high = zip(*shown, strict=True)
    floor = min(middle) / _BELOW / 2
    at.fill_between(seen, [max(each, floor) for each in low], high, color=palette.band, linewidth=0)
    at.plot(seen, middle, color=palette.measured, linewidth=1.5)
    if curve.rates:
        fit = _fit(seen, middle, curve.rates[1])
        at.plot(*fit, "--", color=palette.ink, linewidth=1.2)


def _scale(at: "Axes", curves: Sequence[Curve]) -> None:
    """One axis for all: logarithmic, or straight where it spans next to nothing."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    middles = [each for curve in curves for each in curve.middle if each > 0]
    if not middles:
        return
    least, most = min(middles) / _BELOW, max(max(curve.high) for curve in curves)
    at.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}".replace("e-0", "e-"))
    if most < _NARROW * least:
        at.yaxis.set_major_locator(MaxNLocator(4))
        return
    at.set_yscale("log")
    few = most < _DECADES * least
    at.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=6))
    at.yaxis.set_minor_locator(NullLocator())
    at.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}".replace("e-0", "e-"))
    at.set_ylim(least, most * _ABOVE)


def _fit(
    times: Sequence[float], middle: Sequence[float], rate: float
) -> tuple[list[float], list[float]]:
    """A straight line of that rate through the middle of the logarithms, inside the plot."""
    logs = [math.log(each) for each in middle]
    through = sum(logs) / len(logs) - rate * sum(times) / len(times)
    least, most = min(logs) - 1, max(logs) + 1
    kept = [time for time in times if least <= through + rate * time <= most]
    return kept, [math.exp(through + rate * time) for time in kept]


def _over_bound(at: "Axes", curves: Sequence[Curve], palette: Palette) -> None:
    for place, curve in enumerate(curves):
        mark = ("X", palette.published) if curve.control else ("o", palette.measured)
        at.plot(curve.worst, place, mark[0], color=mark[1], markersize=6)
    at.axvline(1, color=palette.ink, linewidth=1.2)
    at.set_xscale("log")
    at.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}".replace("e+", "e"))
    at.set_yticks(range(len(curves)), [curve.mode for curve in curves])
    at.set_ylim(len(curves) - 0.4, -0.6)
    at.set_title("largest deviation over its bound: 1 is the bound; controls have to be beyond it")
    at.set_xlabel("deviation over bound, no unit")
    at.grid(axis="x")
    at.set_axisbelow(True)
    at.tick_params(length=0)


# -----------------------------------------------------------------------------
# A figure of matplotlib as SVG that can stand inside a page, or as files.
#
# Text stays text. Identifiers are unique on the page; nothing depends on the day or the machine.


def _settings(palette: Palette) -> dict[str, object]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "repro",
        "pdf.fonttype": 42,
        "font.family": "sans-serif",
        "font.size": 9.5,
        "text.color": palette.ink,
        "axes.labelcolor": palette.ink,
        "axes.edgecolor": palette.line,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": "none",
        "grid.color": palette.line,
        "grid.linewidth": 0.5,
        "xtick.color": palette.ink,
        "ytick.color": palette.ink,
        "legend.frameon": False,
        "path.simplify_threshold": 0.5,
        "text.parse_math": False,
    }


def _new_figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _in_force(palette: Palette) -> "AbstractContextManager[None]":
    from matplotlib import rc_context

    return rc_context(_settings(palette))


Drawn = Plot | Envelope


def _draw(what: Drawn, palette: Palette) -> "Figure":
    return numbers(what, palette) if isinstance(what, Plot) else envelope(what, palette)


def title_of(what: Drawn) -> str:
    """What is to be seen, in words."""
    if isinstance(what, Plot):
        count = sum(map(len, what.lines.values()))
        return f"{what.name}: {count} printed numbers, with what was measured of each"
    return (
        f"{what.what}: how far perturbations of each kind carry {what.layers} layers from their "
        "unperturbed path, over time"
    )


def write(what: Drawn, folder: Path, name: str) -> tuple[Path, ...]:
    """Write a figure as SVG and PDF for a paper; equal figures are equal files."""
    places = []
    with _in_force(PRINT):
        figure = _draw(what, PRINT)
        for form, dates in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
            places.append(folder / f"{name}.{form}")
            figure.savefig(places[-1], format=form, metadata=dates)
    return tuple(places)


def as_inline_svg(what: Drawn, name: str) -> str:
    """Draw a figure for a page.

    Args:
        what: What to draw.
        name: Unique on the page; begins every identifier.

    Returns:
        An `svg` element with a title and `role="img"`.
    """
    written = io.StringIO()
    with _in_force(_STAND_INS):
        figure = _draw(what, _STAND_INS)
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return _inside(written.getvalue(), name, title_of(what))


def _inside(text: str, name: str, title: str) -> str:
    from xml.sax.saxutils import escape, quoteattr

    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([\w.-]+)', text))
    text = re.sub(r' id="([\w.-]+)"', lambda at: at[0] if at[1] in used else "", text)
    text = re.sub(r'(id="|href="#|url\(#)(?=[\w.-]+["\)])', rf"\g<1>{name}-", text)
    for field in Palette.__dataclass_fields__:
        text = text.replace(getattr(_STAND_INS, field), getattr(_OF_PAGE, field))
    text = re.sub(r"font: (?:\w+ )?([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r"\n\s*", "\n", text)
    box = re.search(r'viewBox="([^"]*)"', text)
    view = box[1] if box else "0 0 1 1"
    # Inside a page the names of XML have no prefix to be declared.
    body = text[text.index(">") + 1 :].replace("xlink:href", "href")
    return (
        f'<svg viewBox="{view}" role="img" aria-label={quoteattr(title)} class="plot">\n'
        f"<title>{escape(title)}</title>{body}"
    )
