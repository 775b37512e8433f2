"""What jobs leave on the disk. Rough on purpose, as `cost` is.

Measured on records of tier smoke: 63 bytes of arrays a question and number of shots, 7 kB of text,
6 MB of a stability job, 12 MB of a weight-tying job.

Not covered: checkpoints and data, whose size the catalog knows.
"""

import functools
from collections.abc import Mapping

from repro import catalog
from repro.jobs import EvaluateJob, Job, ModelJob
from repro.tuning_jobs import ThroughputJob, TuningJob

_TEXT = 7_000
_ANSWER = 64
_LAYERS = 9_000_000
"""Of a job that writes down layers or projections."""
_ADAPTED = 0.03
"""Of the parameters, what adapters are; see `cost`."""


def of_job(job: Job) -> int:
    """Bytes of a job's record, and of the float32 model that it makes."""
    if isinstance(job, TuningJob):
        parameters = _checkpoints()[job.checkpoint].parameters
        return _TEXT + int(4 * parameters * (1 if job.recipe.method == "full" else _ADAPTED))
    if isinstance(job, ModelJob):
        return _TEXT + _questions(job) * len(job.shots) * _ANSWER
    return _TEXT if isinstance(job, ThroughputJob) else _LAYERS


def _questions(job: ModelJob) -> int:
    known = _asked()[job.task]
    if isinstance(job, EvaluateJob):
        assert isinstance(known, catalog.Dataset)  # noqa: S101  # MMLU is one
        return sum(known.subjects[name].questions for name in job.subjects)
    assert isinstance(known, catalog.Benchmark)  # noqa: S101  # the others are
    return min(job.questions or known.questions, known.questions)


@functools.cache
def _checkpoints() -> Mapping[str, catalog.Checkpoint]:
    return catalog.checkpoints()


@functools.cache
def _asked() -> Mapping[str, catalog.Dataset | catalog.Benchmark]:
    return catalog.asked()
