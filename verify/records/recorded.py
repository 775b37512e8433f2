"""What a record says of itself that follows from its own job, arrays and environment.

What a kind's own module holds a record to (`mmlu_records`, `tuning_records`, …) is not said again.

Not covered: what no other part of a record bears out; docs/auditor.md lists it.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from repro.schema.jobs import ModelJob, StabilityJob, ThroughputJob, TuningJob, TuningPath
from repro.store.record import Record
from verify.errors import InvalidError

if TYPE_CHECKING:
    from repro.store.store import Arrays

_SLACK = 1e-9
"""Relative; a mean may be summed in several ways."""
_AS_LOADED = ("none", "own code")
"""What a path says where the model leaves nothing to choose."""
_TAKEN: Mapping[str, tuple[str, ...]] = {
    "kernels": ("kernels", "fused"),
    "live": ("live", "unfused"),
    "slow": ("slow", "plain"),
}
"""What a path says of Mamba's code and of Mamba-2's, where what was asked for was taken."""
_MIXED: Mapping[str, str] = {"float32": "no", "float16": "fp16", "bfloat16": "bf16"}
"""Precision of a recipe to Accelerate's name of it."""


def check(record: Record, arrays: "Arrays") -> None:
    """Hold path, values and drift of a record to its job, its arrays and its environment.

    Raises:
        InvalidError: at the first thing that does not follow.
    """
    for wrong in (*_path(record), *_values(record, arrays), *_drift(record)):
        message = f"record {record.key[:12]}: {wrong}"
        raise InvalidError(message)


def _path(record: Record) -> Iterator[str]:
    """What a path says otherwise than its job, and no warning tells why."""
    job, path = record.job, record.path
    if isinstance(job, ModelJob):
        half = job.dtype != "float32"
        loaded = "float32" if job.arm == "autocast" else job.dtype
        asked: dict[str, str] = {
            "arm": job.arm,
            "weights_dtype": loaded,
            "order": job.setting.order,
        }
        attention = job.setting.attention_half if half else job.setting.attention_float32
        live = job.tuned is not None and job.tuned.mamba_path == "live"
        chosen = {"attention": attention, "mamba_scan": "live" if live else job.setting.mamba_path}
        said = " ".join(record.warnings)
        size = str(job.setting.batch_size or path.get("batch_size"))
        if (took := path.get("batch_size", size)) != size and f"{took} at a time" not in said:
            yield f"batches of {took}, its job asks for {size}, and no warning says why"
        for name, wanted in chosen.items():
            taken = path.get(name, wanted)
            if taken not in {wanted, *_AS_LOADED} and f"this run took {taken}" not in said:
                yield f"{name} {taken}, its job asks for {wanted}, and no warning says why"
    elif isinstance(job, TuningJob):
        asked = {"mixed_precision": _MIXED[job.recipe.precision], "weights_dtype": "float32"}
        yield from _scan(record, "mamba_path", job.recipe.mamba_path)
    elif isinstance(job, ThroughputJob):
        asked = {}
        yield from _scan(record, "mamba", job.mamba_path)
    else:
        asked = {}
    for name, wanted in asked.items():
        if path.get(name, wanted) != wanted:
            yield f"{name} {path[name]}, its job says {wanted}"
    device, names = path.get("device", "cpu"), [gpu.name for gpu in record.environment.gpus]
    if device not in ("cpu", "cuda") and not any(
        device == name or device.startswith(f"{name} MIG") for name in names
    ):
        yield f"it ran on {device}, its environment has {', '.join(names) or 'no GPU'}"


def _scan(record: Record, where: str, wanted: TuningPath) -> Iterator[str]:
    """Mamba's code in training: what was asked for, or a warning that says why not."""
    taken = record.path.get(where, wanted)
    if taken in (*_TAKEN[wanted], *_AS_LOADED):
        return
    if f"this run took {taken}" not in " ".join(record.warnings):
        yield f"{where} {taken}, its job asks for {wanted}, and no warning says why"


def _values(record: Record, arrays: "Arrays") -> Iterator[str]:
    """Numbers for people that their arrays do not bear out."""
    job = record.job
    if isinstance(job, StabilityJob):
        expected = _stability(job, arrays)
    elif isinstance(job, TuningJob):
        expected = _losses(job, arrays)
    else:
        expected = {}
    for name, found in expected.items():
        said = record.values.get(name, found)
        if not isinstance(said, int | float) or abs(said - found) > _SLACK * max(1, abs(found)):
            yield f"it says {name} {said}, its arrays say {found}"


def _stability(job: StabilityJob, arrays: "Arrays") -> dict[str, float]:
    """Layers, entries that were checked, and the worst of each kind of bound."""
    found: dict[str, float] = {}
    for name, array in arrays.items():
        if name.count("/") == 1 and array.ndim == 1 and np.isfinite(array).all() and len(array):
            count = len(array)
            if name.endswith("_violations"):
                found[name] = int(array.sum())
            elif name.endswith(("latent_ratio", "output_ratio")):
                found[name] = float(array.max())
                outputs = count * job.steps * job.channels
                found |= {"layers": count, "outputs_checked": outputs}
                found["latent_entries_checked"] = outputs * job.state_size
    if "lambda_max" in arrays:
        found["lambda_max"] = float(arrays["lambda_max"].max())
    return found


def _losses(job: TuningJob, arrays: "Arrays") -> dict[str, float]:
    """Losses at the ends and as means of epochs; those that are no numbers are told as text."""
    loss = arrays.get("loss")
    if loss is None or loss.ndim != 1 or not len(loss):
        return {}
    means = enumerate(np.array_split(loss, job.recipe.epochs))
    found = {f"loss_epoch_{number}": float(np.mean(each)) for number, each in means if len(each)}
    found |= {"loss_first": float(loss[0]), "loss_last": float(loss[-1])}
    return {name: each for name, each in found.items() if np.isfinite(each)}


def _drift(record: Record) -> Iterator[str]:
    """Drift that the environment's own packages do not show."""
    for each in record.environment.drift:
        installed = record.environment.packages.get(each.package)
        if each.installed != installed or installed == each.pinned:
            yield f"it says {each}, its packages say {installed or 'not installed'}"
