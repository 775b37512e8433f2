"""How a halving record is checked."""

from collections.abc import Iterator

from repro.store.record import Record
from verify.records.consistency import Difference, KindOfRecord


def _differences(one: Record, other: Record) -> Iterator[Difference]:
    yield "jobs", one.job.specification(), other.job.specification()


KIND = KindOfRecord(
    numbers="",
    differences=_differences,
    values=lambda _, arrays: {"worst": float(arrays["over_bound"].max())},
)
