"""Mamba-2's recurrence in chunks. Oracles: the recurrence in float64, finite differences, and
numbers rounded by hand.

Tolerances: u is the unit round-off of a dtype (2^-53, 2^-24, 2^-11 FP16, 2^-8 BF16), errors are
relative norms. The exponent of a decay is a difference of sums up to some 10² here, so chunks lose
about 10² u of the recurrence, and gradients the same: 1e-12 in float64, 2e-5 in float32. In half
precision each output passes three roundings (scores or state, B, y), at most 3 u.
"""

from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies
from torch import Tensor
from torch.autograd.gradcheck import gradcheck

from runner.models.mamba2_scan import chunked_scan, stepwise_scan

CHUNK = 16
FLOAT64, FLOAT32 = 1e-12, 2e-5


def case(
    length: int,
    *,
    groups: int = 1,
    heads: int = 4,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, ...]:
    """x, Δ, A, B, C, D at random; batch 2, P = 3, N = 5; A to -16 and Δ to 0.5, as models have."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    step = torch.rand(2, length, heads, generator=generator, dtype=torch.float64) / 2
    decay = -16 * torch.rand(heads, generator=generator, dtype=torch.float64)
    shared = (2, length, groups, 5)
    found = (normal(2, length, heads, 3), step, decay, normal(*shared), normal(*shared))
    return tuple(tensor.to(dtype) for tensor in (*found, normal(heads)))


def start(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(9)).to(dtype)


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("initial", [None, start()])
def test_chunks_equal_the_recurrence(length: int, groups: int, initial: Tensor | None) -> None:
    inputs = case(length, groups=groups)
    y, state = chunked_scan(*inputs, initial=initial, chunk=CHUNK)
    expected_y, expected_state = stepwise_scan(*inputs, initial=initial)
    assert y.shape == inputs[0].shape
    assert state.shape == (2, 4, 3, 5)
    assert error(y, expected_y) < FLOAT64
    assert error(state, expected_state) < FLOAT64


@hypothesis.settings(deadline=None, max_examples=25, derandomize=True)
@hypothesis.given(
    length=strategies.integers(1, 40),
    chunk=strategies.integers(1, 48),
    groups=strategies.sampled_from([1, 2, 3]),
    share=strategies.integers(1, 3),
    seed=strategies.integers(0, 2**31),
)
def test_chunks_equal_the_recurrence_whatever_the_shape(
    length: int, chunk: int, groups: int, share: int, seed: int
) -> None:
    inputs = case(length, groups=groups, heads=groups * share, seed=seed)
    y, state = chunked_scan(*inputs, chunk=chunk)
    expected_y, expected_state = stepwise_scan(*inputs)
    assert error(y, expected_y) < FLOAT64
    assert error(state, expected_state) < FLOAT64


def test_the_recurrence_is_the_definition() -> None:
    """One head, P = N = 1, written out with Python's floats."""
    x, step, decay, inward, outward, skip = (
        [2.0, -1.0, 0.5], [0.1, 0.3, 0.2], -1.5, [1.0, 0.5, -2.0], [0.7, 1.0, 3.0], 0.25,
    )  # fmt: skip
    h, expected = 4.0, []
    for t in range(3):
        h = np.exp(step[t] * decay) * h + step[t] * inward[t] * x[t]
        expected.append(outward[t] * h + skip * x[t])

    def tensor(values: list[float], *shape: int) -> Tensor:
        return torch.tensor(values, dtype=torch.float64).view(*shape)

    y, state = stepwise_scan(
        tensor(x, 1, 3, 1, 1),
        tensor(step, 1, 3, 1),
        tensor([decay], 1),
        tensor(inward, 1, 3, 1, 1),
        tensor(outward, 1, 3, 1, 1),
        tensor([skip], 1),
        initial=tensor([4.0], 1, 1, 1, 1),
    )
    assert y.flatten().tolist() == pytest.approx(expected, rel=1e-15)
    assert state.item() == pytest.approx(h, rel=1e-15)


def test_two_halves_through_the_state_equal_the_whole() -> None:
    inputs = case(50, groups=2)
    whole, last = chunked_scan(*inputs, chunk=CHUNK)

    def part(where: slice) -> tuple[Tensor, ...]:
        return tuple(tensor[:, where] if tensor.dim() > 1 else tensor for tensor in inputs)

    first, state = chunked_scan(*part(slice(23)), chunk=CHUNK)
    second, state = chunked_scan(*part(slice(23, None)), initial=state, chunk=CHUNK)
    assert error(torch.cat([first, second], dim=1), whole) < FLOAT64
    assert error(state, last) < FLOAT64


def gradients(scan: object, inputs: tuple[Tensor, ...], **options: object) -> list[Tensor]:
    """Of a fixed random combination of y and the last state, by every input and the start."""
    leaves = [tensor.detach().requires_grad_() for tensor in (*inputs, start(inputs[0].dtype))]
    y, state = scan(*leaves[:-1], initial=leaves[-1], **options)  # type: ignore[operator]
    torch.manual_seed(1)
    loss = (y * torch.randn_like(y)).sum() + (state * torch.randn_like(state)).sum()
    return list(torch.autograd.grad(loss, leaves))


