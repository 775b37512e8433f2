"""Mamba's paths: what each computes, and which adapters act and learn in it.

Oracles: a loop over time in numpy float64, written from the equations (`looped`), for logits; the
same equations in torch (`by_weights`), held against that loop, for gradients; the slow path, which
calls every projection, for adapters. `by_weights` reads `.weight` of x_proj, dt_proj and out_proj,
as the pins' call for training does, and so is also its stand-in on a CPU. Stand-ins of the two
kernels that `live` calls hold it to their rules on dtypes.

On a GPU errors are relative norms, and u is the unit round-off of what is rounded: FP16 2^-11,
BF16 2^-8, FP32 2^-24. Half precision: a mixer rounds some ten times in a row, 0.4 u each; in plain
PyTorch two mixers measure 3 u, and 12 u in gradients, which sum terms of both signs; 8 u and 32 u
are allowed. FP32: plain PyTorch measures 12 u and 40 u; the scan's exponentials are of the fast
kind, 4 u each, and multiply up over the tens of steps that a state remembers: 500 u and 5000 u.
"""

from typing import Any

import numpy as np
import peft
import pytest
import tiny_mamba2
import torch
from mamba2_on_gpu import (
    SIZES,
    _one_configuration_a_kernel,  # noqa: F401 - a fixture, which pytest finds here
)
from mamba_equations import (
    PROJECTIONS,
    UNITS,
    _no_tf32,  # noqa: F401 - a fixture
    _stand_ins,  # noqa: F401 - a fixture
    allowed,
    by_weights,
    exact,
    gpu,
    gpu_tokens,
    on_gpu,
    run_by,
    tiny,
)
from merged_adapters import merged_difference
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from runner.models import mamba_paths
from runner.models.mamba_paths import set_path
from runner.tuning.adapters import AdapterWatch, tensors_not_learning

Array = NDArray[np.float64]

READ_BY_WEIGHT = {"x_proj", "dt_proj", "out_proj"}
SCALE = 256
"""Of the loss, a power of two: gradients in FP16 would be too small for its exponents."""


def with_adapters(model: nn.Module, *more: str, acting: bool = False) -> Any:
    """LoRA of rank 2 on the four projections and on `more`; `acting`: no factor is zero."""
    torch.manual_seed(5)
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=[*PROJECTIONS, *more])
    adapted = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if acting and "lora_" in name:
                weight.normal_(std=0.1)
    return adapted


def measured(model: Any, ids: Tensor, autocast: torch.dtype | None = None) -> dict[str, Tensor]:
    """Logits, loss and gradients of what can be trained."""
    with torch.autocast(ids.device.type, dtype=autocast, enabled=autocast is not None):
        found = model(input_ids=ids, labels=ids, use_cache=False)
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    gradients = torch.autograd.grad(found.loss * SCALE, list(trained.values()))
    return {"logits": found.logits, "loss": found.loss} | dict(zip(trained, gradients, strict=True))


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.detach().double() - expected.double()).norm() / expected.double().norm())


def projection(name: str) -> str:
    """What the tensor of an adapter adapts."""
    return name.split(".lora_", maxsplit=1)[0].rsplit(".", 1)[1]


# -----------------------------------------------------------------------------
# Oracles


def looped_logits(made: Any, ids: list[int]) -> Array:
    """Logits (length, words) of one sequence, in numpy."""
    weights = {name: w.detach().double().numpy() for name, w in made.state_dict().items()}
    stream = weights["backbone.embeddings.weight"][ids]
    for number in range(made.config.num_hidden_layers):
        prefix = f"backbone.layers.{number}."
        layer = {k.removeprefix(prefix): w for k, w in weights.items() if k.startswith(prefix)}
        stream = stream + looped(layer, tiny_mamba2.normed(stream, layer["norm.weight"]))
    last = tiny_mamba2.normed(stream, weights["backbone.norm_f.weight"])
    found: Array = last @ weights["lm_head.weight"].T
    return found


