"""`repro convert`: bit for bit what torch saved, and nothing written when anything is wrong."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import made_up_archives as made_up
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_archives import state_dict, tensor
from safetensors.torch import load_file, save_file

from repro.errors import BadInputError
from repro.weights.convert import convert

TYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
)


def quiet(_done: int, _total: int, _note: str) -> None:
    """No bar."""


def weights() -> dict[str, torch.Tensor]:
    """Contiguous tensors of every type, with odd lengths, nothing shared."""
    torch.manual_seed(0)
    made = {f"{each}".removeprefix("torch."): (torch.randn(3, 5) * 9).to(each) for each in TYPES}
    bits = torch.randint(-(2**15), 2**15, (501,), dtype=torch.int16)  # NaNs of every kind too
    return {
        **made,
        "layers.0.bits": bits.view(torch.bfloat16),
        "layers.0.scalar": torch.tensor(1.5),
        "layers.0.empty": torch.zeros(0, 3),
        "größe": torch.arange(7),
    }


def bits_of(tensor: torch.Tensor) -> tuple[Any, ...]:
    whole = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
    return whole.dtype, whole.shape, whole.reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert {name: bits_of(each) for name, each in found.items()} == {
        name: bits_of(each) for name, each in expected.items()
    }


def refusal(file: Path, out: Path | None = None) -> str:
    with pytest.raises(BadInputError) as caught:
        convert(file, out, quiet)
    return str(caught.value)


# -----------------------------------------------------------------------------
# What comes out


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_file_is_the_library_s_to_the_byte(protocol: int, tmp_path: Path) -> None:
    """Oracle: safetensors.torch.save_file of the same tensors."""
    made = weights()
    torch.save(made, tmp_path / "pytorch_model.bin", pickle_protocol=protocol)
    save_file(made, tmp_path / "expected.safetensors", metadata={"format": "pt"})
    (found,) = convert(tmp_path / "pytorch_model.bin", None, quiet)
    assert found.target == tmp_path / "model.safetensors"
    assert found.tensors == len(made)
    assert found.target.read_bytes() == (tmp_path / "expected.safetensors").read_bytes()
    assert_same(load_file(found.target), made)


def test_a_module_with_parameters_buffers_and_versions(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).half()
    state = module.state_dict(keep_vars=True)
    assert isinstance(state, OrderedDict)
    assert state._metadata
    torch.save(state, tmp_path / "pytorch_model.bin")
    (found,) = convert(tmp_path / "pytorch_model.bin", tmp_path / "new" / "out", quiet)
    assert found.target == tmp_path / "new" / "out" / "model.safetensors"
    assert_same(load_file(found.target), dict(state))
    again = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    again.load_state_dict(load_file(found.target))


def test_tied_weights_and_views_are_written_in_full(tmp_path: Path) -> None:
    base = torch.arange(60.0).reshape(6, 10)
    made = {
        "embedding": base,
        "head": base,
        "turned": base.t(),
        "rows": base[1:3],
        "every.other": base[::2, ::3],
        "alone": torch.ones(500),
    }
    torch.save(made, tmp_path / "pytorch_model.bin")
    (found,) = convert(tmp_path / "pytorch_model.bin", None, quiet)
    assert_same(load_file(found.target), made)
    assert found.shared == (("embedding", "head", "turned", "rows", "every.other"),)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(0, 4), max_size=4),
    dtype=st.sampled_from(TYPES),
    data=st.data(),
)
def test_any_view_comes_out_as_torch_sees_it(
    shape: list[int], dtype: torch.dtype, data: st.DataObject, tmp_path: Path
) -> None:
    made = (
        torch.randn(shape).mul(9).to(dtype).permute(data.draw(st.permutations(range(len(shape)))))
    )
    for dimension, length in enumerate(made.shape):
        start = data.draw(st.integers(0, length))
        made = made.narrow(dimension, start, data.draw(st.integers(0, length - start)))
    torch.save({"view": made, "more": torch.zeros(300)}, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink(missing_ok=True)
    (found,) = convert(tmp_path / "pytorch_model.bin", None, quiet)
    assert_same({"view": load_file(found.target)["view"]}, {"view": made})


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_honest_file_is_what_torch_load_makes_of_it(
    data: st.DataObject, tmp_path: Path
) -> None:
    """Oracle: `torch.load`, of files written here: views of shared storages, any protocol."""
    bases = [
        torch.arange(60).mul(7).remainder(256).to(data.draw(st.sampled_from(TYPES)))
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    made: dict[str, torch.Tensor] = {"rest": torch.zeros(900)}
    for number in range(data.draw(st.integers(1, 6))):
        base = data.draw(st.sampled_from(bases))
        rows, columns = data.draw(st.sampled_from([(1, 1), (2, 5), (6, 10), (0, 3), (4, 7)]))
        steps = data.draw(st.sampled_from([(columns, 1), (1, rows), (0, 1), (1, 1)]))
        reach = max(rows - 1, 0) * steps[0] + max(columns - 1, 0) * steps[1]
        start = data.draw(st.integers(0, 59 - reach)) if reach < 60 else 0
        view = torch.as_strided(base, (rows, columns), steps, start)
        made[f"layer.{number}"] = torch.nn.Parameter(view) if view.is_floating_point() else view
    file = tmp_path / "pytorch_model.bin"
    torch.save(made, file, pickle_protocol=data.draw(st.integers(2, 5)))
    (tmp_path / "model.safetensors").unlink(missing_ok=True)
    (found,) = convert(file, None, quiet)
    assert_same(load_file(found.target), dict(torch.load(file)))


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    torch.save(weights(), tmp_path / "pytorch_model.bin")
    convert(tmp_path / "pytorch_model.bin", None, lambda *each: seen.append(each))
    done, total, note = seen[-1]
    assert (done, note) == (total, "pytorch_model.bin")


# -----------------------------------------------------------------------------
# Damaged files

SMALL = made_up.archive(state_dict(weight=tensor()))


def convert_bytes(data: bytes, folder: Path) -> dict[str, torch.Tensor] | None:
    """The tensors, or None if they were refused; then nothing was written."""
    folder.mkdir(exist_ok=True)
    (folder / "pytorch_model.bin").write_bytes(data)
    (folder / "model.safetensors").unlink(missing_ok=True)
    try:
        (found,) = convert(folder / "pytorch_model.bin", None, quiet)
    except BadInputError:
        assert [each.name for each in folder.iterdir()] == ["pytorch_model.bin"]
        return None
    return load_file(found.target)


def real() -> bytes:
    """A file of the pinned torch."""
    import io

    stream = io.BytesIO()
    torch.save({"one": torch.arange(4.0), "two": torch.ones(2, 3).t()}, stream)
    return stream.getvalue()


def test_a_real_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    data = real()
    assert convert_bytes(data, tmp_path) is not None
    for end in range(0, len(data), 3):
        assert convert_bytes(data[:end], tmp_path) is None


@pytest.mark.parametrize("data", [SMALL, real()], ids=["handmade", "real"])
def test_a_byte_changed_is_refused_or_changes_nothing(data: bytes, tmp_path: Path) -> None:
    """Times and padding mean nothing; every other byte is held by a checksum or a rule."""
    expected = convert_bytes(data, tmp_path)
    assert expected is not None
    refused = 0
    for at in range(0, len(data), 1 + len(data) // 1000):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        found = convert_bytes(bytes(changed), tmp_path)
        refused += found is None
        if found is not None:
            assert_same(found, expected)
    assert refused > 300


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_garbage_gives_a_result_or_a_refusal(data: st.DataObject, tmp_path: Path) -> None:
    changed = bytearray(data.draw(st.sampled_from([SMALL, real()])))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=8))
    convert_bytes(bytes(changed), tmp_path)
