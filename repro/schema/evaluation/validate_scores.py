"""What matches the schema of a claim about scores, or a difference, and still makes no sense.

Every path is one inside the claim.
"""

from collections.abc import Iterator

from repro.schema import catalog
from repro.schema.catalog import MMLU, Benchmark
from repro.schema.evaluation.asking import Asking, asking, askings
from repro.schema.groups import EvaluationGroup, TuningGroup
from repro.schema.manifest import Manifest
from repro.schema.reading import Wrong
from repro.schema.tuned_claims import (
    MeanScore,
    MeasuredDifference,
    Parameters,
    Quantity,
    Scores,
    Seconds,
    columns_of,
)
from repro.schema.tuned_slots import PRETRAINED, TunedModel, arm_name, model_of
from repro.text import known_names

Claimed = Scores | Parameters | MeasuredDifference


def problems_of(manifest: Manifest, claimed: Claimed) -> Iterator[Wrong]:
    """What is wrong with it beside the jobs of the manifest and the tasks of the catalog."""
    sides: dict[str, Quantity] = {}
    if isinstance(claimed, MeasuredDifference):
        sides = {"measure.left": claimed.left, "measure.right": claimed.right}
        yield from _unlike_sides(claimed)
    else:
        sides = {"measure": claimed}
    found: list[Asking] = []
    for at, one in sides.items():
        if isinstance(one, Scores):
            yield from _fields(at, one)
        for name, each in wanted(manifest, one).items():
            if each:
                found.append(each)
            else:
                what = "what a group of this manifest asks in every arm"
                yield at, name, f"{what}: {known_names(name, _every(manifest))}"
    yield from _other_settings(found)


def wanted(manifest: Manifest, quantity: Quantity) -> dict[str, Asking | None]:
    """What a quantity is measured by, in words, and the group that asks it."""
    model = model_of(quantity)
    named = " as ".join(model)
    match quantity:
        case Parameters():
            return {f"{named}, asked anything": next(askings(manifest, model), None)}
        case Seconds():
            found = asking(manifest, model, quantity.task, quantity.dtype)
            return {f"{named} on {quantity.task} in {quantity.dtype}": found}
    shots, dtype = quantity.shots, quantity.dtype
    return {
        f"{named} on {each.task} at {shots} shots in {dtype}": asking(
            manifest, model, each.task, dtype, shots
        )
        for each in columns_of(quantity)
    }


def _every(manifest: Manifest) -> list[str]:
    """Everything that some group asks every arm."""
    models: dict[TunedModel, None] = {}
    for group in manifest.jobs:
        if isinstance(group, TuningGroup):
            arms = [arm_name(group, arm) for arm in group.arms]
            arms += [PRETRAINED] if group.pretrained else []
            names = [row.checkpoint for row in group.checkpoints]
        elif isinstance(group, EvaluationGroup):
            names, arms = list(group.checkpoints), [PRETRAINED]
        else:
            continue
        models |= dict.fromkeys(TunedModel(name, arm) for name in names for arm in arms)
    return [str(each) for model in models for each in askings(manifest, model)]


def _fields(at: str, score: Scores) -> Iterator[Wrong]:
    """Fields of one score that do not go together, and metrics that its task does not have."""
    if (score.method is None) != (score.precision is None):
        found = f"method {score.method} with precision {score.precision}"
        yield at, found, "both, of a tuned model, or neither"
    if score.method is None and score.left_open is None:
        expected = (
            "what the paper leaves open of the evaluation (dtype, shots, metric, prompt, program), "
            "each in quotes; [] where it names them all"
        )
        yield f"{at}.left_open", "nothing", expected
    columns = columns_of(score)
    for place, each in enumerate(columns):
        here = f"{at}.columns[{place}]" if isinstance(score, MeanScore) else at
        yield from metric_problems(here, each.task, each.metric)
        if isinstance(score, MeanScore) and each.metric == "perplexity":
            yield here, "a perplexity", "accuracies: a mean has one unit"
        if each in columns[:place]:
            yield here, f"{each.metric} of {each.task} again", "each once"


def metric_problems(at: str, task: str, metric: str) -> Iterator[Wrong]:
    """A metric that lm-eval does not give of a task."""
    known = catalog.question_sets().get(task)
    metrics = known.metrics if isinstance(known, Benchmark) else ("accuracy",)
    if (known or task == MMLU) and metric not in metrics:
        yield at, f"{metric} of {task}", f"{' or '.join(metrics)}: lm-eval reports no other"


def _unlike_sides(claimed: MeasuredDifference) -> Iterator[Wrong]:
    """Sides that cannot be compared."""
    left, right = claimed.sides
    if left == right:
        yield "measure.right", "the left side again", "something else to compare it with"
    units = [_unit(each) for each in claimed.sides]
    if units[0] != units[1]:
        found = f"{units[1]}, and {units[0]} on the left side"
        yield "measure.right", found, "one unit: they are compared"


def _unit(quantity: Quantity) -> str:
    match quantity:
        case Parameters() | Seconds():
            return quantity.kind
    return unit_of(quantity)


def unit_of(score: Scores) -> str:
    """Percent, or perplexity."""
    perplexity = any(each.metric == "perplexity" for each in columns_of(score))
    return "perplexity" if perplexity else "percent"


def _other_settings(found: list[Asking]) -> Iterator[Wrong]:
    """Tiers that set groups of one claim apart: its sides are compared setting by setting."""
    groups = {each.group.id: each.group for each in found}
    for tier in dict.fromkeys(tier for group in groups.values() for tier in group.tiers):
        specs = [group.tiers[tier] for group in groups.values() if tier in group.tiers]
        seeds = {getattr(each, "seeds", None) for each in specs} - {None}
        if len({each.settings for each in specs}) > 1 or len(seeds) > 1:
            expected = f"the same settings and seeds at tier {tier}"
            yield "measure", f"models of {', '.join(groups)}", expected
