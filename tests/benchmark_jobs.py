"""Benchmark jobs on made-up rows."""

from typing import Any

from evaluate_jobs import SETTING

from repro.schema.jobs import BenchmarkJob

ASKED = 5
"""Questions, of seven."""


def job(task: str, **changes: Any) -> BenchmarkJob:
    """A job on made-up rows; `changes` go to the job."""
    fields: dict[str, Any] = {
        "kind": "benchmark",
        "checkpoint": "gpt-neox-twin",
        "tuned": None,
        "dtype": "float32",
        "arm": "weight-cast",
        "task": task,
        "questions": ASKED,
        "shots": (0, 1),
        "seed": 1234,
        "setting": SETTING,
    }
    return BenchmarkJob.model_validate(fields | changes)
