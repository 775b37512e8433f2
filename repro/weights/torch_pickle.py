"""The pickle of a torch checkpoint, read as data: nothing is imported, called or built.

A pickle is a program. What `torch.save` writes for named weights needs some thirty opcodes and
three callables, and those are played through here on a stack of plain values; any other opcode
or name ends the reading, by name and place. Also what pickles allow and torch never writes is
refused: a key twice, data behind the end, values left over. Source: Python's pickletools.

Python's own unpickler is no way to read one, whatever it may import: nine bytes make it take
gigabytes for its memo, BUILD writes into what the allow-list names, and a nest of tuples as a key
ends the process. Nothing here recurses into, hashes or compares a value that the file nested.
"""

import io
import math
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from repro.weights.torch_zip import RefusedError, printable, refuse

LARGEST_PICKLE = 16_000_000
"""Bytes; a tensor takes some 150."""
_MOST_OPCODES = 4_000_000
"""A tensor takes some 30."""


def interpret(data: bytes) -> object:
    """The value of a pickle: dicts, tuples, strings, whole numbers, storages and tensors.

    Raises:
        RefusedError: at the first opcode that is not on the allow-list, is not used as torch
            uses it, or describes a tensor that is none.
    """
    stream, machine, at = io.BytesIO(data), PickleMachine(), 0
    try:
        for _ in range(_MOST_OPCODES):
            at = stream.tell()
            name, argument = _next(stream)
            if name == "PROTO" and (at or argument not in range(2, 6)):
                refuse(f"protocol {argument}", "protocol 2 to 5, said once, first")
            if name == "STOP":
                return machine.result(len(data) - stream.tell())
            _ACTIONS[name](machine, argument)
        refuse(f"more than {_MOST_OPCODES:,} opcodes", WRITTEN)
    except RefusedError as error:
        error.where = f"data.pkl at byte {at:,}"
        raise


def _next(stream: io.BytesIO) -> tuple[str, Any]:
    """The next opcode, if it is allowed, and its argument."""
    code = stream.read(1)
    if not code:
        refuse("the end of the pickle before its STOP", WRITTEN)
    opcode = _OPCODES.get(code)
    if opcode is None:
        refuse(f"the byte {code[0]:#04x}, which is no opcode", WRITTEN)
    if opcode.name not in _ACTIONS:
        refuse(f"the opcode {opcode.name}", ONLY)
    try:
        if opcode.name == "GLOBAL":  # pickletools' own reader takes backslashes for escapes
            return opcode.name, b".".join((_line(stream), _line(stream))).decode()
        return opcode.name, opcode.arg.reader(stream) if opcode.arg else None
    except ValueError as error:
        found = f"the opcode {opcode.name} with a broken argument ({printable(str(error))})"
        raise RefusedError(found, WRITTEN) from error


def _line(stream: io.BytesIO) -> bytes:
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise ValueError("a name without its end")
    return line[:-1]


# -----------------------------------------------------------------------------
# Tensors: views of a storage, by offset and strides


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


def tensor_view(storage: object, offset: object, shape: object, stride: object) -> Tensor:
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


# -----------------------------------------------------------------------------
# The stack machine: values, marks, memo, and three calls


_LONGEST_STRING = 1_000
"""Characters. Names of weights have some 100."""
_DEEPEST = 20
"""Marks on each other; a state dict needs four."""

_NAMES = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    *STORAGES,
}
"""The allow-list of what a pickle may name."""

ONLY = "only tensors, storages and ordered dicts"
WRITTEN = "a pickle that torch.save wrote"


@dataclass(frozen=True)
class _Global:
    """A name of the allow-list, standing for what would be imported."""

    name: str


class OrderedDict(dict[str, object]):
    """What would be an OrderedDict."""

    __slots__ = ()