def looped(layer: dict[str, Array], inputs: Array) -> Array:
    """One mixer over a sequence, (length, hidden size), one token at a time."""
    driven, gate = np.split(inputs @ layer["mixer.in_proj.weight"].T, 2, axis=1)
    x = tiny_mamba2.convolved(layer, driven)
    rates = -np.exp(layer["mixer.A_log"])
    rank, states = layer["mixer.dt_proj.weight"].shape[1], rates.shape[1]
    selected = x @ layer["mixer.x_proj.weight"].T
    low, inward, outward = np.split(selected, [rank, rank + states], axis=1)
    raw = low @ layer["mixer.dt_proj.weight"].T + layer["mixer.dt_proj.bias"]
    state, outputs = np.zeros_like(rates), np.zeros_like(x)
    for t in range(len(x)):
        step = np.log1p(np.exp(raw[t]))
        state = np.exp(step[:, None] * rates) * state + np.outer(step * x[t], inward[t])
        outputs[t] = state @ outward[t] + layer["mixer.D"] * x[t]
    found: Array = (outputs * tiny_mamba2.silu(gate)) @ layer["mixer.out_proj.weight"].T
    return found


def exactly(model: Any, ids: Tensor) -> dict[str, Tensor]:
    """What `measured` gives, by `exact`."""
    copied = exact(model)
    logits = copied.lm_head(copied.backbone(ids, use_cache=False).last_hidden_state)
    loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    named = dict(copied.named_parameters())
    gradients = torch.autograd.grad(loss * SCALE, list(named.values()))
    return {"logits": logits, "loss": loss} | dict(zip(named, gradients, strict=True))


# -----------------------------------------------------------------------------
# What the paths compute, on a CPU


def test_the_equations_in_torch_are_the_loop() -> None:
    model, ids = tiny().double(), tiny_mamba2.tokens(20)
    for row, found in zip(ids.tolist(), exactly(model, ids)["logits"], strict=True):
        assert np.allclose(found.detach().numpy(), looped_logits(model, row), rtol=0, atol=1e-12)


@pytest.mark.parametrize("asked", ["slow", "kernels", "live"])
def test_every_path_is_the_loop_where_there_is_no_gpu(asked: Any) -> None:
    model, ids = tiny(), tiny_mamba2.tokens(20)
    assert set_path(model, asked) == "slow"
    with torch.no_grad():
        found = model(ids).logits
    for row, logits in zip(ids.tolist(), found, strict=True):
        assert error(logits, torch.from_numpy(looped_logits(model, row))) < 50 * 2**-24


def test_live_on_a_cpu_is_the_slow_path_and_every_adapter_learns() -> None:
    ids = tiny_mamba2.tokens(20)
    model = with_adapters(tiny().double(), "embeddings", acting=True).train()
    slow = measured(model, ids)
    assert set_path(model, "live") == "slow"
    live = measured(model, ids)
    assert len(live) == 2 + 2 * (2 * len(PROJECTIONS) + 1)  # factors; layers, projections, words
    for name, expected in slow.items():
        assert error(live[name], expected) < 1e-12, name
        assert expected.abs().sum() > 0, name


@pytest.mark.usefixtures("_stand_ins")
def test_live_by_stand_ins_of_the_kernels() -> None:
    """transformers' slow path rounds to float32 in places, also in float64."""
    ids = tiny_mamba2.tokens(20)
    model = with_adapters(tiny(), "embeddings", acting=True).double()
    slow = measured(model, ids)
    live = measured(run_by(model, mamba_paths.live), ids)
    for name, expected in slow.items():
        assert error(live[name], expected) < 1e-6, name


@pytest.mark.usefixtures("_stand_ins")
def test_live_gives_frozen_weights_the_gradients_of_the_equations() -> None:
    model, ids = tiny(), tiny_mamba2.tokens(20)
    found = measured(run_by(model, mamba_paths.live), ids)
    for name, expected in exactly(model, ids).items():
        assert error(found[name], expected) < 1e-5, name


