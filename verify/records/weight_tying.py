"""A record of adapters that tie blocks: integers, which `verify.rules.layer` multiplies again."""

from collections.abc import Iterator

from repro.schema.jobs import WeightTyingJob
from repro.store.record import Record
from verify.records.consistency import Difference, KindOfRecord


def _differences(one: Record, other: Record) -> Iterator[Difference]:
    left, right = one.job, other.job
    assert isinstance(left, WeightTyingJob) and isinstance(right, WeightTyingJob)  # noqa: S101, PT018
    yield "seeds", left.seed, right.seed


KIND = KindOfRecord(numbers="", differences=_differences)
