"""Checkpoint files as a whole: real ones of the pinned torch, old layouts, and files that lie."""

import io
import tarfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_archives as made_up
import numpy as np
import pytest
import torch
from made_up_archives import number, sizes, state_dict, storage, tensor, text

from repro.weights import torch_tensors
from repro.weights.torch_zip import RefusedError


def refusal(path: Path, data: bytes | None = None) -> str:
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(RefusedError) as caught:
        torch_tensors.load(path)
    return f"{caught.value.where}: found {caught.value.found}, expected {caught.value.expected}"


def read(path: Path) -> dict[str, Any]:
    """Every tensor's shape, type and bytes."""
    archive = torch_tensors.load(path)
    return {
        name: (each.shape, each.storage.dtype.name, b"".join(archive.data(each)))
        for name, each in archive.tensors.items()
    }


def test_a_handmade_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(made_up.archive())
    assert read(path) == {"weight": ((4,), "F32", bytes(range(16)))}
    assert torch.load(path, weights_only=True)["weight"].numpy().tobytes() == bytes(range(16))


@pytest.mark.parametrize("name", ["state_dict", "model"])
def test_weights_may_lie_one_level_down(name: str, tmp_path: Path) -> None:
    weights = OrderedDict(weight=torch.arange(3))
    torch.save({name: weights}, tmp_path / "x.bin")
    assert read(tmp_path / "x.bin") == {"weight": ((3,), "I64", np.arange(3).tobytes())}
    torch.save({name: weights, "more": weights}, tmp_path / "x.bin")
    assert f"found a value of type OrderedDict under the key {name}" in refusal(tmp_path / "x.bin")


# -----------------------------------------------------------------------------
# What real torch writes and is no set of weights

ONES = torch.ones(2)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"w": ONES.to_sparse()}, "the global torch._utils._rebuild_sparse_tensor"),
        (
            {"w": torch.quantize_per_tensor(ONES, 0.1, 0, torch.qint8)},
            "the global torch._utils._rebuild_qtensor",
        ),
        ({"w": ONES.to(torch.complex64)}, "the global torch.ComplexFloatStorage"),
        ({"w": torch._neg_view(ONES)}, "(Storage, int, tuple, tuple, bool, OrderedDict, dict)"),
        ({"w": ONES.to("meta")}, "the global torch._utils._rebuild_meta_tensor_no_storage"),
        ({"w": ONES.to(torch.float8_e5m2)}, "the global torch._utils._rebuild_tensor_v3"),
        ({"w": ONES, "lr": 0.1}, "the opcode BINFLOAT"),
        ({"w": ONES, "steps": [1]}, "the opcode EMPTY_LIST"),
        ({"w": ONES, "epoch": 3}, "a value of type int under the key epoch"),
        ({1: ONES}, "int as a key"),
        ({"w\x1b[2J": ONES}, "a tensor named w\\x1b[2J"),
        ({"__metadata__": ONES}, "a tensor named __metadata__"),
        ({}, "no tensors"),
        ({"model": {}}, "no tensors"),
        (ONES, "a value of type Tensor"),
        (torch.nn.Linear(2, 2), "the global torch.nn.modules.linear.Linear"),
        ({"w": torch.zeros(1).expand(10**12)}, "tensors of 4,000,000,000,000 bytes in a file of"),
        ({str(each): torch.zeros(9_000)[:] for each in range(3)}, None),
        (dict.fromkeys("abcdefghi", torch.zeros(9_000)), "tensors of 324,000 bytes in a file of"),
    ],
    ids=str,
)
def test_what_torch_saves_beside_weights(value: Any, found: str | None, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "x.bin")
    if found is None:
        assert read(tmp_path / "x.bin")
    else:
        assert found in refusal(tmp_path / "x.bin")


