"""Which code runs a model's Mamba mixers, and so whether adapters act and learn in it.

| path    | Mamba of transformers                               | Mamba-2                  |
|---------|-----------------------------------------------------|--------------------------|
| slow    | the loop of `slow_forward`, every projection called | "plain": chunked PyTorch |
| kernels | what the pins do, see below                         | "fused": one call        |
| live    | `live`: two kernels, every projection called        | "unfused": three kernels |

The pins, with mamba-ssm and causal-conv1d on a GPU, train with one call, `mamba_inner_fn`, that is
handed the weights of x_proj, dt_proj and out_proj, and evaluate with two kernels that are handed
dt_proj's. PEFT's `.weight` is the base layer's: adapters on these neither act nor learn. Mamba-2's
one call is handed out_proj's weight in training and in evaluation alike.

Without the kernels or off a GPU, `kernels` and `live` are the slow path, and `set_path` says so.

Dtypes that the two kernels of `live` take: x, Δ, B, C and z of one dtype, which is that of what the
projections put out, under autocast too; A, D and the bias of Δ in FP32; the convolution's weight
and bias in any one dtype.

Reference: transformers 4.40.0, `MambaMixer.cuda_kernels_forward`; mamba-ssm 2.2.2 and 2.3.2,
`selective_scan_fn`; causal-conv1d 1.4.0 and 1.7.0, `causal_conv1d_fn`.
Differs: `live` calls dt_proj, so that an adapter on it acts.
Not covered: Jamba's mixers; hooks of accelerate, which also replace `forward`.
"""

import importlib
from collections.abc import Mapping
from types import MethodType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call  # type: ignore[attr-defined] # torch 2.2.1 lists no names
from torch.nn import functional

from runner.models.mamba2_mixer import Mamba2Mixer, MixerPath, convolved_by_kernel, kernels_lacking

Path = Literal["slow", "kernels", "live"]
"""What is asked for."""

MAMBA2: Mapping[Path, MixerPath] = {"slow": "plain", "kernels": "fused", "live": "unfused"}
"""What Mamba-2 calls each."""

Mixer = Any
"""transformers' `MambaMixer`, which has no types."""

Cache = Any
"""transformers' `MambaCache`."""


def set_path(model: nn.Module, path: Path) -> str:
    """Have a model's mixers run by a path, in place; any path can follow any other.

    Returns:
        What will run: "slow", "kernels" or "live"; "plain", "fused" or "unfused" for Mamba-2;
        "none" for a model without a Mamba mixer.
    """
    if later := mamba2_mixers(model):
        runs = "plain" if lacking(model) else MAMBA2[path]
        for mixer in later:
            mixer.path = runs
        return runs
    mixers = stock_mixers(model)
    if not mixers:
        return "none"
    taken = "slow" if lacking(model) else path
    for mixer in mixers:
        mixer.__dict__.pop("forward", None)  # the class's own, which takes kernels where it can
        if taken == "slow":
            mixer.forward = mixer.slow_forward
        elif taken == "live":
            mixer.forward = MethodType(live, mixer)
    return taken


def lacking(model: nn.Module) -> str:
    """Why a model's Mamba mixers can take no kernels where it lies; empty if they can.

    Empty as well for a model without such mixers.
    """
    later, mixers = mamba2_mixers(model), stock_mixers(model)
    if not (later or mixers):
        return ""
    if not all(mixer.in_proj.weight.is_cuda for mixer in (*later, *mixers)):
        return "the model is not on a GPU"
    if later:
        return kernels_lacking()
    stock = importlib.import_module(type(mixers[0]).__module__)
    return "" if stock.is_fast_path_available else "mamba_ssm or causal_conv1d is not installed"


def mamba2_mixers(model: nn.Module) -> list[Mamba2Mixer]:
    """The mixers of Mamba-2 in a model."""
    return [module for module in model.modules() if isinstance(module, Mamba2Mixer)]


def stock_mixers(model: nn.Module) -> list[Mixer]:
    """The mixers of transformers in a model, and in nothing else."""
    return [each for each in model.modules() if type(each).__name__.endswith("MambaMixer")]


def path_of(mixer: Mixer) -> Path:
    """What runs a mixer of transformers, as `set_path` left it or as it was loaded."""
    forward = getattr(mixer.forward, "__func__", None)
    if forward is live:
        return "live"
    stock = importlib.import_module(type(mixer).__module__)
    takes_kernels = stock.is_fast_path_available and mixer.x_proj.weight.is_cuda
    return "kernels" if takes_kernels and forward is type(mixer).forward else "slow"


def live(mixer: Mixer, hidden: Tensor, cache_params: Cache = None) -> Tensor:
    """A mixer's forward by kernels in which every projection is called as a module.

    Args:
        mixer: One with its weights on a GPU.
        hidden: (batch, length, hidden size).
        cache_params: Written as the stock forward does; a step of one token from it takes the slow
            path, which calls every projection too.

    Returns:
        (batch, length, hidden size).
    """
    if cache_params is not None and cache_params.seqlen_offset > 0:
        one: Tensor = mixer.slow_forward(hidden, cache_params)
        return one
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    driven, gate = mixer.in_proj(hidden).transpose(1, 2).chunk(2, dim=1)  # (batch, inner, length)
    given, raw = scan_arguments(
        mixer, convolved_by_kernel(mixer.conv1d, driven, mixer.activation), "live"
    )
    y, last = selective_scan_fn(**given, **raw, z=gate, delta_softplus=True, return_last_state=True)
    if cache_params is not None:
        width = mixer.conv_kernel_size
        recent = nn.functional.pad(driven, (width - driven.shape[-1], 0))  # crops if it is longer
        cache_params.conv_states[mixer.layer_idx].copy_(recent)
        cache_params.ssm_states[mixer.layer_idx].copy_(last)
    mixed: Tensor = mixer.out_proj(y.transpose(1, 2))
    return mixed


def scan_arguments(
    mixer: Mixer, convolved: Tensor, path: Literal["kernels", "live"]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What the scan is handed for what left the convolution, (batch, inner, length).

    Returns:
        Arguments of `selective_scan_fn` by name: u, A, B, C and D; delta before its bias and
        softplus, with delta_bias.
    """
    states = mixer.ssm_state_size
    selected = mixer.x_proj(convolved.transpose(1, 2))
    low, inward, outward = selected.split([mixer.time_step_rank, states, states], dim=-1)
    if path == "live":
        step, bias = _without_bias(mixer.dt_proj, low)
        step = step.transpose(1, 2)
    else:  # as the pins do, past its adapters
        step = functional.linear(low, mixer.dt_proj.weight).transpose(1, 2)
        bias = mixer.dt_proj.bias
    given = {
        "u": convolved,
        "A": -torch.exp(mixer.A_log.float()),
        "B": inward.transpose(1, 2),
        "C": outward.transpose(1, 2),
        "D": mixer.D.float(),
    }
    return given, {"delta": step, "delta_bias": bias.float()}


def _without_bias(projection: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """What a linear layer, adapters and all, puts out with a bias of 0, and its bias.

    The scan adds the bias in FP32; subtracting it from the output would round it twice.
    """
    base = getattr(projection, "base_layer", projection)  # what PEFT has wrapped
    name = "bias" if base is projection else "base_layer.bias"
    bias: Tensor = base.bias
    output: Tensor = functional_call(projection, {name: torch.zeros_like(bias)}, (inputs,))
    return output, bias
