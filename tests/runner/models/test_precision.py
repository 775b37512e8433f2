"""What each arm of mixed precision computes. Oracle: transformers' own models, taken apart."""

from collections.abc import Callable
from pathlib import Path

import evaluate_jobs
import pytest
import torch
from transformers import AutoModelForCausalLM

from repro.errors import CannotRunError
from repro.schema.jobs import CastMode, EvaluateJob
from runner.evaluation import language_model, loading

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and transformers warn about each other

IDS = torch.tensor([[5, 17, 250, 3, 99, 41, 8]])
FAMILIES = ("mamba", "gpt-neox")


def job(arm: CastMode, dtype: str = "bfloat16") -> EvaluateJob:
    return evaluate_jobs.job(dtype, arm=arm, subjects=("anatomy",), shots=(0,))


def stock(folder: Path, dtype: torch.dtype) -> torch.nn.Module:
    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=dtype)
    return model.eval()


def logits(model: language_model.MeasuredLM) -> torch.Tensor:
    with torch.no_grad():
        return model._model_call(IDS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wide_head_rounds_no_logits(family: str, tiny_checkpoint: Callable[[str], Path]) -> None:
    folder = tiny_checkpoint(family)
    ours = loading.load(job("float32-head"), folder)
    found = logits(ours)
    model = stock(folder, torch.bfloat16)
    with torch.no_grad():
        hidden = model.base_model(IDS)[0].float()
        expected = hidden @ model.get_output_embeddings().weight.float().T
        cast = model(IDS).logits.float()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert (found != cast).any()  # the stock head rounds to bfloat16
    assert ours.path()["arm"] == "float32-head"
    assert ours.path()["weights_dtype"] == "bfloat16"
    assert ours.path()["logits_dtype"] == "float32"


@pytest.mark.parametrize("family", FAMILIES)
def test_autocast_keeps_weights_in_float32(
    family: str, tiny_checkpoint: Callable[[str], Path]
) -> None:
    folder = tiny_checkpoint(family)
    ours = loading.load(job("autocast"), folder)
    found = logits(ours)
    model = stock(folder, torch.float32)
    with torch.no_grad():
        exact = model(IDS).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            expected = model(IDS).logits
    assert torch.equal(found.float(), expected.float())
    assert not torch.equal(found.float(), exact)
    assert ours.path()["weights_dtype"] == "float32"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_weight_cast_is_the_stock_model(
    family: str, tiny_checkpoint: Callable[[str], Path]
) -> None:
    folder = tiny_checkpoint(family)
    ours = loading.load(job("weight-cast"), folder)
    with torch.no_grad():
        assert torch.equal(logits(ours), stock(folder, torch.bfloat16)(IDS).logits)


def test_autocast_that_torch_would_leave_out_is_refused(
    tiny_checkpoint: Callable[[str], Path],
) -> None:
    with pytest.raises(CannotRunError, match="no float16 autocast on a CPU"):
        loading.load(job("autocast", "float16"), tiny_checkpoint("gpt-neox"))
