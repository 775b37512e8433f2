"""Evaluations of tuned models under every setting, and what a divergence of them stands beside.

A model is a checkpoint and an arm: `<method>.<precision>`, or `pretrained`. The reference of a
divergence is the first arm of its tuning group under the same setting and so the same seed. All
are evaluated in float32. What differs between two settings of one arm is the seed of the tuning
as well as how the questions were batched: the null divergence is that between tunings.

Reference: paper v2, section 5.1, of MMLU; v3 has WinoGrande as well. The paper names neither seed
nor dtype of the evaluations.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise

from repro.schema.causes import Cause, Estimate, cause
from repro.schema.evaluation.asking import Asking
from repro.schema.groups import TuningGroup
from repro.schema.manifest import Manifest
from repro.schema.tuned_claims import leaves_open, scores_in
from repro.schema.tuned_slots import (
    PRETRAINED,
    OfTunedModels,
    TunedModel,
    arm_name,
    group_of,
    has_checkpoint,
    models_of,
)
from verify.decision_rule import mean
from verify.errors import NotRunError
from verify.evidence import Evidence
from verify.outcome import JudgedClaim
from verify.paired import POINTS, PairedCells, distinct_rows, divergence, pair_rows
from verify.records.checked_record import CheckedRecord

DTYPE = "float32"
"""Dtype that tuned weights are evaluated in."""


def evaluations(
    manifest: Manifest, evidence: Evidence, model: TunedModel, task: str, dtype: str = DTYPE
) -> list[CheckedRecord]:
    """What a model answered on a task, one evaluation a setting.

    Raises:
        NotRunError: if one is missing.
        InvalidError: if a record cannot be trusted.
    """
    found = group_of(manifest, model)
    assert found  # noqa: S101  # the manifest was checked when it was loaded
    group, arm = found
    named = TunedModel(model.checkpoint, arm)
    return answers_to(evidence, Asking(group, named, task, dtype, shots=()))  # slots name no shots


def answers_to(evidence: Evidence, asked: Asking) -> list[CheckedRecord]:
    """What a model answered, one evaluation a setting.

    Raises:
        NotRunError: if one is missing.
        InvalidError: if a record cannot be trusted.
    """
    tier = evidence.run.tier
    if tier not in asked.group.tiers:
        message = f"tier {tier} does not run {asked.group.id}"
        raise NotRunError(message)
    return [evidence.get(each) for each in asked.slots(tier)]


def reference_of(manifest: Manifest, model: TunedModel) -> TunedModel:
    """The first arm of the group that runs a model."""
    found = group_of(manifest, model)
    assert found  # noqa: S101  # the manifest was checked when it was loaded
    return TunedModel(model.checkpoint, arm_name(found[0], found[0].arms[0]))


def pair_models(
    manifest: Manifest, models: Sequence[TunedModel], evidence: Evidence, task: str
) -> PairedCells:
    """Reference and tuned model on a task under every setting, a cell for each model.

    Raises:
        NotRunError: if an evaluation is missing.
        InvalidError: if a record cannot be trusted.
    """
    columns = [
        zip(
            evaluations(manifest, evidence, reference_of(manifest, model), task),
            evaluations(manifest, evidence, model, task),
            strict=True,
        )
        for model in models
    ]
    return pair_rows(list(zip(*columns, strict=True)))


def rows_of_settings(
    manifest: Manifest, evidence: Evidence, asked: Sequence[tuple[TunedModel, str]]
) -> tuple[tuple[tuple[CheckedRecord, ...], ...], int]:
    """Evaluations of models on tasks, one row a setting, and how many settings repeat another.

    Raises:
        NotRunError: if an evaluation is missing.
        InvalidError: if a record cannot be trusted.
    """
    return distinct_settings(
        [evaluations(manifest, evidence, model, task) for model, task in asked]
    )


def distinct_settings(
    columns: Sequence[Sequence[CheckedRecord]],
) -> tuple[tuple[tuple[CheckedRecord, ...], ...], int]:
    """Evaluations, one row a setting, and how many settings repeat another.

    Args:
        columns: What was asked once under every setting, in each.
    """
    every = list(zip(*columns, strict=True))
    kept = distinct_rows(every, lambda row: row)
    return kept, len(every) - len(kept)


def evaluations_if_run(
    manifest: Manifest, evidence: Evidence, model: TunedModel, task: str, dtype: str = DTYPE
) -> list[CheckedRecord]:
    """The same as `evaluations`; empty where the manifest or the run has no such model.

    Raises:
        InvalidError: if a record cannot be trusted.
    """
    if group_of(manifest, model):
        with suppress(NotRunError):
            return evaluations(manifest, evidence, model, task, dtype)
    return []


def open_factors(manifest: Manifest, claimed: OfTunedModels) -> Cause | None:
    """What the paper leaves open and one choice was made of, the same under every setting.

    None of scores of checkpoints as they are whose evaluation the paper names in full.

    Seeds, batches, orders and kernels are what settings vary. A recipe that the paper does not
    give, and the dtype that it evaluated in, are fixed: how far another choice would be off, nobody
    knows.
    """
    if not leaves_open(claimed):
        return None
    models = [model for model in models_of(claimed) if model.arm != PRETRAINED]
    found = [group_of(manifest, model) for model in models]
    names = dict.fromkeys(name for each in found if each for name in each[0].left_open)
    names |= dict.fromkeys(name for each in scores_in(claimed) for name in each.left_open or ())
    if models or not scores_in(claimed):
        names |= {f"evaluation in {DTYPE}": None}
    return cause("open-factors", names=", ".join(names))


def with_open_factors(
    manifest: Manifest, claimed: OfTunedModels, judged: JudgedClaim
) -> JudgedClaim:
    """The same, but that nothing is decided under one choice of what the paper leaves open."""
    why = open_factors(manifest, claimed)
    if why is None:
        return judged
    outcome, direction = judged.decided.outcome, judged.direction
    if outcome != "inconclusive":
        direction = cause("points-to", outcome=outcome)
    decided = judged.decided.because(why, outcome="inconclusive")
    return JudgedClaim(decided, direction, judged.loaded)


# -----------------------------------------------------------------------------
# Controls


def controls(
    manifest: Manifest, evidence: Evidence, models: Sequence[TunedModel], task: str
) -> Iterator[Estimate]:
    """What a divergence stands beside, means over checkpoints and settings; what was run of it."""
    references = list(dict.fromkeys(reference_of(manifest, model) for model in models))
    names = [each.checkpoint for each in references]
    found = group_of(manifest, models[0])
    assert found  # noqa: S101  # the manifest was checked when it was loaded
    group, first = found[0], references[0].arm
    seeds = [_between_settings(manifest, evidence, model, task) for model in references]
    yield from _control_in_words(f"{first} between two seeds and settings", seeds)
    arms = [PRETRAINED]
    arms += [arm_name(group, arm) for arm in group.arms[1:] if arm.precision == DTYPE]
    for arm in arms:
        pairs = [(TunedModel(each.checkpoint, arm), each) for each in references]
        apart = [_mean_divergence(manifest, evidence, *pair, task) for pair in pairs]
        yield from _control_in_words(f"{arm} against {first}", apart)
    for dtype in dict.fromkeys(each for asked in group.questions for each in asked.dtypes):
        if dtype != DTYPE:
            cast = [
                _mean_divergence(manifest, evidence, each, each, task, dtype) for each in references
            ]
            yield from _control_in_words(f"{first} evaluated in {dtype} against {DTYPE}", cast)
    for other, arm in _on_other_paths(manifest, group, models):
        pairs = [(TunedModel(name, arm), TunedModel(name, other)) for name in names]
        live = [_mean_divergence(manifest, evidence, *pair, task) for pair in pairs]
        yield from _control_in_words(f"{arm} against {other}", live)


def _on_other_paths(
    manifest: Manifest, group: TuningGroup, models: Sequence[TunedModel]
) -> Iterator[tuple[str, str]]:
    """Reference and arm of groups that tune the same on another path of Mamba's code."""
    wanted = {model.arm for model in models}
    for other in manifest.jobs:
        if isinstance(other, TuningGroup) and other.recipe.mamba_path != group.recipe.mamba_path:
            for arm in other.arms[1:]:
                if arm.id in wanted and has_checkpoint(other, models[0].checkpoint):
                    yield arm_name(other, other.arms[0]), arm_name(other, arm)


def _between_settings(
    manifest: Manifest, evidence: Evidence, model: TunedModel, task: str
) -> float | None:
    """Mean divergence between each setting and the next, of one model."""
    found = evaluations_if_run(manifest, evidence, model, task)
    return mean([divergence(*pair) for pair in pairwise(found)]) if len(found) > 1 else None


def _mean_divergence(
    manifest: Manifest,
    evidence: Evidence,
    model: TunedModel,
    other: TunedModel,
    task: str,
    dtype: str = DTYPE,
) -> float | None:
    """Mean over settings of the divergence of two models, the first evaluated in a dtype."""
    left = evaluations_if_run(manifest, evidence, model, task, dtype)
    right = evaluations_if_run(manifest, evidence, other, task)
    if not left or not right:
        return None
    return mean([divergence(*pair) for pair in zip(left, right, strict=True)])


def _control_in_words(what: str, values: Sequence[float | None]) -> Iterator[Estimate]:
    """One control, if it was run of every checkpoint."""
    known = [each for each in values if each is not None]
    if len(known) == len(values):
        yield Estimate(label=what, value=mean(known), unit=POINTS)
