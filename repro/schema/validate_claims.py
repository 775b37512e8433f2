"""What matches the schema of a claim and still makes no sense beside the rest of its manifest.

A claim is held to what the manifest defines: names and their units, fields that go together, and
jobs that bring what it compares. Every path is one inside the claim.

What a claim compares has a unit: a divergence is in percentage points, a share in percent, a ratio
in times, and a count is none of them. Other units (tokens, cells, GB) are free text, and only have
to be the same where values are compared. A decision never looks at a unit: this does, on loading.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal

from repro.schema.catalog import MMLU
from repro.schema.claims import AmbiguousClaim, Claim, ModelClaim, PageClaim, claimed_by
from repro.schema.evaluation import validate_scores, validate_tuning
from repro.schema.groups import EvaluationGroup, SingleJob, ThroughputGroup
from repro.schema.jobs import ProofJob
from repro.schema.manifest import Manifest
from repro.schema.margins import Margins, takes_margin
from repro.schema.measured_claims import (
    CellClaim,
    ConcordanceClaim,
    CountClaim,
    Divergence,
    FitsClaim,
    GrowingClaim,
    MeanClaim,
    OrderingClaim,
    ProofClaim,
    ThroughputGain,
    TrendClaim,
    UnbuiltMeasure,
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
from repro.schema.reading import Wrong
from repro.schema.tuned_claims import (
    ImprovementRatio,
    LearnsClaim,
    MeanScore,
    MeasuredDifference,
    MeasuredWinsClaim,
    Parameters,
    Score,
    Scores,
    TunedDivergence,
)
from repro.text import known_names, plural

POINTS, PERCENT, TIMES, PERPLEXITY = "percentage points", "percent", "times", "perplexity"
_SAME = {"points": POINTS, "%": PERCENT, "x": TIMES, "×": TIMES}
"""Other words for a unit."""
_COUNT = "the unit of a count, e.g. comparisons"

_UNITS: Mapping[type, Mapping[str, str]] = {
    Divergence: {"published": POINTS},
    TunedDivergence: {"published": POINTS},
    ImprovementRatio: {"published": PERCENT},
    FactClaim: {"published": TIMES},
    CountClaim: {"published": _COUNT},
    WinsClaim: {"published": _COUNT},
    MeasuredWinsClaim: {"published": _COUNT},
    WholeQuestionsClaim: {"of": PERCENT},
    SamplingClaim: {"comparisons": PERCENT},
}
"""A claim, or what a cell measures, to the fields whose values have a unit that follows from it."""

_RATIOS: Mapping[str, Mapping[str, str]] = {
    "plain": {},
    "times": {"published": TIMES},
    "percent-of": {"published": PERCENT},
    "percent-more": {"published": PERCENT},
    "percent-fewer": {"published": PERCENT},
    "difference": {},
    "times-per-reduction": {"published": TIMES, "of": PERCENT},
}
"""The same by the form of a ratio."""

_PARALLEL: Mapping[type, tuple[str, str]] = {
    TrendClaim: ("floors", "arrays"),
    RepeatClaim: ("right", "left"),
    ConcordanceClaim: ("right", "left"),
    BaselineClaim: ("baseline", "row"),
}
"""A field that has to be as long as another one."""


class ClaimSense:
    """Finds what makes no sense in the claims of one manifest."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.published = {each.id: each for each in manifest.published}
        self.margins = Margins(manifest.published, manifest.claims)
        self.cells = {
            each.id: each.published
            for each in manifest.claims
            if isinstance(each, CellClaim) and isinstance(each.measure, Divergence | UnbuiltMeasure)
        }
        """Cells that a measured claim may name, to the printed value that each is about."""

    def problems(self, claim: Claim) -> Iterator[Wrong]:
        """Everything wrong with one claim of the manifest."""
        yield from _not_parallel(claim)
        yield from _misfits(claim)
        yield from self._undefined(claim)
        yield from self._units(claim)
        yield from self._compared_units(claim)
        yield from self._typed_margin(claim)
        at, claimed = ("measure", claim.measure) if isinstance(claim, CellClaim) else ("of", claim)
        if isinstance(claimed, Divergence):
            yield from self._not_evaluated(claimed)
        elif isinstance(claimed, Scores | Parameters | MeasuredDifference):
            yield from validate_scores.problems_of(self.manifest, claimed)
        elif isinstance(claimed, validate_tuning.Tuned | LearnsClaim):
            yield from validate_tuning.problems_of(self.manifest, claimed, at)
        else:
            yield from self._throughput(claimed)

    # -- Names of the manifest, and units of what they name

    def _undefined(self, claim: Claim) -> Iterator[Wrong]:
        """Names that the manifest does not define."""
        for field, known, names in self._names(claim):
            for name in names:
                if name not in known:
                    yield field, f"{name!r}, which is not defined", known_names(name, known)

    def _names(self, claim: Claim) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
        """Every field that holds names, with what could stand there."""
        yield "depends_on", list(self.manifest.packages), claim.depends_on
        singles = [group.id for group in self.manifest.jobs if isinstance(group, SingleJob)]
        yield "jobs", singles, getattr(claim, "jobs", ())
        if isinstance(claim, ProofClaim):
            yield "theorems", self._theorems(claim.jobs), claim.theorems
        if isinstance(claim, AmbiguousClaim):
            others = [e.id for e in self.manifest.claims if not isinstance(e, AmbiguousClaim)]
            yield "readings", others, claim.readings
        for field, names in _values(claim):
            measured = getattr(claim, "basis", "") == "measured" and field != "published"
            yield field, list(self.cells if measured else self.published), names

    def _theorems(self, jobs: Sequence[str]) -> list[str]:
        """Theorems that some jobs check."""
        singles = (each for each in self.manifest.jobs if isinstance(each, SingleJob))
        checked = (each.job for each in singles if each.id in jobs)
        return [name for job in checked if isinstance(job, ProofJob) for name in job.theorems]

    def _units(self, claim: Claim) -> Iterator[Wrong]:
        """Published values in another unit than the one that follows from the claim."""
        expected = dict(_units_of(claim))
        of = self._units_in(claim.of) if isinstance(claim, RatioClaim) else []
        if isinstance(claim, RatioClaim) and claim.form == "difference" and of:
            expected["published"] = _difference_of(of[0])
        if _is_rate(claim, of):
            expected["published"] = " per ".join(of)
        for field, names in _values(claim):
            wanted = expected.get(field.partition("[")[0])
            for name in names:
                printed = self.published.get(name)
                if wanted and printed and not _is(printed.unit, wanted):
                    yield field, f"{name} in {printed.unit!r}", wanted
        if isinstance(claim, BaselineClaim):
            known = self._units_in(claim.row)
            if known and claim.units not in known:
                what = f"the unit of a column of the row: {', '.join(known)}"
                yield "units", repr(claim.units), what

    def _compared_units(self, claim: Claim) -> Iterator[Wrong]:
        """Values in several units that are compared with each other."""
        for field, names in self._compared(claim):
            found = dict.fromkeys(_SAME.get(unit, unit) for unit in self._units_in(names))
            if len(found) > 1 and not _is_rate(claim, found):
                what = f"values in {' and '.join(map(repr, found))}"
                yield field, what, "one unit: they are compared"

    def _typed_margin(self, claim: Claim) -> Iterator[Wrong]:
        """A margin that is not the one which follows from the sentences of the manifest."""
        if takes_margin(claim) and claim.margin and claim.published in self.published:
            computed = self.margins.of(claim)
            if Decimal(claim.margin.value) != Decimal(computed.value):
                expected = f"{computed.value}, {computed.origin}: leave it out, it is computed"
                yield "margin.value", repr(claim.margin.value), expected

    def _units_in(self, names: Sequence[str]) -> list[str]:
        """Units of those names that are defined, each once."""
        units = (self.published[name].unit for name in names if name in self.published)
        return list(dict.fromkeys(units))

    def _compared(self, claim: Claim) -> Iterator[tuple[str, Sequence[str]]]:
        """Published values that are compared with each other, by field."""

        def printed(names: Sequence[str]) -> list[str]:
            """Themselves, or those that measured cells are about."""
            if getattr(claim, "basis", "printed") == "printed":
                return list(names)
            return [self.cells[name] for name in names if name in self.cells]

        match claim:
            case MeanClaim() | RatioClaim(form="plain"):
                yield "of", [claim.published, *printed(claim.of)]
            case CountClaim() | MonotoneClaim() | RatioClaim():
                yield "of", printed(claim.of)
            case OrderingClaim() | ConcordanceClaim(by="spikes"):  # above one threshold
                yield "right", printed([*claim.left, *claim.right])
            case ConcordanceClaim():
                yield "left", printed(claim.left)
                yield "right", printed(claim.right)
            case RepeatClaim():
                yield from (("right", pair) for pair in zip(claim.left, claim.right, strict=False))
            case WinsClaim() | MeasuredWinsClaim():
                yield "out_of", [claim.published, claim.out_of]
                for index, each in enumerate(getattr(claim, "comparisons", ())):
                    yield f"comparisons[{index}]", [each.left, each.right]

    # -- Jobs that bring what a claim compares

    def _not_evaluated(self, measure: Divergence) -> Iterator[Wrong]:
        """A divergence of what no evaluation runs, with the nearest that one does."""
        runs: dict[str, list[str]] = {}
        for group in self.manifest.jobs:
            if isinstance(group, EvaluationGroup) and group.task == MMLU:
                for name in group.checkpoints:
                    runs.setdefault(name, []).append(" and ".join(group.dtypes))
                if measure.checkpoint in group.checkpoints and {
                    measure.dtype,
                    measure.reference,
                } <= set(group.dtypes):
                    return
        if measure.checkpoint in runs:
            near = f"{measure.checkpoint} in {'; or in '.join(runs[measure.checkpoint])}"
        else:
            near = known_names(measure.checkpoint, runs)
        found = f"{measure.checkpoint} in {measure.dtype} and {measure.reference}"
        what = "a checkpoint and dtypes that one evaluation of this manifest runs"
        yield "measure", found, f"{what}: {near}"

    def _throughput(self, claimed: object) -> Iterator[Wrong]:
        """Groups, checkpoints and arms that are named and that the manifest does not have."""
        groups = {each.id: each for each in self.manifest.jobs if isinstance(each, ThroughputGroup)}
        for where, name, checkpoints, arms in _timed(claimed):
            if name not in groups:
                known = ", ".join(groups) or "none is defined"
                yield f"{where}group", f"{name!r}, which is no throughput group", f"one of: {known}"
                continue
            sizes = [each.checkpoint for each in groups[name].checkpoints]
            for field, names, run in (
                ("checkpoints", checkpoints, sizes),
                ("arms", arms, [each.id for each in groups[name].arms]),
            ):
                for each in names:
                    if each not in run:
                        found = f"{each!r}, which the group does not run"
                        yield f"{where}{field}", found, f"one of: {', '.join(run)}"


