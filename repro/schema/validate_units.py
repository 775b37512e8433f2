"""Units of published values that a claim about them cannot have.

What a claim compares has a unit: a divergence is in percentage points, a share in percent, a ratio
in times, and a count is none of them. Other units (tokens, cells, GB) are free text, and only have
to be the same where values are compared. A decision never looks at a unit: this does, on loading.
"""

from collections.abc import Iterator, Sequence

from repro.schema.claims import Claim, ModelClaim
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import (
    CellClaim,
    CountClaim,
    Divergence,
    MeanClaim,
    OrderingClaim,
    Throughput,
    Unbuilt,
)
from repro.schema.page_claims import (
    BaselineClaim,
    FactClaim,
    MonotoneClaim,
    RatioClaim,
    RepeatClaim,
    SamplingClaim,
    WholeQuestionsClaim,
    WinsClaim,
)
from repro.schema.tuned_claims import ImprovementRatio, MeasuredWinsClaim, Score, TunedDivergence

Wrong = tuple[str, str, str]
"""Path inside the claim, what was found there, what was expected."""

POINTS, PERCENT, TIMES, PERPLEXITY = "percentage points", "percent", "times", "perplexity"
_SAME = {"points": POINTS, "%": PERCENT, "x": TIMES, "×": TIMES}
"""Other words for a unit."""
_FORMS = {
    "times": TIMES,
    "percent-of": PERCENT,
    "percent-more": PERCENT,
    "times-per-reduction": TIMES,
}
"""Form of a ratio to the unit of what it makes."""
_COUNT = "the unit of a count, e.g. comparisons"


def claim_problems(manifest: Manifest, claim: Claim) -> Iterator[Wrong]:
    """What is wrong with the units of what one claim names."""
    units = {each.id: each.unit for each in manifest.published}
    for field, name, expected in _needed(claim):
        unit = units.get(name)  # a name that is not defined is told elsewhere
        if unit is not None and not _is(unit, expected):
            yield field, f"{name} in {unit!r}", expected
    for field, names in _alike(manifest, claim):
        found = dict.fromkeys(
            _SAME.get(units[name], units[name]) for name in names if name in units
        )
        if len(found) > 1:
            yield (
                field,
                f"values in {' and '.join(map(repr, found))}",
                "one unit: they are compared",
            )
    if isinstance(claim, BaselineClaim):
        known = dict.fromkeys(units[name] for name in claim.row if name in units)
        if known and claim.units not in known:
            yield "units", repr(claim.units), f"the unit of a column of the row: {', '.join(known)}"


def _is(unit: str, expected: str) -> bool:
    """Whether a unit is the one that is expected."""
    same = _SAME.get(unit, unit)
    if expected == _COUNT:
        return same not in (POINTS, PERCENT, TIMES, PERPLEXITY)
    return same == expected


def _needed(claim: Claim) -> Iterator[tuple[str, str, str]]:
    """Published values whose unit follows from the claim: field, name, unit."""
    if isinstance(claim, CellClaim) and _measured(claim):
        yield "published", claim.published, _measured(claim)
    elif isinstance(claim, FactClaim) and claim.published:
        yield "published", claim.published, TIMES
    elif isinstance(claim, RatioClaim):
        if claim.form in _FORMS:
            yield "published", claim.published, _FORMS[claim.form]
        if claim.form == "times-per-reduction":
            yield from (("of", name, PERCENT) for name in claim.of)
    elif isinstance(claim, CountClaim | WinsClaim | MeasuredWinsClaim):
        yield "published", claim.published, _COUNT
    else:
        yield from ((field, name, PERCENT) for field, name in _accuracies(claim))


def _accuracies(claim: Claim) -> Iterator[tuple[str, str]]:
    """Published values that have to be accuracies: field, name."""
    if isinstance(claim, WholeQuestionsClaim):
        yield from (("of", name) for name in claim.of)
    elif isinstance(claim, SamplingClaim):
        for index, pair in enumerate(claim.comparisons):
            yield f"comparisons[{index}].left", pair.left
            yield f"comparisons[{index}].right", pair.right


def _measured(claim: CellClaim) -> str:
    """The unit of what a cell measures; empty where it is not built."""
    measure = claim.measure
    if isinstance(measure, Divergence | TunedDivergence):
        return POINTS
    if isinstance(measure, Score):
        return PERPLEXITY if measure.metric == "perplexity" else PERCENT
    if isinstance(measure, ImprovementRatio):
        return PERCENT
    if isinstance(measure, Throughput):
        return TIMES if measure.statistic == "speed" else PERCENT
    return ""


def _alike(manifest: Manifest, claim: Claim) -> Iterator[tuple[str, Sequence[str]]]:
    """Published values that are compared with each other: field, names."""
    if isinstance(claim, ModelClaim):
        yield from _of_models(manifest, claim)
    elif isinstance(claim, MonotoneClaim):
        yield "of", claim.of
    elif isinstance(claim, RatioClaim):
        yield "of", [claim.published, *claim.of] if claim.form == "plain" else claim.of
    elif isinstance(claim, RepeatClaim):
        yield from (("right", pair) for pair in zip(claim.left, claim.right, strict=False))
    elif isinstance(claim, WinsClaim | MeasuredWinsClaim):
        yield "out_of", [claim.published, claim.out_of]
        for index, each in enumerate(getattr(claim, "comparisons", ())):
            yield f"comparisons[{index}]", [each.left, each.right]


def _of_models(manifest: Manifest, claim: ModelClaim) -> Iterator[tuple[str, Sequence[str]]]:
    """The same of values that are printed, or that measured cells are about."""
    cells = {
        each.id: each.published
        for each in manifest.claims
        if isinstance(each, CellClaim) and isinstance(each.measure, Divergence | Unbuilt)
    }

    def printed(names: Sequence[str]) -> list[str]:
        if claim.basis == "printed":
            return list(names)
        return [cells[name] for name in names if name in cells]

    if isinstance(claim, MeanClaim):
        yield "of", [claim.published, *printed(claim.of)]
    elif isinstance(claim, CountClaim):
        yield "of", printed(claim.of)
    elif isinstance(claim, OrderingClaim) or claim.by == "spikes":  # above one threshold
        yield "right", printed([*claim.left, *claim.right])
    else:
        yield "left", printed(claim.left)
        yield "right", printed(claim.right)
