"""Which kernels a language model is asked to run, and which it really runs.

A setting asks for an attention kernel and a Mamba scan. What is installed, the dtype
and the device decide what can be had; where that differs from what was asked, the run
goes on with what there is, and the record says so.

`path` in a record is read off the loaded model and torch's own flags, never copied from
the job.

Not covered: which of its own variants a library picks inside one kernel (cuBLAS
algorithms, sdpa's back ends).
"""

import torch
import transformers
from torch import nn
from transformers.utils import is_flash_attn_2_available

from repro.schema.jobs import Attention, ModelJob, TuningPath
from runner.models import mamba_paths

NONE = "none"
OWN_CODE = "own code"
"""What a record says where transformers has no say in it."""


def device() -> torch.device:
    """The first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def asked_attention(job: ModelJob) -> Attention:
    """The attention kernel that the setting names for the job's dtype.

    Reference: paper v2, Appendix D: flash_attention_2 for Pythia and OLMo in half
    precision only.
    """
    single = job.dtype == "float32"
    return job.setting.attention_float32 if single else job.setting.attention_half


def possible_attention(
    config: transformers.PretrainedConfig, asked: Attention, dtype: torch.dtype
) -> Attention:
    """`asked` where model, dtype and machine allow it, else eager."""
    model_class = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    if asked == "flash_attention_2":
        half = dtype in (torch.float16, torch.bfloat16)
        here = is_flash_attn_2_available() and device().type == "cuda" and half
        can = here and model_class._supports_flash_attn_2  # noqa: SLF001 - has no public name
    else:
        can = asked == "sdpa" and model_class._supports_sdpa  # noqa: SLF001 - the same
    return asked if can else "eager"


def taken_attention(model: nn.Module) -> str:
    """The attention kernel of a loaded model, "none", or that the checkpoint's own code chose."""
    source = type(model.config).__module__  # the model itself may be wrapped by PEFT
    if not source.startswith(("transformers.", "runner.")):
        return OWN_CODE
    if attention_classes(model) == NONE:
        return NONE
    return str(model.config._attn_implementation)  # noqa: SLF001 - what transformers settled on


def attention_classes(model: nn.Module) -> str:
    """Names of the attention classes on the loaded model, or "none"."""
    names = {type(module).__name__ for module in model.modules()}
    return (
        ", ".join(sorted(each for each in names if each.endswith(("Attention", "Attention2"))))
        or NONE
    )


def set_mamba_scan(model: nn.Module, asked: TuningPath) -> str:
    """Choose the code of Mamba's mixers; say which the model will run.

    Returns:
        "none" for a model without a Mamba mixer, else "kernels", "live" or "slow", whatever
        `mamba_paths` calls it for the family.
    """
    taken = mamba_paths.set_path(model, asked)
    return next((path for path, later in mamba_paths.MAMBA2.items() if later == taken), taken)


def torch_flags() -> dict[str, str]:
    """Flags of torch that can move a digit, as they stand."""
    matmul = torch.backends.cuda.matmul
    flags = {
        "tf32_matmul": matmul.allow_tf32,
        "tf32_convolution": torch.backends.cudnn.allow_tf32,
        "fp16_reduced_precision_reduction": matmul.allow_fp16_reduced_precision_reduction,
        "bf16_reduced_precision_reduction": matmul.allow_bf16_reduced_precision_reduction,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
    }
    return {
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        **{name: str(flag).lower() for name, flag in flags.items()},
        "threads": str(torch.get_num_threads()),
    }
