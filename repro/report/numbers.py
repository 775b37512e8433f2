"""Numbers of a finding as points, for a plot: what is printed, what was measured, and its ends."""

from dataclasses import dataclass

from repro.schema.causes import BARS, MEASURED, Estimate
from repro.schema.finding import Finding

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
    printed, margin = (_number(text) for text in (finding.published, finding.margin.strip("± ")))
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
    low, high = (of.value if end is None else end for end in (of.low, of.high))
    return MeasuredPoint(label, of.value, low, high)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