@pytest.mark.usefixtures("_stand_ins")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_live_hands_the_kernels_the_dtypes_that_they_take(dtype: torch.dtype) -> None:
    """The stand-ins assert it; FP16 has no matrix product on a CPU, so only BF16 is autocast."""
    ids = tiny_mamba2.tokens(20)
    model = with_adapters(tiny(), acting=True)
    run_by(model, mamba_paths.live)
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = model(input_ids=ids).logits
        cast = model.to(dtype)(input_ids=ids).logits
    assert error(mixed, expected) < 8 * 2**-8
    assert error(cast, expected) < 16 * (2**-11 if dtype == torch.float16 else 2**-8)


def with_and_without_cache(model: Any, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the last two tokens: each from the cache of what was before, and all at once."""
    with torch.no_grad():
        whole = model(input_ids=ids, use_cache=False).logits
        before = model(input_ids=ids[:, :-2], use_cache=True)
        steps = [
            model(input_ids=ids[:, -n : ids.shape[1] - n + 1], cache_params=before.cache_params)
            for n in (2, 1)
        ]
    return torch.cat([step.logits for step in steps], dim=1), whole[:, -2:]


@pytest.mark.usefixtures("_stand_ins")
@pytest.mark.parametrize("length", [20, 4])
def test_live_keeps_the_cache_as_generation_needs_it(length: int) -> None:
    """Also where the prompt is shorter than the convolution."""
    model = run_by(with_adapters(tiny(), acting=True), mamba_paths.live)
    found, expected = with_and_without_cache(model, tiny_mamba2.tokens(length))
    assert error(found, expected) < 1e-5


def test_what_is_set_and_said_of_other_models() -> None:
    config = GPTNeoXConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    other = GPTNeoXForCausalLM(config)
    assert set_path(other, "live") == "none"
    assert mamba_paths.lacking(other) == ""
    later = tiny_mamba2.model()
    for asked in ("slow", "kernels", "live"):
        assert set_path(later, asked) == "plain"
    assert mamba_paths.lacking(later) == mamba_paths.lacking(tiny()) == "the model is not on a GPU"
    assert {layer.mixer.path for layer in later.backbone.layers} == {"plain"}


# -----------------------------------------------------------------------------
# Which adapters learn and act, on a CPU


def test_reading_weights_leaves_these_adapters_dead() -> None:
    model = run_by(with_adapters(tiny(), "embeddings").train(), by_weights)
    check_dead(model, tiny_mamba2.tokens(20), READ_BY_WEIGHT)


def test_in_the_slow_path_no_adapter_is_dead() -> None:
    model = with_adapters(tiny(), "embeddings").train()
    assert set_path(model, "slow") == "slow"
    check_dead(model, tiny_mamba2.tokens(20), set())


def check_dead(
    model: Any, ids: Tensor, expected: set[str], autocast: torch.dtype | None = None
) -> None:
    """Three steps of AdamW; both factors of the expected projections are dead, and no others."""
    watch = AdapterWatch(model)
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-3)
    scale = SCALE if autocast == torch.float16 else 1
    for _ in range(3):
        with torch.autocast(ids.device.type, dtype=autocast, enabled=autocast is not None):
            loss = model(input_ids=ids, labels=ids).loss
        (loss * scale).backward()
        optimizer.step()
        optimizer.zero_grad()
    learning = watch.result()
    of_dead = [tensor.name for tensor in learning if projection(tensor.name) in expected]
    assert tensors_not_learning(learning) == of_dead
    assert [tensor.name for tensor in learning if not tensor.moved] == of_dead
    assert {projection(name) for name in of_dead} == expected


def test_merging_shows_what_reading_weights_passes_by() -> None:
    model = run_by(with_adapters(tiny(), acting=True), by_weights)
    found = merged_difference(without_cache(model), tiny_mamba2.tokens(20))
    assert {name.rsplit(".", 1)[1] for name in found.ignored} == READ_BY_WEIGHT
    assert found.largest > 0.05
    set_path(model, "slow")
    found = merged_difference(model, tiny_mamba2.tokens(20))
    assert found.why == ""
    assert found.largest < 1e-4


def without_cache(model: Any) -> Any:
    model.config.use_cache = False
    return model


# -----------------------------------------------------------------------------
# On a GPU, by the kernels themselves


PATHS: dict[str, Any] = {
    "slow": ("slow", True),
    "unfused": ("kernels", False),
    "fused": ("kernels", True),
    "live": ("live", True),
}
"""Path and training mode: the pins' two paths differ by the mode alone."""

PRECISIONS: dict[str, Any] = {
    "float32": (torch.float32, None),
    "float16": (torch.float16, None),
    "bfloat16": (torch.bfloat16, None),
    "float16-autocast": (torch.float32, torch.float16),
    "bfloat16-autocast": (torch.float32, torch.bfloat16),
}
"""Dtype of the weights, and of automatic mixed precision."""


@gpu
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("path", PATHS)
def test_path_against_the_equations(path: str, precision: str) -> None:
    """Logits, loss and the gradient of every weight."""
    (asked, training), (dtype, autocast) = PATHS[path], PRECISIONS[precision]
    model, ids = on_gpu().to(dtype), gpu_tokens()
    expected = exactly(model, ids)
    assert set_path(model, asked) == asked
    found = measured(model.train(training), ids, autocast)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert error(found[name], value) < allowed(name, autocast or dtype), name


@gpu
@pytest.mark.parametrize("autocast", [None, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("path", "expected"), [("kernels", READ_BY_WEIGHT), ("live", set()), ("slow", set())]
)
def test_dead_adapters(path: Any, expected: set[str], autocast: torch.dtype | None) -> None:
    model = with_adapters(on_gpu(), "embeddings").train()
    assert set_path(model, path) == path
    check_dead(model, gpu_tokens(), expected, autocast)


@gpu
@pytest.mark.parametrize("autocast", [None, torch.float16, torch.bfloat16])
def test_live_adapters_have_the_gradients_of_the_slow_path(autocast: torch.dtype | None) -> None:
    model, ids = with_adapters(on_gpu(), "embeddings", acting=True).train(), gpu_tokens()
    set_path(model, "slow")
    expected = measured(model, ids)
    assert set_path(model, "live") == "live"
    for name, value in measured(model, ids, autocast).items():
        assert error(value, expected[name]) < allowed(name, autocast or torch.float32), name


@gpu
@pytest.mark.parametrize(
    ("path", "training", "ignored"),
    [
        ("kernels", True, READ_BY_WEIGHT),
        ("kernels", False, {"dt_proj"}),
        ("live", True, set()),
        ("live", False, set()),
        ("slow", True, set()),
    ],
)
def test_adapters_that_act_only_when_merged(
    path: Any, *, training: bool, ignored: set[str]
) -> None:
    model = with_adapters(on_gpu(), acting=True).train(training)
    assert set_path(model, path) == path
    found = merged_difference(model, gpu_tokens())
    assert {name.rsplit(".", 1)[1] for name in found.ignored} == ignored
    assert found.largest > 0.01 if ignored else found.largest < 1e-4


@gpu
@pytest.mark.parametrize("dtype", UNITS)
def test_live_generates_from_its_cache(dtype: torch.dtype) -> None:
    model = with_adapters(on_gpu().to(dtype), acting=True)
    assert set_path(model, "live") == "live"
    found, expected = with_and_without_cache(model, gpu_tokens())
    assert error(found, expected) < 2 * allowed("logits", dtype)


@gpu
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("path", "runs", "expected"),
    [("kernels", "fused", {"out_proj"}), ("live", "unfused", set()), ("slow", "plain", set())],
)
def test_dead_adapters_of_mamba2(path: Any, runs: str, expected: set[str]) -> None:
    model = tiny_mamba2.model(d_model=256, ssm_cfg=SIZES).cuda()
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["in_proj", "out_proj"])
    adapted = peft.get_peft_model(model, config).train()
    assert set_path(adapted, path) == runs
    check_dead(adapted, gpu_tokens(), expected)
