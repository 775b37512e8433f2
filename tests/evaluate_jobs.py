"""Evaluation jobs on the made-up wheel."""

from typing import Any

import made_up_mmlu

from repro.schema.jobs import EvaluateJob

SHORT = tuple(name for name in made_up_mmlu.SUBJECTS if name != made_up_mmlu.LONG)

SETTING = {
    "id": "test",
    "batch_size": 4,
    "order": "length-descending",
    "attention_float32": "eager",
    "attention_half": "eager",
    "mamba_path": "slow",
}


def job(dtype: str = "float32", **changes: Any) -> EvaluateJob:
    """A job on the made-up subjects; `changes` go to the job or to its setting."""
    setting = dict[str, Any](SETTING)
    fields: dict[str, Any] = {"subjects": SHORT, "shots": (0, 5)}
    for name, value in changes.items():
        (setting if name in setting else fields)[name] = value
    return EvaluateJob.model_validate(
        {"kind": "evaluate", "checkpoint": "tiny", "dtype": dtype, "task": "mmlu"}
        | {"arm": "weight-cast"}
        | fields
        | {"setting": setting}
    )
