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

import copy
import sys
from collections.abc import Iterator
from types import MethodType, ModuleType
from typing import Any

import numpy as np
import peft
import pytest
import tiny_mamba2
import torch
from numpy.typing import NDArray
from test_runner_mamba2_kernels import (
    SIZES,
    _one_configuration_a_kernel,  # noqa: F401 - a fixture, which pytest finds here
)
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, MambaConfig, MambaForCausalLM
from transformers.models.mamba.modeling_mamba import MambaBlock, MambaMixer, MambaRMSNorm

from runner.adapters import AdapterWatch, dead, merged_difference
from runner.models import mamba2_kernels, mamba_paths
from runner.models.mamba_paths import set_path

Array = NDArray[np.float64]

PROJECTIONS = ["in_proj", "x_proj", "dt_proj", "out_proj"]
READ_BY_WEIGHT = {"x_proj", "dt_proj", "out_proj"}
SCALE = 256
"""Of the loss, a power of two: gradients in FP16 would be too small for its exponents."""


def tiny(seed: int = 3, **options: Any) -> Any:
    """A model in which every weight matters: none is 0 or 1, as some are at first."""
    sizes = {"vocab_size": 29, "hidden_size": 16, "state_size": 5, "num_hidden_layers": 2}
    config = MambaConfig(**sizes | {"time_step_rank": 3, "tie_word_embeddings": False} | options)
    torch.manual_seed(seed)
    made = MambaForCausalLM(config)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if name.endswith(("norm.weight", "norm_f.weight", ".D")):
                weight.uniform_(0.5, 1.5)
            elif name.endswith("dt_proj.bias"):
                weight.normal_(-3.0)
            elif name.endswith("conv1d.bias"):
                weight.normal_()
            elif name.endswith("A_log"):
                weight.add_(torch.randn_like(weight), alpha=0.2)
            else:
                weight.normal_(std=weight[0].numel() ** -0.5)
    return made.eval()


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


def mixers(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, MambaMixer)]


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


def by_weights(mixer: Any, hidden: Tensor, cache_params: Any = None) -> Tensor:
    """A mixer's forward that calls in_proj and reads the weights of the other projections."""
    assert cache_params is None
    driven, gate = mixer.in_proj(hidden).transpose(1, 2).chunk(2, dim=1)
    x = convolution(driven, mixer.conv1d.weight.squeeze(1), mixer.conv1d.bias, "silu")
    selected = x.transpose(1, 2) @ mixer.x_proj.weight.T
    states = mixer.ssm_state_size
    low, inward, outward = selected.split([mixer.time_step_rank, states, states], dim=-1)
    y, _ = recurrence(
        x,
        (low @ mixer.dt_proj.weight.T).transpose(1, 2),
        -torch.exp(mixer.A_log),
        inward=inward.transpose(1, 2),
        outward=outward.transpose(1, 2),
        skip=mixer.D,
        gate=gate,
        bias=mixer.dt_proj.bias,
    )
    return y.transpose(1, 2) @ mixer.out_proj.weight.T


def wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def convolution(x: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
    """Stand-in of causal_conv1d_fn: x (batch, inner, length), weight (inner, width)."""
    assert activation == "silu"
    assert weight.dtype == bias.dtype
    length, width = x.shape[2], weight.shape[1]
    padded = functional.pad(wide(x), (width - 1, 0))
    lagged = [padded[..., k : k + length] * wide(weight)[:, k, None] for k in range(width)]
    return functional.silu(torch.stack(lagged).sum(0) + wide(bias)[:, None]).to(x.dtype)


def recurrence(
    x: Tensor,
    step: Tensor,
    rates: Tensor,
    *,
    inward: Tensor,
    outward: Tensor,
    skip: Tensor,
    gate: Tensor,
    bias: Tensor,
) -> tuple[Tensor, Tensor]:
    """Gated outputs (batch, inner, length) and the last state (batch, inner, states)."""
    step = functional.softplus(wide(step) + wide(bias)[:, None])
    state, outputs = torch.zeros_like(wide(x[..., :1]) * rates), []
    for t in range(x.shape[2]):
        now = step[..., t, None]
        added = now * wide(x)[..., t, None] * wide(inward)[:, None, :, t]
        state = torch.exp(now * rates) * state + added
        outputs.append((state * wide(outward)[:, None, :, t]).sum(-1))
    y = torch.stack(outputs, dim=-1) + wide(x) * wide(skip)[:, None]
    return (y * functional.silu(wide(gate))).to(x.dtype), state


def scan(**given: Any) -> tuple[Tensor, Tensor]:
    """Stand-in of selective_scan_fn, which takes these dtypes and no others."""
    assert given.pop("delta_softplus")
    assert given.pop("return_last_state")
    assert len({given[name].dtype for name in ("u", "delta", "B", "C", "z")}) == 1
    assert all(given[name].dtype == torch.float32 for name in ("A", "D", "delta_bias"))
    names = {"u": "x", "delta": "step", "A": "rates", "B": "inward", "C": "outward"}
    names |= {"D": "skip", "z": "gate", "delta_bias": "bias"}
    return recurrence(**{names[name]: tensor for name, tensor in given.items()})


@pytest.fixture
def _stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels' packages with the stand-ins in them."""
    kernels = {
        "causal_conv1d": {"causal_conv1d_fn": convolution},
        "mamba_ssm": {},
        "mamba_ssm.ops": {},
        "mamba_ssm.ops.selective_scan_interface": {"selective_scan_fn": scan},
    }
    for name, contents in kernels.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)


def run_by(model: Any, forward: Any) -> Any:
    """The model with a forward of its mixers that `set_path` would not give it here."""
    for mixer in mixers(model):
        mixer.forward = MethodType(forward, mixer)
    return model


def exact(model: Any) -> Any:
    """A copy that computes in float64 throughout; transformers rounds to float32 in places."""
    copied = run_by(copy.deepcopy(model).double(), by_weights)
    for module in copied.modules():
        if isinstance(module, MambaRMSNorm):
            module.forward = MethodType(exact_norm, module)
        if isinstance(module, MambaBlock):
            module.residual_in_fp32 = False
    return copied


def exact_norm(norm: Any, x: Tensor) -> Tensor:
    scaled = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + norm.variance_epsilon)
    return scaled * norm.weight


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
    assert dead(learning) == of_dead
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

needs_kernels = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
    pytest.mark.skipif(bool(mamba2_kernels.lacking()), reason=mamba2_kernels.lacking()),
    pytest.mark.usefixtures("_no_tf32"),
    pytest.mark.filterwarnings("ignore"),  # of mamba-ssm, Triton and a torch newer than the pin
]


def gpu(test: Any) -> Any:
    for mark in needs_kernels:
        test = mark(test)
    return test


LENGTH = 200
UNITS = {torch.float32: 2**-24, torch.float16: 2**-11, torch.bfloat16: 2**-8}
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


@pytest.fixture
def _no_tf32() -> Iterator[None]:
    """cuDNN's convolution, which the slow path takes, would take TF32 for FP32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def on_gpu() -> Any:
    """Channels in multiples of 8, as the convolution asks."""
    return tiny(hidden_size=64, state_size=16, time_step_rank=8).cuda()


def gpu_tokens() -> Tensor:
    return tiny_mamba2.tokens(LENGTH).cuda()


def allowed(name: str, rounded: torch.dtype) -> float:
    """Largest relative error; the module's docstring says why."""
    output = name in ("logits", "loss")
    if rounded == torch.float32:
        return (500 if output else 5000) * UNITS[rounded]
    return (8 if output else 32) * UNITS[rounded]


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
