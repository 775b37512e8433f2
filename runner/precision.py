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

from dataclasses import fields, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runner.deviation_bounds import RATIO_SLACK, TINY
from runner.deviation_summary import Arrays
from runner.ssm_layers import Layers, discretise, parameters

LowDtype = Literal["float32", "float16", "bfloat16"]

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def rounded(layers: Layers, dtype: torch.dtype) -> Layers:
    """Weights and inputs rounded to `dtype`, held in float32, in which they are computed with."""
    tensors = {
        field.name: getattr(layers, field.name).to(dtype).to(torch.float32)
        for field in fields(layers)
        if field.name not in {"hold", "initial"}
    }
    return replace(layers, **tensors)


def low_precision(layers: Layers, name: LowDtype, times: NDArray[np.int64]) -> Arrays:
    """Roll `layers` out in float64 and in dtype `name`; the arrays of the module, without prefix.

    Args:
        layers: a chunk, float64.
        name: the low precision.
        times: steps at which envelopes are kept.
    """
    pair = _Pair(layers, DTYPES[name])
    for t in range(layers.steps):
        pair.advance(t)
    chosen = torch.from_numpy(times).to(layers.inputs.device)
    latent, ratio = torch.stack(pair.latent), torch.stack(pair.ratio)  # (T, L), (T, L, D)
    exact, low = torch.stack(pair.outputs), torch.stack(pair.low_outputs)  # (T, L, D)
    output = (low - exact).abs().amax(-1)
    tensors = {
        "latent_envelope": latent[chosen].T,
        "output_envelope": output[chosen].T,
        "latent_relative": latent.amax(0) / pair.largest,
        "output_relative": output.amax(0) / exact.abs().amax(dim=(0, 2)),
        "latent_ratio": ratio.amax(dim=(0, 2)),
        "latent_violations": (~(ratio <= 1 + RATIO_SLACK)).sum(dim=(0, 2)),
    }
    return {key: value.contiguous().cpu().numpy() for key, value in tensors.items()}


class _Pair:
    """The float64 and the low-precision trajectory of one chunk, and the bound between them."""

    def __init__(self, layers: Layers, dtype: torch.dtype) -> None:
        self.layers, self.dtype = layers, dtype
        # Unit round-off of the arithmetic of one step, and the underflow of its products. The
        # float64 trajectory rounds too: a thousandth of any lower unit covers it.
        self.unit = torch.finfo(dtype).eps / 2 * 1.001
        self.underflow = 4 * torch.finfo(dtype).tiny * self.unit + TINY
        self.low_layers = rounded(layers, dtype)
        self.exact = parameters(layers, layers.inputs)
        self.low = parameters(self.low_layers, self.low_layers.inputs)
        shape = (layers.count, layers.channels, layers.state_size)
        self.x = layers.inputs.new_full(shape, layers.initial)
        self.low_x = torch.full(shape, layers.initial, dtype=dtype, device=self.x.device)
        self.work = torch.empty_like(self.x)
        self.size, self.low_size = self._largest(self.x), self._largest(self.x)
        self.bound = torch.zeros_like(layers.decay)
        self.largest = self.x.amax(dim=(1, 2))
        self.latent: list[Tensor] = []
        self.ratio: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.low_outputs: list[Tensor] = []

    def _largest(self, entries: Tensor) -> Tensor:
        """|entries|, or its maximum over n where A is one scalar a channel."""
        if self.layers.decay.shape[-1] > 1:
            return entries.abs()
        return torch.maximum(entries.amax(-1, keepdim=True), -entries.amin(-1, keepdim=True))

    def _low(self, t: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """exp(ΔA), gu, B, C of step t, each rounded to the dtype."""
        layers, used, dtype = self.low_layers, self.low, self.dtype
        transition, gain = discretise(used.step[t].to(dtype).float(), layers.decay, layers.hold)
        drive = layers.inputs[:, t, : layers.channels, None].to(dtype)
        driven = gain.to(dtype) * drive
        return transition.to(dtype), driven, used.inward[t].to(dtype), used.outward[t].to(dtype)

    def advance(self, t: int) -> None:
        """One step of both, and of the bound."""
        layers, inward = self.layers, self.exact.inward[t]
        a, gain = discretise(self.exact.step[t], layers.decay, layers.hold)
        driven = gain * layers.inputs[:, t, : layers.channels, None]
        low_a, low_driven, low_inward, low_outward = self._low(t)
        self.bound.mul_(low_a.double().clamp_(max=1))
        self.bound.addcmul_((low_a.double() - a).abs_(), self.size)
        self._add_input(driven, low_driven.double(), inward, low_inward.double())
        self.bound.add_(self.low_size, alpha=2 * self.unit)

        self.x.mul_(a).addcmul_(inward, driven)
        self.low_x.mul_(low_a).add_(low_inward * low_driven)

        wide = self.work.copy_(self.low_x)
        self.size, self.low_size = self._largest(self.x), self._largest(wide)
        self.bound.add_(self.low_size, alpha=2 * self.unit).add_(self.underflow)
        self.largest = torch.maximum(self.largest, self.size.amax(dim=(1, 2)))
        self.outputs.append((self.exact.outward[t] * self.x).sum(-1))
        low_y = (low_outward.double() * wide).sum(-1)
        self.low_outputs.append(low_y.to(self.dtype).double())
        deviation = self._largest(wide.sub_(self.x))
        self.latent.append(deviation.amax(dim=(1, 2)))
        self.ratio.append((deviation / self.bound).amax(-1))

    def _add_input(self, driven: Tensor, low: Tensor, inward: Tensor, low_inward: Tensor) -> None:
        """|w' - w| into the bound."""
        size = low.abs()
        self.bound.addcmul_(size, self._largest(low_inward - inward))
        self.bound.addcmul_((low - driven).abs_(), self._largest(inward))
        self.bound.addcmul_(size, self._largest(low_inward), value=4 * self.unit)
