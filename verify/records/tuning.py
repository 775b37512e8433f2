"""What can be recomputed of a record of a fine-tuning, and which of its tensors learned nothing.

Arrays: loss, gradient_norm and learning_rate, one an optimisation step; row_order, the rows of the
first epoch as they were read; row_tokens and row_learned, of each row all its tokens and those that
a loss is taken of, from which what was learned, cut off and padded is counted again (older records
have neither); gradient_arrived and moved, 0 or 1 a trainable tensor, in the order of the value
`trainable_tensors`, a JSON list of names.

A loss that is no finite number is a result of the training, and no mistake of the record.

Reference: DESIGN, "What must hold everywhere".
Not covered: the losses and gradients themselves, which need the model and the data.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from repro.schema.jobs import Recipe, TuningJob
from repro.store.record import Record
from verify.errors import InvalidError
from verify.records import consistency
from verify.records.answers import array_of
from verify.records.consistency import Difference, KindOfRecord

if TYPE_CHECKING:
    from repro.store.store import Arrays

_STEPS = ("loss", "gradient_norm", "learning_rate")
_TENSORS = ("gradient_arrived", "moved")
_COUNTS = ("row_tokens", "row_learned")
_NONE = np.zeros(())
_MIXED: Mapping[str, str] = {"float32": "no", "float16": "fp16", "bfloat16": "bf16"}
"""Precision of a recipe to Accelerate's name of it."""
_SLACK = 1 + 1e-9
"""For a learning rate that was computed in floating point."""


def check(record: Record, job: TuningJob, arrays: "Arrays") -> None:
    """Hold a record to its own arrays and its recipe.

    Raises:
        InvalidError: at the first thing that does not follow.
    """
    for wrong in (
        *_rows(record, job.recipe, arrays),
        *_steps(record, job.recipe, arrays),
        *_tensors(record, arrays),
    ):
        message = f"record {record.key[:12]}: {wrong}"
        raise InvalidError(message)
    if not record.files:
        message = f"record {record.key[:12]}: it kept no weights"
        raise InvalidError(message)


def _rows(record: Record, recipe: Recipe, arrays: "Arrays") -> Iterator[str]:
    """Each row once an epoch."""
    order = array_of(record, arrays, "row_order")
    if not np.array_equal(np.sort(order), np.arange(order.size)) or not order.size:
        yield "rows that were not read once each in the first epoch"
    if recipe.rows is not None and order.size > recipe.rows:
        yield f"{order.size} rows, the recipe takes {recipe.rows} at most"
    if not any(name in arrays for name in _COUNTS):
        return
    uncut, learned = (array_of(record, arrays, name) for name in _COUNTS)
    if not uncut.shape == learned.shape == order.shape:
        yield f"{' and '.join(_COUNTS)} are not one a row"
        return
    most = np.minimum(uncut, recipe.max_length) - 1
    if not (
        (learned == most) if recipe.loss == "all" else (learned >= 1) & (learned <= most)
    ).all():
        yield f"rows of which other tokens are learned than loss {recipe.loss} says"
    for name in ("malformed", "left_out"):
        named = len(_listed(record, f"{name}_rows"))
        if named != record.values.get(name):
            yield f"it says {name} {record.values.get(name)}, and names {named}"


