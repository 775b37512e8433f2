"""What a record says of itself that follows from its own job and environment, of any kind.

Not covered: what no other part of a record bears out; docs/auditor.md lists it.
"""

from collections.abc import Iterator, Mapping

from repro.jobs import ModelJob
from repro.record import Record
from repro.tuning_jobs import TuningJob
from verify.errors import InvalidError

_AS_LOADED = ("none", "own code")
"""What a path says where the model leaves nothing to choose."""
_MIXED: Mapping[str, str] = {"float32": "no", "float16": "fp16", "bfloat16": "bf16"}
"""Precision of a recipe to Accelerate's name of it."""


def check(record: Record) -> None:
    """Hold path and drift of a record to its job and its environment.

    Raises:
        InvalidError: at the first thing that does not follow.
    """
    for wrong in (*_path(record), *_drift(record)):
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
        for name, wanted in chosen.items():
            taken = path.get(name, wanted)
            if taken not in {wanted, *_AS_LOADED} and f"this run took {taken}" not in said:
                yield f"{name} {taken}, its job asks for {wanted}, and no warning says why"
    elif isinstance(job, TuningJob):
        asked = {"mixed_precision": _MIXED[job.recipe.precision], "weights_dtype": "float32"}
    else:
        asked = {}
    for name, wanted in asked.items():
        if path.get(name, wanted) != wanted:
            yield f"{name} {path[name]}, its job says {wanted}"
    if not record.environment.gpus and path.get("device", "cpu") != "cpu":
        yield f"it ran on {path['device']}, its environment has no GPU"


def _drift(record: Record) -> Iterator[str]:
    """Drift that the environment's own packages do not show."""
    for each in record.environment.drift:
        installed = record.environment.packages.get(each.package)
        if each.installed != installed or installed == each.pinned:
            yield f"it says {each}, its packages say {installed or 'not installed'}"
