"""What matches the schema of a claim about tuned models and still makes no sense."""

from collections import Counter
from collections.abc import Iterator, Sequence

from repro.schema import catalog
from repro.schema.claims import Claim, TunedClaim
from repro.schema.families import FAMILIES
from repro.schema.groups import GroupRecipe, SingleJob, TuningGroup, TuningTier
from repro.schema.jobs import TuningJob
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim
from repro.schema.tuned_claims import (
    BarsClaim,
    ImprovementClaim,
    ImprovementRatio,
    LearnsClaim,
    MeasuredWinsClaim,
    Score,
    TunedDivergence,
)
from repro.schema.tuned_slots import PRETRAINED, TunedModel, arm_name, group_of, models_of
from repro.text import counted, one_of

Wrong = tuple[str, str, str]
"""Path, what was found there, what was expected."""

BENCHMARKS = ("hellaswag", "piqa", "arc_easy", "arc_challenge", "winogrande")
"""What an improvement with shots is the mean over."""
SHOTS = (0, 1, 3, 5)
"""Shot counts that the improvement of a ratio needs, and a bar."""
_DTYPE = "float32"
"""Dtype that tuned models are compared in."""
_OTHERS = {"above-partner": 1, "below-all": 1, "highest": 1, "apart-highest": 2, "apart-lowest": 2}
"""Relations that compare with others, and how many of those they need."""
_SINGLE = ("highest", "apart-highest", "apart-lowest")


def claim_problems(manifest: Manifest, claim: Claim) -> Iterator[Wrong]:
    """What is wrong with one claim about tuned models; paths inside it."""
    if isinstance(claim, LearnsClaim):
        yield from _tunes_nothing(manifest, claim)
        return
    at, claimed = ("measure", claim.measure) if isinstance(claim, CellClaim) else ("of", claim)
    if not isinstance(claimed, TunedClaim | TunedDivergence | Score | ImprovementRatio):
        return
    models, lacking = models_of(claimed), set[TunedModel]()
    for model in dict.fromkeys(models):
        if group_of(manifest, model) is None:
            lacking.add(model)
            found = f"{model.checkpoint} as {model.arm}"
            what = "a checkpoint and arm that a tuning group of this manifest runs"
            yield at, found, f"{what}: {one_of(found, _tuned(manifest))}"
    if not lacking:
        for found, expected in (*_asked(manifest, claimed), *_settings(manifest, models)):
            yield at, found, expected
    yield from _shape(manifest, claimed)


def _tuned(manifest: Manifest) -> Iterator[str]:
    """Every checkpoint with every arm that it is run in."""
    for group in manifest.jobs:
        if isinstance(group, TuningGroup):
            arms = [arm_name(group, arm) for arm in group.arms]
            arms += [PRETRAINED] if group.pretrained else []
            yield from (f"{row.checkpoint} as {arm}" for row in group.checkpoints for arm in arms)


def _tunes_nothing(manifest: Manifest, claim: LearnsClaim) -> Iterator[Wrong]:
    """Single jobs that a claim about learning names and that are no fine-tuning."""
    for group in manifest.jobs:
        tunes = isinstance(group, SingleJob) and isinstance(group.job, TuningJob)
        if group.id in claim.jobs and not tunes:
            yield "jobs", f"{group.id!r}, which tunes nothing", "a single job that fine-tunes"


def _asked(
    manifest: Manifest, claimed: TunedClaim | TunedDivergence | Score | ImprovementRatio
) -> Iterator[tuple[str, str]]:
    """Questions that a claim needs and that its groups do not ask."""
    tasks, shots = _needed(claimed)
    groups = {}
    for model in models_of(claimed):
        found = group_of(manifest, model)
        assert found  # noqa: S101  # the caller saw to it
        groups[found[0].id] = found[0]
        first = arm_name(found[0], found[0].arms[0])
        if isinstance(claimed, TunedDivergence | BarsClaim) and found[1] == first:
            yield f"{model.arm}, the reference itself", "another arm: nothing diverges from itself"
    for group in groups.values():
        for task in dict.fromkeys(tasks):
            if not any(
                each.task == task
                and each.of == "every-arm"
                and _DTYPE in each.dtypes
                and set(shots) <= set(each.shots)
                for each in group.questions
            ):
                wanted = f"{task} at {', '.join(map(str, shots))} shots in {_DTYPE}"
                yield f"nothing that {group.id} asks", f"{wanted}, asked of every arm"


def _needed(
    claimed: TunedClaim | TunedDivergence | Score | ImprovementRatio,
) -> tuple[Sequence[str], Sequence[int]]:
    """Tasks that a claim is about, and the shots of each."""
    if isinstance(claimed, TunedDivergence):
        return ["mmlu"], [0]
    if isinstance(claimed, BarsClaim):
        return [claimed.task], SHOTS
    if isinstance(claimed, Score):
        return [claimed.task], [0]
    if isinstance(claimed, MeasuredWinsClaim):
        return [column.task for column in claimed.columns], [0]
    if isinstance(claimed, ImprovementRatio):
        return BENCHMARKS, SHOTS
    return BENCHMARKS, [0, *claimed.shots]


