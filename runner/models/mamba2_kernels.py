"""A Mamba-2 block by mamba-ssm's kernels, as its own block calls them.

`unfused` runs the convolution, the scan and the gated norm as three kernels and leaves in_proj and
out_proj to their modules, so that adapters on both take part. `fused` is what the stock block runs
in training and in evaluation alike: one call that is handed the *weights* of the convolution, the
norm and out_proj. An adapter on out_proj is no part of those, and neither acts nor learns. It takes
and gives no state; `continued` does, by the three kernels.

Both need weights on a GPU, FP32, FP16 or BF16, and channels of the convolution in multiples of 8;
mamba-ssm 2.2.2 also needs the width of in_proj, so the number of heads, to be one. float32 matrix
products inside the Triton kernels take TF32, whatever torch's flags say. Arguments go by keyword:
tried with 2.2.2's and 2.3.2's signatures.

They are Triton's but for the convolution, and so take a C compiler at run time.

Reference: mamba-ssm 2.2.2, `Mamba2.forward` with use_mem_eff_path off and on.
"""

import os
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from runner.models.mamba2_mixer import Mamba2Mixer


def lacking() -> str:
    """What the kernels lack on this machine, in a few words; empty if nothing.

    They take both packages, and what Triton compiles their launchers with at run time: Python's
    headers and a C compiler, which is $CC if that is set, else gcc, else clang. Whether they run
    takes a GPU to say.

    Reference: triton 2.2.0, `common/build.py`, which runs at the first use of each kernel.
    """
    for package in ("mamba_ssm", "causal_conv1d"):
        if find_spec(package) is None:
            return f"{package} is not installed"
    named = os.environ.get("CC")
    compilers = ("gcc", "clang") if named is None else (named,)
    if not any(map(shutil.which, compilers)):
        return (
            f"Triton finds no C compiler ({' or '.join(filter(None, compilers)) or 'CC is empty'})"
        )
    headers = Path(sysconfig.get_path("include", "posix_prefix"))
    if not (headers / "Python.h").is_file():
        return f"Triton finds no headers of Python (no Python.h in {headers})"
    return ""


def unfused(mixer: "Mamba2Mixer", projected: Tensor) -> Tensor:
    """What enters out_proj, (batch, length, inner), from what leaves in_proj."""
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    gate, driven, step = projected.split(mixer.parts, dim=-1)
    y: Tensor = mamba_chunk_scan_combined(**_scan(mixer, _convolved(mixer, driven), step))
    return _normed(mixer, y, gate)


def continued(
    mixer: "Mamba2Mixer", projected: Tensor, padded: Tensor, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    """As `unfused`, from a state to a state.

    Args:
        mixer: On path unfused or fused: the one call of the latter takes no state, so that what it
            does is done by three kernels.
        projected: What leaves in_proj.
        padded: The inputs of the convolution behind the d_conv - 1 before them.
        start: h before the first step, (batch, heads, P, N), FP32; None is 0.

    Returns:
        What enters out_proj, and the last h, FP32.
    """
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    gate, _, step = projected.split(mixer.parts, dim=-1)
    convolved = _convolved(mixer, padded)[:, mixer.sizes.d_conv - 1 :]
    y, last = mamba_chunk_scan_combined(
        **_scan(mixer, convolved, step), initial_states=start, return_final_states=True
    )
    return _normed(mixer, y, gate), last


def _convolved(mixer: "Mamba2Mixer", driven: Tensor) -> Tensor:
    """SiLU of the causal convolution of (batch, length, channels), from nothing."""
    from causal_conv1d import causal_conv1d_fn

    convolved: Tensor = causal_conv1d_fn(
        x=driven.transpose(1, 2),
        weight=mixer.conv1d.weight.squeeze(1),
        bias=mixer.conv1d.bias,
        activation="silu",
    )
    return convolved.transpose(1, 2)


def _scan(mixer: "Mamba2Mixer", convolved: Tensor, step: Tensor) -> dict[str, object]:
    """Arguments of the scan by name."""
    x, inward, outward = mixer.split(convolved)
    return {
        "x": x,
        "dt": step,
        "A": -torch.exp(mixer.A_log.float()),
        "B": inward,
        "C": outward,
        "chunk_size": mixer.sizes.chunk_size,
        "D": mixer.D,
        "dt_bias": mixer.dt_bias,
        "dt_softplus": True,
    }


def _normed(mixer: "Mamba2Mixer", y: Tensor, gate: Tensor) -> Tensor:
    from mamba_ssm.ops.triton.layernorm_gated import rmsnorm_fn

    normed: Tensor = rmsnorm_fn(
        x=y.flatten(2),
        weight=mixer.norm.weight,
        bias=None,
        z=gate,
        eps=mixer.norm.eps,
        group_size=mixer.norm.weight.numel() // mixer.sizes.ngroups,
        norm_before_gate=False,
    )
    return normed


def fused(mixer: "Mamba2Mixer", projected: Tensor) -> Tensor:
    """What leaves the block, (batch, length, d_model), from what leaves in_proj."""
    from mamba_ssm.ops.triton.ssd_combined import mamba_split_conv1d_scan_combined

    sizes = mixer.sizes
    mixed: Tensor = mamba_split_conv1d_scan_combined(
        zxbcdt=projected,
        conv1d_weight=mixer.conv1d.weight.squeeze(1),
        conv1d_bias=mixer.conv1d.bias,
        dt_bias=mixer.dt_bias,
        A=-torch.exp(mixer.A_log.float()),
        D=mixer.D,
        chunk_size=sizes.chunk_size,
        activation="silu",
        rmsnorm_weight=mixer.norm.weight,
        rmsnorm_eps=mixer.norm.eps,
        outproj_weight=mixer.out_proj.weight,
        outproj_bias=mixer.out_proj.bias,
        headdim=sizes.headdim,
        ngroups=sizes.ngroups,
        norm_before_gate=False,
    )
    return mixed
