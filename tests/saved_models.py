"""A small checkpoint of each family, saved and loaded as jobs load it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import evaluate_jobs
import pytest
import tiny_models
import torch
from torch import Tensor
from transformers import dynamic_module_utils

from repro.schema.jobs import Attention, EvaluateJob
from runner.models.registry import MODELS, family_of

ATTENTION = ("gpt-neox", "olmo", "phi", "llama")


UNITS = {torch.float32: 2**-24, torch.float16: 2**-11, torch.bfloat16: 2**-8}


DTYPES = [pytest.param(dtype, id=str(dtype).removeprefix("torch.")) for dtype in UNITS]


Saved = Callable[[str], tuple[Path, Any]]
"""Family to a checkpoint's folder and the model that was saved there."""


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def job(**changes: Any) -> EvaluateJob:
    attention = {"attention_float32": "sdpa", "attention_half": "sdpa"}
    return evaluate_jobs.job(**{"subjects": ("anatomy",), "shots": (0,), **attention, **changes})


def load(folder: Path, dtype: torch.dtype = torch.float32, attention: Attention = "eager") -> Any:
    return MODELS[family_of(folder)].load(folder, dtype, attention, remote_code=True)


@pytest.fixture(scope="module")
def modules_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """transformers copies a checkpoint's code there before it imports it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("modules")
        patch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(folder))
        patch.setattr(sys, "path", [*sys.path])
        yield


@pytest.fixture(scope="module", name="saved")
def saved_checkpoints(modules_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Saved:  # noqa: ARG001
    made: dict[str, tuple[Path, Any]] = {}

    def checkpoint(family: str) -> tuple[Path, Any]:
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            made[family] = folder, tiny_models.save(family, folder)
        return made[family]

    return checkpoint
