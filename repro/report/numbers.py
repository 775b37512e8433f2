"""Numbers of a finding as points, for a plot: what is printed, what was measured, how far it goes.

A finding says both sides in words, which `verify` writes in few forms (`verify/shown.py`,
`verify/rules/throughput.py`). What has none of them is not plotted.
"""

import re
from dataclasses import dataclass

from repro.schema.finding import Finding

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_SETTINGS = re.compile(rf"({_NUMBER}) \((?:1 setting|(\d+) settings: ({_NUMBER}) to ({_NUMBER}))\)")
_VIEW = re.compile(rf"({_NUMBER}) at (.+)")
_BETWEEN = re.compile(rf"between ({_NUMBER}) and ({_NUMBER})")


@dataclass(frozen=True)
class Point:
    """One measured number."""

    label: str
    """What it is of, where a finding has several; else empty."""
    value: float
    low: float
    high: float
    """Ends of its range over settings, or of its interval; the value itself without one."""


@dataclass(frozen=True)
class Line:
    """One printed number beside what was measured of it."""

    name: str
    """Of the claim."""
    statement: str
    printed: float
    margin: float
    points: tuple[Point, ...]


def line_of(finding: Finding) -> Line | None:
    """The numbers of a finding, None where the published side is no number."""
    if not re.fullmatch(_NUMBER, finding.published):
        return None
    margin = re.fullmatch(rf"± ({_NUMBER})", finding.margin)
    return Line(
        finding.claim,
        finding.statement,
        float(finding.published),
        float(margin[1]) if margin else 0.0,
        tuple(_points(finding)),
    )


def _points(finding: Finding) -> list[Point]:
    if found := _SETTINGS.fullmatch(finding.measured):
        value = float(found[1])
        ends = (float(found[3]), float(found[4])) if found[2] else (value, value)
        return [Point("", value, *ends)]
    points = []
    for part in finding.measured.split("; "):
        if found := _VIEW.fullmatch(part):
            value, view = float(found[1]), found[2]
            lines = (line for line in finding.steps if line.startswith(f"{view}: "))
            ends_of = next((_BETWEEN.search(line) for line in lines), None)
            low, high = (float(ends_of[1]), float(ends_of[2])) if ends_of else (value, value)
            points.append(Point(view, value, low, high))
    return points


# -----------------------------------------------------------------------------
# Bars: what a figure shows, and the paper does not print

_IMPROVEMENT = re.compile(
    rf"(?P<name>\S.*?): (?P<value>{_NUMBER}) % \(settings (?P<low>{_NUMBER})"
    rf"(?: to (?P<high>{_NUMBER}))?; sampling of questions"
)
_DIVERGENCE = re.compile(rf"(?P<name>\S+ \S+): (?P<value>{_NUMBER}); ")
_BARS = {
    "improvement with shots, percent": _IMPROVEMENT,
    "divergence, percentage points": _DIVERGENCE,
}
"""Unit to the line of working that holds one bar."""


def bars_of(finding: Finding) -> dict[str, list[Point]]:
    """One point a model, by unit, from the working of a claim about many models."""
    found: dict[str, list[Point]] = {}
    for line in finding.steps if finding.kind in ("bars", "improvement") else ():
        for unit, pattern in _BARS.items():
            if at := pattern.match(line):
                parts = at.groupdict()
                value, low = float(parts["value"]), float(parts.get("low") or parts["value"])
                high = float(parts.get("high") or (low if parts.get("low") else value))
                found.setdefault(unit, []).append(Point(parts["name"], value, low, high))
                break
    return found
