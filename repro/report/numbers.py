"""Numbers of findings as points, for a plot: what is printed, what was measured, and its ends."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from repro.report.report_data import ReportData, Timing
from repro.report.view.cards import Card, ends, number, subject
from repro.schema.causes import BARS, MEASURED, Estimate
from repro.schema.finding import Finding
from repro.schema.manifest import Manifest

_AT = f"{MEASURED} at "


@dataclass(frozen=True)
class MeasuredPoint:
    """One measured number."""

    label: str
    """What it is of, where a finding has several; else empty."""
    value: float
    low: float
    high: float
    """Ends of its interval, or of its range over timings; the value itself without one."""


@dataclass(frozen=True)
class PrintedLine:
    """One printed number beside what was measured of it."""

    name: str
    """Of the claim."""
    statement: str
    printed: float
    margin: float
    points: tuple[MeasuredPoint, ...]


def line_of(finding: Finding) -> PrintedLine | None:
    """The numbers of a finding, None where the published side is no number."""
    printed, margin = (number(text) for text in (finding.published, finding.margin.strip("± ")))
    if printed is None:
        return None
    points = [
        _point(each, each.label.removeprefix(MEASURED).removeprefix(" at "))
        for each in finding.estimates
        if each.label == MEASURED or each.label.startswith(_AT)
    ]
    return PrintedLine(finding.claim, finding.statement, printed, margin or 0.0, tuple(points))


def bars_of(finding: Finding) -> dict[str, list[MeasuredPoint]]:
    """What a figure shows and the paper does not print: one point a model, by axis."""
    found: dict[str, list[MeasuredPoint]] = {}
    for each in finding.estimates if finding.kind in ("bars", "improvement") else ():
        for start, axis in BARS.items():
            if each.label.startswith(start):
                found.setdefault(axis, []).append(_point(each, each.label.removeprefix(start)))
    return found


def _point(of: Estimate, label: str) -> MeasuredPoint:
    return MeasuredPoint(label, of.value, *ends(of))


# -----------------------------------------------------------------------------
# Which plots a page has: one for each figure of the paper.

_MOST = 120
"""Points of one panel that are drawn: a page stays small, and records have them all."""

Panels = Mapping[str, tuple[MeasuredPoint, ...]]
"""Title to what is drawn under it; panels of one axis stand side by side."""


@dataclass(frozen=True)
class Plot:
    """One figure of the paper: printed numbers, and measured ones that it prints no number of."""

    name: str
    """What it is a figure of."""
    manifest: str
    title: str
    """Of the manifest."""
    lines: Mapping[str, tuple[PrintedLine, ...]]
    """Axis to the printed numbers on it."""
    bars: Mapping[str, Panels]
    """Axis to what was measured."""
    left_out: int
    """Points that are not drawn."""

    @property
    def measured(self) -> bool:
        """Whether anything was measured of the printed numbers."""
        return any(line.points for lines in self.lines.values() for line in lines)


def plots(
    data: ReportData, cards: Sequence[Card], tables: Collection[str]
) -> dict[str, tuple[Plot, ...]]:
    """Every figure that a manifest has, by the part of the paper that it stands in.

    A manifest named after a figure has one; so has another one, but of a table, if something was
    measured that can be drawn.
    """
    found: dict[str, list[Plot]] = {}
    for manifest in data.manifests:
        mine = [card for card in cards if card.row.manifest == manifest.id]
        own = subject(manifest)
        name = f"{mine[0].paper}{own}" if mine and own else ""
        if not mine or name in tables:
            continue
        plot = _plot(data, manifest, name or manifest.id, mine)
        drawn = plot.lines if own.startswith("Figure") else plot.measured
        if plot.bars or drawn:
            place = name or Counter(card.about for card in mine).most_common(1)[0][0]
            found.setdefault(place, []).append(plot)
    return {name: tuple(every) for name, every in found.items()}


def _plot(data: ReportData, manifest: Manifest, name: str, cards: Sequence[Card]) -> Plot:
    units = {value.id: value.unit for value in manifest.published}
    claims = {each.id: each for each in manifest.claims}
    lines: dict[str, list[PrintedLine]] = {}
    for card in cards:
        claim = claims.get(card.finding.claim)
        if claim is not None and claim.kind == "cell" and (line := line_of(card.finding)):
            _add(lines.setdefault(units[claim.published], []), line, card.finding.reading)
    every: dict[str, dict[str, list[MeasuredPoint]]] = {}
    for axis, panel, point in _measured(data, manifest, cards):
        mine = every.setdefault(axis, {}).setdefault(panel, [])
        if point.label not in {each.label for each in mine}:
            mine.append(point)
    points = sum(len(one) for panels in every.values() for one in panels.values())
    bars = {
        axis: {title: tuple(one[:_MOST]) for title, one in panels.items()}
        for axis, panels in every.items()
    }
    drawn = sum(len(one) for panels in bars.values() for one in panels.values())
    return Plot(
        name,
        manifest.id,
        manifest.title,
        {unit: tuple(mine) for unit, mine in lines.items()},
        bars,
        points - drawn,
    )


def _add(lines: list[PrintedLine], line: PrintedLine, reading: str) -> None:
    """A line; several readings of one printed number are one, with a point each."""
    points = tuple(replace(one, label=one.label or reading) for one in line.points)
    said = line.statement, line.printed, line.margin
    for place, each in enumerate(lines):
        if (each.statement, each.printed, each.margin) == said:
            lines[place] = replace(each, points=(*each.points, *points))
            return
    lines.append(replace(line, points=points))


def _measured(
    data: ReportData, manifest: Manifest, cards: Sequence[Card]
) -> Iterator[tuple[str, str, MeasuredPoint]]:
    """Axis, panel and point of everything that was measured, a model once."""
    for card in cards:
        if not card.finding.stand_ins:  # drawn by the names of the paper's models
            for axis, points in bars_of(card.finding).items():
                yield from ((axis, "", point) for point in points)
    if any(group.kind == "throughput" for group in manifest.jobs):
        yield from _speeds(data.timings)


def _speeds(timings: Sequence[Timing]) -> Iterator[tuple[str, str, MeasuredPoint]]:
    """Tokens a second by cap of memory; what does not fit is counted."""
    for cap in dict.fromkeys(each.cap for each in timings):
        at = [each for each in timings if each.cap == cap]
        timed = [each for each in at if each.speeds]
        more = f"; {len(at) - len(timed)} more do not fit" if len(timed) < len(at) else ""
        for each in timed:
            middle = sum(each.speeds) / len(each.speeds)
            point = MeasuredPoint(each.name, middle, min(each.speeds), max(each.speeds))
            yield "tokens a second", f"under {cap:g} GiB{more}", point
