"""Jobs: the smallest units that are run, cached, resumed and scheduled. The list of their kinds.

A job says everything that its numbers depend on and nothing else: no paths, no
claims, no published values. Its key (`repro.store.keys`) is the digest of this specification
together with the digests of its inputs, the library versions, the hardware class and
the code that computes it.

A new kind comes from a plug-in (`repro.plugins`), or is one file in `repro.schema.kinds` and a line
here; `runner`, `verify` and the report each have one file for it (docs/researcher.md).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field

from repro import plugins
from repro.schema.kinds.base import Attention, CastMode, Dtype, Engine, KindOfJob, Setting, Tier
from repro.schema.kinds.benchmark import BenchmarkJob
from repro.schema.kinds.evaluate import EvaluateJob
from repro.schema.kinds.proof import ProofJob
from repro.schema.kinds.stability import StabilityJob
from repro.schema.kinds.throughput import SharedThroughput, ThroughputJob
from repro.schema.kinds.tuning import Method, Precision, Recipe, SharedRecipe, TuningJob, TuningPath
from repro.schema.kinds.weight_tying import WeightTyingJob

__all__ = [
    "CHECKED_QUESTIONS",
    "CHECKED_SUBJECTS",
    "DEFAULT_ENGINE",
    "KINDS",
    "Attention",
    "BenchmarkJob",
    "CastMode",
    "Dtype",
    "Engine",
    "EvaluateJob",
    "Job",
    "KindOfJob",
    "LoneJob",
    "Method",
    "ModelJob",
    "Precision",
    "ProofJob",
    "Recipe",
    "Setting",
    "SharedRecipe",
    "SharedThroughput",
    "StabilityJob",
    "ThroughputJob",
    "Tier",
    "TuningJob",
    "TuningPath",
    "WeightTyingJob",
    "batch_sizes",
    "with_engine",
]

ModelJob = EvaluateJob | BenchmarkJob
"""Asks a language model questions under a setting."""

LoneJob = StabilityJob | WeightTyingJob | ProofJob | TuningJob
"""Kinds that a manifest names one by one; the others it names in groups."""

if not TYPE_CHECKING:  # what is installed is known at run time alone
    for _kind in plugins.load("repro.job_kinds").values():
        LoneJob = LoneJob | _kind

Job = Annotated[EvaluateJob | BenchmarkJob | ThroughputJob | LoneJob, Field(discriminator="kind")]

KINDS: Mapping[str, type[KindOfJob]] = {
    get_args(each.model_fields["kind"].annotation)[0]: each for each in get_args(get_args(Job)[0])
}
"""Every kind by its name in manifests and records."""


# -----------------------------------------------------------------------------
# Evaluations by another engine than lm-eval's own, and the sample that lm-eval answers beside it.
#
# The sample is fixed here, before any number is known: whole subjects of MMLU, the first questions
# of a benchmark; at every number of shots, or, where the job is no more than the sample, at the
# smallest that shares a prefix. lm-eval answers it twice, with two batch sizes: what the engine
# changes stands beside what a batch size changes (`verify.records.answers`).

DEFAULT_ENGINE: Engine = "prefix"
"""Of a run that names none; records and run files that name none are of lm-eval, the first one."""
CHECKED_SUBJECTS = ("abstract_algebra", "anatomy")
"""Of MMLU, the first two by name, 235 questions; a job without them takes its first subject."""
CHECKED_QUESTIONS = 100
"""Of a benchmark, the first."""


def with_engine(job: Job, engine: Engine) -> Job:
    """The same job by an engine; jobs that ask no questions are left as they are."""
    if not isinstance(job, ModelJob) or engine == job.engine:
        return job
    return job.model_copy(update={"engine": engine} | (_sample(job) if engine == "prefix" else {}))


def _sample(job: EvaluateJob | BenchmarkJob) -> dict[str, Any]:
    if isinstance(job, BenchmarkJob):
        return {"checked": min(CHECKED_QUESTIONS, job.questions or CHECKED_QUESTIONS)}
    chosen = tuple(each for each in job.subjects if each in CHECKED_SUBJECTS) or job.subjects[:1]
    shots = job.shots
    if len(chosen) == len(job.subjects):  # twice the whole job would be no gain
        shots = (min(each for each in shots if each) if any(shots) else shots[0],)
    return {"checked": chosen, "checked_shots": shots}


def batch_sizes(batch_size: int) -> dict[str, int]:
    """lm-eval's two settings, by the name of their arrays: the job's batch size, and half of it."""
    return {"stock": batch_size, "stock-other": batch_size // 2 or 2}
