"""What matches the schema of a manifest and still makes no sense."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from repro import (
    catalog_names,
    nearest,
    throughput_sense,
    tuning_group_sense,
    tuning_sense,
    unit_sense,
)
from repro.claims import AmbiguousClaim, Claim, ModelClaim, PageClaim
from repro.fact_claims import FactClaim
from repro.job_groups import EvaluationGroup, SingleJob, ThroughputGroup, TuningGroup
from repro.layer_claims import TrendClaim
from repro.manifest import Manifest
from repro.model_claims import CellClaim, ConcordanceClaim, Divergence, MeanClaim, Unbuilt
from repro.page_claims import (
    BaselineClaim,
    RatioClaim,
    RepeatClaim,
    SamplingClaim,
    WinsClaim,
)
from repro.plural import counted
from repro.tuned_claims import MeasuredWinsClaim

MIN_SETTINGS = 5
"""Settings that tier full of an evaluation needs: fewer give no spread to decide by."""

Wrong = tuple[str, str, str]
"""Path inside the manifest, what was found there, what was expected."""


def problems_of(manifest: Manifest, name: str) -> list[Wrong]:
    """Everything wrong with a manifest whose file is called `<name>.json`."""
    found = [*_id_problems(manifest, name), *_group_problems(manifest)]
    found += catalog_names.problems_of(manifest)
    for index, claim in enumerate(manifest.claims):
        at = f"claims[{index}]"
        found += [(f"{at}.{field}", *two) for field, two in _fit_problems(manifest, claim)]
        for sense in (tuning_sense, throughput_sense, unit_sense):
            found += [(f"{at}.{w}", f, e) for w, f, e in sense.claim_problems(manifest, claim)]
    for at, known, names in _references(manifest):
        found += [
            (at, f"{each!r}, which is not defined", nearest.one_of(each, known))
            for each in names
            if each not in known
        ]
    return found


def _id_problems(manifest: Manifest, name: str) -> Iterator[Wrong]:
    """Ids that are not the file's name, or stand twice."""
    if manifest.id != name:
        yield "id", repr(manifest.id), f"the file's name, {name!r}"
    named: Sequence[tuple[str, Sequence[Any]]] = (
        ("published", manifest.published),
        ("settings", manifest.settings),
        ("jobs", manifest.jobs),
        ("claims", manifest.claims),
    )
    for field, members in named:
        for each, times in Counter(member.id for member in members).items():
            if times > 1:
                yield field, f"the id {each!r} {times} times", "each id once"


def _group_problems(manifest: Manifest) -> Iterator[Wrong]:
    """Groups whose full tier cannot be decided for want of settings, or whose fields do not fit."""
    for index, group in enumerate(manifest.jobs):
        if isinstance(group, EvaluationGroup) and "full" in group.tiers:
            settings = set(group.tiers["full"].settings)
            if len(settings) < MIN_SETTINGS:
                found = counted(len(settings), "setting")
                yield f"jobs[{index}].tiers.full.settings", found, f"at least {MIN_SETTINGS}"
        elif isinstance(group, TuningGroup):
            for where, found, expected in tuning_group_sense.group_problems(group, MIN_SETTINGS):
                yield f"jobs[{index}].{where}", found, expected
        elif isinstance(group, ThroughputGroup):
            for where, found, expected in throughput_sense.group_problems(group):
                yield f"jobs[{index}].{where}", found, expected


