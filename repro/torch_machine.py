"""The stack machine behind a torch checkpoint's pickle: values, marks, memo, and three calls.

Nothing here recurses into, hashes or compares a value that the file nested, so that nesting
costs no more than its opcodes.
"""

from dataclasses import dataclass

from repro.torch_refusal import refuse, shown
from repro.torch_tensors import STORAGES, Storage, Tensor, view

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


class Machine:
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
            refuse(f"the global {shown(str(name))}", ONLY)
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
            refuse(f"items for {kind(target)}", "keys and values for a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                refuse(f"{kind(key)} as a key", "names as keys")
            if key in target:
                refuse(f"the key {shown(key)} twice", "every key once")
            target[key] = value
        self.push(target)

    def reduce(self) -> None:
        """A call: an ordered dict, a tensor or a parameter."""
        arguments, called = self.pop(), self.pop()
        name = called.name if isinstance(called, _Global) else kind(called)
        match name, arguments:
            case "collections.OrderedDict", ():
                self.push(OrderedDict())
            case "torch._utils._rebuild_tensor_v2", (storage, start, shape, stride, bool(), dict()):
                self.push(view(storage, start, shape, stride))
            case "torch._utils._rebuild_parameter", (Tensor() as tensor, bool(), dict()):
                self.push(tensor)
            case _:
                kinds = ", ".join(map(kind, arguments[:9])) if type(arguments) is tuple else "?"
                refuse(f"a call of {name} with ({kinds})", ONLY)

    def build(self) -> None:
        """State of an ordered dict: the module versions, which safetensors has no place for."""
        state, target = self.pop(), self.pop()
        plain = isinstance(state, dict) and state.keys() <= {"_metadata"}
        if not (plain and isinstance(target, OrderedDict)):
            found = f"state for {kind(target)}"
            refuse(found, "no state but the _metadata of an ordered dict")
        self.push(target)

    def persistent(self) -> None:
        """A storage, by the key of its member."""
        match self.pop():
            case ("storage", _Global(name), str(key), str(), int(numel)) if name in STORAGES:
                storage = Storage(key, STORAGES[name], numel)
                if numel < 0 or self.storages.setdefault(key, storage) != storage:
                    found = f"storage {shown(key)} of {numel:,} elements of {name}"
                    refuse(found, "one length and one type for each storage")
                self.push(storage)
            case other:
                refuse(f"a reference by {kind(other)}", "references to storages")


def kind(value: object) -> str:
    """What a value is, for a message."""
    return value.name if isinstance(value, _Global) else type(value).__name__
