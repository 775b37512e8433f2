"""Mamba-2 in plain PyTorch. Oracle: the same model in numpy loops (`tiny_mamba2.logits`).

Tolerances: errors are relative norms of the logits, u the unit round-off of the dtype. float64 and
float32 lose some 10 u through sums. In half precision a value is rounded about eight times a layer
(norm, in_proj, convolution, scores, B, y, gated norm, out_proj), each time by 0.4 u on average;
independent roundings add as a root, 0.4 u · √(8 layers + 3), so 1.7 u for two layers; 4 u are
allowed, and more than u / 4 must be there, or nothing was rounded.
"""

import copy
import re
from typing import Any

import pytest
import tiny_mamba2
import torch
from torch import Tensor

from runner.models.mamba2 import Mamba2ForCausalLM, add_and_norm
from runner.models.mamba2_checkpoint import stored_dtype
from runner.models.mamba2_mixer import RMSNorm

HALVES = [(torch.float16, 2**-11), (torch.bfloat16, 2**-8)]


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.detach().double() - expected).norm() / expected.norm())


def cast(model: Mamba2ForCausalLM, dtype: torch.dtype) -> Any:
    """The model in a dtype, D left as a checkpoint's is."""
    for name, weight in model.named_parameters():
        weight.data = weight.data.to(stored_dtype(name, dtype))
    return model


# -----------------------------------------------------------------------------
# Numbers


@pytest.mark.parametrize("length", [1, 3, 8, 29])
@pytest.mark.parametrize("tied", [True, False])
def test_equals_the_loops_in_float64(length: int, *, tied: bool) -> None:
    model = tiny_mamba2.model(tie_embeddings=tied).double()
    ids = tiny_mamba2.tokens(length)
    logits = model(ids).logits
    assert logits.shape == (2, length, 32)
    assert error(logits, tiny_mamba2.batch_logits(model, ids)) < 1e-13


def test_equals_the_loops_in_float32() -> None:
    model, ids = tiny_mamba2.model(), tiny_mamba2.tokens(29)
    logits = model(ids).logits
    assert logits.dtype == torch.float32
    assert error(logits, tiny_mamba2.batch_logits(model, ids)) < 1e-6


@pytest.mark.parametrize(("dtype", "unit"), HALVES)
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("wide_residual", [True, False])
def test_half_precision_is_off_by_its_roundings(
    dtype: torch.dtype, unit: float, *, fused: bool, wide_residual: bool
) -> None:
    options = {"fused_add_norm": fused, "residual_in_fp32": wide_residual}
    model, ids = cast(tiny_mamba2.model(**options), dtype), tiny_mamba2.tokens(29)
    logits = model(ids).logits
    assert logits.dtype == dtype
    assert unit / 4 < error(logits, tiny_mamba2.batch_logits(model, ids)) < 4 * unit


@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float32, 200 * 2**-24), *((dtype, 8 * u) for dtype, u in HALVES)]
)
def test_gradients_of_a_mixer_are_off_by_their_roundings(dtype: torch.dtype, limit: float) -> None:
    """Against float64 with the same weights: 1 u, a few where terms cancel; 20 u in float32."""
    mixer = cast(tiny_mamba2.model(), dtype).backbone.layers[0].mixer
    torch.manual_seed(0)
    hidden, cotangent = torch.randn(2, 2, 29, 12).to(dtype)

    def measured(each: torch.nn.Module, widened: torch.dtype) -> dict[str, Tensor]:
        leaves = {"hidden": hidden.to(widened).requires_grad_()} | dict(each.named_parameters())
        taken = torch.autograd.grad(
            each(leaves["hidden"]), list(leaves.values()), cotangent.to(widened)
        )
        return dict(zip(leaves, taken, strict=True))

    exact = measured(copy.deepcopy(mixer).double(), torch.float64)
    for name, found in measured(mixer, dtype).items():
        assert error(found, exact[name]) < limit, name


@pytest.mark.parametrize(("dtype", "unit"), HALVES)
def test_residual_stream_in_float32_is_not_rounded(dtype: torch.dtype, unit: float) -> None:
    """A stream of 1 and blocks' outputs below u: they add up in FP32 only."""
    kept: dict[bool, Tensor] = {}
    for wide_residual in (True, False):
        model = cast(tiny_mamba2.model(n_layer=8, residual_in_fp32=wide_residual), dtype)
        with torch.no_grad():
            model.backbone.embedding.weight.fill_(1.0)
            for layer in model.backbone.layers:
                layer.mixer.out_proj.weight *= unit / 8
        hidden = model.backbone.embedding(tiny_mamba2.tokens(5))
        stream: Tensor | None = None
        for layer in model.backbone.layers:
            hidden, stream = layer(hidden, stream)
        assert stream is not None
        kept[wide_residual] = stream
    assert kept[True].dtype == torch.float32
    assert (kept[True] != 1).any()
    assert kept[False].dtype == dtype
    assert (kept[False] == 1).all()


