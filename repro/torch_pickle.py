"""The pickle of a torch checkpoint, read as data: nothing is imported, called or built.

A pickle is a program. What `torch.save` writes for named weights needs some thirty opcodes and
three callables, and those are played through here on a stack of plain values; any other opcode
or name ends the reading, by name and place. Also what pickles allow and torch never writes is
refused: a key twice, data behind the end, values left over. Source: Python's pickletools.
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from repro.torch_machine import ONLY, WRITTEN, Machine
from repro.torch_refusal import RefusedError, refuse, shown

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
    stream, machine, at = io.BytesIO(data), Machine(), 0
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
        found = f"the opcode {opcode.name} with a broken argument ({shown(str(error))})"
        raise RefusedError(found, WRITTEN) from error


def _line(stream: io.BytesIO) -> bytes:
    line = stream.readline()
    if not line.endswith(b"\n"):
        message = "a name without its end"
        raise ValueError(message)
    return line[:-1]


_OPCODES: Mapping[bytes, pickletools.OpcodeInfo] = {
    each.code.encode("latin-1"): each for each in pickletools.opcodes
}

_ACTIONS: Mapping[str, Callable[[Machine, Any], None]] = {
    "PROTO": lambda _machine, _protocol: None,
    "FRAME": lambda _machine, _length: None,
    "STOP": lambda _machine, _: None,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),  # noqa: FBT003
    "NEWFALSE": lambda machine, _: machine.push(False),  # noqa: FBT003
    "BININT": Machine.push,
    "BININT1": Machine.push,
    "BININT2": Machine.push,
    "LONG1": Machine.push,
    "BINUNICODE": Machine.text,
    "SHORT_BINUNICODE": Machine.text,
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.to_mark())),
    "TUPLE1": lambda machine, _: machine.last(1),
    "TUPLE2": lambda machine, _: machine.last(2),
    "TUPLE3": lambda machine, _: machine.last(3),
    "MARK": lambda machine, _: machine.mark(),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.to_mark()),
    "BINPUT": Machine.put,
    "LONG_BINPUT": Machine.put,
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "BINGET": Machine.get,
    "LONG_BINGET": Machine.get,
    "GLOBAL": Machine.name,
    "STACK_GLOBAL": lambda machine, _: machine.name_from_stack(),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.persistent(),
}
"""The allow-list: what each opcode does, given its argument."""