@pytest.mark.parametrize("groups", [1, 2])
def test_gradients_equal_those_of_the_recurrence(groups: int) -> None:
    inputs = case(3 * CHUNK + 5, groups=groups)
    expected = gradients(stepwise_scan, inputs)
    for found, exact in zip(gradients(chunked_scan, inputs, chunk=CHUNK), expected, strict=True):
        assert error(found, exact) < FLOAT64


def test_gradients_equal_finite_differences() -> None:
    inputs = [tensor.requires_grad_() for tensor in (*case(5, groups=2), start())]

    def scan(*leaves: Tensor) -> tuple[Tensor, Tensor]:
        return chunked_scan(*leaves[:-1], initial=leaves[-1], chunk=2)

    assert gradcheck(scan, inputs, fast_mode=True)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, FLOAT32), (torch.float16, 3 * 2**-11), (torch.bfloat16, 3 * 2**-8)],
)
def test_narrow_dtypes_stay_within_their_roundings(dtype: torch.dtype, tolerance: float) -> None:
    """Inputs in the dtype, Δ, A, D in float32, as the mixer hands them over."""
    x, step, decay, inward, outward, skip = case(3 * CHUNK + 5, groups=2)
    wide = (step.float(), decay.float(), skip.float())
    narrow = tuple(tensor.to(dtype) for tensor in (x, inward, outward))
    given = (narrow[0], *wide[:2], *narrow[1:], wide[2])
    expected_y, expected_state = stepwise_scan(*(tensor.double() for tensor in given))

    y, state = chunked_scan(*given, chunk=CHUNK)

    assert y.dtype == dtype
    assert state.dtype == torch.float32
    assert error(y, expected_y) < tolerance
    assert error(state, expected_state) < tolerance
    slow, _ = stepwise_scan(*given)
    assert slow.dtype == dtype
    assert error(slow, expected_y) < tolerance


def test_half_precision_rounds_what_the_kernels_round() -> None:
    """Two steps in chunks of one: scores, weighted B and the carried state, each rounded.

    A thousand sequences of single numbers. One in a hundred may differ by numpy's exp, which may
    be a last bit off; without one of the roundings, one in ten does.
    """
    generator = np.random.default_rng(0)
    x, inward, outward = generator.normal(size=(3, 2, 1000)).astype(np.float16)
    step = generator.uniform(0, 0.5, size=(2, 1000)).astype(np.float32)
    decay, skip = np.float32(-1.9), np.float32(0.37)

    def half(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return numbers.astype(np.float16).astype(np.float32)

    x32, inward32, outward32 = (values.astype(np.float32) for values in (x, inward, outward))
    y = [half(outward32[t] * inward32[t] * step[t]) * x32[t] + skip * x32[t] for t in range(2)]
    fed = [half(inward32[t] * step[t]) * x32[t] for t in range(2)]
    kept = np.exp(step[1] * decay)
    y[1] += outward32[1] * half(fed[0]) * kept
    expected = np.stack(y).astype(np.float16)

    def tensor(values: np.ndarray[Any, Any], *shape: int) -> Tensor:
        return torch.from_numpy(values.T.copy()).view(1000, 2, *shape)

    found, state = chunked_scan(
        tensor(x, 1, 1),
        tensor(step, 1),
        torch.tensor([decay]),
        tensor(inward, 1, 1),
        tensor(outward, 1, 1),
        torch.tensor([skip]),
        chunk=1,
    )
    assert (expected == found[..., 0, 0].numpy().T).mean() > 0.99
    # Where the carried state itself were rounded, it would be 2^-13 off on average.
    assert error(state.flatten(), torch.from_numpy(kept * fed[0] + fed[1]).double()) < 2**-22


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("strength", "size"), [(1e6, 1e3), (1e4, 1e-6), (0.0, 1e3), (1e6, 0.0)])
def test_extreme_decays_stay_finite(dtype: torch.dtype, strength: float, size: float) -> None:
    """Exponents to -1e9 a step, and none at all: no overflow, forward or backward."""
    x, step, decay, inward, outward, skip = case(3 * CHUNK + 5, dtype=dtype)
    inputs = (x, step * size, decay * strength, inward, outward, skip)
    y, state = chunked_scan(*inputs, chunk=CHUNK)
    expected, _ = stepwise_scan(*(tensor.double() for tensor in inputs))
    assert torch.isfinite(y).all()
    assert torch.isfinite(state).all()
    assert error(y, expected) < (FLOAT64 if dtype == torch.float64 else FLOAT32)
    assert all(
        torch.isfinite(found).all() for found in gradients(chunked_scan, inputs, chunk=CHUNK)
    )
