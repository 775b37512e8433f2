"""What can be recomputed of a record of layers that were perturbed: the worst of each bound.

Not covered: the curves themselves, which need the layers; `verify.rules.layer` reads them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from repro.schema.jobs import StabilityJob
from repro.store.record import Record
from verify.records.consistency import Difference, KindOfRecord, weights

if TYPE_CHECKING:
    from repro.store.store import Arrays


def _values(job: StabilityJob, arrays: "Arrays") -> dict[str, float]:
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


def _differences(one: Record, other: Record) -> Iterator[Difference]:
    left, right = one.job, other.job
    assert isinstance(left, StabilityJob) and isinstance(right, StabilityJob)  # noqa: S101, PT018
    yield "families", left.family, right.family
    yield "seeds", left.seed, right.seed
    yield "checkpoints", weights(one), weights(other)


KIND = KindOfRecord(numbers="", differences=_differences, values=_values)