def _values(claim: Claim) -> Iterator[tuple[str, Sequence[str]]]:
    """Every field that names published values; `of`, `left` and `right` may name cells instead."""
    for field in ("published", "out_of"):
        if name := getattr(claim, field, None):
            yield field, [name]
    if isinstance(claim, ModelClaim | PageClaim):
        for field in ("of", "left", "right", "row"):
            yield field, getattr(claim, field, ())
        for index, pair in enumerate(getattr(claim, "comparisons", ())):
            yield f"comparisons[{index}].left", [pair.left]
            yield f"comparisons[{index}].right", [pair.right]


def _units_of(claim: Claim) -> Mapping[str, str]:
    """The units that follow from a claim, by field; see `_UNITS`."""
    claimed = claimed_by(claim)
    match claimed:
        case RatioClaim():
            return _RATIOS[claimed.form]
        case Score() | MeanScore():
            return {"published": validate_scores.unit_of(claimed)}
        case Parameters():
            return {"published": claimed.kind}
        case MeasuredDifference():
            return {"published": _unit_of_difference(claimed)}
        case ThroughputGain():
            return {"published": TIMES if claimed.statistic == "speed" else PERCENT}
    return _UNITS.get(type(claimed), {})


def _unit_of_difference(claimed: MeasuredDifference) -> str:
    if claimed.kind != "difference":
        return PERCENT
    if isinstance(claimed.left, Scores):
        return _difference_of(validate_scores.unit_of(claimed.left))
    return claimed.left.kind


