"""Mamba, by transformers 4.40.0's own class.

Loaded as lm-eval does, through a `device_map`, in half precision all weights are rounded; A_log,
too, though it stays a float32 tensor. Without a `device_map` transformers rounds all but A_log.

Its own cache takes one token at a time once it holds something, and in half precision rounds the
recurrent state at each. So a state here is a `MambaState` a block, in float32, and the pass from
state to state is ours.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from runner.models.mamba2_mixer import convolved_by_kernel, kernels_lacking
from runner.models.mamba2_scan import at_least_float32
from runner.models.mamba_paths import Path, path_of, scan_arguments
from runner.models.mamba_scan import ScanInputs, Start, by_pseudo_steps, scan_from_state
from runner.models.transformers_model import TransformersModel

# -----------------------------------------------------------------------------
# One mixer for many tokens at once, from a state to a state
#
# By the code that `mamba_paths.path_of` names. On a slow path the arithmetic is `slow_forward`'s
# (`mamba_scan`), where Triton compiles and outputs are FP16 or BF16 by a kernel of ours that rounds
# as it does (`mamba_scan_plain`). By the kernels it is that of the pins (path kernels) or of
# `mamba_paths.live`; the convolution gets the last inputs before its own, and a scan that has a
# state to start from gets it by `FROM_STATE`. In all of them the state is FP32, as within one pass
# of any of them. Where Triton compiles, norms, convolutions and scans of many rows of these two are
# our kernels (`mamba_scan_triton`).
#
# Every projection is called as a module, but dt_proj on path kernels, as the pins have it.
#
# Reference: transformers 4.40.0, `MambaMixer`. Differs: its cache starts no pass of many tokens.
# Not covered: Jamba's mixers, which have norms inside.


def _start() -> Start:
    if kernels_lacking():  # what Triton needs; the other two are compiled already
        return by_pseudo_steps
    from runner.models.mamba_scan_triton import by_one_kernel

    return by_one_kernel


FROM_STATE = _start()
"""How kernels scan from a state (`mamba_scan`, `mamba_scan_triton`)."""


def by_our_kernels() -> bool:
    """Whether Triton's kernels of ours stand for what lies between two products."""
    return FROM_STATE.__name__ == "by_one_kernel"


HALF = (torch.float16, torch.bfloat16)


def slow_by_our_kernel(mixer: Any, *, half: bool) -> bool:  # noqa: ANN401
    """Whether a mixer's slow path scans by `mamba_scan_plain`, where it is computed in half."""
    states = mixer.ssm_state_size
    on_gpu = by_our_kernels() and mixer.in_proj.weight.is_cuda
    return half and on_gpu and states & (states - 1) == 0


FEW = 1 << 14
"""Channels of all rows, below which mamba-ssm's kernel, which splits the steps of a channel, is the
faster one from 0: 11 rows of Mamba 130M (evidence/h100/scan_starts.md, and what it says of one)."""


class MambaState(NamedTuple):
    """What a mixer carries from one token to the next; a value, never changed."""

    driven: Tensor
    """The last d_conv - 1 inputs of the convolution, (batch, inner, d_conv - 1)."""
    scanned: Tensor
    """h, (batch, N, inner), FP32 (float64 in float64)."""


def continued(
    mixer: Any,  # noqa: ANN401 - transformers' `MambaMixer` has no types
    hidden: Tensor,
    before: MambaState | None,
) -> tuple[Tensor, MambaState]:
    """The mixer's output for what follows a state, and the state after it.

    Args:
        mixer: In evaluation mode.
        hidden: (batch, length ≥ 1, hidden size).
        before: What the tokens before left, of the same batch; None at the start of a sequence.
    """
    length, path, projected = hidden.shape[1], path_of(mixer), mixer.in_proj(hidden)
    if path != "slow" and by_our_kernels():
        y, after = _by_our_kernels(mixer, projected, before, path)
        return mixer.out_proj(y), after
    driven, gate = projected.transpose(1, 2).chunk(2, dim=1)  # (batch, inner, length)
    width = mixer.conv_kernel_size - 1
    earlier = before.driven if before else driven.new_zeros(*driven.shape[:2], width)
    if path == "slow":
        padded = torch.cat([earlier, driven], dim=-1)
        y, last = _by_pytorch(mixer, padded, gate, before)
    else:  # channels side by side, as they are and as most steps here want them
        padded = torch.cat([earlier.mT, driven.mT], dim=1).mT
        y, last = _by_kernels(mixer, padded, gate, before, path)
    return mixer.out_proj(y), MambaState(padded[..., length:].clone(), last)


def _by_pytorch(
    mixer: Any,  # noqa: ANN401
    padded: Tensor,
    gate: Tensor,
    before: MambaState | None,
) -> tuple[Tensor, Tensor]:
    """What enters out_proj, (batch, length, inner), and h."""
    length, states = gate.shape[-1], mixer.ssm_state_size
    first = padded.shape[-1] - length
    u = mixer.act(mixer.conv1d(padded)[..., first : first + length]).transpose(1, 2)
    low, inward, outward = mixer.x_proj(u).split([mixer.time_step_rank, states, states], dim=-1)
    step = functional.softplus(mixer.dt_proj(low))
    start = (
        before.scanned if before else at_least_float32(step.new_zeros(len(u), states, u.shape[-1]))
    )
    decay = -torch.exp(mixer.A_log.float()).T
    scan = scan_from_state
    if slow_by_our_kernel(mixer, half=outward.dtype in HALF):
        from runner.models.mamba_scan_plain import plain_scan as scan
    y, last = scan(u, step, decay, inward, outward, start)
    return (y + u * mixer.D) * mixer.act(gate.transpose(1, 2)), last


