"""Pickles as data: what torch writes is understood, what could run is named and not run.

Oracle of the hostile ones: Python's own unpickler, which is shown to run each of them.
"""

import contextlib
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import made_up_archives as made_up
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_archives import number, sizes, state_dict, storage, tensor, text

from repro.weights import torch_pickle
from repro.weights.torch_pickle import STORAGES, OrderedDict, Storage, Tensor, interpret
from repro.weights.torch_zip import RefusedError


def refusal(data: bytes) -> str:
    with pytest.raises(RefusedError) as caught:
        interpret(data)
    return f"{caught.value.where}: found {caught.value.found}, expected {caught.value.expected}"


def test_a_state_dict_is_understood() -> None:
    floats = Storage("0", STORAGES["torch.FloatStorage"], 4)
    assert interpret(made_up.ONE) == {"weight": Tensor(floats, 0, (4,), (1,))}


def test_module_versions_are_dropped() -> None:
    state = b"}" + text("_metadata") + made_up.HOOKS + b"sb"
    data = b"\x80\x02" + made_up.HOOKS + text("weight") + tensor() + b"s" + state + b"."
    value = interpret(data)
    assert isinstance(value, OrderedDict)
    assert list(value) == ["weight"]


# -----------------------------------------------------------------------------
# What defeats Python's own unpickler, whatever it may import

MEMO = bytes.fromhex("80024e720084d7172e")
"""Remembers None at place 400,000,000."""

UNDER_A_GIBIBYTE = """
import io, pickle, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
class Restricted(pickle.Unpickler):
    def find_class(self, module, name):
        raise pickle.UnpicklingError("nothing may be imported")
try:
    Restricted(io.BytesIO(bytes.fromhex(sys.argv[1]))).load()
except MemoryError:
    sys.exit(3)
"""


def test_a_far_place_in_the_memo_takes_no_memory() -> None:
    """Oracle: a restricted unpickler, which runs out of memory over the same nine bytes."""
    tracemalloc.start()
    try:
        assert interpret(MEMO) is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    command = [sys.executable, "-c", UNDER_A_GIBIBYTE, MEMO.hex()]
    assert subprocess.run(command, check=False).returncode == 3


def test_a_key_nested_a_million_deep_is_refused() -> None:
    """Python's own unpickler hashes it, and ends the process."""
    assert "tuple as a key" in refusal(b"\x80\x02})" + b"\x85" * 1_000_000 + b"Ns.")


@pytest.mark.parametrize("name", ["collections\nOrderedDict", "torch._utils\n_rebuild_tensor_v2"])
def test_no_state_is_written_into_an_allowed_name(name: str) -> None:
    """Python's own BUILD sets attributes of what the name stands for, in the whole process."""
    data = b"\x80\x02c" + name.encode() + b"\n}" + text("planted") + b"Nsb."
    assert f"found state for {name.replace(chr(10), '.')}" in refusal(data)
    assert not hasattr(OrderedDict, "planted")


# -----------------------------------------------------------------------------
# Gadgets


def touch(path: Path) -> bytes:
    """Arguments of a shell's touch."""
    return b"(" + text(f"touch {path}") + b"t"


GADGETS: dict[str, Callable[[Path], bytes]] = {
    "posix.system": lambda path: b"cposix\nsystem\n" + touch(path) + b"R",
    "builtins.eval": lambda path: (
        b"cbuiltins\neval\n(" + text(f"open({str(path)!r}, 'w').close()") + b"tR"
    ),
    "posix.system, on the stack": lambda path: (
        text("posix") + text("system") + b"\x93" + touch(path) + b"R"
    ),
    "posix.system, from the memo": lambda path: (
        *(b"(" + text("system") + b"q\xf1" + text("posix") + b"q\xf2t"),
        *(b"h\xf2h\xf1\x93" + touch(path) + b"R"),
    ),
    "posix.system, as an object": lambda path: b"(cposix\nsystem\n" + text(f"touch {path}") + b"o",
}


