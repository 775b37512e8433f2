"""Mamba by its equations, and by every path of its kernels."""

import copy
import sys
from collections.abc import Iterator
from types import MethodType, ModuleType
from typing import Any

import pytest
import tiny_mamba2
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import MambaConfig, MambaForCausalLM
from transformers.models.mamba.modeling_mamba import MambaBlock, MambaMixer, MambaRMSNorm

from runner.models import mamba2_mixer

LENGTH = 200


PROJECTIONS = ["in_proj", "x_proj", "dt_proj", "out_proj"]


UNITS = {torch.float32: 2**-24, torch.float16: 2**-11, torch.bfloat16: 2**-8}


@pytest.fixture
def _no_tf32() -> Iterator[None]:
    """cuDNN's convolution, which the slow path takes, would take TF32 for FP32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


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


def allowed(name: str, rounded: torch.dtype) -> float:
    """Largest relative error; the module's docstring says why."""
    output = name in ("logits", "loss")
    if rounded == torch.float32:
        return (500 if output else 5000) * UNITS[rounded]
    return (8 if output else 32) * UNITS[rounded]


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


def convolution(x: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
    """Stand-in of causal_conv1d_fn: x (batch, inner, length), weight (inner, width)."""
    assert activation == "silu"
    assert weight.dtype == bias.dtype
    length, width = x.shape[2], weight.shape[1]
    padded = functional.pad(wide(x), (width - 1, 0))
    lagged = [padded[..., k : k + length] * wide(weight)[:, k, None] for k in range(width)]
    return functional.silu(torch.stack(lagged).sum(0) + wide(bias)[:, None]).to(x.dtype)


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


def gpu(test: Any) -> Any:
    for mark in needs_kernels:
        test = mark(test)
    return test


def gpu_tokens() -> Tensor:
    return tiny_mamba2.tokens(LENGTH).cuda()


def mixers(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, MambaMixer)]


needs_kernels = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
    pytest.mark.skipif(bool(mamba2_mixer.kernels_lacking()), reason=mamba2_mixer.kernels_lacking()),
    pytest.mark.usefixtures("_no_tf32"),
    pytest.mark.filterwarnings("ignore"),  # of mamba-ssm, Triton and a torch newer than the pin
]


def on_gpu() -> Any:
    """Channels in multiples of 8, as the convolution asks."""
    return tiny(hidden_size=64, state_size=16, time_step_rank=8).cuda()


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


def run_by(model: Any, forward: Any) -> Any:
    """The model with a forward of its mixers that `set_path` would not give it here."""
    for mixer in mixers(model):
        mixer.forward = MethodType(forward, mixer)
    return model


def scan(**given: Any) -> tuple[Tensor, Tensor]:
    """Stand-in of selective_scan_fn, which takes these dtypes and no others."""
    assert given.pop("delta_softplus")
    assert given.pop("return_last_state")
    assert len({given[name].dtype for name in ("u", "delta", "B", "C", "z")}) == 1
    assert all(given[name].dtype == torch.float32 for name in ("A", "D", "delta_bias"))
    names = {"u": "x", "delta": "step", "A": "rates", "B": "inward", "C": "outward"}
    names |= {"D": "skip", "z": "gate", "delta_bias": "bias"}
    return recurrence(**{names[name]: tensor for name, tensor in given.items()})


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


def wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
