"""What matches the schema of a claim about fine-tuned models and still makes no sense.

Every path is one inside the claim.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from repro.schema.claims import TunedClaim
from repro.schema.evaluation.validate_scores import metric_problems
from repro.schema.groups import SingleJob, TuningGroup
from repro.schema.jobs import TuningJob
from repro.schema.manifest import Manifest
from repro.schema.reading import Wrong
from repro.schema.tuned_claims import (
    BarsClaim,
    ImprovementClaim,
    ImprovementRatio,
    LearnsClaim,
    MeasuredWinsClaim,
    ScoreColumn,
    TunedDivergence,
)
from repro.schema.tuned_slots import PRETRAINED, arm_name, group_of, models_of
from repro.text import known_names, plural

SHOTS = (0, 1, 3, 5)
"""Shot counts that the improvement of a ratio needs, and a bar."""
_DTYPE = "float32"
"""Dtype that tuned models are compared in."""
_OTHERS = {"above-partner": 1, "below-all": 1, "highest": 1, "apart-highest": 2, "apart-lowest": 2}
"""Relations of an improvement that compare with others, and how many of those they need."""
_SINGLE = ("highest", "apart-highest", "apart-lowest")

Tuned = TunedClaim | TunedDivergence | ImprovementRatio
"""What a claim, or a cell's measure, says of models after fine-tuning."""


def problems_of(manifest: Manifest, claimed: Tuned | LearnsClaim, at: str) -> Iterator[Wrong]:
    """What is wrong with it beside the jobs of the manifest.

    Args:
        manifest: Its groups tune the models.
        claimed: What is claimed of them.
        at: Field of the claim that names the models.
    """
    if isinstance(claimed, LearnsClaim):
        yield from _jobs_without_tuning(manifest, claimed)
        return
    models = dict.fromkeys(models_of(claimed))
    runs = {model: found for model in models if (found := group_of(manifest, model))}
    for model in models:
        if model not in runs:
            name = f"{model.checkpoint} as {model.arm}"
            what = "a checkpoint and arm that a tuning group of this manifest runs"
            yield at, name, f"{what}: {known_names(name, _tuned(manifest))}"
        elif isinstance(claimed, TunedDivergence | BarsClaim) and len(runs) == len(models):
            group, arm = runs[model]
            if arm == arm_name(group, group.arms[0]):
                expected = "another arm: nothing diverges from itself"
                yield at, f"{model.arm}, the reference itself", expected
    if len(runs) == len(models):
        groups = {group.id: group for group, _ in runs.values()}
        yield from ((at, *sides) for sides in _brings_nothing(groups, *_needed(claimed)))
    yield from _misfits(manifest, claimed)


def _jobs_without_tuning(manifest: Manifest, claim: LearnsClaim) -> Iterator[Wrong]:
    """Single jobs that a claim about learning names and that are no fine-tuning."""
    for group in manifest.jobs:
        tunes = isinstance(group, SingleJob) and isinstance(group.job, TuningJob)
        if group.id in claim.jobs and not tunes:
            yield "jobs", f"{group.id!r}, which tunes nothing", "a single job that fine-tunes"


def _tuned(manifest: Manifest) -> Iterator[str]:
    """Every checkpoint with every arm that it is run in."""
    for group in manifest.jobs:
        if isinstance(group, TuningGroup):
            arms = [arm_name(group, arm) for arm in group.arms]
            arms += [PRETRAINED] if group.pretrained else []
            yield from (f"{row.checkpoint} as {arm}" for row in group.checkpoints for arm in arms)


def _brings_nothing(
    groups: Mapping[str, TuningGroup], tasks: Iterable[str], shots: Sequence[int]
) -> Iterator[tuple[str, str]]:
    """Questions that groups of one claim do not ask, and tiers that set them apart."""
    for group in groups.values():
        for task in dict.fromkeys(tasks):
            if not _asks(group, task, shots):
                wanted = f"{task} at {', '.join(map(str, shots))} shots in {_DTYPE}"
                yield f"nothing that {group.id} asks", f"{wanted}, asked of every arm"
    for tier in dict.fromkeys(tier for group in groups.values() for tier in group.tiers):
        specs = [group.tiers[tier] for group in groups.values() if tier in group.tiers]
        if len({(spec.settings, spec.seeds) for spec in specs}) > 1:
            expected = f"the same settings and seeds at tier {tier}"
            yield f"models of {', '.join(groups)}", expected