def _steps(record: Record, recipe: Recipe, arrays: "Arrays") -> Iterator[str]:
    """As many as the rows make, with learning rates that fall."""
    rows = array_of(record, arrays, "row_order").size
    steps = recipe.epochs * -(-rows // recipe.batch_size)
    shapes = {array_of(record, arrays, name).shape for name in _STEPS}
    if shapes != {(steps,)}:
        found = ", ".join(str(shape) for shape in sorted(shapes))
        yield (
            f"{', '.join(_STEPS)} of shape {found}; {recipe.epochs} epochs of {rows} rows, "
            f"{recipe.batch_size} a step, are {steps} steps"
        )
    counts = {"steps": steps, "non_finite_steps": int((~np.isfinite(arrays["loss"])).sum())}
    for name, counted in counts.items():
        said = record.values.get(name)
        if said != counted:
            yield f"it says {name} {said}, its arrays say {counted}"
    rates = arrays["learning_rate"]
    if not (rates <= recipe.learning_rate * _SLACK).all() or not (np.diff(rates) <= 0).all():
        yield f"learning rates that do not fall from {recipe.learning_rate:g}"


def _tensors(record: Record, arrays: "Arrays") -> Iterator[str]:
    """A name and two flags each."""
    names = names_of(record)
    shapes = {array_of(record, arrays, name).shape for name in _TENSORS}
    if shapes != {(len(names),)} or not names:
        yield f"{', '.join(_TENSORS)} are not one a trainable tensor"


def names_of(record: Record) -> list[str]:
    """Names of the trainable tensors, in the order of the arrays; empty if it names none."""
    return _listed(record, "trainable_tensors")


def _listed(record: Record, name: str) -> list[str]:
    """A value that is a JSON list of texts; empty if it is none."""
    try:
        found = json.loads(str(record.values.get(name)))
    except (ValueError, RecursionError):  # no JSON, a number of 4,301 digits, too deep
        return []
    return [str(name) for name in found] if isinstance(found, list) else []


def without_gradient(record: Record, arrays: "Arrays") -> frozenset[str]:
    """Trainable tensors that never got a gradient other than zeros."""
    arrived = arrays["gradient_arrived"]
    return frozenset(name for name, came in zip(names_of(record), arrived, strict=True) if not came)


def grouped_names(names: frozenset[str]) -> str:
    """Names of tensors with those that differ in a number alone taken together.

    Example:
        >>> summed_up(frozenset({"layers.0.x_proj.lora_A", "layers.1.x_proj.lora_A"}))
        'layers.*.x_proj.lora_A (2)'
    """
    kinds = Counter(re.sub(r"\d+", "*", name) for name in names)
    return ", ".join(f"{kind} ({count})" for kind, count in sorted(kinds.items()))


def first_overflow(arrays: "Arrays") -> int | None:
    """The step, from 1, whose loss is the first that is no finite number; None without one."""
    bad = np.flatnonzero(~np.isfinite(arrays["loss"]))
    return int(bad[0]) + 1 if len(bad) else None


# -----------------------------------------------------------------------------
# The rest of what a record says


def _counted(job: TuningJob, arrays: "Arrays") -> dict[str, float]:
    """Losses, and what the rows add up to where the arrays have what is counted."""
    found = _losses(job, arrays)
    order = arrays.get("row_order", np.zeros(0))
    if order.ndim != 1 or not np.array_equal(np.sort(order), np.arange(order.size)):
        return found  # `check` says so
    found["rows"] = order.size
    if any(arrays.get(name, _NONE).shape != order.shape for name in _COUNTS):
        return found
    uncut = arrays["row_tokens"].astype(np.int64)
    kept = np.minimum(uncut, job.recipe.max_length)
    ends = range(job.recipe.batch_size, order.size, job.recipe.batch_size)
    batches = np.split(kept[order], ends) if order.size else []
    return found | {
        "truncated": int((uncut > kept).sum()),
        "tokens": int(kept.sum()),
        "cut_tokens": int((uncut - kept).sum()),
        "learned_tokens": int(arrays["row_learned"].sum()),
        "padded_tokens_epoch_0": sum(int(each.max()) * each.size for each in batches),
    }


def _losses(job: TuningJob, arrays: "Arrays") -> dict[str, float]:
    """Losses at the ends and as means of epochs; those that are no numbers are told as text."""
    loss = arrays.get("loss")
    if loss is None or loss.ndim != 1 or not len(loss):
        return {}
    means = enumerate(np.array_split(loss, job.recipe.epochs))
    found = {f"loss_epoch_{number}": float(np.mean(each)) for number, each in means if len(each)}
    found |= {"loss_first": float(loss[0]), "loss_last": float(loss[-1])}
    return {name: each for name, each in found.items() if np.isfinite(each)}


def _path(record: Record) -> Iterator[str]:
    job = record.job
    assert isinstance(job, TuningJob)  # noqa: S101  # by its kind
    yield from consistency.scan(record, "mamba_path", job.recipe.mamba_path)
    asked = {"mixed_precision": _MIXED[job.recipe.precision], "weights_dtype": "float32"}
    yield from consistency.said_otherwise(record, asked)


def _differences(one: Record, other: Record) -> Iterator[Difference]:
    left, right = one.job, other.job
    assert isinstance(left, TuningJob) and isinstance(right, TuningJob)  # noqa: S101, PT018
    yield "precisions", left.recipe.precision, right.recipe.precision
    yield "checkpoints", consistency.weights(one), consistency.weights(other)


KIND = KindOfRecord(
    numbers="loss",
    differences=_differences,
    check=lambda record, job, arrays, _: check(record, job, arrays),
    path=_path,
    values=_counted,
)
