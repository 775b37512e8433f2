"""What is taken for one compiled form of a kernel is one for Triton 2.2 itself."""

from itertools import product
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given
from hypothesis import strategies as st
from triton.runtime import jit

from runner import triton_launch
from runner.triton_launch import FINDS_FAST, kind, launch

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.int64)
MEMORY = torch.zeros(64, dtype=torch.uint8)

integers = st.integers(-64, 64) | st.integers(-(2**40), 2**40) | st.sampled_from([2**31 - 1, 2**31])
tensors = st.builds(
    lambda dtype, byte: MEMORY[byte : byte + 8].view(dtype),
    st.sampled_from(DTYPES),
    st.sampled_from([0, 8, 16, 24]),
)
arguments = integers | tensors | st.floats(allow_nan=False)


def of_triton(value: Any) -> tuple[Any, Any]:
    """What the pinned Triton itself keys an argument by (the oracle)."""
    (parameter,) = triton.jit(_one).params
    argument = jit.KernelArg(value, parameter)
    return argument.signature_key(), argument.specialization_key()


def _one(x) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    pass


@pytest.mark.skipif(FINDS_FAST, reason="Triton 3 is called as it is")
@given(arguments, arguments)
def test_arguments_of_one_kind_are_one_for_triton(one: Any, other: Any) -> None:
    if kind(one) == kind(other):
        assert of_triton(one) == of_triton(other)


@pytest.mark.skipif(FINDS_FAST, reason="Triton 3 is called as it is")
def test_no_more_forms_than_there_are() -> None:
    """Lengths are multiples of 16, others of 8, and the rest; and 1."""
    assert len({kind(length) for length in range(2, 2000)}) == 3
    assert kind(1) not in {kind(length) for length in range(2, 2000)}


@triton.jit
def _doubled(x, y, size, factor, WIDE: tl.constexpr) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001, N803
    place = tl.program_id(0) * WIDE + tl.arange(0, WIDE)
    read = tl.load(x + place, mask=place < size, other=0.0)
    tl.store(y + place, read * factor, mask=place < size)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_launch_does_what_triton_does() -> None:
    """Aligned and not, of sizes that are compiled apart, each for the first time and again."""
    memory = torch.randn(4096, device="cuda")
    before = len(triton_launch._COMPILED)
    for _, shift, size in product(range(2), (0, 1), (1, 13, 16, 24, 1000, 1024)):
        x = memory[shift : shift + size]
        y = torch.full_like(x, float("nan"))
        launch(_doubled, (triton.cdiv(size, 128),), x, y, size, 2.5, WIDE=128)
        assert torch.equal(y, x * 2.5)
    assert len(triton_launch._COMPILED) == (before if FINDS_FAST else before + 8)
