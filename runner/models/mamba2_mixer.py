"""One Mamba-2 mixer: projection, convolution, scan, gated norm, projection.

    z, xBC, Δ' = in_proj(u);  x, B, C = SiLU(convolution(xBC));  Δ = softplus(Δ' + dt_bias)
    out = out_proj(RMSNorm(scan(x, Δ, -exp(A_log), B, C, D) · SiLU(z)) · weight)

Dtypes under FP16 or BF16, in this code as in mamba-ssm 2.2.2 with `dtype=` half ("stored" is what
`mamba2_checkpoint.load` gives, and what the release makes of a checkpoint of any dtype):

| tensor                              | stored  | computed in                                      |
|-------------------------------------|---------|--------------------------------------------------|
| embedding, in_proj, out_proj, head  | half    | half, as torch's matrix product of that dtype is |
| conv1d weight and bias              | half    | FP32 with its SiLU, rounded once                 |
| dt_bias, A_log                      | half    | FP32: Δ, softplus, exp(A_log), decays            |
| D                                   | FP32    | FP32                                             |
| norm weights                        | half    | FP32, rounded once                               |
| x, B, C, z                          | half    | `mamba2_scan` says which products round          |
| state between chunks                | -       | FP32                                             |
| residual stream                     | FP32    | FP32 (residual_in_fp32), else half               |
| logits                              | -       | half                                             |

So A_log, and with it A, is rounded in half precision; D is not. The release leaves D in FP32 only
because it is made without a dtype; `model.half()` rounds it there as here. float64 stays float64.

Source: Dao and Gu 2024, arXiv 2405.21060, Section 7. Reference: mamba-ssm 2.2.2,
`modules/mamba2.py`, `ops/triton/layernorm_gated.py`. Differs: softplus is log1p where Triton ≥ 3
takes log(1 + exp), which loses Δ below 1e-7.
"""

import functools
import math
import os
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from runner.models.mamba2_config import Mamba2Config
from runner.models.mamba2_scan import at_least_float32, chunked_scan

MixerPath = Literal["plain", "unfused", "fused"]
"""Plain PyTorch; mamba-ssm's kernels one by one; its one call for the whole block."""

STEP_RANGE = (0.001, 0.1)
"""Between which a new model's Δ lie, evenly in their logarithm (the release's default)."""

DECAY_RANGE = (1.0, 16.0)
"""Between which a new model's -A lie, evenly (the release's default)."""