def _fit_problems(manifest: Manifest, claim: Claim) -> Iterator[tuple[str, tuple[str, str]]]:
    """Fields of one claim that do not fit each other or the jobs, with found and expected."""
    for field, other in _parallel(claim):
        found, wanted = len(getattr(claim, field)), len(getattr(claim, other))
        if found != wanted:
            yield field, (f"{found} {field} for {wanted} {other}", "one for each")
    if isinstance(claim, CellClaim) and isinstance(claim.measure, Divergence):
        measure = claim.measure
        if not _is_measured(manifest, measure):
            pair = f"{measure.checkpoint} in {measure.dtype} and {measure.reference}"
            yield "measure", (pair, _evaluated(manifest, measure.checkpoint))
    if isinstance(claim, MeanClaim) and (claim.basis == "measured") != (claim.margin is not None):
        given = claim.margin.value if claim.margin else "nothing"
        yield "margin", (given, "a margin if the basis is measured, none if it is printed")
    if isinstance(claim, RatioClaim):
        wanted = 1 if claim.form in ("plain", "times-per-reduction") else 2
        if len(claim.of) != wanted:
            yield "of", (counted(len(claim.of), "value"), f"{wanted} for the form {claim.form!r}")
    if isinstance(claim, ConcordanceClaim) and (claim.by == "spikes") != (claim.above is not None):
        yield "above", (repr(claim.above), "a threshold with `by` spikes, null without")
    if isinstance(claim, FactClaim) and (claim.relation == "ratio") != bool(claim.published):
        yield "published", (repr(claim.published), "a value with the relation ratio, null without")


def _parallel(claim: Claim) -> list[tuple[str, str]]:
    """Fields that have to be as long as another field."""
    if isinstance(claim, TrendClaim):
        return [("floors", "arrays")]
    if isinstance(claim, RepeatClaim | ConcordanceClaim):
        return [("right", "left")]
    return [("baseline", "row")] if isinstance(claim, BaselineClaim) else []


def _references(manifest: Manifest) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """Where names stand that have to be defined elsewhere: place, candidates, names."""
    settings = [setting.id for setting in manifest.settings]
    for index, group in enumerate(manifest.jobs):
        if isinstance(group, EvaluationGroup | TuningGroup):
            for tier, spec in group.tiers.items():
                yield f"jobs[{index}].tiers.{tier}.settings", settings, spec.settings
    for index, claim in enumerate(manifest.claims):
        for field, known, names in _claim_references(manifest, claim):
            yield f"claims[{index}].{field}", known, names


def _claim_references(
    manifest: Manifest, claim: Claim
) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """The same for one claim; paths inside the claim."""
    published = [value.id for value in manifest.published]
    yield "depends_on", list(manifest.packages), claim.depends_on
    singles = [group.id for group in manifest.jobs if isinstance(group, SingleJob)]
    yield "jobs", singles, getattr(claim, "jobs", ())
    name = getattr(claim, "published", None)
    yield "published", published, [name] if name else []
    if isinstance(claim, AmbiguousClaim):
        others = [each.id for each in manifest.claims if not isinstance(each, AmbiguousClaim)]
        yield "readings", others, claim.readings
    if isinstance(claim, MeasuredWinsClaim):
        yield "out_of", published, [claim.out_of]
    elif isinstance(claim, WinsClaim | SamplingClaim):
        yield "out_of", published, [claim.out_of] if isinstance(claim, WinsClaim) else []
        for number, pair in enumerate(claim.comparisons):
            yield f"comparisons[{number}]", published, [pair.left, pair.right]
    elif isinstance(claim, ModelClaim | PageClaim):
        cells = [
            each.id
            for each in manifest.claims
            if isinstance(each, CellClaim) and isinstance(each.measure, Divergence | Unbuilt)
        ]
        known = cells if getattr(claim, "basis", "printed") == "measured" else published
        for field in ("of", "left", "right", "row"):
            yield field, known, getattr(claim, field, ())


def _is_measured(manifest: Manifest, measure: Divergence) -> bool:
    wanted = {measure.dtype, measure.reference}
    return any(
        isinstance(group, EvaluationGroup)
        and measure.checkpoint in group.checkpoints
        and wanted <= set(group.dtypes)
        for group in manifest.jobs
    )


def _evaluated(manifest: Manifest, checkpoint: str) -> str:
    """What a divergence could be of, in words: the nearest checkpoint first."""
    runs: dict[str, list[str]] = {}
    for group in manifest.jobs:
        if isinstance(group, EvaluationGroup):
            for name in group.checkpoints:
                runs.setdefault(name, []).append(" and ".join(group.dtypes))
    what = "a checkpoint and dtypes that one evaluation of this manifest runs"
    if checkpoint in runs:
        return f"{what}: {checkpoint} in {'; or in '.join(runs[checkpoint])}"
    return f"{what}: {nearest.one_of(checkpoint, runs)}"