@pytest.mark.parametrize("place", ["value", "key", "state", "storage", "stride"])
@pytest.mark.parametrize("name", GADGETS)
def test_gadgets_are_named_and_not_run(name: str, place: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    gadget = bytes(GADGETS[name](canary))
    said = refusal(
        {
            "value": state_dict(weight=tensor(), other=gadget),
            "key": b"\x80\x02}" + gadget + b"Ns.",
            "state": b"\x80\x02" + made_up.HOOKS + b"}" + text("_metadata") + gadget + b"sb.",
            "storage": state_dict(weight=tensor(of=gadget + b"Q")),
            "stride": state_dict(weight=tensor(stride=gadget)),
        }[place]
    )
    found = (
        f"found the global {name.partition(',')[0]}, expected only tensors, storages and ordered"
    )
    assert found in said
    assert not canary.exists()


@pytest.mark.parametrize("name", GADGETS)
def test_python_runs_each_of_these_gadgets(name: str, tmp_path: Path) -> None:
    pickle.loads(b"\x80\x02" + bytes(GADGETS[name](tmp_path / "canary")) + b".")
    assert (tmp_path / "canary").exists()


def test_the_place_of_a_gadget_is_its_byte() -> None:
    data = state_dict(weight=tensor(), other=b"cposix\nsystem\n)R")
    assert refusal(data).startswith(f"data.pkl at byte {data.index(b'cposix')}: ")


def test_what_lies_behind_the_end_is_refused() -> None:
    hidden = made_up.ONE + b"cposix\nsystem\n(X\0\0\0\0tR."
    assert "23 bytes after the end of the pickle" in refusal(hidden)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"\x82\x01", "the opcode EXT1"),
        (b"\x83\x01\0", "the opcode EXT2"),
        (b"Ptorch\n", "the opcode PERSID"),
        (b"\x8b\xff\xff\xff\x7f", "the opcode LONG4"),
        (b"L1L\n", "the opcode LONG"),
        (b"G" + b"\x7f\xf8" + bytes(6), "the opcode BINFLOAT"),  # NaN
        (b"\x8d" + b"\xff" * 8, "the opcode BINUNICODE8"),
        (b"\x96" + b"\xff" * 8, "the opcode BYTEARRAY8"),
        (b"]", "the opcode EMPTY_LIST"),
        (b"\xff", "the byte 0xff, which is no opcode"),
        (b"X\xff\xff\xff\x7f", "the opcode BINUNICODE with a broken argument"),
        (b"X\x01\0\0\0\xff", "the opcode BINUNICODE with a broken argument"),
        (b"cposix", "the opcode GLOBAL with a broken argument"),
        (text("x" * 1001), "a string of 1,001 characters"),
        (b"(" * 1000, "more than 20 marks on each other"),
        (b"h\x07", "memo 7, which was never written"),
        (b"R", "an opcode that takes more values than there are"),
        (b"u", "an opcode that needs a mark, and there is none"),
        (b"N)\x93", "a global whose name is no text"),
        (b"NN", "values that nothing uses"),
        (b"(N", "values that nothing uses"),
        (b"\x80\x02", "protocol 2"),
        (b"}NNs", "NoneType as a key"),
        (b"}" + text("a") + b"Ns" + text("a") + b"Ns", "the key a twice"),
        (b"}(" + text("a") + b"u", "items for dict"),
        (b"N" + text("a") + b"Ns", "items for NoneType"),
        (b"ctorch\nHalfStorage\n)R", "a call of torch.HalfStorage with ()"),
        (made_up.HOOKS[:-2] + b"N\x85R", "a call of collections.OrderedDict with (NoneType)"),
        (made_up.HOOKS + b"}" + text("__class__") + b"Nsb", "state for OrderedDict"),
        (b"}}" + text("_metadata") + b"Nsb", "state for dict"),
        (tensor() + b"}b", "state for Tensor"),
        (b"NQ", "a reference by NoneType"),
        (storage(kind="HalfStorage").replace(text("storage"), text("module")), "a reference by "),
        (
            b"ctorch._utils\n_rebuild_parameter\n(N\x89}tR",
            "a call of torch._utils._rebuild_parameter with (NoneType, bool, dict)",
        ),
        (
            b"ctorch._utils\n_rebuild_parameter_with_state\n",
            "the global torch._utils._rebuild_parameter_with_state",
        ),
        (
            b"ctorch._tensor\n_rebuild_from_type_v2\n",
            "the global torch._tensor._rebuild_from_type_v2",
        ),
        (b"ctorch.serialization\nload\n", "the global torch.serialization.load"),
        (b"ccoll\\x65ctions\nOrderedDict\n", "the global coll\\\\x65ctions.OrderedDict"),
        (b"ccollections\nOrderedDict\n)\x81", "the opcode NEWOBJ"),
        (b"(iposix\nsystem\n", "the opcode INST"),
        (b"(cos\nsystem\no", "the global os.system"),
        (b"(ccollections\nOrderedDict\no", "the opcode OBJ"),
        (b"N0", "the opcode POP"),
        (b"ctorch\nQInt8Storage\n", "the global torch.QInt8Storage"),
        (b"ctorch.storage\nUntypedStorage\n", "the global torch.storage.UntypedStorage"),
    ],
)
def test_what_torch_never_writes_is_refused_by_name(body: bytes, found: str) -> None:
    assert f"found {found}" in refusal(b"\x80\x02" + body + b".")


