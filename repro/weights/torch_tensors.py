"""A torch checkpoint file (`pytorch_model.bin`) as named tensors, without torch and unpickling.

`torch.load` runs what a pickle says, and in torch 2.2.1 also with `weights_only=True`
(CVE-2025-32434, CVE-2026-24747). Here the archive is read as bytes: `data.pkl` names the tensors
and is interpreted by an allow-list, `data/<key>` are the storages.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from repro import fileio
from repro.weights import torch_pickle, torch_zip
from repro.weights.torch_pickle import Tensor
from repro.weights.torch_zip import WHOLE, Member, printable, refuse

_SMALL = ("version", "byteorder", ".data/serialization_id", ".format_version", ".storage_alignment")
"""What torch writes beside the pickle and the storages."""

_MOST_COPIES = 4
"""Tensors may share a storage and are written out each; more than this is no set of weights."""

_CHUNK = 1 << 24

_FORMAT = "a zip archive of torch.save, torch 1.6 or newer; or use a copy made as safetensors"
_MAPPING = "a dict of tensors by name, bare or alone under state_dict or model"


@dataclass(frozen=True)
class Archive:
    """A checkpoint file whose every tensor is known to lie where it says."""

    path: Path
    size: int
    """Bytes of the file."""
    tensors: Mapping[str, Tensor]
    members: Mapping[str, Member]

    def data(self, tensor: Tensor) -> Iterator[memoryview]:
        """A tensor's bytes, contiguous and little-endian, in pieces.

        The file is mapped, so that it takes no memory; a tensor that is not contiguous in it
        takes its own size.

        Raises:
            RefusedError: if the file became shorter since it was loaded.
        """
        import numpy as np  # `repro --help` needs none of it

        member = self.members[f"data/{tensor.storage.key}"]
        itemsize = tensor.storage.dtype.size
        raw = np.memmap(self.path, np.uint8, "r")[member.offset : member.end]
        if len(raw) != member.size:  # else a view could read past the end of the mapping
            refuse("a file that became shorter while it was read", WHOLE)
        if tensor.contiguous:
            flat = raw[tensor.offset * itemsize :][: tensor.size]
        else:
            strides = [step * itemsize for step in tensor.stride]
            start = raw.view(f"<u{itemsize}")[tensor.offset :]
            seen = np.lib.stride_tricks.as_strided(start, tensor.shape, strides, writeable=False)
            flat = np.ascontiguousarray(seen).reshape(-1).view(np.uint8)
        for at in range(0, tensor.size, _CHUNK):
            yield flat[at : at + _CHUNK].data


def load(path: Path) -> Archive:
    """Read what a checkpoint file holds; of the tensors themselves nothing yet.

    Raises:
        RefusedError: if it is anything but named tensors in an archive of torch.save.
        OSError: if it cannot be read.
    """
    with fileio.open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        _check_format(file.read(512), size)
        members = torch_zip.members(file, size)
        _check_members(members)
        if "byteorder" in members:  # torch before 2.1 wrote none, and little-endian
            order = torch_zip.content(file, members, "byteorder", 16)
            if order != b"little":
                found = f"byte order {printable(order.decode(errors='replace'))}"
                refuse(found, "little", "member byteorder")
        pickle = torch_zip.content(file, members, "data.pkl", torch_pickle.LARGEST_PICKLE)
    tensors = _named_tensors(torch_pickle.interpret(pickle))
    for tensor in tensors.values():
        _check_storage(tensor, members)
    total = sum(tensor.size for tensor in tensors.values())
    if total > _MOST_COPIES * size:
        found = f"tensors of {total:,} bytes in a file of {size:,}"
        refuse(found, f"no storage written more than {_MOST_COPIES} times")
    return Archive(path, size, tensors, members)


def _check_format(head: bytes, size: int) -> None:
    """Say what a file is that is no zip archive."""
    if head.startswith(b"PK\x03\x04"):
        return
    if int.from_bytes(head[:8], "little") + 8 <= size and head[8:9] == b"{":
        refuse("safetensors already", "a torch checkpoint; this needs no conversion")
    if head[257:262] == b"ustar":
        found = "a tar archive, the layout of the first versions of torch"
    elif head.startswith(b"\x80"):
        found = "a bare pickle, the layout of torch before 1.6"
    elif head.startswith(b"version https://git-lfs"):
        found = "a pointer of Git LFS in place of the file"
    else:
        found = f"a file of {size:,} bytes that starts with {head[:8]!r}"
    refuse(found, _FORMAT)


def _check_members(members: Mapping[str, Member]) -> None:
    if any(name == "constants.pkl" or name.startswith("code/") for name in members):
        refuse("a TorchScript archive, which is a program", _FORMAT)
    for name in members:
        if name not in ("data.pkl", *_SMALL) and not name.startswith("data/"):
            expected = "only data.pkl, its storages under data/ and torch's own marks"
            refuse("no part of a checkpoint", expected, f"member {printable(name)}")
    if "data.pkl" not in members:
        refuse("no member data.pkl", WHOLE)


def _named_tensors(value: object) -> dict[str, Tensor]:
    """The tensors of a state dict, which may lie one level down."""
    where = "data.pkl"
    if isinstance(value, dict) and len(value) == 1:
        ((name, inner),) = value.items()
        if name in ("state_dict", "model") and isinstance(inner, dict):
            value, where = inner, f"data.pkl: {name}"
    if not isinstance(value, dict):
        refuse(f"a value of type {type(value).__name__}", _MAPPING, where)
    if not value:
        refuse("no tensors", _MAPPING, where)
    for name, tensor in value.items():
        if not isinstance(tensor, Tensor):
            found = f"a value of type {type(tensor).__name__} under the key {printable(name)}"
            refuse(found, _MAPPING, where)
        if not name.isprintable() or name == "__metadata__":
            refuse(f"a tensor named {printable(name)}", "a name that prints", where)
    return value


def _check_storage(tensor: Tensor, members: Mapping[str, Member]) -> None:
    """Hold a storage's length to its member's."""
    storage = tensor.storage
    where = f"member data/{printable(storage.key)}"
    member = members.get(f"data/{storage.key}")
    if member is None:
        refuse("no such member", "every storage that data.pkl names", where)
    expected = storage.numel * storage.dtype.size
    if member.size != expected:
        promised = f"{storage.numel:,} elements of {storage.dtype.name}: {expected:,} bytes"
        refuse(f"{member.size:,} bytes", promised, where)
