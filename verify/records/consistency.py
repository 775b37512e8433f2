"""What every record says of itself that follows from its own job, arrays and environment.

What is asked of one kind of job alone stands in that kind's own file, as its `KindOfRecord`;
`verify.evidence` has the list.

Not covered: what no other part of a record bears out; docs/auditor.md lists it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repro.schema.catalog import Benchmark, Dataset
from repro.schema.jobs import TuningPath
from repro.store.record import Record
from repro.store.store import FIRST
from verify.errors import InvalidError

if TYPE_CHECKING:
    from repro.store.store import Arrays

Datasets = Mapping[str, Dataset | Benchmark]
"""By the name of a task."""

Difference = tuple[str, object, object]
"""Something that no two measurements agree in unless it is the same: its name, and both sides."""


@dataclass(frozen=True)
class KindOfRecord:
    """How a record of one kind of job is held to its job and its arrays."""

    numbers: str
    """Pattern of the arrays that two measurements differ in; empty where all are one number."""
    differences: Callable[[Record, Record], Iterable[Difference]]
    """What two records of the kind may differ in, the most telling first."""
    check: "Callable[[Record, Any, Arrays, Datasets], None]" = lambda *_: None
    """Recomputes what can be, of a record, its job and its arrays; raises InvalidError at the first
    thing that does not follow."""
    path: Callable[[Record], Iterator[str]] = lambda _: iter(())
    """What a path says otherwise than its job, and no warning tells why."""
    values: "Callable[[Any, Arrays], Mapping[str, float]]" = lambda *_: {}
    """Numbers for people, of a job and its arrays."""


_SLACK = 1e-9
"""Relative; a mean may be summed in several ways."""
AS_LOADED = ("none", "own code")
"""What a path says where the model leaves nothing to choose."""
_TAKEN: Mapping[str, tuple[str, ...]] = {
    "kernels": ("kernels", "fused"),
    "live": ("live", "unfused"),
    "slow": ("slow", "plain"),
}
"""What a path says of Mamba's code and of Mamba-2's, where what was asked for was taken."""


def check(record: Record, arrays: "Arrays", kind: KindOfRecord) -> None:
    """Hold path, values and drift of a record to its job, its arrays and its environment.

    Raises:
        InvalidError: at the first thing that does not follow.
    """
    for wrong in (
        *kind.path(record),
        *_device(record),
        *_values(record, kind.values(record.job, arrays)),
        *_drift(record),
    ):
        message = f"record {record.key[:12]}: {wrong}"
        raise InvalidError(message)


def said_otherwise(record: Record, asked: Mapping[str, str]) -> Iterator[str]:
    """What a path says otherwise than it was asked for."""
    for name, wanted in asked.items():
        if record.path.get(name, wanted) != wanted:
            yield f"{name} {record.path[name]}, its job says {wanted}"


def scan(record: Record, where: str, wanted: TuningPath) -> Iterator[str]:
    """Mamba's code in training: what was asked for, or a warning that says why not."""
    taken = record.path.get(where, wanted)
    if taken in (*_TAKEN[wanted], *AS_LOADED):
        return
    if f"this run took {taken}" not in " ".join(record.warnings):
        yield f"{where} {taken}, its job asks for {wanted}, and no warning says why"


def weights(record: Record) -> frozenset[str]:
    """Digests of the weights that were read, and not of answers that are screened against."""
    return frozenset(
        sha
        for name, sha in record.inputs.items()
        if name.endswith(".safetensors") and not name.startswith(f"{FIRST}/")
    )


def _device(record: Record) -> Iterator[str]:
    """A device that its environment does not have."""
    device = record.path.get("device", "cpu")
    names = [gpu.name for gpu in record.environment.gpus]
    if device not in ("cpu", "cuda") and not any(
        device == name or device.startswith(f"{name} MIG") for name in names
    ):
        yield f"it ran on {device}, its environment has {', '.join(names) or 'no GPU'}"


def _values(record: Record, expected: Mapping[str, float]) -> Iterator[str]:
    """Numbers for people that their arrays do not bear out."""
    for name, found in expected.items():
        said = record.values.get(name, found)
        if not isinstance(said, int | float) or abs(said - found) > _SLACK * max(1, abs(found)):
            yield f"it says {name} {said}, its arrays say {found}"


def _drift(record: Record) -> Iterator[str]:
    """Drift that the environment's own packages do not show."""
    for each in record.environment.drift:
        installed = record.environment.packages.get(each.package)
        if each.installed != installed or installed == each.pinned:
            yield f"it says {each}, its packages say {installed or 'not installed'}"
