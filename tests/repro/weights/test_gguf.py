"""GGUF read as data. Oracles: blocks computed number by number in fractions, from the format's
specification; the package gguf where it is installed.
"""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import made_up_gguf as made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.weights import gguf
from repro.weights.torch_zip import RefusedError

Q4 = st.lists(st.integers(0, 15), min_size=32, max_size=32)
Q8 = st.lists(st.integers(-128, 127), min_size=32, max_size=32)
HALF = st.floats(-60000, 60000, width=16)


def read(path: Path, content: bytes) -> gguf.Gguf:
    path.write_bytes(content)
    return gguf.read(path)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf") / "made.gguf"


def assert_nearest(found: Sequence[float], exact: Sequence[Fraction]) -> None:
    """Each number is the float32 next to the exact one: a difference of half a unit, or none."""
    for one, other in zip(found, exact, strict=True):
        value = np.float32(one)
        unit = Fraction(float(np.spacing(np.abs(value))))
        assert abs(Fraction(float(value)) - other) <= unit / 2


@given(blocks=st.lists(st.tuples(HALF, HALF, Q4), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_q4_1(blocks: list[tuple[float, float, list[int]]], path: Path) -> None:
    source = read(path, made.file({}, {"w": made.q4_1((len(blocks), 32), blocks)}))
    found = source.values("w")
    assert (found.shape, found.dtype) == ((len(blocks), 32), np.float32)
    exact = [Fraction(d) * each + Fraction(m) for d, m, q in blocks for each in q]
    assert_nearest(found.ravel().tolist(), exact)


@given(blocks=st.lists(st.tuples(HALF, Q8), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_q8_0_is_exact(blocks: list[tuple[float, list[int]]], path: Path) -> None:
    source = read(path, made.file({}, {"w": made.q8_0((32 * len(blocks),), blocks)}))
    exact = [Fraction(d) * each for d, q in blocks for each in q]
    assert [Fraction(float(each)) for each in source.values("w")] == exact


def test_plain_numbers_keep_their_bits_and_sizes_are_turned_round(path: Path) -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7
    source = read(path, made.file({}, {"a": made.f32(values), "b": made.f16(values)}, align=64))
    assert source.tensors["a"].shape == (2, 3, 4)
    assert source.values("a").tobytes() == values.tobytes()
    assert np.array_equal(source.values("b"), values.astype(np.float16).astype(np.float32))


def test_settings_of_every_kind(path: Path) -> None:
    kinds: dict[int, tuple[str, Any]] = {
        0: ("B", 200),
        1: ("b", -3),
        2: ("H", 60_000),
        3: ("h", -300),
        4: ("I", 4_000_000_000),
        5: ("i", -5),
        6: ("f", 0.25),
        7: ("?", True),
        10: ("Q", 1 << 60),
        11: ("q", -(1 << 60)),
        12: ("d", 0.1),
    }
    said: dict[str, Any] = {
        str(kind): struct.pack(f"<I{letter}", kind, each) for kind, (letter, each) in kinds.items()
    }
    said |= {
        f"list of {kind}": struct.pack(f"<IIQ3{letter}", 9, kind, 3, each, each, each)
        for kind, (letter, each) in kinds.items()
    }
    said |= {"text": "tö", "texts": ["", "a\0b", "Ġx"], "none": struct.pack("<IIQ", 9, 8, 0)}
    found = read(path, made.file(said, {})).settings
    assert found == {
        **{str(kind): each for kind, (_, each) in kinds.items()},
        **{f"list of {kind}": [each] * 3 for kind, (_, each) in kinds.items()},
        "text": "tö",
        "texts": ["", "a\0b", "Ġx"],
        "none": [],
    }


# -----------------------------------------------------------------------------
# Damaged and lying files

ONE = made.f32(np.ones((2, 32), np.float32))
BLOCK = (made.Q4_1, (32,), bytes(20))
SOUND = made.file(
    {"general.architecture": "llama", "list": [1, 2], "texts": ["a"]}, {"w": ONE, "v": BLOCK}
)


def header(tensors: int = 0, settings: int = 0, version: int = 3, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, settings) + rest


def tensor(*sizes: int, kind: int = made.F32, at: int = 0) -> bytes:
    return made.text("w") + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, at)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "4 bytes promised, 0 left"),
        (b"PK\3\4" + bytes(60), "another kind of file"),
        (header(version=2), "version 2"),
        (header(version=3 << 24), "version 50331648"),  # big-endian
        (header(tensors=1 << 60), f"{1 << 60:,} tensors"),
        (header(settings=1 << 21), "2,097,152 settings"),
        (header(settings=1, rest=struct.pack("<Q", 1 << 62)), f"{1 << 62:,} bytes promised"),
        (header(settings=1, rest=made.text("a") + struct.pack("<I", 99)), "a value of kind 99"),
        (
            header(settings=1, rest=made.text("a") + struct.pack("<IIQ", 9, 9, 1)),
            "a list of kind 9",
        ),
        (header(settings=1, rest=made.text("a") + struct.pack("<IIQ", 9, 4, 1 << 40)), "items"),
        (
            header(settings=1, rest=made.text("a") + struct.pack("<IIQ", 9, 4, 9)),
            "36 bytes promised",
        ),
        (header(settings=1, rest=struct.pack("<Q", 2) + b"\xff\xfe"), "no UTF-8"),
        (header(settings=2, rest=(made.text("a") + made.value(1)) * 2), "the same name twice"),
        (header(tensors=1, rest=tensor()), "0 dimensions"),
        (header(tensors=1, rest=tensor(1, 1, 1, 1, 1)), "5 dimensions"),
        (header(tensors=1, rest=tensor(8, kind=2)), "format 2"),
        (header(tensors=1, rest=tensor(33, kind=made.Q4_1)), "shape [33]"),
        (header(tensors=1, rest=tensor(0)), "shape [0]"),
        (header(tensors=1, rest=tensor(8) + bytes(7)), "of a file of"),
        (header(tensors=1, rest=tensor(1 << 63, 1 << 63)), "of a file of"),
        (header(tensors=1, rest=tensor(1, at=1 << 63)), "of a file of"),
        (header(tensors=1, rest=tensor(1, at=4) + bytes(64)), "data from byte 4"),
        (made.file({"general.alignment": 0}, {"w": ONE}), "general.alignment"),
        (made.file({"general.alignment": "32"}, {"w": ONE}), "general.alignment"),
        (made.file({"general.alignment": 48}, {"w": ONE}), "general.alignment"),
        (
            header(tensors=2, rest=tensor(8) + tensor(8).replace(b"w", b"v") + bytes(128)),
            "data that is another's too",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_no_whole_file_is_refused(content: bytes, words: str, path: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        read(path, content)
    error = caught.value
    assert words in f"{error.where}: {error.found}; {error.expected}"
    assert error.expected


def test_every_truncation_is_refused(path: Path) -> None:
    read(path, SOUND)
    for length in range(len(SOUND)):
        with pytest.raises(RefusedError):
            read(path, SOUND[:length])


@given(changes=st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=4))
@settings(max_examples=300, deadline=None)
def test_damage_is_refused_or_read_as_numbers(changes: list[tuple[int, int]], path: Path) -> None:
    """And nothing else is raised, whatever is changed."""
    content = bytearray(SOUND)
    for place, byte in changes:
        content[place] = byte
    try:
        source = read(path, bytes(content))
    except RefusedError:
        return
    for name, each in source.tensors.items():
        assert source.values(name).shape == each.shape


def test_a_file_that_shrank_since_is_told(path: Path) -> None:
    source = read(path, SOUND)
    path.write_bytes(SOUND[:-1])
    with pytest.raises(OSError, match="shorter than it was"):
        source.values("v")


# -----------------------------------------------------------------------------
# The package gguf, which is in no lock


def test_the_package_gguf_reads_the_same(path: Path) -> None:
    package = pytest.importorskip("gguf", reason="needs the package gguf")
    random = np.random.default_rng(3)
    values = random.normal(0, 0.1, (4, 64)).astype(np.float32)
    writer = package.GGUFWriter(path, "llama")
    writer.add_uint32("llama.block_count", 3)
    writer.add_array("texts", ["a", "ü"])
    kinds = package.GGMLQuantizationType
    for kind in (kinds.F32, kinds.F16, kinds.Q4_1, kinds.Q8_0):
        writer.add_tensor(kind.name, package.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = gguf.read(path)
    assert found.settings["general.architecture"] == "llama"
    assert (found.settings["llama.block_count"], found.settings["texts"]) == (3, ["a", "ü"])
    for each in package.GGUFReader(path).tensors:
        expected = package.quants.dequantize(each.data, each.tensor_type)
        assert found.values(each.name).tobytes() == expected.astype(np.float32).tobytes()
