"""What "mixed-precision inference" may mean, applied to a loaded model.

    weight-cast    every weight is rounded to the dtype; what is computed in more is the model's
                   own choice. lm-eval's `dtype`, and the arm that the paper's words fit best.
    autocast       weights stay in float32; inside torch.autocast matrix products take the dtype
                   and most else takes float32. The paper's words on training (section 3.1.1).
    float32-head   weights are rounded to the dtype, then the output layer is widened to float32:
                   logits and log-softmax are not rounded, so letters tie only if hidden states do.

    ieee           float32 whose products Triton's kernels do not round to TF32; `triton_dot` sees
                   to it before the model is loaded, and nothing is left to do here.

Between weight-cast and float32-head lies what rounding of the logits alone does to answers.

Not covered: autocast on a CPU rounds other operations than on a GPU.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from repro.errors import CannotRunError
from repro.schema.jobs import ModelJob


def weights_dtype(job: ModelJob) -> str:
    """The dtype that the weights are loaded in."""
    return "float32" if job.arm == "autocast" else job.dtype


def apply(model: nn.Module, job: ModelJob) -> AbstractContextManager[object]:
    """Make a model compute as the job's arm says.

    Args:
        model: A causal language model of transformers, loaded in `weights_dtype`.
        job: Its arm and dtype.

    Returns:
        What each forward pass runs inside; may be entered again and again.

    Raises:
        CannotRunError: autocast in float16 on a CPU, which torch 2.2.1 silently leaves out; a
            model without an output layer that could be widened.
    """
    if job.arm == "float32-head":
        _widen_head(model)
    if job.arm == "autocast":
        device = next(model.parameters()).device.type
        if device == "cpu" and job.dtype == "float16":
            message = "torch has no float16 autocast on a CPU; it takes a GPU"
            raise CannotRunError(message)
        return torch.autocast(device, dtype=getattr(torch, job.dtype))
    return nullcontext()


def _widen_head(model: nn.Module) -> None:
    """A float32 output layer with the model's own values; a tied embedding stays as it is."""
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        message = (
            f"arm float32-head: {type(model).__name__} has no output layer of its own, its code "
            "multiplies by the embedding; leave the arm out for it"
        )
        raise CannotRunError(message)
    wide = nn.Linear(head.in_features, head.out_features, head.bias is not None, device="meta")
    wide.weight = nn.Parameter(head.weight.detach().float())
    if head.bias is not None:
        wide.bias = nn.Parameter(head.bias.detach().float())
    wide.register_forward_pre_hook(_widened)
    model.set_output_embeddings(wide)


def _widened(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(each.float() for each in inputs)


# -----------------------------------------------------------------------------
# FP16 LayerNorm on a CPU: computed in FP32, then rounded to FP16.
#
# torch 2.2.1, the paper's pin, has no such kernel ("LayerNormKernelImpl" not implemented
# for 'Half'), so that GPT-NeoX cannot run in FP16 on a CPU at all. The CUDA kernel reads
# FP16, takes mean, variance and the affine map in FP32 and rounds once at the end; so do
# we. Every other operation of GPT-NeoX and Mamba exists in FP16 and BF16 there.
#
# Not covered: the order in which the CUDA kernel adds up, which may move the last bit.

HALF_LAYER_NORM = "float32, rounded to float16"
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


def half_layer_norm_is_missing() -> bool:
    """Whether this torch lacks the FP16 LayerNorm on the CPU."""
    probe = torch.zeros(1, 2, dtype=torch.float16)
    try:
        nn.functional.layer_norm(probe, (2,))
    except RuntimeError:
        return True
    return False


def apply_half_layer_norm(model: nn.Module, device: torch.device) -> str:
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
    if device.type != "cpu" or not half or not half_layer_norm_is_missing():
        return "stock"
    for norm in half:
        norm.__class__ = HalfLayerNorm  # same parameters, other forward
    return HALF_LAYER_NORM
