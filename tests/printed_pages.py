"""Printed values with one claim on them, all that a rule on printed values reads, and oracles."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from repro.fileio import canonical
from repro.schema.claims import PageClaim
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import ConcordanceClaim
from verify.outcome import RuleDecision
from verify.rules import page

COLUMNS = ("ppl", "LAMBADA", "HellaSwag", "PIQA", "Arc-E", "Arc-C", "WinoGrande")
QUESTIONS = (None, 5153, 10042, 1838, 2376, 1172, 1267)
"""Questions that lm-eval scores in each column; a perplexity has none."""

_ROWS = """
130M W    15.37 45.16 35.41 65.02 47.94 24.91 52.17
130M not  16.95 43.30 35.24 64.85 47.47 24.06 52.17
370M W     8.03 54.16 46.87 69.53 53.49 27.73 57.14
370M not   8.50 53.74 46.59 70.67 54.80 26.79 55.64
780M W     5.79 61.61 55.14 71.98 61.11 29.18 60.09
780M not   5.86 61.63 54.94 72.03 60.98 28.41 60.22
1.3B W     4.54 65.73 60.88 73.67 66.16 34.56 61.80
1.3B not   5.05 65.44 59.84 73.39 64.10 33.11 61.09
2.7B W     4.05 69.63 66.73 76.50 69.95 36.77 64.56
2.7B not   4.10 69.61 66.60 76.39 69.53 36.26 63.93
1.3B both  4.94 62.95 60.06 73.78 64.02 34.81 61.33
2.7B both  3.77 68.39 67.51 75.95 69.53 38.31 65.35
"""
"""Tables 4 and 5: adapters on W, on all but W, on both linear layers."""


def tables() -> dict[str, str]:
    """Tables 4 and 5 as `<size>.<arm>.<column>`, e.g. `130M.W.ppl`."""
    rows = [line.split() for line in _ROWS.split("\n") if line]
    return {
        f"{size}.{arm}.{column}": text
        for size, arm, *texts in rows
        for column, text in zip(COLUMNS, texts, strict=True)
    }


def manifest(texts: Mapping[str, str], claim: Mapping[str, Any], **units: str) -> Manifest:
    """Named texts and one claim; a name with dots is size, arm and column."""
    published = []
    for name, text in texts.items():
        size, arm, column = name.rsplit(".", 2) if "." in name else ("", "", "")
        place = {"section": "F", "row": f"{size} {arm}".strip() or None, "column": column or None}
        unit = units.get(column, "%")
        published.append({"id": name, "text": text, "unit": unit, "place": place})
    common = {"id": "it", "statement": "", "place": {"section": "F"}, "depends_on": []}
    data = {
        "schema_version": 1,
        "id": "pages",
        "title": "",
        "paper": {"arxiv": "0000.00000", "version": "v2"},
        "packages": {},
        "published": published,
        "settings": [],
        "jobs": [],
        "claims": [{**common, **claim}],
    }
    return Manifest.model_validate_json(canonical(data))


def decide(
    texts: Mapping[str, str], claim: Mapping[str, Any], **units: str
) -> tuple[RuleDecision, str]:
    """What the rules say, and the outcome that it points to, or ""."""
    claimed = manifest(texts, claim, **units)
    found = claimed.claims[0]
    assert isinstance(found, PageClaim | ConcordanceClaim)
    decided, points = page.decide(claimed, found)
    return decided, str(points.values["outcome"]) if points else ""


def codes(found: RuleDecision) -> list[str]:
    """Codes of its causes."""
    return [each.code for each in found.causes]


def outcome(texts: Mapping[str, str], claim: Mapping[str, Any]) -> str:
    """The outcome alone."""
    return decide(texts, claim)[0].outcome


def named(texts: Sequence[str], prefix: str = "v") -> dict[str, str]:
    """Texts with names of their own: v0, v1, …"""
    return {f"{prefix}{index}": text for index, text in enumerate(texts)}


def shifted(text: str) -> str:
    """Ten times a printed number, with its digits: the point moves by one."""
    digits, _, exponent = text.partition("e")
    whole, _, decimals = digits.partition(".")
    return f"{whole}{decimals}e{int(exponent or 0) - len(decimals) + 1}"


# -----------------------------------------------------------------------------
# Outcomes of claims on any texts


def wins(texts: Sequence[str], printed: str, better: str = "higher") -> str:
    values = named(texts)
    names = list(values)
    pairs = zip(names[::2], names[1::2], strict=True)
    comparisons = [{"left": left, "right": right, "better": better} for left, right in pairs]
    claim = {"kind": "wins", "published": "n", "out_of": "k", "comparisons": comparisons}
    return outcome({**values, "n": printed, "k": str(len(comparisons))}, claim)


def monotone(texts: Sequence[str], direction: str) -> str:
    values = named(texts)
    return outcome(values, {"kind": "monotone", "of": list(values), "direction": direction})


def two_sided(kind: str, left: Sequence[str], right: Sequence[str], **fields: Any) -> str:
    sides = named(left, "m"), named(right, "n")
    claim = {"kind": kind, "left": list(sides[0]), "right": list(sides[1]), **fields}
    if kind == "concordance":
        claim["basis"] = "printed"
    return outcome({**sides[0], **sides[1]}, claim)


def ratio(texts: Sequence[str], form: str, relation: str, printed: str) -> str:
    of = texts[: 1 if form in ("plain", "times-per-reduction") else 2]
    claim = {"kind": "ratio", "published": "p", "of": list(named(of)), "form": form}
    return outcome({**named(of), "p": printed}, {**claim, "relation": relation})


def row(texts: Sequence[str], others: Sequence[str], noise: str, status: str = "verified") -> Any:
    claim = {
        "kind": "baseline",
        "row": list(named(texts)),
        "baseline": list(others),
        "source": {"arxiv": "0", "place": "a table", "status": status, "note": ""},
        "noise": {"value": noise, "origin": ""},
        "units": "%",
    }
    found, direction = decide(named(texts), claim)
    return found.outcome, direction


# -----------------------------------------------------------------------------
# Oracles: rounding and outcomes as their definitions have them


def ends(text: str) -> tuple[Fraction, Fraction]:
    """Least and greatest number that rounds to a text."""
    half = Fraction(10) ** int(Decimal(text).as_tuple().exponent) / 2
    return Fraction(text) - half, Fraction(text) + half


def expected(truths: Iterable[bool]) -> str:
    """The outcome of what is true for all choices, for none, or for some."""
    found = set(truths)
    return (
        {True: "reproduced", False: "contradicted"}[found.pop()]
        if len(found) == 1
        else "inconclusive"
    )
