"""States of models as values: how many bytes one holds, and its rows taken for other rows.

A state is tensors in nested tuples, named tuples or dicts. Two tensors that share
memory hold it once: the rows of a branch that was not copied cost nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor


def size(state: object) -> int:
    """Bytes of memory that a state keeps from being freed."""
    storages = [tensor.untyped_storage() for tensor in _tensors(state)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def branch(state: Any, rows: Tensor) -> Any:  # noqa: ANN401 - the same nested tuples come back
    """Row i of the result is row rows[i] of the state.

    Args:
        state: Nested tuples, named tuples or dicts of tensors with the batch first.
        rows: int64, (rows of the result,), on any device.

    Returns:
        The same shape of tuples. Where all rows are one and the same the tensors are views that
        repeat it, without a copy: read them, never write.
    """
    wanted = rows.tolist()
    repeated = len(set(wanted)) == 1

    def taken(tensor: Tensor) -> Tensor:
        if repeated:
            row = tensor[wanted[0] : wanted[0] + 1]
            return row.expand(len(wanted), *tensor.shape[1:])
        return tensor.index_select(0, rows.to(tensor.device))

    return _mapped(state, taken)


def _mapped(state: Any, change: Any) -> Any:  # noqa: ANN401
    if isinstance(state, Tensor):
        return change(state)
    if isinstance(state, Mapping):
        return {key: _mapped(part, change) for key, part in state.items()}
    parts = [_mapped(part, change) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def _tensors(state: object) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, Mapping):
        for part in state.values():
            yield from _tensors(part)
    elif isinstance(state, tuple | list):
        for part in state:
            yield from _tensors(part)