def _by_kernels(
    mixer: Any,  # noqa: ANN401
    padded: Tensor,
    gate: Tensor,
    before: MambaState | None,
    path: Path,
) -> tuple[Tensor, Tensor]:
    """As `_by_pytorch`."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    first = padded.shape[-1] - gate.shape[-1]
    convolved = convolved_by_kernel(mixer.conv1d, padded, mixer.activation)[..., first:]
    given, raw = scan_arguments(mixer, convolved, "live" if path == "live" else "kernels")
    if before is None:
        y, last = selective_scan_fn(
            **given, **raw, z=gate, delta_softplus=True, return_last_state=True
        )
    else:
        delta = functional.softplus(raw["delta"] + raw["delta_bias"][:, None])  # FP32, as the bias
        inputs = ScanInputs(delta=delta, z=gate, **given)
        y, last = FROM_STATE(selective_scan_fn, inputs, before.scanned.transpose(1, 2))
    return y.transpose(1, 2), last.transpose(1, 2)


def _by_our_kernels(
    mixer: Any,  # noqa: ANN401
    projected: Tensor,
    before: MambaState | None,
    path: Path,
) -> tuple[Tensor, MambaState]:
    """What enters out_proj, (batch, length, inner), from what leaves in_proj; and the state."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    from runner.models.mamba_scan_triton import by_one_kernel, convolved

    driven, gate = projected.chunk(2, dim=-1)
    into, left = convolved(mixer.conv1d, driven, before.driven.mT if before else None)
    given, raw = scan_arguments(mixer, into.mT, "live" if path == "live" else "kernels")
    rows, _, inner = into.shape
    if before is None and rows * inner < FEW:
        y, last = selective_scan_fn(
            **given, **raw, z=gate.mT, delta_softplus=True, return_last_state=True
        )
    else:
        zero = torch.zeros(1, 1, 1, device=into.device).expand(rows, mixer.ssm_state_size, inner)
        inputs = ScanInputs(delta=raw["delta"], z=gate.mT, **given)
        start = (before.scanned if before else zero).mT
        y, last = by_one_kernel(None, inputs, start, raw["delta_bias"])
    return y.mT, MambaState(left.mT, last.mT)


# -----------------------------------------------------------------------------
# The model

States = tuple[MambaState, ...]
"""What each block's mixer carries on."""


def _added_and_normed(
    block: Any,  # noqa: ANN401
    stream: Tensor,
    mixed: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """What enters a block's mixer, and the stream with what the block before it has put out."""
    norm = block.norm
    wide = torch.float32 if block.residual_in_fp32 else stream.dtype
    plain = type(norm).__name__ == "MambaRMSNorm" and not (
        norm._forward_hooks or norm._forward_pre_hooks  # noqa: SLF001 - has no public name
    )
    if plain and path_of(block.mixer) != "slow" and by_our_kernels():
        from runner.models.mamba_scan_triton import added_and_normed

        return added_and_normed(
            norm,
            stream if mixed is None else mixed,
            eps=norm.variance_epsilon,
            stream=None if mixed is None else stream,
            kept=wide if mixed is None else torch.promote_types(wide, mixed.dtype),
            rounded=(True, True),
        )
    stream = stream if mixed is None else stream + mixed
    return norm(stream.to(norm.weight.dtype)), stream.to(wide)


class MambaModel(TransformersModel):
    """With the last inputs of the convolution and h, by layer, as state."""

    @torch.no_grad()
    def continued(
        self, model: PreTrainedModel, tokens: Tensor, state: States | None
    ) -> tuple[Tensor, States]:
        """As `ModelFamily.continued` says: the pass of transformers' `MambaModel`."""
        after: list[MambaState] = []
        return self._run(model, tokens, state, after.append), tuple(after)

    @torch.no_grad()
    def hidden(self, model: PreTrainedModel, tokens: Tensor, state: States | None) -> Tensor:
        """As `registry.hidden` says."""
        return self._run(model, tokens, state, lambda _: None)

    def _run(
        self,
        model: PreTrainedModel,
        tokens: Tensor,
        state: States | None,
        left: Callable[[MambaState], None],
    ) -> Tensor:
        backbone = model.backbone
        stream, mixed = backbone.embeddings(tokens), None
        for number, block in enumerate(backbone.layers):
            normed, stream = _added_and_normed(block, stream, mixed)
            mixed, after = continued(block.mixer, normed, state[number] if state else None)
            left(after)
        normed_last: Tensor = backbone.norm_f(stream + mixed)
        return normed_last

    @torch.no_grad()
    def head(self, model: PreTrainedModel, hidden: Tensor) -> Tensor:
        """As `ModelFamily.head` says."""
        return self._widened(model, model.lm_head(hidden.to(model.lm_head.weight.dtype)))


MAMBA = MambaModel("mamba", widens=("mamba",))