def bare_pickle() -> bytes:
    stream = io.BytesIO()
    torch.save({"w": ONES}, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        file.addfile(tarfile.TarInfo("storages"))
        file.addfile(tarfile.TarInfo("pickle"))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (bare_pickle, "a bare pickle, the layout of torch before 1.6"),
        (tar, "a tar archive, the layout of the first versions of torch"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (lambda: (2).to_bytes(8, "little") + b"{}", "safetensors already"),
        (lambda: b"", "a file of 0 bytes that starts with b''"),
        (lambda: b"<html>", "a file of 6 bytes that starts with b'<html>'"),
        (lambda: made_up.archive(**{"a/constants.pkl": b""}), "a TorchScript archive"),
        (lambda: made_up.archive(**{"a/code/x.py": b""}), "a TorchScript archive"),
        (
            lambda: made_up.archive(**{"a/extra": b""}),
            "member extra: found no part of a checkpoint",
        ),
        (lambda: made_up.archive(**{"a/byteorder": b"big"}), "byte order big"),
        (
            lambda: made_up.archive().replace(b"data.pkl", b"version1"),
            "member version1: found no part of a checkpoint",
        ),
    ],
)
def test_other_layouts_are_named(make: Callable[[], bytes], found: str, tmp_path: Path) -> None:
    assert found in refusal(tmp_path / "pytorch_model.bin", make())


@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_storages_of_another_length_are_refused(length: int, tmp_path: Path) -> None:
    data = made_up.archive(storages={"0": bytes(length)})
    said = refusal(tmp_path / "x.bin", data)
    assert said == (f"member data/0: found {length} bytes, expected 4 elements of F32: 16 bytes")


@pytest.mark.parametrize("key", ["1", "../data.pkl", "/etc/passwd", "\x1b[2J", ""])
def test_storages_that_are_not_there_are_refused(key: str, tmp_path: Path) -> None:
    data = made_up.archive(state_dict(weight=tensor(of=storage(key))))
    said = refusal(tmp_path / "x.bin", data)
    assert "found no such member, expected every storage that data.pkl names" in said
    assert said.isprintable()


def test_an_enormous_storage_is_refused_unread(tmp_path: Path) -> None:
    made = tensor(of=storage(numel=2**62), shape=sizes(2**62))
    assert "found 16 bytes" in refusal(tmp_path / "x.bin", made_up.archive(state_dict(w=made)))


def test_an_enormous_pickle_is_refused_unread(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("repro.weights.torch_pickle.LARGEST_PICKLE", 100)
    assert "member data.pkl: found " in refusal(tmp_path / "x.bin", made_up.archive())


# -----------------------------------------------------------------------------
# Views


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [
        ((3, 4), (4, 1), 0),
        ((4, 3), (1, 4), 0),
        ((2, 2, 2), (1, 3, 5), 2),
        ((3,), (0,), 7),
        ((5,), (2,), 1),
        ((), (), 11),
        ((0, 3), (3, 1), 12),
        ((0, 3), (3, 1), 0),
        ((1, 12), (77, 1), 0),
        ((4, 4), (1, 1), 0),
    ],
)
@pytest.mark.parametrize("kind", ["Byte", "Half", "Int", "Double"])
def test_views_are_what_torch_makes_of_them(
    kind: str, shape: tuple[int, ...], stride: tuple[int, ...], offset: int, tmp_path: Path
) -> None:
    """Oracle: torch.as_strided."""
    base = torch.arange(12, dtype=getattr(torch, f"{kind}Tensor").dtype)
    of = storage(numel=12, kind=f"{kind}Storage")
    made = tensor(of, number(offset), sizes(*shape), sizes(*stride))
    path = tmp_path / "x.bin"
    path.write_bytes(made_up.archive(state_dict(w=made), {"0": base.numpy().tobytes()}))
    ((found_shape, _, data),) = read(path).values()
    expected = torch.as_strided(base, shape, stride, offset).contiguous().numpy()
    assert found_shape == expected.shape
    assert data == expected.tobytes()


def test_names_are_those_of_the_pickle(tmp_path: Path) -> None:
    names = ["backbone.layers.0.mixer.A_log", "größe", "a b"]
    torch.save(dict.fromkeys(names, ONES), tmp_path / "x.bin")
    assert list(read(tmp_path / "x.bin")) == names
    assert text("größe") in (tmp_path / "x.bin").read_bytes()


def test_a_file_that_shrinks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(made_up.archive())
    archive = torch_tensors.load(tmp_path / "x.bin")
    (tmp_path / "x.bin").write_bytes(made_up.archive()[:150])
    with pytest.raises(RefusedError, match="became shorter"):
        list(archive.data(archive.tensors["weight"]))