def _is_rate(claim: Claim, units: Collection[str]) -> bool:
    """Whether a ratio is so much of one thing for each of another, e.g. tokens per step."""
    same = {_SAME.get(each, each) for each in units}
    return isinstance(claim, RatioClaim) and claim.form == "times" and len(same) > 1


def _difference_of(unit: str) -> str:
    """The unit of a difference of two values in some unit."""
    return POINTS if _is(unit, PERCENT) else unit


def _is(unit: str, expected: str) -> bool:
    """Whether a unit is the one that is expected."""
    same = _SAME.get(unit, unit)
    if expected == _COUNT:
        return same not in (POINTS, PERCENT, TIMES, PERPLEXITY)
    return same == expected


def _not_parallel(claim: Claim) -> Iterator[Wrong]:
    """A field that is not as long as another one."""
    if parallel := _PARALLEL.get(type(claim)):
        field, other = parallel
        found, wanted = len(getattr(claim, field)), len(getattr(claim, other))
        if found != wanted:
            yield field, f"{found} {field} for {wanted} {other}", "one for each"


def _misfits(claim: Claim) -> Iterator[Wrong]:
    """Fields of one claim that do not go together."""
    match claim:
        case MeanClaim():
            if claim.basis == "printed" and claim.margin is not None:
                yield "margin", claim.margin.value, "none: a printed mean is exact"
        case RatioClaim():
            wanted = 1 if claim.form in ("plain", "times-per-reduction") else 2
            if len(claim.of) != wanted:
                yield "of", plural(len(claim.of), "value"), f"{wanted} for the form {claim.form!r}"
        case OrderingClaim(basis="printed", relation="smaller-beyond-null"):
            yield "relation", claim.relation, "another one: no null divergence is printed"
        case ConcordanceClaim():
            if (claim.by == "spikes") != (claim.above is not None):
                yield "above", repr(claim.above), "a threshold with `by` spikes, null without"
        case FactClaim():
            if (claim.relation == "ratio") != bool(claim.published):
                expected = "a value with the relation ratio, null without"
                yield "published", repr(claim.published), expected


def _timed(claimed: object) -> Iterator[tuple[str, str, Sequence[str], Sequence[str]]]:
    """What a claim about throughput names: path up to it, a group, checkpoints, arms."""
    match claimed:
        case ThroughputGain():
            against = [claimed.against] if claimed.against else []
            sizes = [*claimed.checkpoints, *against]
            yield "measure.", claimed.group, sizes, [claimed.reference]
        case GrowingClaim():
            yield "", claimed.group, claimed.checkpoints, [claimed.reference]
        case FitsClaim():
            for index, run in enumerate(claimed.runs):
                yield f"runs[{index}].", run.group, [run.checkpoint], [run.arm]
