"""FP16 LayerNorm on a CPU. Oracle: torch's FP32 LayerNorm of the same values, rounded once."""

import pytest
import torch
from torch import nn

from runner.models import precision


def norm_of(width: int, *, affine: bool = True) -> nn.LayerNorm:
    """A LayerNorm with random weights, rounded to FP16."""
    generator = torch.Generator().manual_seed(1)
    norm = nn.LayerNorm(width, elementwise_affine=affine)
    if affine:
        nn.init.normal_(norm.weight, 1.0, 0.3, generator=generator)
        nn.init.normal_(norm.bias, 0.0, 0.3, generator=generator)
    return norm.half()


@pytest.mark.parametrize("affine", [True, False])
def test_equals_the_rounded_float32_layer_norm_bit_for_bit(*, affine: bool) -> None:
    norm = norm_of(48, affine=affine)
    hidden = (torch.randn(3, 7, 48, generator=torch.Generator().manual_seed(2)) * 50).half()
    wide = nn.LayerNorm(48, elementwise_affine=affine)
    wide.load_state_dict({name: value.float() for name, value in norm.state_dict().items()})

    norm.__class__ = precision.HalfLayerNorm
    computed = norm(hidden)

    assert computed.dtype == torch.float16
    assert torch.equal(computed, wide(hidden.float()).half())


def test_takes_mean_and_variance_in_float32() -> None:
    """A sum of squares beyond 65,504, FP16's largest number, must not overflow."""
    norm = norm_of(64)
    norm.__class__ = precision.HalfLayerNorm
    hidden = torch.full((1, 64), 3000.0).half()
    hidden[0, ::2] *= -1
    assert torch.isfinite(norm(hidden)).all()


def test_is_applied_where_torch_has_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "half_layer_norm_is_missing", lambda: True)
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)).half()
    weights = dict(model.named_parameters())

    assert precision.apply_half_layer_norm(model, torch.device("cpu")) == precision.HALF_LAYER_NORM
    assert type(model[1]) is precision.HalfLayerNorm
    assert dict(model.named_parameters()) == weights


@pytest.mark.parametrize(
    ("dtype", "device", "kernel_is_missing"),
    [
        (torch.float32, "cpu", True),
        (torch.bfloat16, "cpu", True),
        (torch.float16, "cpu", False),
        (torch.float16, "cuda", True),
    ],
)
def test_leaves_everything_else_to_torch(
    *, dtype: torch.dtype, device: str, kernel_is_missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "half_layer_norm_is_missing", lambda: kernel_is_missing)
    model = nn.Sequential(nn.LayerNorm(4)).to(dtype)
    assert precision.apply_half_layer_norm(model, torch.device(device)) == "stock"
    assert type(model[0]) is nn.LayerNorm


def test_a_model_without_layer_norm_has_none() -> None:
    assert precision.apply_half_layer_norm(nn.Linear(2, 2).half(), torch.device("cpu")) == "none"


def test_missing_agrees_with_what_torch_does() -> None:
    norm, hidden = nn.LayerNorm(2).half(), torch.zeros(1, 2).half()
    if precision.half_layer_norm_is_missing():  # torch 2.2.1
        with pytest.raises(RuntimeError, match="not implemented for 'Half'"):
            norm(hidden)
    else:
        assert norm(hidden).dtype == torch.float16
