"""A Mamba-2 block by mamba-ssm's kernels, as its own block calls them.

`unfused` runs the convolution, the scan and the gated norm as three kernels and leaves in_proj and
out_proj to their modules, so that adapters on both take part. `fused` is what the stock block runs
in training and in evaluation alike: one call that is handed the *weights* of the convolution, the
norm and out_proj. An adapter on out_proj is no part of those, and neither acts nor learns.

Both need weights on a GPU, FP32, FP16 or BF16, and channels of the convolution in multiples of 8;
mamba-ssm 2.2.2 also needs the width of in_proj, so the number of heads, to be one. float32 matrix
products inside the Triton kernels take TF32, whatever torch's flags say. Arguments go by keyword:
tried with 2.2.2's and 2.3.2's signatures.

Reference: mamba-ssm 2.2.2, `Mamba2.forward` with use_mem_eff_path off and on.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from runner.models.mamba2_mixer import Mamba2Mixer


def installed() -> bool:
    """Whether both packages are there; whether they run takes a GPU to say."""
    return all(find_spec(package) is not None for package in ("mamba_ssm", "causal_conv1d"))


def unfused(mixer: "Mamba2Mixer", projected: Tensor) -> Tensor:
    """What enters out_proj, (batch, length, inner), from what leaves in_proj."""
    from causal_conv1d import causal_conv1d_fn
    from mamba_ssm.ops.triton.layernorm_gated import rmsnorm_fn
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    sizes = mixer.sizes
    gate, driven, step = projected.split(mixer.parts, dim=-1)
    convolved: Tensor = causal_conv1d_fn(
        x=driven.transpose(1, 2),
        weight=mixer.conv1d.weight.squeeze(1),
        bias=mixer.conv1d.bias,
        activation="silu",
    ).transpose(1, 2)
    x, inward, outward = mixer.split(convolved)
    y: Tensor = mamba_chunk_scan_combined(
        x=x,
        dt=step,
        A=-torch.exp(mixer.A_log.float()),
        B=inward,
        C=outward,
        chunk_size=sizes.chunk_size,
        D=mixer.D,
        dt_bias=mixer.dt_bias,
        dt_softplus=True,
    )
    normed: Tensor = rmsnorm_fn(
        x=y.flatten(2),
        weight=mixer.norm.weight,
        bias=None,
        z=gate,
        eps=mixer.norm.eps,
        group_size=mixer.norm.weight.numel() // sizes.ngroups,
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