def _needed(claimed: Tuned) -> tuple[Sequence[str], Sequence[int]]:
    """Tasks that a claim is about, and the shots of each."""
    match claimed:
        case TunedDivergence():
            return ["mmlu"], [0]
        case BarsClaim():
            return [claimed.task], SHOTS
        case MeasuredWinsClaim():
            return [column.task for column in claimed.columns], [0]
        case ImprovementRatio():
            return [each.task for each in claimed.benchmarks], SHOTS
        case ImprovementClaim():
            return [each.task for each in claimed.benchmarks], [0, *claimed.shots]


def _asks(group: TuningGroup, task: str, shots: Sequence[int]) -> bool:
    """Whether a group asks a task at these shots of every arm, in the dtype that is compared."""
    return any(
        each.task == task
        and each.of == "every-arm"
        and _DTYPE in each.dtypes
        and set(shots) <= set(each.shots)
        for each in group.questions
    )


def _misfits(manifest: Manifest, claimed: Tuned) -> Iterator[Wrong]:
    """Fields that do not go together."""
    if isinstance(claimed, ImprovementRatio | ImprovementClaim):
        at = "measure.benchmarks" if isinstance(claimed, ImprovementRatio) else "benchmarks"
        yield from _misfits_of_benchmarks(at, claimed.benchmarks)
    match claimed:
        case ImprovementRatio():
            if len(claimed.left) != len(claimed.right):
                found = f"{len(claimed.left)} over {plural(len(claimed.right), 'model')}"
                yield "measure", found, "one a size each"
        case BarsClaim():
            yield from _bars(claimed)
        case MeasuredWinsClaim():
            for index, column in enumerate(claimed.columns):
                yield from metric_problems(f"columns[{index}]", column.task, column.metric)
            pairs = len(claimed.checkpoints) * len(claimed.columns)
            for each in manifest.published:
                if each.id == claimed.out_of and each.text != str(pairs):
                    found = f"{plural(pairs, 'comparison')} for the printed {each.text}"
                    yield "out_of", found, "checkpoints times columns"
        case ImprovementClaim():
            yield from _improvement_problems(claimed)


def _misfits_of_benchmarks(at: str, columns: Sequence[ScoreColumn]) -> Iterator[Wrong]:
    """Columns that an improvement cannot be the mean over."""
    for place, each in enumerate(columns):
        here = f"{at}[{place}]"
        yield from metric_problems(here, each.task, each.metric)
        if each.metric == "perplexity":
            yield here, "a perplexity", "accuracies: an improvement is in right answers"
        if each.task in [other.task for other in columns[:place]]:
            yield here, f"{each.task} again", "each task once"


def _bars(claim: BarsClaim) -> Iterator[Wrong]:
    """A threshold, or groups to compare with, that a relation does not take."""
    compares = claim.relation in ("smaller", "smaller-beyond-null")
    if compares == (claim.above is not None):
        expected = "a threshold with none-above and some-above, null with smaller"
        yield "above", repr(claim.above), expected
    if compares != bool(claim.others):
        expected = "some with smaller, none with the other relations"
        yield "others", plural(len(claim.others), "group"), expected


def _improvement_problems(claim: ImprovementClaim) -> Iterator[Wrong]:
    """Models and shot counts that a relation cannot be asked of."""
    of, others = plural(len(claim.of), "model"), plural(len(claim.others), "model")
    least = _OTHERS.get(claim.relation, 0)
    if len(claim.others) < least or (claim.others and not least):
        expected = f"at least {least}" if least else "none"
        yield "others", f"{others} for {claim.relation}", expected
    elif claim.relation == "above-partner" and len(claim.others) != len(claim.of):
        yield "others", f"{others} for {len(claim.of)}", "a partner for each"
    if claim.relation in _SINGLE and len(claim.of) != 1:
        yield "of", f"{of} for {claim.relation}", "one"
    if claim.relation == "not-monotone" and len(claim.of) < 3:  # noqa: PLR2004
        yield "of", f"{of} for {claim.relation}", "three: two are always monotone"
    rising = all(a < b for a, b in zip((0, *claim.shots), claim.shots, strict=False))
    if not claim.shots or not rising:
        yield "shots", f"{list(claim.shots)}", "shot counts in rising order"
