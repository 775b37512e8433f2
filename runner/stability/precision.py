"""Low-precision roll-outs: rounding as a perturbation at every step.

Automatic mixed precision perturbs the inputs, the step size and everything after them at every
step (paper v2, Section 3.1.1), which Theorem 1 does not reach. Here a whole layer is held in one
dtype: weights and inputs are rounded to it; Δ, B, C are computed in float32 and rounded, as
accelerators do, exp(ΔA) and g likewise; the state is kept in it, each multiplication and addition
rounded; the sum over n in y is exact and rounded once. Harsher than the released kernels, which
keep the state in float32.

The deviation from the float64 trajectory of the unrounded layer obeys, with what rounding really
did to the parameters (a posteriori, no constant to choose), w = gBu, v the unit round-off of the
low precision and ' its trajectory::

    |x'_t - x_t| ≤ c_t = min(1, a') c_{t-1} + |a' - a| |x_{t-1}| + |w' - w|
                         + 2v (|x'_{t-1}| + |x'_t|)
    |w' - w| ≤ |g'u'| |B' - B| + |g'u' - gu| |B| + 4v |g'u'| |B'|

(one product and one sum; two products). Where A is one scalar a channel, |x|, |B| and |B' - B|
enter as their maxima over n. Whether c_t stays small is the question, not an assumption: a' may
round to 1, and then nothing is forgotten.

Recorded for each dtype: `latent_envelope`, `output_envelope` (L, K); `latent_relative`,
`output_relative` (L,), the largest deviation over the largest magnitude of the float64
trajectory; `latent_ratio`, `latent_violations` against c_t.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runner.measurement import Arrays
from runner.stability.bounds import RATIO_SLACK, TINY
from runner.stability.layers import TENSORS, Layers, discretise, parameters

LowDtype = Literal["float32", "float16", "bfloat16"]


def rounded(layers: Layers, dtype: torch.dtype) -> Layers:
    """Weights and inputs rounded to `dtype`, held in float32, in which they are computed with."""
    tensors = {name: getattr(layers, name).to(dtype).to(torch.float32) for name in TENSORS}
    return replace(layers, **tensors)


def low_precision(layers: Layers, names: tuple[LowDtype, ...], times: NDArray[np.int64]) -> Arrays:
    """Roll `layers` out in float64 and in each dtype of `names`.

    Layers are a chunk, float64; envelopes are kept at `times`.

    Returns:
        The arrays of the module by `<dtype>/<array>`.
    """
    exact = _ExactTrajectory(layers)
    lows = {name: _LowPrecisionTrajectory(layers, getattr(torch, name)) for name in names}
    for t in range(layers.steps):
        exact.advance(t)
        for low in lows.values():
            low.advance(t, exact)
    chosen = torch.from_numpy(times).to(layers.inputs.device)
    arrays: Arrays = {}
    for name, low in lows.items():
        for key, value in low.tensors(exact, chosen).items():
            arrays[f"{name}/{key}"] = value.contiguous().cpu().numpy()
    return arrays


def _largest(entries: Tensor, per_channel: bool) -> Tensor:  # noqa: FBT001 - which of two shapes
    """|entries|, or its maximum over n."""
    if not per_channel:
        return entries.abs()
    return torch.maximum(entries.amax(-1, keepdim=True), -entries.amin(-1, keepdim=True))


class _ExactTrajectory:
    """The float64 trajectory, and what of its current step the bounds read."""

    def __init__(self, layers: Layers) -> None:
        self.layers = layers
        self.per_channel = layers.decay.shape[-1] == 1
        self.used = parameters(layers, layers.inputs)
        shape = (layers.count, layers.channels, layers.state_size)
        self.x = layers.inputs.new_full(shape, layers.initial)
        self.size = self.before = _largest(self.x, self.per_channel)
        self.largest = self.x.amax(dim=(1, 2))
        self.outputs: list[Tensor] = []

    def advance(self, t: int) -> None:
        """From x_{t-1} to x_t."""
        layers, self.inward = self.layers, self.used.inward[t]
        self.transition, gain = discretise(self.used.step[t], layers.decay, layers.hold)
        self.driven = gain * layers.inputs[:, t, : layers.channels, None]
        self.inward_size = _largest(self.inward, self.per_channel)
        self.x.mul_(self.transition).addcmul_(self.inward, self.driven)
        self.before, self.size = self.size, _largest(self.x, self.per_channel)
        self.largest = torch.maximum(self.largest, self.size.amax(dim=(1, 2)))
        self.outputs.append((self.used.outward[t] * self.x).sum(-1))


class _LowPrecisionTrajectory:
    """One low-precision trajectory and the bound on its deviation."""

    def __init__(self, layers: Layers, dtype: torch.dtype) -> None:
        self.dtype = dtype
        # Unit round-off of the arithmetic of one step, and the underflow of its products. The
        # float64 trajectory rounds too: a thousandth of any lower unit covers it.
        self.unit = torch.finfo(dtype).eps / 2 * 1.001
        self.underflow = 4 * torch.finfo(dtype).tiny * self.unit + TINY
        self.layers = rounded(layers, dtype)
        self.used = parameters(self.layers, self.layers.inputs)
        shape = (layers.count, layers.channels, layers.state_size)
        self.x = torch.full(shape, layers.initial, dtype=dtype, device=layers.inputs.device)
        self.wide = self.x.double()
        self.per_channel = layers.decay.shape[-1] == 1
        self.size = _largest(self.wide, self.per_channel)
        self.bound = torch.zeros_like(layers.decay)
        self.latent: list[Tensor] = []
        self.ratio: list[Tensor] = []
        self.outputs: list[Tensor] = []

    def advance(self, t: int, exact: _ExactTrajectory) -> None:
        """One step and its bound, after that of the float64 trajectory."""
        layers, used, dtype = self.layers, self.used, self.dtype
        step, inward = used.step[t].to(dtype), used.inward[t].to(dtype)
        transition, gain = discretise(step.float(), layers.decay, layers.hold)
        transition = transition.to(dtype)
        driven = gain.to(dtype) * layers.inputs[:, t, : layers.channels, None].to(dtype)
        self.x.mul_(transition).add_(inward * driven)
        self.wide.copy_(self.x)

        self.bound.mul_(transition.double().clamp_(max=1))
        self.bound.addcmul_((transition.double() - exact.transition).abs_(), exact.before)
        self._add_input(driven.double(), inward.double(), exact)
        self.bound.add_(self.size, alpha=2 * self.unit)
        self.size = _largest(self.wide, self.per_channel)
        self.bound.add_(self.size, alpha=2 * self.unit).add_(self.underflow)

        self.outputs.append((used.outward[t].to(dtype).double() * self.wide).sum(-1))
        deviation = _largest(self.wide.sub_(exact.x), self.per_channel)
        self.latent.append(deviation.amax(dim=(1, 2)))
        self.ratio.append((deviation / self.bound).amax(-1))

    def _add_input(self, driven: Tensor, inward: Tensor, exact: _ExactTrajectory) -> None:
        """|w' - w| into the bound."""
        size = driven.abs()
        self.bound.addcmul_(size, _largest(inward - exact.inward, self.per_channel))
        self.bound.addcmul_((driven - exact.driven).abs_(), exact.inward_size)
        self.bound.addcmul_(size, _largest(inward, self.per_channel), value=4 * self.unit)

    def tensors(self, exact: _ExactTrajectory, chosen: Tensor) -> dict[str, Tensor]:
        """What is recorded of the dtype."""
        latent, ratio = torch.stack(self.latent), torch.stack(self.ratio)  # (T, L), (T, L, D)
        right, found = torch.stack(exact.outputs), torch.stack(self.outputs)  # (T, L, D)
        output = (found.to(self.dtype).double() - right).abs().amax(-1)
        return {
            "latent_envelope": latent[chosen].T,
            "output_envelope": output[chosen].T,
            "latent_relative": latent.amax(0) / exact.largest,
            "output_relative": output.amax(0) / right.abs().amax(dim=(0, 2)),
            "latent_ratio": ratio.amax(dim=(0, 2)),
            "latent_violations": (~(ratio <= 1 + RATIO_SLACK)).sum(dim=(0, 2)),
        }