class PickleMachine:
    """The stack, the memo and the storages of one pickle."""

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.below: list[list[object]] = []
        """The stacks under each mark."""
        self.memo: dict[int, object] = {}
        self.storages: dict[str, Storage] = {}

    def result(self, left: int) -> object:
        """The one value, at STOP."""
        value = self.pop()
        if self.stack or self.below:
            refuse("values that nothing uses", "one value at the end")
        if left:
            refuse(f"{left:,} bytes after the end of the pickle", "nothing after it")
        return value

    def push(self, value: object) -> None:
        """A value on top."""
        self.stack.append(value)

    def pop(self) -> object:
        """The topmost value."""
        if not self.stack:
            refuse("an opcode that takes more values than there are", WRITTEN)
        return self.stack.pop()

    def text(self, value: str) -> None:
        """A string on top."""
        if len(value) > _LONGEST_STRING:
            found = f"a string of {len(value):,} characters"
            refuse(found, f"at most {_LONGEST_STRING:,}")
        self.push(value)

    def mark(self) -> None:
        """A place to come back to."""
        if len(self.below) == _DEEPEST:
            refuse(f"more than {_DEEPEST} marks on each other", WRITTEN)
        self.below.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[object]:
        """Everything above the last mark."""
        if not self.below:
            refuse("an opcode that needs a mark, and there is none", WRITTEN)
        values, self.stack = self.stack, self.below.pop()
        return values

    def last(self, count: int) -> None:
        """A tuple of the last values."""
        self.push(tuple(reversed([self.pop() for _ in range(count)])))

    def put(self, place: int) -> None:
        """Remember the topmost value."""
        self.push(value := self.pop())
        self.memo[place] = value

    def get(self, place: int) -> None:
        """A remembered value on top."""
        if place not in self.memo:
            refuse(f"memo {place}, which was never written", WRITTEN)
        self.push(self.memo[place])

    def name(self, name: object) -> None:
        """What would be imported, on top."""
        if name not in _NAMES:
            refuse(f"the global {printable(str(name))}", ONLY)
        self.push(_Global(str(name)))

    def name_from_stack(self) -> None:
        """The same, by the two strings on top."""
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            refuse("a global whose name is no text", ONLY)
        self.name(f"{module}.{name}")

    def set_items(self, items: list[object]) -> None:
        """Keys and values, one after the other, into the dict on top."""
        target = self.pop()
        if not isinstance(target, dict) or len(items) % 2:
            refuse(f"items for {kind_of_value(target)}", "keys and values for a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                refuse(f"{kind_of_value(key)} as a key", "names as keys")
            if key in target:
                refuse(f"the key {printable(key)} twice", "every key once")
            target[key] = value
        self.push(target)

    def reduce(self) -> None:
        """A call: an ordered dict, a tensor or a parameter."""
        arguments, called = self.pop(), self.pop()
        name = called.name if isinstance(called, _Global) else kind_of_value(called)
        match name, arguments:
            case "collections.OrderedDict", ():
                self.push(OrderedDict())
            case "torch._utils._rebuild_tensor_v2", (storage, start, shape, stride, bool(), dict()):
                self.push(tensor_view(storage, start, shape, stride))
            case "torch._utils._rebuild_parameter", (Tensor() as tensor, bool(), dict()):
                self.push(tensor)
            case _:
                kinds = (
                    ", ".join(map(kind_of_value, arguments[:9]))
                    if type(arguments) is tuple
                    else "?"
                )
                refuse(f"a call of {name} with ({kinds})", ONLY)

    def build(self) -> None:
        """State of an ordered dict: the module versions, which safetensors has no place for."""
        state, target = self.pop(), self.pop()
        plain = isinstance(state, dict) and state.keys() <= {"_metadata"}
        if not (plain and isinstance(target, OrderedDict)):
            found = f"state for {kind_of_value(target)}"
            refuse(found, "no state but the _metadata of an ordered dict")
        self.push(target)

    def persistent(self) -> None:
        """A storage, by the key of its member."""
        match self.pop():
            case ("storage", _Global(name), str(key), str(), int(numel)) if name in STORAGES:
                storage = Storage(key, STORAGES[name], numel)
                if numel < 0 or self.storages.setdefault(key, storage) != storage:
                    found = f"storage {printable(key)} of {numel:,} elements of {name}"
                    refuse(found, "one length and one type for each storage")
                self.push(storage)
            case other:
                refuse(f"a reference by {kind_of_value(other)}", "references to storages")


def kind_of_value(value: object) -> str:
    """What a value is, for a message."""
    return value.name if isinstance(value, _Global) else type(value).__name__


_OPCODES: Mapping[bytes, pickletools.OpcodeInfo] = {
    each.code.encode("latin-1"): each for each in pickletools.opcodes
}

_ACTIONS: Mapping[str, Callable[[PickleMachine, Any], None]] = {
    "PROTO": lambda _machine, _protocol: None,
    "FRAME": lambda _machine, _length: None,
    "STOP": lambda _machine, _: None,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),  # noqa: FBT003
    "NEWFALSE": lambda machine, _: machine.push(False),  # noqa: FBT003
    "BININT": PickleMachine.push,
    "BININT1": PickleMachine.push,
    "BININT2": PickleMachine.push,
    "LONG1": PickleMachine.push,
    "BINUNICODE": PickleMachine.text,
    "SHORT_BINUNICODE": PickleMachine.text,
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.to_mark())),
    "TUPLE1": lambda machine, _: machine.last(1),
    "TUPLE2": lambda machine, _: machine.last(2),
    "TUPLE3": lambda machine, _: machine.last(3),
    "MARK": lambda machine, _: machine.mark(),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.to_mark()),
    "BINPUT": PickleMachine.put,
    "LONG_BINPUT": PickleMachine.put,
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "BINGET": PickleMachine.get,
    "LONG_BINGET": PickleMachine.get,
    "GLOBAL": PickleMachine.name,
    "STACK_GLOBAL": lambda machine, _: machine.name_from_stack(),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.persistent(),
}
"""The allow-list: what each opcode does, given its argument."""
