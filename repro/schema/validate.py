"""What matches the schema of a manifest and still makes no sense: ids, and the groups of its jobs.

`validate_claims` has the claims. Every problem is told at once, each with its path.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path

from repro import paths
from repro import paths as bundle
from repro.errors import BadInputError, Problem
from repro.schema import catalog, paper, reading
from repro.schema.families import FAMILIES
from repro.schema.groups import (
    EvaluationGroup,
    Group,
    GroupRecipe,
    SingleJob,
    ThroughputGroup,
    TuningGroup,
    TuningTier,
)
from repro.schema.jobs import Setting, StabilityJob, TuningJob
from repro.schema.manifest import Manifest
from repro.schema.reading import Wrong
from repro.schema.slots import checkpoints_of
from repro.schema.validate_claims import ClaimSense
from repro.text import known_names, plural

MIN_SETTINGS = 7
"""Settings that tier full needs: fewer give no spread to decide by. Two kernels are among them, so
that what another machine changes can be measured."""


def problems_of(manifest: Manifest, name: str) -> Iterator[Wrong]:
    """Everything wrong with a manifest whose file is called `<name>.json`."""
    if manifest.id != name:
        yield "id", repr(manifest.id), f"the file's name, {name!r}"
    about = paper.load()
    if about and about.id == manifest.paper.id and manifest.paper.version not in about.versions:
        found, known = manifest.paper.version, about.versions
        yield "paper.version", repr(found), f"{known_names(found, known)}, as {paths.PAPER} lists"
    for field in ("published", "settings", "jobs", "claims"):
        ids = (repr(member.id) for member in getattr(manifest, field))
        yield from _repeated(field, ids, "the id ", "each id once")
    yield from unknown_names(manifest)
    yield from _asked_twice(manifest)
    for index, group in enumerate(manifest.jobs):
        yield from _below(f"jobs[{index}]", _misfits(manifest, group))
    sense = ClaimSense(manifest)
    for index, claim in enumerate(manifest.claims):
        yield from _below(f"claims[{index}]", sense.problems(claim))


def _below(path: str, problems: Iterable[Wrong]) -> Iterator[Wrong]:
    """Problems of a part of the manifest, by their path in the whole."""
    return ((f"{path}.{where}", found, expected) for where, found, expected in problems)


def _repeated(
    field: str, members: Iterable[str], noun: str = "", expected: str = "each once"
) -> Iterator[Wrong]:
    """Members that stand twice."""
    for each, times in Counter(members).items():
        if times > 1:
            yield field, f"{noun}{each} {times} times", expected


# -----------------------------------------------------------------------------
# Names in a manifest's jobs that the catalog has to know: checkpoints, data, tasks, subjects.

_KNOWN: Mapping[str, tuple[Callable[[], Collection[str]], str]] = {
    "checkpoint": (
        catalog.checkpoints,
        "`checkpoints` of catalog/checkpoints.json has them, docs/researcher.md adds one",
    ),
    "instruction data": (
        catalog.instructions,
        "`instructions` of catalog/datasets.json has them, docs/researcher.md adds some",
    ),
    "task": (
        catalog.question_sets,
        "catalog/datasets.json has them, `repro task` prints the entry of another one",
    ),
    "subject of MMLU": (
        lambda: [name for each in catalog.datasets().values() for name in each.subjects],
        "`subjects` of mmlu in catalog/datasets.json has them",
    ),
    "family": (lambda: FAMILIES, "repro/schema/families.py has them"),
}
"""What a name is the name of, to all names of that kind and where they stand."""


def unknown_names(manifest: Manifest) -> Iterator[Wrong]:
    """Names that the catalog lacks, each with the nearest that it has and where they stand."""
    known: dict[str, Collection[str]] = {}
    for index, group in enumerate(manifest.jobs):
        for where, kind, name in _names(group):
            every, advice = _KNOWN[kind]
            if kind not in known:  # a file of the catalog is read if something of it is named
                known[kind] = every()
            if name not in known[kind]:
                expected = f"{known_names(name, known[kind])}; {advice}"
                yield f"jobs[{index}].{where}", f"{name!r}, which is no known {kind}", expected


def _names(group: Group) -> Iterator[tuple[str, str, str]]:
    """Names in one group: path inside it, a key of `_KNOWN`, the name."""
    if isinstance(group, SingleJob):
        name = getattr(group.job, "checkpoint", None)
        if name is not None:
            yield "job.checkpoint", "checkpoint", name
        if isinstance(group.job, TuningJob):
            yield "job.recipe.data", "instruction data", group.job.recipe.data
        return
    inner = "" if isinstance(group, EvaluationGroup) else ".checkpoint"
    for index, name in enumerate(checkpoints_of(group)):
        yield f"checkpoints[{index}]{inner}", "checkpoint", name
    if isinstance(group, ThroughputGroup):
        return
    if isinstance(group, EvaluationGroup):
        yield "task", "task", group.task
    else:
        yield "recipe.data", "instruction data", group.recipe.data
        for index, each in enumerate(group.questions):
            yield f"questions[{index}].task", "task", each.task
    yield from _names_by_tiers(group)


def _names_by_tiers(group: EvaluationGroup | TuningGroup) -> Iterator[tuple[str, str, str]]:
    for tier, spec in group.tiers.items():
        for index, subject in enumerate(spec.subjects):
            yield f"tiers.{tier}.subjects[{index}]", "subject of MMLU", subject
        for family, twin in spec.stand_ins.items():
            yield f"tiers.{tier}.stand_ins", "family", family
            yield f"tiers.{tier}.stand_ins.{family}", "checkpoint", twin
        if isinstance(spec, TuningTier) and spec.smaller:
            yield f"tiers.{tier}.smaller.data", "instruction data", spec.smaller.data


# -----------------------------------------------------------------------------
# Fields of a group that do not go together, or that the catalog's entries do not allow.

_MOST_SHOTS = 5
"""Solved examples that MMLU has of each subject."""


def _misfits(manifest: Manifest, group: Group) -> Iterator[Wrong]:
    """What is wrong with one group whose names are known; paths inside it."""
    if isinstance(group, SingleJob):
        yield from _not_rolled_out(group)
    elif isinstance(group, ThroughputGroup):
        yield from _repeated("checkpoints", (each.checkpoint for each in group.checkpoints))
        yield from _repeated("arms", (each.id for each in group.arms))
        yield from _repeated("memory_caps", (f"{cap:g}" for cap in group.memory_caps))
    else:
        yield from _shots(group)
        if isinstance(group, EvaluationGroup):
            yield from _misfits_of_evaluation(group)
        settings = [setting.id for setting in manifest.settings]
        for tier, spec in group.tiers.items():
            at = f"tiers.{tier}.settings"
            for name in spec.settings:
                if name not in settings:
                    yield at, f"{name!r}, which is not defined", known_names(name, settings)
            count = len(set(spec.settings))
            if tier == "full" and count < MIN_SETTINGS:
                yield at, plural(count, "setting"), f"at least {MIN_SETTINGS}"
            kernels = {_kernel(each) for each in manifest.settings if each.id in spec.settings}
            if tier == "full" and len(kernels) == 1:
                yield at, "one kernel", "two, of attention or of Mamba's scan"
        if isinstance(group, TuningGroup):
            yield from _misfits_of_tuning(group)


def _kernel(setting: Setting) -> tuple[str, ...]:
    return setting.attention_float32, setting.attention_half, setting.mamba_path


def _not_rolled_out(group: SingleJob) -> Iterator[Wrong]:
    """Trained layers that a stability job cannot roll out: those of Mamba are what it can."""
    if isinstance(group.job, StabilityJob) and group.job.checkpoint:
        name, known = group.job.checkpoint, catalog.checkpoints()
        if name in known and known[name].family != "mamba":
            mambas = [other for other, each in known.items() if each.family == "mamba"]
            found = f"{name!r}, of the family {known[name].family}"
            yield "job.checkpoint", found, f"of the family mamba: {known_names(name, mambas)}"


def _shots(group: EvaluationGroup | TuningGroup) -> Iterator[Wrong]:
    """More solved examples than a task has."""
    asked = (
        {"shots": (group.task, group.shots)}
        if isinstance(group, EvaluationGroup)
        else {
            f"questions[{index}].shots": (each.task, each.shots)
            for index, each in enumerate(group.questions)
        }
    )
    for where, (task, shots) in asked.items():
        known = catalog.question_sets().get(task)
        for index, count in enumerate(shots):
            at, found = f"{where}[{index}]", f"{count} solved examples"
            if isinstance(known, catalog.Dataset) and count > _MOST_SHOTS:
                yield at, found, f"at most {_MOST_SHOTS}: MMLU has no more"
            elif isinstance(known, catalog.Benchmark) and count and not known.shot_characters:
                yield at, found, f"0: the data of {task} has no rows for solved examples"


def _misfits_of_evaluation(group: EvaluationGroup) -> Iterator[Wrong]:
    """Subjects of what has none, or none of MMLU."""
    for tier, spec in group.tiers.items():
        at = f"tiers.{tier}"
        if (group.task == catalog.MMLU) != bool(spec.subjects):
            found = plural(len(spec.subjects), "subject")
            yield f"{at}.subjects", found, f"some with the task {catalog.MMLU}, none without"
        if group.task == catalog.MMLU and spec.questions:
            yield f"{at}.questions", str(spec.questions), "null: MMLU is asked by whole subjects"
        if group.task == catalog.MMLU and not spec.rule:
            yield f"{at}.rule", "nothing", "how the subjects were chosen"
        if group.task != catalog.MMLU and spec.other_arms:
            yield f"{at}.other_arms", ", ".join(spec.other_arms), "none: they are run of MMLU"


def _asked_twice(manifest: Manifest) -> Iterator[Wrong]:
    """Evaluations of one checkpoint on one task in one dtype by two groups of one tier."""
    seen: dict[tuple[str, str, str, str], str] = {}
    for index, group in enumerate(manifest.jobs):
        if isinstance(group, EvaluationGroup):
            asked = [
                (name, group.task, dtype) for name in group.checkpoints for dtype in group.dtypes
            ]
        elif isinstance(group, TuningGroup) and group.pretrained:
            tasks = [(each.task, dtype) for each in group.questions for dtype in each.dtypes]
            tasks = [
                each for each in tasks if each[0] != catalog.MMLU
            ]  # whose slots have other names
            asked = [(row.checkpoint, *each) for row in group.checkpoints for each in tasks]
        else:
            continue
        for what, tier in product(dict.fromkeys(asked), group.tiers):
            first = seen.setdefault((*what, tier), group.id)
            if first != group.id and isinstance(group, EvaluationGroup):
                found = f"{' '.join(what)} at tier {tier}, which {first} asks too"
                yield f"jobs[{index}]", found, "each once"


def _misfits_of_tuning(group: TuningGroup) -> Iterator[Wrong]:
    """What is wrong with a tuning group alone."""
    yield from _repeated("arms", (arm.id for arm in group.arms), "the arm ", "each arm once")
    for name in group.left_open:
        if name not in GroupRecipe.model_fields:
            known = ", ".join(GroupRecipe.model_fields)
            yield "left_open", f"{name!r}", f"a field of the recipe: {known}"
    yield from _undefined_methods(group)
    for tier, spec in group.tiers.items():
        yield from _below(f"tiers.{tier}", _misfits_of_tier(group, spec))


def _undefined_methods(group: TuningGroup) -> Iterator[Wrong]:
    """Methods whose layers a family of the group does not name."""
    known = catalog.checkpoints()
    methods = dict.fromkeys(arm.method for arm in group.arms)
    for index, row in enumerate(group.checkpoints):
        if row.checkpoint not in known:
            continue  # `unknown_names` says so
        family = known[row.checkpoint].family
        layouts = FAMILIES[family].layouts.values()
        named = {
            "lora-w": any(each.lora_w for each in layouts),
            "lora-not-w": any(each.lora_w for each in layouts),
            "lora-sll": any(each.lora_sll for each in layouts),
        }
        for method in methods:
            if not named.get(method, True):
                found = f"{row.checkpoint}, a {family} model, with an arm {method}"
                yield f"checkpoints[{index}]", found, "a family whose layers for it are named"


def _misfits_of_tier(group: TuningGroup, spec: TuningTier) -> Iterator[Wrong]:
    """What is wrong with what one tier of a tuning group runs."""
    if len(spec.seeds) != len(spec.settings):
        seeds, settings = plural(len(spec.seeds), "seed"), plural(len(spec.settings), "setting")
        yield "seeds", f"{seeds} for {settings}", "one for each"
    first = group.arms[0]
    if first.precision not in spec.precisions:
        found = f"{', '.join(spec.precisions)} without {first.precision}"
        yield "precisions", found, f"that of the reference, {first.id}, among them"
    asked = [each.task for each in group.questions]
    for task in spec.tasks:
        if task not in asked:
            yield "tasks", f"{task!r}, which the group does not ask", f"of {', '.join(asked)}"
    if (catalog.MMLU in spec.tasks) != bool(spec.subjects):
        found = plural(len(spec.subjects), "subject")
        yield "subjects", found, "some with the task mmlu, none without"


# -----------------------------------------------------------------------------
# Reading manifests.


def load_manifest(path: Path) -> Manifest:
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
    for path in paths or sorted(bundle.bundle().manifests.glob("*.json")):
        try:
            found = load_manifest(path)
            bundled = bundle.bundle().manifests / f"{found.id}.json"
            own = paths and bundled.is_file() and not bundled.samefile(path)
            other = (bundled, load_manifest(bundled)) if own else loaded.get(found.id)
        except BadInputError as error:
            errors.append(f"{error}{_similar_files(path)}")
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
        at_hand = bundle.bundle()
        message = f"no manifest in {at_hand.manifests}"
        if not at_hand.paper.is_file():
            message += (
                f"; expected a bundle: start this command in a folder with {bundle.PAPER} and "
                "manifests/, or name one or a packet with --bundle"
            )
        raise BadInputError(message)
    return [each for _, each in loaded.values()]


def about_the_same(given: Iterable[Manifest]) -> list[Manifest]:
    """The bundle's manifests about the papers of some; all of them where none is given."""
    every = load_manifests([]) if any(bundle.bundle().manifests.glob("*.json")) else []
    about = {each.paper.id for each in given}
    return [each for each in every if not about or each.paper.id in about]


def _similar_files(path: Path) -> str:
    """What a file that is not there may have been, in words."""
    names = [each.stem for each in sorted(paths.bundle().manifests.glob("*.json"))]
    if os.path.exists(path) or not names:  # noqa: PTH110  # as above
        return ""
    return f"; expected a file, or the name of a manifest: {known_names(path.stem, names)}"
