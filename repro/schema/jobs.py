"""Jobs: the smallest units that are run, cached, resumed and scheduled. The list of their kinds.

A job says everything that its numbers depend on and nothing else: no paths, no
claims, no published values. Its key (`repro.store.keys`) is the digest of this specification
together with the digests of its inputs, the library versions, the hardware class and
the code that computes it.

A new kind is one file in `repro.schema.kinds` and a line here; `runner`, `verify` and the report
each have one file for it (docs/researcher.md).
"""

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import Field

from repro.schema.catalog import BenchmarkTask
from repro.schema.kinds.base import Attention, CastMode, Dtype, Engine, KindOfJob, Setting, Tier
from repro.schema.kinds.benchmark import BenchmarkJob
from repro.schema.kinds.evaluate import EvaluateJob
from repro.schema.kinds.proof import ProofJob
from repro.schema.kinds.stability import StabilityJob
from repro.schema.kinds.throughput import SharedThroughput, ThroughputJob
from repro.schema.kinds.tuning import Method, Precision, Recipe, SharedRecipe, TuningJob, TuningPath
from repro.schema.kinds.weight_tying import WeightTyingJob

__all__ = [
    "KINDS",
    "Attention",
    "BenchmarkJob",
    "BenchmarkTask",
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
]

ModelJob = EvaluateJob | BenchmarkJob
"""Asks a language model questions under a setting."""

LoneJob = StabilityJob | WeightTyingJob | ProofJob | TuningJob
"""Kinds that a manifest names one by one; the others it names in groups."""

Job = Annotated[EvaluateJob | BenchmarkJob | ThroughputJob | LoneJob, Field(discriminator="kind")]

KINDS: Mapping[str, type[KindOfJob]] = {
    get_args(each.model_fields["kind"].annotation)[0]: each for each in get_args(get_args(Job)[0])
}
"""Every kind by its name in manifests and records."""
