"""Records that have the same numbers, bit for bit, where two measurements cannot.

Two dtypes, two checkpoints or two tasks never give the same log-likelihoods, nor do two jobs the
same timings. Two settings of one dtype may (a batch size need not move a digit on one thread),
and so may two tunings that trained nothing: those are no finding.

Not covered: copies in which a single bit was changed, and copies from another run.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from repro import fileio
from repro.schema.jobs import (
    BenchmarkJob,
    EvaluateJob,
    ModelJob,
    StabilityJob,
    ThroughputJob,
    TuningJob,
    WeightTyingJob,
)
from repro.store.record import Record

if TYPE_CHECKING:
    from repro.store.store import Arrays

_TELLING = 4
"""Different values that numbers have to have before their equality says anything."""
_WHOLE = "arrays"


def found(records: "Mapping[str, tuple[Record, Arrays]]") -> dict[str, str]:
    """What is wrong with each record that shares numbers which it cannot, by key.

    Args:
        records: Those of one run, which passed every other check.
    """
    alike: dict[tuple[str, str], list[Record]] = {}
    for record, arrays in records.values():
        for name, digest in _numbers(record, arrays):
            alike.setdefault((name, digest), []).append(record)
    wrong: dict[str, str] = {}
    for (name, _), several in alike.items():
        for one, other in combinations(several, 2):
            if apart := _apart(one, other):
                message = (
                    f"records {one.key[:12]} and {other.key[:12]} have the same {name}, bit for "
                    f"bit, and are of {apart}: at least one is a copy"
                )
                wrong.setdefault(one.key, message)
                wrong.setdefault(other.key, message)
    return wrong


def _numbers(record: Record, arrays: "Arrays") -> Iterator[tuple[str, str]]:
    """What two measurements would differ in: name and digest."""
    if isinstance(record.job, StabilityJob | WeightTyingJob):
        yield _WHOLE, record.arrays.sha256
        return
    for name, array in arrays.items():
        main = name.endswith("/log_likelihood") and name.startswith("shots")
        values = array[np.isfinite(array)] if main or name in ("loss", "tokens_per_second") else ()
        if len(np.unique(values)) >= _TELLING:
            yield (
                name,
                fileio.digest_of_data([str(array.dtype), array.shape, array.tobytes().hex()]),
            )


def _apart(one: Record, other: Record) -> str:
    """In what two records differ that no two measurements agree in; empty if in nothing."""
    left, right = one.job, other.job
    if isinstance(left, ModelJob) and isinstance(right, ModelJob):
        tuned = left.tuned or right.tuned
        pairs = [("dtypes", left.dtype, right.dtype), ("tasks", _asked(left), _asked(right))]
        pairs += [] if tuned else [("checkpoints", _weights(one), _weights(other))]
    elif isinstance(left, TuningJob) and isinstance(right, TuningJob):
        pairs = [("precisions", left.recipe.precision, right.recipe.precision)]
        pairs += [("checkpoints", _weights(one), _weights(other))]
    elif isinstance(left, StabilityJob) and isinstance(right, StabilityJob):
        pairs = [("families", left.family, right.family), ("seeds", left.seed, right.seed)]
        pairs += [("checkpoints", _weights(one), _weights(other))]
    elif isinstance(left, WeightTyingJob) and isinstance(right, WeightTyingJob):
        pairs = [("seeds", left.seed, right.seed)]
    else:
        both = isinstance(left, ThroughputJob) and isinstance(right, ThroughputJob)
        pairs = [("jobs", left, right) if both else ("kinds", left.kind, right.kind)]
    return next((f"two {what}" for what, mine, theirs in pairs if mine != theirs), "")


def _asked(job: EvaluateJob | BenchmarkJob) -> object:
    return (job.task, job.subjects) if isinstance(job, EvaluateJob) else (job.task, job.questions)


def _weights(record: Record) -> frozenset[str]:
    """Digests of the weights that were read."""
    return frozenset(sha for name, sha in record.inputs.items() if name.endswith(".safetensors"))