def _settings(manifest: Manifest, models: Sequence[TunedModel]) -> Iterator[tuple[str, str]]:
    """Groups of one claim that a tier runs under different settings."""
    groups = {}
    for model in models:
        found = group_of(manifest, model)
        assert found  # noqa: S101  # the caller saw to it
        groups[found[0].id] = found[0]
    for tier in dict.fromkeys(tier for group in groups.values() for tier in group.tiers):
        specs = [group.tiers[tier] for group in groups.values() if tier in group.tiers]
        if len({(spec.settings, spec.seeds) for spec in specs}) > 1:
            expected = f"the same settings and seeds at tier {tier}"
            yield f"models of {', '.join(groups)}", expected


def _shape(
    manifest: Manifest, claimed: TunedClaim | TunedDivergence | Score | ImprovementRatio
) -> Iterator[Wrong]:
    """Fields of one claim that do not fit each other."""
    if isinstance(claimed, Score):
        yield from _metric("measure", claimed.task, claimed.metric)
    elif isinstance(claimed, ImprovementRatio) and len(claimed.left) != len(claimed.right):
        found = f"{len(claimed.left)} over {counted(len(claimed.right), 'model')}"
        yield "measure", found, "one a size each"
    elif isinstance(claimed, BarsClaim):
        compares = claimed.relation in ("smaller", "smaller-beyond-null")
        if compares == (claimed.above is not None):
            expected = "a threshold with none-above and some-above, null with smaller"
            yield "above", repr(claimed.above), expected
        if compares != bool(claimed.others):
            expected = "some with smaller, none with the other relations"
            yield "others", counted(len(claimed.others), "group"), expected
    elif isinstance(claimed, MeasuredWinsClaim):
        for index, column in enumerate(claimed.columns):
            yield from _metric(f"columns[{index}]", column.task, column.metric)
        pairs, texts = len(claimed.checkpoints) * len(claimed.columns), dict[str, str]()
        texts = {each.id: each.text for each in manifest.published}
        if texts.get(claimed.out_of, str(pairs)) != str(pairs):
            found = f"{counted(pairs, 'comparison')} for the printed {texts[claimed.out_of]}"
            yield "out_of", found, "checkpoints times columns"
    elif isinstance(claimed, ImprovementClaim):
        yield from _improvement(claimed)


def _metric(at: str, task: str, metric: str) -> Iterator[Wrong]:
    """A metric that lm-eval does not give of a task."""
    if (metric == "perplexity") > (task == "lambada_openai"):
        yield at, f"{metric} of {task}", "perplexity of lambada_openai alone"
    if metric == "accuracy_norm" and task in {"lambada_openai", "winogrande"}:
        yield at, f"{metric} of {task}", "accuracy: lm-eval has no acc_norm for it"


def _improvement(claim: ImprovementClaim) -> Iterator[Wrong]:
    """Models and shot counts that a relation cannot be asked of."""
    of, others = counted(len(claim.of), "model"), counted(len(claim.others), "model")
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


# -----------------------------------------------------------------------------
# What matches the schema of a tuning group and still makes no sense.


def group_problems(group: TuningGroup, least: int) -> Iterator[Wrong]:
    """What is wrong with one group; paths inside it.

    Args:
        group: The group.
        least: Settings that tier full needs.
    """
    for arm, times in Counter(arm.id for arm in group.arms).items():
        if times > 1:
            yield "arms", f"the arm {arm} {times} times", "each arm once"
    for name in group.left_open:
        if name not in GroupRecipe.model_fields:
            known = ", ".join(GroupRecipe.model_fields)
            yield "left_open", f"{name!r}", f"a field of the recipe: {known}"
    yield from _undefined_methods(group)
    for tier, spec in group.tiers.items():
        for field, found, expected in _tier_problems(group, spec):
            yield f"tiers.{tier}.{field}", found, expected
        settings = len(set(spec.settings))
        if tier == "full" and settings < least:
            yield "tiers.full.settings", counted(settings, "setting"), f"at least {least}"


def _undefined_methods(group: TuningGroup) -> Iterator[Wrong]:
    """Methods whose layers a family of the group does not name."""
    known = catalog.checkpoints()
    methods = dict.fromkeys(arm.method for arm in group.arms)
    for index, row in enumerate(group.checkpoints):
        if row.checkpoint not in known:
            continue  # `repro.schema.validate` says so
        family = known[row.checkpoint].family
        layouts = FAMILIES[family].layouts.values()
        lacking = set() if any(each.lora_w for each in layouts) else {"lora-w", "lora-not-w"}
        lacking |= set() if any(each.lora_sll for each in layouts) else {"lora-sll"}
        for method in methods:
            if method in lacking:
                found = f"{row.checkpoint}, a {family} model, with an arm {method}"
                yield f"checkpoints[{index}]", found, "a family whose layers for it are named"


def _tier_problems(group: TuningGroup, spec: TuningTier) -> Iterator[Wrong]:
    """What is wrong with what one tier runs."""
    if len(spec.seeds) != len(spec.settings):
        seeds, settings = counted(len(spec.seeds), "seed"), counted(len(spec.settings), "setting")
        yield "seeds", f"{seeds} for {settings}", "one for each"
    first = group.arms[0]
    if first.precision not in spec.precisions:
        found = f"{', '.join(spec.precisions)} without {first.precision}"
        yield "precisions", found, f"that of the reference, {first.id}, among them"
    asked = [each.task for each in group.questions]
    for task in spec.tasks:
        if task not in asked:
            yield "tasks", f"{task!r}, which the group does not ask", f"of {', '.join(asked)}"
    if ("mmlu" in spec.tasks) != bool(spec.subjects):
        found = counted(len(spec.subjects), "subject")
        yield "subjects", found, "some with the task mmlu, none without"