def test_an_opcode_bomb_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_pickle, "_MOST_OPCODES", 1000)
    assert "more than 1,000 opcodes" in refusal(b"\x80\x02" + b"N" * 2000 + b".")


def test_nesting_costs_no_more_than_its_opcodes() -> None:
    """A tuple of itself twice, thirty levels deep, has a billion leaves; and one 100,000 deep."""
    bomb = b"\x80\x02)" + b"".join(
        bytes([*b"q", level, *b"h", level, 0x86]) for level in range(100)
    )
    assert isinstance(interpret(bomb + b"."), tuple)
    assert isinstance(interpret(b"\x80\x02)" + b"\x85" * 100_000 + b"."), tuple)
    assert "tuple as a key" in refusal(b"\x80\x02})" + b"\x85" * 100_000 + b"Ns.")
    assert isinstance(interpret(b"\x80\x02}q\x01" + text("self") + b"h\x01s."), dict)


# -----------------------------------------------------------------------------
# Tensors


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (tensor(of=b"N"), "a tensor over NoneType"),
        (tensor(of=text("storage")), "a tensor over str"),
        (tensor(offset=b"K\x01"), "a tensor that ends at element 5 of a storage of 4"),
        (tensor(offset=number(-1)), "the number -1"),
        (tensor(offset=b"N"), "NoneType"),
        (tensor(shape=sizes(5)), "a tensor that ends at element 5 of a storage of 4"),
        (tensor(shape=sizes(-4)), "the number -4"),
        (tensor(stride=sizes(-1)), "the number -1"),
        (tensor(shape=sizes(2**64)), "the number 18,446,744,073,709,551,616"),
        (tensor(shape=sizes(2**62, 2**62), stride=sizes(2**62, 2**62)), "a tensor that ends at"),
        (tensor(shape=sizes(2), stride=sizes(4)), "a tensor that ends at element 5"),
        (tensor(shape=sizes(2, 2)), "a tensor of 2 dimensions with 1 strides"),
        (tensor(shape=sizes(*[1] * 17), stride=sizes(*[1] * 17)), "a tensor of 17 dimensions"),
        (tensor(shape=b"\x88\x85"), "bool"),
        (tensor(shape=b"N"), "NoneType"),
        (tensor(of=storage(numel=-1)), "storage 0 of -1 elements"),
    ],
)
def test_tensors_that_leave_their_storage_are_refused(made: bytes, found: str) -> None:
    assert f"found {found}" in refusal(state_dict(weight=made))


@pytest.mark.parametrize("other", [storage(numel=5), storage(kind="IntStorage")])
def test_one_storage_as_two_is_refused(other: bytes) -> None:
    said = refusal(state_dict(one=tensor(), two=tensor(of=other)))
    assert "expected one length and one type for each storage" in said


PIECES = st.sampled_from(
    [
        *(bytes([code]) for code in range(256)),
        *(made_up.HOOKS, storage(), tensor(), sizes(4), text("a"), number(3), b"q\0", b"h\0"),
        *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", b"cposix\nsystem\n"),
    ]
)


@settings(max_examples=500)
@given(pieces=st.lists(PIECES, max_size=30), protocol=st.sampled_from([b"", b"\x80\x02"]))
def test_any_opcodes_give_a_value_or_a_refusal(pieces: list[bytes], protocol: bytes) -> None:
    with contextlib.suppress(RefusedError):
        interpret(protocol + b"".join(pieces) + b".")