def test_d_stays_in_float32_and_a_log_does_not() -> None:
    model = cast(tiny_mamba2.model(), torch.bfloat16)
    dtypes = {name.split(".")[-1]: weight.dtype for name, weight in model.named_parameters()}
    assert dtypes.pop("D") == torch.float32
    assert set(dtypes.values()) == {torch.bfloat16}
    assert {"A_log", "dt_bias"} < dtypes.keys()


def test_autocast_rounds_projections_only() -> None:
    """FP32 weights, as the Trainer runs bf16=True: what is between the projections is as ever."""
    model, ids = tiny_mamba2.model(), tiny_mamba2.tokens(29)
    mixer = model.backbone.layers[0].mixer
    projected = mixer.in_proj(model.backbone.embedding(ids)).bfloat16()
    outside = mixer._scanned(projected, None)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(ids).logits
        assert torch.equal(mixer._scanned(projected, None)[0], outside)
    assert logits.dtype == torch.bfloat16
    assert error(logits, tiny_mamba2.batch_logits(model, ids)) < 4 * 2**-8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_only_the_unfused_norm_reads_a_rounded_stream(dtype: torch.dtype) -> None:
    """Both rounded once more on their way out: of a thousand numbers, many end a bit apart."""
    torch.manual_seed(0)
    hidden, residual = torch.randn(1, 1, 1000).to(dtype), torch.randn(1, 1, 1000)
    total = hidden.double() + residual.double()
    expected = {}
    for fused, read in ((True, total), (False, total.to(dtype).double())):
        config = tiny_mamba2.config(fused_add_norm=fused)
        found, stream = add_and_norm(hidden, residual, RMSNorm(1000).to(dtype), config)
        scaled = read / (read.square().mean() + tiny_mamba2.EPSILON).sqrt()
        expected[fused] = scaled.to(dtype)
        assert (found == expected[fused]).double().mean() > 0.99
        assert torch.equal(stream, total.float())
    assert (expected[True] == expected[False]).double().mean() < 0.9


@pytest.mark.parametrize("place", [0, 7, 8, 20])
def test_a_later_token_changes_no_earlier_logits(place: int) -> None:
    model, ids = tiny_mamba2.model(), tiny_mamba2.tokens(29)
    other = ids.clone()
    other[:, place] = (other[:, place] + 1) % 29
    before, after = model(ids).logits, model(other).logits
    assert torch.equal(before[:, :place], after[:, :place])
    assert not torch.isclose(before[:, place:], after[:, place:]).all(dim=-1).any()  # to the end


def test_every_parameter_gets_a_gradient() -> None:
    model, ids = tiny_mamba2.model(), tiny_mamba2.tokens(20)
    model(ids, labels=ids).loss.backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


# -----------------------------------------------------------------------------
# Configurations


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"ssm_cfg": {"layer": "Mamba1"}}, "ssm_cfg.layer"),
        ({"ssm_cfg": {"D_has_hdim": True}}, "ssm_cfg.D_has_hdim"),
        ({"ssm_cfg": {"headdim": 5}}, "whole heads"),
        ({"ssm_cfg": {"ngroups": 4}}, "whole heads"),
        ({"n_layer": 0}, "n_layer"),
        ({"fused_add_norm": "yes"}, "fused_add_norm"),
        ({"attn_layer_idx": [1]}, "attn_layer_idx"),
        ({"rms_norm": False}, "rms_norm"),
    ],
)
def test_refuses_a_configuration_that_is_not_covered(given: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError, match=re.escape(place)):
        tiny_mamba2.config(**given)


def test_a_new_model_has_the_releases_ranges() -> None:
    """Δ without input from 0.001 to 0.1 and -A from 1 to 16, spread over both."""
    torch.manual_seed(0)
    mixer = Mamba2ForCausalLM(tiny_mamba2.config(d_model=512)).backbone.layers[0].mixer
    step = torch.nn.functional.softplus(mixer.dt_bias)
    for values, low, high in ((step, 0.001, 0.1), (mixer.A_log.exp(), 1.0, 16.0)):
        assert low * 0.999 < values.min() < low * 1.5
        assert high / 1.5 < values.max() < high * 1.001
