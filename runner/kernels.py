"""Which kernels a language model is asked to run, and which it really runs.

A setting asks for an attention kernel and a Mamba scan. What is installed, the dtype
and the device decide what can be had; where that differs from what was asked, the run
goes on with what there is, and the record says so.

`path` in a record is read off the loaded model and torch's own flags, never copied from
the job.

Not covered: which of its own variants a library picks inside one kernel (cuBLAS
algorithms, sdpa's back ends).
"""

import importlib
from pathlib import Path

import torch
import transformers
from torch import nn
from transformers.utils import is_flash_attn_2_available

from repro.jobs import Attention, EvaluateJob
from runner.models import mamba2_kernels

SLOW = "slow"
KERNELS = "kernels"
NONE = "none"


def device() -> torch.device:
    """The first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def asked_attention(job: EvaluateJob) -> Attention:
    """The attention kernel that the setting names for the job's dtype.

    Reference: paper v2, Appendix D: flash_attention_2 for Pythia and OLMo in half
    precision only.
    """
    single = job.dtype == "float32"
    return job.setting.attention_float32 if single else job.setting.attention_half


def possible_attention(checkpoint: Path, asked: Attention, dtype: str) -> Attention:
    """`asked` where model, dtype and machine allow it, else eager."""
    config = transformers.AutoConfig.from_pretrained(str(checkpoint))
    model_class = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    if asked == "flash_attention_2":
        here = is_flash_attn_2_available() and device().type == "cuda" and dtype != "float32"
        supported = model_class._supports_flash_attn_2  # noqa: SLF001 - has no public name
        return asked if here and supported else "eager"
    if asked == "sdpa":
        supported = model_class._supports_sdpa  # noqa: SLF001 - has no public name
        return asked if supported else "eager"
    return asked


def _classes(model: nn.Module, ending: str) -> list[nn.Module]:
    """Modules of a model whose class is named for what they are, e.g. `...Attention`."""
    return [module for module in model.modules() if type(module).__name__.endswith(ending)]


def attention_classes(model: nn.Module) -> str:
    """Names of the attention classes on the loaded model, or "none"."""
    modules = (*_classes(model, "Attention"), *_classes(model, "Attention2"))
    return ", ".join(sorted({type(module).__name__ for module in modules})) or NONE


def set_mamba_scan(model: nn.Module, asked: str) -> str:
    """Force the Python loop if it is asked for; say which scan the model will run.

    transformers takes the CUDA kernels where mamba_ssm and causal_conv1d can be
    imported and the weights lie on a GPU, and the loop of `slow_forward` elsewhere.

    Returns:
        "none" for a model without a Mamba mixer, else "kernels" or "slow". For Mamba-2 the
        kernels are mamba-ssm's call for the whole block, as its own model evaluates, and slow
        is the chunked scan in PyTorch.
    """
    mixers = _classes(model, "MambaMixer")
    if not mixers:
        return _set_mamba2_scan(_classes(model, "Mamba2Mixer"), asked)
    if asked == SLOW:
        for mixer in mixers:
            mixer.forward = mixer.slow_forward
        return SLOW
    stock = importlib.import_module(type(mixers[0]).__module__)
    on_gpu = all(mixer.x_proj.weight.is_cuda for mixer in mixers)
    return KERNELS if stock.is_fast_path_available and on_gpu else SLOW


def _set_mamba2_scan(mixers: list[nn.Module], asked: str) -> str:
    if not mixers:
        return NONE
    fast = asked == KERNELS and mamba2_kernels.installed() and device().type == "cuda"
    for mixer in mixers:
        mixer.path = "fused" if fast else "plain"  # type: ignore[assignment]
    return KERNELS if fast else SLOW


def torch_flags() -> dict[str, str]:
    """Flags of torch that can move a digit, as they stand."""
    return {
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "tf32_matmul": str(torch.backends.cuda.matmul.allow_tf32).lower(),
        "tf32_convolution": str(torch.backends.cudnn.allow_tf32).lower(),
        "fp16_reduced_precision_reduction": str(
            torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
        ).lower(),
        "bf16_reduced_precision_reduction": str(
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
        ).lower(),
        "deterministic_algorithms": str(torch.are_deterministic_algorithms_enabled()).lower(),
        "threads": str(torch.get_num_threads()),
    }
