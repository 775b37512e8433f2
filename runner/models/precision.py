"""What "mixed-precision inference" may mean, applied to a model; and what it may not round.

    weight-cast    every weight is rounded to the dtype; what is computed in more is the model's
                   own choice. lm-eval's `dtype`, and the arm that the paper's words fit best.
    autocast       weights stay in float32; inside torch.autocast matrix products take the dtype
                   and most else takes float32. The paper's words on training (section 3.1.1).
    float32-head   weights are rounded to the dtype, then the output layer is widened to float32:
                   logits and log-softmax are not rounded, so letters tie only if hidden states do.

    ieee           float32 whose products Triton's kernels do not round to TF32: `ieee_float32`
                   before the model is loaded, and nothing is left to `apply`.

Between weight-cast and float32-head lies what rounding of the logits alone does to answers.

Not covered: autocast on a CPU rounds other operations than on a GPU.
"""

import gc
import importlib
import inspect
import os
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType

import torch
from torch import Tensor, nn

from repro import paths
from repro.errors import CannotRunError
from repro.schema.jobs import ModelJob


def weights_dtype(job: ModelJob) -> str:
    """The dtype that the weights are loaded in."""
    return "float32" if job.arm == "autocast" else job.dtype


def apply(model: nn.Module, job: ModelJob) -> AbstractContextManager[object]:
    """Make a model compute as the job's arm says.

    The model is loaded in `weights_dtype`.

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
# FP16 LayerNorm on a CPU: computed in FP32, then rounded to FP16
#
# torch 2.2.1, the paper's pin, has no such kernel ("LayerNormKernelImpl" not implemented
# for 'Half'), so that GPT-NeoX cannot run in FP16 on a CPU at all. The CUDA kernel reads
# FP16, takes mean, variance and the affine map in FP32 and rounds once at the end; so do
# we. Every other operation of GPT-NeoX and Mamba exists in FP16 and BF16 there.
#
# Not covered: the order in which the CUDA kernel adds up, which may move the last bit.

HALF_LAYER_NORM = "float32, rounded to float16"
"""How a record says that `HalfLayerNorm` ran."""


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

    Only `nn.LayerNorm` with float16 weights on a CPU is touched, and only where torch itself has
    no kernel.

    Returns:
        What its LayerNorms run: "none" (it has none), "stock" or `HALF_LAYER_NORM`.
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


# -----------------------------------------------------------------------------
# float32 matrix products inside Triton kernels in float32, not in TF32
#
# Triton's `tl.dot` multiplies float32 in TF32 (10 bits of mantissa) unless a kernel says otherwise,
# whatever torch's flags say; mamba-ssm's kernels for Mamba-2 say nothing. Mamba-1's scan is CUDA
# and multiplies no matrices.
#
# - Triton 3: the default is read from TRITON_F32_DEFAULT when a kernel is compiled. In 3.6.0 the
#   variable is part of the cache's key, in 3.0.0 it is not.
# - Triton 2: the default is that of the argument `allow_tf32`, which is changed in place. The key
#   of the cache knows nothing of it.
#
# Hence a cache folder of its own. A process started from this one inherits variables and folder,
# but under Triton 2 must call `ieee_float32` itself.
#
# Reference: triton 2.2.0 (torch 2.2.1's), 3.0.0 and 3.6.0, `language/core.py`, `runtime/jit.py`.
# Not covered: kernels compiled by `triton.compile` and never run, or by torch.compile; a kernel
# that asks for TF32 itself.

FOLDER = "ieee_float32"
"""Where compiled kernels go, in Triton's own cache folder."""


def ieee_float32() -> None:
    """Compile every Triton kernel of this process with float32 products; again is no change.

    Raises:
        CannotRunError: Triton is not installed, or has run kernels with TF32 already.
    """
    if find_spec("triton") is None:
        message = (
            "float32 products in Triton kernels were asked for, but Triton is not installed; "
            "install the pinned torch for CUDA, which brings it"
        )
        raise CannotRunError(message)
    if is_ieee_float32():
        return
    run = _kernels_run()
    if run:
        message = (
            f"float32 products in Triton kernels were asked for after {', '.join(run)} had been "
            "compiled with TF32; ask for them before the first kernel runs, in a new process"
        )
        raise CannotRunError(message)
    usual = os.environ.get("TRITON_CACHE_DIR", "").strip() or paths.home() / ".triton" / "cache"
    if Path(usual).name != FOLDER:
        os.environ["TRITON_CACHE_DIR"] = str(Path(usual) / FOLDER)
    os.environ["TRITON_F32_DEFAULT"] = "ieee"
    if _has_old_signature():
        _forbid_tf32()


def _has_old_signature() -> bool:
    """Whether this Triton takes the default from its own signature."""
    version: str = importlib.import_module("triton").__version__
    return version.startswith("2.")


def is_ieee_float32() -> bool:
    """Whether kernels of this process are compiled with float32 products."""
    folder = Path(os.environ.get("TRITON_CACHE_DIR", "")).name == FOLDER
    asked = folder and os.environ.get("TRITON_F32_DEFAULT") == "ieee"
    return asked and not (_has_old_signature() and _parameters()["allow_tf32"].default)


def _dot() -> FunctionType:
    """The function behind every name of `tl.dot`."""
    dot: FunctionType = inspect.unwrap(importlib.import_module("triton.language").dot)
    return dot


def _parameters() -> dict[str, inspect.Parameter]:
    """Parameters of `tl.dot`; the decorator around it does not hide them."""
    return dict(inspect.signature(_dot()).parameters)


def _forbid_tf32() -> None:
    """Change the default of `allow_tf32` in the function itself."""
    defaults = {
        name: parameter.default
        for name, parameter in _parameters().items()
        if parameter.default is not inspect.Parameter.empty
    }
    _dot().__defaults__ = tuple((defaults | {"allow_tf32": False}).values())


def _kernels_run() -> list[str]:
    """Names of the kernels that this process has compiled by running them."""
    kind = importlib.import_module("triton.runtime").JITFunction
    # type(...), as some objects answer isinstance with code of their own
    kernels = (each for each in gc.get_objects() if issubclass(type(each), kind))
    caches = ("cache", "device_caches")  # of Triton 2 and 3, filled for a device at its first run
    return sorted(
        kernel.__name__ for kernel in kernels if any(vars(kernel).get(cache) for cache in caches)
    )
