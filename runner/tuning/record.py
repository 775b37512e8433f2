"""What a training run was, for its record: arrays, numbers for people, warnings.

Reference: paper v2, section 5.1; `runner.tuning.examples.summary` for what is said of the data.
Not covered: anything that a verifier decides.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from repro.schema.jobs import Recipe
from runner.measurement import Arrays, Values
from runner.models import kernels
from runner.models.mamba_paths import MAMBA2
from runner.tuning import examples
from runner.tuning.adapters import TensorLearning, tensors_not_learning
from runner.tuning.examples import Example, TuningData

_NAMED = 3
"""Rows left out, or tensors, that a warning names."""


@dataclass
class TrainingLog:
    """What the steps of a run did."""

    loss: list[float] = field(default_factory=list)
    """Nats a learned token, before the step."""
    gradient_norm: list[float] = field(default_factory=list)
    """Before clipping."""
    learning_rate: list[float] = field(default_factory=list)
    skipped: int = 0
    """Steps that float16's scaling skipped."""
    seconds: float = 0.0
    """Of training, those of earlier tries that led here included."""
    learning: list[TensorLearning] = field(default_factory=list)
    """Each trainable tensor over the first steps, in the model's order."""

    def non_finite(self) -> int:
        """Steps whose loss is NaN or infinite."""
        return sum(not math.isfinite(each) for each in self.loss)


@dataclass(frozen=True)
class TrainingResult:
    """What is left of a run when its model is gone."""

    training_log: TrainingLog
    path: dict[str, str]
    parameters: int
    """Numbers of the checkpoint, tied ones once."""
    trainable: int
    finite: bool
    """Whether every trained number is one."""


def arrays(training_log: TrainingLog, learned: Sequence[Example], seed: int) -> Arrays:
    """As `finetune.run` says."""
    return {
        "loss": np.array(training_log.loss, np.float64),
        "learning_rate": np.array(training_log.learning_rate, np.float64),
        "gradient_norm": np.array(training_log.gradient_norm, np.float64),
        "row_order": np.array(examples.epoch_order(len(learned), seed, 0), np.int64),
        "row_tokens": np.array([each.uncut for each in learned], np.int32),
        "row_learned": np.array([each.learned for each in learned], np.int32),
        "gradient_arrived": np.array([each.gradient for each in training_log.learning], np.uint8),
        "moved": np.array([each.moved for each in training_log.learning], np.uint8),
    }


def values(recipe: Recipe, data: TuningData, trained: TrainingResult) -> Values:
    """Numbers for people.

    Returns:
        steps; skipped_steps, by float16's scaling; non_finite_steps, whose loss is no number;
        finite, whether all trained weights are; loss_first, loss_last, loss_epoch_0 and on, means
        over steps, text where they are no number; parameters of the checkpoint and
        trainable_parameters; training_seconds, without loading; trainable_tensors, JSON list of
        names; malformed_rows and left_out_rows, JSON lists of a message each, with its place;
        pad_token and why it is; and `examples.summary`.
    """
    training_log = trained.training_log
    means = [float(np.mean(each)) for each in np.array_split(training_log.loss, recipe.epochs)]
    losses = {"first": training_log.loss[0], "last": training_log.loss[-1]}
    losses |= {f"epoch_{number}": mean for number, mean in enumerate(means)}
    found: Values = {
        "steps": len(training_log.loss),
        "skipped_steps": training_log.skipped,
        "non_finite_steps": training_log.non_finite(),
        "finite": int(trained.finite),
        "parameters": trained.parameters,
        "trainable_parameters": trained.trainable,
        "training_seconds": round(training_log.seconds, 3),
        "trainable_tensors": json.dumps([each.name for each in training_log.learning]),
        "malformed_rows": json.dumps([str(each) for each in data.malformed]),
        "left_out_rows": json.dumps([str(each) for each in data.examples.left_out]),
        "pad_token": data.pad.token,
        "pad_token_is": data.pad.why,
    }
    for name, loss in losses.items():
        found[f"loss_{name}"] = loss if math.isfinite(loss) else str(loss)  # JSON has no NaN
    return found | examples.summary(
        data.examples,
        len(data.malformed),
        seed=recipe.seed,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
    )


def warnings(recipe: Recipe, data: TuningData, trained: TrainingResult) -> Iterator[str]:
    """What a reader of the numbers has to know."""
    training_log, taken = trained.training_log, trained.path["mamba_path"]
    if taken not in (recipe.mamba_path, MAMBA2[recipe.mamba_path], kernels.NONE):
        asks = f"the recipe asks for Mamba's path {recipe.mamba_path}, this run took {taken}"
        yield f"{asks}: {trained.path['mamba_lacks']}"
    if found := _without_gradient(training_log):
        yield f"{found} never got a gradient on the path {taken}: nothing was learned there"
    if bad := training_log.non_finite():
        yield f"the loss was no finite number in {bad} of {len(training_log.loss)} steps"
    if not trained.finite:
        yield "some trained weights are NaN or infinite: the run diverged"
    for what, rows in (("malformed", data.malformed), ("left out", data.examples.left_out)):
        if rows:
            named = "; ".join(map(str, rows[:_NAMED]))
            yield f"{len(rows)} rows are {what}: {named}" + ("; ..." if rows[_NAMED:] else "")


def _without_gradient(training_log: TrainingLog) -> str:
    """The tensors that got none, adapters by the layers that they adapt; "" if all did."""
    names = tensors_not_learning(training_log.learning)
    adapted = dict.fromkeys(
        name.partition(".lora_")[0].rpartition(".")[2] for name in names if ".lora_" in name
    )
    if adapted:
        return f"the adapters of {', '.join(adapted)}"
    more = f" and {len(names) - _NAMED} more" if names[_NAMED:] else ""
    return ", ".join(names[:_NAMED]) + more
