"""Names in a manifest's jobs that the catalog has to know: checkpoints, data, tasks, subjects."""

from collections.abc import Iterator
from typing import NamedTuple

from repro import catalog, nearest
from repro.expand import checkpoints_of
from repro.families import FAMILIES
from repro.job_groups import EvaluationGroup, Group, SingleJob, TuningGroup
from repro.jobs import StabilityJob, TuningJob
from repro.manifest import Manifest

Wrong = tuple[str, str, str]
"""Path inside the manifest, what was found there, what was expected."""

_MOST_SHOTS = 5
"""Solved examples that MMLU has of each subject."""


class _Named(NamedTuple):
    """A name, and what it has to be the name of."""

    where: str
    kind: str
    """A key of `_known`."""
    name: str


def problems_of(manifest: Manifest) -> Iterator[Wrong]:
    """Names that the catalog lacks, each with the nearest that it has and where they stand."""
    known: dict[str, tuple[list[str], str]] = {}
    for index, group in enumerate(manifest.jobs):
        for where, kind, name in _named(group):
            if kind not in known:  # a file of the catalog is read if something of it is named
                known[kind] = _known(kind)
            names, advice = known[kind]
            if name not in names:
                expected = f"{nearest.one_of(name, names)}; {advice}"
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
            expected = f"of the family mamba: {nearest.one_of(job.checkpoint, mambas)}"
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
    return list(FAMILIES), "repro/families.py has them"


def _named(group: Group) -> Iterator[_Named]:
    """Names in one group; paths inside it."""
    if isinstance(group, SingleJob):
        name = getattr(group.job, "checkpoint", None)
        if name is not None:
            yield _Named("job.checkpoint", "checkpoint", name)
        if isinstance(group.job, TuningJob):
            yield _Named("job.recipe.data", "instruction data", group.job.recipe.data)
        return
    inner = "" if isinstance(group, EvaluationGroup) else ".checkpoint"
    for index, name in enumerate(checkpoints_of(group)):
        yield _Named(f"checkpoints[{index}]{inner}", "checkpoint", name)
    if isinstance(group, TuningGroup):
        yield _Named("recipe.data", "instruction data", group.recipe.data)
        for index, each in enumerate(group.questions):
            yield _Named(f"questions[{index}].task", "task", each.task)
    if isinstance(group, EvaluationGroup):
        yield _Named("task", "task", group.task)
    if isinstance(group, EvaluationGroup | TuningGroup):
        yield from _named_by_tiers(group)


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


def _named_by_tiers(group: EvaluationGroup | TuningGroup) -> Iterator[_Named]:
    for tier, spec in group.tiers.items():
        for index, subject in enumerate(spec.subjects):
            yield _Named(f"tiers.{tier}.subjects[{index}]", "subject of MMLU", subject)
        for family, twin in spec.stand_ins.items():
            yield _Named(f"tiers.{tier}.stand_ins", "family", family)
            yield _Named(f"tiers.{tier}.stand_ins.{family}", "checkpoint", twin)
    if isinstance(group, TuningGroup):
        for tier, of_tuning in group.tiers.items():
            if of_tuning.smaller:
                where = f"tiers.{tier}.smaller.data"
                yield _Named(where, "instruction data", of_tuning.smaller.data)
