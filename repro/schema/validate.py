"""What matches the schema of a manifest and still makes no sense."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from repro import paths
from repro import paths as bundle
from repro.errors import BadInputError, Problem
from repro.schema import catalog, reading, validate_tuning, validate_units
from repro.schema.claims import AmbiguousClaim, Claim, ModelClaim, PageClaim
from repro.schema.families import FAMILIES
from repro.schema.groups import EvaluationGroup, Group, SingleJob, ThroughputGroup, TuningGroup
from repro.schema.jobs import StabilityJob, TuningJob
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import (
    CellClaim,
    ConcordanceClaim,
    Divergence,
    FitsClaim,
    GrowingClaim,
    MeanClaim,
    OrderingClaim,
    Throughput,
    TrendClaim,
    Unbuilt,
)
from repro.schema.page_claims import (
    BaselineClaim,
    FactClaim,
    RatioClaim,
    RepeatClaim,
    SamplingClaim,
    WinsClaim,
)
from repro.schema.slots import checkpoints_of
from repro.schema.tuned_claims import MeasuredWinsClaim
from repro.text import counted, one_of

MIN_SETTINGS = 5
"""Settings that tier full of an evaluation needs: fewer give no spread to decide by."""

Wrong = tuple[str, str, str]
"""Path inside the manifest, what was found there, what was expected."""


def problems_of(manifest: Manifest, name: str) -> list[Wrong]:
    """Everything wrong with a manifest whose file is called `<name>.json`."""
    found = [*_id_problems(manifest, name), *_group_problems(manifest)]
    found += unknown_names(manifest)
    for index, claim in enumerate(manifest.claims):
        at = f"claims[{index}]"
        found += [(f"{at}.{field}", *two) for field, two in _fit_problems(manifest, claim)]
        for sense in (
            validate_tuning.claim_problems,
            throughput_claim_problems,
            validate_units.claim_problems,
        ):
            found += [(f"{at}.{w}", f, e) for w, f, e in sense(manifest, claim)]
    for at, known, names in _references(manifest):
        found += [
            (at, f"{each!r}, which is not defined", one_of(each, known))
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
            for where, found, expected in validate_tuning.group_problems(group, MIN_SETTINGS):
                yield f"jobs[{index}].{where}", found, expected
        elif isinstance(group, ThroughputGroup):
            for where, found, expected in throughput_group_problems(group):
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
    yield from _basis_problems(claim)
    if isinstance(claim, RatioClaim):
        wanted = 1 if claim.form in ("plain", "times-per-reduction") else 2
        if len(claim.of) != wanted:
            yield "of", (counted(len(claim.of), "value"), f"{wanted} for the form {claim.form!r}")
    if isinstance(claim, ConcordanceClaim) and (claim.by == "spikes") != (claim.above is not None):
        yield "above", (repr(claim.above), "a threshold with `by` spikes, null without")
    if isinstance(claim, FactClaim) and (claim.relation == "ratio") != bool(claim.published):
        yield "published", (repr(claim.published), "a value with the relation ratio, null without")


def _basis_problems(claim: Claim) -> Iterator[tuple[str, tuple[str, str]]]:
    """Fields that only a measured basis has a use for, or only a printed one."""
    if isinstance(claim, MeanClaim) and (claim.basis == "measured") != (claim.margin is not None):
        given = claim.margin.value if claim.margin else "nothing"
        yield "margin", (given, "a margin if the basis is measured, none if it is printed")
    beyond = ("printed", "smaller-beyond-null")
    if isinstance(claim, OrderingClaim) and (claim.basis, claim.relation) == beyond:
        yield "relation", (claim.relation, "another one: no null divergence is printed")


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
    return f"{what}: {one_of(checkpoint, runs)}"


# -----------------------------------------------------------------------------
# Names in a manifest's jobs that the catalog has to know: checkpoints, data, tasks, subjects.

_MOST_SHOTS = 5
"""Solved examples that MMLU has of each subject."""


class _Name(NamedTuple):
    """A name, and what it has to be the name of."""

    where: str
    kind: str
    """A key of `_known`."""
    name: str


def unknown_names(manifest: Manifest) -> Iterator[Wrong]:
    """Names that the catalog lacks, each with the nearest that it has and where they stand."""
    known: dict[str, tuple[list[str], str]] = {}
    for index, group in enumerate(manifest.jobs):
        for where, kind, name in _names(group):
            if kind not in known:  # a file of the catalog is read if something of it is named
                known[kind] = _known(kind)
            names, advice = known[kind]
            if name not in names:
                expected = f"{one_of(name, names)}; {advice}"
                yield f"jobs[{index}].{where}", f"{name!r}, which is no known {kind}", expected
        for where, found, expected in _other_families(group):
            yield f"jobs[{index}].{where}", found, expected
        for where, shots in _shots(group):
            if shots > _MOST_SHOTS:
                found = f"{shots} solved examples"
                yield f"jobs[{index}].{where}", found, f"at most {_MOST_SHOTS}: MMLU has no more"


def _other_families(group: Group) -> Iterator[Wrong]:
    """Trained layers that a stability job cannot roll out: those of Mamba are what it can."""
    job = group.job if isinstance(group, SingleJob) else None
    if isinstance(job, StabilityJob) and job.checkpoint:
        known = catalog.checkpoints().get(job.checkpoint)
        if known and known.family != "mamba":
            found = f"{job.checkpoint!r}, of the family {known.family}"
            mambas = [
                name for name, each in catalog.checkpoints().items() if each.family == "mamba"
            ]
            expected = f"of the family mamba: {one_of(job.checkpoint, mambas)}"
            yield "job.checkpoint", found, expected


def _known(kind: str) -> tuple[list[str], str]:
    """Every name of a kind, and where it stands."""
    if kind == "checkpoint":
        at = "`checkpoints` of catalog/checkpoints.json"
        return list(catalog.checkpoints()), f"{at} has them, docs/researcher.md adds one"
    if kind == "instruction data":
        at = "`instructions` of catalog/datasets.json"
        return list(catalog.instructions()), f"{at} has them, docs/researcher.md adds some"
    if kind == "task":
        return list(catalog.asked()), "catalog/datasets.json has them"
    if kind == "subject of MMLU":
        mmlu = catalog.datasets().get("mmlu")
        subjects = list(mmlu.subjects) if mmlu else []
        return subjects, "`subjects` of mmlu in catalog/datasets.json has them"
    return list(FAMILIES), "repro/schema/families.py has them"


def _names(group: Group) -> Iterator[_Name]:
    """Names in one group; paths inside it."""
    if isinstance(group, SingleJob):
        name = getattr(group.job, "checkpoint", None)
        if name is not None:
            yield _Name("job.checkpoint", "checkpoint", name)
        if isinstance(group.job, TuningJob):
            yield _Name("job.recipe.data", "instruction data", group.job.recipe.data)
        return
    inner = "" if isinstance(group, EvaluationGroup) else ".checkpoint"
    for index, name in enumerate(checkpoints_of(group)):
        yield _Name(f"checkpoints[{index}]{inner}", "checkpoint", name)
    if isinstance(group, TuningGroup):
        yield _Name("recipe.data", "instruction data", group.recipe.data)
        for index, each in enumerate(group.questions):
            yield _Name(f"questions[{index}].task", "task", each.task)
    if isinstance(group, EvaluationGroup):
        yield _Name("task", "task", group.task)
    if isinstance(group, EvaluationGroup | TuningGroup):
        yield from _names_by_tiers(group)


def _shots(group: Group) -> Iterator[tuple[str, int]]:
    """Numbers of solved examples of MMLU that a group asks for, each with its place."""
    if isinstance(group, EvaluationGroup):
        asked = {"shots": group.shots}
    elif isinstance(group, TuningGroup):
        asked = {
            f"questions[{index}].shots": each.shots
            for index, each in enumerate(group.questions)
            if each.task == "mmlu"
        }
    else:
        return
    for where, shots in asked.items():
        yield from ((f"{where}[{index}]", each) for index, each in enumerate(shots))


def _names_by_tiers(group: EvaluationGroup | TuningGroup) -> Iterator[_Name]:
    for tier, spec in group.tiers.items():
        for index, subject in enumerate(spec.subjects):
            yield _Name(f"tiers.{tier}.subjects[{index}]", "subject of MMLU", subject)
        for family, twin in spec.stand_ins.items():
            yield _Name(f"tiers.{tier}.stand_ins", "family", family)
            yield _Name(f"tiers.{tier}.stand_ins.{family}", "checkpoint", twin)
    if isinstance(group, TuningGroup):
        for tier, of_tuning in group.tiers.items():
            if of_tuning.smaller:
                where = f"tiers.{tier}.smaller.data"
                yield _Name(where, "instruction data", of_tuning.smaller.data)


# -----------------------------------------------------------------------------
# What matches the schema of throughput groups and claims about them, and still makes no sense.

_Arms = tuple[str, str, Sequence[str], Sequence[str]]
"""Path, a group, checkpoints and arms of it."""


def throughput_group_problems(group: ThroughputGroup) -> Iterator[Wrong]:
    """What is wrong with one group; paths inside it."""
    named = {
        "checkpoints": [each.checkpoint for each in group.checkpoints],
        "arms": [each.id for each in group.arms],
        "memory_caps": [f"{cap:g}" for cap in group.memory_caps],
    }
    for field, members in named.items():
        for each, times in Counter(members).items():
            if times > 1:
                yield field, f"{each} {times} times", "each once"


def throughput_claim_problems(manifest: Manifest, claim: Claim) -> Iterator[Wrong]:
    """Groups, checkpoints and arms that a claim names and the manifest does not have."""
    groups = {each.id: each for each in manifest.jobs if isinstance(each, ThroughputGroup)}
    for where, name, checkpoints, arms in _arms_of(claim):
        group = groups.get(name)
        if group is None:
            known = ", ".join(groups) or "none is defined"
            yield f"{where}group", f"{name!r}, which is no throughput group", f"one of: {known}"
            continue
        sizes = [each.checkpoint for each in group.checkpoints]
        yield from _unknown(f"{where}checkpoints", checkpoints, sizes)
        yield from _unknown(f"{where}arms", arms, [each.id for each in group.arms])


def _arms_of(claim: Claim) -> Iterator[_Arms]:
    """What a claim names, each with the path up to it."""
    if isinstance(claim, CellClaim) and isinstance(claim.measure, Throughput):
        wanted = claim.measure
        against = [wanted.against] if wanted.against else []
        yield "measure.", wanted.group, [*wanted.checkpoints, *against], [wanted.reference]
    elif isinstance(claim, GrowingClaim):
        yield "", claim.group, claim.checkpoints, [claim.reference]
    elif isinstance(claim, FitsClaim):
        for index, run in enumerate(claim.runs):
            yield f"runs[{index}].", run.group, [run.checkpoint], [run.arm]


def _unknown(where: str, names: Sequence[str], known: Sequence[str]) -> Iterator[Wrong]:
    for name in names:
        if name not in known:
            yield where, f"{name!r}, which the group does not run", f"one of: {', '.join(known)}"


def load(path: Path) -> Manifest:
    """Read and check one manifest.

    Raises:
        BadInputError: with every problem of the file, if it cannot be used.
    """
    advice = "Nothing was run or written."
    return reading.load(
        path, "manifest", Manifest, advice, lambda found: problems_of(found, path.stem)
    )


def load_manifests(paths: list[Path]) -> list[Manifest]:
    """Every manifest, each once; by default the bundle's.

    Raises:
        BadInputError: with every problem of all of them. Two that differ have one id: results are
            kept by it, and would be judged by the other.
    """
    loaded: dict[str, tuple[Path, Manifest]] = {}
    errors = []
    for path in paths or sorted(bundle.MANIFESTS.glob("*.json")):
        try:
            found = load(path)
            bundled = bundle.MANIFESTS / f"{found.id}.json"
            own = paths and bundled.is_file() and not bundled.samefile(path)
            other = (bundled, load(bundled)) if own else loaded.get(found.id)
        except BadInputError as error:
            errors.append(f"{error}{_near(path)}")
            continue
        if other is not None and other[1] != found:
            what = "the bundle's own" if own else "another manifest"
            problem = Problem(
                f"{path}: $.id",
                f"{found.id!r}, as of {other[0]}",
                "an id and a file name of its own",
            )
            errors.append(str(BadInputError(f"{path} has the name of {what}", [problem])))
        else:
            loaded.setdefault(found.id, (path, found))
    if errors:
        raise BadInputError("\n".join(dict.fromkeys(errors)))  # the catalog's once
    if not loaded:
        message = f"no manifest in {bundle.MANIFESTS}"
        raise BadInputError(message)
    return [each for _, each in loaded.values()]


def _near(path: Path) -> str:
    """What a file that is not there may have been, in words."""
    names = [each.stem for each in sorted(paths.MANIFESTS.glob("*.json"))]
    if os.path.exists(path) or not names:  # noqa: PTH110  # as above
        return ""
    return f"; expected a file, or the name of a manifest: {one_of(path.stem, names)}"
