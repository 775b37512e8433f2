"""Tensors as a torch checkpoint describes them: a view, by offset and strides, of a storage."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from repro.torch_refusal import refuse

_MOST_DIMENSIONS = 16
"""Weights have five at most; numpy stops at 32."""

_LARGEST = 2**63 - 1
"""Torch's own sizes, strides and offsets are signed 64-bit."""


@dataclass(frozen=True)
class Dtype:
    """An element type."""

    name: str
    """In safetensors."""
    size: int
    """Bytes an element."""


STORAGES: Mapping[str, Dtype] = {
    "torch.BoolStorage": Dtype("BOOL", 1),
    "torch.ByteStorage": Dtype("U8", 1),
    "torch.CharStorage": Dtype("I8", 1),
    "torch.ShortStorage": Dtype("I16", 2),
    "torch.HalfStorage": Dtype("F16", 2),
    "torch.BFloat16Storage": Dtype("BF16", 2),
    "torch.IntStorage": Dtype("I32", 4),
    "torch.FloatStorage": Dtype("F32", 4),
    "torch.DoubleStorage": Dtype("F64", 8),
    "torch.LongStorage": Dtype("I64", 8),
}
"""Storage class, as a pickle names it, to element type; in the order of safetensors' own types."""


@dataclass(frozen=True)
class Storage:
    """A flat run of elements: one member of the archive."""

    key: str
    """Its member is `data/<key>`."""
    dtype: Dtype
    numel: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage that lies within it; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes when laid out contiguously."""
        return math.prod(self.shape) * self.storage.dtype.size

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie one after the other, the last dimension fastest."""
        expected = 1
        for length, stride in zip(reversed(self.shape), reversed(self.stride), strict=True):
            if length != 1 and stride != expected:
                return self.size == 0
            expected *= length
        return True


def view(storage: object, offset: object, shape: object, stride: object) -> Tensor:
    """A tensor from what a pickle says of it, held to its storage; allocates nothing.

    Raises:
        RefusedError: if one of the four is not of its kind, or the view leaves the storage.
    """
    if not isinstance(storage, Storage):
        refuse(f"a tensor over {type(storage).__name__}", "over a storage")
    sizes, steps = _counts(shape), _counts(stride)
    (start,) = _counts((offset,))
    if len(sizes) != len(steps) or len(sizes) > _MOST_DIMENSIONS:
        refuse(
            f"a tensor of {len(sizes)} dimensions with {len(steps)} strides",
            f"a stride for each dimension, of at most {_MOST_DIMENSIONS}",
        )
    steps_taken = sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    end = start + steps_taken + 1 if math.prod(sizes) else 0  # torch lets an empty one lie anywhere
    if end > storage.numel:
        refuse(
            f"a tensor that ends at element {end:,} of a storage of {storage.numel:,}",
            "a tensor that lies within its storage",
        )
    return Tensor(storage, start, sizes, steps)


def _counts(values: object) -> tuple[int, ...]:
    """Sizes, strides or an offset: whole numbers, and not negative."""
    if not isinstance(values, tuple):
        refuse(f"{type(values).__name__}", "a tuple of sizes or strides")
    counts = []
    for value in values:
        if type(value) is not int:
            refuse(f"{type(value).__name__}", "a size, stride or offset")
        if not 0 <= value <= _LARGEST:
            refuse(f"the number {value:,}", "a size, stride or offset: 0 to 2**63 - 1")
        counts.append(value)
    return tuple(counts)
