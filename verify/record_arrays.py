"""Arrays of a record by name."""

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from repro.record import Record
from verify.errors import InvalidError

if TYPE_CHECKING:
    from repro.store import Arrays


def array_of(record: Record, arrays: "Arrays", name: str) -> NDArray[Any]:
    """One array of a record.

    Raises:
        InvalidError: if the record lacks it, or it is a single number: no job writes one.
    """
    if name not in arrays or arrays[name].ndim == 0:
        message = f"record {record.key[:12]} has no array {name!r}"
        raise InvalidError(message)
    return arrays[name]
