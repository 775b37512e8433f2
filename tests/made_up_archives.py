"""Torch checkpoint files made by hand: pickles by opcode, archives by Python's own zipfile.

zipfile knows nothing of torch, so that an archive of it is an independent witness of the format.
"""

import io
import zipfile
from collections.abc import Mapping


def text(value: str) -> bytes:
    """BINUNICODE."""
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def number(value: int) -> bytes:
    """LONG1."""
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + len(raw).to_bytes(1, "little") + raw


def storage(key: str = "0", numel: int = 4, kind: str = "FloatStorage") -> bytes:
    """A storage by its persistent id."""
    named = text("storage") + f"ctorch\n{kind}\n".encode()
    return b"(" + named + text(key) + text("cpu") + number(numel) + b"tQ"


def sizes(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


HOOKS = b"ccollections\nOrderedDict\n)R"


def tensor(
    of: bytes = storage(),
    offset: bytes = b"K\0",
    shape: bytes = sizes(4),
    stride: bytes = sizes(1),
) -> bytes:
    """A call of torch._utils._rebuild_tensor_v2."""
    called = b"ctorch._utils\n_rebuild_tensor_v2\n"
    return called + b"(" + of + offset + shape + stride + b"\x89" + HOOKS + b"tR"


def state_dict(**values: bytes) -> bytes:
    """A whole pickle of protocol 2."""
    items = b"".join(text(name) + value for name, value in values.items())
    return b"\x80\x02}(" + items + b"u."


ONE = state_dict(weight=tensor())
"""One tensor of four floats."""


def archive(
    pickle: bytes = ONE,
    storages: Mapping[str, bytes] | None = None,
    *,
    method: int = zipfile.ZIP_STORED,
    **more: bytes,
) -> bytes:
    """An archive with a pickle, storages and more members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        file.writestr("a/data.pkl", pickle)
        for key, data in ({"0": bytes(range(16))} if storages is None else storages).items():
            file.writestr(f"a/data/{key}", data)
        file.writestr("a/version", "3\n")
        for name, data in more.items():
            file.writestr(name, data)
    return stream.getvalue()
