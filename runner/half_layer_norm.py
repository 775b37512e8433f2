"""FP16 LayerNorm on a CPU: computed in FP32, then rounded to FP16.

torch 2.2.1, the paper's pin, has no such kernel ("LayerNormKernelImpl" not implemented
for 'Half'), so that GPT-NeoX cannot run in FP16 on a CPU at all. The CUDA kernel reads
FP16, takes mean, variance and the affine map in FP32 and rounds once at the end; so do
we. Every other operation of GPT-NeoX and Mamba exists in FP16 and BF16 there.

Not covered: the order in which the CUDA kernel adds up, which may move the last bit.
"""

import torch
from torch import Tensor, nn

PATH = "float32, rounded to float16"
"""How a record says that this module was used."""


class HalfLayerNorm(nn.LayerNorm):
    """`nn.LayerNorm` with FP16 weights and inputs, without an FP16 kernel."""

    def forward(self, hidden: Tensor) -> Tensor:
        """LayerNorm of `hidden`, (..., D) float16, in FP32; returns float16, rounded once."""
        wide = {name: value.float() for name, value in self.named_parameters()}
        normed = nn.functional.layer_norm(
            hidden.float(), self.normalized_shape, wide.get("weight"), wide.get("bias"), self.eps
        )
        return normed.to(hidden.dtype)


def missing() -> bool:
    """Whether this torch lacks the FP16 LayerNorm on the CPU."""
    probe = torch.zeros(1, 2, dtype=torch.float16)
    try:
        nn.functional.layer_norm(probe, (2,))
    except RuntimeError:
        return True
    return False


def apply(model: nn.Module, device: torch.device) -> str:
    """Make the FP16 LayerNorms of a model computable where it lies, in place.

    Args:
        model: Any model; only `nn.LayerNorm` with float16 weights on a CPU is touched,
            and only where torch itself has no kernel.
        device: Where the model runs.

    Returns:
        What its LayerNorms run: "none" (it has none), "stock" or `PATH`.
    """
    norms = [module for module in model.modules() if type(module) is nn.LayerNorm]
    if not norms:
        return "none"
    half = [norm for norm in norms if any(p.dtype == torch.half for p in norm.parameters())]
    if device.type != "cpu" or not half or not missing():
        return "stock"
    for norm in half:
        norm.__class__ = HalfLayerNorm  # same parameters, other forward
    return PATH