class RMSNorm(nn.Module):
    """x / √(mean(x²) + ε) · weight over each group of the last axis, not rounded."""

    def __init__(self, width: int, groups: int = 1) -> None:
        super().__init__()
        self.groups, self.eps = groups, 1e-5
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised x, (..., width), in float32 (float64 where x is)."""
        grouped = at_least_float32(x).unflatten(-1, (self.groups, -1))
        scale = torch.rsqrt(grouped.square().mean(-1, keepdim=True) + self.eps)
        normed: Tensor = (grouped * scale).flatten(-2) * at_least_float32(self.weight)
        return normed


class Mamba2State(NamedTuple):
    """What a mixer carries from one token to the next; a value, never changed."""

    driven: Tensor
    """The last d_conv - 1 inputs of the convolution, (batch, d_conv - 1, channels)."""
    scanned: Tensor
    """h of `mamba2_scan`, (batch, heads, P, N)."""


class Mamba2Mixer(nn.Module):
    """The mixer of one block; parameter names are the official checkpoints'."""

    path: MixerPath = "plain"
    """Which code runs it. The kernels need mamba-ssm and weights on a GPU."""

    def __init__(self, config: Mamba2Config) -> None:
        super().__init__()
        self.sizes = sizes = config.sizes
        shared = sizes.ngroups * sizes.d_state
        channels = config.inner + 2 * shared
        self.parts = (config.inner, channels, config.heads)
        """Widths of what in_proj makes: z; x, B, C; Δ before its bias and softplus."""
        self.driven = (config.inner, shared, shared)
        """Widths of x, B, C."""
        self.in_proj = nn.Linear(config.d_model, sum(self.parts), bias=False)
        self.conv1d = nn.Conv1d(channels, channels, sizes.d_conv, groups=channels)
        step = torch.empty(config.heads).uniform_(*map(math.log, STEP_RANGE)).exp()
        self.dt_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))  # softplus backwards
        self.A_log = nn.Parameter(torch.empty(config.heads).uniform_(*DECAY_RANGE).log())
        self.D = nn.Parameter(torch.ones(config.heads))
        self.norm = RMSNorm(config.inner, sizes.ngroups)
        self.out_proj = nn.Linear(config.inner, config.d_model, bias=False)
        with torch.no_grad():  # the residual stream adds up n_layer of them
            self.out_proj.weight /= math.sqrt(config.n_layer)

    def forward(self, hidden: Tensor) -> Tensor:
        """The mixer's output for `hidden`, both (batch, length, d_model)."""
        projected = self.in_proj(hidden)
        if self.path == "fused":
            return run_fused(self, projected)
        if self.path == "unfused":
            normed = run_unfused(self, projected)
        else:
            normed, _ = self._scanned(projected, None)
        mixed: Tensor = self.out_proj(normed)
        return mixed

    def continued(self, hidden: Tensor, before: Mamba2State | None) -> tuple[Tensor, Mamba2State]:
        """The mixer's output for what follows a state, and the state after it.

        Path fused hands out no state: its work is done by other kernels (`by_our_kernels`, or those
        of path unfused), and it reads the weight of out_proj past its adapters as always.

        Args:
            hidden: (batch, length, d_model).
            before: What the tokens before left; None at the start of a sequence.
        """
        projected = self.in_proj(hidden)
        if self.path == "plain":
            normed, after = self._scanned(projected, before)
        elif by_our_kernels(self):
            normed, after = continue_by_our_kernels(self, projected, before)
        else:
            padded = self._padded(projected.split(self.parts, dim=-1)[1], before)
            start = before.scanned if before else None
            normed, last = continue_unfused(self, projected, padded, start)
            after = Mamba2State(padded[:, hidden.shape[1] :].clone(), last)
        if self.path == "fused":
            return functional.linear(normed, self.out_proj.weight, self.out_proj.bias), after
        return self.out_proj(normed), after

    def _scanned(self, projected: Tensor, before: Mamba2State | None) -> tuple[Tensor, Mamba2State]:
        """What enters out_proj, (batch, length, inner), from what leaves in_proj, in PyTorch."""
        with torch.autocast(projected.device.type, enabled=False):  # the table holds under it too
            gate, driven, step = projected.split(self.parts, dim=-1)
            padded = self._padded(driven, before)
            x, inward, outward = self.split(self._convolved(padded))
            y, scanned = chunked_scan(
                x,
                functional.softplus(at_least_float32(step) + at_least_float32(self.dt_bias)),
                -torch.exp(at_least_float32(self.A_log)),
                inward,
                outward,
                self.D,
                initial=before.scanned if before else None,
                chunk=self.sizes.chunk_size,
            )
            gated = at_least_float32(y.flatten(2)) * functional.silu(at_least_float32(gate))
            normed: Tensor = self.norm(gated)
            last = padded[:, driven.shape[1] :].clone()  # a view would keep all of it
            return normed.to(projected.dtype), Mamba2State(last, scanned)

    def _padded(self, driven: Tensor, before: Mamba2State | None) -> Tensor:
        """Inputs of the convolution behind those that it still sees; 0 before a sequence."""
        if before:
            return torch.cat([before.driven, driven], dim=1)
        return functional.pad(driven, (0, 0, self.sizes.d_conv - 1, 0))

    def _convolved(self, padded: Tensor) -> Tensor:
        """SiLU of the causal convolution over time, one kernel a channel.

        A sum of shifted copies: cuDNN's convolution would take TF32 for float32.
        """
        kernel = at_least_float32(self.conv1d.weight)[:, 0]  # (channels, width)
        width = kernel.shape[1]
        length, rows = padded.shape[1] - width + 1, at_least_float32(padded)
        summed = (
            at_least_float32(self.conv1d.get_parameter("bias")) + rows[:, :length] * kernel[:, 0]
        )
        for late in range(1, width):
            summed = torch.addcmul(summed, rows[:, late : late + length], kernel[:, late])
        return functional.silu(summed).to(padded.dtype)

    def split(self, convolved: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cut into x (batch, length, heads, P), B and C (batch, length, groups, N)."""
        x, inward, outward = convolved.split(self.driven, dim=-1)
        groups = (self.sizes.ngroups, self.sizes.d_state)
        return (
            x.unflatten(-1, (-1, self.sizes.headdim)),
            inward.unflatten(-1, groups),
            outward.unflatten(-1, groups),
        )


# -----------------------------------------------------------------------------
# The same by mamba-ssm's kernels, as its own block calls them
#
# `unfused` runs the convolution, the scan and the gated norm as three kernels and leaves in_proj
# and out_proj to their modules, so that adapters on both take part. `fused` is what the stock block
# runs in training and in evaluation alike: one call that is handed the *weights* of the
# convolution, the norm and out_proj. An adapter on out_proj is no part of those, and neither acts
# nor learns. It takes and gives no state; `continued` does, by the three kernels.
#
# Both need weights on a GPU, FP32, FP16 or BF16, and channels of the convolution in multiples of 8;
# mamba-ssm 2.2.2 also needs the width of in_proj, so the number of heads, to be one. float32 matrix
# products inside the Triton kernels take TF32, whatever torch's flags say. Arguments go by keyword:
# tried with 2.2.2's and 2.3.2's signatures.
#
# They are Triton's but for the convolution, and so take a C compiler at run time.
#
# Reference: mamba-ssm 2.2.2, `Mamba2.forward` with use_mem_eff_path off and on.


def kernels_lacking() -> str:
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


def run_unfused(mixer: Mamba2Mixer, projected: Tensor) -> Tensor:
    """What enters out_proj, (batch, length, inner), from what leaves in_proj."""
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    gate, driven, step = projected.split(mixer.parts, dim=-1)
    convolved = convolved_by_kernel(mixer.conv1d, driven.mT).mT
    y: Tensor = mamba_chunk_scan_combined(**_scan(mixer, convolved, step))
    return _normed(mixer, y, gate)


def continue_unfused(
    mixer: Mamba2Mixer, projected: Tensor, padded: Tensor, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    """As `run_unfused`, from a state to a state.

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
    convolved = convolved_by_kernel(mixer.conv1d, padded.mT).mT[:, mixer.sizes.d_conv - 1 :]
    y, last = mamba_chunk_scan_combined(
        **_scan(mixer, convolved, step), initial_states=start, return_final_states=True
    )
    return _normed(mixer, y, gate), last


@functools.cache
def _triton_compiles() -> bool:
    return not kernels_lacking()


def by_our_kernels(mixer: Mamba2Mixer) -> bool:
    """Whether what continues a state runs by kernels of our own (`mamba_scan_triton`)."""
    if mixer.path == "plain" or not mixer.D.is_cuda or not _triton_compiles():
        return False
    from runner.models.mamba_scan_triton import scans

    return mixer.sizes.ngroups == 1 and scans(mixer.sizes.headdim, mixer.sizes.d_state)


def continue_by_our_kernels(
    mixer: Mamba2Mixer, projected: Tensor, before: Mamba2State | None
) -> tuple[Tensor, Mamba2State]:
    """What enters out_proj, (batch, length, inner), from what leaves in_proj; and the state."""
    from runner.models.mamba_scan_triton import added_and_normed, chunk_scan, convolved

    gate, driven, step = projected.split(mixer.parts, dim=-1)
    wide, left = convolved(mixer.conv1d, driven, before.driven if before else None)
    x, inward, outward = mixer.split(wide)
    start = before.scanned if before else None
    y, last = chunk_scan(x, step, mixer.A_log, inward, outward, mixer.D, mixer.dt_bias, start)
    normed, _ = added_and_normed(mixer.norm, y, eps=mixer.norm.eps, gate=gate)
    return normed, Mamba2State(left, last)


def convolved_by_kernel(layer: nn.Module, driven: Tensor, activation: str = "silu") -> Tensor:
    """A layer's causal convolution of (batch, channels, length), from nothing, activated."""
    from causal_conv1d import causal_conv1d_fn

    convolved: Tensor = causal_conv1d_fn(
        x=driven, weight=layer.weight.squeeze(1), bias=layer.bias, activation=activation
    )
    return convolved


def _scan(mixer: Mamba2Mixer, convolved: Tensor, step: Tensor) -> dict[str, object]:
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


def _normed(mixer: Mamba2Mixer, y: Tensor, gate: Tensor) -> Tensor:
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


def run_fused(mixer: Mamba2Mixer, projected: Tensor) -> Tensor:
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
