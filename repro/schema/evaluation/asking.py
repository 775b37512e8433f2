"""Which group of a manifest asks a model a task, and the slots that it answers in."""

from collections.abc import Iterator
from dataclasses import dataclass

from repro.schema import tuned_slots
from repro.schema.catalog import MMLU
from repro.schema.evaluation.evaluation_slots import evaluation_slot
from repro.schema.groups import EvaluationGroup, TuningGroup
from repro.schema.jobs import Tier
from repro.schema.manifest import Manifest
from repro.schema.tuned_slots import PRETRAINED, TunedModel, asked_slot


@dataclass(frozen=True)
class Asking:
    """A group of a manifest that asks a model a task."""

    group: EvaluationGroup | TuningGroup
    model: TunedModel
    """Its arm as slots name it."""
    task: str
    dtype: str
    shots: tuple[int, ...]

    def __str__(self) -> str:
        shots = ", ".join(map(str, self.shots))
        return f"{' as '.join(self.model)} on {self.task} at {shots} shots in {self.dtype}"

    def slots(self, tier: Tier) -> list[str]:
        """What it answered, one slot a setting; none where the tier does not run the group."""
        if tier not in self.group.tiers:
            return []
        return [self._slot(each) for each in self.group.tiers[tier].settings]

    def _slot(self, setting: str) -> str:
        if isinstance(self.group, EvaluationGroup) and self.task == MMLU:
            return evaluation_slot(self.model.checkpoint, self.dtype, setting)
        return asked_slot(*self.model, setting, self.task, self.dtype)


def askings(manifest: Manifest, model: TunedModel) -> Iterator[Asking]:
    """Everything that a model is asked; a checkpoint as it is, by tuning groups or evaluations."""
    for group in manifest.jobs:
        if isinstance(group, TuningGroup) and (arm := tuned_slots.arm_in(group, model)):
            named = TunedModel(model.checkpoint, arm)
            for each in group.questions:
                if each.of == "every-arm":
                    for dtype in each.dtypes:
                        yield Asking(group, named, each.task, dtype, each.shots)
        elif isinstance(group, EvaluationGroup) and model.arm == PRETRAINED:
            named_here = model.checkpoint in group.checkpoints
            for dtype in group.dtypes if named_here else ():
                yield Asking(group, model, group.task, dtype, group.shots)


def asking(
    manifest: Manifest, model: TunedModel, task: str, dtype: str, shots: int | None = None
) -> Asking | None:
    """The first that asks a task in a dtype, behind so many examples; None if none does."""
    for each in askings(manifest, model):
        if (each.task, each.dtype) == (task, dtype) and (shots is None or shots in each.shots):
            return each
    return None
