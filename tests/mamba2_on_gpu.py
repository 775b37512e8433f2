"""Mamba-2 at sizes that its kernels take, and one configuration of each kernel."""

import importlib
from typing import Any

import pytest
import tiny_mamba2
import torch
from torch import nn

from runner.models import mamba2_mixer
from runner.models.mamba2_checkpoint import stored_dtype

SIZES = {"headdim": 64, "d_state": 64, "ngroups": 1, "chunk_size": 64}


@pytest.fixture(scope="module", autouse=True)
def _one_configuration_a_kernel() -> None:
    """Take the cheapest by the measure of mamba-ssm's deterministic mode."""
    if not torch.cuda.is_available() or mamba2_mixer.kernels_lacking():
        return
    from triton.runtime.autotuner import Autotuner  # type: ignore[import-untyped]

    def cost(configuration: Any) -> int:
        product = configuration.num_stages or 1
        for size in configuration.kwargs.values():
            product *= size
        return int(product)

    for name in ("ssd_combined", "ssd_bmm", "ssd_chunk_scan", "ssd_chunk_state", "layer_norm"):
        for kernel in vars(importlib.import_module(f"mamba_ssm.ops.triton.{name}")).values():
            if isinstance(kernel, Autotuner):
                kernel.configs = [min(kernel.configs, key=cost)]


def cast(module: nn.Module, dtype: torch.dtype) -> Any:
    """The module on the GPU in a dtype, D left as a checkpoint's is."""
    for name, weight in module.named_parameters():
        weight.data = weight.data.to(stored_dtype(f".{name}", dtype))
    return module.cuda()


def model_of(dtype: torch.dtype, **sizes: int) -> Any:
    return cast(tiny_mamba2.model(d_model=256, ssm_cfg=SIZES | sizes), dtype)
