"""Evaluations by another engine than lm-eval's own, and the sample that lm-eval answers beside it.

The sample is fixed here, before any number is known: whole subjects of MMLU, the first questions of
a benchmark; at every number of shots, or, where the job is no more than the sample, at the smallest
that shares a prefix. lm-eval answers it twice, with two batch sizes: what the engine changes stands
beside what a batch size changes (`verify.records.answers`).
"""

from typing import Any

from repro.schema.jobs import BenchmarkJob, Engine, EvaluateJob, Job, ModelJob

SUBJECTS = ("abstract_algebra", "anatomy")
"""Of MMLU, the first two by name, 235 questions; a job without them takes its first subject."""
QUESTIONS = 100
"""Of a benchmark, the first."""


def with_engine(job: Job, engine: Engine) -> Job:
    """The same job by an engine; jobs that ask no questions are left as they are."""
    if not isinstance(job, ModelJob) or engine == job.engine:
        return job
    return job.model_copy(update={"engine": engine} | (_sample(job) if engine == "prefix" else {}))


def _sample(job: EvaluateJob | BenchmarkJob) -> dict[str, Any]:
    if isinstance(job, BenchmarkJob):
        return {"checked": min(QUESTIONS, job.questions or QUESTIONS)}
    chosen = tuple(each for each in job.subjects if each in SUBJECTS) or job.subjects[:1]
    shots = job.shots
    if len(chosen) == len(job.subjects):  # twice the whole job would be no gain
        shots = (min(each for each in shots if each) if any(shots) else shots[0],)
    return {"checked": chosen, "checked_shots": shots}


def batch_sizes(batch_size: int) -> dict[str, int]:
    """lm-eval's two settings, by the name of their arrays: the job's batch size, and half of it."""
    return {"stock": batch_size, "stock-other": batch_size // 2 or 2}
